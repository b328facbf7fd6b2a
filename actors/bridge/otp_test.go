package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// beam is a real BEAM beside a system.
type beam struct {
	*nodetest.Erl
	t    *testing.T
	s    *System
	name node.Name
}

// eval evaluates in a scope of its own: bindings do not last, what put keeps does.
func (b *beam) eval(format string, args ...any) string {
	b.t.Helper()
	return b.Eval("(fun() -> " + fmt.Sprintf(format, args...) + " end)()")
}

// want evaluates and checks the value.
func (b *beam) want(want, format string, args ...any) {
	b.t.Helper()
	if got := b.eval(format, args...); got != want {
		b.t.Errorf("%s = %s, want %s", fmt.Sprintf(format, args...), got, want)
	}
}

// whereis is the pid of a name on the BEAM.
func (b *beam) whereis(name string) gen.PID {
	b.t.Helper()
	t, err := b.s.Node().Call(b.t.Context(), b.name, "erlang", "whereis", etf.Atom(name))
	if err != nil {
		b.t.Fatal(err)
	}
	pid, ok := t.(etf.Pid)
	if !ok {
		b.t.Fatalf("whereis(%s) = %v", name, t)
	}
	return b.s.PID(pid)
}

func (b *beam) id(name string) gen.ProcessID {
	return gen.ProcessID{Name: gen.Atom(name), Node: gen.Atom(b.name.String())}
}

// with is the beam for a subtest.
func (b *beam) with(t *testing.T) *beam {
	c := *b
	c.t = t
	return &c
}

const prelude = `
process_flag(trap_exit, true),
Mortal = fun(N) ->
  P = spawn(fun() -> receive {die, R} -> exit(R) end end),
  register(N, P), P end,
Trap = fun(N) ->
  P = spawn(fun() ->
    process_flag(trap_exit, true),
    (fun L() -> receive {die, R} -> exit(R); {tell, To} -> receive {'EXIT', F, R} -> To ! {exit_of, F, R} end, L() end end)()
  end),
  register(N, P), P end,
Server = spawn(fun L() -> receive
  {'$gen_call', _, {die, R}} -> exit(R);
  {'$gen_call', _, mute} -> L();
  {'$gen_call', F, R} -> gen_server:reply(F, {echo, R}), L()
end end),
register(server, Server),
Next = fun() -> receive M -> M after 20000 -> timeout end end,
ok.`

func TestOTP(t *testing.T) {
	for _, otp := range nodetest.Want(t, "25", "27", "29") {
		t.Run(otp.Release, func(t *testing.T) {
			t.Parallel()
			port := nodetest.StartEPMD(t)
			s := startSystem(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), "go")
			start := func(t *testing.T) *beam {
				b := &beam{
					Erl: nodetest.StartErl(t, otp, "beam", cookie, port), t: t, s: s,
					name: node.Name{Alive: "beam", Host: "localhost"},
				}
				b.Eval(prelude)
				return b
			}
			b := start(t)
			for _, c := range []struct {
				name string
				f    func(t *testing.T, b *beam)
			}{
				{"the BEAM speaks first", testFirstCall},
				{"send", testSend},
				{"call", testCall},
				{"actor ends", testActorEnds},
				{"process ends", testProcessEnds},
				{"nobody there", testNobody},
				{"kill", testKill},
				{"order", testOrder},
			} {
				if !t.Run(c.name, func(t *testing.T) { c.f(t, b.with(t)) }) {
					return
				}
			}
			t.Run("the BEAM is killed and comes back", func(t *testing.T) {
				testKilledBEAM(t, b.with(t), func() *beam { return start(t).with(t) })
			})
		})
	}
}

// The first thing on a fresh link is a call to an act.Actor, whose answer goes through Ergo's stack.
func testFirstCall(t *testing.T, b *beam) {
	a := spawnPlain(t, b.s)
	if err := b.s.Ergo().RegisterName("plain", a.pid); err != nil {
		t.Fatal(err)
	}
	b.want("{echo,hello}", "gen_server:call({plain, 'go@localhost'}, hello)")
	b.want("pong", "net_adm:ping('go@localhost')")
}

