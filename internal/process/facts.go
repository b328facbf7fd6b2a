package process

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is USER_HZ, which is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// Facts are numbers about one process, from /proc.
type Facts struct {
	RSS       uint64        // resident memory, bytes
	CPU       time.Duration // user and system time used
	StartedAt time.Time     // to about 10 ms
	FDs       int           // open file descriptors; -1 when we may not look
	Threads   int
}

// Facts reads the process's numbers. ErrGone when it has ended.
func (p *Process) Facts() (Facts, error) {
	s, err := readStat(p.id.OSPID)
	if err != nil {
		return Facts{}, err
	}
	if s.start != p.id.StartTime || !s.alive() {
		return Facts{}, ErrGone
	}
	f := Facts{
		RSS:     s.rss * uint64(os.Getpagesize()),
		CPU:     ticks(s.utime + s.stime),
		FDs:     -1,
		Threads: s.threads,
	}
	if f.StartedAt, err = p.id.StartedAt(); err != nil {
		return Facts{}, err
	}
	if d, err := os.Open("/proc/" + strconv.Itoa(p.id.OSPID) + "/fd"); err == nil {
		defer d.Close()
		if names, err := d.Readdirnames(-1); err == nil {
			f.FDs = len(names)
		}
	}
	return f, nil
}

// StartedAt says when the process was started, to about 10 ms. It means nothing after a reboot.
func (id Identity) StartedAt() (time.Time, error) {
	var since unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &since); err != nil {
		return time.Time{}, fmt.Errorf("process: clock: %w", err)
	}
	return time.Now().Add(ticks(id.StartTime) - time.Duration(since.Nano())), nil
}

func ticks(n uint64) time.Duration { return time.Duration(n) * (time.Second / ticksPerSecond) }
