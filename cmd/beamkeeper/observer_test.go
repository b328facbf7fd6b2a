package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
	"github.com/beamkeeper/beamkeeper/web/client"
)

// TestEndToEnd_Observer has a BEAM named observer look into the daemon, by the default node.allow.
func TestEndToEnd_Observer(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	short, _, _ := strings.Cut(r.node, "@")
	r.node = short + "@localhost"
	r.edit("name: "+short+"\n", "name: "+short+"\n  host: localhost\n")
	d := r.run("--with-instances")
	r.must("publish", r.app, sampletest.Build(t, "erlang", "0.1.0"))
	a := r.await("two instances", running(2, "0.1.0"))

	cookie, err := os.ReadFile(filepath.Join(r.dir, "var", "cookie"))
	if err != nil {
		t.Fatal(err)
	}
	e := nodetest.StartErl(t, nodetest.WantAny(t), "observer@localhost", strings.TrimSpace(string(cookie)), r.epmdPort(), "-hidden")
	want := func(want, expr string) {
		t.Helper()
		if got := e.Eval("(fun(K) -> " + expr + " end)('" + r.node + "')"); got != want {
			t.Errorf("%s = %s, want %s", expr, got, want)
		}
	}
	names := []string{a.Instances[0].Name, a.Instances[1].Name}
	slices.Sort(names)
	want(`[<<"`+names[0]+`">>,<<"`+names[1]+`">>]`, `process_flag(trap_exit, true),
		P = rpc:call(K, observer_backend, get_table, [self(), beamkeeper_instances, ets]),
		receive {P, Rows} -> receive {P, '$end_of_table'} -> lists:sort([Name || [{Name, _}] <- Rows]) end after 5000 -> timeout end`)
	want("true", `process_flag(trap_exit, true), P = spawn_link(K, observer_backend, procs_info, [self()]),
		receive {procs_info, P, L} -> lists:member('instance:`+a.Instances[0].Name+`', [element(5, X) || X <- L]) after 5000 -> timeout end`)
	// What would have crashed or ended an actor has no effect.
	want("true", `M = rpc:call(K, erlang, whereis, ['manager:`+r.app+`']), true = is_pid(M), M ! hello, exit(M, kill), exit(M, shutdown),
		{status, _, {module, gen_server}, _} = sys:get_status(M), M =:= rpc:call(K, erlang, whereis, ['manager:`+r.app+`'])`)
	want("refused", `case rpc:call(K, init, stop, []) of {badrpc, {'EXIT', {{not_allowed, _}, _}}} -> refused; X -> X end`)

	if log := d.readLog(); !strings.Contains(log, `"function":"init:stop/0"`) {
		t.Errorf("the refusal is not in the log:\n%s", log)
	}

	// The shell: verbs that look work, those that change something take a grant.
	got := e.Eval(`(fun(K) -> Boss = self(), spawn(fun() ->
		process_flag(trap_exit, true), group_leader(self(), self()),
		S = rpc:call(K, shell, start, []), link(S),
		(fun Loop(In, Out) -> receive
			{io_request, From, Ref, {put_chars, unicode, T}} -> From ! {io_reply, Ref, ok}, Loop(In, [T | Out]);
			{io_request, From, Ref, {get_line, unicode, _}} -> From ! {io_reply, Ref, case In of [] -> eof; _ -> hd(In) end}, Loop(tl(In ++ [x]), Out);
			{'EXIT', _, R} -> Boss ! {R, unicode:characters_to_list(lists:reverse(Out))} end end)(["status\n", "restart ` + r.app + `\n", "exit\n"], []) end),
		receive {R, Out} when is_atom(R) -> {R, Out} after 30000 -> timeout end end)('` + r.node + `')`)
	for _, text := range []string{"{normal,", "2/2 running", a.Instances[0].Name, `restart takes the right \"admin\"`, "The daemon runs on"} {
		if !strings.Contains(got, text) {
			t.Errorf("the shell prints %s, which lacks %q", got, text)
		}
	}
	// An instance opens no shell.
	if got := r.must("rpc", r.app+"/"+a.Instances[0].Name, "rpc:call('"+r.node+"', shell, start, [])"); !strings.Contains(got, "not_allowed") {
		t.Errorf("an instance that asks for a shell gets %s", got)
	}
	d.end(syscall.SIGTERM, 0)
}

