package process

import (
	"context"
	"syscall"
)

// Member is one process of an instance, as read from /proc.
type Member struct {
	OSPID     int
	StartTime uint64
	Comm      string // program name, at most 15 bytes
	Main      bool   // the instance's main process
}

// Members lists the living processes of an instance: its main process, its session, what it started, and everything
// that carries its name in the environment. epmd is never among them: it serves other nodes.
// It works also after the main process has ended.
func Members(id Identity) ([]Member, error) { return nil, errTODO }

// SignalAll sends sig once to every member and returns how many there were.
func SignalAll(id Identity, sig syscall.Signal) (int, error) { return 0, errTODO }

// KillAll sends SIGKILL to every member until none is left, or until ctx ends (the error then names the survivors).
func KillAll(ctx context.Context, id Identity) error { return errTODO }
