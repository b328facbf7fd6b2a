package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// cluster is one EPMD with a node of ours and a BEAM of each release, all connected as far as they can be: OTP 23 lacks
// what 27 and 29 demand, and speaks to us alone.
type cluster struct {
	epmd int
	us   *node.Node // keeper@localhost
}

// pair is one BEAM of the cluster and a part of our node that is for the tests with it.
type pair struct {
	*cluster
	e *nodetest.Erl
}

// named makes a name that no other pair uses.
func (p pair) named(s string) string { return s + p.e.OTP.Release }

// eval is Eval for the goroutine of a subtest.
func (p pair) eval(t *testing.T, expr string) string {
	t.Helper()
	v, err := p.e.TryEval(expr)
	if err != nil {
		t.Fatalf("%s: %s\n%v", p.e.Name, expr, err)
	}
	return v
}

// pairTests are what each release does with us, and we with it, while the others do the same.
var pairTests = []struct {
	name string
	run  func(*testing.T, pair)
}{
	{"ping", pairPing},
	{"rpc", pairRPC},
	{"monitors", pairMonitors},
	{"links", pairLinks},
	{"bulk", pairBulk},
	{"order", pairOrder},
	{"lost", pairLost},
	{"simultaneous", pairSimultaneous},
	{"restarted BEAM", pairRestartedBEAM},
	{"restarted keeper", pairRestartedKeeper},
}

func TestOTP_Pairs(t *testing.T) {
	t.Parallel()
	otps := nodetest.Want(t, "23", "25", "27", "29")
	c := &cluster{epmd: nodetest.StartEPMD(t)}
	c.us = startNode(t, "keeper@localhost", c.epmd)
	var pairs []pair
	for _, otp := range otps {
		pairs = append(pairs, pair{cluster: c, e: nodetest.StartErl(t, otp, "beam"+otp.Release, cookie, c.epmd)})
	}
	for _, p := range pairs {
		if err := c.us.Connect(ctx(t), nameOf(p.e)); err != nil {
			t.Fatal(err)
		}
	}
	if got := pairs[0].e.Eval("net_adm:ping(beam27@localhost)"); got != "pang" {
		t.Errorf("OTP 23 pings 27: %s: it could do without us", got)
	}
	if got := pairs[1].e.Eval("[net_adm:ping(N) || N <- [beam27@localhost, beam29@localhost]]"); got != "[pong,pong]" {
		t.Errorf("OTP 25 pings 27 and 29: %s", got)
	}
	t.Run("pairs", func(t *testing.T) {
		for _, p := range pairs {
			t.Run(p.e.OTP.Release, func(t *testing.T) {
				t.Parallel()
				for _, test := range pairTests {
					t.Run(test.name, func(t *testing.T) { test.run(t, p) })
				}
			})
		}
	})
	// After all that the cluster is as it was: we have brought nobody together, and nobody apart.
	for _, p := range pairs {
		want := "[]"
		if p.e.OTP.Release != "23" {
			want = "[beam25@localhost,beam27@localhost,beam29@localhost]"
		}
		if got := p.e.Eval("lists:sort([node() || nodes() =/= []] ++ nodes())"); got != want {
			t.Errorf("nodes() of OTP %s: %s, want %s", p.e.OTP.Release, got, want)
		}
		if got := p.e.Eval("nodes(hidden)"); got != "[keeper@localhost]" {
			t.Errorf("nodes(hidden) of OTP %s: %s", p.e.OTP.Release, got)
		}
		if out := p.e.Output(); strings.Contains(out, "global") {
			t.Errorf("OTP %s complained: %s", p.e.OTP.Release, out)
		}
	}
	if got := c.us.Peers(); len(got) != len(pairs) {
		t.Errorf("Peers() = %+v", got)
	}
}

func pairPing(t *testing.T, p pair) {
	if got := p.eval(t, "net_adm:ping(keeper@localhost)"); got != "pong" {
		t.Errorf("ping = %s", got)
	}
	p.us.Disconnect(nameOf(p.e))
	v, err := p.us.GenCall(ctx(t), node.ToName("net_kernel", nameOf(p.e)), etf.Tuple{etf.Atom("is_auth"), p.us.Name().Atom()})
	if err != nil || v != etf.Term(etf.Atom("yes")) {
		t.Errorf("our ping = %v, %v", v, err)
	}
}

