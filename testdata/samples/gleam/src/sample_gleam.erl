%% Stands where a compiled Gleam main module would: main/0 serves a counter on a TCP line port for ever.
-module(sample_gleam).
-export([main/0]).

main() ->
    io:format("sample_gleam ~s starting on ~s~n", ["@VERSION@", node()]),
    case lists:suffix("-crash", "@VERSION@") of
        true -> error(asked_to_crash_at_boot);
        false -> ok
    end,
    timer:sleep(list_to_integer(os:getenv("SAMPLE_BOOT_DELAY_MS", "0"))),
    register(sample_gleam_counter, spawn_link(fun() -> counter(0) end)),
    {ok, Listen} = gen_tcp:listen(list_to_integer(os:getenv("PORT", "0")),
                                  [binary, {packet, line}, {active, false}, {reuseaddr, true}, {ip, {127, 0, 0, 1}}]),
    accept(Listen).

accept(Listen) ->
    {ok, Socket} = gen_tcp:accept(Listen),
    Pid = spawn(fun() -> receive go -> serve(Socket) end end),
    ok = gen_tcp:controlling_process(Socket, Pid),
    Pid ! go,
    accept(Listen).

serve(Socket) ->
    case gen_tcp:recv(Socket, 0, 60000) of
        {ok, <<"version", _/binary>>} -> reply(Socket, "@VERSION@");
        {ok, <<"env ", Name/binary>>} -> reply(Socket, os:getenv(string:trim(binary_to_list(Name)), ""));
        {ok, <<"halt ", Code/binary>>} -> erlang:halt(binary_to_integer(string:trim(Code)));
        {ok, _} ->
            sample_gleam_counter ! {bump, self()},
            receive {count, N} -> reply(Socket, integer_to_list(N)) end;
        _ -> gen_tcp:close(Socket)
    end.

reply(Socket, Text) ->
    _ = gen_tcp:send(Socket, [unicode:characters_to_binary(Text), $\n]),
    serve(Socket).

counter(N) ->
    receive {bump, From} -> From ! {count, N + 1}, counter(N + 1) end.
