package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"ergo.services/ergo"
	"ergo.services/ergo/gen"
	ergonode "ergo.services/ergo/node"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// Options says what Start starts. The zero value is a local actor system without a cluster.
type Options struct {
	// Node joins the actors to the cluster: its name becomes the Ergo node's. Give it before Node.Start, so that no
	// peer finds it without its actors, and to one Start only. It stays its owner's to start and close; close it
	// after Stop. Nil: no cluster.
	Node *node.Node
	// Name is the Ergo node's name, alive@host, when there is no Node. Empty means "beamkeeper@localhost".
	Name string
	// Logger receives everything the actor system logs. Nil means slog.Default().
	Logger *slog.Logger
	// LogLevel is the lowest level Ergo formats messages for; the zero value is Info.
	// Ergo's own Info lines ("node started", "new connection with …") are logged at Debug.
	LogLevel slog.Level
	// Shield keeps actors that do not embed Actor from what peers send: messages and exit signals for them are dropped,
	// calls and system messages go to the function of HandleRequests. Without it they are as open as Erlang processes.
	Shield bool
	// MayEnd tells whose exit signals get through Shield. It is called by any goroutine. Nil: nobody's.
	MayEnd func(peer node.Name) bool
}

// System is a running Ergo node.
type System struct {
	// Fixed after Start.
	ergo      gen.Node
	core      gen.Core // the same
	log       *slog.Logger
	node      *node.Node // nil without a cluster
	name      gen.Atom
	localPeer gen.Atom // as whose Ergo sees the processes of node that are not actors
	watcher   gen.PID  // whom Ergo tells of the end of actors
	corep     *process // stands for the Ergo node itself
	tags      *tagTable
	ctx       context.Context // for what an actor may wait for; ends with Stop
	cancel    context.CancelFunc
	leave     func() // ends the subscription to node events
	shield    bool
	mayEnd    func(peer node.Name) bool // may be nil
	requests  atomic.Pointer[func(Request)]

	stop    sync.Once
	done    chan struct{}
	workers sync.WaitGroup

	named sync.Map // namedProcess by the name of the actor, see PIDOf

	mu       sync.Mutex
	procs    map[uint64]*process      // by the number of the actor
	conns    map[gen.Atom]*connection // registered with Ergo
	meetings map[int]rendezvous       // by port
	dialing  map[node.Name]bool
}

