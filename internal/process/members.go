package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Member is one process of an instance, as read from /proc.
type Member struct {
	OSPID     int
	StartTime uint64
	Comm      string // program name, at most 15 bytes
	Main      bool   // the instance's main process
}

// epmdComm is the program that is never an instance's own, although the first BEAM of a machine starts it and it
// inherits that BEAM's environment: it serves all nodes of the machine.
const epmdComm = "epmd"

// Members lists the living processes of an instance, oldest first: its main process, its session, all that carries its
// name in the environment or is in its control group (ScopeName), and what these have started. epmd is never among them.
// It works also after the main process has ended.
//
// The session alone is not enough. A BEAM's erl_child_setup and each port program make sessions of their own (seen with
// OTP 25, 27 and 29), and port programs outlive a killed BEAM as children of init; the environment still names them.
func Members(id Identity) ([]Member, error) {
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	if boot != id.BootID {
		return nil, nil
	}
	all := map[int]stat{}
	if err := eachStat(func(s stat) { all[s.pid] = s }); err != nil {
		return nil, fmt.Errorf("process: members of %q: %w", id.Instance, err)
	}
	// While a session has members its number cannot become another process's pid. When it is another's, the session
	// is gone.
	leader, exists := all[id.OSPID]
	sameSession := !exists || leader.start == id.StartTime

	in := map[int]bool{}
	for pid, s := range all {
		in[pid] = pid == id.OSPID && s.start == id.StartTime ||
			sameSession && s.session == id.OSPID && s.start >= id.StartTime ||
			names(pid, id) || inScope(pid, id.Instance)
	}
	excluded := func(s stat) bool { return s.comm == epmdComm || s.pid == os.Getpid() || s.pid == 1 }
	for grown := true; grown; { // what members have started, whatever it did to its session and environment
		grown = false
		for pid, s := range all {
			if parent, ok := all[s.ppid]; !in[pid] && ok && in[s.ppid] && !excluded(parent) {
				in[pid], grown = true, true
			}
		}
	}
	var members []Member
	for pid, s := range all {
		if in[pid] && s.alive() && !excluded(s) {
			members = append(members, Member{OSPID: pid, StartTime: s.start, Comm: s.comm,
				Main: pid == id.OSPID && s.start == id.StartTime})
		}
	}
	slices.SortFunc(members, func(a, b Member) int {
		if a.StartTime != b.StartTime {
			return int(min(max(int64(a.StartTime-b.StartTime), -1), 1))
		}
		return a.OSPID - b.OSPID
	})
	return members, nil
}

// names says whether a process's environment names the instance. A process whose environment we may not read is none
// of ours: an instance's are the daemon's user's, or the daemon is root.
func names(pid int, id Identity) bool {
	env, err := readEnviron(pid)
	if err != nil || env.value(EnvInstance) != id.Instance {
		return false
	}
	return id.Node == "" || env.value(EnvNode) == id.Node
}

// signal reaches the member and nobody else.
func (m Member) signal(sig syscall.Signal) error {
	fd, err := openPidfd(m.OSPID, m.StartTime)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil {
		if errors.Is(err, unix.ESRCH) {
			return ErrGone
		}
		return fmt.Errorf("process: signal %s (OS pid %d): %w", m.Comm, m.OSPID, err)
	}
	return nil
}

// SignalAll sends sig once to every member and returns how many got it.
//
// To ask a living BEAM to stop, send SIGTERM to the main process alone (Process.Signal): a BEAM whose erl_child_setup
// gets one too dies of it with a crash dump. SignalAll(SIGTERM) is for what a BEAM has left behind.
func SignalAll(id Identity, sig syscall.Signal) (int, error) {
	members, err := Members(id)
	if err != nil {
		return 0, err
	}
	return signalAll(members, sig)
}

func signalAll(members []Member, sig syscall.Signal) (sent int, err error) {
	slices.SortStableFunc(members, func(a, b Member) int { return a.rank() - b.rank() })
	var errs []error
	for _, m := range members {
		switch err := m.signal(sig); {
		case err == nil:
			sent++
		case !errors.Is(err, ErrGone):
			errs = append(errs, err)
		}
	}
	return sent, errors.Join(errs...)
}

// rank orders who is killed first: heart, which would start the BEAM again, then the BEAM, which would notice the end of
// its erl_child_setup and write a crash dump, then the rest.
func (m Member) rank() int {
	switch {
	case m.Comm == "heart":
		return 0
	case m.Main:
		return 1
	}
	return 2
}

// KillAll sends SIGKILL to every member until none is left, or until ctx ends (the error then names the survivors).
//
// After a crash it ends what the BEAM has left behind, port programs that may hold the instance's ports. That must be done
// before the same instance is started again: its new processes carry the same name, and are not spared.
func KillAll(ctx context.Context, id Identity) error {
	known := map[Member]bool{} // also those whose environment is gone already but who have not ended
	pause, last := time.Millisecond, false
	for {
		members, err := Members(id)
		if err != nil {
			return err
		}
		_, killErr := signalAll(members, syscall.SIGKILL)
		for _, m := range members {
			known[m] = true
		}
		var left []Member
		for m := range known {
			if s, err := readStat(m.OSPID); err == nil && s.start == m.StartTime && s.alive() {
				left = append(left, m)
			} else {
				delete(known, m)
			}
		}
		if len(members) == 0 && len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			if len(left) == 0 && !last { // perhaps that was all
				last = true
				continue
			}
			return errors.Join(fmt.Errorf("process: kill %q: still there: %s: %w", id.Instance, describe(append(left, members...)), ctx.Err()), killErr)
		case <-time.After(pause):
			pause = min(2*pause, 50*time.Millisecond)
		}
	}
}

func describe(members []Member) string {
	var names []string
	for _, m := range members {
		names = append(names, fmt.Sprintf("%s (OS pid %d)", m.Comm, m.OSPID))
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}
