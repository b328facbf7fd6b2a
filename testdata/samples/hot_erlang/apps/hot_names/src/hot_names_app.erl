-module(hot_names_app).
-behaviour(application).
-behaviour(supervisor).
-export([start/2, stop/1, init/1]).

start(_, _) -> supervisor:start_link({local, hot_names_sup}, ?MODULE, []).
stop(_) -> ok.
init([]) -> {ok, {#{}, [#{id => hot_names, start => {hot_names, start_link, []}}]}}.
