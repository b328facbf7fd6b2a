%% Where the node is. Wait: milliseconds that release_handler may take to answer; it answers nothing while it installs.
%% Hold: milliseconds to wait for the end of a job of ours first.
Row = fun() -> case ets:whereis(beamkeeper_upgrade) of
    undefined -> none;
    Table -> case ets:lookup(Table, job) of
        [{_, Vsn, State, Began, Pid, Result}] ->
            {Vsn, case State of running -> case is_process_alive(Pid) of true -> running; false -> dead end; done -> done end,
             erlang:monotonic_time(millisecond) - Began, Result, Pid};
        [] -> none
    end
end end,
case Row() of
    {_, running, _, _, Working} when Hold > 0 ->
        Ref = erlang:monitor(process, Working),
        receive {'DOWN', Ref, _, _, _} -> ok after Hold -> erlang:demonitor(Ref, [flush]) end;
    _ -> ok
end,
Job = case Row() of none -> none; {V0, S0, B0, R0, _} -> {V0, S0, B0, R0} end,
%% Whether all applications that are loaded have the versions of these libraries ("App-Vsn").
Loaded = [{atom_to_list(A) ++ "-", V} || {A, _, V} <- application:loaded_applications()],
Runs = fun(Libs) -> lists:all(fun({App, Loads}) ->
    lists:all(fun(Lib) -> not lists:prefix(App, Lib) orelse Lib =:= App ++ Loads end, Libs) end, Loaded) end,
Releases = case Job of
    {_, running, _, _} -> busy;
    _ -> try gen_server:call(release_handler, which_releases, Wait) of
        List -> [{N, V, S, Runs(Libs)} || {N, V, Libs, S} <- List]
    catch
        exit:{noproc, _} -> case init:get_status() of {started, _} -> noproc; {Otherwise, _} -> Otherwise end;
        exit:{timeout, _} -> busy;
        exit:_ -> stopping
    end
end,
Name = fun(P) -> case process_info(P, registered_name) of {_, A} when is_atom(A) -> atom_to_list(A); _ -> "" end end,
Initial = fun(P) -> try {M, F, A} = proc_lib:translate_initial_call(P), lists:flatten(io_lib:format("~tp:~tp/~tp", [M, F, A])) catch _:_ -> "" end end,
Doing = case Job of
    {_, running, _, _} ->
        Pids = [P || {process, P} <- case whereis(release_handler) of undefined -> []; H ->
            case process_info(H, monitors) of {_, Ms} -> Ms; _ -> [] end end, is_pid(P), node(P) =:= node()],
        Stack = case whereis(release_handler) of undefined -> []; H2 ->
            case process_info(H2, current_stacktrace) of {_, Fs} -> [{M, F} || {M, F, _, _} <- Fs]; _ -> [] end end,
        Suspended = case erlang:system_info(process_count) < 20000 of
            false -> 0;
            true -> length([P || P <- processes(), {_, {sys, F, _}} <- [process_info(P, current_function)],
                lists:prefix("suspend_loop", atom_to_list(F))])
        end,
        {Stack, [{pid_to_list(P), Name(P), Initial(P)} || P <- Pids], Suspended};
    _ -> none
end,
Up = erlang:convert_time_unit(erlang:monotonic_time() - erlang:system_info(start_time), native, millisecond),
{Releases, Job, Doing, Up}.
