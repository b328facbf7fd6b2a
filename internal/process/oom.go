package process

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Killed is a process that the kernel killed for want of memory.
type Killed struct {
	At     time.Time // to about 10 ms
	Cgroup bool      // it or its group had used up a limit; the machine had memory left
}

// OOMKilled looks in the kernel's log for the end of a process. It needs the right to read /dev/kmsg, and finds nothing
// when the log has been written over since, or where the kernel's log is another machine's (a container's process has
// another OS pid there).
func OOMKilled(id Identity) (k Killed, found bool) {
	if boot, err := bootID(); err != nil || boot != id.BootID {
		return k, false
	}
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return k, false
	}
	defer unix.Close(fd)
	record := make([]byte, 8192) // the longest that there can be; each read gives one
	for range 1 << 20 {
		n, err := unix.Read(fd, record)
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EINTR) {
			continue // overwritten meanwhile: the next one
		}
		if err != nil || n == 0 {
			return k, found
		}
		if at, cgroup, ok := parseOOM(record[:n], id); ok {
			k, found = Killed{At: bootTime(at), Cgroup: cgroup}, true
		}
	}
	return k, found
}

// parseOOM reads one record of the kernel's log: whether it tells that the process was killed for want of memory, and
// the time since boot.
//
//	3,1042,98341231,-;Out of memory: Killed process 4711 (beam.smp) total-vm:…
//	3,1043,98341231,-;Memory cgroup out of memory: Killed process 4711 (beam.smp) total-vm:…
//
// Records that programs wrote to the log have another facility than the kernel's, 0, and are passed over.
//
// Spec: Documentation/ABI/testing/dev-kmsg; mm/oom_kill.c, __oom_kill_process (Linux 4.19 to 6.18).
func parseOOM(record []byte, id Identity) (at time.Duration, cgroup, ok bool) {
	head, text, _ := bytes.Cut(record, []byte{';'})
	fields := strings.Split(string(head), ",")
	if len(fields) < 4 {
		return 0, false, false
	}
	prio, err := strconv.Atoi(fields[0])
	if err != nil || prio>>3 != 0 {
		return 0, false, false
	}
	micros, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return 0, false, false
	}
	before, rest, is := strings.Cut(string(text), "Killed process "+strconv.Itoa(id.OSPID)+" (")
	if !is || rest == "" || !strings.Contains(strings.ToLower(before), "out of memory") {
		return 0, false, false
	}
	at = time.Duration(micros) * time.Microsecond
	if at < ticks(id.StartTime)-time.Second { // of an earlier process with this OS pid; the clocks differ by a little
		return 0, false, false
	}
	return at, strings.Contains(before, "cgroup"), true
}

// bootTime turns a time since boot into one of the present clock.
func bootTime(since time.Duration) time.Time {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil { // that of the kernel's log, nearly
		return time.Now()
	}
	return time.Now().Add(since - time.Duration(now.Nano()))
}

// Ended says what can be known of the end of a process that was not watched: how, while nobody has reaped it.
func Ended(id Identity) Exit {
	s, err := readStat(id.OSPID)
	if boot, berr := bootID(); err == nil && berr == nil && boot == id.BootID && s.start == id.StartTime && !s.alive() {
		return exitOf(syscall.WaitStatus(s.exit), time.Now())
	}
	return Exit{Code: -1, At: time.Now()}
}
