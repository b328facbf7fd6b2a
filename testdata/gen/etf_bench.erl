%% The three payloads of the ETF benchmark, and what the BEAM needs for them.
%%
%%   write(Dir)  writes i_procinfo.etf, ii_config.etf and iii_bin_ints.etf
%%   serve(Dir)  reads lines "encode NAME" and "decode NAME" and answers each with the nanoseconds that one
%%               term_to_binary or binary_to_term takes: the median and the least of 5 rounds of some 50 ms
-module(etf_bench).
-export([write/1, serve/1]).

write(Dir) ->
    [ok = file:write_file(filename:join(Dir, Name ++ ".etf"), term_to_binary(T)) || {Name, T} <- payloads()],
    ok.

payloads() ->
    Ps = [spawn(fun worker/0) || _ <- lists:seq(1, 1000)],
    %% Each answers once it waits in receive, so that all stacks look alike.
    [begin P ! {self(), ready}, receive {P, ready} -> ok end end || P <- Ps],
    Info = [[{pid, P} | process_info(P)] ++ [process_info(P, Key) || Key <- [memory, current_stacktrace, message_queue_len]] || P <- Ps],
    [P ! stop || P <- Ps],
    [{"i_procinfo", Info}, {"ii_config", config(5)}, {"iii_bin_ints", {crypto_free_bytes(1 bsl 20), [I rem 1000 || I <- lists:seq(1, 100000)]}}].

worker() ->
    put('$initial_call', {gen_server, init_it, 6}),
    put('$ancestors', [kernel_sup, self()]),
    loop().

loop() ->
    receive
        {From, ready} -> From ! {self(), ready}, loop();
        stop -> ok
    end.

crypto_free_bytes(N) ->
    rand:seed(exsss, {1, 2, 3}),
    rand:bytes(N).

config(0) ->
    [{<<"leaf">>, 1}, {ratio, 1.25}, {enabled, true}, {name, "worker"}, {big, 1 bsl 40}];
config(N) ->
    [{list_to_atom("section_" ++ integer_to_list(I)),
      #{name => list_to_binary("node-" ++ integer_to_list(I)), <<"port">> => 4000 + I, {tuple, key} => [],
        opts => [{timeout, infinity}, {hosts, ["a.example.com", "b.example.com"]}, {retries, -3}], sub => config(N - 1)}} || I <- lists:seq(1, 3)].

serve(Dir) ->
    case io:get_line("") of
        eof -> ok;
        Line ->
            [What, Name] = string:lexemes(Line, " \n"),
            {ok, Bin} = file:read_file(filename:join(Dir, Name ++ ".etf")),
            T = binary_to_term(Bin),
            {Median, Least} = measure(What, T, Bin),
            io:format("~w ~w~n", [Median, Least]),
            serve(Dir)
    end.

measure("encode", T, _) -> rounds(fun() -> term_to_binary(T) end);
measure("decode", _, Bin) -> rounds(fun() -> binary_to_term(Bin) end).

%% In a process of its own per round, as the figures of one process depend on the garbage that it has.
rounds(F) ->
    Once = in_process(F, 3),
    Reps = max(3, 50000000 div max(1, Once)),
    Times = lists:sort([in_process(F, Reps) || _ <- lists:seq(1, 5)]),
    {lists:nth(3, Times), hd(Times)}.

in_process(F, Reps) ->
    Me = self(),
    spawn_link(fun() ->
        T0 = erlang:monotonic_time(nanosecond),
        repeat(F, Reps),
        Me ! {time, (erlang:monotonic_time(nanosecond) - T0) div Reps}
    end),
    receive {time, T} -> T end.

repeat(_, 0) -> ok;
repeat(F, N) -> F(), repeat(F, N - 1).
