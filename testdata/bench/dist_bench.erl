%% Client and server of the distribution benchmark (node/bench_test.go).
%% The server side registers the process echo; a node of ours has one that does the same.
-module(dist_bench).
-behaviour(gen_server).
-export([serve/0, measure/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

serve() ->
    {ok, _} = gen_server:start({local, echo}, ?MODULE, [], []),
    ok.

%% The state is the number of messages since count was last asked for.
init([]) -> {ok, 0}.
handle_call(count, _From, N) -> {reply, N, 0};
handle_call(Request, _From, N) -> {reply, Request, N}.
handle_cast(_, N) -> {noreply, N + 1}.
handle_info(_, N) -> {noreply, N + 1}.

%% measure(What, Node) -> Number. Latencies are medians in microseconds, rates are per second.
measure(call, Node) ->
    median_us(5000, fun() -> hello = gen_server:call({echo, Node}, hello) end);
measure(erpc, Node) ->
    median_us(2000, fun() -> Node = erpc:call(Node, erlang, node, []) end);
measure(callers, Node) ->
    Callers = 64,
    Each = 500,
    Self = self(),
    {Us, ok} = timer:tc(fun() ->
        Pids = [spawn_link(fun() -> calls(Node, Each), Self ! {done, self()} end) || _ <- lists:seq(1, Callers)],
        [receive {done, P} -> ok end || P <- Pids],
        ok
    end),
    Callers * Each * 1.0e6 / Us;
measure(oneway, Node) ->
    sent(Node, 100000, {msg, 42, ok, <<"abcdefgh">>});
measure(blobs, Node) ->
    sent(Node, 200, {blob, binary:copy(<<"0123456789abcdef">>, 65536)}) * 1.048576.

median_us(N, F) ->
    Times = [begin T0 = erlang:monotonic_time(nanosecond), F(), erlang:monotonic_time(nanosecond) - T0 end || _ <- lists:seq(1, N)],
    lists:nth(N div 2, lists:sort(Times)) / 1000.

calls(_, 0) -> ok;
calls(Node, N) ->
    hello = gen_server:call({echo, Node}, hello, 30000),
    calls(Node, N - 1).

%% Messages per second, from the first sent to the last seen by the receiver.
sent(Node, N, Message) ->
    gen_server:call({echo, Node}, count, infinity),
    {Us, ok} = timer:tc(fun() ->
        send({echo, Node}, Message, N),
        seen({echo, Node}, N)
    end),
    N * 1.0e6 / Us.

send(_, _, 0) -> ok;
send(To, Message, N) -> To ! Message, send(To, Message, N - 1).

seen(_, N) when N =< 0 -> ok;
seen(To, N) -> seen(To, N - gen_server:call(To, count, infinity)).
