package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
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
