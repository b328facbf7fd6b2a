%% Processes that execute, or refer to, old code. Most: how many are listed; Wait: milliseconds for all of it.
End = erlang:monotonic_time(millisecond) + Wait,
Old = [M || {M, _} <- code:all_loaded(), erlang:check_old_code(M)],
Initial = fun(P) -> try {M, F, A} = proc_lib:translate_initial_call(P), lists:flatten(io_lib:format("~tp:~tp/~tp", [M, F, A])) catch _:_ -> "" end end,
Name = fun(P) -> case process_info(P, registered_name) of {_, A} when is_atom(A) -> atom_to_list(A); _ -> "" end end,
App = fun(P) -> case application:get_application(P) of {ok, A} -> atom_to_list(A); _ -> "" end end,
Gather = fun Gather(0, Found) -> {0, Found};
    Gather(N, Found) ->
        receive
            {check_process_code, {P, M}, true} -> Gather(N - 1, maps:update_with(P, fun(Ms) -> [M | Ms] end, [M], Found));
            {check_process_code, {_, _}, _} -> Gather(N - 1, Found)
        after max(0, End - erlang:monotonic_time(millisecond)) -> {N, Found} end end,
{Unanswered, Found} = case Old of
    [] -> {0, #{}};
    _ ->
        Asked = lists:foldl(fun(P, N) -> lists:foldl(fun(M, K) -> erlang:check_process_code(P, M, [{async, {P, M}}]), K + 1 end, N, Old) end,
            0, processes() -- [self()]),
        Gather(Asked, #{})
end,
{[atom_to_list(M) || M <- Old], Unanswered,
 [{pid_to_list(P), Name(P), App(P), Initial(P), [atom_to_list(M) || M <- Ms]} || {P, Ms} <- lists:sublist(lists:sort(maps:to_list(Found)), Most)]}.
