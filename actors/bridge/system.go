package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"sync"

	"ergo.services/ergo"
	"ergo.services/ergo/gen"
	ergonode "ergo.services/ergo/node"
)

// Options says what Start starts. The zero value is a local actor system without a cluster.
type Options struct {
	// Name is the Ergo node's name, alive@host. Empty means "beamkeeper@localhost".
	Name string
	// Logger receives everything the actor system logs. Nil means slog.Default().
	Logger *slog.Logger
	// LogLevel is the lowest level Ergo formats messages for; the zero value is Info.
	// Ergo's own Info lines ("node started", "new connection with …") are logged at Debug.
	LogLevel slog.Level
}

// System is a running Ergo node.
type System struct {
	ergo gen.Node
	log  *slog.Logger
	stop sync.Once
	done chan struct{}
}

// Start starts an Ergo node inside this process. It opens no port, prints no banner, reports nothing to anybody,
// leaves the process's signal handlers alone and never ends the process.
//
// Errors: ctx.Err() if ctx ends first, otherwise Ergo's own reason.
func Start(ctx context.Context, o Options) (*System, error) {
	if o.Name == "" {
		o.Name = "beamkeeper@localhost"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &System{log: o.Logger, done: make(chan struct{})}

	var opts gen.NodeOptions
	// Ergo ends the process with os.Exit(1) when a shutdown takes longer than this. Stop has its own limit.
	opts.ShutdownTimeout = math.MaxInt64
	opts.Log.Level = ergoLevel(o.LogLevel)
	opts.Log.DefaultLogger.Disable = true
	opts.Log.DefaultLogger.DisableBanner = true
	opts.Log.Loggers = []gen.Logger{{Name: "slog", Logger: slogLogger{log: o.Logger}}}
	opts.Network.Mode = gen.NetworkModeDisabled

	n, err := startErgo(ctx, gen.Atom(o.Name), opts)
	if err != nil {
		return nil, fmt.Errorf("bridge: start %q: %w", o.Name, err)
	}
	s.ergo = n
	return s, nil
}

// Ergo is the node on which actors are spawned.
func (s *System) Ergo() gen.Node { return s.ergo }

// Stop ends all actors with the reason shutdown and waits until they are gone. When ctx ends first the rest are
// killed and Stop returns ctx.Err(). A second call waits for the first.
func (s *System) Stop(ctx context.Context) error {
	s.stop.Do(func() {
		go func() {
			s.ergo.Stop()
			close(s.done)
		}()
	})
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
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
