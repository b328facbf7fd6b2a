package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// raw is a process of a plain node: a peer without Ergo.
type raw struct {
	t    *testing.T
	proc *node.Process
	box  *node.Mailbox
}

func spawnRaw(t *testing.T, n *node.Node) *raw {
	t.Helper()
	r := &raw{t: t, box: new(node.Mailbox)}
	r.proc = n.Spawn(r.box)
	return r
}

func (r *raw) next() node.Signal {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	s, err := r.box.Next(ctx)
	if err != nil {
		r.t.Fatalf("the peer got nothing: %v", err)
	}
	return s
}

func nextAs[T node.Signal](r *raw) T {
	r.t.Helper()
	s := r.next()
	m, ok := s.(T)
	if !ok {
		r.t.Fatalf("the peer got %#v, want %T", s, m)
	}
	return m
}

// serve answers calls with {echo, Request} until the process is over.
func (r *raw) serve() {
	ctx := r.t.Context()
	go func() {
		for {
			s, err := r.box.Next(ctx)
			if err != nil {
				return
			}
			m, ok := s.(node.Message)
			if !ok {
				continue
			}
			if c, ok := node.ParseGenCall(m.Term); ok {
				_ = r.proc.Reply(ctx, c, etf.Tuple{etf.Atom("echo"), c.Request}) // the test sees it missing
			}
		}
	}()
}

// pair is a system "go" and a plain node "peer".
func pair(t *testing.T) (*System, *node.Node) {
	t.Helper()
	m := startPortMapper(t)
	s := startSystem(t, m.addr, "go")
	n := newNode(t, m.addr, "peer")
	startNode(t, n)
	return s, n
}

// settle waits until the peer has taken what the system sent so far.
func settle(t *testing.T, s *System, n *node.Node) {
	t.Helper()
	var ce *node.CallError
	if _, err := s.Node().Call(t.Context(), n.Name(), "no_such_module", "f"); !errors.As(err, &ce) {
		t.Fatalf("call of a function that is not there: %v, want undef", err)
	}
}

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

// endings are the ways an actor ends, and what Erlang should see.
var endings = []struct {
	name string
	end  func(a *actor)
	want etf.Term
}{
	{"normal", func(a *actor) { a.end(gen.TerminateReasonNormal) }, etf.Atom("normal")},
	{"shutdown", func(a *actor) { a.end(gen.TerminateReasonShutdown) }, etf.Atom("shutdown")},
	{"killed", func(a *actor) { a.s.Ergo().Kill(a.pid) }, etf.Atom("killed")},
	{"custom", func(a *actor) {
		a.end(&ExitReason{Term: etf.Tuple{etf.Atom("shutdown"), etf.List{int64(300)}}})
	}, etf.Tuple{etf.Atom("shutdown"), etf.List{int64(300)}}},
	{"go error", func(a *actor) { a.end(errors.New("disk full")) }, etf.Tuple{etf.Atom("error"), etf.Binary("disk full")}},
	{"panic", func(a *actor) {
		a.s.Ergo().Send(a.pid, do{f: func(*probe) error { panic("as asked") }, done: make(chan error, 1)})
	}, etf.Atom("panic")},
}

