-module(hot_app).
-behaviour(application).
-export([start/2, stop/1, config_change/3]).

start(_Type, _Args) ->
    {ok, Version} = application:get_key(hot_erlang, vsn),
    Version =:= "0.2.5" andalso error(asked_to_crash_at_boot),
    application:set_env(hot_erlang, set_at_run_time, fun() -> Version end),
    hot_sup:start_link().

stop(_State) -> ok.

config_change(Changed, New, Removed) ->
    persistent_term:put(hot_config_change, {lists:sort(Changed), lists:sort(New), lists:sort(Removed)}).