func pairRPC(t *testing.T, p pair) {
	for expr, want := range map[string]string{
		"rpc:call(keeper@localhost, erlang, node, [])":       "keeper@localhost",
		"rpc:block_call(keeper@localhost, erlang, node, [])": "keeper@localhost",
		"erpc:call(keeper@localhost, erlang, node, [])":      "keeper@localhost",
		"rpc:call(keeper@localhost, no, fn, [1])":            "{badrpc,{'EXIT',{undef,[{no,fn,[1],[]}]}}}",
	} {
		if got := p.eval(t, expr); got != want {
			t.Errorf("%s = %s, want %s", expr, got, want)
		}
	}
	v, err := p.us.Call(ctx(t), nameOf(p.e), "lists", "reverse", etf.List{1, etf.Atom("x")})
	if err != nil || !etf.Equal(v, etf.List{etf.Atom("x"), 1}) {
		t.Errorf("lists:reverse = %v, %v", v, err)
	}
	var ce *node.CallError
	if _, err := p.us.Call(ctx(t), nameOf(p.e), "erlang", "throw", 7); !errors.As(err, &ce) || ce.Class != node.ClassThrow {
		t.Errorf("erlang:throw = %v", err)
	}
}

func pairMonitors(t *testing.T, p pair) {
	name := p.named("watched")
	ours, _ := spawnServer(t, p.us, etf.Atom(name))
	p.eval(t, fmt.Sprintf(`W = erpc:call(keeper@localhost, erlang, whereis, [%[1]s]), R1 = monitor(process, W), R2 = monitor(process, {%[1]s, keeper@localhost}),
		R3 = monitor(process, W), demonitor(R3), net_adm:ping(keeper@localhost)`, name))
	ours.Exit(etf.Tuple{etf.Atom("gone"), 7})
	got := p.eval(t, "[receive {'DOWN', R, process, _, Y} -> Y after 20000 -> none end || R <- [R1, R2]] ++ [receive {'DOWN', R3, _, _, _} -> demonitored after 0 -> ok end]")
	if got != "[{gone,7},{gone,7},ok]" {
		t.Errorf("the BEAM's monitors: %s", got)
	}
	if got := p.eval(t, "R4 = monitor(process, W), receive {'DOWN', R4, process, W, Y4} -> Y4 after 20000 -> none end"); got != "noproc" {
		t.Errorf("the BEAM's monitor of a dead one: %s", got)
	}

	var box node.Mailbox
	q := p.us.Spawn(&box)
	defer q.Exit(etf.Atom("normal"))
	pid := beamPid(t, p.us, p.e, "mortal")
	for _, to := range []node.Dest{node.ToPid(pid), node.ToName("mortal", nameOf(p.e))} {
		if _, err := q.Monitor(ctx(t), to); err != nil {
			t.Fatal(err)
		}
	}
	arrived(t, p.us, p.e)
	p.eval(t, "mortal ! {die, {because, [1,2]}}")
	for range 2 {
		if d := next[node.Down](t, &box); etf.Format(d.Reason) != "{because,[1,2]}" {
			t.Errorf("our Down = %+v", d)
		}
	}
	if _, err := q.Monitor(ctx(t), node.ToPid(pid)); err != nil {
		t.Fatal(err)
	}
	if d := next[node.Down](t, &box); d.Reason != etf.Term(etf.Atom("noproc")) {
		t.Errorf("our Down of a dead one = %+v", d)
	}
}

