%% Starts the process that owns the table beamkeeper_upgrade, if there is none.
case whereis(beamkeeper_upgrade) of
    undefined ->
        Caller = self(),
        {_, Ref} = spawn_monitor(fun() ->
            group_leader(whereis(init), self()),
            true = register(beamkeeper_upgrade, self()),
            ets:new(beamkeeper_upgrade, [named_table, public]),
            Caller ! {beamkeeper_upgrade, ready},
            receive stop -> ok end
        end),
        receive {beamkeeper_upgrade, ready} -> erlang:demonitor(Ref, [flush]), ok; {'DOWN', Ref, _, _, Why} -> {error, Why} end;
    _ -> ok
end.
