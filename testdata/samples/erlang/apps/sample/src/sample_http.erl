%% GET / counts and greets; /health is the probe; /value, /env/NAME, /halt/CODE and /log/TEXT serve the tests.
-module(sample_http).
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

answer(<<"/">>) ->
    {ok, Greeting} = application:get_env(sample, greeting),
    {"200 OK", io_lib:format("~s, ~s, visit ~b~n", [Greeting, node(), sample_counter:bump()])};
answer(<<"/health">>) ->
    case lists:suffix("-sick", "@VERSION@") of
        true -> {"503 Service Unavailable", "sick\n"};
        false -> {"200 OK", "ok\n"}
    end;
answer(<<"/value">>) -> {"200 OK", [integer_to_list(sample_counter:value()), $\n]};
answer(<<"/version">>) -> {"200 OK", "@VERSION@\n"};
answer(<<"/env/", Name/binary>>) ->
    case os:getenv(binary_to_list(Name)) of
        false -> {"404 Not Found", "\n"};
        Value -> {"200 OK", unicode:characters_to_binary(Value)}
    end;
answer(<<"/halt/", Code/binary>>) ->
    erlang:halt(binary_to_integer(Code));
answer(<<"/log/", Text/binary>>) ->
    io:format("~ts~n", [Text]),
    {"200 OK", "logged\n"};
answer(_) -> {"404 Not Found", "not here\n"}.