func testSend(t *testing.T, b *beam) {
	a := spawnProbe(t, b.s, "sender")
	b.eval("A = gen_server:call({sender, 'go@localhost'}, self), put(a, A), A ! {by_pid, 1}, {sender, 'go@localhost'} ! [], gen_server:cast(A, c)")
	a.want(etf.Tuple{etf.Atom("by_pid"), int64(1)})
	a.want(etf.List{})
	a.want(Cast{Request: etf.Atom("c")})
	b.eval("register(shell, self())")
	defer b.eval("unregister(shell)")
	a.must(func(p *probe) error {
		return errors.Join(
			p.Send(b.whereis("shell"), etf.Tuple{etf.Atom("from"), p.PID()}),
			p.Send(b.id("shell"), etf.Bitstring{Bytes: []byte{0xa0}, Bits: 3}),
			p.Send(b.id("shell"), Cast{Request: etf.Atom("x")}),
		)
	})
	b.want("true", "receive {from, F} -> F =:= get(a) after 20000 -> timeout end")
	b.want("<<5:3>>", "Next()")
	b.want("{'$gen_cast',x}", "Next()")
	b.eval("get(a) ! alias()")
	ref := a.next().Msg.(etf.Ref)
	a.must(func(p *probe) error { return p.Send(Alias(ref), etf.Atom("by_alias")) })
	b.want("by_alias", "Next()")
	a.end(gen.TerminateReasonNormal)
	a.ended()
}

func testCall(t *testing.T, b *beam) {
	a := spawnProbe(t, b.s, "callee")
	timeout := 10
	call := func(to, req any) (res any, err error) {
		a.must(func(p *probe) error { res, err = p.CallWithTimeout(to, req, timeout); return nil })
		return res, err
	}
	for _, to := range []any{b.whereis("server"), b.id("server")} {
		if got, err := call(to, etf.List{}); err != nil || !etf.Equal(got, etf.Tuple{etf.Atom("echo"), etf.List{}}) {
			t.Errorf("call of %v = %v, %v", to, got, err)
		}
	}
	timeout = 1
	if _, err := call(b.id("server"), etf.Atom("mute")); err != gen.ErrTimeout {
		t.Errorf("call without an answer: %v, want ErrTimeout", err)
	}
	timeout = 10
	if _, err := call(b.id("nobody"), 1); err != gen.ErrProcessUnknown {
		t.Errorf("call to nobody: %v, want ErrProcessUnknown", err)
	}
	if _, err := call(b.id("server"), etf.Tuple{etf.Atom("die"), etf.Atom("oops")}); !errors.Is(err, Reason(etf.Atom("oops"))) {
		t.Errorf("call to a server that dies: %v, want oops", err)
	}
	b.eval("register(server, spawn(fun L() -> receive {'$gen_call', F, R} -> gen_server:reply(F, {echo, R}), L() end end))")

	b.want("{echo,1}", "gen_server:call({callee, 'go@localhost'}, 1)")
	b.eval("put(callee, gen_server:call({callee, 'go@localhost'}, self))")
	b.want("{echo,#{a => [b]}}", "gen_server:call(get(callee), #{a => [b]})")
	done := make(chan string, 1)
	go func() {
		v, err := b.TryEval("gen_server:call(get(callee), late)")
		if err != nil {
			v = err.Error()
		}
		done <- v
	}()
	r := a.next()
	a.must(func(p *probe) error { return p.SendResponse(r.From, r.Msg.(gen.Ref), etf.Charlist("later")) })
	if got := <-done; got != `"later"` {
		t.Errorf("late answer = %s", got)
	}
	b.want("noproc", "try gen_server:call({nobody, 'go@localhost'}, 1) catch exit:{R, _} -> R end")
	b.want("{custom,1}", "try gen_server:call(get(callee), custom) catch exit:{R, _} -> R end")
	b.want("noproc", "try gen_server:call(get(callee), 1) catch exit:{R, _} -> R end")
	a.ended()
	spawnProbe(t, b.s, "callee")
	b.want("panic", "try gen_server:call({callee, 'go@localhost'}, crash) catch exit:{R, _} -> R end")
}

