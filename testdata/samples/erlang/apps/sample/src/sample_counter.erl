%% The state that a hot upgrade must keep: an integer in 0.1.x, a map from 0.2.0 on.
-module(sample_counter).
-behaviour(gen_server).
-vsn("@VERSION@").
-export([start_link/0, bump/0, value/0]).
-export([init/1, handle_call/3, handle_cast/2, code_change/3]).

start_link() -> gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).
bump() -> gen_server:call(?MODULE, bump).
value() -> gen_server:call(?MODULE, value).

init([]) -> {ok, new(0)}.

handle_call(bump, _From, State) ->
    N = count(State) + 1,
    {reply, N, new(N)};
handle_call(value, _From, State) ->
    {reply, count(State), State}.

handle_cast(_Message, State) -> {noreply, State}.

code_change(_OldVsn, State, _Extra) -> {ok, new(count(State))}.

count(N) when is_integer(N) -> N;
count(#{count := N}) -> N.

-ifdef(MAP_STATE).
new(N) -> #{count => N}.
-else.
new(N) -> N.
-endif.
