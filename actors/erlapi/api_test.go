package erlapi_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/beamkeeper/beamkeeper/actors/erlapi"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

const denied = "{error,denied}"

func TestAPI_AnswersAnInstance(t *testing.T) {
	eachOTP(t, func(t *testing.T, otp nodetest.OTP) {
		r := newRig(t)
		e := r.beam(otp, shop)

		// By rpc and as a gen_server, the same.
		want(t, e, `{ok, S} = Rpc(status, []), {ok, S} =:= Call(status)`, "true")
		want(t, e, `{ok, A} = Rpc(status, [shop]), {ok, A} =:= Call({status, <<"shop">>})`, "true")
		want(t, e, `erpc:call(K, beamkeeper, history, ["shop"]) =:= Call({history, shop})`, "true")

		// It sees its own app, and the daemon without the problems of others.
		want(t, e, `[maps:get(name, X) || X <- maps:get(apps, S)]`, `[<<"shop">>]`)
		want(t, e, `maps:with([node, version, started_at, problems], S)`,
			`#{node => <<"beamkeeper@localhost">>,problems => [],started_at => <<"2026-11-20T10:00:00.123Z">>,version => <<"0.3.0">>}`)
		want(t, e, `[A] =:= maps:get(apps, S)`, "true")
		want(t, e, `maps:get(deployment, A)`, "undefined")

		// Every key is there; what comes from outside is no atom.
		want(t, e, `{ok, [I | _]} = Rpc(instances, [shop]), {[retry_at, otp_release, crash_restarts, last_error, slot] -- maps:keys(I), lists:all(fun erlang:is_atom/1, maps:keys(I))}`, "{[], true}")
		want(t, e, `maps:with([name, state, os_pid, ports, otp_connected, retry_at, last_error], I)`,
			`#{last_error => <<>>,name => <<"shop-4f9a2c">>,os_pid => 4711,otp_connected => true,ports => #{<<"PORT">> => 4000},retry_at => undefined,state => <<"running">>}`)
		want(t, e, `maps:get(readiness, I)`, `[#{age_ms => 3,detail => <<>>,name => <<"process">>,state => <<"passed">>}]`)
		want(t, e, `Rpc(history, [shop])`,
			`{ok,[#{at => <<"2026-11-20T10:00:00.000Z">>,author => <<>>,by => <<"current.json">>,deployment => <<"d-16">>,hash => <<"abc">>,instance => <<"shop-4f9a2c">>,kind => <<"full">>,outcome => <<>>,took_ms => 0,version => <<"1.4.0">>}]}`)

		// What it has done.
		want(t, e, `{Rpc(ready, []), Call(ready), Rpc(restart, []), Rpc(restart, [shop]), Rpc(restart, [<<"shop/shop-9k2m4x">>]), Rpc(drain, [])}`, "{ok,ok,ok,ok,ok,ok}")
		want(t, e, `{ok, D} = Rpc(deploy, [shop, "1.5.0"]), maps:with([id, app, to, outcome, started_at], D)`,
			`#{app => <<"shop">>,id => <<"d-17">>,outcome => <<"running">>,started_at => undefined,to => <<"1.5.0">>}`)
		want(t, e, `{ok, _} = Call({deploy, <<"shop">>, current}), ok`, "ok")
		asked := []string{}
		until(t, "what was asked for", func() bool { asked = append(asked, r.control.took()...); return len(asked) == 8 })
		slices.Sort(asked) // drain goes on in the background
		if got, want := strings.Join(asked, "\n"), strings.Join([]string{
			`deploy shop "" for shop/shop-4f9a2c`, `deploy shop "1.5.0" for shop/shop-4f9a2c`, "ready shop/shop-4f9a2c", "ready shop/shop-4f9a2c",
			"restart shop for shop/shop-4f9a2c", "restart shop/shop-4f9a2c for shop/shop-4f9a2c",
			"restart shop/shop-9k2m4x for shop/shop-4f9a2c", "stop shop/shop-4f9a2c for shop/shop-4f9a2c",
		}, "\n"); got != want {
			t.Errorf("asked for\n%s\nwant\n%s", got, want)
		}
	})
}

