package etf

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// erl returns the system's erl. A missing one skips the test, or fails it under REQUIRE_OTP=1.
func erl(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("erl")
	if err != nil {
		if os.Getenv("REQUIRE_OTP") == "1" {
			t.Fatal("erl is not installed")
		}
		t.Skip("erl is not installed")
	}
	return path
}

// eval runs an expression on a fresh BEAM and returns what it prints.
func eval(t testing.TB, expr string) string {
	t.Helper()
	cmd := exec.Command(erl(t), "-noshell", "+pc", "unicode", "-eval", expr+", halt().")
	cmd.Env = append(os.Environ(), "ERL_CRASH_DUMP=/dev/null", "ERL_CRASH_DUMP_SECONDS=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("erl: %v\n%.2000s", err, out)
	}
	return string(out)
}

// exchange has OTP read each term and returns what it writes of it.
func exchange(t *testing.T, encoded [][]byte) [][]byte {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	var list List
	for _, b := range encoded {
		list = append(list, Binary(b))
	}
	b, err := Encode(list)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in, b, 0o600); err != nil {
		t.Fatal(err)
	}
	eval(t, fmt.Sprintf(`{ok, F} = file:read_file(%q),
		Answers = [try T = binary_to_term(B), T = binary_to_term(term_to_binary(T)), term_to_binary(T) catch C:R -> {C, R} end || B <- binary_to_term(F)],
		ok = file:write_file(%q, term_to_binary(Answers))`, in, out))
	if b, err = os.ReadFile(out); err != nil {
		t.Fatal(err)
	}
	answers := mustDecode(t, b).(List)
	if len(answers) != len(encoded) {
		t.Fatalf("OTP answered %d of %d terms", len(answers), len(encoded))
	}
	var back [][]byte
	for i, answer := range answers {
		b, ok := answer.(Binary)
		if !ok {
			t.Fatalf("OTP on %.200x: %.300s", encoded[i], Format(answer))
		}
		back = append(back, b)
	}
	return back
}

// OTP reads what we write, and what it writes of that is the same term to us. The terms are those of the vectors and
// Go values that only the encoder takes.
func TestOTP_ReadsWhatWeWrite(t *testing.T) {
	var terms []Term
	release := strings.TrimSpace(eval(t, "io:put_chars(erlang:system_info(otp_release))"))
	for _, v := range vectors(t) {
		if v.kind == "write" && v.otp <= release && !strings.Contains(v.opts, "local") {
			if v.otp != release && strings.Contains(v.text, "#Fun<") {
				continue // OTP 27 puts another creator into the funs of older ones
			}
			terms = append(terms, mustDecode(t, v.in))
		}
	}
	terms = append(terms, true, false, 1, -1, int8(-7), uint8(200), int16(-300), uint16(60000), int32(-70000), uint32(4e9), uint64(1<<63),
		uint(7), float32(0.5), "text", []byte("bytes"), []Term{1, "two"}, Charlist(strings.Repeat("x", 70000)),
		Bitstring{Bytes: []byte{1, 2}, Bits: 8}, Bitstring{Bytes: []byte{0xFF, 0xFF}, Bits: 3}, ImproperList{Elems: []Term{1, 2}, Tail: List{3}},
		ImproperList{Elems: []Term{1}, Tail: Charlist("abc")}, Map{{"k", Map{}}, {Tuple{}, List{}}}, Tuple(nil), List(nil), Map(nil), Binary(nil))
	var encoded [][]byte
	for _, term := range terms {
		b, err := Encode(term)
		if err != nil {
			t.Fatalf("Encode(%.100s): %v", Format(term), err)
		}
		encoded = append(encoded, b)
	}
	for _, term := range terms[:len(terms):len(terms)] {
		b, err := AppendCompressed(nil, term)
		if err != nil {
			t.Fatal(err)
		}
		if b[1] == tagCompressed {
			encoded, terms = append(encoded, b), append(terms, term)
		}
	}
	for i, b := range exchange(t, encoded) {
		if got := mustDecode(t, b); !Equal(got, terms[i]) {
			t.Errorf("OTP read %.100s as %.100s", Format(terms[i]), Format(got))
		}
	}
}

