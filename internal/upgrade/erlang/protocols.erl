%% Executed by release_handler, as an instruction of the relup, behind the last module: a mix release has its protocols
%% consolidated in a folder of the version, which is no application's, so that no appup knows of them.
Folder = fun(V) -> filename:join([code:root_dir(), "releases", V, "consolidated"]) end,
case file:list_dir(Folder(To)) of
    {ok, Files} ->
        Suffix = "/releases/" ++ From ++ "/consolidated",
        code:set_path([case lists:suffix(Suffix, P) of true -> Folder(To); false -> P end || P <- code:get_path()]),
        [begin
            Module = list_to_atom(filename:rootname(File)),
            code:soft_purge(Module) andalso code:load_abs(filename:join(Folder(To), filename:rootname(File)))
         end || File <- Files, filename:extension(File) =:= ".beam",
            file:read_file(filename:join(Folder(To), File)) =/= file:read_file(filename:join(Folder(From), File))];
    _ -> ok
end.
