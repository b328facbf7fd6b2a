%% What the Gleam compiler generates for every package: start the package's application, then run main.
-module('sample_gleam@@main').
-export([run/1]).

run(Module) ->
    io:setopts(standard_io, [binary, {encoding, utf8}]),
    {ok, _} = application:ensure_all_started(Module),
    try
        Module:main(),
        erlang:halt(0)
    catch
        Class:Reason:Stack ->
            io:format(standard_error, "runtime error: ~p:~p~n~p~n", [Class, Reason, Stack]),
            erlang:halt(127, [{flush, true}])
    end.
