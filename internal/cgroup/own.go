package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// own is the group that a daemon moves to when it has to leave the delegated one to get controllers for those below it.
const own = "beamkeeper.daemon"

// Delegated is the group of this process if it may make groups below it: on a host that systemd runs one that was
// delegated (Delegate=yes), elsewhere one that can be written to.
func Delegated(systemd bool) (dir string, ok bool) {
	dir, err := Of(os.Getpid())
	if err != nil {
		return "", false
	}
	dir = strings.TrimSuffix(dir, "/"+own) // of an earlier Enable of ours
	if systemd && !marked(dir) {
		return "", false
	}
	for _, path := range []string{dir, filepath.Join(dir, "cgroup.procs")} {
		if unix.Access(path, unix.W_OK) != nil {
			return "", false
		}
	}
	return dir, true
}

// marked says whether systemd has delegated a group.
func marked(dir string) bool {
	for _, name := range []string{"trusted.delegate", "user.delegate"} {
		value := make([]byte, 8)
		if n, err := unix.Getxattr(dir, name, value); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	return false
}

// Make makes a group below a delegated one, with those on the way to it, and enables the controllers for it if that can
// be done. It is no error if it is there already.
func Make(delegated, path string, controllers []string) (dir string, err error) {
	dir = delegated
	for name := range strings.SplitSeq(path, "/") {
		for _, c := range controllers {
			enable(dir, c, dir == delegated)
		}
		dir = filepath.Join(dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("cgroup: %w", err)
		}
	}
	return dir, nil
}

// enable gives the groups below dir a controller. A group with processes of its own cannot (EBUSY); when this process is
// the only one in it, it makes way. What could not be enabled is seen by Limits.Missing.
func enable(dir, controller string, mayMove bool) {
	on := func() error {
		return os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0)
	}
	if err := on(); !errors.Is(err, unix.EBUSY) || !mayMove {
		return
	}
	aside := filepath.Join(dir, own)
	if err := os.Mkdir(aside, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return
	}
	if Move(aside, os.Getpid()) != nil {
		return
	}
	if on() != nil { // others are in it, too
		_ = Move(dir, os.Getpid())
		_ = os.Remove(aside)
	}
}

// Remove removes a group without processes. One that does not exist is no error.
func Remove(dir string) error {
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cgroup: remove %s: %w", dir, err)
	}
	return nil
}
