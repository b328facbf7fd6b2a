package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/process"
)

// Exec passes when a program exits 0 in time. When it does not end in time it is killed with its process group.
type Exec struct {
	Argv    []string // program and arguments, no shell; a plain name is looked up on Env's PATH
	Env     []string // of the instance
	Dir     string
	User    string        // OS user; empty: the daemon's
	Timeout time.Duration // 0: DefaultTimeout
}

// outputKept is how much of the end of a program's output is shown.
const outputKept = 2048

func (p Exec) String() string {
	var b strings.Builder
	b.WriteString("exec")
	for _, a := range p.Argv {
		if a == "" || strings.ContainsAny(a, " \t\n\"'\\$") {
			a = fmt.Sprintf("%q", a)
		}
		b.WriteString(" " + a)
	}
	return b.String()
}

// Probe implements Probe.
func (p Exec) Probe(ctx context.Context) error { return limited(ctx, p.Timeout, p.run) }

func (p Exec) run(ctx context.Context) error {
	path, err := p.program()
	if err != nil {
		return err
	}
	credential, err := process.Credential(p.User)
	if err != nil {
		return err
	}
	out := &tail{max: outputKept}
	cmd := exec.CommandContext(ctx, path, p.Argv[1:]...)
	cmd.Env, cmd.Dir = p.Env, p.Dir
	if cmd.Env == nil {
		cmd.Env = []string{} // nil would be the daemon's own
	}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: credential}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // for the output of what it left running
	err = cmd.Run()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	if len(out.kept) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s", err, excerpt(out.String(), outputKept))
}

func (p Exec) program() (string, error) {
	if len(p.Argv) == 0 || p.Argv[0] == "" {
		return "", errors.New("no program is named")
	}
	name := p.Argv[0]
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(p.Dir, name)
		}
		return name, nil
	}
	path := ""
	for _, kv := range p.Env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v
		}
	}
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		if st, err := os.Stat(file); filepath.IsAbs(dir) && err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s is not on the instance's PATH (%s)", name, path)
}

// tail keeps the last max bytes written.
type tail struct {
	kept []byte
	max  int
}

func (t *tail) Write(b []byte) (int, error) {
	n := len(b)
	if len(b) > t.max {
		b = b[len(b)-t.max:]
	}
	if over := len(t.kept) + len(b) - t.max; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	t.kept = append(t.kept, b...)
	return n, nil
}

func (t *tail) String() string { return string(t.kept) }
