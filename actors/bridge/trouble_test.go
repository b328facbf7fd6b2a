package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

func TestPair_NoConnection(t *testing.T) {
	t.Parallel()
	s, n := pair(t)
	peer, linker := spawnRaw(t, n), spawnRaw(t, n)
	pid := s.PID(peer.proc.Pid())
	name := gen.ProcessID{Name: "nobody", Node: "peer@localhost"}
	a, victim := spawnProbe(t, s, ""), spawnProbe(t, s, "")
	a.must(func(p *probe) error {
		p.SetTrapExit(true)
		return errors.Join(p.Link(pid), p.Monitor(pid), p.MonitorNode("peer@localhost"))
	})
	victim.must(func(p *probe) error { return p.Link(pid) })
	if err := linker.proc.Link(t.Context(), a.wire()); err != nil {
		t.Fatal(err)
	}
	if _, err := n.GenCall(t.Context(), node.ToPid(a.wire()), 1); err != nil {
		t.Fatal(err)
	}
	n.Close()
	got := map[string]bool{}
	for range 4 {
		got[fmt.Sprintf("%T", a.next().Msg)] = true
	}
	for _, k := range []any{gen.MessageExitPID{}, gen.MessageDownPID{}, gen.MessageDownNode{}} {
		if !got[fmt.Sprintf("%T", k)] {
			t.Errorf("no %T after the node went down", k)
		}
	}
	victim.ended()
	for what, f := range map[string]func(p *probe) error{
		"send":    func(p *probe) error { return p.Send(pid, 1) },
		"call":    func(p *probe) error { _, err := p.Call(name, 1); return err },
		"link":    func(p *probe) error { return p.Link(pid) },
		"monitor": func(p *probe) error { return p.Monitor(name) },
	} {
		if err := a.do(f); !errors.Is(err, gen.ErrNoConnection) {
			t.Errorf("%s without the node: %v, want ErrNoConnection", what, err)
		}
	}
}

func TestPair_ReconnectAfterPeerDied(t *testing.T) {
	t.Parallel()
	m := startPortMapper(t)
	s := startSystem(t, m.addr, "go")
	a, plain := spawnProbe(t, s, "greeter"), spawnPlain(t, s)
	for round := range 5 {
		n := newNode(t, m.addr, "peer")
		startNode(t, n)
		peer := spawnRaw(t, n)
		if err := peer.proc.Register("peer"); err != nil {
			t.Fatal(err)
		}
		peer.serve()
		id := gen.ProcessID{Name: "peer", Node: "peer@localhost"}
		a.must(func(p *probe) error {
			_, err := p.Call(id, round)
			return errors.Join(err, p.Monitor(id))
		})
		plain.must(func(p *plainProbe) error {
			_, err := p.Call(id, round)
			return errors.Join(err, p.Monitor(id))
		})
		if _, err := n.GenCall(t.Context(), node.ToName("greeter", s.Node().Name()), round); err != nil {
			t.Fatal(err)
		}
		n.Close()
		a.want(gen.MessageDownProcessID{ProcessID: id, Reason: gen.ErrNoConnection})
		plain.want(gen.MessageDownProcessID{ProcessID: id, Reason: gen.ErrNoConnection})
		eventually(t, "Ergo to forget the peer", func() bool {
			_, err := s.Ergo().Network().Node("peer@localhost")
			return err != nil
		})
	}
}

