package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Attr sets in attr what the process that becomes the program needs from its start on: namespaces, for a daemon that is
// not root.
func (o Options) Attr(attr *syscall.SysProcAttr) {
	if !o.Mounts() || os.Geteuid() == 0 {
		return
	}
	attr.Cloneflags |= syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
	// The capabilities in the namespace must survive execve, which those of a process that is not root do only so.
	attr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_DAC_OVERRIDE}
}

// Try enters e without becoming anything, and says in words what of it this machine does not give. It takes some
// milliseconds.
func Try(ctx context.Context, e Entry) ([]string, error) {
	e.Trial = true
	path, args, err := e.Command("", nil)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, args[:2]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	e.Attr(cmd.SysProcAttr)
	out, err := cmd.Output()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) {
		return []string{fmt.Sprintf("a file system view of its own: the kernel gives no user namespace to uid %d: %v", os.Geteuid(), err)}, nil
	}
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return nil, fmt.Errorf("sandbox: %w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	var missing []string
	if err := json.Unmarshal(out, &missing); err != nil {
		return nil, fmt.Errorf("sandbox: answer of the trial %q: %w", out, err)
	}
	return missing, nil
}