// Start starts an Ergo node inside this process. It opens no port for others, prints no banner, reports nothing to
// anybody, leaves the process's signal handlers alone and never ends the process.
//
// Errors: ctx.Err() if ctx ends first, otherwise Ergo's own reason.
func Start(ctx context.Context, o Options) (*System, error) {
	if o.Name == "" {
		o.Name = "beamkeeper@localhost"
	}
	if o.Node != nil {
		o.Name = o.Node.Name().String()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &System{
		log: o.Logger, node: o.Node, name: gen.Atom(o.Name), localPeer: gen.Atom("local:" + o.Name),
		leave: func() {}, done: make(chan struct{}), shield: o.Shield, mayEnd: o.MayEnd,
		procs: make(map[uint64]*process), conns: make(map[gen.Atom]*connection),
		meetings: make(map[int]rendezvous), dialing: make(map[node.Name]bool),
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.watcher = gen.PID{Node: s.localPeer, ID: 1}

	var opts gen.NodeOptions
	// Ergo ends the process with os.Exit(1) when a shutdown takes longer than this. Stop has its own limit.
	opts.ShutdownTimeout = math.MaxInt64
	opts.Log.Level = ergoLevel(o.LogLevel)
	opts.Log.DefaultLogger.Disable = true
	opts.Log.DefaultLogger.DisableBanner = true
	opts.Log.Loggers = []gen.Logger{{Name: "slog", Logger: slogLogger{log: o.Logger}}}
	opts.Cron.Jobs = []gen.CronJob{{Name: "beamkeeper_bridge_start", Spec: "0 0 1 1 *", Location: time.UTC, Action: cronStart{}}}
	opts.Network.Mode = gen.NetworkModeDisabled
	if s.node != nil {
		opts.Network.Mode = gen.NetworkModeHidden // no acceptor, no port
		opts.Network.Registrar = registrar{sys: s}
		opts.Network.Cookie = "cookies are package node's" // an empty one is a warning
	}
	n, err := startErgo(ctx, s.name, opts)
	if err != nil {
		s.cancel()
		return nil, fmt.Errorf("bridge: start %q: %w", o.Name, err)
	}
	s.ergo = n
	stopCron(n)
	if s.node == nil {
		return s, nil
	}
	if err := s.join(); err != nil {
		s.cancel()
		n.StopForce()
		return nil, fmt.Errorf("bridge: join %q: %w", o.Name, err)
	}
	return s, nil
}

// join connects Ergo and the node.
func (s *System) join() error {
	core, ok := s.ergo.(gen.Core)
	if !ok {
		return errors.New("this version of Ergo hides its core")
	}
	s.core = core
	s.tags = newTagTable(s.name, s.ergo.Creation())
	s.ergo.SetEnv(envSystem, s)
	s.ergo.Network().RegisterHandshake(handshake{sys: s})
	s.ergo.Network().RegisterProto(proto{sys: s})
	corep, err := s.newProcess(s.ergo.PID(), true)
	if err != nil {
		return err
	}
	s.corep = corep
	corep.monitors = make(map[node.Dest]etf.Ref)
	if err := s.adopt(s.localPeer); err != nil {
		return err
	}
	s.node.SetRouter(router{sys: s})
	s.node.HandleQuick("erlang", "whereis", 1, s.whereis)
	s.leave = s.node.Subscribe(s.nodeEvent)
	return nil
}

// whereis answers erlang:whereis/1 for actors and processes of the node, so that a peer can link to a name.
func (s *System) whereis(_ context.Context, _ node.CallInfo, args []etf.Term) (etf.Term, error) {
	name, ok := args[0].(etf.Atom)
	if !ok {
		return nil, &node.CallError{Class: node.ClassError, Reason: etf.Atom("badarg"), Stack: etf.List{}}
	}
	if p := s.node.Whereis(name); p != nil {
		return p.Pid(), nil
	}
	if p := (router{sys: s}).RouteName(name); p != nil {
		return p.Pid(), nil
	}
	return etf.Atom("undefined"), nil
}

// Ergo is the node on which actors are spawned.
func (s *System) Ergo() gen.Node { return s.ergo }

// Node is the distribution node of the actors, nil without a cluster.
func (s *System) Node() *node.Node { return s.node }

// Stop ends all actors with the reason shutdown and waits until they are gone. When ctx ends first the rest are
// killed and Stop returns ctx.Err(); what waits for a peer is told to give up. A second call waits for the first.
func (s *System) Stop(ctx context.Context) error {
	s.stop.Do(func() {
		go func() {
			s.ergo.Stop()
			s.leave()
			s.cancel()
			s.workers.Wait()
			if s.corep != nil {
				s.corep.end(gen.TerminateReasonShutdown)
			}
			close(s.done)
		}()
	})
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		s.cancel()
		s.ergo.StopForce()
		return ctx.Err()
	}
}

// Done is closed when all actors have ended after Stop.
func (s *System) Done() <-chan struct{} { return s.done }

// captureApp takes the node out of node.Start before its last step.
//
// That step is SetCTRLC(true): a goroutine that calls signal.Notify and, on SIGTERM or SIGINT, signal.Reset for all
// signals of the whole process. SetCTRLC(false) cannot undo it: it closes the channel without signal.Stop, so that
// the next signal panics. Loading applications is the step before, and ends the starting goroutine here.
type captureApp struct{ got chan<- gen.Node }

func (a captureApp) Load(n gen.Node, _ ...any) (gen.ApplicationSpec, error) {
	a.got <- n
	runtime.Goexit()
	return gen.ApplicationSpec{}, nil
}

func (captureApp) Start(gen.ApplicationMode) {}
func (captureApp) Terminate(error)           {}

// cronStart does nothing. Ergo's cron sets its timer's field after it has started the timer, and reads it in the
// timer's function: a data race. A job that is due at the zero time is put in cron's queue at once, and what reads the
// queue then comes after the field was set.
type cronStart struct{}

func (cronStart) Do(gen.Atom, gen.Node, time.Time) error { return nil }
func (cronStart) Info() string                           { return "" }

// startErgo starts the node package directly: ergo.StartNode would add the system application, which sends usage
// figures to the framework's makers every five minutes.
func startErgo(ctx context.Context, name gen.Atom, opts gen.NodeOptions) (gen.Node, error) {
	got := make(chan gen.Node, 1)
	failed := make(chan error, 1)
	opts.Applications = append(opts.Applications, captureApp{got: got})
	go func() {
		_, err := ergonode.Start(name, opts, ergo.FrameworkVersion)
		if err == nil {
			err = errors.New("node started without loading its applications")
		}
		failed <- err
	}()
	select {
	case n := <-got:
		return n, nil
	case err := <-failed:
		return nil, err
	case <-ctx.Done():
		go func() {
			select {
			case n := <-got:
				n.StopForce()
			case <-failed:
			}
		}()
		return nil, ctx.Err()
	}
}

func ergoLevel(l slog.Level) gen.LogLevel {
	switch {
	case l < slog.LevelDebug:
		return gen.LogLevelTrace
	case l < slog.LevelInfo:
		return gen.LogLevelDebug
	case l < slog.LevelWarn:
		return gen.LogLevelInfo
	case l < slog.LevelError:
		return gen.LogLevelWarning
	default:
		return gen.LogLevelError
	}
}
