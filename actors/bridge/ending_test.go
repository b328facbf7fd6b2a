package bridge

import (
	"errors"
	"testing"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

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