func pairLinks(t *testing.T, p pair) {
	var box node.Mailbox
	q := p.us.Spawn(&box)
	one := beamPid(t, p.us, p.e, "one")
	two := beamPid(t, p.us, p.e, "two")
	for _, pid := range []etf.Pid{one, two} {
		for range 20 { // linked again at once each time
			if err := q.Link(ctx(t), pid); err != nil {
				t.Fatal(err)
			}
			q.Unlink(pid)
		}
		if err := q.Link(ctx(t), pid); err != nil {
			t.Fatal(err)
		}
	}
	arrived(t, p.us, p.e)
	p.eval(t, "M1 = monitor(process, two), one ! {die, {because, 1}}")
	if x := next[node.Exit](t, &box); x.From != one || !x.Linked || etf.Format(x.Reason) != "{because,1}" {
		t.Errorf("our Exit = %+v", x)
	}
	q.Exit(etf.Atom("ours_died"))
	if got := p.eval(t, "receive {'DOWN', M1, process, _, Y1} -> Y1 after 20000 -> none end"); got != "ours_died" {
		t.Errorf("linked BEAM process died of %s", got)
	}

	name := p.named("linked")
	r := p.us.Spawn(&box)
	if err := r.Register(etf.Atom(name)); err != nil {
		t.Fatal(err)
	}
	p.eval(t, `process_flag(trap_exit, true), L = erpc:call(keeper@localhost, erlang, whereis, [`+name+`]),
		[begin link(L), unlink(L) end || _ <- lists:seq(1, 20)], link(L), net_adm:ping(keeper@localhost)`)
	r.Exit(etf.Tuple{etf.Atom("bye")})
	if got := p.eval(t, "receive {'EXIT', L, Y2} -> Y2 after 20000 -> none end"); got != "{bye}" {
		t.Errorf("the BEAM's EXIT: %s", got)
	}
	if got := p.eval(t, "link(L), receive {'EXIT', L, Y3} -> Y3 after 20000 -> none end"); got != "noproc" {
		t.Errorf("the BEAM's link to a dead one: %s", got)
	}
	if box.Len() != 0 {
		t.Errorf("%d signals left over", box.Len())
	}
}

// pairBulk sends 10 MiB both ways: as a binary, as many small terms, as arguments and results.
func pairBulk(t *testing.T, p pair) {
	const size = 10 << 20
	var box node.Mailbox
	q := p.us.Spawn(&box)
	defer q.Exit(etf.Atom("normal"))
	if err := q.Register(etf.Atom(p.named("big"))); err != nil {
		t.Fatal(err)
	}
	p.eval(t, fmt.Sprintf("B = binary:copy(<<\"0123456789abcdef\">>, %d), {%s, keeper@localhost} ! {blob, B, self()}, ok", size/16, p.named("big")))
	m := next[node.Message](t, &box)
	tuple, ok := m.Term.(etf.Tuple)
	if !ok || len(tuple) != 3 {
		t.Fatalf("message %T", m.Term)
	}
	want := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	if b, _ := tuple[1].(etf.Binary); !bytes.Equal(b, want) {
		t.Error("10 MiB from the BEAM arrived differently")
	}
	// Back, as a binary (sent from where it is), as a list (encoded), and between small ones in order.
	list := make(etf.List, 1<<18)
	for i := range list {
		list[i] = i
	}
	to := node.ToPid(tuple[2].(etf.Pid))
	for _, msg := range []etf.Term{
		etf.Tuple{etf.Atom("a"), 1}, etf.Tuple{etf.Atom("blob"), etf.Binary(want), etf.Atom("tail")}, etf.Tuple{etf.Atom("a"), 2},
		etf.Tuple{etf.Atom("list"), list}, etf.Tuple{etf.Atom("a"), 3},
	} {
		if err := q.Send(ctx(t), to, msg); err != nil {
			t.Fatal(err)
		}
	}
	got := p.eval(t, fmt.Sprintf(`G = fun() -> receive X -> X after 30000 -> timeout end end,
		{a,1} = G(), {blob, B2, tail} = G(), {a,2} = G(), {list, L1} = G(), {a,3} = G(), {B2 =:= B, L1 =:= lists:seq(0, %d - 1)}`, len(list)))
	if got != "{true,true}" {
		t.Errorf("10 MiB to the BEAM: %s", got)
	}
	v, err := p.us.Call(ctx(t), nameOf(p.e), "erlang", "byte_size", etf.Binary(want))
	if err != nil || v != etf.Term(int64(size)) {
		t.Errorf("byte_size = %v, %v", v, err)
	}
	v, err = p.us.Call(ctx(t), nameOf(p.e), "binary", "copy", etf.Binary("0123456789abcdef"), size/16)
	if b, _ := v.(etf.Binary); err != nil || !bytes.Equal(b, want) {
		t.Errorf("binary:copy differs, %v", err)
	}
}

