%% Writes test vectors of the external term format, one per line, fields separated by tabs:
%%
%%   write   OTP  OPTIONS  TEXT  HEX        term_to_binary(Term, OPTIONS) gave HEX; io_lib:format("~0tp") gave TEXT
%%   accept  OTP  HEX      TEXT  CANONICAL  binary_to_term(HEX) gave Term; term_to_binary(Term) gave CANONICAL
%%   reject  OTP  HEX                       binary_to_term(HEX) raised badarg
%%
%% Run by etf.sh, with +pc unicode.
-module(etf_vectors).
-export([main/1]).

main([File]) ->
    ok = file:write_file(File, [
        "# Recorded from OTP ", otp(), ", ERTS ", erlang:system_info(version), ", by testdata/gen/etf.sh. Do not edit.\n",
        [write(T, []) || T <- terms()],
        [write(T, [{minor_version, 0}]) || T <- [1.5, -0.1, 1.0e300, {a, 2.5, [3.25]}]],
        [write(T, [{minor_version, 2}]) || T <- ['', abc, list_to_atom([246]), {ok, [self()]}]],
        [write(T, [compressed]) || T <- [lists:duplicate(300, abc), binary:copy(<<"beam">>, 100), maps:from_list([{I, I} || I <- lists:seq(1, 100)])]],
        local(),
        [accept(B) || B <- odd()],
        [reject(B) || B <- bad()]]).

otp() -> erlang:system_info(otp_release).

write(T, Opts) ->
    Bin = term_to_binary(T, Opts),
    T = binary_to_term(Bin),
    line(["write", otp(), io_lib:format("~0p", [Opts]), text(T), hex(Bin)]).

accept(Bin) ->
    try binary_to_term(Bin) of
        T -> line(["accept", otp(), hex(Bin), text(T), hex(term_to_binary(T))])
    catch error:badarg ->
        reject(Bin)
    end.

reject(Bin) ->
    try binary_to_term(Bin) of
        T -> line(["accept", otp(), hex(Bin), text(T), hex(term_to_binary(T))])
    catch error:badarg ->
        line(["reject", otp(), hex(Bin)])
    end.

line(Fields) -> [lists:join($\t, Fields), $\n].

text(T) -> unicode:characters_to_binary(io_lib:format("~0tp", [T])).

hex(Bin) -> [io_lib:format("~2.16.0b", [B]) || <<B>> <= Bin].

local() ->
    try [write(T, [local]) || T <- [42, {self(), make_ref(), abc, <<"abc">>}, [hd(erlang:ports()), fun(X) -> X end, fun lists:map/2]]]
    catch error:badarg -> []   % before OTP 26
    end.

terms() ->
    integers() ++ floats() ++ atoms() ++ strings() ++ binaries() ++ containers() ++ identifiers() ++ funs() ++ records().

integers() ->
    [0, 1, 127, 128, 255, 256, -1, -128, -1024, -1025, 16384, 16385, 65535, 65536] ++
    lists:append([[1 bsl N, -(1 bsl N), (1 bsl N) - 1, (1 bsl N) + 1, 1 - (1 bsl N)] ||
        N <- [16, 27, 28, 31, 32, 40, 48, 56, 59, 60, 63, 64, 65, 128, 2032, 2039, 2040, 2041, 4096]]).

floats() ->
    [0.0, -0.0, 1.0, -1.0, 0.1, -0.1, 1.5, 100.0, 123456.789, 1.0e10, 1.0e15, 1.0e16, 1.0e17, 1.0e21, 1.0e22, 1.0e23, 1.0e100, 1.0e-3, 1.0e-4, 1.0e-5,
     1.0e-10, 0.001, 0.0123, 3.14159, 2.5e-8, 5.0e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 9007199254740992.0,
     9007199254740991.0, 9007199254740994.0, -9007199254740992.0, 4503599627370497.5, 123456789012345680.0, 12345678901234567890.0,
     1.0e9, 1.2345e7, 99999.0, 100000.0, 1000000.0, 0.5, 3.0e-2, 1.0e5, 1.0e6, 1.25e20, 1.1, 33333333.333].