func TestAPI_Rights(t *testing.T) {
	t.Parallel()
	otp := nodetest.Want(t, "27")[0]
	r := newRig(t,
		erlapi.Grant{Nodes: "panel@*", Right: erlapi.Read},
		erlapi.Grant{Nodes: "ci@*", Right: erlapi.Read}, erlapi.Grant{Nodes: "c?@localhost", Right: erlapi.Deploy},
		erlapi.Grant{Nodes: "ops@localhost", Right: erlapi.Admin},
	)
	verbs := []string{ // none of the callers is an instance of counter
		"Rpc(status, [])", "Rpc(status, [counter])", "Rpc(instances, [counter])", "Rpc(history, [counter])", "Rpc(subscribe, [])", "Rpc(subscribe, [#{app => counter}])",
		"Rpc(deploy, [counter, '3'])", "Rpc(restart, [counter])", `Rpc(restart, ["counter/counter-b07d1e"])`, "Rpc(restart, [])", "Rpc(ready, [])", "Rpc(drain, [])",
	}
	for _, caller := range []struct {
		name string
		may  string // one character for each of verbs
	}{
		{shop, "+---+----+++"}, // status and subscribe of its own app only
		{"stranger@localhost", "------------"},
		{panel, "++++++------"},
		{"ci@localhost", "+++++++-----"},
		{"ops@localhost", "+++++++++---"},
	} {
		e := r.beam(otp, caller.name)
		for i, verb := range verbs {
			got := e.Eval("case " + verb + " of {error, denied} -> denied; ok -> ok; {ok, _} -> ok; Else -> Else end")
			if want := map[byte]string{'+': "ok", '-': "denied"}[caller.may[i]]; got != want {
				t.Errorf("%s: %s gives %s, want %s", caller.name, verb, got, want)
			}
			if caller.may[i] == '-' && !r.log.has("denied", "level=WARN", "peer="+caller.name, "beamkeeper:"+verb[4:strings.Index(verb, ",")]) {
				t.Errorf("%s: the refusal of %s is not logged", caller.name, verb)
			}
		}
		want(t, e, "{Call(status) =:= Rpc(status, []), Call({deploy, shop, '1'}) =:= Rpc(deploy, [shop, '1'])}", "{true,true}")
		e.Kill()
	}
	// An instance's name without the OS process is nobody's.
	r.control.edit(func(s *api.Status) { s.Apps[1].Instances[0].OSPID = 0 })
	want(t, r.beam(otp, counter), "Rpc(status, [])", denied)

	// Other grants count from the next call on.
	ops := r.beam(otp, "ops@localhost")
	want(t, ops, "element(1, Rpc(status, []))", "ok")
	if err := r.api.SetGrants([]erlapi.Grant{{Nodes: "panel@*", Right: erlapi.Read}}); err != nil {
		t.Fatal(err)
	}
	want(t, ops, "Rpc(status, [])", denied)
}

