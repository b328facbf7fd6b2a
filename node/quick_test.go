package node_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// quickWatch notes messages that come before the function called before them has run.
type quickWatch struct{ ran, early, seen atomic.Int64 }

func (w *quickWatch) Receive(_ *node.Process, s node.Signal) {
	if m, ok := s.(node.Message); ok {
		if m.Term != etf.Term(w.ran.Load()) {
			w.early.Add(1)
		}
		w.seen.Add(1)
	}
}

// A function of HandleQuick has run when what its caller sends next is handled. It answers, fails and panics as others do.
func TestOTP_QuickFunctions(t *testing.T) {
	t.Parallel()
	port := nodetest.StartEPMD(t)
	beam := nodetest.StartErl(t, nodetest.WantAny(t), "beam", cookie, port)
	n := startNode(t, "keeper@localhost", port)
	w := &quickWatch{}
	if err := n.Spawn(w).Register("watch"); err != nil {
		t.Fatal(err)
	}
	n.HandleQuick("quick", "count", 0, func(context.Context, node.CallInfo, []etf.Term) (etf.Term, error) { return w.ran.Add(1), nil })
	n.HandleQuick("quick", "fail", 1, func(context.Context, node.CallInfo, []etf.Term) (etf.Term, error) { return nil, errors.New("sorry") })
	n.HandleQuick("quick", "panic", node.AnyArity, func(context.Context, node.CallInfo, []etf.Term) (etf.Term, error) { panic("oops") })

	const times = 200
	beam.Eval("[begin erpc:cast('keeper@localhost', quick, count, []), {watch, 'keeper@localhost'} ! I end || I <- lists:seq(1, 200)]")
	eventually(t, "all messages", func() bool { return w.seen.Load() == times })
	if early := w.early.Load(); early > 0 {
		t.Errorf("%d of %d messages overtook the function called before them", early, times)
	}
	for call, want := range map[string]string{
		"erpc:call('keeper@localhost', quick, count, [])":                                                        "201",
		"element(2, catch erpc:call('keeper@localhost', quick, fail, [x])) =/= {}":                               "true",
		"element(2, catch erpc:call('keeper@localhost', quick, panic, [])) =/= {}":                               "true",
		"[erpc:call('keeper@localhost', erlang, node, []), erpc:call('keeper@localhost', erlang, is_alive, [])]": "[keeper@localhost,true]",
	} {
		if got := beam.Eval(call); got != want {
			t.Errorf("%s = %s, want %s", call, got, want)
		}
	}
	n.HandleQuick("quick", "count", 0, nil)
	if n.Handles("quick", "count", 0) {
		t.Error("still handled")
	}
}
