package observer

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/node"
)

// What observer, etop and others ask, asked the way they do, by real BEAMs.
func TestBackend_AnswersAsOTP(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b beam, w *world) {
		b.want("pong", `net_adm:ping(K)`)
		b.want("true", `{ok, V} = rpc:call(K, observer_backend, vsn, []), is_list(V)`)
		b.want("[]", `I = rpc:call(K, observer_backend, sys_info, []),
			[Key || Key <- [uptime,run_queue,io_input,io_output,logical_processors,schedulers,otp_release,version,system_architecture,smp_support,
				process_count,process_limit,port_count,port_limit,ets_count,alloc_info,total,processes,system,atom,binary,code,ets],
				proplists:get_value(Key, I) =:= undefined]`)
		b.want("true", `rpc:call(K, erlang, memory, [total]) > 1000000`)
		b.want("{module,observer_backend}", `rpc:call(K, code, ensure_loaded, [observer_backend])`)
		b.want("{error,nofile}", `rpc:call(K, code, ensure_loaded, [no_such])`)
		b.want("60", `rpc:call(K, net_kernel, get_net_ticktime, [])`)
		b.want("[true,false]", `[rpc:call(K, erlang, function_exported, [observer_backend, F, 1]) || F <- [procs_info, no_such]]`)

		// Unknown functions are undef exactly as on a BEAM.
		b.want("{badrpc,{'EXIT',{undef,[{no_such,f,[1],[]}]}}}", `rpc:call(K, no_such, f, [1])`)
		b.want("{undef,[{no_such,f,[1],[]}]}", `try erpc:call(K, no_such, f, [1]) catch error:{exception, R, St} -> {R, St} end`)

		// Spawned with a link, as observer does.
		b.want("[back_office,front_desk,office]", `process_flag(trap_exit, true),
			P = spawn_link(K, observer_backend, procs_info, [self()]),
			Rows = receive {procs_info, P, L} -> L after 5000 -> timeout end,
			normal = receive {'EXIT', P, R} -> R after 5000 -> timeout end,
			lists:sort([element(5, X) || X <- Rows, element(1, X) =:= etop_proc_info, lists:member(element(5, X), [office, front_desk, back_office])])`)
		b.want("true", `process_flag(trap_exit, true),
			P = spawn_link(K, observer_backend, etop_collect, [self()]),
			receive {P, I} when element(1, I) =:= etop_info, tuple_size(I) =:= 9 -> length(element(9, I)) > 5 after 5000 -> timeout end`)
		b.want("ended", `process_flag(trap_exit, true),
			P = spawn_link(K, observer_backend, fetch_stats, [self(), 50]),
			Next = fun() -> receive {stats, 1, [{1, A, T} | _], {{input, I}, {output, O}}, [{total, _} | _]}
				when A > 0, T >= A, I > 0, O > 0 -> ok after 5000 -> exit(timeout) end end,
			Next(), Next(),
			P ! exit,
			receive {'EXIT', P, normal} -> ended after 5000 -> timeout end`)
	}, nil)
}

func TestProcesses_AreActors(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b beam, w *world) {
		b.want("[true,true,true,true]", `R = rpc:call(K, erlang, registered, []), [lists:member(N, R) || N <- [office, front_desk, net_kernel, rex]]`)
		b.want("{registered_name,office}", `rpc:call(K, erlang, process_info, [rpc:call(K, erlang, whereis, [office]), registered_name])`)
		b.want("0", `P = rpc:call(K, erlang, whereis, [office]), {message_queue_len, N} = rpc:call(K, erlang, process_info, [P, message_queue_len]), N`)
		b.want("[binary,links,status]", `P = rpc:call(K, erlang, whereis, [office]),
			[I || {I, _} <- rpc:call(K, erlang, process_info, [P, [binary, links, status]])]`)
		b.want("{badrpc,{'EXIT',{badarg,[]}}}", `P = rpc:call(K, erlang, whereis, [office]), rpc:call(K, erlang, process_info, [P, no_such_item])`)
		b.want("{badrpc,{'EXIT',{badarg,[]}}}", `rpc:call(K, erlang, process_info, [self()])`)
		b.want("{'observer.office',init,1}", `rpc:call(K, proc_lib, translate_initial_call, [rpc:call(K, erlang, whereis, [office])])`)
		b.want("[{behaviour,[supervisor]}]", `rpc:call(K, proc_lib, translate_initial_call, [rpc:call(K, erlang, whereis, [office])]),
			rpc:call(K, 'observer.office', module_info, [attributes])`)
		b.want("[back_office,front_desk]", `lists:sort([I || {I, _, worker, ['observer.clerk']} <- supervisor:which_children({office, K})])`)
		b.want("[{specs,2},{active,2},{supervisors,0},{workers,2}]", `supervisor:count_children({office, K})`)

		// module sys, at the actor itself and by rpc
		b.want("{status,gen_server,running}", `{status, _, {module, M}, [_, S, _, _, [{header, _}, {data, _}, {data, _}]]} = sys:get_status({front_desk, K}), {status, M, S}`)
		b.want("<<\"0\">>", `#{<<"messages">> := N} = sys:get_state({front_desk, K}), N`)
		b.want("[start_time,current_time,reductions,messages_in,messages_out]", `{ok, L} = sys:statistics({front_desk, K}, get), [I || {I, _} <- L]`)
		b.want("{error,not_allowed}", `sys:suspend({front_desk, K})`)
		b.want("status", `element(1, rpc:call(K, sys, get_status, [rpc:call(K, erlang, whereis, [front_desk]), 5000]))`)
		b.want("{badrpc,{'EXIT',{noproc,{sys,get_status,[nobody]}}}}", `rpc:call(K, sys, get_status, [nobody])`)
	}, nil)
}

