package process

import (
	"context"
	"errors"
	"syscall"
)

var errTODO = errors.New("process: not written yet")

// Process is a running instance's main process, our child or an adopted one. Its methods may be called by any
// goroutine at any time.
type Process struct {
	id   Identity
	done chan struct{}
	exit Exit
}

// Start starts c and watches it.
//
// The error says what was missing: the program, its interpreter, the directory, the user. Nothing is left behind
// then, except log files.
func Start(c Command) (*Process, error) { return nil, errTODO }

// Adopt watches a process started by an earlier run of the daemon.
//
// Errors: ErrGone if it has ended, ErrNotOurs if the pid is now something else's.
func Adopt(id Identity) (*Process, error) { return nil, errTODO }

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
func (p *Process) Signal(sig syscall.Signal) error { return errTODO }

// Close stops watching. The process runs on; Done is never closed afterwards unless it was before.
func (p *Process) Close() error { return nil }
