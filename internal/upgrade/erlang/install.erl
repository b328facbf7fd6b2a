%% Starts the job that has release_handler install Vsn. What becomes of it is in the table.
case ets:lookup(beamkeeper_upgrade, job) of
    [{job, Vsn, running, _, Pid, _} = Row] when is_pid(Pid) ->
        case is_process_alive(Pid) of true -> {already, Row}; false -> {dead, Row} end;
    _ ->
        Caller = self(),
        Job = spawn(fun() ->
            group_leader(whereis(init), self()),
            ets:insert(beamkeeper_upgrade, {job, Vsn, running, erlang:monotonic_time(millisecond), self(), none}),
            Caller ! {self(), begun},
            Result = try release_handler:install_release(Vsn, Options) catch C:E -> {error, {C, E}} end,
            Outcome = case Result of
                {error, Reason} ->
                    %% release_handler answers before it ends the BEAM, and answers nothing else in between
                    catch gen_server:call(release_handler, which_releases, 10000),
                    Text = unicode:characters_to_binary(lists:sublist(lists:flatten(io_lib:format("~0tP", [Reason, 25])), 600)),
                    case init:get_status() of
                        {stopping, _} -> {restarting, Text};
                        _ ->
                            %% refused before the point of no return: what the applications are said to be is the new
                            %% version's by then, and so are their environments
                            case ets:lookup(beamkeeper_upgrade, before) of
                                [{_, _, Environments, Specs}] ->
                                    catch application_controller:change_application_data(Specs, []),
                                    [begin
                                        [application:unset_env(App, K) || {K, _} <- application:get_all_env(App), not lists:keymember(K, 1, Env)],
                                        [application:set_env(App, K, V) || {K, V} <- Env]
                                     end || {App, Env} <- Environments];
                                [] -> ok
                            end,
                            {refused, Text}
                    end;
                Fine -> {element(1, Fine), <<>>}
            end,
            [{_, _, _, Began, _, _}] = ets:lookup(beamkeeper_upgrade, job),
            ets:insert(beamkeeper_upgrade, {job, Vsn, done, Began, self(), Outcome})
        end),
        receive {Job, begun} -> {begun, Job} after 5000 -> {error, timeout} end
end.
