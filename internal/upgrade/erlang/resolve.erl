%% Works out what the environments of the applications become when the node goes from one version to another, keeps the
%% result in the table beamkeeper_upgrade, and returns the names of the keys that change.
%%
%% Current, Target: {Vsn, Boot, Config}: content of start.boot (binary) and of sys.config (binary, text).
%% The value that a key has now gives way to the target's when it is what the current version's files and providers say;
%% else somebody set it while the system ran, and it stays unless the target says something new.

Parse = fun(Text) ->
    {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Text)),
    {ok, Term} = erl_parse:parse_term(Tokens),
    Term end,

%% [{App, [{Key, Value}]}] of sys.config, with the files that it names
Files = fun(Config) -> lists:flatmap(
    fun({App, Env}) -> [{App, Env}];
       (File) ->
           Name = case filename:extension(File) of ".config" -> File; _ -> File ++ ".config" end,
           case file:consult(Name) of {ok, [Inner]} -> Inner; _ -> [] end
    end, Config) end,

Over = fun(Below, Above) -> lists:foldl(fun({K, V}, Acc) -> lists:keystore(K, 1, Acc, {K, V}) end, Below, Above) end,

OfApp = fun(App, Config) -> lists:foldl(fun({A, Env}, Acc) when A =:= App -> Over(Acc, Env); (_, Acc) -> Acc end, [], Config) end,

CommandLine = fun(App) ->
    Pair = fun Pair([K, V | Rest]) ->
            Read = fun(S) -> try Parse(S ++ ".") catch _:_ -> S end end,
            [{Read(K), Read(V)} | Pair(Rest)];
        Pair(_) -> [] end,
    case init:get_argument(App) of {ok, Lists} -> lists:flatmap(Pair, Lists); error -> [] end end,

Specs = fun(Boot) ->
    {script, _, Instructions} = binary_to_term(Boot),
    lists:flatmap(fun({kernelProcess, application_controller, {application_controller, start, [Spec]}}) -> [Spec];
                     ({apply, {application, load, [Spec]}}) -> [Spec];
                     (_) -> [] end, Instructions) end,

%% what Config.Provider of Elixir does at boot
Provide = fun(Vsn, Config) ->
    case lists:keyfind(config_provider_init, 1, OfApp(elixir, Config)) of
        {_, #{providers := Providers} = Init} ->
            Start = case maps:get(extra_config, Init, []) of
                [] -> Config;
                Extra -> 'Elixir.Config.Reader':merge(Config, Extra)
            end,
            Before = os:getenv("RELEASE_VSN"),
            Before =:= false orelse os:putenv("RELEASE_VSN", Vsn),
            try lists:foldl(fun({Mod, Arg}, Acc) -> Mod:load(Acc, Arg) end, Start, Providers)
            after Before =:= false orelse os:putenv("RELEASE_VSN", Before)
            end;
        _ -> Config
    end end,

Resolve = fun({Vsn, Boot, Text}) ->
    Shipped = Files(Parse(Text)),
    Provided = Provide(Vsn, Shipped),
    [begin
        Own = proplists:get_value(env, Keys, []),
        {App, Over(Over(Own, OfApp(App, Provided)), CommandLine(App)), Over(Over(Own, OfApp(App, Shipped)), CommandLine(App))}
     end || {application, App, Keys} <- Specs(Boot)] end,

Old = Resolve(Current),
New = Resolve(Target),
Loaded = [A || {A, _, _} <- application:loaded_applications()],
Now = [{A, application:get_all_env(A)} || A <- Loaded],
Skip = fun(elixir, K) -> lists:member(K, [config_provider_init, config_provider_booted, config_providers_booted]);
          (_, K) -> K =:= included_applications end,
Get = fun(K, Env) -> case lists:keyfind(K, 1, Env) of {_, V} -> {ok, V}; false -> none end end,

Merged = [begin
    {OldEnv, NowEnv} = case {lists:keyfind(App, 1, Old), lists:keyfind(App, 1, Now)} of
        {{_, WasEnv, _}, {_, IsEnv}} -> {WasEnv, IsEnv};
        {false, {_, RunEnv}} -> {[], RunEnv};
        _ -> {[], []}
    end,
    Keys = lists:usort([K || {K, _} <- NewEnv ++ NowEnv ++ OldEnv]),
    Rows = [begin
        N = Get(K, NewEnv), O = Get(K, OldEnv), C = Get(K, NowEnv),
        {To, Source} = if
            C =:= O -> {N, release};
            N =:= O -> {C, running};
            true -> {N, release}
        end,
        From = case Source of
            running -> running;
            _ -> case Get(K, Static) =:= N of true -> release; false -> provider end
        end,
        {K, C, To, From}
     end || K <- Keys, not Skip(App, K)],
    Kept = [{K, V} || {K, V} <- NowEnv, Skip(App, K)],
    {App, lists:member(App, Loaded), [{K, V} || {K, _, {ok, V}, _} <- Rows] ++ Kept, Rows}
  end || {App, NewEnv, Static} <- New],

true = ets:insert(beamkeeper_upgrade, [
    {environment, element(1, Target), [{App, IsLoaded, Env} || {App, IsLoaded, Env, _} <- Merged]},
    {before, element(1, Current), Now, Specs(element(2, Current))}]),

[{App, K, case {C, To} of {none, {ok, _}} -> added; {{ok, _}, none} -> removed; {Same, Same} -> kept; _ -> changed end, From}
  || {App, _, _, Rows} <- Merged, {K, C, To, From} <- Rows, C =/= To orelse (From =:= running andalso C =/= none)].
