package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// asNobody runs a verb as the user nobody, and gives all that it writes.
func (r *rig) asNobody(args ...string) (output string, code int) {
	r.t.Helper()
	const nobody = 65534
	// The program is in a folder that nobody else may look into.
	bin := filepath.Join(r.dir, "program")
	if _, err := os.Stat(bin); err != nil {
		b, err := os.ReadFile(r.bin)
		if err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(bin, b, 0o755); err != nil {
			r.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir, cmd.Env = "/", r.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatalf("beamkeeper %v as nobody: %v", args, err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}
