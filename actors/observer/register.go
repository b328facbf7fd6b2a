package observer

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/actors/bridge"
	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// Options says what Register shows. The zero value is fine.
type Options struct {
	App         etf.Atom // the application; empty means "beamkeeper"
	Description string   // of the application
	Version     string   // of the application; empty means "0"
	Log         *slog.Logger

	// NetTickTime is the node's; zero means node.DefaultNetTickTime. A node that opens a shell takes it over.
	NetTickTime time.Duration

	// Listeners gives the sockets that are open beside the node's own. May be nil.
	Listeners func() []Listener
	// Tables are shown by the Table Viewer, read-only.
	Tables []Table
	// Private tells that a peer may not read tables or open a shell. Nil: every peer that is let in may.
	Private func(peer node.Name) bool
	// Shell runs a line of erl -remsh. Nil: there is no shell.
	Shell Shell
	// Stop is called for init:stop and erlang:halt of a peer. False, or nil: it is refused.
	Stop func(peer node.Name) bool
}

// Listener is a listening socket.
type Listener struct {
	Name string // for example "control socket"
	Addr net.Addr
}

// Table is a set of rows. Both functions are called by any goroutine.
type Table struct {
	Name etf.Atom
	// Size gives the number of rows and their bytes.
	Size func() (rows, bytes int)
	// Rows yields the rows, tuples whose first element is the key.
	Rows func(yield func(etf.Tuple) bool)
}

// Shell is what runs behind erl -remsh.
type Shell interface {
	// Run runs one command line for a peer, printing to out.
	Run(ctx context.Context, peer node.Name, line string, out io.Writer) error
	// Complete gives the words that the last word of the line may become.
	Complete(line string) []string
	// Banner is printed first.
	Banner() string
}

// Observer answers for one node.
type Observer struct {
	opts   Options
	node   *node.Node
	sys    *bridge.System
	log    *slog.Logger
	since  time.Time
	master *node.Process // stands for the application

	mu        sync.Mutex
	label     func(pid gen.PID) string
	behaviors map[etf.Atom]bool // modules that module_info/1 is answered for
	services  []etf.Pid         // processes of the node itself
	inspect   chan struct{}     // a token for each actor being asked
	errands   chan struct{}     // a token for each goroutine of errand
	tables    tableBytes
	order     order
}

// Register has n answer for itself and the actors of s, which must have been started with n and Options.Shield if peers
// are not to end actors. Call it before n is started, so that no peer finds it half done. The processes that n has by then
// are shielded: kill from a peer is refused.
func Register(n *node.Node, s *bridge.System, o Options) *Observer {
	if o.App == "" {
		o.App = "beamkeeper"
	}
	if o.Description == "" {
		o.Description = "Deploys and supervises BEAM applications"
	}
	if o.Version == "" {
		o.Version = "0"
	}
	if o.NetTickTime <= 0 {
		o.NetTickTime = node.DefaultNetTickTime
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b := &Observer{opts: o, node: n, sys: s, log: o.Log, since: time.Now(), behaviors: map[etf.Atom]bool{}, inspect: make(chan struct{}, maxInspections),
		errands: make(chan struct{}, maxErrands)}
	b.master = n.Spawn(named("application_master"))
	for _, p := range n.Processes() {
		p.Shield()
		b.services = append(b.services, p.Pid())
	}
	b.handleBackend()
	b.handleErlang()
	b.handleApplication()
	b.handleSys()
	b.handleShell()
	s.HandleRequests(b.request)
	return b
}

// SetLabel has f name actors that have no registered name, as proc_lib:set_label/1 does.
func (b *Observer) SetLabel(f func(pid gen.PID) string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.label = f
}

func (b *Observer) labelOf(pid gen.PID) string {
	b.mu.Lock()
	f := b.label
	b.mu.Unlock()
	if f == nil {
		return ""
	}
	return f(pid)
}

// private is the error for peers that may not look.
func (b *Observer) private(peer node.Name) error {
	if b.opts.Private != nil && b.opts.Private(peer) {
		return refused("tables and the shell are not for " + peer.String())
	}
	return nil
}

// named is a process that takes no messages.
type named string

func (named) Receive(*node.Process, node.Signal) {}
func (n named) String() string                   { return string(n) }

// answer is a function that needs only its arguments.
type answer func(args []etf.Term) (etf.Term, error)

// handle has f answer mod:fun/arity.
func (b *Observer) handle(mod, fun etf.Atom, arity int, f answer) {
	b.node.HandleFunc(mod, fun, arity, func(_ context.Context, _ node.CallInfo, args []etf.Term) (etf.Term, error) { return f(args) })
}

// constant answers with a term.
func constant(t etf.Term) answer { return func([]etf.Term) (etf.Term, error) { return t, nil } }

var (
	errBadarg = &node.CallError{Class: node.ClassError, Reason: etf.Atom("badarg"), Stack: etf.List{}}
	undefined = etf.Atom("undefined")
)

// refused is the exception of what policy forbids.
func refused(what string) error {
	return &node.CallError{Class: node.ClassError, Reason: etf.Tuple{etf.Atom("not_allowed"), etf.Binary(what)}, Stack: etf.List{}}
}

// str is an Erlang string.
func str(s string) etf.Term {
	for _, r := range s {
		if r > 255 {
			l := etf.List{}
			for _, r := range s {
				l = append(l, int64(r))
			}
			return l
		}
	}
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	if len(b) > 65535 {
		b = b[:65535] // the most that STRING_EXT holds; nothing here is that long
	}
	return etf.Charlist(b)
}

// pair is {Key, Value}.
func pair(key etf.Atom, v etf.Term) etf.Term { return etf.Tuple{key, v} }

// list gives the elements of a proper list.
func list(t etf.Term) (etf.List, bool) {
	switch t := t.(type) {
	case etf.List:
		return t, true
	case etf.Charlist:
		l := make(etf.List, len(t))
		for i := range len(t) {
			l[i] = int64(t[i])
		}
		return l, true
	}
	return nil, false
}

// atomOf makes an atom of a name of our own making, such as a Go type.
func atomOf(s string) etf.Atom {
	s = strings.TrimPrefix(s, "*")
	if r := []rune(s); len(r) > 255 {
		s = string(r[:255])
	}
	return etf.Atom(s)
}

// pidLess orders pids of this node by their numbers.
func pidLess(a, c etf.Pid) int {
	x, y := uint64(a.ID)|uint64(a.Serial)<<32, uint64(c.ID)|uint64(c.Serial)<<32
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}
