package node

import (
	"context"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
)

// Node is a distribution node. Its methods may be called by any goroutine.
type Node struct {
	config Config
}

// New makes a node that is not on the network yet. Its creation is drawn here, so that processes
// can be spawned before Start and keep their pids when EPMD comes later or is restarted.
func New(c Config) (*Node, error) { panic("todo") }

// Start listens, begins to accept links and registers with EPMD. It does not fail when EPMD is not there:
// registration goes on in the background, every 50 ms at first. ctx is for Start only.
func (n *Node) Start(ctx context.Context) error { panic("todo") }

// Close takes the node off the network: links go down, registration ends, functions of HandleFunc are cancelled, and
// every goroutine of the node has ended when it returns. Calls after the first return nil.
func (n *Node) Close() error { panic("todo") }

// Name is the node's name.
func (n *Node) Name() Name { return n.config.Name }

// Creation tells this run of the node from others of the same name.
func (n *Node) Creation() uint32 { panic("todo") }

// Port is the TCP port that links come in by, 0 when not listening.
func (n *Node) Port() int { panic("todo") }

// Registered waits until EPMD knows the node, or ctx ends. The error then says why it does not yet.
func (n *Node) Registered(ctx context.Context) error { panic("todo") }

// EPMD asks the port mappers of this and other hosts.
func (n *Node) EPMD() *EPMDClient { panic("todo") }

// Connect makes sure that there is a link to the peer: it returns at once when there is one, else dials, or
// waits for an attempt under way of either side. Errors: *HandshakeError, *EPMDError, ctx.Err(), ErrClosed.
func (n *Node) Connect(ctx context.Context, peer Name) error { panic("todo") }

// Connected tells whether there is a link to the peer.
func (n *Node) Connected(peer Name) bool { panic("todo") }

// Disconnect drops the link to the peer, which sees nodedown. It reports whether there was one.
func (n *Node) Disconnect(peer Name) bool { panic("todo") }

// PeerInfo describes a link.
type PeerInfo struct {
	Name     Name
	Hidden   bool // the peer does not publish itself
	Inbound  bool // the peer connected to us
	Creation uint32
	Flags    uint64 // what both sides can do, DFLAG_ bits
	Since    time.Time
	Addr     string // remote address
	BytesIn  uint64
	BytesOut uint64
	Queued   int // bytes in the outbox
}

// Peers lists the links, sorted by name.
func (n *Node) Peers() []PeerInfo { panic("todo") }

// NodeEvent is a nodeup or nodedown.
type NodeEvent struct {
	Peer     Name
	Up       bool
	Hidden   bool
	Inbound  bool
	Creation uint32
	Err      error // why the link went down
	Time     time.Time
}

// Subscribe has f called for each nodeup and nodedown from now on, in order, one at a time, by a goroutine of the
// node. For one peer, up and down alternate. A slow f delays other subscribers, not the links. cancel ends it; a call
// under way is not waited for.
func (n *Node) Subscribe(f func(NodeEvent)) (cancel func()) { panic("todo") }

// Router is asked about local pids and names that no Process has, by the goroutine that reads a link: it
// must answer at once. It may call SpawnAs and Register.
type Router interface {
	RoutePid(pid etf.Pid) *Process    // nil: no such process
	RouteName(name etf.Atom) *Process // nil: no such name
}

// SetRouter installs the router, before Start.
func (n *Node) SetRouter(r Router) { panic("todo") }

// MakeRef makes a reference that this node never made before.
func (n *Node) MakeRef() etf.Ref { panic("todo") }
