package main

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
)

// disks remembers since when each folder of the daemon can only be read.
type disks struct {
	mu    sync.Mutex
	since map[string]time.Time
}

// problems says which of the daemon's folders are on a file system that has become read-only, as the kernel makes it after
// an error of the disk.
func (d *disks) problems(cfg *config.Config) []api.Problem {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []api.Problem
	noted := make(map[string]time.Time)
	for _, f := range []struct{ path, what string }{
		{cfg.VarPath, "releases and state cannot be written, so that nothing can be deployed or started"},
		{cfg.MonitoredAppLogPath, "what instances log is lost, and none can be started"},
	} {
		var st unix.Statfs_t
		if unix.Statfs(f.path, &st) != nil || st.Flags&unix.ST_RDONLY == 0 {
			continue
		}
		at, known := d.since[f.path]
		if !known {
			at = time.Now()
		}
		noted[f.path] = at
		list = append(list, api.Problem{
			Since:  api.Time{Time: at.UTC()},
			What:   fmt.Sprintf("the file system of %s is read-only: %s; what runs goes on", f.path, f.what),
			Remedy: "see dmesg for errors of the disk; then mount -o remount,rw, or repair it: the daemon goes on by itself",
		})
	}
	d.since = noted
	return list
}
