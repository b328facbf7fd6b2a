-module(hot_sup).
-behaviour(supervisor).
-export([start_link/0, init/1]).

start_link() -> supervisor:start_link({local, ?MODULE}, ?MODULE, []).

init([]) ->
    {ok, {#{strategy => one_for_one, intensity => 10},
          [#{id => hot_counter, start => {hot_counter, start_link, []}},
           #{id => hot_http, start => {hot_http, start_link, []}},
           #{id => hot_busy_sup, start => {hot_busy_sup, start_link, []}, type => supervisor}]}}.
