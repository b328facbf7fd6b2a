package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A daemon that was started with the file trap in its folder of faults asks before each system call that takes room on a disk.
// The test is asked (seccomp's user notification), and lets it be done or answers that the disk is full. The instances are not
// asked: they inherit the filter, but it is for calls out of the daemon's own program only.

const (
	trapFile = "trap"
	trapFD   = 200 // of the daemon, where the test finds the other end
)

// roomCalls are the system calls that take room, and where they say for which path: the argument with the folder's descriptor
// and the one with the name, or that with the file's descriptor alone.
var roomCalls = map[int32]struct {
	name      string
	dir, path int // path -1: dir is a file
}{
	unix.SYS_OPENAT:          {"create", 0, 1},
	unix.SYS_WRITE:           {"write", 0, -1},
	unix.SYS_PWRITE64:        {"write", 0, -1},
	unix.SYS_WRITEV:          {"write", 0, -1},
	unix.SYS_FALLOCATE:       {"allocate", 0, -1},
	unix.SYS_FTRUNCATE:       {"truncate", 0, -1},
	unix.SYS_COPY_FILE_RANGE: {"copy", 2, -1},
	unix.SYS_SENDFILE:        {"copy", 0, -1},
	unix.SYS_MKDIRAT:         {"mkdir", 0, 1},
	unix.SYS_SYMLINKAT:       {"symlink", 1, 2},
	unix.SYS_LINKAT:          {"link", 2, 3},
	unix.SYS_RENAMEAT:        {"rename", 2, 3},
	unix.SYS_RENAMEAT2:       {"rename", 2, 3},
}

// trapWrites has this process, which is the daemon, ask from now on.
func trapWrites() error {
	low, high, err := programText()
	if err != nil {
		return err
	}
	arch := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	jump := func(op uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | op | unix.BPF_K, Jt: yes, Jf: no, K: k}
	}
	calls := make([]int32, 0, len(roomCalls))
	for nr := range roomCalls {
		calls = append(calls, nr)
	}
	n := uint8(len(calls))
	// struct seccomp_data: the call's number at 0, the architecture at 4, the instruction pointer at 8
	filter := []unix.SockFilter{
		load(4), jump(unix.BPF_JEQ, arch, 0, n+5),
		load(12), jump(unix.BPF_JEQ, uint32(low>>32), 0, n+3),
		load(8), jump(unix.BPF_JGE, uint32(low), 0, n+2), jump(unix.BPF_JGE, uint32(high), n+1, 0),
		load(0),
	}
	filter[1].Jf, filter[3].Jf, filter[5].Jf, filter[6].Jt = n+6, n+4, n+2, n+1
	for i, nr := range calls {
		filter = append(filter, jump(unix.BPF_JEQ, uint32(nr), n-uint8(i), 0))
	}
	filter = append(filter,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if os.Geteuid() != 0 {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
	}
	flags := uintptr(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	fd, _, no := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	if no != 0 {
		return os.NewSyscallError("seccomp", no)
	}
	return unix.Dup3(int(fd), trapFD, unix.O_CLOEXEC)
}

// programText is where this program's own instructions are.
func programText() (low, high uint64, err error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return 0, 0, err
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "r-xp" || f[5] != exe {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		a, err1 := strconv.ParseUint(from, 16, 64)
		b, err2 := strconv.ParseUint(to, 16, 64)
		if low == 0 {
			low = a
		}
		high = b
		if err := errors.Join(err1, err2); err != nil {
			return 0, 0, err
		}
	}
	if low == 0 || low>>32 != (high-1)>>32 {
		return 0, 0, fmt.Errorf("the program's text is at %x to %x", low, high)
	}
	return low, high, nil
}

// warden decides what becomes of the daemon's writes: the first at each site that is its own is refused, as all that follow
// are for a while.
type warden struct {
	t    *testing.T
	dir  string // of the rig
	ours func(site string) bool
	fd   int
	quit chan struct{}
	done chan struct{}

	mu      sync.Mutex
	on      bool
	full    time.Time // until then
	sites   []string  // in the order in which they were come to
	refused []string  // those at which the disk became full
}

// fullFor is how long the disk is full.
const fullFor = 50 * time.Millisecond

// watchWrites answers what a daemon asks.
func watchWrites(t *testing.T, dir string, pid int, ours func(string) bool) *warden {
	t.Helper()
	w := &warden{t: t, dir: dir, ours: ours, quit: make(chan struct{}), done: make(chan struct{})}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if w.fd, err = unix.PidfdGetfd(pidfd, trapFD, 0); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the daemon asks nothing: %v", err)
		}
	}
	go w.run()
	return w
}

// begin has the disk become full at times, or, with false, no longer.
func (w *warden) begin(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on = on
}

// leave ends it. The daemon must have ended.
func (w *warden) leave() {
	close(w.quit)
	<-w.done
}

// Structures of linux/seccomp.h.
type (
	seccompNotif struct {
		ID    uint64
		PID   uint32
		Flags uint32
		NR    int32
		Arch  uint32
		IP    uint64
		Args  [6]uint64
	}
	seccompResp struct {
		ID    uint64
		Val   int64
		Error int32
		Flags uint32
	}
)