// Tracers are told no; they neither hang nor harm.
func TestTrace_IsRefused(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b beam, w *world) {
		b.want("not_allowed", `try erpc:call(K, dbg, erlang_trace, [all, true, []]) catch error:{exception, {R, _}, _} -> R end`)
		b.want("not_allowed", `{ok, _} = dbg:tracer(), {error, {R, _}} = dbg:n(K), dbg:stop(), R`)
		b.want("not_allowed", `{error, {R, _}} = dbg:tracer(K, process, {fun(_, X) -> X end, x}), dbg:stop(), R`)
		b.want("refused", `case code:which(ttb) of
			non_existing -> refused;
			_ -> {ok, []} = ttb:tracer(K), {error, no_match} = ttb:p(all, call), ttb:stop([nofetch]), refused end`)
		b.want("[]", `process_info(whereis(net_kernel), message_queue_len), [M || M <- [dbg, ttb], whereis(M) =/= undefined]`)
		b.want("pong", `net_adm:ping(K)`)
	}, nil)
}

// Tools that bring their own code are told that it cannot run here: by what they call first, each call answered at once, and
// the link stays up. The calls are those of observer_cli, Phoenix LiveDashboard (old and new), recon and Livebook.
func TestForeignCode_IsRefused(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b beam, w *world) {
		b.want("0", `Info = 'Elixir.Phoenix.LiveDashboard.SystemInfo', Code = crypto:strong_rand_bytes(200000),
			Undef = fun({badrpc, {'EXIT', {undef, [{_, _, _, []}]}}}) -> true end,
			{error, nofile} = rpc:call(K, code, ensure_loaded, [Info]),
			false = rpc:call(K, code, is_loaded, [Info]),
			{error, _} = rpc:call(K, code, load_binary, [Info, "system_info.beam", Code]),
			true = Undef(rpc:call(K, Info, capabilities_callback, [])),
			true = Undef(rpc:call(K, Info, capabilities_callback, [#{}])),
			true = Undef(rpc:call(K, Info, info_callback, [[]])),
			{error, nofile} = rpc:call(K, code, ensure_loaded, [observer_cli]),
			[{error, _} = rpc:call(K, code, load_binary, [M, atom_to_list(M), Code]) || M <- [observer_cli, observer_cli_escriptize, recon]],
			true = Undef(rpc:call(K, observer_cli_escriptize, ensure_set_env, [observer_cli, scheduler_usage])),
			true = Undef(rpc:call(K, observer_cli, start, [#{}])),
			true = Undef(rpc:call(K, recon, proc_count, [memory, 3])),
			true = Undef(rpc:call(K, 'Elixir.Application', get_application, [os_mon])),
			{badrpc, {'EXIT', {undef, _}}} = rpc:call(K, 'Elixir.Code', ensure_loaded, [x]),
			error = try erpc:call(K, fun() -> node() end) catch error:_ -> error end,
			process_flag(trap_exit, true),
			P = spawn_link(K, fun() -> ok end),
			receive {'EXIT', P, _} -> ok after 10000 -> exit(no_end_of_a_fun) end,
			{Q, R} = spawn_monitor(K, no_such, f, []),
			receive {'DOWN', R, process, Q, {undef, _}} -> ok after 10000 -> exit(no_end_of_a_process) end,
			{_, []} = rpc:multicall([K], code, ensure_loaded, [recon], 10000),
			pong = net_adm:ping(K),
			{message_queue_len, N} = process_info(self(), message_queue_len), N`)
		if n := len(w.node.Peers()); n != 1 {
			t.Errorf("afterwards there are %d links", n)
		}
	}, nil)
}