func TestAPI_WhatIsUnknownOrWrong(t *testing.T) {
	eachOTP(t, func(t *testing.T, otp nodetest.OTP) {
		r := newRig(t, erlapi.Grant{Nodes: panel, Right: erlapi.Admin})
		e := r.beam(otp, panel)

		// undef as from a BEAM, which does not have the module either.
		for _, call := range []string{"nonsense, []", "nonsense, [1,2]", "deploy, [shop]", "status, [1,2,3]"} {
			want(t, e, "rpc:call(K, beamkeeper, "+call+") =:= rpc:call(node(), beamkeeper, "+call+")", "true")
			want(t, e, "try erpc:call(K, beamkeeper, "+call+") catch error:{exception, undef, [{beamkeeper, _, _, _} | _]} -> undef end", "undef")
		}
		for _, req := range []string{"nonsense", "{nonsense, 1}", "{deploy, shop}", "{status, 1, 2}", "{}", "[]", "<<>>", "#{}", "{1, status}"} {
			want(t, e, "Call("+req+")", "{error,undef}")
		}
		want(t, e, "catch gen_server:call({beamkeeper_server, K}, status)", fmt.Sprintf("{'EXIT',{noproc,{gen_server,call,[{beamkeeper_server,'%s'},status]}}}", keeper))

		usage := func(call string) {
			t.Helper()
			want(t, e, "(fun({error, {usage, T}}) when is_binary(T) -> usage; (Other) -> Other end)("+call+")", "usage")
		}
		for _, name := range []string{"1", "self()", "[]", "<<>>", "''", "{shop}", "[shop | tail]", `list_to_binary(lists:duplicate(256, $a))`} {
			usage("Rpc(status, [" + name + "])")
			usage("Rpc(deploy, [" + name + ", '1'])")
			usage("Rpc(deploy, [shop, " + name + "])")
			usage("Rpc(restart, [" + name + "])")
			usage("Rpc(subscribe, [#{app => " + name + "}])")
		}
		for _, what := range []string{`"shop/"`, `"/x"`, `"shop/a/b"`} {
			usage("Rpc(restart, [" + what + "])")
		}
		for _, o := range []string{"x", "[]", "#{app => 1}", "#{types => crash_restart}", "#{types => [1]}", "#{since => -1}", "#{since => 1.5}", "#{pid => x}", "#{other => 1}", `#{"app" => shop}`} {
			usage("Rpc(subscribe, [" + o + "])")
		}
		want(t, e, `Rpc(status, [<<"no such app">>])`, `{error,{not_found,<<"there is no app \"no such app\"">>}}`)
		want(t, e, `Rpc(subscribe, [#{app => nothing}])`, `{error,{not_found,<<"there is no app \"nothing\"">>}}`)
		want(t, e, `Rpc(deploy, [shop, '9.9.9'])`, `{error,{refused,<<"no release 9.9.9; publish it">>}}`)

		// What is not for callers stays in the log.
		want(t, e, `Call({deploy, breaks, '1'})`, `{error,{failed,<<"it failed; the log of the daemon says why">>}}`)
		want(t, e, `Call({deploy, panics, '1'})`, `{error,{failed,<<"it failed; the log of the daemon says why">>}}`)
		if !r.log.has("secret detail") || !r.log.has("panic: on purpose") {
			t.Error("the causes are not logged")
		}

		// Names that a caller gives become atoms nowhere, and what is no call is ignored.
		want(t, e, `{beamkeeper, K} ! status, {beamkeeper, K} ! {'$gen_cast', status}, gen_server:cast({beamkeeper, K}, drain), element(1, Call(status))`, "ok")
	})
}

// TestAPI_AnswersOnlyItsPeer has one node ask for an answer to another.
func TestAPI_AnswersOnlyItsPeer(t *testing.T) {
	t.Parallel()
	otp := nodetest.Want(t, "27")[0]
	r := newRig(t, erlapi.Grant{Nodes: panel, Right: erlapi.Admin})
	e, victim := r.beam(otp, panel), r.beam(otp, shop)
	victim.Eval("register(victim, self()), net_kernel:connect_node(K)")
	e.Eval(fmt.Sprintf("V = rpc:call('%s', erlang, whereis, [victim]), {beamkeeper, K} ! {'$gen_call', {V, make_ref()}, status}, ok", shop))
	want(t, e, "element(1, Rpc(subscribe, [V]))", "error")
	want(t, e, "element(1, Rpc(unsubscribe, [#{pid => V}]))", "error")
	until(t, "the refusal in the log", func() bool { return r.log.has("sent elsewhere", "peer="+panel, "to="+shop) })
	want(t, victim, "receive X -> X after 0 -> nothing end", "nothing")
}