// With node.remote_stop: stop a node with the right admin ends actors, which are started again, and the daemon, whose
// instances run on. An instance does not.
func TestEndToEnd_RemoteStop(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	r.edit(`allow: ["observer@*"]`, "allow: [\"observer@*\"]\n  remote_stop: stop\n  grant: [{nodes: 'observer@*', rights: admin}, {nodes: '"+r.app+"-*@*', rights: admin}]")
	d := r.run()
	r.must("publish", r.app, sampletest.Build(t, "erlang", "0.1.0"))
	before := r.await("two instances", running(2, "0.1.0"))
	cookie, err := os.ReadFile(filepath.Join(r.dir, "var", "cookie"))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.must("rpc", r.app, "rpc:call('"+r.node+"', init, stop, [])"); !strings.Contains(got, "not_allowed") {
		t.Errorf("an instance that says init:stop gets %s", got)
	}
	_, host, _ := strings.Cut(r.node, "@")
	e := nodetest.StartErl(t, nodetest.WantAny(t), "observer@"+host, strings.TrimSpace(string(cookie)), r.epmdPort(), "-hidden")
	if got := e.Eval(`(fun(K, Who) -> M = rpc:call(K, erlang, whereis, [Who]), R = monitor(process, M), exit(M, kill),
		killed = receive {'DOWN', R, _, _, Why} -> Why after 20000 -> timeout end,
		(fun Again(0) -> timeout; Again(N) -> case rpc:call(K, erlang, whereis, [Who]) of
			P when is_pid(P), P =/= M -> another; _ -> timer:sleep(50), Again(N - 1) end end)(400) end)('` + r.node + `', 'manager:` + r.app + `').`); got != "another" {
		t.Errorf("after a kill there is %s", got)
	}

	// What is asked for in a shell is the node's wish. No other process can ask in its name.
	target := r.app + "/" + before.Instances[0].Name
	got := e.Eval(`(fun(K) -> Boss = self(), spawn(fun() ->
		process_flag(trap_exit, true), group_leader(self(), self()),
		S = rpc:call(K, shell, start, []), link(S),
		(fun Loop(In, Out) -> receive
			{io_request, From, Ref, {put_chars, unicode, T}} -> From ! {io_reply, Ref, ok}, Loop(In, [T | Out]);
			{io_request, From, Ref, {get_line, unicode, _}} -> From ! {io_reply, Ref, case In of [] -> eof; _ -> hd(In) end}, Loop(tl(In ++ [x]), Out);
			{'EXIT', _, R} -> Boss ! {R, unicode:characters_to_list(lists:reverse(Out))} end end)(["restart ` + target + `\n", "exit\n"], []) end),
		receive {R, Out} when is_atom(R) -> Out after 30000 -> timeout end end)('` + r.node + `')`)
	r.await("the restart by "+got, func(a api.App) bool { return running(2, "0.1.0")(a) && a.Instances[0].ForcedRestarts == 1 })
	other := client.New(filepath.Join(r.dir, "beamkeeper.sock"))
	if err := other.Restart(api.WithCaller(t.Context(), api.Caller{Node: "observer@" + host}), api.Target{App: r.app, Instance: before.Instances[1].Name}); err != nil {
		t.Fatal(err)
	}
	before = r.await("the other restart", func(a api.App) bool { return running(2, "0.1.0")(a) && a.Instances[1].ForcedRestarts == 1 })
	events := r.must("events")
	for n, asker := range []string{"observer@" + host, "an operator"} {
		if want := before.Instances[n].Name + " is restarted, as " + asker + " asked"; !strings.Contains(events, want) {
			t.Errorf("the events do not say %q:\n%s", want, events)
		}
	}
	if got := e.Eval(`rpc:call('` + r.node + `', init, stop, []).`); got != "ok" {
		t.Errorf("init:stop gives %s", got)
	}
	<-d.done
	if got := d.cmd.ProcessState.ExitCode(); got != exitOK {
		t.Errorf("after init:stop the daemon ended with code %d", got)
	}
	d = r.run("--with-instances")
	after := r.await("the same instances", running(2, "0.1.0"))
	for i := range after.Instances {
		if after.Instances[i].OSPID != before.Instances[i].OSPID {
			t.Errorf("%s did not run on", before.Instances[i].Name)
		}
	}
	d.end(syscall.SIGTERM, exitOK)
}
