-module(hot_stats).
-behaviour(gen_server).
-vsn("@DEP@").
-export([start_link/0, version/0, kept/0, init/1, handle_call/3, handle_cast/2, code_change/3]).

start_link() -> gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).
version() -> gen_server:call(?MODULE, version).
kept() -> gen_server:call(?MODULE, kept).
init([]) -> {ok, {"@DEP@", make_ref()}}.
handle_call(version, _, {V, _} = S) -> {reply, {"@DEP@", V}, S};
handle_call(kept, _, {_, R} = S) -> {reply, R, S}.
handle_cast(_, S) -> {noreply, S}.
code_change({down, V}, {_, R}, _) -> {ok, {V, R}};
code_change(_, {_, R}, _) -> {ok, {"@DEP@", R}}.
