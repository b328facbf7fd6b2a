%% A counter behind a small HTTP port. Versions that end in -crash die while starting, -slow take
%% SAMPLE_BOOT_DELAY_MS longer, -sick start but answer 503 on /health.
-module(sample_app).
-behaviour(application).
-behaviour(supervisor).
-export([start/2, stop/1, init/1]).

start(_Type, _Args) ->
    io:format("sample ~s starting on ~s~n", ["@VERSION@", node()]),
    crash_if_asked("@VERSION@"),
    timer:sleep(list_to_integer(os:getenv("SAMPLE_BOOT_DELAY_MS", "0"))),
    supervisor:start_link({local, sample_sup}, ?MODULE, []).

stop(_State) -> ok.

init([]) ->
    Worker = fun(M) -> #{id => M, start => {M, start_link, []}} end,
    {ok, {#{strategy => one_for_one}, [Worker(sample_counter), Worker(sample_http)]}}.

crash_if_asked(Version) ->
    case lists:suffix("-crash", Version) of
        true -> error(asked_to_crash_at_boot);
        false -> ok
    end.
