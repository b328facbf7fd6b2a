package node

import (
	"context"

	"github.com/beamkeeper/beamkeeper/etf"
)

// Process is a pid of this node. Its methods may be called by any goroutine; what is sent by one goroutine arrives in order.
//
// Sending to a process of the own node calls its Receiver at once, in the caller's goroutine.
type Process struct {
	node *Node
	pid  etf.Pid
}

// Spawn makes a process.
func (n *Node) Spawn(r Receiver) *Process { panic("todo") }

// SpawnAs makes a process whose pid has the given ID (low 32 bits) and serial (high 32 bits). Error: ErrPidTaken.
// IDs whose serial is 4096 to 8191 are the node's own.
func (n *Node) SpawnAs(id uint64, r Receiver) (*Process, error) { panic("todo") }

// Process gives the process of a pid, nil when there is none. It does not ask the Router.
func (n *Node) Process(pid etf.Pid) *Process { panic("todo") }

// Whereis gives the process registered under a name, nil when there is none. It does not ask the Router.
func (n *Node) Whereis(name etf.Atom) *Process { panic("todo") }

// Pid is the process identifier.
func (p *Process) Pid() etf.Pid { return p.pid }

// Node is the node of the process.
func (p *Process) Node() *Node { return p.node }

// Send sends msg to a pid, name or alias, connecting first if need be, and waits while the outbox of the peer is full.
// A message to a local process that does not exist vanishes, as in Erlang. Errors: *DownError, ctx.Err(),
// ErrProcessExited, and those of etf for what has no Erlang form.
func (p *Process) Send(ctx context.Context, to Dest, msg etf.Term) error { panic("todo") }

// SendName is Send to a registered name.
func (p *Process) SendName(ctx context.Context, name etf.Atom, peer Name, msg etf.Term) error {
	return p.Send(ctx, ToName(name, peer), msg)
}

// Reply answers a call.
func (p *Process) Reply(ctx context.Context, call GenCall, reply etf.Term) error { panic("todo") }

// Link links to a remote or local process. Linking twice is as linking once. A process that is not there answers
// with Exit and reason noproc. Errors as of Send.
func (p *Process) Link(ctx context.Context, pid etf.Pid) error { panic("todo") }

// Unlink ends a link. No Exit of it is delivered once Unlink has returned.
func (p *Process) Unlink(pid etf.Pid) { panic("todo") }

// Monitor watches a pid or a registered name; exactly one Down with the reference follows, unless Demonitor comes first.
// Errors as of Send; then no Down follows.
func (p *Process) Monitor(ctx context.Context, to Dest) (etf.Ref, error) { panic("todo") }

// MonitorAlias is Monitor with a reference that is an alias too, until its first use, the Down or Demonitor: what a gen_server:call
// sends as [alias|Ref].
func (p *Process) MonitorAlias(ctx context.Context, to Dest) (etf.Ref, error) { panic("todo") }

// Demonitor ends a monitor. No Down of it is delivered once Demonitor has returned. It reports whether it was there.
func (p *Process) Demonitor(ref etf.Ref) bool { panic("todo") }

// Alias makes an alias of the process: a reference that can be sent to until Unalias.
func (p *Process) Alias() etf.Ref { panic("todo") }

// Unalias ends an alias and reports whether it was there.
func (p *Process) Unalias(ref etf.Ref) bool { panic("todo") }

// Register gives the process a name. Error: ErrNameTaken, ErrProcessExited.
func (p *Process) Register(name etf.Atom) error { panic("todo") }

// Unregister takes the name away and reports whether the process had it.
func (p *Process) Unregister(name etf.Atom) bool { panic("todo") }

// SendExit is exit/2: it asks a process to exit.
func (p *Process) SendExit(ctx context.Context, pid etf.Pid, reason etf.Term) error { panic("todo") }

// Exit ends the process: linked processes get the exit signal, monitors their DOWN, names and aliases are given up.
// A second Exit does nothing. It never waits for a peer.
func (p *Process) Exit(reason etf.Term) { panic("todo") }

// Done is closed when the process is over.
func (p *Process) Done() <-chan struct{} { panic("todo") }