atoms() ->
    ['', a, ok, true, false, undefined, nil, 'Elixir.Foo', 'with space', 'quo\'te', 'back\\slash', 'new\nline', 'tab\t', 'Upper', '_x', a@b, 'a-b',
     '1a', 'and', 'after', 'begin', 'if', 'maybe', 'else', 'xor', 'let', 'cond', 'when', 'fun', 'of', 'catch', a_b1, '[]', '{}', '<<>>', list_to_atom([0]), list_to_atom([127]), list_to_atom([160]),
     list_to_atom([246, 108]), list_to_atom([214, 108]), list_to_atom([97, 246, 108]), list_to_atom([97, 215]), list_to_atom([16#3b1, 16#3b2]), list_to_atom([16#65e5, 16#672c]),
     list_to_atom([97, 16#3b1]), list_to_atom([16#1f600]), list_to_atom(lists:duplicate(255, $x)), list_to_atom(lists:duplicate(255, 246)), list_to_atom(lists:duplicate(127, 246)), list_to_atom(lists:duplicate(128, 246)),
     list_to_atom(lists:duplicate(255, 16#1f600)), list_to_atom(lists:duplicate(64, 16#3b1)), list_to_atom([223]), list_to_atom([97, 27, 98]), list_to_atom([97, 7, 98, 8, 11, 12])].

strings() ->
    ["a", "hello", "with \"quotes\"", "back\\slash", "nl\n tab\t cr\r", [0], [1, 2, 3], [255], [8, 9, 10, 11, 12, 13, 27, 32], [127], [128, 129], [160, 255], "r\xe4ksm\xf6rg\xe5s", [97, 16#3b1], [16#65e5, 16#672c],
     [16#1f600], [97, 0], lists:duplicate(300, $x), lists:seq(0, 255), [256], [97, 256], [97, -1], [97, b], [97, 1.0], "~p", [$', $"],
     lists:duplicate(65535, $y), lists:duplicate(65536, $z), [16#d800], [16#fffe], [16#10ffff], [16#110000], "a\eb", "\d", [16#e000], [16#200b], [16#85]].

binaries() ->
    [<<>>, <<"a">>, <<"hello">>, <<0>>, <<1, 2, 3>>, <<255>>, <<"with \"q\" \\ \n">>, <<"r\xe4ksm\xf6rg">>, <<"r\xe4ksm\xf6rg"/utf8>>, <<"\x{65e5}\x{672c}"/utf8>>, <<"\x{1f600} ok"/utf8>>,
     <<97, 0>>, <<"tab\t\e\d">>, <<1:1>>, <<0:1>>, <<5:3>>, <<255, 1:7>>, <<"abc", 1:4>>, <<1, 2, 3, 2:2>>, <<16#ff:6>>, <<1:9>>, binary:copy(<<"0123456789abcdef">>, 20), <<128>>, <<"\x{3b1}"/utf8, 255>>, <<"\x{85}"/utf8>>, <<160>>, <<"abc", 160>>].

containers() ->
    [{}, {a}, {a, b}, {{}, {{}}}, list_to_tuple(lists:seq(1, 255)), list_to_tuple(lists:seq(1, 256)), list_to_tuple(lists:duplicate(1000, a)),
     [], [[]], [a], [a, b, c], [a | b], [a, b | c], [1, 2 | 3], [97, 98 | c], [[a | b] | {c}], [[[[[]]]]], [a | <<"tail">>], ["abc", [300], <<"x">>], [{a, 1}, {b, 2}], [1000, 2000],
     #{}, #{a => 1}, #{a => 1, b => 2}, #{<<"bin">> => 1, {t, 1} => [], [l] => x, 1 => a, 1.0 => b, #{} => m, "str" => s}, #{a => #{b => #{c => []}}}, #{1 => a, 2 => b, -1 => c},
     maps:from_list([{I, integer_to_list(I)} || I <- lists:seq(1, 33)]), maps:from_list([{integer_to_binary(I), I} || I <- lists:seq(1, 100)]),
     #{'Q a' => "x", "k" => <<"v">>}, nest(100, []), nest_tuple(100, x), {[], #{}, <<>>, "", ''},
     {application, x, [{vsn, "1.0"}, {modules, [a, b]}, {mod, {x, []}}]}].

nest(0, T) -> T;
nest(N, T) -> nest(N - 1, [T]).
nest_tuple(0, T) -> T;
nest_tuple(N, T) -> nest_tuple(N - 1, {a, T}).

identifiers() ->
    Node = 'shop@host.example',
    [self(), hd(erlang:ports()), make_ref(), monitor(process, spawn(fun() -> ok end), [{alias, explicit_unalias}])] ++
    [b2t([88, atom(Node), <<85:32, 3:32, 16#abcdef01:32>>]), b2t([88, atom(Node), <<16#7fffffff:32, 16#1fff:32, 0:32>>]),
     b2t([89, atom(Node), <<5:32, 7:32>>]), b2t([89, atom(Node), <<16#fffffff:32, 7:32>>]),
     b2t([90, 0, 1, atom(Node), <<7:32, 1:32>>]), b2t([90, 0, 3, atom(Node), <<7:32, 1:32, 2:32, 3:32>>]),
     b2t([90, 0, 3, atom(Node), <<16#fffffffe:32, 262143:32, 16#ffffffff:32, 16#ffffffff:32>>])] ++
    case list_to_integer(otp()) of
        N when N >= 24 ->
            [b2t([120, atom(Node), <<16#10000000:64, 7:32>>]), b2t([120, atom(Node), <<16#ffffffffffff:64, 7:32>>]),
             b2t([90, 0, 4, atom(Node), <<7:32, 1:32, 2:32, 3:32, 4:32>>]), b2t([90, 0, 5, atom(Node), <<7:32, 1:32, 2:32, 3:32, 4:32, 5:32>>]),
             b2t([88, atom(Node), <<16#ffffffff:32, 16#ffffffff:32, 9:32>>])];
        _ -> []
    end.

atom(A) -> S = atom_to_binary(A, utf8), [119, byte_size(S), S].
b2t(L) -> binary_to_term(iolist_to_binary([131, L])).

funs() ->
    X = {captured, [1, 2]},
    Y = self(),
    {ok, Toks, _} = erl_scan:string("fun(A) -> {A, B} end."),
    {ok, Exprs} = erl_parse:parse_exprs(Toks),
    {value, Evaluated, _} = erl_eval:exprs(Exprs, [{'B', <<"b">>}]),
    [fun() -> ok end, fun(A) -> {A, X} end, fun(A, B) -> {A, B, X, Y} end, fun lists:map/2, fun erlang:self/0, fun 'Elixir.Foo Bar':'baz!'/255, Evaluated,
     {fun lists:map/2, [fun() -> X end]}].

records() ->
    case code:which(etf_records) of
        non_existing -> [];
        _ -> apply(etf_records, terms, [])
    end.

%% What binary_to_term accepts and term_to_binary does not write.
odd() ->
    Node = atom(n@h),
    Latin1 = [100, 0, 3, "n@h"],
    Z = zlib:compress(<<104, 2, 97, 1, 106>>),
    B = fun(L) -> iolist_to_binary([131 | L]) end,
    [B(L) || L <- [
        [100, 0, 3, "abc"], [100, 0, 1, 246], [115, 3, "abc"], [115, 1, 246], [118, 0, 3, "abc"], [119, 2, 195, 182], [118, 0, 2, 195, 182], [100, 0, 0], [115, 0], [118, 0, 0], [119, 0],
        [98, 0, 0, 0, 5], [98, 255, 255, 255, 255], [110, 1, 0, 5], [110, 0, 0], [110, 0, 1], [110, 1, 1, 0], [110, 2, 0, 5, 0], [110, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0], [110, 8, 1, 0, 0, 0, 0, 0, 0, 0, 128], [110, 1, 2, 5],
        [110, 9, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], [111, 0, 0, 0, 1, 0, 5], [111, 0, 0, 0, 0, 0], [111, 0, 0, 0, 2, 1, 0, 0], [110, 9, 1, 255, 255, 255, 255, 255, 255, 255, 255, 0],
        [99, "1.50000000000000000000e+00", 0, 0, 0, 0, 0], [99, "-2.5", lists:duplicate(27, 0)], [99, "1", lists:duplicate(30, 0)], [99, "1.5e400", lists:duplicate(24, 0)], [99, "1.0e5junk", lists:duplicate(23, 0)], [99, " 1.5", lists:duplicate(27, 0)], [99, "nan", lists:duplicate(28, 0)], [99, "0x10", lists:duplicate(27, 0)], [99, ".5", lists:duplicate(29, 0)], [99, "5.", lists:duplicate(29, 0)], [99, lists:duplicate(31, 0)], [99, "+1.5", lists:duplicate(27, 0)], [99, "1.5e", lists:duplicate(27, 0)], [99, "1e-400", lists:duplicate(25, 0)], [99, lists:duplicate(31, $1)],
        [99, "1.0e-400", lists:duplicate(23, 0)], [99, "1.0e400", lists:duplicate(24, 0)], [99, "0.0e-400", lists:duplicate(23, 0)], [99, "4.9e-324", lists:duplicate(23, 0)],
        [70, 0, 0, 0, 0, 0, 0, 0, 0], [70, 128, 0, 0, 0, 0, 0, 0, 0],
        [105, 0, 0, 0, 1, 106], [105, 0, 0, 0, 0], [104, 0], [107, 0, 0], [107, 0, 1, 97], [108, 0, 0, 0, 0, 106], [108, 0, 0, 0, 0, 97, 7], [108, 0, 0, 0, 1, 97, 1, 107, 0, 2, 2, 3], [108, 0, 0, 0, 1, 97, 1, 108, 0, 0, 0, 1, 97, 2, 106],
        [108, 0, 0, 0, 1, 97, 1, 108, 0, 0, 0, 1, 97, 2, 97, 3], [108, 0, 0, 0, 2, 97, 1, 97, 2, 106], [108, 0, 0, 0, 1, 97, 1, 107, 0, 0], [108, 0, 0, 0, 1, 97, 1, 108, 0, 0, 0, 0, 106],
        [77, 0, 0, 0, 1, 8, 255], [77, 0, 0, 0, 1, 3, 255], [77, 0, 0, 0, 0, 0], [77, 0, 0, 0, 2, 1, 170, 255], [77, 0, 0, 0, 1, 0, 255], [77, 0, 0, 0, 0, 1], [77, 0, 0, 0, 1, 9, 255],
        [103, Node, <<85:32, 3:32, 1>>], [103, Latin1, <<85:32, 3:32, 0>>], [88, Latin1, <<85:32, 3:32, 9:32>>], [102, Node, <<5:32, 2>>], [120, Node, <<5:64, 2:32>>], [101, Node, <<5:32, 2>>], [114, 0, 3, Node, 1, <<1:32, 2:32, 3:32>>], [114, 0, 1, Latin1, 3, <<1:32>>], [90, 0, 0, Node, <<7:32>>], [90, 0, 6, Node, <<7:32, 1:32, 2:32, 3:32, 4:32, 5:32, 6:32>>],
        [103, Node, <<85:32, 3:32, 255>>], [88, [119, 3, "abc"], <<85:32, 3:32, 9:32>>], [88, Node, <<16#ffffffff:32, 16#ffffffff:32, 9:32>>], [89, Node, <<16#ffffffff:32, 9:32>>],
        [116, 0, 0, 0, 0], [116, 0, 0, 0, 2, [119, 1, "b"], 97, 1, [119, 1, "a"], 97, 2], [116, 0, 0, 0, 2, 97, 1, 97, 1, [70, 63, 240, 0, 0, 0, 0, 0, 0], 97, 2],
        [113, [119, 1, "m"], [119, 1, "f"], 97, 3], [113, [100, 0, 1, "m"], [100, 0, 1, "f"], [98, 0, 0, 0, 3]], [113, [119, 1, "m"], [119, 1, "f"], [110, 1, 0, 3]],
        [80, <<5:32>>, Z], [80, <<6:32>>, Z], [80, <<4:32>>, Z], [107, 0, 1, 255],
        [70, 127, 240, 0, 0, 0, 0, 0, 0], [70, 127, 248, 0, 0, 0, 0, 0, 0],
        [119, 1, 0], [119, 3, 237, 160, 128], [119, 2, 192, 128], [119, 3, 239, 191, 190], [100, 1, 0, lists:duplicate(256, $x)], [118, 1, 0, lists:duplicate(256, $x)], [118, 1, 254, [[195, 182] || _ <- lists:seq(1, 255)]], [118, 2, 0, [[195, 182] || _ <- lists:seq(1, 256)]],
        [121, 0, 0, 0, 0, 97, 5]]].

bad() ->
    B = fun(L) -> iolist_to_binary([131 | L]) end,
    [<<>>, <<131>>, <<130, 97, 1>>] ++
    [B(L) || L <- [
        [0], [1], [66], [71], [255], [82, 0], [68, 0, 97, 1], [131, 97, 1], [117, 0, 0, 0, 0], [65, 0], [72, 0],
        [104, 1], [104, 2, 97, 1], [108, 0, 0, 0, 1, 97, 1], [108, 255, 255, 255, 255], [105, 255, 255, 255, 255], [116, 255, 255, 255, 255], [109, 255, 255, 255, 255], [111, 255, 255, 255, 255, 0],
        [116, 0, 0, 0, 2, 97, 1, 97, 1, 97, 1, 97, 2], [116, 0, 0, 0, 2, 97, 1, 97, 1, 98, 0, 0, 0, 1, 97, 2], [116, 0, 0, 0, 1, 97, 1],
        [88, 106, <<85:32, 3:32, 9:32>>], [88, [97, 1], <<85:32, 3:32, 9:32>>], [113, [119, 1, "m"], [119, 1, "f"], [119, 1, "a"]], [113, [119, 1, "m"], [97, 1], 97, 1],
        [112, 0, 0, 0, 0], [112, <<29:32, 0, 0:128, 0:32, 0:32>>], [80, <<5:32>>, 1, 2, 3], [80, <<5:32>>], [77, 0, 0, 0, 2, 1, 170]]].
