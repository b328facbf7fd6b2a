package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stat is what we use of /proc/PID/stat.
//
// Spec: proc_pid_stat(5).
type stat struct {
	pid     int
	comm    string
	state   byte // R S D Z T X …
	ppid    int
	session int
	utime   uint64 // clock ticks
	stime   uint64
	threads int
	start   uint64 // clock ticks since boot
	rss     uint64 // pages
	kernel  bool   // a kernel thread
	exiting bool   // on its way to Z; its memory, with the environment, may be gone already
	noEnv   bool   // it was given no environment (false in the middle of an exec: not known yet)
	exit    int    // of a zombie, as wait(2) gives it; 0 if we may not know, or on kernels without it
}

func (s stat) alive() bool { return s.state != 'Z' && s.state != 'X' && s.state != 'x' }

// readStat returns ErrGone when there is no such process (a zombie still has one).
func readStat(pid int) (stat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, goneOr(err)
	}
	return parseStat(b)
}

// parseStat relies on the last ')' to find the end of the program name, which may hold anything.
func parseStat(b []byte) (stat, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 2 || end < open {
		return stat{}, fmt.Errorf("process: malformed stat %.80q", b)
	}
	s := stat{comm: string(b[open+1 : end])}
	f := strings.Fields(string(b[end+1:])) // f[0] is field 3, the state
	if len(f) < 22 {
		return stat{}, fmt.Errorf("process: stat with %d fields, want at least 24", len(f)+2)
	}
	var bad error
	num := func(text string) uint64 {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			if u, err := strconv.ParseUint(text, 10, 64); err == nil {
				return u
			}
			bad = fmt.Errorf("process: malformed stat: %w", err)
		}
		return uint64(n)
	}
	s.pid = int(num(string(bytes.TrimSpace(b[:open]))))
	s.state = f[0][0]
	s.ppid, s.session = int(num(f[1])), int(num(f[3]))
	s.utime, s.stime = num(f[11]), num(f[12])
	s.threads, s.start, s.rss = int(num(f[17])), num(f[19]), num(f[21])
	flags := num(f[6])
	s.kernel, s.exiting = flags&pfKthread != 0, flags&pfExiting != 0
	if len(f) >= 50 {
		start, end := num(f[47]), num(f[48])
		s.noEnv = end != 0 && start == end
		s.exit = int(num(f[49]))
	}
	return s, bad
}

// Of include/linux/sched.h.
const (
	pfExiting = 0x00000004 // PF_EXITING
	pfKthread = 0x00200000 // PF_KTHREAD
)

// maxEnviron bounds what is read of one process's environment; Linux itself allows about a quarter of the stack limit.
const maxEnviron = 4 << 20

// environ is the environment a process was exec'd with.
//
// Around an exec it reads as empty (of the old memory map after, of the new one before it is filled), and an instance
// that boots through its start scripts often is there: that is waited out. It is empty too for who is ending, for kernel threads, and for who was given none.
func readEnviron(pid int) (environ, error) {
	for range 500 {
		f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/environ")
		if err != nil {
			return nil, goneOr(err)
		}
		b, err := io.ReadAll(io.LimitReader(f, maxEnviron))
		f.Close()
		if err != nil {
			return nil, goneOr(err)
		}
		if len(b) > 0 {
			return environ(b), nil
		}
		s, err := readStat(pid)
		if err != nil {
			return nil, err
		}
		if s.kernel || s.exiting || !s.alive() || s.noEnv {
			return nil, nil
		}
		time.Sleep(time.Millisecond)
	}
	return nil, nil
}

type environ []byte // KEY=value\x00…

func (e environ) lookup(key string) (string, bool) {
	prefix := []byte(key + "=")
	for len(e) > 0 {
		entry, rest, _ := bytes.Cut(e, []byte{0})
		if bytes.HasPrefix(entry, prefix) {
			return string(entry[len(prefix):]), true
		}
		e = rest
	}
	return "", false
}

func (e environ) value(key string) string {
	v, _ := e.lookup(key)
	return v
}

// goneOr turns the errors that /proc gives for an ended process into ErrGone.
func goneOr(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return ErrGone
	}
	return err
}

// eachStat calls f for every process; those that end meanwhile are left out.
func eachStat(f func(stat)) error {
	d, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue // not a process
		}
		if s, err := readStat(pid); err == nil {
			f(s)
		}
	}
	return nil
}

// bootID tells one boot of the machine from another, so that an OS pid and start time noted before a reboot mean nothing
// afterwards.
var bootID = sync.OnceValues(func() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
})