func TestPair_UnreachablePeerDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	m := startPortMapper(t)
	s := startSystem(t, m.addr, "go")
	n := newNode(t, m.addr, "peer")
	startNode(t, n)
	blackHole(t, m, "hole")
	peer := spawnRaw(t, n)
	peer.serve()
	pid := s.PID(peer.proc.Pid())
	hole := gen.ProcessID{Name: "x", Node: "hole@localhost"}
	nowhere := gen.ProcessID{Name: "x", Node: "nowhere@localhost"}

	// Both kinds of actors, stuck or refused in every way.
	var stuck sync.WaitGroup
	started := make(chan struct{}, 16)
	for _, f := range []func(p *probe) error{
		func(p *probe) error { return p.Send(hole, 1) },
		func(p *probe) error { _, err := p.Call(hole, 1); return err },
		func(p *probe) error { return p.Monitor(hole) },
		func(p *probe) error { return p.Link(gen.PID{Node: "hole@localhost", ID: 5, Creation: 1}) },
		func(p *probe) error { return p.Send(nowhere, 1) },
	} {
		a := spawnProbe(t, s, "")
		stuck.Go(func() {
			err := a.do(func(p *probe) error { started <- struct{}{}; return f(p) })
			if err == nil {
				t.Error("the black hole answered")
			}
		})
		<-started
	}
	for _, f := range []func(p *plainProbe) error{
		func(p *plainProbe) error { return p.Send(hole, 1) },
		func(p *plainProbe) error { _, err := p.Call(hole, 1); return err },
		func(p *plainProbe) error { return p.Monitor(hole) },
		func(p *plainProbe) error { return p.Link(hole) },
		func(p *plainProbe) error { return p.MonitorNode("hole@localhost") },
	} {
		a := spawnPlain(t, s)
		begin := time.Now()
		if err := a.do(f); err == nil {
			t.Error("the black hole answered")
		}
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("an act.Actor waited %v for a node without a link", d)
		}
	}
	begin := time.Now()
	a, plain := spawnProbe(t, s, ""), spawnPlain(t, s)
	a.must(func(p *probe) error {
		_, err := p.Call(pid, 1)
		return errors.Join(err, p.Monitor(pid), p.Link(pid))
	})
	plain.must(func(p *plainProbe) error {
		_, err := p.Call(pid, 1)
		return errors.Join(err, p.Monitor(pid), p.Link(pid))
	})
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("calls to another peer took %v", d)
	}
	stuck.Wait()
}

// A peer that has stopped reading: who sends to it waits, and nobody else.
func TestPair_StuckPeerDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	m := startPortMapper(t)
	s := startSystem(t, m.addr, "go")
	n, stuck := newNode(t, m.addr, "peer"), newNode(t, m.addr, "stuck")
	startNode(t, n)
	startNode(t, stuck)
	peer := spawnRaw(t, n)
	peer.serve()
	pid := s.PID(peer.proc.Pid())
	if err := s.Node().Connect(t.Context(), n.Name()); err != nil {
		t.Fatal(err)
	}

	release := make(chan struct{})
	blocked := stuck.Spawn(node.ReceiverFunc(func(*node.Process, node.Signal) { <-release }))
	other := spawnRaw(t, stuck)
	defer func() {
		select {
		case <-release:
		default:
			close(release)
		}
	}()

	linked := spawnProbe(t, s, "")
	linked.must(func(p *probe) error { return p.Link(s.PID(other.proc.Pid())) })
	sender := spawnProbe(t, s, "")
	sent := make(chan error, 1)
	go func() {
		sent <- sender.do(func(p *probe) error {
			for range 32 {
				if err := p.Send(s.PID(blocked.Pid()), make(etf.Binary, 1<<20)); err != nil {
					return err
				}
			}
			return nil
		})
	}()
	eventually(t, "the outbox to fill", func() bool {
		for _, p := range s.Node().Peers() {
			if p.Name == stuck.Name() && p.Queued >= node.DefaultOutboxBytes {
				return true
			}
		}
		return false
	})

	begin := time.Now()
	linked.end(gen.TerminateReasonNormal) // its exit signal waits in the outbox
	linked.ended()
	plain, a := spawnPlain(t, s), spawnProbe(t, s, "")
	plain.must(func(p *plainProbe) error {
		return errors.Join(p.Monitor(s.PID(other.proc.Pid())), p.Monitor(pid))
	})
	a.must(func(p *probe) error {
		_, err := p.Call(pid, 1)
		return errors.Join(err, p.Link(pid), p.Monitor(pid))
	})
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("what has nothing to do with the stuck peer took %v", d)
	}
	select {
	case err := <-sent:
		t.Errorf("the sender did not wait for the stuck peer: %v", err)
	default:
	}
	close(release)
	if err := <-sent; err != nil {
		t.Errorf("sending to the peer once it reads again: %v", err)
	}
	if m := nextAs[node.Exit](other); m.From != linked.wire() || !etf.Equal(m.Reason, etf.Atom("normal")) {
		t.Errorf("got %v, want the exit of the linked actor", m)
	}
}

