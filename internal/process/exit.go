package process

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Exit is how a process ended.
type Exit struct {
	Known  bool           // false: not our child, reaped before we looked, and a kernel older than 6.15
	Code   int            // exit code; -1 when ended by a signal or not known
	Signal syscall.Signal // 0 when it exited by itself or is not known
	Core   bool           // a core was dumped
	At     time.Time      // when we saw it
}

func exitOf(ws syscall.WaitStatus, at time.Time) Exit {
	e := Exit{Known: true, Code: ws.ExitStatus(), At: at}
	if ws.Signaled() {
		e.Signal, e.Core = ws.Signal(), ws.CoreDump()
	}
	return e
}

// Clean says that the process exited by itself with code 0.
func (e Exit) Clean() bool { return e.Known && e.Signal == 0 && e.Code == 0 }

// String says it in words: exit code 1; signal 9 (killed); unknown exit.
func (e Exit) String() string {
	switch {
	case !e.Known:
		return "unknown exit (the daemon was not its parent)"
	case e.Signal != 0 && e.Core:
		return fmt.Sprintf("signal %d (%v), core dumped", int(e.Signal), e.Signal)
	case e.Signal != 0:
		return fmt.Sprintf("signal %d (%v)", int(e.Signal), e.Signal)
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

// pidfdInfo is struct pidfd_info in its first size. Source: include/uapi/linux/pidfd.h.
type pidfdInfo struct {
	mask     uint64
	cgroupID uint64
	ids      [11]uint32 // pid tgid ppid ruid rgid euid egid suid sgid fsuid fsgid
	exitCode int32      // as wait(2) gives it
}

const (
	pidfdInfoExit = 1 << 3                                                // PIDFD_INFO_EXIT, Linux 6.15
	pidfdGetInfo  = 3<<30 | unsafe.Sizeof(pidfdInfo{})<<16 | 0xff<<8 | 11 // PIDFD_GET_INFO, _IOWR(0xff, 11, struct pidfd_info)
)

// strangerExit learns how a process that is not our child ended.
//
// Until its parent has reaped it, /proc/PID/stat tells (zeros if we may not know; but we were allowed to read its
// environment, which takes the same right). Afterwards the pidfd does, from Linux 6.15 on.
func strangerExit(fd int, id Identity) (ws syscall.WaitStatus, ok bool) {
	s, err := readStat(id.OSPID)
	if err == nil && s.start == id.StartTime && !s.alive() {
		return syscall.WaitStatus(s.exit), true
	}
	info := pidfdInfo{mask: pidfdInfoExit}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), pidfdGetInfo, uintptr(unsafe.Pointer(&info)))
	if errno != 0 || info.mask&pidfdInfoExit == 0 {
		return 0, false
	}
	return syscall.WaitStatus(info.exitCode), true
}
