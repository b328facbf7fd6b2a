%% A supervisor that can be kept busy: busy(Ms) has it start a child that takes that long.
-module(hot_busy_sup).
-behaviour(supervisor).
-export([start_link/0, init/1, busy/1, slow_start/1]).

start_link() -> supervisor:start_link({local, ?MODULE}, ?MODULE, []).

init([]) ->
    {ok, {#{strategy => simple_one_for_one}, [#{id => child, start => {?MODULE, slow_start, []}, restart => temporary}]}}.

busy(Ms) -> spawn(fun() -> supervisor:start_child(?MODULE, [Ms]) end), ok.

slow_start(Ms) -> timer:sleep(Ms), ignore.
