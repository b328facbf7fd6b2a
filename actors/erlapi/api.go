package erlapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"sync"
	"sync/atomic"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/node"
)

// moduleName is the module that rpc names, and the name of the process that gen_server:call names.
const moduleName etf.Atom = "beamkeeper"

// Control is what the API needs of the daemon. *actors.System satisfies it. Every error that a caller is meant to
// understand is an *api.Error.
type Control interface {
	Status(ctx context.Context) (api.Status, error)
	Deploy(ctx context.Context, r api.DeployRequest) (api.Deployment, error)
	Restart(ctx context.Context, t api.Target) error
	Stop(ctx context.Context, t api.Target) error // returns when the instance has stopped
	History(ctx context.Context, app string) ([]api.HistoryEntry, error)
	Events(ctx context.Context, since uint64, follow bool, yield func(api.Event) bool) error
	LastEvent() uint64 // the highest ID given so far

	// SaidReady notes that the OS process which runs as t now says that it is ready.
	SaidReady(ctx context.Context, t api.Target) error
}

// Right is what a node may do beyond what instances may. Each includes the ones before it.
type Right uint8

// The rights.
const (
	None   Right = iota
	Read         // status, instances, history, events of every app
	Deploy       // deploy any app
	Admin        // restart any app or instance
)

var rights = [...]string{None: "none", Read: "read", Deploy: "deploy", Admin: "admin"}

func (r Right) String() string {
	if int(r) < len(rights) {
		return rights[r]
	}
	return fmt.Sprintf("Right(%d)", r)
}

// ParseRight reads read, deploy or admin.
func ParseRight(s string) (Right, error) {
	for r := Read; r <= Admin; r++ {
		if rights[r] == s {
			return r, nil
		}
	}
	return None, fmt.Errorf("erlapi: %q is neither read, deploy nor admin", s)
}

// Grant gives a right to the nodes whose names match a pattern of path.Match, such as panel@*.
type Grant struct {
	Nodes string
	Right Right
}

// Config says what an API serves. Node is required.
type Config struct {
	Node   *node.Node
	Grants []Grant // a node has the highest right of all that match
	Log    *slog.Logger

	MaxCalls         int // gen_server calls at one time; more are not answered; 0: 256
	MaxSubscriptions int // of the processes of one node; 0: 64
}

// API answers until Close.
type API struct {
	c       Config
	control Control       // set once, before serving is closed
	serving chan struct{} // closed by Serve
	server  *node.Process
	grants  atomic.Pointer[[]Grant]
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running chan struct{} // a place for each gen_server call

	mu            sync.Mutex
	closed        bool
	wg            sync.WaitGroup // Add only with mu held and closed unset
	subscriptions map[etf.Pid]*subscription
}

// Start takes calls, which wait for Serve. Called before the node is started it leaves no moment in which callers find
// nobody. Error: node.ErrNameTaken, or that of a malformed pattern.
func Start(c Config) (*API, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MaxCalls <= 0 {
		c.MaxCalls = 256
	}
	if c.MaxSubscriptions <= 0 {
		c.MaxSubscriptions = 64
	}
	if err := checkGrants(c.Grants); err != nil {
		return nil, err
	}
	a := &API{c: c, serving: make(chan struct{}), running: make(chan struct{}, c.MaxCalls), subscriptions: make(map[etf.Pid]*subscription)}
	a.grants.Store(&c.Grants)
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.server = c.Node.Spawn(a)
	if err := a.server.Register(moduleName); err != nil {
		a.server.Exit(etf.Atom("normal"))
		a.cancel()
		return nil, fmt.Errorf("erlapi: register %s: %w", moduleName, err)
	}
	for k, f := range functions {
		c.Node.HandleFunc(moduleName, k.name, k.arity, func(ctx context.Context, info node.CallInfo, args []etf.Term) (etf.Term, error) {
			return a.answer(ctx, f, call{api: a, function: k, peer: info.Peer, pid: info.Caller, args: args}), nil
		})
	}
	return a, nil
}

// Serve has calls answered from c. It is called once.
func (a *API) Serve(c Control) {
	a.control = c
	close(a.serving)
}

// SetGrants replaces the rights of nodes that are no instances. Subscriptions that were taken stay.
//
// Error: that of a malformed pattern; nothing has changed then.
func (a *API) SetGrants(grants []Grant) error {
	if err := checkGrants(grants); err != nil {
		return err
	}
	a.grants.Store(&grants)
	return nil
}

func checkGrants(grants []Grant) error {
	for _, g := range grants {
		if _, err := path.Match(g.Nodes, ""); err != nil {
			return fmt.Errorf("erlapi: grant %q: %w", g.Nodes, err)
		}
	}
	return nil
}

// Close stops answering, ends the subscriptions and waits for what is under way, except calls by rpc, which the node
// waits for.
func (a *API) Close() {
	for k := range functions {
		a.c.Node.HandleFunc(moduleName, k.name, k.arity, nil)
	}
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.cancel()
	a.wg.Wait()
	a.server.Exit(etf.Atom("shutdown"))
}

// soon runs f in a goroutine that Close waits for. False: the API is closed.
func (a *API) soon(f func()) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false
	}
	a.wg.Go(f)
	return true
}

// answer does what is asked, unless the caller may not. Nothing that goes wrong here is an exception to the caller:
// errors are {error, denied} and {error, {Code, Text}}.
func (a *API) answer(ctx context.Context, f function, c call) etf.Term {
	var v etf.Term
	err := a.await(ctx)
	if err == nil {
		err = c.identify(ctx)
	}
	if err == nil {
		v, err = f(ctx, &c)
	}
	if err == nil {
		return v
	}
	return a.errorTerm(&c, err)
}

// await waits for Serve.
func (a *API) await(ctx context.Context) error {
	select {
	case <-a.serving:
		return nil
	case <-ctx.Done():
	case <-a.ctx.Done():
	}
	return api.Errorf(api.CodeRefused, "the daemon is stopping")
}

// errDenied is the refusal of what the caller has no right to.
var errDenied = errors.New("denied")

func (a *API) errorTerm(c *call, err error) etf.Term {
	var e *api.Error
	switch {
	case errors.Is(err, errDenied):
		a.c.Log.Warn("call of the Erlang API denied", "function", c.function.String(), "peer", c.peer.String(),
			"app", c.app, "instance", c.instance, "right", c.right.String(), "wanted", c.wanted)
		return etf.Tuple{etf.Atom("error"), etf.Atom("denied")}
	case !errors.As(err, &e):
		a.c.Log.Error("call of the Erlang API failed", "function", c.function.String(), "peer", c.peer.String(), "err", err)
		e = api.Errorf(api.CodeFailed, "it failed; the log of the daemon says why")
	}
	text := e.Message
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return etf.Tuple{etf.Atom("error"), etf.Tuple{codeAtom(e.Code), etf.Binary(text)}}
}

// codeAtom is the code of an error, one of a closed set.
func codeAtom(c api.Code) etf.Atom {
	switch c {
	case api.CodeUsage, api.CodeNotFound, api.CodeDenied, api.CodeRefused, api.CodeTimeout:
		return etf.Atom(c)
	}
	return etf.Atom(api.CodeFailed)
}
