package node_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// server is a gen_server of ours: it answers echo of what it is called with, and counts casts and messages.
type server struct {
	casts, messages atomic.Int64
}

func (s *server) Receive(p *node.Process, sig node.Signal) {
	m, ok := sig.(node.Message)
	if !ok {
		return
	}
	if call, ok := node.ParseGenCall(m.Term); ok {
		switch call.Request {
		case etf.Term(etf.Atom("count")):
			p.Reply(context.Background(), call, s.messages.Swap(0))
		case etf.Term(etf.Atom("die")):
			p.Exit(etf.Atom("died"))
		default:
			p.Reply(context.Background(), call, call.Request)
		}
		return
	}
	if _, ok := node.ParseGenCast(m.Term); ok {
		s.casts.Add(1)
		return
	}
	m.Release()
	s.messages.Add(1)
}

// spawnServer makes a registered server.
func spawnServer(t testing.TB, n *node.Node, name etf.Atom) (*node.Process, *server) {
	t.Helper()
	s := &server{}
	p := n.Spawn(s)
	if err := p.Register(name); err != nil {
		t.Fatal(err)
	}
	return p, s
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// arrived waits until the BEAM has seen all that was sent to it.
func arrived(t testing.TB, n *node.Node, e *nodetest.Erl) {
	t.Helper()
	if _, err := n.Call(ctx(t), nameOf(e), "erlang", "node"); err != nil {
		t.Fatal(err)
	}
}

// next takes the next signal out of a mailbox.
func next[S node.Signal](t testing.TB, m *node.Mailbox) S {
	t.Helper()
	sig, err := m.Next(ctx(t))
	if err != nil {
		t.Fatalf("no signal: %v", err)
	}
	s, ok := sig.(S)
	if !ok {
		t.Fatalf("signal %T %+v, want %T", sig, sig, s)
	}
	return s
}

// loopProcess is Erlang for a process that does what it is told: {die, R} to exit, {tell, P, M} to send.
const loopProcess = `spawn(fun() -> (fun L() -> receive {die, R} -> exit(R); {tell, To, M} -> To ! M, L(); {link, To} -> link(To), L();
  {unlink, To} -> unlink(To), L(); {relay, To} -> (fun K() -> receive X -> To ! X, K() end end)() end end)() end)`

// beamPid starts such a process, registered.
func beamPid(t testing.TB, n *node.Node, e *nodetest.Erl, name string) etf.Pid {
	t.Helper()
	e.Eval(fmt.Sprintf("register(%s, %s)", name, loopProcess))
	v, err := n.Call(ctx(t), nameOf(e), "erlang", "whereis", etf.Atom(name))
	if err != nil {
		t.Fatal(err)
	}
	return v.(etf.Pid)
}

func TestOTP_GenCallIn(t *testing.T) {
	eachOTP(t, func(t *testing.T, n *node.Node, e *nodetest.Erl) {
		p, s := spawnServer(t, n, "echo")
		if got := e.Eval("gen_server:call({echo, keeper@localhost}, {hello, <<1,2>>, 1.5})"); got != "{hello,<<1,2>>,1.5}" {
			t.Errorf("call by name = %s", got)
		}
		// A pid that came from us.
		n.HandleFunc("our", "pid", 0, func(context.Context, node.CallInfo, []etf.Term) (etf.Term, error) { return p.Pid(), nil })
		if got := e.Eval("gen_server:call(erpc:call(keeper@localhost, our, pid, []), x)"); got != "x" {
			t.Errorf("call by pid = %s", got)
		}
		e.Eval("gen_server:cast({echo, keeper@localhost}, hi)")
		eventually(t, "cast", func() bool { return s.casts.Load() == 1 })
		if got := e.Eval("catch gen_server:call({nobody, keeper@localhost}, x)"); !strings.HasPrefix(got, "{'EXIT',{noproc,") {
			t.Errorf("call of nobody = %s", got)
		}
		if got := e.Eval("catch gen_server:call({echo, keeper@localhost}, die)"); !strings.HasPrefix(got, "{'EXIT',{died,") {
			t.Errorf("call of one that dies = %s", got)
		}
		if got := e.Eval("catch gen_server:call({echo, keeper@localhost}, x)"); !strings.HasPrefix(got, "{'EXIT',{noproc,") {
			t.Errorf("call of a dead one = %s", got)
		}
	})
}

func TestOTP_GenCallOut(t *testing.T) {
	eachOTP(t, func(t *testing.T, n *node.Node, e *nodetest.Erl) {
		peer := nameOf(e)
		v, err := n.GenCall(ctx(t), node.ToName("kernel_sup", peer), etf.Atom("which_children"))
		if list, ok := v.(etf.List); err != nil || !ok || len(list) == 0 {
			t.Errorf("which_children = %v, %v", v, err)
		}
		pid, err := n.Call(ctx(t), peer, "erlang", "whereis", etf.Atom("kernel_sup"))
		if err != nil {
			t.Fatal(err)
		}
		if v, err = n.GenCall(ctx(t), node.ToPid(pid.(etf.Pid)), etf.Atom("count_children")); err != nil {
			t.Errorf("count_children by pid = %v, %v", v, err)
		}
		var ce *node.CallError
		if _, err = n.GenCall(ctx(t), node.ToName("nobody", peer), 1); !errors.As(err, &ce) || ce.Class != node.ClassExit || ce.Reason != etf.Term(etf.Atom("noproc")) {
			t.Errorf("call of nobody = %v", err)
		}
		e.Eval("register(mortal, spawn(fun() -> receive {'$gen_call', _, _} -> exit({sad, 1}) end end))")
		if _, err = n.GenCall(ctx(t), node.ToName("mortal", peer), 1); !errors.As(err, &ce) || etf.Format(ce.Reason) != "{sad,1}" {
			t.Errorf("call of one that dies = %v", err)
		}
		e.Eval("register(mute, spawn(fun() -> receive after infinity -> ok end end))")
		short, cancel := context.WithTimeout(ctx(t), 50*time.Millisecond)
		defer cancel()
		if _, err = n.GenCall(short, node.ToName("mute", peer), 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("call of a mute one = %v", err)
		}
		eventually(t, "demonitor after the deadline", func() bool {
			return e.Eval("element(2, process_info(whereis(mute), monitored_by))") == "[]"
		})
	})
}

func TestOTP_MonitorOut(t *testing.T) {
	eachOTP(t, func(t *testing.T, n *node.Node, e *nodetest.Erl) {
		var box node.Mailbox
		p := n.Spawn(&box)
		pid := beamPid(t, n, e, "one")

		byPid, err := p.Monitor(ctx(t), node.ToPid(pid))
		if err != nil {
			t.Fatal(err)
		}
		byName, err := p.Monitor(ctx(t), node.ToName("one", nameOf(e)))
		if err != nil {
			t.Fatal(err)
		}
		dropped, _ := p.Monitor(ctx(t), node.ToPid(pid))
		if !p.Demonitor(dropped) || p.Demonitor(dropped) {
			t.Error("Demonitor: want true, then false")
		}
		arrived(t, n, e)
		e.Eval("one ! {die, {because, [1,2]}}")
		downs := map[etf.Ref]node.Down{}
		for range 2 {
			d := next[node.Down](t, &box)
			downs[d.Ref] = d
		}
		if d := downs[byPid]; d.Target != node.ToPid(pid) || etf.Format(d.Reason) != "{because,[1,2]}" {
			t.Errorf("Down by pid = %+v", d)
		}
		if d := downs[byName]; d.Target != node.ToName("one", nameOf(e)) || etf.Format(d.Reason) != "{because,[1,2]}" {
			t.Errorf("Down by name = %+v", d)
		}
		for _, to := range []node.Dest{node.ToPid(pid), node.ToName("nobody", nameOf(e))} {
			ref, err := p.Monitor(ctx(t), to)
			if err != nil {
				t.Fatal(err)
			}
			if d := next[node.Down](t, &box); d.Ref != ref || d.Reason != etf.Term(etf.Atom("noproc")) {
				t.Errorf("Down of %v = %+v", to, d)
			}
		}
	})
}

func TestOTP_MonitorIn(t *testing.T) {
	eachOTP(t, func(t *testing.T, n *node.Node, e *nodetest.Erl) {
		p, _ := spawnServer(t, n, "watched")
		n.HandleFunc("our", "pid", 0, func(context.Context, node.CallInfo, []etf.Term) (etf.Term, error) { return p.Pid(), nil })
		e.Eval("P = erpc:call(keeper@localhost, our, pid, []), R1 = monitor(process, P), R2 = monitor(process, {watched, keeper@localhost}), R3 = monitor(process, P), demonitor(R3), net_adm:ping(keeper@localhost)")
		p.Exit(etf.Tuple{etf.Atom("gone"), 7})
		if got := e.Eval("receive {'DOWN',R1,process,P,W1} -> W1 end"); got != "{gone,7}" {
			t.Errorf("by pid: %s", got)
		}
		if got := e.Eval("receive {'DOWN',R2,process,W2,W2r} -> {W2,W2r} end"); got != "{{watched,keeper@localhost},{gone,7}}" {
			t.Errorf("by name: %s", got)
		}
		if got := e.Eval("R4 = monitor(process, P), receive {'DOWN',R4,process,P,W4} -> W4 end"); got != "noproc" {
			t.Errorf("dead pid: %s", got)
		}
		if got := e.Eval("R5 = monitor(process, {watched, keeper@localhost}), receive {'DOWN',R5,process,_,W5} -> W5 end"); got != "noproc" {
			t.Errorf("unknown name: %s", got)
		}
		if got := e.Eval("receive M -> M after 0 -> none end"); got != "none" {
			t.Errorf("left over: %s", got)
		}
	})
}

func TestOTP_LinkOut(t *testing.T) {
	eachOTP(t, func(t *testing.T, n *node.Node, e *nodetest.Erl) {
		var box node.Mailbox
		p := n.Spawn(&box)
		one, two, three := beamPid(t, n, e, "one"), beamPid(t, n, e, "two"), beamPid(t, n, e, "three")
		for _, pid := range []etf.Pid{one, one, two, three} {
			if err := p.Link(ctx(t), pid); err != nil {
				t.Fatal(err)
			}
		}
		p.Unlink(two)
		eventually(t, "links of the BEAM's processes", func() bool {
			return strings.Contains(e.Eval("[length(element(2, process_info(whereis(X), links))) || X <- [one, two, three]]"), "[1,0,1]")
		})
		e.Eval("two ! {die, unseen}, one ! {die, {because, 1}}")
		if x := next[node.Exit](t, &box); x.From != one || !x.Linked || etf.Format(x.Reason) != "{because,1}" {
			t.Errorf("Exit = %+v", x)
		}
		if err := p.Link(ctx(t), one); err != nil {
			t.Fatal(err)
		}
		if x := next[node.Exit](t, &box); x.From != one || !x.Linked || x.Reason != etf.Term(etf.Atom("noproc")) {
			t.Errorf("Exit of a dead one = %+v", x)
		}
		e.Eval("M = monitor(process, three)")
		p.Exit(etf.Atom("ours_died"))
		if got := e.Eval("receive {'DOWN',M,process,_,Why} -> Why end"); got != "ours_died" {
			t.Errorf("linked BEAM process died of %s", got)
		}
		// Unlink and link again at once: the link holds.
		q := n.Spawn(&box)
		four := beamPid(t, n, e, "four")
		for range 50 {
			q.Link(ctx(t), four)
			q.Unlink(four)
		}
		q.Link(ctx(t), four)
		arrived(t, n, e)
		e.Eval("four ! {die, at_last}")
		if x := next[node.Exit](t, &box); x.From != four || x.Reason != etf.Term(etf.Atom("at_last")) {
			t.Errorf("Exit after relinking = %+v", x)
		}
		if box.Len() != 0 {
			t.Errorf("%d signals left over", box.Len())
		}
	})
}

func TestOTP_LinkIn(t *testing.T) {
	eachOTP(t, func(t *testing.T, n *node.Node, e *nodetest.Erl) {
		var box node.Mailbox
		p := n.Spawn(&box)
		var ours atomic.Pointer[node.Process]
		ours.Store(p)
		n.HandleFunc("our", "pid", 0, func(context.Context, node.CallInfo, []etf.Term) (etf.Term, error) { return ours.Load().Pid(), nil })
		one, two := beamPid(t, n, e, "one"), beamPid(t, n, e, "two")
		e.Eval("P = erpc:call(keeper@localhost, our, pid, []), one ! {link, P}, two ! {link, P}, two ! {unlink, P}, two ! {die, unseen}, one ! {die, {shutdown, x}}")
		if x := next[node.Exit](t, &box); x.From != one || !x.Linked || etf.Format(x.Reason) != "{shutdown,x}" {
			t.Errorf("Exit = %+v, want from %v and not from %v", x, one, two)
		}
		e.Eval("process_flag(trap_exit, true), link(P), exit(P, gently)")
		if x := next[node.Exit](t, &box); x.Linked || x.Reason != etf.Term(etf.Atom("gently")) {
			t.Errorf("exit/2 = %+v", x)
		}
		p.Exit(etf.Tuple{etf.Atom("bye")})
		if got := e.Eval("receive {'EXIT', P, W1} -> W1 end"); got != "{bye}" {
			t.Errorf("our exit = %s", got)
		}
		if got := e.Eval("link(P), receive {'EXIT', P, W2} -> W2 end"); got != "noproc" {
			t.Errorf("link to a dead one = %s", got)
		}
		p = n.Spawn(&box)
		ours.Store(p)
		e.Eval("P9 = erpc:call(keeper@localhost, our, pid, []), link(P9), exit(P9, kill)")
		if x := next[node.Exit](t, &box); !x.Killed || x.Reason != etf.Term(etf.Atom("kill")) {
			t.Errorf("kill = %+v", x)
		}
		if got := e.Eval("receive {'EXIT', P9, W3} -> W3 end"); got != "killed" {
			t.Errorf("exit of a killed one = %s", got)
		}
		<-p.Done()
	})
}

func TestOTP_SendAndAlias(t *testing.T) {
	eachOTP(t, func(t *testing.T, n *node.Node, e *nodetest.Erl) {
		var box node.Mailbox
		p := n.Spawn(&box)
		relay := beamPid(t, n, e, "relay")
		send := func(msg etf.Term) {
			t.Helper()
			if err := p.Send(ctx(t), node.ToPid(relay), msg); err != nil {
				t.Fatal(err)
			}
		}
		send(etf.Tuple{etf.Atom("tell"), p.Pid(), etf.Atom("to_pid")})
		if m := next[node.Message](t, &box); m.Term != etf.Term(etf.Atom("to_pid")) || m.From != relay {
			t.Errorf("to pid: %+v", m)
		}
		if e.OTP.Release == "23" {
			return // knows no aliases
		}
		alias := p.Alias()
		send(etf.Tuple{etf.Atom("tell"), alias, etf.Atom("to_alias")})
		if m := next[node.Message](t, &box); m.Term != etf.Term(etf.Atom("to_alias")) || m.Alias != alias {
			t.Errorf("to alias: %+v", m)
		}
		p.Unalias(alias)
		send(etf.Tuple{etf.Atom("tell"), alias, etf.Atom("lost")})
		if err := p.SendName(ctx(t), "relay", nameOf(e), etf.Tuple{etf.Atom("tell"), p.Pid(), etf.Atom("last")}); err != nil {
			t.Fatal(err)
		}
		if m := next[node.Message](t, &box); m.Term != etf.Term(etf.Atom("last")) {
			t.Errorf("after Unalias: %+v", m)
		}
		// A message to an alias of the BEAM's.
		e.Eval("A = alias()")
		v, err := n.Call(ctx(t), nameOf(e), "erlang", "node")
		if err != nil || v != etf.Term(etf.Atom(e.Name)) {
			t.Fatalf("node() = %v, %v", v, err)
		}
		e.Eval("{relay, '" + e.Name + "'} ! {tell, " + "relay" + ", nothing}")
		n.HandleFunc("our", "send", 1, func(c context.Context, _ node.CallInfo, args []etf.Term) (etf.Term, error) {
			return etf.Atom("ok"), p.Send(c, node.ToAlias(args[0].(etf.Ref)), etf.Atom("by_alias"))
		})
		if got := e.Eval("ok = erpc:call(keeper@localhost, our, send, [A]), receive X -> X after 5000 -> none end"); got != "by_alias" {
			t.Errorf("to the BEAM's alias: %s", got)
		}
	})
}

var ctx0 = context.Background()
