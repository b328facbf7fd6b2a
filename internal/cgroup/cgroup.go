package cgroup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrNone says that the host has no cgroup v2, or that a process is in none.
var ErrNone = errors.New("cgroup: version 2 is not mounted")

// Mount is where the hierarchy is mounted. The first answer is kept.
var Mount = sync.OnceValues(func() (string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("cgroup: %w", err)
	}
	return mountIn(b)
})

// mountIn finds the hierarchy in /proc/self/mountinfo: ID PARENT DEV ROOT POINT OPTIONS... - TYPE SOURCE OPTIONS.
func mountIn(mountinfo []byte) (string, error) {
	for s := bufio.NewScanner(bytes.NewReader(mountinfo)); s.Scan(); {
		front, back, _ := strings.Cut(s.Text(), " - ")
		if f := strings.Fields(front); strings.HasPrefix(back, "cgroup2 ") && len(f) > 4 {
			return f[4], nil
		}
	}
	return "", ErrNone
}

// Of is the folder of the group that a process is in. Errors: ErrNone, fs.ErrNotExist when the process has ended.
func Of(pid int) (string, error) {
	mount, err := Mount()
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		if errors.Is(err, unix.ESRCH) {
			err = fs.ErrNotExist
		}
		return "", fmt.Errorf("cgroup: of OS pid %d: %w", pid, err)
	}
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return filepath.Join(mount, strings.TrimSuffix(strings.TrimSuffix(path, "\n"), " (deleted)")), nil
		}
	}
	return "", ErrNone
}

// PIDs lists the processes of a group and of those below it. A group that does not exist has none.
func PIDs(dir string) ([]int, error) {
	var pids []int
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !d.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
		b, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if gone(err) {
			return nil
		}
		for f := range strings.FieldsSeq(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil && pid > 0 { // 0: outside our pid namespace
				pids = append(pids, pid)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cgroup: %w", err)
	}
	return pids, nil
}

// Move puts a process, with all its threads, into a group. A process that has ended is no error.
func Move(dir string, pid int) error {
	err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cgroup: move OS pid %d: %w", pid, err)
	}
	return nil
}

// gone says that a group was removed under our hands.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) }
