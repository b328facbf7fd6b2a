package actors

import (
	"context"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/launch"
)

// What a soak goes by is had from a real BEAM that has nothing for it, and shows a restart.
func TestVitals_OfARealNode(t *testing.T) {
	t.Parallel()
	f := newField(t, launch.Erlang)
	f.publish("0.1.0")
	f.up()
	peer := f.sys.nodeName(f.running(f.app, "0.1.0", 1)[0].Name)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	take := func() vitals {
		v, err := f.sys.vitals.take(ctx, f.node, peer, true)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	call := func(mod, fun etf.Atom, args ...etf.Term) etf.Term {
		term, err := f.node.Call(ctx, peer, mod, fun, args...)
		if err != nil {
			t.Fatal(err)
		}
		return term
	}
	first := take()
	if first.memory < 1<<20 || len(first.children) == 0 {
		t.Fatalf("vitals %+v", first)
	}
	old := call("erlang", "whereis", etf.Atom("sample_counter"))
	call("erlang", "exit", old, etf.Atom("kill"))
	f.until("another counter", func() bool {
		now := call("erlang", "whereis", etf.Atom("sample_counter"))
		_, alive := now.(etf.Pid)
		return alive && now != old
	})
	facts := soakFacts{after: []vitals{first, take()}}
	if n := facts.restarts(); n != 1 {
		t.Errorf("%d restarts in %+v", n, facts.after)
	}
	if v, err := f.sys.vitals.take(ctx, f.node, peer, false); err != nil || len(v.children) != 0 || v.memory == 0 {
		t.Errorf("without children: %+v, %v", v, err)
	}
}