func TestPair_ActorEndsTowardsPeer(t *testing.T) {
	t.Parallel()
	s, n := pair(t)
	for _, c := range endings {
		t.Run(c.name, func(t *testing.T) {
			a := spawnProbe(t, s, "ender")
			linker, linked := spawnRaw(t, n), spawnRaw(t, n)
			byPid, byName := spawnRaw(t, n), spawnRaw(t, n)
			ctx := t.Context()
			if err := linker.proc.Link(ctx, a.wire()); err != nil {
				t.Fatal(err)
			}
			a.must(func(p *probe) error { return p.Link(s.PID(linked.proc.Pid())) })
			pidRef, err := byPid.proc.Monitor(ctx, node.ToPid(a.wire()))
			if err != nil {
				t.Fatal(err)
			}
			name := node.ToName("ender", s.Node().Name())
			nameRef, err := byName.proc.Monitor(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			// Behind the links and monitors on the same link.
			if _, err := n.GenCall(ctx, node.ToPid(a.wire()), int64(1)); err != nil {
				t.Fatal(err)
			}
			c.end(a)
			for _, r := range []*raw{linker, linked} {
				if m := nextAs[node.Exit](r); m.From != a.wire() || !m.Linked || !etf.Equal(m.Reason, c.want) {
					t.Errorf("exit %v, want %s from %v", m, etf.Format(c.want), a.wire())
				}
			}
			if m := nextAs[node.Down](byPid); m.Ref != pidRef || !etf.Equal(m.Reason, c.want) {
				t.Errorf("down %v, want %s", m, etf.Format(c.want))
			}
			if m := nextAs[node.Down](byName); m.Ref != nameRef || m.Target != name || !etf.Equal(m.Reason, c.want) {
				t.Errorf("down %v, want %s", m, etf.Format(c.want))
			}
			a.ended()
			// And after its end.
			if _, err := byPid.proc.Monitor(ctx, node.ToPid(a.wire())); err != nil {
				t.Fatal(err)
			}
			if m := nextAs[node.Down](byPid); !etf.Equal(m.Reason, etf.Atom("noproc")) {
				t.Errorf("down %v, want noproc", m)
			}
		})
	}
}

// parting says goodbye while it ends.
type parting struct {
	Actor
	to etf.Pid
}

func (p *parting) HandleMessage(gen.PID, any) error { return gen.TerminateReasonNormal }
func (p *parting) Terminate(error) {
	if err := p.Send(p.to, etf.Atom("goodbye")); err != nil {
		panic(err)
	}
}

func TestPair_WhatTerminateSendsComesBeforeDown(t *testing.T) {
	t.Parallel()
	s, n := pair(t)
	peer := spawnRaw(t, n)
	pid, err := s.Ergo().Spawn(func() gen.ProcessBehavior { return &parting{to: peer.proc.Pid()} }, gen.ProcessOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := peer.proc.Monitor(t.Context(), node.ToPid(s.Pid(pid))); err != nil {
		t.Fatal(err)
	}
	if err := peer.proc.Send(t.Context(), node.ToPid(s.Pid(pid)), etf.Atom("end")); err != nil {
		t.Fatal(err)
	}
	if m := nextAs[node.Message](peer); m.Term != any(etf.Atom("goodbye")) {
		t.Errorf("got %v, want goodbye", m)
	}
	nextAs[node.Down](peer)
}

func TestPair_PeerEndsTowardsActor(t *testing.T) {
	t.Parallel()
	s, n := pair(t)
	for _, reason := range []etf.Term{
		etf.Atom("normal"), etf.Atom("shutdown"), etf.Atom("killed"), etf.Tuple{etf.Atom("custom"), int64(1)},
	} {
		t.Run(etf.Format(reason), func(t *testing.T) {
			trapper, victim, linkee, monitor := spawnProbe(t, s, ""), spawnProbe(t, s, ""), spawnProbe(t, s, ""), spawnProbe(t, s, "")
			peer := spawnRaw(t, n)
			if err := peer.proc.Register("mortal"); err != nil {
				t.Fatal(err)
			}
			pid := s.PID(peer.proc.Pid())
			name := gen.ProcessID{Name: "mortal", Node: "peer@localhost"}
			trapper.must(func(p *probe) error { p.SetTrapExit(true); return p.Link(pid) })
			victim.must(func(p *probe) error { return p.Link(pid) })
			if err := peer.proc.Link(t.Context(), linkee.wire()); err != nil {
				t.Fatal(err)
			}
			monitor.must(func(p *probe) error { return errors.Join(p.Monitor(pid), p.Monitor(name)) })
			// Something in front of the end: it must stay in front, also of an actor that is behind.
			releaseTrapper, releaseMonitor := trapper.hold(), monitor.hold()
			for i := range int64(100) {
				for _, a := range []*actor{trapper, monitor} {
					if err := peer.proc.Send(t.Context(), node.ToPid(a.wire()), i); err != nil {
						t.Fatal(err)
					}
				}
			}
			settle(t, s, n)
			peer.proc.Exit(reason)
			eventually(t, "the end to arrive", func() bool {
				infos := make([]gen.ProcessInfo, 2)
				for i, a := range []*actor{trapper, monitor} {
					var err error
					if infos[i], err = s.Ergo().ProcessInfo(a.pid); err != nil {
						t.Fatal(err)
					}
				}
				q, r := infos[0].MailboxQueues, infos[1].MailboxQueues
				return q.Main+q.System+q.Urgent == 101 && r.Main+r.System+r.Urgent == 102
			})
			releaseTrapper()
			releaseMonitor()
			for i := range int64(100) {
				trapper.want(i)
				monitor.want(i)
			}
			trapper.want(gen.MessageExitPID{PID: pid, Reason: Reason(reason)})
			first, second := monitor.next().Msg, monitor.next().Msg
			if _, ok := first.(gen.MessageDownPID); !ok {
				first, second = second, first
			}
			if want := (gen.MessageDownPID{PID: pid, Reason: Reason(reason)}); !same(first, want) {
				t.Errorf("got %v, want %v", first, want)
			}
			if want := (gen.MessageDownProcessID{ProcessID: name, Reason: Reason(reason)}); !same(second, want) {
				t.Errorf("got %v, want %v", second, want)
			}
			trapper.alive()
			if reason == any(etf.Atom("normal")) {
				victim.alive()
				linkee.alive()
			} else {
				victim.ended()
				linkee.ended()
			}
		})
	}
}

func TestPair_ExitsOfTwo(t *testing.T) {
	t.Parallel()
	s, n := pair(t)
	peer := spawnRaw(t, n)
	ctx := t.Context()

	trapper := spawnProbe(t, s, "")
	trapper.must(func(p *probe) error { p.SetTrapExit(true); return nil })
	if err := peer.proc.SendExit(ctx, trapper.wire(), etf.Atom("normal")); err != nil {
		t.Fatal(err)
	}
	trapper.want(gen.MessageExitPID{PID: s.PID(peer.proc.Pid()), Reason: gen.TerminateReasonNormal})

	plain := spawnProbe(t, s, "")
	if err := peer.proc.SendExit(ctx, plain.wire(), etf.Atom("normal")); err != nil {
		t.Fatal(err)
	}
	if _, err := n.GenCall(ctx, node.ToPid(plain.wire()), int64(1)); err != nil {
		t.Errorf("exit normal was not ignored: %v", err)
	}
	if _, err := peer.proc.Monitor(ctx, node.ToPid(trapper.wire())); err != nil {
		t.Fatal(err)
	}
	if err := peer.proc.SendExit(ctx, trapper.wire(), etf.Atom("kill")); err != nil {
		t.Fatal(err)
	}
	if m := nextAs[node.Down](peer); !etf.Equal(m.Reason, etf.Atom("killed")) {
		t.Errorf("down %v, want killed", m)
	}
	trapper.ended()

	plain.must(func(p *probe) error { return p.SendExit(s.PID(peer.proc.Pid()), gen.TerminateReasonShutdown) })
	if m := nextAs[node.Exit](peer); m.Linked || m.From != plain.wire() || !etf.Equal(m.Reason, etf.Atom("shutdown")) {
		t.Errorf("exit %v, want shutdown from %v", m, plain.wire())
	}
}

func TestPair_LinkAndMonitorNobody(t *testing.T) {
	t.Parallel()
	s, n := pair(t)
	gone := spawnRaw(t, n)
	gone.proc.Exit(etf.Atom("normal"))
	pid := s.PID(gone.proc.Pid())
	name := gen.ProcessID{Name: "nobody", Node: "peer@localhost"}
	a := spawnProbe(t, s, "")
	a.must(func(p *probe) error { p.SetTrapExit(true); return p.Link(pid) })
	a.want(gen.MessageExitPID{PID: pid, Reason: gen.ErrProcessUnknown})
	a.must(func(p *probe) error { return p.Monitor(pid) })
	a.want(gen.MessageDownPID{PID: pid, Reason: gen.ErrProcessUnknown})
	a.must(func(p *probe) error { return p.Monitor(name) })
	a.want(gen.MessageDownProcessID{ProcessID: name, Reason: gen.ErrProcessUnknown})
	a.must(func(p *probe) error { return p.Monitor(name) }) // again: the first is over
	a.want(gen.MessageDownProcessID{ProcessID: name, Reason: gen.ErrProcessUnknown})
}

func TestPair_UnlinkAndDemonitor(t *testing.T) {
	t.Parallel()
	s, n := pair(t)
	peer := spawnRaw(t, n)
	pid := s.PID(peer.proc.Pid())
	a := spawnProbe(t, s, "")
	a.must(func(p *probe) error {
		p.SetTrapExit(true)
		return errors.Join(p.Link(pid), p.Link(pid), p.Monitor(pid))
	})
	if err := a.do(func(p *probe) error { return p.Monitor(pid) }); err != gen.ErrTargetExist {
		t.Errorf("second monitor: %v, want ErrTargetExist", err)
	}
	a.must(func(p *probe) error { return errors.Join(p.Unlink(pid), p.Demonitor(pid)) })
	if err := a.do(func(p *probe) error { return p.Demonitor(pid) }); err != gen.ErrTargetUnknown {
		t.Errorf("second demonitor: %v, want ErrTargetUnknown", err)
	}
	peer.proc.Exit(etf.Atom("bye"))
	other := spawnRaw(t, n)
	if err := other.proc.Send(t.Context(), node.ToPid(a.wire()), etf.Atom("after")); err != nil {
		t.Fatal(err)
	}
	a.want(etf.Atom("after"))
}

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

func TestPair_OrderOf100000(t *testing.T) {
	t.Parallel()
	s, n := pair(t)
	a, plain := spawnProbe(t, s, ""), spawnPlain(t, s)
	peer := spawnRaw(t, n)
	const count = 100_000
	pid := s.PID(peer.proc.Pid())
	a.must(func(p *probe) error { return p.Send(pid, etf.Atom("start")) })
	nextAs[node.Message](peer)

	check := func(what string) {
		t.Helper()
		for i := range int64(count) {
			if m := nextAs[node.Message](peer); m.Term != any(i) {
				t.Fatalf("%s: message %d is %v", what, i, m.Term)
			}
		}
	}
	done := make(chan error, 1)
	go func() {
		done <- a.do(func(p *probe) error {
			for i := range int64(count) {
				if err := p.Send(pid, i); err != nil {
					return err
				}
			}
			return nil
		})
	}()
	check("from an Actor")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	go func() {
		done <- plain.do(func(p *plainProbe) error {
			for i := range int64(count) {
				if err := p.Send(pid, i); err != nil {
					return err
				}
			}
			return nil
		})
	}()
	check("from an act.Actor")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for i := range int64(count) {
		if err := peer.proc.Send(t.Context(), node.ToPid(a.wire()), i); err != nil {
			t.Fatal(err)
		}
	}
	for i := range int64(count) {
		if r := a.next(); r.Msg != any(i) {
			t.Fatalf("to an Actor: message %d is %v", i, r.Msg)
		}
	}
}

// More calls than Ergo has references, from many actors at once, each with its own answer.
func TestPair_300000CallsKeepTheirAnswers(t *testing.T) {
	t.Parallel()
	s, n := pair(t)
	var peers []*raw
	for range 4 {
		peer := spawnRaw(t, n)
		peer.serve()
		peers = append(peers, peer)
	}
	if err := s.Node().Connect(t.Context(), n.Name()); err != nil {
		t.Fatal(err)
	}
	const actors = 32
	calls := 300_000 / actors / 2
	if raceEnabled {
		calls /= 10
	}
	var wg sync.WaitGroup
	call := func(i int, f func(to any, req int64) (any, error)) error {
		for c := range calls {
			req := int64(i*calls + c)
			got, err := f(s.PID(peers[i%len(peers)].proc.Pid()), req)
			if err != nil {
				return fmt.Errorf("call %d: %w", c, err)
			}
			if !etf.Equal(got, etf.Tuple{etf.Atom("echo"), req}) {
				return fmt.Errorf("call %d of actor %d got %v", c, i, got)
			}
		}
		return nil
	}
	errs := make(chan error, 2*actors)
	run := func(send func(done chan error) error) {
		wg.Go(func() {
			done := make(chan error, 1)
			if err := send(done); err != nil {
				errs <- err
				return
			}
			errs <- <-done
		})
	}
	for i := range actors {
		a, plain := spawnProbe(t, s, ""), spawnPlain(t, s)
		run(func(done chan error) error {
			return s.Ergo().Send(a.pid, do{done: done, f: func(p *probe) error {
				return call(i, func(to any, req int64) (any, error) { return p.Call(to, req) })
			}})
		})
		run(func(done chan error) error {
			return s.Ergo().Send(plain.pid, plainDo{done: done, f: func(p *plainProbe) error {
				return call(i, func(to any, req int64) (any, error) { return p.Call(to, req) })
			}})
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}

// An address that takes connections and says nothing.
func blackHole(t *testing.T, m *portMapper, name string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	m.register(name, uint16(l.Addr().(*net.TCPAddr).Port))
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
