package etf

import (
	"errors"
	"strings"
	"testing"
)

// consultTexts are read by us and by OTP (TestOTP_ConsultsAlike).
var consultTexts = []string{
	"", "  \n% only a comment", "a.", "a. b. c.", "a.%x\nb.", "a.b.", "a", "{a, b}.\n[c].\n", "[1,2|3].", "[1|[2,3]].", "[].", "{}.", "#{}.",
	"#{a => 1, \"b\" => [], <<\"c\">> => #{}}.", "#{a => 1, a => 2}.", "#{1 => a, 1.0 => b}.", "#{a := 1}.", "[a,].", "[,a].", "{a b}.", "[1|2,3].",
	"-1.", "+1.", "- 1.", "--1.", "-a.", "-1.5.", "1.5e3.", "1.5E-3.", "1.0e+3.", "1e3.", "1.e3.", "16#ff.", "16#FF.", "2#101.", "36#zZ.", "37#1.", "1#0.", "2#2.", "-16#ff.",
	"1_000.", "1__0.", "_1.", "1_.", "16#f_f.", "1_0.0_1.", "123456789012345678901234567890.", "-9223372036854775808.", "9223372036854775808.", "1.0e400.", "0.1e-400.",
	"$a.", "$\\n.", "$\\x{41}.", "$\\x41.", "$\\101.", "$\\^a.", "$\\^A.", "$ .", "$\\s.", "$$.", "$'.", "$\".", "[$a,$b|$c].", "$ä.",
	"\"abc\".", "\"a\" \"b\" \"c\".", "\"a\\\"b\".", "\"\\n\\r\\t\\v\\b\\f\\e\\s\\d\\0\\12\\377\".", "\"\\x{3b1}x\".", "\"\\xe4\".", "\"äö\".", "\"日本\".", "\"a\nb\".", "\"\\\nb\".", "\"abc.", "\"\".", "\"\\q\".", "\"\\x{}\".", "\"\\x{d800}\".", "\"\\xg\".",
	"'a b'.", "'a\\'b'.", "''.", "'Elixir.Foo'.", "'\\x{3b1}'.", "'ä'.", "ä.", "aÄ.", "a@b_C1.", "α.", "Foo.", "_x.", "a.b.c.", "'a", "'" + strings.Repeat("x", 256) + "'.", "'" + strings.Repeat("x", 255) + "'.",
	strings.Repeat("x", 255) + ".", strings.Repeat("x", 256) + ".", "and.", "'and'.", "fun.", "if.", "not.", "begin.", "nil.", "undefined.",
	"<<>>.", "<<1,2,3>>.", "<<\"abc\">>.", "<<\"abc\",0>>.", "<<\"a\" \"b\">>.", "<<\"ä\">>.", "<<\"ä\"/utf8>>.", "<<\"日本\"/utf8>>.", "<<1:1>>.", "<<5:3,1:5>>.", "<<1:16>>.", "<<1:16/little>>.", "<<300>>.", "<<-1>>.", "<<-1:16>>.", "<<1.5/float>>.", "<<1.5:32/float>>.", "<<1.5:32/float-little>>.", "<<2/float>>.",
	"<<1:2/unit:8>>.", "<<\"ab\":16>>.", "<<\"ab\":16/little>>.", "<<$a,$b>>.", "<<16#1F600/utf16>>.", "<<16#1F600/utf16-little>>.", "<<16#1F600/utf32>>.", "<<\"é\"/utf16>>.", "<<a>>.", "<<1,>>.", "<<1:(8)>>.", "<<1:12/little>>.", "<<4660:13/little>>.", "<<16#d800/utf8>>.", "<<(1)>>.", "<<(-1):8>>.", "<<1/signed>>.", "<<1:8/signed-big-integer>>.", "<<1/binary>>.", "<< <<1>>/binary >>.", "<<<<1:3>>/bits,<<\"ab\">>/binary>>.", "<< <<>>/bytes >>.", "<< <<1>> >>.", "- -1.", "-(1).", "[-1|-2].", "<<1:-1>>.", "<<1/foo>>.", "<<\"a\"/little>>.", "<<3:4>>.", "<<\"\">>.", "<<\"\"/utf8>>.",
	"fun lists:map/2.", "fun lists:map/256.", "fun m/1.", "fun 'M':'f g'/0.", "fun() -> ok end.", "f(x).", "#rec{a=1}.", "a+b.", "1+2.", "(a).", "{(1),[(2)]}.", "x:y.", "<0.1.0>.", "\"a\" ++ \"b\".", "X.", "a;b.", "{a,b", "[a}.", "?X.", "!.",
	"{application, shop,\n [{description, \"A shop\"},\n  {vsn, \"1.2.0\"}, % the version\n  {modules, [a,'Elixir.Shop']},\n  {registered, []},\n  {applications, [kernel,stdlib]},\n  {mod, {shop_app, []}},\n  {env, [{port, 4000}, {ratio, 0.5}, {key, <<\"k\">>}]}]}.\n",
	"%% -*- coding: latin-1 -*-\n\"\xe4\".", "%% coding: utf-8\n\"ä\".", "%\n% coding: latin-1\n\"\xe4\".", "%\n%\n% coding: latin-1\n\"ab\".",
	"{\"1.2.0\",\n [{\"1.1.0\",[{load_module,a},{update,b,{advanced,[]}}]},{<<\"1\\\\.0\\\\..*\">>,[restart_application]}],\n []}.", "[{kernel,[{logger_level,info}]},{x,[{f,fun lists:reverse/1}]},\"other.config\"].",
	"a.\x00b.", "a\t.\tb .", "{a}.{b}.", "[{a,1}].\r\n[{b,2}].\r\n", "\u00a0a.", "a.\n\n\n% end", "#{[] => {}, {} => []}.", "[[[[[]]]]].", "{-1,+2,- 3.0}.", "1.2.3.", "1 .", "\"\\^\".",
}