// Links and monitors of both directions, seen from the BEAM when the actor ends.
func testActorEnds(t *testing.T, b *beam) {
	for i, c := range endings {
		t.Run(c.name, func(t *testing.T) {
			b := b.with(t)
			a := spawnProbe(t, b.s, "ender")
			byPid, byName := fmt.Sprintf("linked_by_pid%d", i), fmt.Sprintf("linked_by_name%d", i)
			b.eval("put(a, gen_server:call({ender, 'go@localhost'}, self)), Trap(%s), Trap(%s)", byPid, byName)
			a.must(func(p *probe) error { return errors.Join(p.Link(b.whereis(byPid)), p.Link(b.id(byName))) })
			for _, name := range []string{byPid, byName} {
				// The actor's own pid, not the Ergo node's.
				b.want("true", `(fun W(0) -> process_info(whereis(%[1]s), links);
					W(K) -> case process_info(whereis(%[1]s), links) =:= {links, [get(a)]} of true -> true; false -> timer:sleep(5), W(K-1) end end)(2000)`, name)
			}
			b.eval("link(get(a)), put(m1, monitor(process, get(a))), put(m2, monitor(process, {ender, 'go@localhost'}))")
			b.eval("gen_server:call(get(a), behind), %s ! {tell, self()}, %s ! {tell, self()}", byPid, byName)
			c.end(a)
			want := b.eval("%s", etf.Format(c.want)) // as the BEAM prints it
			b.want(want, "A = get(a), receive {'EXIT', A, R} -> R after 20000 -> timeout end")
			b.want(want, "A = get(a), M = get(m1), receive {'DOWN', M, process, A, R} -> R after 20000 -> timeout end")
			b.want(want, "M = get(m2), receive {'DOWN', M, process, {ender, 'go@localhost'}, R} -> R after 20000 -> timeout end")
			for range 2 {
				b.want(want, "A = get(a), receive {exit_of, A, R} -> R after 20000 -> timeout end")
			}
			b.eval("%s ! {die, normal}, %s ! {die, normal}", byPid, byName)
			a.ended()
		})
		if t.Failed() {
			return
		}
	}
}

// Links and monitors of both directions, seen from the actors when the process ends.
func testProcessEnds(t *testing.T, b *beam) {
	for i, text := range []string{"normal", "shutdown", "killed", "{custom,[1]}"} {
		t.Run(text, func(t *testing.T) {
			b := b.with(t)
			reason, err := etf.ParseTerm(text)
			if err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprintf("mortal%d", i)
			b.eval("Mortal(%s)", name)
			pid, id := b.whereis(name), b.id(name)
			trapper, byName, victim, monitor := spawnProbe(t, b.s, ""), spawnProbe(t, b.s, ""), spawnProbe(t, b.s, ""), spawnProbe(t, b.s, "")
			linkee := spawnProbe(t, b.s, name+"_linkee")
			trapper.must(func(p *probe) error { p.SetTrapExit(true); return p.Link(pid) })
			byName.must(func(p *probe) error { p.SetTrapExit(true); return p.Link(id) })
			victim.must(func(p *probe) error { return p.Link(pid) })
			monitor.must(func(p *probe) error { return errors.Join(p.Monitor(pid), p.Monitor(id)) })
			b.eval(`register(%[1]s_linker, spawn(fun() ->
				link(rpc:call('go@localhost', erlang, whereis, [%[1]s_linkee])),
				{%[1]s_linkee, 'go@localhost'} ! linked,
				receive {die, R} -> exit(R) end end))`, name)
			linkee.want(etf.Atom("linked"))
			victim.must(func(p *probe) error { _, err := p.Call(b.id("server"), 1); return err }) // behind all that
			b.eval("%s ! {die, %s}", name, text)
			trapper.want(gen.MessageExitPID{PID: pid, Reason: Reason(reason)})
			byName.want(gen.MessageExitProcessID{ProcessID: id, Reason: Reason(reason)})
			first, second := monitor.next().Msg, monitor.next().Msg
			if _, ok := first.(gen.MessageDownPID); !ok {
				first, second = second, first
			}
			if want := (gen.MessageDownPID{PID: pid, Reason: Reason(reason)}); !same(first, want) {
				t.Errorf("got %v, want %v", first, want)
			}
			if want := (gen.MessageDownProcessID{ProcessID: id, Reason: Reason(reason)}); !same(second, want) {
				t.Errorf("got %v, want %v", second, want)
			}
			b.eval("%s_linker ! {die, %s}", name, text)
			if text == "normal" {
				victim.alive()
				b.want("{echo,1}", "gen_server:call({%s_linkee, 'go@localhost'}, 1)", name)
				return
			}
			victim.ended()
			linkee.ended()
		})
		if t.Failed() {
			return
		}
	}
}

