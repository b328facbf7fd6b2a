%% The state that an upgrade must keep. linger/0 starts a process that never leaves the code that it was started in.
-module(hot_counter).
-behaviour(gen_server).
-vsn("@VERSION@").
-export([start_link/0, bump/0, value/0, state/0, linger/0, crowd/1]).
-export([init/1, handle_call/3, handle_cast/2, code_change/3]).

start_link() -> gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).
bump() -> gen_server:call(?MODULE, bump).
value() -> gen_server:call(?MODULE, value).
state() -> gen_server:call(?MODULE, state).

linger() -> spawn(fun lingering/0).
lingering() -> receive stop -> ok; {From, version} -> From ! {self(), "@VERSION@"}, lingering() end.

%% N processes that do nothing and belong to no code of this application.
crowd(N) -> [spawn(timer, sleep, [infinity]) || _ <- lists:seq(1, N)], ok.

init([]) -> {ok, new(0)}.

handle_call(bump, _From, State) -> N = count(State) + 1, {reply, N, new(N)};
handle_call(value, _From, State) -> {reply, count(State), State};
handle_call(state, _From, State) -> {reply, State, State}.

handle_cast(_Message, State) -> {noreply, State}.

code_change({down, _}, State, _Extra) -> {ok, @DOWN@};
code_change(_Old, State, _Extra) -> @UP@.

count(N) when is_integer(N) -> N;
count({_, N}) -> N.

new(N) -> @STATE@.
