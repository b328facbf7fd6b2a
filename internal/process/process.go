package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a running instance's main process, our child or an adopted one. Its methods may be called by any
// goroutine at any time.
type Process struct {
	// constant
	id    Identity
	child bool     // ours to reap
	pidfd *os.File // in the runtime's poller: no thread waits for it
	done  chan struct{}
	ended chan struct{} // the watcher has ended: process gone, or Close

	exit  Exit // set before done is closed
	close sync.Once
}

// watch takes over pidfd.
func watch(id Identity, pidfd int, child bool) (*Process, error) {
	if err := unix.SetNonblock(pidfd, true); err != nil { // what makes os.File poll it
		_ = unix.Close(pidfd)
		return nil, fmt.Errorf("pidfd: %w", err)
	}
	f := os.NewFile(uintptr(pidfd), "pidfd")
	conn, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("pidfd: %w", err)
	}
	p := &Process{id: id, child: child, pidfd: f, done: make(chan struct{}), ended: make(chan struct{})}
	go p.wait(conn)
	return p, nil
}

// wait sleeps until the pidfd is readable, which it becomes when the process has ended and not before.
func (p *Process) wait(conn syscall.RawConn) {
	defer close(p.ended)
	var exit Exit
	err := conn.Read(func(fd uintptr) bool {
		if !readable(int(fd)) {
			return false
		}
		exit = p.collect(int(fd))
		return true
	})
	if err != nil {
		return // Close
	}
	p.exit = exit
	close(p.done)
	p.pidfd.Close()
}

// readable says whether a pidfd is, without waiting.
func readable(fd int) bool {
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		if !errors.Is(err, unix.EINTR) {
			return n > 0
		}
	}
}

// collect learns how the ended process ended and reaps it when it is our child.
//
// It names the OS pid to wait4, never "any child", so it cannot take what os/exec waits for; until then the pid is a
// zombie's and cannot be reused.
func (p *Process) collect(fd int) Exit {
	now := time.Now()
	if p.child {
		var ws syscall.WaitStatus
		for {
			pid, err := syscall.Wait4(p.id.OSPID, &ws, syscall.WNOHANG, nil)
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if err == nil && pid == p.id.OSPID {
				return exitOf(ws, now)
			}
			break // reaped by another watcher of the same child
		}
	}
	if ws, ok := strangerExit(fd, p.id); ok {
		return exitOf(ws, now)
	}
	return Exit{Code: -1, At: now}
}

// Identity returns what Adopt needs to find the process again.
func (p *Process) Identity() Identity { return p.id }

// Done is closed within milliseconds of the process's end. It says nothing of the processes that it started.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit returns how the process ended; ok is false while it runs.
func (p *Process) Exit() (e Exit, ok bool) {
	select {
	case <-p.done:
		return p.exit, true
	default:
		return Exit{}, false
	}
}

// Wait waits for the process to end, or for ctx.
func (p *Process) Wait(ctx context.Context) (Exit, error) {
	select {
	case <-p.done:
		return p.exit, nil
	case <-ctx.Done():
		return Exit{}, ctx.Err()
	}
}

// Signal sends sig to the process itself through its pidfd, so that it can never reach a reused OS pid.
// It returns ErrGone when the process has ended.
func (p *Process) Signal(sig syscall.Signal) error {
	conn, err := p.pidfd.SyscallConn()
	if err != nil {
		return p.closedError()
	}
	var sent error
	if err := conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) }); err != nil {
		return p.closedError()
	}
	if errors.Is(sent, unix.ESRCH) {
		return ErrGone
	}
	if sent != nil {
		return fmt.Errorf("process: signal %q (OS pid %d): %w", p.id.Instance, p.id.OSPID, sent)
	}
	return nil
}

func (p *Process) closedError() error {
	if _, ended := p.Exit(); ended {
		return ErrGone
	}
	return fmt.Errorf("process: %q: %w", p.id.Instance, os.ErrClosed)
}

// Close stops watching. The process runs on, and Done stays as it is. A child of ours that ends afterwards stays a
// zombie until it is adopted again or the daemon ends.
func (p *Process) Close() error {
	p.close.Do(func() { p.pidfd.Close() })
	<-p.ended
	return nil
}
