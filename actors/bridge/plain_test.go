package bridge

import (
	"testing"
	"time"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// plainProbe is probe as an act.Actor.
type plainProbe struct {
	act.Actor
	got chan received
}

type plainDo struct {
	f    func(p *plainProbe) error
	done chan error
}

func (p *plainProbe) HandleMessage(from gen.PID, msg any) error {
	switch m := msg.(type) {
	case plainDo:
		m.done <- m.f(p)
	case die:
		return m.reason
	default:
		p.got <- received{from, msg}
	}
	return nil
}

func (p *plainProbe) HandleCall(_ gen.PID, _ gen.Ref, req any) (any, error) {
	return etf.Tuple{etf.Atom("echo"), req}, nil
}

type plainActor struct {
	*actor
}

func spawnPlain(t *testing.T, s *System) plainActor {
	t.Helper()
	a := plainActor{&actor{t: t, s: s, got: make(chan received, 16)}}
	var err error
	a.pid, err = s.Ergo().Spawn(func() gen.ProcessBehavior { return &plainProbe{got: a.got} }, gen.ProcessOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a plainActor) do(f func(p *plainProbe) error) error {
	a.t.Helper()
	d := plainDo{f: f, done: make(chan error, 1)}
	if err := a.s.Ergo().Send(a.pid, d); err != nil {
		a.t.Fatal(err)
	}
	select {
	case err := <-d.done:
		return err
	case <-time.After(patience):
		a.t.Fatal("the actor does not answer")
		return nil
	}
}

func (a plainActor) must(f func(p *plainProbe) error) {
	a.t.Helper()
	if err := a.do(f); err != nil {
		a.t.Fatal(err)
	}
}

// An act.Actor is a process of the cluster, too.
func TestPair_PlainActor(t *testing.T) {
	t.Parallel()
	s, n := pair(t)
	ctx := t.Context()
	a := spawnPlain(t, s)
	wire := s.Pid(a.pid)

	// Unknown to the cluster so far; the peer speaks first.
	got, err := n.GenCall(ctx, node.ToPid(wire), int64(1))
	if err != nil || !etf.Equal(got, etf.Tuple{etf.Atom("echo"), int64(1)}) {
		t.Fatalf("GenCall = %v, %v", got, err)
	}
	got, err = s.Node().GenCall(ctx, node.ToPid(wire), int64(1))
	if err != nil || !etf.Equal(got, etf.Tuple{etf.Atom("echo"), int64(1)}) {
		t.Fatalf("GenCall from the own node = %v, %v", got, err)
	}
	peer := spawnRaw(t, n)
	pid := s.PID(peer.proc.Pid())
	if err := peer.proc.Link(ctx, wire); err != nil {
		t.Fatal(err)
	}
	if _, err := peer.proc.Monitor(ctx, node.ToPid(wire)); err != nil {
		t.Fatal(err)
	}
	a.must(func(p *plainProbe) error { return p.Send(pid, etf.Tuple{p.PID()}) })
	if m := nextAs[node.Message](peer); !etf.Equal(m.Term, etf.Tuple{wire}) {
		t.Errorf("got %v, want {%v}", m.Term, wire)
	}
	// What it links and monitors through Ergo.
	mortal, survivor := spawnRaw(t, n), spawnPlain(t, s)
	a.must(func(p *plainProbe) error { return p.Monitor(s.PID(mortal.proc.Pid())) })
	survivor.must(func(p *plainProbe) error { return p.Link(s.PID(mortal.proc.Pid())) })
	// The link is asked for in the background.
	eventually(t, "the watch of the peer", func() bool {
		s.corep.mu.Lock()
		defer s.corep.mu.Unlock()
		return len(s.corep.refs) == 1
	})
	settle(t, s, n)
	mortal.proc.Exit(etf.Tuple{etf.Atom("custom")})
	a.want(gen.MessageDownPID{PID: s.PID(mortal.proc.Pid()), Reason: Reason(etf.Tuple{etf.Atom("custom")})})
	survivor.ended()
	// Its end.
	a.end(&ExitReason{Term: etf.Atom("done")})
	seen := map[string]bool{}
	for range 2 {
		switch m := peer.next().(type) {
		case node.Exit:
			seen["exit "+etf.Format(m.Reason)] = m.From == wire
		case node.Down:
			seen["down "+etf.Format(m.Reason)] = true
		}
	}
	if !seen["exit done"] || !seen["down done"] {
		t.Errorf("the peer saw %v, want exit and down", seen)
	}
	// Calls of the Ergo node itself.
	server := spawnRaw(t, n)
	server.serve()
	got, err = s.Ergo().Call(s.PID(server.proc.Pid()), int64(2))
	if err != nil || !etf.Equal(got, etf.Tuple{etf.Atom("echo"), int64(2)}) {
		t.Errorf("Call of the Ergo node = %v, %v", got, err)
	}
	if _, err = s.Ergo().Call(gen.ProcessID{Name: "nobody", Node: "peer@localhost"}, int64(2)); err != gen.ErrProcessUnknown {
		t.Errorf("Call to nobody: %v, want ErrProcessUnknown", err)
	}
}
