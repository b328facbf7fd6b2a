// Package host tells facts about the machine: memory, disks, and the limits that a supervisor runs into.
package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v3/disk"
	"github.com/shirou/gopsutil/v3/mem"
	"golang.org/x/sys/unix"
)

// Memory is the main memory, in bytes.
type Memory struct {
	Total     uint64
	Available uint64 // without swapping
}

// ReadMemory reads the main memory.
func ReadMemory(ctx context.Context) (Memory, error) {
	v, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return Memory{}, fmt.Errorf("host: memory: %w", err)
	}
	return Memory{Total: v.Total, Available: v.Available}, nil
}

// Disk is the file system that holds a path.
type Disk struct {
	Path       string // that was looked at: the nearest existing folder
	Total      uint64 // bytes
	Free       uint64 // bytes, for users other than root
	InodesFree uint64 // 0 with Inodes 0: the file system does not count them
	Inodes     uint64
}

// ReadDisk reads the file system that holds path, which need not exist yet.
func ReadDisk(ctx context.Context, path string) (Disk, error) {
	path = nearest(path)
	u, err := disk.UsageWithContext(ctx, path)
	if err != nil {
		return Disk{}, fmt.Errorf("host: disk of %q: %w", path, err)
	}
	return Disk{Path: path, Total: u.Total, Free: u.Free, InodesFree: u.InodesFree, Inodes: u.InodesTotal}, nil
}

func nearest(path string) string {
	for path != "/" && path != "." {
		if _, err := os.Stat(path); err == nil {
			break
		}
		path = filepath.Dir(path)
	}
	return path
}

// Inotify holds the kernel's limits for each user.
type Inotify struct {
	Instances int // fs.inotify.max_user_instances
	Watches   int // fs.inotify.max_user_watches
}

// ReadInotify reads the limits of inotify(7).
func ReadInotify() (Inotify, error) {
	var n Inotify
	for name, v := range map[string]*int{"max_user_instances": &n.Instances, "max_user_watches": &n.Watches} {
		b, err := os.ReadFile("/proc/sys/fs/inotify/" + name)
		if err != nil {
			return n, fmt.Errorf("host: inotify: %w", err)
		}
		if *v, err = strconv.Atoi(strings.TrimSpace(string(b))); err != nil {
			return n, fmt.Errorf("host: inotify: %s: %w", name, err)
		}
	}
	return n, nil
}

// OpenFiles returns how many files this process may have open.
func OpenFiles() (uint64, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("host: open files: %w", err)
	}
	return r.Cur, nil
}
