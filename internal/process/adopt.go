package process

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Adopt watches a process started by an earlier run of the daemon.
//
// It is the same process as was started when the machine has not been booted since, its OS pid and start time are
// the same, and BEAMKEEPER_INSTANCE in its environment is. Whether it answers by the same node name is for the
// caller to see.
//
// Errors: ErrGone if it has ended, ErrNotOurs if the process is something else's.
func Adopt(id Identity) (*Process, error) {
	p, err := adopt(id)
	if err != nil {
		return nil, fmt.Errorf("process: adopt %q (OS pid %d): %w", id.Instance, id.OSPID, err)
	}
	return p, nil
}

func adopt(id Identity) (*Process, error) {
	if id.OSPID <= 1 || id.Instance == "" {
		return nil, ErrGone
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	if boot != id.BootID {
		return nil, fmt.Errorf("the machine was booted since: %w", ErrGone)
	}
	pidfd, err := openPidfd(id.OSPID, id.StartTime)
	if err != nil {
		return nil, err
	}
	s, err := checkOwner(id)
	if err != nil {
		_ = unix.Close(pidfd)
		return nil, err
	}
	return watch(id, pidfd, s.ppid == os.Getpid())
}

// openPidfd opens a process and makes sure that it is the one with this start time: the pid could have been reused
// before the open, not after it.
func openPidfd(pid int, start uint64) (int, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) { // EINVAL: now a thread's id
			return -1, ErrGone
		}
		return -1, fmt.Errorf("pidfd_open: %w", err)
	}
	s, err := readStat(pid)
	if err == nil && (s.start != start || !s.alive()) {
		err = ErrGone
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// checkOwner looks at the environment first and the state last: a process that ended meanwhile has none.
func checkOwner(id Identity) (stat, error) {
	env, err := readEnviron(id.OSPID)
	if err != nil {
		return stat{}, err
	}
	s, err := readStat(id.OSPID)
	if err != nil {
		return stat{}, err
	}
	if !s.alive() || len(env) == 0 && s.exiting {
		return stat{}, ErrGone
	}
	if got := env.value(EnvInstance); got != id.Instance {
		return stat{}, fmt.Errorf("its %s is %q: %w", EnvInstance, got, ErrNotOurs)
	}
	return s, nil
}