func TestSubscribe_EventsAsMessages(t *testing.T) {
	eachOTP(t, func(t *testing.T, otp nodetest.OTP) {
		r := newRig(t, erlapi.Grant{Nodes: panel, Right: erlapi.Read})
		for i := range 3 {
			r.control.emit(api.Event{Type: "node_up", App: "shop", Message: fmt.Sprint(i)})
		}
		e := r.beam(otp, panel)
		e.Eval(`Next = fun() -> receive {beamkeeper_event, E} -> E after 30000 -> timeout end end, Id = fun() -> maps:get(id, Next()) end`)

		// From now on; every key is there, keys from outside are binaries.
		want(t, e, `{ok, P} = Rpc(subscribe, []), is_pid(P)`, "true")
		r.control.emit(api.Event{Type: api.EventCrashRestart, Level: "warning", App: "counter", Instance: "counter-b07d1e", Message: "höh", Data: map[string]any{
			"exit_code": 1.0, "ratio": 0.5, "odd key": []any{nil, true, "x"},
		}})
		want(t, e, `maps:without([time], Next())`, `#{app => <<"counter">>,data => #{<<"exit_code">> => 1,<<"odd key">> => [undefined,true,<<"x">>],<<"ratio">> => 0.5},`+
			`deployment => <<>>,id => 4,instance => <<"counter-b07d1e">>,level => <<"warning">>,message => <<"höh"/utf8>>,type => <<"crash_restart">>,version => <<>>}`)

		// A second one takes the place of the first, and begins where it is told to.
		want(t, e, `M1 = monitor(process, P), {ok, P2} = Call({subscribe, #{since => 1, types => [node_up, <<"crash_restart">>]}}), [Id(), Id(), Id()]`, "[2,3,4]")
		want(t, e, `receive {'DOWN', M1, _, _, Why1} -> Why1 after 30000 -> timeout end`, "shutdown")
		r.control.emit(api.Event{Type: "scaled", App: "shop"})
		r.control.emit(api.Event{Type: "node_up", App: "shop"})
		want(t, e, `Id()`, "6")

		// It ends with unsubscribe.
		want(t, e, `M2 = monitor(process, P2), ok = Rpc(unsubscribe, []), receive {'DOWN', M2, _, _, Why2} -> Why2 after 30000 -> timeout end`, "shutdown")
		want(t, e, `Rpc(unsubscribe, [self()])`, "ok")

		// Another process subscribes; it ends with that process.
		want(t, e, `{Sub, SubM} = spawn_monitor(fun() -> receive {beamkeeper_event, _} -> ok end end), {ok, P3} = Rpc(subscribe, [#{pid => Sub, app => "counter"}]), M3 = monitor(process, P3), ok`, "ok")
		r.control.emit(api.Event{Type: "node_up", App: "shop"})
		r.control.emit(api.Event{Type: "node_up", App: "counter"})
		want(t, e, `receive {'DOWN', SubM, _, _, SubWhy} -> SubWhy after 30000 -> timeout end`, "normal")
		want(t, e, `receive {'DOWN', M3, _, _, Why3} -> Why3 after 30000 -> timeout end`, "shutdown")
		want(t, e, `is_pid(element(2, Rpc(subscribe, [spawn(fun() -> ok end)])))`, "true") // one that is dead already

		// An instance gets the events of its own app.
		i := r.beam(otp, shop)
		i.Eval(`{ok, _} = Rpc(subscribe, [self()]), ok`)
		for _, app := range []string{"counter", "", "shop"} {
			r.control.emit(api.Event{Type: "node_up", App: app})
		}
		want(t, i, `receive {beamkeeper_event, #{app := A, id := N}} -> {A, N} after 30000 -> timeout end`, `{<<"shop">>,11}`)

		// There is a bound for each node.
		want(t, e, `Idle = fun() -> spawn(fun() -> receive stop -> ok end end) end, [element(1, Rpc(subscribe, [Idle()])) || _ <- [1, 2, 3]]`, "[ok,ok,ok]")
		want(t, e, `element(1, element(2, Rpc(subscribe, [Idle()])))`, "refused")

		// A daemon that goes tells those who watch it.
		want(t, i, `{ok, P4} = Rpc(subscribe, []), M4 = monitor(process, P4), element(1, Call(status))`, "ok")
		r.api.Close()
		want(t, i, `receive {'DOWN', M4, _, _, Why4} -> Why4 after 30000 -> timeout end`, "shutdown")
		want(t, i, `{Rpc(status, []) =:= rpc:call(node(), beamkeeper, status, []), element(1, element(2, catch Call(status)))}`, "{true,noproc}")
	})
}