func TestConsult_ErrorsTellTheLine(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"{a,\n b c}.", `sys.config:2:4: "c" where "," or "}" should be`},
		{"a", "sys.config:1:2: the end of the text where a full stop should be"},
		{"a.\n\n  X.", "sys.config:3:3: X is a variable, not a term"},
		{"{ä, \"öö\", B}.", "sys.config:1:11: B is a variable, not a term"},
		{"[a\n", "sys.config:2:1: the end of the text where \",\", \"|\" or \"]\" should be"},
		{"\n\"abc", "sys.config:2:1: no closing \""},
		{"x.\n\xff.", "sys.config:2:1: byte 0xff is not UTF-8; a file in Latin-1 says so by %% coding: latin-1 in its first two lines"},
		{"99#1.", "sys.config:1:1: base 99 is not between 2 and 36"},
		{"if.", "sys.config:1:1: if is a reserved word; as an atom it needs quotes"},
		{strings.Repeat("[", 20000), "sys.config:1:10001: nested deeper than 10000"},
		{strings.Repeat("9", 200000), "sys.config:1:1: integer of 200000 digits, at most 100000"},
		{"<<1:99999999>>.", "sys.config:1:13: bad size in a binary"},
		{"<<1:1000000/unit:255>>.", "sys.config:1:3: segment of 255000000 bits, at most 1048576"},
	} {
		_, err := Consult("sys.config", []byte(tt.in))
		var text *TextError
		if !errors.As(err, &text) || text.Error() != tt.want {
			t.Errorf("Consult(%.40q): %v, want %s", tt.in, err, tt.want)
		}
	}
}