func (w *warden) run() {
	defer close(w.done)
	defer unix.Close(w.fd)
	for {
		poll := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 100)
		if n > 0 && poll[0].Revents&unix.POLLIN != 0 {
			var call seccompNotif
			if _, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(w.fd), uintptr(unix.SECCOMP_IOCTL_NOTIF_RECV), uintptr(unsafe.Pointer(&call))); no != 0 {
				continue // it was called off
			}
			resp := seccompResp{ID: call.ID, Flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
			if w.refuse(call) {
				resp.Flags, resp.Error = 0, -int32(unix.ENOSPC)
			}
			_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(w.fd), uintptr(unix.SECCOMP_IOCTL_NOTIF_SEND), uintptr(unsafe.Pointer(&resp)))
			continue
		}
		if err != nil && err != unix.EINTR || n > 0 && poll[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0 {
			return
		}
		select {
		case <-w.quit:
			return
		default:
		}
	}
}

// refuse says whether the disk has no room for it.
func (w *warden) refuse(call seccompNotif) bool {
	kind := roomCalls[call.NR]
	path := w.path(call, kind.dir, kind.path)
	rel, err := filepath.Rel(w.dir, path)
	if err != nil || !filepath.IsLocal(rel) {
		return false
	}
	if kind.name == "create" {
		if call.Args[2]&unix.O_CREAT == 0 {
			return false
		}
		if _, err := os.Lstat(path); err == nil && call.Args[2]&unix.O_EXCL == 0 {
			return false // it is opened, not made
		}
	}
	site := kind.name + " " + siteOf(rel)
	if commit, ok := strings.CutPrefix(rel, "faults/commit/"); ok {
		site = "commit " + commit
	} else if strings.HasPrefix(rel, "faults/") || strings.HasPrefix(rel, "daemon-") {
		return false // the test's own
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.on {
		return false
	}
	now := time.Now()
	fresh := !slices.Contains(w.sites, site)
	if fresh {
		w.sites = append(w.sites, site)
	}
	switch {
	case now.Before(w.full):
		if fresh { // it is to be the first one at a time of its own
			w.sites = w.sites[:len(w.sites)-1]
		}
		return true
	case strings.HasSuffix(site, "beamkeeper.db"): // its commits are sites by name
		return false
	case fresh && w.ours(site):
		w.refused = append(w.refused, site)
		w.t.Log(now.Format("15:04:05.000"), site)
		w.full = now.Add(fullFor)
		return true
	}
	return false
}

// path is what a call is about, empty when that is not known.
func (w *warden) path(call seccompNotif, dir, name int) string {
	base := fmt.Sprintf("/proc/%d/cwd", call.PID)
	if fd := int32(call.Args[dir]); fd != unix.AT_FDCWD {
		base = fmt.Sprintf("/proc/%d/fd/%d", call.PID, fd)
	}
	base, err := os.Readlink(base)
	if err != nil {
		return ""
	}
	if name < 0 {
		return strings.TrimSuffix(base, " (deleted)")
	}
	b := make([]byte, 4096)
	at := uintptr(call.Args[name])
	b = b[:min(len(b), 4096-int(at%4096)+2048)]
	n, err := unix.ProcessVMReadv(int(call.PID), []unix.Iovec{{Base: &b[0], Len: uint64(len(b))}}, []unix.RemoteIovec{{Base: at, Len: len(b)}}, 0)
	if err != nil {
		return ""
	}
	text, _, ok := bytes.Cut(b[:n], []byte{0})
	switch {
	case !ok:
		return ""
	case filepath.IsAbs(string(text)):
		return filepath.Clean(string(text))
	}
	return filepath.Join(base, string(text))
}

var siteWords = []struct {
	what *regexp.Regexp
	is   string
}{
	{regexp.MustCompile(`\bsample-[0-9a-z]{6}\b`), "INSTANCE"},
	{regexp.MustCompile(`\bsample\b`), "APP"},
	{regexp.MustCompile(`\b[0-9]{8}T[0-9]{6}(\.[0-9]{3})?Z`), "TIME"},
	{regexp.MustCompile(`\b[0-9]+\.[0-9]+\.[0-9]+\b`), "VERSION"},
	{regexp.MustCompile(`\b[0-9a-f]{8,}\b`), "HEX"},
	{regexp.MustCompile(`\b[0-9]{2,}\b`), "N"},
	{regexp.MustCompile(`-[0-9]{2,}\b`), "-N"},
	{regexp.MustCompile(`bk[a-z0-9]+@[a-zA-Z0-9.-]+`), "NODE"},
}

// siteOf is the name that a path shares with those of the same purpose: all files of a release that is unpacked or copied
// are one.
func siteOf(rel string) string {
	if parts := strings.Split(rel, "/"); len(parts) > 5 && parts[0] == "var" && (parts[1] == "releases" || parts[1] == "service") && parts[4] != "run" {
		rel = strings.Join(parts[:5], "/") + "/…"
	}
	for _, w := range siteWords {
		rel = w.what.ReplaceAllString(rel, w.is)
	}
	return rel
}

// askCommit asks the test whether a commit of the state store gets through: a folder of its name cannot be made then.
func askCommit(dir, name string) error {
	name = strings.ReplaceAll(name, "/", "_")
	err := os.Mkdir(filepath.Join(dir, "commit", name), 0o700)
	if errors.Is(err, syscall.ENOSPC) {
		return err
	}
	_ = os.Remove(filepath.Join(dir, "commit", name))
	return nil
}