// TestSubscribe_ASlowSubscriberDelaysNobody stops the BEAM of one subscriber.
func TestSubscribe_ASlowSubscriberDelaysNobody(t *testing.T) {
	t.Parallel()
	otp := nodetest.Want(t, "27")[0]
	r := newRig(t, erlapi.Grant{Nodes: "*@*", Right: erlapi.Read})
	slow, quick := r.beam(otp, "slow@localhost"), r.beam(otp, "quick@localhost")
	for _, e := range []*nodetest.Erl{slow, quick} {
		e.Eval(`{ok, _} = Rpc(subscribe, []), Take = fun T(0) -> done; T(N) -> receive {beamkeeper_event, #{id := _}} -> T(N - 1) after 30000 -> {missing, N} end end, ok`)
	}
	if err := syscall.Kill(slow.OSPid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	resumed := false
	resume := func() {
		if !resumed {
			resumed = true
			if err := syscall.Kill(slow.OSPid, syscall.SIGCONT); err != nil {
				t.Error(err)
			}
		}
	}
	defer resume()
	const n = 2000
	big := strings.Repeat("x", 10_000) // 20 MB in all, more than the sockets and the outbox hold
	for range n {
		r.control.emit(api.Event{Type: "node_up", Message: big})
	}
	want(t, quick, fmt.Sprintf("Take(%d)", n), "done")
	var queued int
	for _, p := range r.node.Peers() {
		queued = max(queued, p.Queued)
	}
	if queued == 0 || queued > 128<<10 {
		t.Errorf("%d bytes wait for the one that is stopped; the bound is 64 KiB and a message", queued)
	}
	resume()
	want(t, slow, fmt.Sprintf("Take(%d)", n), "done")
}

// TestSubscribe_EndsWithTheNode kills the BEAM of a subscriber.
func TestSubscribe_EndsWithTheNode(t *testing.T) {
	t.Parallel()
	otp := nodetest.Want(t, "25")[0]
	r := newRig(t, erlapi.Grant{Nodes: "*@*", Right: erlapi.Read})
	gone := r.beam(otp, "gone@localhost")
	gone.Eval(`[{ok, _} = Rpc(subscribe, [spawn(fun() -> receive stop -> ok end end)]) || _ <- [1, 2, 3]], ok`)
	gone.Kill()
	again := r.beam(otp, "gone@localhost") // the bound counts by node
	until(t, "the subscriptions to end", func() bool {
		return again.Eval(`element(1, Rpc(subscribe, [spawn(fun() -> receive stop -> ok end end)]))`) == "ok"
	})
}

// TestAPI_CallsWaitForServe calls a daemon that has just come up, and one that goes before it has.
func TestAPI_CallsWaitForServe(t *testing.T) {
	t.Parallel()
	otp := nodetest.Want(t, "25")[0]
	r := startRig(t, false)
	e := r.beam(otp, shop)
	want(t, e, `R1 = erpc:send_request(K, beamkeeper, ready, []), R2 = gen_server:send_request({beamkeeper, K}, ready), {erpc:wait_response(R1, 50), gen_server:wait_response(R2, 50)}`, "{no_response,timeout}")
	r.api.Serve(r.control)
	want(t, e, `{erpc:receive_response(R1), gen_server:wait_response(R2, 30000)}`, "{ok,{reply,ok}}")

	other := startRig(t, false)
	e = other.beam(otp, shop)
	e.Eval(`R = gen_server:send_request({beamkeeper, K}, ready), erpc:call(K, erlang, whereis, [beamkeeper])`)
	other.api.Close()
	want(t, e, `case gen_server:wait_response(R, 30000) of {reply, {error, {refused, _}}} -> refused; {error, {noproc, _}} -> refused; {error, {shutdown, _}} -> refused; Else -> Else end`, "refused")
}

func TestDrain_GoesOnWhenTheAnswerIsGiven(t *testing.T) {
	t.Parallel()
	otp := nodetest.Want(t, "25")[0]
	r := newRig(t)
	r.control.stops = make(chan struct{}) // as long as the caller runs, it has not stopped
	e := r.beam(otp, shop)
	want(t, e, "{Rpc(drain, []), Call(drain)}", "{ok,ok}")
	until(t, "the stops to begin", func() bool { return len(r.control.took()) > 0 })
	r.api.Close() // does not wait for what waits for an instance
}

// TestAPI_CallsAreBounded has more calls wait than may: those beyond are not answered, and later ones are again.
func TestAPI_CallsAreBounded(t *testing.T) {
	t.Parallel()
	otp := nodetest.Want(t, "25")[0]
	r := startRig(t, false)
	e := r.beam(otp, shop)
	e.Eval(`Asked = [gen_server:send_request({beamkeeper, K}, ready) || _ <- lists:seq(1, 400)], pong = net_adm:ping(K)`)
	r.api.Serve(r.control)
	until(t, "the answers", func() bool { return e.Eval("element(2, process_info(self(), message_queue_len))") == "256" })
	want(t, e, `Call(ready)`, "ok")
	want(t, e, `element(2, process_info(self(), message_queue_len))`, "256")
}