// pairOrder floods both ways at the same time.
func pairOrder(t *testing.T, p pair) {
	const count = 30_000
	var expect, wrong int64
	done := make(chan struct{})
	name := etf.Atom(p.named("sink"))
	q := p.us.Spawn(node.ReceiverFunc(func(_ *node.Process, s node.Signal) {
		if v, _ := s.(node.Message).Term.(int64); v != expect {
			wrong++
		}
		if expect++; expect == count {
			close(done)
		}
	}))
	defer q.Exit(etf.Atom("normal"))
	if err := q.Register(name); err != nil {
		t.Fatal(err)
	}
	p.eval(t, fmt.Sprintf(`Me = self(), register(sink, spawn(fun() ->
		N = lists:foldl(fun(I, W) -> receive I -> W; _ -> W + 1 end end, 0, lists:seq(0, %[1]d)), Me ! {wrong, N} end)),
		spawn(fun() -> [{%[2]s, keeper@localhost} ! I || I <- lists:seq(0, %[1]d)] end), ok`, count-1, name))
	for i := range count {
		if err := q.SendName(ctx0, "sink", nameOf(p.e), i); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-done:
	case <-ctx(t).Done():
		t.Fatal("not all arrived")
	}
	if wrong != 0 {
		t.Errorf("%d of %d from the BEAM out of order", wrong, count)
	}
	if got := p.eval(t, "receive {wrong, N} -> N after 60000 -> timeout end"); got != "0" {
		t.Errorf("out of order at the BEAM: %s", got)
	}
}

// pairLost loses the connection, of which both sides hear, and makes a new one from either side.
func pairLost(t *testing.T, p pair) {
	name := p.named("lost")
	ours, _ := spawnServer(t, p.us, etf.Atom(name))
	defer ours.Exit(etf.Atom("normal"))
	for _, by := range []string{"us", "BEAM"} {
		p.eval(t, "pong = net_adm:ping(keeper@localhost), monitor_node(keeper@localhost, true), put(lost, monitor(process, {"+name+", keeper@localhost}))")
		eventually(t, "link", func() bool { return p.us.Connected(nameOf(p.e)) })
		if by == "us" {
			if !p.us.Disconnect(nameOf(p.e)) {
				t.Error("Disconnect = false")
			}
		} else {
			p.eval(t, "erlang:disconnect_node(keeper@localhost)")
		}
		got := p.eval(t, `receive {nodedown, keeper@localhost} -> nodedown after 20000 -> none end`) + " " +
			p.eval(t, `(fun(R) -> receive {'DOWN', R, process, _, Y} -> Y after 20000 -> none end end)(erase(lost))`)
		if got != "nodedown noconnection" {
			t.Errorf("disconnected by %s: %s", by, got)
		}
		eventually(t, "our nodedown", func() bool { return !p.us.Connected(nameOf(p.e)) })
		if by == "us" {
			if err := p.us.Connect(ctx(t), nameOf(p.e)); err != nil {
				t.Errorf("Connect again: %v", err)
			}
		}
		if got := p.eval(t, "gen_server:call({"+name+", keeper@localhost}, hi)"); got != "hi" {
			t.Errorf("call after reconnection: %s", got)
		}
	}
}

// meeting is a transport that lets a connection of ours and one of the peer's begin their handshakes together.
type meeting struct {
	node.TCP
	meet chan struct{}
	met  *atomic.Int32 // how often they did
}

// alone is how long a connection waits for the other one, which may not come.
const alone = time.Second

func (m meeting) Dial(ctx context.Context, addr string, peer node.Name) (net.Conn, error) {
	c, err := m.TCP.Dial(ctx, addr, peer)
	if err == nil {
		select {
		case m.meet <- struct{}{}:
			m.met.Add(1)
		case <-time.After(alone):
		}
	}
	return c, err
}

func (m meeting) Listen(ctx context.Context, addr string) (net.Listener, error) {
	l, err := m.TCP.Listen(ctx, addr)
	return meetingListener{l, m.meet}, err
}

type meetingListener struct {
	net.Listener
	meet chan struct{}
}

func (l meetingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		select {
		case <-l.meet:
		case <-time.After(alone):
		}
	}
	return c, err
}

