%% Executed by release_handler, as an instruction of the relup, right after it has set the environments by sys.config:
%% gives them the values that resolve.erl worked out. Without the table nothing is done.
case ets:whereis(beamkeeper_upgrade) of
    undefined -> ok;
    Table -> case ets:lookup(Table, environment) of
        [{_, Vsn, Apps}] ->
            os:getenv("RELEASE_VSN") =:= false orelse os:putenv("RELEASE_VSN", Vsn),
            lists:foreach(fun({App, Loaded, Env}) ->
                [application:unset_env(App, K) || {K, _} <- application:get_all_env(App), K =/= included_applications,
                    not lists:keymember(K, 1, Env)],
                [application:set_env(App, K, V, [{persistent, not Loaded}]) || {K, V} <- Env, K =/= included_applications]
            end, Apps);
        [] -> ok
    end
end.