// Sigils and triple-quoted strings came with OTP 27.
func TestConsult_NewerSyntax(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want Term
	}{
		{`~"aä\n".`, Binary("aä\n")}, {`~b(x\ty).`, Binary("x\ty")}, {`~B[x\ty].`, Binary(`x\ty`)}, {`~s{ab}.`, Charlist("ab")}, {`~S/a\b/.`, Charlist(`a\b`)},
		{"\"\"\"\n  line 1\n    \"line\" 2\n\n  \\n\n  \"\"\".", Charlist("line 1\n  \"line\" 2\n\n\\n")},
		{"~\"\"\"\n\tx\n\t\"\"\".", Binary("x")}, {"\"\"\"\"\n\"\"\"\n\"\"\"\".", Charlist(`"""`)}, {"maybe.", Atom("maybe")}, {"else.", Atom("else")},
	} {
		got, err := Consult("x", []byte(tt.in))
		if err != nil || len(got) != 1 || !Equal(got[0], tt.want) {
			t.Errorf("Consult(%q) = %s, %v, want %s", tt.in, Format(List(got)), err, Format(tt.want))
		}
	}
	for _, in := range []string{"~.", "~x(a).", "~b", "\"\"\" x\n\"\"\".", "\"\"\"\nx\n", "\"\"\"\n x\n  \"\"\"."} {
		if got, err := Consult("x", []byte(in)); err == nil {
			t.Errorf("Consult(%q) = %s, want an error", in, Format(List(got)))
		}
	}
}

func TestParseCall(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"erlang:node().", "{erlang,node,[]}"}, {"erlang:node()", "{erlang,node,[]}"}, {" lists : map ( fun lists:reverse/1 , [[1,2]] ) . ", "{lists,map,[fun lists:reverse/1,[[1,2]]]}"},
		{"'Elixir.Foo.Bar':'baz!'(<<\"x\">>, #{a => 1}).", "{'Elixir.Foo.Bar','baz!',[<<\"x\">>,#{a => 1}]}"},
		{"m:f(", ""}, {"m:f(1", ""}, {"m:f(1,)", ""}, {"m:f(,)", ""}, {"f(1)", ""}, {"m:f", ""}, {"m:f() x", ""}, {"M:f()", ""}, {"", ""}, {"m:f(X)", ""}, {"m:f(1 2)", ""}, {"m:f(). m:f().", ""},
	} {
		mod, fun, args, err := ParseCall(tt.in)
		if (err != nil) != (tt.want == "") {
			t.Errorf("ParseCall(%q): %v", tt.in, err)
		} else if got := Format(Tuple{mod, fun, List(args)}); err == nil && got != tt.want {
			t.Errorf("ParseCall(%q) = %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestParseTerm_FullStopIsOptional(t *testing.T) {
	for in, ok := range map[string]bool{"a": true, "a.": true, " a . % x": true, "a. b.": false, "": false, ".": false, "a b": false} {
		if _, err := ParseTerm(in); (err == nil) != ok {
			t.Errorf("ParseTerm(%q): %v", in, err)
		}
	}
}

func TestText(t *testing.T) {
	for _, tt := range []struct {
		in   Term
		want string
		ok   bool
	}{
		{Atom("ok"), "ok", true}, {Binary("aä"), "aä", true}, {Binary("\xe4"), "ä", true}, {Charlist("a\xe4"), "aä", true}, {List{int64(0x3b1), Binary("x"), Charlist("y"), List{}}, "αxy", true},
		{ImproperList{Elems: []Term{int64('a')}, Tail: Binary("b")}, "ab", true}, {List{}, "", true}, {"s", "s", true},
		{int64(5), "", false}, {List{Atom("a")}, "", false}, {List{int64(-1)}, "", false}, {Tuple{}, "", false}, {ImproperList{Elems: []Term{int64('a')}, Tail: Atom("b")}, "", false},
	} {
		if got, ok := Text(tt.in); ok != tt.ok || ok && got != tt.want {
			t.Errorf("Text(%s) = %q, %t, want %q, %t", Format(tt.in), got, ok, tt.want, tt.ok)
		}
	}
}