// A peer can look, not touch.
func TestActors_AreShielded(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b beam, w *world) {
		b.want("true", `P = rpc:call(K, erlang, whereis, [front_desk]), N = rpc:call(K, erlang, whereis, [net_kernel]),
			exit(P, kill), exit(P, shutdown), exit(N, kill), P ! hello, gen_server:cast(P, hello),
			spawn(fun() -> link(P), exit(boom) end),
			{error, not_a_server} = gen_server:call(P, hello),
			pong = net_adm:ping(K),
			#{<<"messages">> := <<"0">>} = sys:get_state(P),
			P =:= rpc:call(K, erlang, whereis, [front_desk]) andalso N =:= rpc:call(K, erlang, whereis, [net_kernel])`)
		b.want("refused", `case rpc:call(K, init, stop, []) of {badrpc, {'EXIT', {{not_allowed, <<"init:stop", _/binary>>}, _}}} -> refused; X -> X end`)
		b.want("[not_allowed]", `lists:usort([try erpc:call(K, M, F, A) catch error:{exception, {R, _}, _} -> R end ||
			{M, F, A} <- [{erlang, halt, []}, {erlang, halt, [1]}, {erlang, halt, [1, []]}, {init, stop, [0]}, {init, restart, []}, {init, reboot, []},
				{net_kernel, stop, []}, {erlang, set_cookie, [a, b]}, {erlang, disconnect_node, [K]}]])`)
	}, nil)
}

func TestPortsAndTables_AreListed(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b beam, w *world) {
		b.want("{true,true}", `pong = net_adm:ping(K), L = rpc:call(K, observer_backend, get_port_list, []),
			[P | _] = L, Port = proplists:get_value(port_id, P),
			{is_port(Port) andalso node(Port) =:= K, lists:any(fun(X) -> proplists:get_value(input, X) > 0 andalso proplists:get_value(output, X) > 0 end, L)}`)
		b.want("true", `[P | _] = rpc:call(K, erlang, ports, []), {name, "tcp_inet"} = rpc:call(K, erlang, port_info, [P, name]), true`)
		b.want("true", `L = rpc:call(K, observer_backend, get_socket_list, []), lists:any(fun(#{domain := D}) -> D =:= local end, L)`)
		b.want("true", `is_integer(proplists:get_value(num_sockets, rpc:call(K, observer_backend, socket_info, [])))`)
		b.want("[apps]", `[proplists:get_value(name, T) || T <- rpc:call(K, observer_backend, get_table_list, [ets, []])]`)
		b.want("{error,\"Mnesia is not running on: keeper@localhost\"}", `rpc:call(K, observer_backend, get_table_list, [mnesia, []])`)
		b.want("[[{<<\"shop\">>,<<\"1.0.0\">>}],[{<<\"till\">>,<<\"2.1.0\">>}]]", `process_flag(trap_exit, true),
			P = rpc:call(K, observer_backend, get_table, [self(), apps, ets]),
			Rows = receive {P, R} -> R after 5000 -> timeout end,
			receive {P, '$end_of_table'} -> Rows after 5000 -> timeout end`)
		b.want("1", `rpc:call(K, ets, info, [apps, keypos])`)
	}, nil)
}

func TestApplication_HasATree(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b beam, w *world) {
		b.want("[{beamkeeper,\"Deploys and supervises BEAM applications\",\"1.2.3\"}]", `rpc:block_call(K, application, which_applications, [])`)
		b.want("[\"back_office\",\"front_desk\"]", `process_flag(trap_exit, true),
			{ok, A} = rpc:call(K, appmon_info, start_link2, [self(), self(), []]),
			gen_server:cast(A, {self(), app_ctrl, K, true, []}),
			[{_, App, {App, _, _}}] = receive {delivery, A, app_ctrl, K, L} -> L after 5000 -> timeout end,
			gen_server:cast(A, {self(), app, App, true, []}),
			{Root, Pids, Links, _} = receive {delivery, A, app, App, T} -> T after 5000 -> timeout end,
			"beamkeeper" = Root,
			true = length(Pids) =:= length(lists:usort([N || {_, N} <- Pids])),
			true = lists:member({"ergo", "office"}, Links),
			unlink(A), exit(A, normal),
			lists:sort([C || {"office", C} <- Links])`)
	}, nil)
}

