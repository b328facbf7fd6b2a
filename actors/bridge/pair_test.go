package bridge

import (
	"errors"
	"fmt"
	"testing"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

func TestPair_SendBothWays(t *testing.T) {
	t.Parallel()
	s, n := pair(t)
	a := spawnProbe(t, s, "greeter")
	peer := spawnRaw(t, n)
	if err := peer.proc.Register("peer"); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()

	a.must(func(p *probe) error { return p.Send(s.PID(peer.proc.Pid()), etf.Tuple{etf.Atom("by_pid"), p.PID()}) })
	if m := nextAs[node.Message](peer); !etf.Equal(m.Term, etf.Tuple{etf.Atom("by_pid"), a.wire()}) {
		t.Errorf("peer got %v", m)
	}
	a.must(func(p *probe) error { return p.Send(gen.ProcessID{Name: "peer", Node: "peer@localhost"}, "text") })
	if m := nextAs[node.Message](peer); !etf.Equal(m.Term, etf.Binary("text")) || m.From != a.wire() {
		t.Errorf("peer got %v, want text from %v", m, a.wire())
	}
	a.must(func(p *probe) error { return p.Send(peer.proc.Pid(), Cast{Request: int64(5)}) })
	if m := nextAs[node.Message](peer); !etf.Equal(m.Term, etf.Tuple{etf.Atom("$gen_cast"), int64(5)}) {
		t.Errorf("peer got %v, want a cast", m)
	}
	alias := peer.proc.Alias()
	a.must(func(p *probe) error { return p.Send(Alias(alias), int64(6)) })
	if m := nextAs[node.Message](peer); m.Alias != alias || m.Term != any(int64(6)) {
		t.Errorf("peer got %v, want 6 by alias", m)
	}

	if err := peer.proc.Send(ctx, node.ToPid(a.wire()), etf.Atom("hello")); err != nil {
		t.Fatal(err)
	}
	if r := a.want(etf.Atom("hello")); r.From != s.PID(peer.proc.Pid()) && r.From != (gen.PID{}) {
		t.Errorf("from %v, want %v", r.From, peer.proc.Pid())
	}
	if err := peer.proc.SendName(ctx, "greeter", s.Node().Name(), int64(42)); err != nil {
		t.Fatal(err)
	}
	if r := a.want(int64(42)); r.From != s.PID(peer.proc.Pid()) {
		t.Errorf("from %v, want %v", r.From, peer.proc.Pid())
	}
	if err := n.GenCast(ctx, node.ToName("greeter", s.Node().Name()), etf.Atom("c")); err != nil {
		t.Fatal(err)
	}
	a.want(Cast{Request: etf.Atom("c")})
}

func TestPair_CallBothWays(t *testing.T) {
	t.Parallel()
	s, n := pair(t)
	a := spawnProbe(t, s, "greeter")
	peer := spawnRaw(t, n)
	if err := peer.proc.Register("peer"); err != nil {
		t.Fatal(err)
	}
	peer.serve()
	want := etf.Tuple{etf.Atom("echo"), int64(1)}
	for _, to := range []any{s.PID(peer.proc.Pid()), gen.ProcessID{Name: "peer", Node: "peer@localhost"}, peer.proc.Pid()} {
		a.must(func(p *probe) error {
			got, err := p.Call(to, int64(1))
			if err == nil && !etf.Equal(got, want) {
				err = fmt.Errorf("Call(%v) = %v", to, got)
			}
			return err
		})
	}
	err := a.do(func(p *probe) error {
		_, err := p.Call(gen.ProcessID{Name: "nobody", Node: "peer@localhost"}, 1)
		return err
	})
	if !errors.Is(err, gen.ErrProcessUnknown) {
		t.Errorf("call to a name without a process: %v, want ErrProcessUnknown", err)
	}
	mute := spawnRaw(t, n)
	err = a.do(func(p *probe) error {
		_, err := p.CallWithTimeout(s.PID(mute.proc.Pid()), 1, 1)
		return err
	})
	if err != gen.ErrTimeout {
		t.Errorf("call to a mute process: %v, want ErrTimeout", err)
	}
	// Its answer to the call given up must not look like anything.
	late, ok := node.ParseGenCall(nextAs[node.Message](mute).Term)
	if !ok {
		t.Fatal("the mute process got no call")
	}
	if err := mute.proc.Reply(t.Context(), late, int64(1)); err != nil {
		t.Fatal(err)
	}
	if err := mute.proc.Send(t.Context(), node.ToPid(a.wire()), etf.Tuple{late.Tag, int64(1)}); err != nil {
		t.Fatal(err)
	}
	if err := mute.proc.Send(t.Context(), node.ToPid(a.wire()), etf.Atom("next")); err != nil {
		t.Fatal(err)
	}
	a.want(etf.Atom("next"))
	// One that dies in the call.
	done := make(chan error, 1)
	go func() {
		done <- a.do(func(p *probe) error { _, err := p.Call(s.PID(mute.proc.Pid()), 2); return err })
	}()
	nextAs[node.Message](mute)
	mute.proc.Exit(etf.Tuple{etf.Atom("oh"), etf.Atom("no")})
	if err := <-done; !errors.Is(err, Reason(etf.Tuple{etf.Atom("oh"), etf.Atom("no")})) {
		t.Errorf("call to a process that dies: %v", err)
	}

	for _, to := range []node.Dest{node.ToPid(a.wire()), node.ToName("greeter", s.Node().Name())} {
		got, err := n.GenCall(t.Context(), to, int64(1))
		if err != nil || !etf.Equal(got, want) {
			t.Errorf("GenCall = %v, %v", got, err)
		}
	}
	// Answered later.
	reply := make(chan etf.Term, 1)
	go func() {
		got, err := n.GenCall(t.Context(), node.ToPid(a.wire()), etf.Atom("late"))
		if err != nil {
			got = err
		}
		reply <- got
	}()
	r := a.next()
	a.must(func(p *probe) error { return p.SendResponse(r.From, r.Msg.(gen.Ref), etf.List{}) })
	if got := <-reply; !etf.Equal(got, etf.List{}) {
		t.Errorf("late answer = %v, want []", got)
	}
	if err := a.do(func(p *probe) error { return p.SendResponse(r.From, r.Msg.(gen.Ref), 1) }); err != gen.ErrResponseIgnored {
		t.Errorf("second answer: %v, want ErrResponseIgnored", err)
	}
	// A process of the own node calls, too.
	got, err := s.Node().GenCall(t.Context(), node.ToName("greeter", s.Node().Name()), int64(1))
	if err != nil || !etf.Equal(got, want) {
		t.Errorf("GenCall from the own node = %v, %v", got, err)
	}
	wantExit(t, n, node.ToName("nobody", s.Node().Name()), int64(1), etf.Atom("noproc"))
	wantExit(t, n, node.ToPid(a.wire()), etf.Atom("custom"), etf.Tuple{etf.Atom("custom"), int64(1)})
	wantExit(t, n, node.ToPid(a.wire()), int64(1), etf.Atom("noproc"))
	b := spawnProbe(t, s, "")
	wantExit(t, n, node.ToPid(b.wire()), etf.Atom("crash"), etf.Atom("panic"))
}

func wantExit(t *testing.T, n *node.Node, to node.Dest, req, reason etf.Term) {
	t.Helper()
	_, err := n.GenCall(t.Context(), to, req)
	var ce *node.CallError
	if !errors.As(err, &ce) || ce.Class != node.ClassExit || !etf.Equal(ce.Reason, reason) {
		t.Errorf("GenCall = %v, want exit %s", err, etf.Format(reason))
	}
}

func TestStart_LocalActorWithoutNode(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), Options{Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	a := spawnProbe(t, s, "x")
	a.must(func(p *probe) error { p.SetTrapExit(true); return p.Send(p.PID(), "hello") })
	a.want("hello")
	if err := a.do(func(p *probe) error { return p.Send(gen.ProcessID{Name: "x", Node: "y@z"}, 1) }); err == nil {
		t.Error("sending without a cluster succeeded")
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}
