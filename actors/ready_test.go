package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/probe"
	"github.com/beamkeeper/beamkeeper/node"
)

// boot is a node that boots by the clock.
type boot struct {
	since    time.Time
	node     time.Duration // after which it can be connected to
	app      time.Duration // after which its application is started
	connects int
}

func (b *boot) Connect(context.Context, node.Name) error {
	b.connects++
	if time.Since(b.since) < b.node {
		return errors.New("name not registered")
	}
	return nil
}

func (b *boot) Call(_ context.Context, _ node.Name, _, fun etf.Atom, _ ...etf.Term) (etf.Term, error) {
	if fun == "system_info" {
		return etf.Charlist("27"), nil
	}
	list := etf.List{etf.Tuple{etf.Atom("stdlib"), etf.Charlist(""), etf.Charlist("")}, etf.Tuple{etf.Atom("kernel"), etf.Charlist(""), etf.Charlist("")}}
	if time.Since(b.since) >= b.app {
		list = append(list, etf.Tuple{etf.Atom("shop"), etf.Charlist(""), etf.Charlist("")})
	}
	return list, nil
}

// bell is a probe that passes after some time.
type bell struct {
	since time.Time
	after time.Duration
}

func (b bell) Probe(context.Context) error {
	if time.Since(b.since) < b.after {
		return errors.New("status 503")
	}
	return nil
}

func (b bell) String() string { return "bell" }

func TestReadiness_GoesStepByStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		b := &boot{since: start, node: 400 * time.Millisecond, app: 700 * time.Millisecond}
		var seen []string
		r := readiness{
			cluster: b, application: "shop", probe: bell{start, time.Second}, options: probe.Options{Interval: 10 * time.Millisecond},
			report: func(c chain) {
				name, detail := c.missing()
				seen = append(seen, fmt.Sprintf("%d %s %s", c.n, name, detail))
			},
		}
		c := newChain(start)
		c.pass(start, "")
		otp, err := r.await(t.Context(), c)
		if err != nil || otp != "27" {
			t.Fatalf("await = %q, %v", otp, err)
		}
		// Each step is noticed within the 20 ms between attempts.
		if took := time.Since(start); took < time.Second || took > time.Second+20*time.Millisecond {
			t.Errorf("ready after %v", took)
		}
		want := []string{
			"1 node name not registered", "2 application ", "2 application shop is not started; started are kernel, stdlib",
			"3 probe ", "3 probe status 503", "4  ",
		}
		if !slices.Equal(seen, want) {
			t.Errorf("reported %q, want %q", seen, want)
		}
		if b.connects < 20 || b.connects > 22 {
			t.Errorf("%d attempts to connect in 400 ms", b.connects)
		}
	})
}

func TestReadiness_WithoutAProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var last chain
		r := readiness{cluster: &boot{since: start}, application: "shop", report: func(c chain) { last = c }}
		c := newChain(start)
		c.pass(start, "")
		if _, err := r.await(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if !last.ready() || last.steps[3].state != linkSkipped {
			t.Errorf("chain is %+v", last)
		}
		if time.Since(start) != 0 {
			t.Errorf("a node that is up was waited for: %v", time.Since(start))
		}
	})
}

func TestReadiness_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		b := &boot{since: start, node: time.Hour}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r := readiness{cluster: b, application: "shop", report: func(chain) {}}
		c := newChain(start)
		c.pass(start, "")
		if _, err := r.await(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if time.Since(start) != time.Minute {
			t.Errorf("ended after %v", time.Since(start))
		}
		// 250 in the first 5 s, 250 in the next 25 s, 60 in the last 30 s.
		if b.connects < 540 || b.connects > 580 {
			t.Errorf("%d attempts in a minute", b.connects)
		}
	})
}

// TestReadiness_WaitsOutANodeThatGoesAgain loses the connection while it asks for the applications.
func TestReadiness_WaitsOutANodeThatGoesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		n := &flapping{boot: boot{since: start}}
		r := readiness{cluster: n, application: "shop", report: func(chain) {}}
		c := newChain(start)
		c.pass(start, "")
		if _, err := r.await(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if n.lost != 3 {
			t.Errorf("lost %d times", n.lost)
		}
	})
}

type flapping struct {
	boot
	mu   sync.Mutex
	lost int
}

func (f *flapping) Call(ctx context.Context, peer node.Name, mod, fun etf.Atom, args ...etf.Term) (etf.Term, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost < 3 {
		f.lost++
		return nil, &node.DownError{Peer: peer, Err: node.ErrNodeDown}
	}
	return f.boot.Call(ctx, peer, mod, fun, args...)
}
