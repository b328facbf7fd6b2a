%% Processes that do not answer what release_handler asks in an installation: every supervisor for its children, every
%% worker with modules `dynamic` for its modules, and the workers of Modules to be suspended. Each has Wait milliseconds,
%% all together Total; what is not asked in that time, or is a worker beyond the first 2000, is taken to answer. A
%% counterpart of release_handler_1:get_supervised_procs/0.
End = erlang:monotonic_time(millisecond) + Total,
Left = fun() -> max(1, min(Wait, End - erlang:monotonic_time(millisecond))) end,
Initial = fun(P) -> try {M, F, A} = proc_lib:translate_initial_call(P), lists:flatten(io_lib:format("~tp:~tp/~tp", [M, F, A])) catch _:_ -> "" end end,
Text = fun(Id) -> unicode:characters_to_binary(lists:sublist(lists:flatten(io_lib:format("~0tp", [Id])), 200)) end,
Row = fun(P, Id, App, Why) ->
    Name = case process_info(P, registered_name) of {_, A} when is_atom(A) -> Text(A); _ -> Text(Id) end,
    [{pid_to_list(P), Name, atom_to_list(App), Initial(P), Why}] end,
Alive = fun(P) -> process_info(P, status) =/= undefined end,
Suspended = fun(P) -> case process_info(P, current_function) of
    {_, {sys, F, _}} -> lists:prefix("suspend_loop", atom_to_list(F)); _ -> false end end,
Asked = fun(worker) ->
        Count = case get(beamkeeper_probed) of undefined -> 1; Before -> Before + 1 end,
        put(beamkeeper_probed, Count),
        Count =< 2000 andalso erlang:monotonic_time(millisecond) < End;
    (_) -> erlang:monotonic_time(millisecond) < End end,
Ask = fun(P, Id, App, Why, F) -> case Asked(Why) of false -> gone; true ->
    Started = self(),
    {Q, Ref} = spawn_monitor(fun() -> Started ! {self(), (catch F(Left()))} end),
    R = receive {Q, V} -> erlang:demonitor(Ref, [flush]), V; {'DOWN', Ref, _, _, D} -> {'EXIT', D} after Left() + 100 -> exit(Q, kill),
        receive {Q, V2} -> V2; {'DOWN', Ref, _, _, _} -> {'EXIT', timeout} end end,
    receive {Q, _} -> ok after 0 -> ok end,
    case R of
        {'EXIT', _} -> case Alive(P) of true -> {bad, Row(P, Id, App, Why)}; false -> gone end;
        _ -> {ok, R}
    end end end,
Supervisor = fun Supervisor(P, Id, App, Acc) ->
    case Suspended(P) of
        true -> Row(P, Id, App, suspended) ++ Acc;
        false ->
            case Ask(P, Id, App, supervisor, fun(T) -> sys:statistics(P, get, T), gen_server:call(P, which_children, T) end) of
                {bad, R} -> R ++ Acc;
                gone -> Acc;
                {ok, Children} when is_list(Children) -> lists:foldl(fun
                    ({Child, C, supervisor, _}, A) when is_pid(C) -> Supervisor(C, Child, App, A);
                    ({Child, C, worker, dynamic}, A) when is_pid(C) ->
                        case Ask(C, Child, App, dynamic, fun(T) -> {ok, M} = gen:call(C, self(), get_modules, T), M end) of
                            {bad, R} -> R ++ A;
                            {ok, Ms} when is_list(Ms) -> case [M || M <- Ms, lists:member(M, Modules)] of
                                [] -> A;
                                _ -> case Ask(C, Child, App, worker, fun(T) -> sys:statistics(C, get, T) end) of {bad, R} -> R ++ A; _ -> A end end;
                            _ -> A
                        end;
                    ({Child, C, worker, Ms}, A) when is_pid(C), is_list(Ms) ->
                        case [M || M <- Ms, lists:member(M, Modules)] of
                            [] -> A;
                            _ -> case Suspended(C) of
                                true -> Row(C, Child, App, suspended) ++ A;
                                false -> case Ask(C, Child, App, worker, fun(T) -> sys:statistics(C, get, T) end) of {bad, R} -> R ++ A; _ -> A end
                            end
                        end;
                    (_, A) -> A
                end, Acc, Children);
                _ -> Acc
            end
    end end,
lists:foldl(fun({App, _, _}, Acc) ->
    case application_controller:get_master(App) of
        Master when is_pid(Master) ->
            case Ask(Master, App, App, master, fun(_) -> application_master:get_child(Master) end) of
                {bad, R} -> R ++ Acc;
                {ok, {Top, _}} when is_pid(Top) -> Supervisor(Top, top, App, Acc);
                _ -> Acc
            end;
        _ -> Acc
    end end, [], application:which_applications()).
