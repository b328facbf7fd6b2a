-module(hot_app).
-behaviour(application).
-export([start/2, stop/1, config_change/3, slow/0]).

start(_Type, _Args) ->
    {ok, Version} = application:get_key(hot_erlang, vsn),
    Version =:= "0.2.5" andalso error(asked_to_crash_at_boot),
    application:set_env(hot_erlang, set_at_run_time, fun() -> Version end),
    hot_sup:start_link().

stop(_State) -> ok.

config_change(Changed, New, Removed) ->
    persistent_term:put(hot_config_change, {lists:sort(Changed), lists:sort(New), lists:sort(Removed)}).

%% What takes its time in 0.2.1.
slow() ->
    case os:getenv("HOT_SLOW_MS", "7000") of
        "wait" -> wait();
        Ms -> timer:sleep(list_to_integer(Ms))
    end.

wait() ->
    case persistent_term:get(hot_go, false) of
        true -> ok;
        false -> timer:sleep(20), wait()
    end.