// pairSimultaneous connects from both sides at the same moment, again and again: there is always one link, which works.
// The greater name wins, so it is done with one of each kind.
func pairSimultaneous(t *testing.T, p pair) {
	for _, ours := range []string{p.named("aaa") + "@localhost", p.named("zzz") + "@localhost"} {
		m := meeting{meet: make(chan struct{}), met: new(atomic.Int32)}
		n := startNode(t, ours, p.epmd, func(c *node.Config) { c.Transport = m })
		for i := range 20 {
			var wg sync.WaitGroup
			wg.Go(func() {
				if got, err := p.e.TryEval("net_adm:ping(" + ours + ")"); err != nil || got != "pong" {
					t.Errorf("%s, round %d: ping = %s, %v", ours, i, got, err)
				}
			})
			wg.Go(func() {
				if err := n.Connect(ctx(t), nameOf(p.e)); err != nil {
					t.Errorf("%s, round %d: Connect = %v", ours, i, err)
				}
			})
			wg.Wait()
			if t.Failed() {
				return
			}
			if _, err := n.Call(ctx(t), nameOf(p.e), "erlang", "node"); err != nil {
				t.Errorf("%s, round %d: call = %v", ours, i, err)
			}
			if got := n.Peers(); len(got) != 1 {
				t.Errorf("%s, round %d: Peers() = %+v", ours, i, got)
			}
			n.Disconnect(nameOf(p.e))
			eventually(t, "the BEAM's nodedown", func() bool { return !strings.Contains(p.eval(t, "nodes(hidden)"), ours) })
		}
		if m.met.Load() == 0 {
			t.Errorf("%s: no two connections met", ours)
		}
		n.Close()
	}
}

// pairRestartedBEAM kills a BEAM and starts another of the same name: what was of the dead one is told, and its pids
// reach nobody in the new one.
func pairRestartedBEAM(t *testing.T, p pair) {
	name := p.named("mortal")
	noconnection, noproc := etf.Term(etf.Atom("noconnection")), etf.Term(etf.Atom("noproc"))
	e := nodetest.StartErl(t, p.e.OTP, name, cookie, p.epmd)
	var mu sync.Mutex
	var events []node.NodeEvent
	peer := nameOf(e)
	defer p.us.Subscribe(func(ev node.NodeEvent) {
		mu.Lock()
		defer mu.Unlock()
		if ev.Peer == peer {
			events = append(events, ev)
		}
	})()
	var box node.Mailbox
	q := p.us.Spawn(&box)
	defer q.Exit(etf.Atom("normal"))
	old := beamPid(t, p.us, e, "one")
	ref, err := q.Monitor(ctx(t), node.ToPid(old))
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Link(ctx(t), old); err != nil {
		t.Fatal(err)
	}
	called := make(chan error)
	go func() {
		_, err := p.us.Call(ctx(t), nameOf(e), "timer", "sleep", etf.Atom("infinity"))
		called <- err
	}()
	arrived(t, p.us, e)
	e.Kill()
	if err := <-called; !errors.Is(err, node.ErrNoConnection) {
		t.Errorf("Call under way = %v", err)
	}
	for range 2 {
		sig, err := box.Next(ctx(t))
		if err != nil {
			t.Fatal(err)
		}
		switch s := sig.(type) {
		case node.Down:
			if s.Ref != ref || s.Reason != noconnection {
				t.Errorf("Down = %+v", s)
			}
		case node.Exit:
			if s.From != old || s.Reason != noconnection || !s.Linked {
				t.Errorf("Exit = %+v", s)
			}
		}
	}
	eventually(t, "nodeup and nodedown", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(events) == 2 && events[0].Up && !events[1].Up && events[1].Err != nil
	})
	if err := p.us.Connect(ctx(t), nameOf(e)); err == nil {
		t.Error("connected to a dead node")
	}
	eventually(t, "epmd forgets the dead node", func() bool {
		_, err := p.us.EPMD().PortPlease(ctx(t), nameOf(e))
		return errors.Is(err, node.ErrNameUnknown)
	})

	e = nodetest.StartErl(t, p.e.OTP, name, cookie, p.epmd)
	fresh := beamPid(t, p.us, e, "one")
	if fresh.Creation == old.Creation {
		t.Fatalf("creation %d once more", fresh.Creation)
	}
	stale := fresh // the pid that the process would have had in the former run
	stale.Creation = old.Creation
	if err := q.Send(ctx(t), node.ToPid(stale), etf.Tuple{etf.Atom("die"), etf.Atom("of_stale_message")}); err != nil {
		t.Error(err)
	}
	if err := q.SendExit(ctx(t), stale, etf.Atom("of_stale_exit")); err != nil {
		t.Error(err)
	}
	if ref, err = q.Monitor(ctx(t), node.ToPid(stale)); err != nil {
		t.Error(err)
	}
	if d := next[node.Down](t, &box); d.Ref != ref || d.Reason != noproc && d.Reason != noconnection {
		t.Errorf("monitor of a pid of the former run: %+v", d)
	}
	if err := q.Link(ctx(t), stale); err != nil {
		t.Error(err)
	}
	if x := next[node.Exit](t, &box); x.From != stale || x.Reason != noproc && x.Reason != noconnection {
		t.Errorf("link to a pid of the former run: %+v", x)
	}
	if v, err := p.us.Call(ctx(t), nameOf(e), "erlang", "is_process_alive", fresh); err != nil || v != etf.Term(etf.Atom("true")) {
		t.Errorf("the process of the new run: %v, %v", v, err)
	}
	e.Kill()
}

