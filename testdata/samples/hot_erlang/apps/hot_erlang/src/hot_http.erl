%% GET / counts; /health is the probe; /value and /version serve the tests. The same in all versions.
-module(hot_http).
-export([start_link/0, init/1]).

start_link() -> proc_lib:start_link(?MODULE, init, [self()]).

init(Parent) ->
    register(?MODULE, self()),
    Port = list_to_integer(os:getenv("PORT", "0")),
    {ok, Listen} = gen_tcp:listen(Port, [binary, {packet, http_bin}, {active, false}, {reuseaddr, true},
                                         {ip, {127, 0, 0, 1}}]),
    proc_lib:init_ack(Parent, {ok, self()}),
    accept(Listen).

accept(Listen) ->
    {ok, Socket} = gen_tcp:accept(Listen),
    Pid = spawn(fun() -> receive go -> serve(Socket) end end),
    ok = gen_tcp:controlling_process(Socket, Pid),
    Pid ! go,
    accept(Listen).

serve(Socket) ->
    case gen_tcp:recv(Socket, 0, 60000) of
        {ok, {http_request, 'GET', {abs_path, Path}, _}} ->
            skip_headers(Socket),
            {Code, Body} = answer(Path),
            ok = inet:setopts(Socket, [{packet, raw}]),
            _ = gen_tcp:send(Socket, ["HTTP/1.1 ", Code, "\r\ncontent-type: text/plain\r\ncontent-length: ",
                                      integer_to_list(iolist_size(Body)), "\r\n\r\n", Body]),
            ok = inet:setopts(Socket, [{packet, http_bin}]),
            serve(Socket);
        _ ->
            gen_tcp:close(Socket)
    end.

skip_headers(Socket) ->
    case gen_tcp:recv(Socket, 0, 60000) of
        {ok, http_eoh} -> ok;
        {ok, _} -> skip_headers(Socket)
    end.

answer(<<"/">>) -> {"200 OK", [integer_to_list(hot_counter:bump()), $\n]};
answer(<<"/health">>) -> {"200 OK", "ok\n"};
answer(<<"/value">>) -> {"200 OK", [integer_to_list(hot_counter:value()), $\n]};
answer(<<"/version">>) ->
    {ok, Version} = application:get_key(hot_erlang, vsn),
    {"200 OK", [Version, $\n]};
answer(_) -> {"404 Not Found", "not here\n"}.
