package observer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/actors/bridge"
	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// clerk is an actor that counts its messages.
type clerk struct {
	act.Actor
	messages int
}

func (c *clerk) HandleMessage(gen.PID, any) error { c.messages++; return nil }

func (c *clerk) HandleInspect(gen.PID, ...string) map[string]string {
	return map[string]string{"messages": fmt.Sprint(c.messages)}
}

type office struct{ act.Supervisor }

func newOffice() gen.ProcessBehavior { return &office{} }

func (*office) Init(...any) (act.SupervisorSpec, error) {
	newClerk := func() gen.ProcessBehavior { return &clerk{} }
	return act.SupervisorSpec{
		Type:     act.SupervisorTypeOneForOne,
		Restart:  act.SupervisorRestart{Strategy: act.SupervisorStrategyPermanent, Intensity: 5, Period: 5},
		Children: []act.SupervisorChildSpec{{Name: "front_desk", Factory: newClerk}, {Name: "back_office", Factory: newClerk}},
	}, nil
}

// testShell has two verbs.
type testShell struct{}

func (testShell) Banner() string { return "A shell for tests." }

func (testShell) Complete(line string) []string {
	var out []string
	for _, w := range []string{"status", "start", "wait"} {
		if strings.HasPrefix(w, line) {
			out = append(out, w)
		}
	}
	return out
}

func (testShell) Run(ctx context.Context, peer node.Name, line string, out io.Writer) error {
	switch line {
	case "status":
		_, err := fmt.Fprintf(out, "all is well, %s\n", peer.Alive)
		return err
	case "wait":
		<-ctx.Done()
		return errors.New("interrupted")
	}
	return fmt.Errorf("no such command: %s", line)
}

// world is a node with actors and an Observer on it.
type world struct {
	epmd int
	node *node.Node
	sys  *bridge.System
	obs  *Observer
}

const cookie = "observed"

func newWorld(t *testing.T, epmd int, change func(*Options)) *world {
	t.Helper()
	n, err := node.New(node.Config{
		Name: node.Name{Alive: "keeper", Host: "localhost"}, Cookie: cookie, EPMDAddr: net.JoinHostPort("127.0.0.1", fmt.Sprint(epmd)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	sys, err := bridge.Start(t.Context(), bridge.Options{Node: n, Shield: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		sys.Stop(ctx)
	})
	rows := []etf.Tuple{{etf.Binary("shop"), etf.Binary("1.0.0")}, {etf.Binary("till"), etf.Binary("2.1.0")}}
	o := Options{
		Version: "1.2.3", Shell: testShell{},
		Tables: []Table{{
			Name: "apps", Size: func() (int, int) { return len(rows), 400 },
			Rows: func(yield func(etf.Tuple) bool) {
				for _, r := range rows {
					if !yield(r) {
						return
					}
				}
			},
		}},
		Listeners: func() []Listener {
			return []Listener{{Name: "control socket", Addr: &net.UnixAddr{Name: "/run/keeper.sock", Net: "unix"}}}
		},
	}
	if change != nil {
		change(&o)
	}
	w := &world{epmd: epmd, node: n, sys: sys, obs: Register(n, sys, o)}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	top, err := sys.Ergo().SpawnRegister("office", newOffice, gen.ProcessOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // before the actors are stopped
		n.Close() // nobody asks any more
		w.obs.order.begin(sys.Ergo(), top)
		defer w.obs.order.end()
		// From the top, for a supervisor would start actors again that Ergo's Stop ends, and Ergo minds neither.
		if err := sys.Ergo().SendExit(top, gen.TerminateReasonShutdown); err != nil {
			t.Error(err)
		}
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if pids, err := sys.Ergo().ProcessList(); err != nil || len(pids) == 0 {
				return
			}
		}
		t.Error("the actors do not end")
	})
	if epmd != 0 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := n.Registered(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// beam is a real BEAM beside a world.
type beam struct {
	*nodetest.Erl
	t *testing.T
}

func (b beam) want(want, format string, args ...any) {
	b.t.Helper()
	got, err := b.TryEval("(fun() -> K = keeper@localhost, " + fmt.Sprintf(format, args...) + " end)()")
	if err != nil {
		got = err.Error()
	}
	if got != want {
		b.t.Errorf("%s = %s, want %s", fmt.Sprintf(format, args...), got, want)
	}
}

// each runs f with a BEAM of each OTP.
func each(t *testing.T, f func(t *testing.T, b beam, w *world), change func(*Options)) {
	for _, otp := range nodetest.Want(t, "25", "27", "29") {
		t.Run("OTP"+otp.Release, func(t *testing.T) {
			t.Parallel()
			epmd := nodetest.StartEPMD(t)
			w := newWorld(t, epmd, change)
			f(t, beam{nodetest.StartErl(t, otp, "watcher", cookie, epmd, "-hidden"), t}, w)
		})
	}
}