// erl -remsh, as group.erl does it: the shell's process is here, the terminal is the caller's group leader.
func TestShell_TalksTheIOProtocol(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b beam, w *world) {
		b.Eval(`Term = fun Loop(In, Out, Boss) -> receive
			{io_request, From, Ref, {put_chars, unicode, T}} -> From ! {io_reply, Ref, ok}, Loop(In, [T | Out], Boss);
			{io_request, From, Ref, {get_line, unicode, _}} -> case In of
				[L | Rest] -> From ! {io_reply, Ref, L}, Loop(Rest, Out, Boss);
				[] -> From ! {io_reply, Ref, eof}, Loop([], Out, Boss) end;
			{'EXIT', _, R} -> Boss ! {R, unicode:characters_to_list(lists:reverse(Out))};
			stop -> ok end end.`)
		b.Eval(`Session = fun(Lines) -> Boss = self(), spawn(fun() ->
			process_flag(trap_exit, true), group_leader(self(), self()),
			S = rpc:call(keeper@localhost, shell, start, []), link(S), Term(Lines, [], Boss) end),
			receive X -> X after 10000 -> timeout end end.`)
		if got, want := b.Eval(`Session(["status\n", "nonsense.\n", "exit\n"]).`),
			`{normal,"A shell for tests.\nall is well, watcher\nno such command: nonsense\nBye. The daemon runs on.\n"}`; got != want {
			t.Errorf("session = %s, want %s", got, want)
		}
		if got, want := b.Eval(`Session([]).`), `{normal,"A shell for tests.\n"}`; got != want {
			t.Errorf("session without input = %s, want %s", got, want)
		}
		b.want(`[{yes,"ta",[]},{yes,[],[{"status",[]},{"start",[]}]},{yes,"it ",[]},{no,[],[]}]`,
			`[rpc:call(K, edlin_expand, expand, [lists:reverse(T)]) || T <- ["s", "sta", "wa", "x"]]`)
	}, nil)
}

func TestPrivate_KeepsPeersOut(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b beam, w *world) {
		b.want("[]", `rpc:call(K, observer_backend, get_table_list, [ets, []])`)
		b.want("not_allowed", `try erpc:call(K, observer_backend, get_table, [self(), apps, ets]) catch error:{exception, {R, _}, _} -> R end`)
		b.want("not_allowed", `try erpc:call(K, shell, start, []) catch error:{exception, {R, _}, _} -> R end`)
	}, func(o *Options) { o.Private = func(peer node.Name) bool { return peer.Alive == "watcher" } })
}

// A C node asks rex in the way of ei_rpc.
func TestErlCall_IsAnswered(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b beam, w *world) {
		program := filepath.Join(strings.Trim(b.Eval(`case code:lib_dir(erl_interface) of {error, _} -> "none"; D -> D end.`), `"`), "bin", "erl_call")
		if _, err := os.Stat(program); err != nil {
			if program, err = exec.LookPath("erl_call"); err != nil {
				if os.Getenv("REQUIRE_OTP") == "1" {
					t.Fatal("no erl_call; the package erlang-base has it")
				}
				t.Skip("no erl_call")
			}
		}
		for call, want := range map[string]string{
			"erlang node []":  "keeper@localhost",
			"no_such f []":    "{badrpc, {'EXIT', {undef, [{no_such, f, [], []}]}}}",
			"init stop []":    "{badrpc, {'EXIT', {{not_allowed, ",
			"lists seq [1,2]": "{badrpc, {'EXIT', {undef, [{lists, seq, ",
		} {
			cmd := exec.CommandContext(t.Context(), program, "-h", "caller", "-c", cookie, "-sname", "keeper@localhost", "-a", call)
			cmd.Env = b.OTP.Env("ERL_EPMD_PORT="+strconv.Itoa(w.epmd), "ERL_EPMD_ADDRESS=127.0.0.1", "HOME="+t.TempDir())
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.HasPrefix(string(out), want) {
				t.Errorf("erl_call -a '%s' prints %s (%v), want %s", call, out, err, want)
			}
		}
	}, nil)
}