func testNobody(t *testing.T, b *beam) {
	b.eval("{Gone, M} = spawn_monitor(fun() -> ok end), receive {'DOWN', M, _, _, _} -> register(gone_box, spawn(fun() -> receive P -> P ! Gone end end)) end")
	a := spawnProbe(t, b.s, "")
	a.must(func(p *probe) error { p.SetTrapExit(true); return p.Send(b.id("gone_box"), p.PID()) })
	pid := b.s.PID(a.next().Msg.(etf.Pid))
	name := b.id("nobody")
	a.must(func(p *probe) error { return p.Link(pid) })
	a.want(gen.MessageExitPID{PID: pid, Reason: gen.ErrProcessUnknown})
	a.must(func(p *probe) error { return p.Monitor(pid) })
	a.want(gen.MessageDownPID{PID: pid, Reason: gen.ErrProcessUnknown})
	a.must(func(p *probe) error { return p.Monitor(name) })
	a.want(gen.MessageDownProcessID{ProcessID: name, Reason: gen.ErrProcessUnknown})
	if err := a.do(func(p *probe) error { return p.Link(name) }); err != gen.ErrProcessUnknown {
		t.Errorf("link to nobody: %v, want ErrProcessUnknown", err)
	}
	b.want("noproc", "M = monitor(process, {nobody, 'go@localhost'}), receive {'DOWN', M, process, _, R} -> R after 20000 -> timeout end")
	b.want("undefined", "rpc:call('go@localhost', erlang, whereis, [nobody])")
}

func testKill(t *testing.T, b *beam) {
	a := spawnProbe(t, b.s, "immortal")
	a.must(func(p *probe) error { p.SetTrapExit(true); return nil })
	b.eval("A = gen_server:call({immortal, 'go@localhost'}, self), put(a, A), put(m, monitor(process, A)), exit(A, please)")
	if m, ok := a.next().Msg.(gen.MessageExitPID); !ok || !errors.Is(m.Reason, Reason(etf.Atom("please"))) {
		t.Errorf("got %v, want exit please", m)
	}
	b.eval("exit(get(a), kill)")
	b.want("killed", "M = get(m), receive {'DOWN', M, process, _, R} -> R after 20000 -> timeout end")
	a.ended()
	// And the other way round.
	k := spawnProbe(t, b.s, "")
	b.eval("Trap(to_kill)")
	pid := b.whereis("to_kill")
	k.must(func(p *probe) error { return errors.Join(p.Monitor(pid), p.SendExit(pid, Reason(etf.Atom("kill")))) })
	k.want(gen.MessageDownPID{PID: pid, Reason: gen.TerminateReasonKill})
}