type topSupervisor struct {
	act.Supervisor
	got chan received
}

func (s *topSupervisor) Init(...any) (act.SupervisorSpec, error) {
	spec := act.SupervisorSpec{
		Type: act.SupervisorTypeOneForOne,
		Children: []act.SupervisorChildSpec{{
			Name: "child", Factory: func() gen.ProcessBehavior { return &probe{got: s.got} },
		}},
	}
	spec.Restart.Strategy = act.SupervisorStrategyPermanent
	spec.Restart.Intensity = 5
	spec.Restart.Period = 5
	return spec, nil
}

// A supervised Actor that a peer kills is a new process under the old name.
func TestPair_SupervisedActorComesBack(t *testing.T) {
	t.Parallel()
	s, n := pair(t)
	got := make(chan received, 16)
	sup, err := s.Ergo().Spawn(func() gen.ProcessBehavior { return &topSupervisor{got: got} }, gen.ProcessOptions{})
	if err != nil {
		t.Fatal(err)
	}
	name := node.ToName("child", s.Node().Name())
	self := func() etf.Pid {
		var pid etf.Pid
		eventually(t, "the child to answer", func() bool {
			r, err := n.GenCall(t.Context(), name, etf.Atom("self"))
			pid, _ = r.(etf.Pid)
			return err == nil
		})
		return pid
	}
	peer := spawnRaw(t, n)
	first := self()
	if _, err := peer.proc.Monitor(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if err := peer.proc.SendExit(t.Context(), first, etf.Atom("kill")); err != nil {
		t.Fatal(err)
	}
	if m := nextAs[node.Down](peer); !etf.Equal(m.Reason, etf.Atom("killed")) {
		t.Errorf("down %v, want killed", m)
	}
	if second := self(); second == first {
		t.Errorf("the child is %v as before", second)
	}
	if _, err := s.Ergo().ProcessState(sup); err != nil {
		t.Errorf("the supervisor: %v", err)
	}
}

// Links come and go while peers call act.Actors, whose answers need a connection of Ergo's.
func TestPair_AnswersOnFreshLinks(t *testing.T) {
	t.Parallel()
	s, n := pair(t)
	var pids []etf.Pid
	for range 8 {
		pids = append(pids, s.Pid(spawnPlain(t, s).pid))
	}
	for round := range 30 {
		var wg sync.WaitGroup
		for i, pid := range pids {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				for call := range 10 {
					req := int64(round*1000 + i*100 + call)
					got, err := n.GenCall(ctx, node.ToPid(pid), req)
					if err != nil || !etf.Equal(got, etf.Tuple{etf.Atom("echo"), req}) {
						t.Errorf("round %d: GenCall = %v, %v", round, got, err)
						return
					}
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		eventually(t, "Ergo to know the peer", func() bool {
			_, err := s.Ergo().Network().Node("peer@localhost")
			return err == nil
		})
		if round%2 == 0 {
			n.Disconnect(s.Node().Name())
		} else {
			s.Node().Disconnect(n.Name())
		}
		eventually(t, "both to see the link down", func() bool {
			return !n.Connected(s.Node().Name()) && !s.Node().Connected(n.Name())
		})
	}
}