// Text that file:consult reads gives the same terms, text that it refuses is refused.
func TestOTP_ConsultsAlike(t *testing.T) {
	dir := t.TempDir()
	for i, text := range consultTexts {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d", i)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := eval(t, fmt.Sprintf(`{ok, Fs} = file:list_dir(%q),
		Hex = fun(B) -> [io_lib:format("~2.16.0b", [X]) || <<X>> <= B] end,
		[io:put_chars([case file:consult(filename:join(%q, F)) of {ok, Ts} -> Hex(term_to_binary(Ts)); {error, E} -> io_lib:format("error ~0tp", [E]) end, $\n]) || F <- lists:sort(Fs)]`, dir, dir))
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != len(consultTexts) {
		t.Fatalf("OTP answered %d of %d texts:\n%s", len(lines), len(consultTexts), out)
	}
	for i, text := range consultTexts {
		terms, err := Consult("x", []byte(text))
		if strings.HasPrefix(lines[i], "error") {
			if err == nil {
				t.Errorf("Consult(%q) = %s, OTP says %s", text, Format(List(terms)), lines[i])
			}
			continue
		}
		b, herr := hex.DecodeString(lines[i])
		if herr != nil {
			t.Fatal(lines[i])
		}
		want := mustDecode(t, b)
		if err != nil || !Equal(List(terms), want) {
			t.Errorf("Consult(%q) = %s, %v, OTP has %s", text, Format(List(terms)), err, Format(want))
		}
	}
}

// Compare and Equal agree with <, == and =:= of OTP on every pair of many terms.
func TestOTP_ComparesAlike(t *testing.T) {
	var terms List
	for _, text := range []string{
		"0", "1", "-1", "1.0", "0.0", "-0.5", "2", "9007199254740993", "9007199254740992.0", "9007199254740992", "1.0e300", "-1.0e300", "18446744073709551616", "18446744073709551616.0", "-18446744073709551616", "123456789012345678901234567890", "9223372036854775807", "9223372036854775807.0",
		"a", "b", "aa", "''", "'ö'", "'Z'", "{}", "{a}", "{b}", "{1}", "{1.0}", "{a,b}", "{1,2,3}", "[]", "[a]", "[1]", "[1.0]", "[a|b]", "[a,b]", "\"ab\"", "\"abc\"", "[97,98]", "[97,98|c]", "[97.0,98]", "[300]", "[[]]", "[1,2|3]", "[1|2]",
		"#{}", "#{a => 1}", "#{a => 2}", "#{b => 1}", "#{1 => a}", "#{1.0 => a}", "#{a => 1.0}", "#{a => 1, b => 2}", "#{1 => a, 2.0 => b}", "#{1.0 => a, 2 => b}", "#{2 => a, 1.5 => b}", "#{{k} => 1}", "#{[] => 1, a => 2, <<>> => 3}",
		"<<>>", "<<1>>", "<<1,2>>", "<<1:1>>", "<<0:1>>", "<<1:7>>", "<<128>>", "<<128,1:1>>", "<<128,0:1>>", "<<\"abc\">>", "<<255:7>>", "<<127:7>>", "fun a:b/1", "fun a:b/2", "fun a:c/0", "fun b:a/0",
		"{[1],#{},<<>>}", "{[1.0],#{},<<>>}", "#{a => #{}}", "#{a => []}", "[#{}]", "{1,b}", "{1.0,a}",
	} {
		terms = append(terms, mustParse(t, text))
	}
	file := filepath.Join(t.TempDir(), "terms")
	b, err := Encode(terms)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out := eval(t, fmt.Sprintf(`{ok, B} = file:read_file(%q), L = binary_to_term(B),
		[io:put_chars([[if X =:= Y -> $i; X == Y -> $e; X < Y -> $l; true -> $g end || Y <- L], $\n]) || X <- L]`, file))
	lines := strings.Fields(out)
	if len(lines) != len(terms) {
		t.Fatalf("OTP answered:\n%s", out)
	}
	for i, x := range terms {
		for j, y := range terms {
			want := map[byte]int{'i': 0, 'e': 0, 'l': -1, 'g': 1}[lines[i][j]]
			if got := Compare(x, y); got != want {
				t.Errorf("Compare(%s, %s) = %d, want %d", Format(x), Format(y), got, want)
			}
			if got := Equal(x, y); got != (lines[i][j] == 'i') {
				t.Errorf("Equal(%s, %s) = %t", Format(x), Format(y), got)
			}
		}
	}
}