const orderModule = `
-module(order).
-export([send/2, check/1]).
send(P, Count) -> send(P, 0, Count).
send(_, N, N) -> ok;
send(P, N, Count) -> P ! N, send(P, N + 1, Count).
check(Count) -> check(0, Count).
check(N, N) -> receive {ask, P} -> P ! in_order end;
check(N, Count) -> receive N -> check(N + 1, Count); Other -> receive {ask, P} -> P ! {got, Other, instead_of, N} end end.
`

func testOrder(t *testing.T, b *beam) {
	const count = 100_000
	b.eval(`Forms = (fun F([]) -> []; F(T) -> {Form, Rest} = lists:splitwith(fun(X) -> element(1, X) =/= dot end, T),
			{ok, P} = erl_parse:parse_form(Form ++ [hd(Rest)]), [P | F(tl(Rest))] end)(element(2, erl_scan:string(%q))),
		{ok, order, Code} = compile:forms(Forms), {module, order} = code:load_binary(order, "order", Code),
		register(checker, spawn(order, check, [%d]))`, orderModule, count)
	a := spawnProbe(t, b.s, "ordered")
	pid := b.whereis("checker")
	a.must(func(p *probe) error {
		for i := range count {
			if err := p.Send(pid, i); err != nil {
				return err
			}
		}
		return p.Send(pid, etf.Tuple{etf.Atom("ask"), p.PID()})
	})
	a.want(etf.Atom("in_order"))

	b.eval("order:send(gen_server:call({ordered, 'go@localhost'}, self), %d)", count)
	for i := range int64(count) {
		if r := a.next(); r.Msg != any(i) {
			t.Fatalf("message %d is %v", i, r.Msg)
		}
	}
}

func testKilledBEAM(t *testing.T, b *beam, again func() *beam) {
	a, victim, plain := spawnProbe(t, b.s, "survivor"), spawnProbe(t, b.s, ""), spawnPlain(t, b.s)
	pid, id := b.whereis("server"), b.id("server")
	a.must(func(p *probe) error {
		p.SetTrapExit(true)
		return errors.Join(p.Link(pid), p.Monitor(pid), p.Monitor(id))
	})
	victim.must(func(p *probe) error { return p.Link(pid) })
	plain.must(func(p *plainProbe) error {
		_, err := p.Call(id, 1)
		return errors.Join(err, p.Monitor(pid))
	})
	b.Kill()
	var got [3]any
	for i := range got {
		got[i] = a.next().Msg
	}
	for _, want := range []any{
		gen.MessageExitPID{PID: pid, Reason: gen.ErrNoConnection},
		gen.MessageDownPID{PID: pid, Reason: gen.ErrNoConnection},
		gen.MessageDownProcessID{ProcessID: id, Reason: gen.ErrNoConnection},
	} {
		if !same(got[0], want) && !same(got[1], want) && !same(got[2], want) {
			t.Errorf("no %#v among %v", want, got)
		}
	}
	plain.want(gen.MessageDownPID{PID: pid, Reason: gen.ErrNoConnection})
	victim.ended()
	if err := a.do(func(p *probe) error { _, err := p.Call(id, 1); return err }); !errors.Is(err, gen.ErrNoConnection) {
		t.Errorf("call to the killed node: %v, want ErrNoConnection", err)
	}

	b = again()
	a.must(func(p *probe) error {
		_, err := p.Call(id, 1) // connects
		return errors.Join(err, p.Monitor(id))
	})
	b.want("{echo,2}", "gen_server:call({survivor, 'go@localhost'}, 2)")
	// The old pid is of an earlier run of the node.
	a.must(func(p *probe) error { return p.Monitor(pid) })
	a.want(gen.MessageDownPID{PID: pid, Reason: gen.ErrProcessUnknown})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ctx.Err() == nil {
		err := plain.do(func(p *plainProbe) error { _, err := p.Call(id, 3); return err })
		if err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("an act.Actor does not reach the node that came back")
}