// pairRestartedKeeper is the same with a node of ours that comes back under its name.
func pairRestartedKeeper(t *testing.T, p pair) {
	name := p.named("second")
	start := func() (*node.Node, *node.Process, *node.Mailbox) {
		n := startNode(t, name+"@localhost", p.epmd)
		box := &node.Mailbox{}
		q := n.Spawn(box)
		if err := q.Register("box"); err != nil {
			t.Fatal(err)
		}
		return n, q, box
	}
	n, old, _ := start()
	at := name + "@localhost"
	p.eval(t, fmt.Sprintf(`process_flag(trap_exit, true), S = erpc:call(%s, erlang, whereis, [box]), R6 = monitor(process, S), link(S), monitor_node(%[1]s, true), net_adm:ping(%[1]s)`, at))
	n.Close()
	got := p.eval(t, fmt.Sprintf(`[receive {nodedown, %s} -> ok after 20000 -> none end, receive {'DOWN', R6, process, S, Y6} -> Y6 after 20000 -> none end,
		receive {'EXIT', S, Y7} -> Y7 after 20000 -> none end]`, at))
	if got != "[ok,noconnection,noconnection]" {
		t.Errorf("the BEAM heard %s", got)
	}
	n, fresh, box := start()
	if a, b := old.Pid(), fresh.Pid(); a.ID != b.ID || a.Serial != b.Serial || a.Creation == b.Creation {
		t.Fatalf("pids %v and %v show nothing", a, b)
	}
	got = p.eval(t, fmt.Sprintf(`pong = net_adm:ping(%s), S ! stale, exit(S, stale), R8 = monitor(process, S), link(S),
		Z = [receive {'DOWN', R8, process, S, Y8} -> Y8 after 20000 -> none end, receive {'EXIT', S, Y9} -> Y9 after 20000 -> none end],
		pong = net_adm:ping(%[1]s), Z`, at))
	if got != "[noproc,noproc]" && got != "[noconnection,noconnection]" {
		t.Errorf("monitor of and link to a pid of the former run: %s", got)
	}
	if box.Len() != 0 {
		s, _ := box.Next(ctx(t))
		t.Errorf("a pid of the former run reached the new one: %+v", s)
	}
	if got := p.eval(t, fmt.Sprintf(`{box, %s} ! fresh, gen_server:call({net_kernel, %[1]s}, {is_auth, node()})`, at)); got != "yes" {
		t.Errorf("call of the new one: %s", got)
	}
	if m := next[node.Message](t, box); m.Term != etf.Term(etf.Atom("fresh")) {
		t.Errorf("received %+v", m)
	}
	n.Close()
	eventually(t, "the BEAM's nodedown", func() bool { return !strings.Contains(p.eval(t, "nodes(hidden)"), at) })
}
