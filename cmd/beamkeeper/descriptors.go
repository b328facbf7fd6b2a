package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// descriptorsLeft is below how many free file descriptors the status says so: each instance needs a few.
const descriptorsLeft = 32

// descriptorProblems says when the daemon is about to run out of file descriptors. The runtime raises the soft limit to
// the hard one when the program starts, and gives instances the one that it found.
func descriptorProblems() []api.Problem {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return nil
	}
	d, err := os.Open("/proc/self/fd")
	open := int(limit.Cur)
	if err == nil {
		defer d.Close()
		names, err := d.Readdirnames(-1)
		if err != nil {
			return nil
		}
		open = len(names) - 1 // without d
	}
	if uint64(open)+descriptorsLeft <= limit.Cur {
		return nil
	}
	return []api.Problem{{
		Since:  api.Time{Time: time.Now().UTC()},
		What:   fmt.Sprintf("%d of %d file descriptors are in use: instances cannot be started and nobody can connect when they are used up; what runs goes on", open, limit.Cur),
		Remedy: fmt.Sprintf("raise the hard limit of OS process %d (prlimit --nofile, LimitNOFILE= of the unit)", os.Getpid()),
	}}
}
