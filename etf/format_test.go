package etf

import (
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// channel finds the node part of an identifier: a channel number in OTP's text, the node's name in ours.
var channel = regexp.MustCompile(`(<|#Ref<|#Port<)([0-9]+|nonode@nohost|shop@host\.example|n@h|abc)([.>])`)

func withoutNodes(text string) string { return channel.ReplaceAllString(text, "${1}N$3") }

func TestFormat_AsOTPPrints(t *testing.T) {
	for _, v := range vectors(t) {
		if v.kind == "reject" || strings.Contains(v.opts, "local") {
			continue
		}
		if v.otp < "27" && (v.text == "maybe" || v.text == "else") { // reserved since OTP 27
			continue
		}
		got, want := withoutNodes(Format(mustDecode(t, v.in))), withoutNodes(v.text)
		if strings.Contains(want, "#{") && len(got) == len(want) { // OTP prints large maps in another order than it sends
			got, want = sortedPieces(got), sortedPieces(want)
		}
		if got != want {
			t.Errorf("%s:%d: Format(%.60x) = %.200s, want %.200s", v.file, v.line, v.in, got, want)
		}
	}
}

func sortedPieces(text string) string {
	pieces := strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune("#{},", c) })
	slices.Sort(pieces)
	return strings.Join(pieces, ",")
}

func TestFormat_GoValues(t *testing.T) {
	for _, tt := range []struct {
		in   Term
		want string
	}{
		{true, "true"}, {7, "7"}, {uint64(1) << 63, "9223372036854775808"}, {"text", `<<"text">>`}, {[]byte{1}, "<<1>>"},
		{[]Term{1, "x"}, `[1,<<"x">>]`}, {float32(0.5), "0.5"}, {nil, "#Go<<nil>>"}, {struct{}{}, "#Go<struct {}>"},
		{Bitstring{Bytes: []byte{0xFF}, Bits: 8}, `<<"ÿ">>`}, {ImproperList{Elems: []Term{1}, Tail: List{2}}, "[1,2]"},
		{big.NewInt(5), "5"}, {Pid{Node: "a@b", ID: 1, Serial: 2}, "<a@b.1.2>"}, {Local{1}, "#Local<1 bytes>"},
		{ImproperList{Tail: Atom("x")}, "x"}, {List{int64(-1)}, "[-1]"}, {Charlist(""), "[]"},
	} {
		if got := Format(tt.in); got != tt.want {
			t.Errorf("Format(%#v) = %s, want %s", tt.in, got, tt.want)
		}
	}
}

// What Format prints, ParseTerm reads, as far as it is syntax.
func TestParseTerm_ReadsWhatOTPPrints(t *testing.T) {
	n := 0
	for _, v := range vectors(t) {
		if v.kind == "reject" || regexp.MustCompile(`<[0-9]+\.|#(Ref|Port|Fun|etf_records)|#Local`).MatchString(v.text) {
			continue
		}
		if strings.Contains(v.text, "􏿿") { // as a character: a string, no atom
			continue
		}
		got, err := ParseTerm(v.text)
		if err != nil {
			t.Errorf("%s:%d: ParseTerm(%.100q): %v", v.file, v.line, v.text, err)
			continue
		}
		if want := mustDecode(t, v.in); !Equal(got, want) {
			t.Errorf("%s:%d: ParseTerm(%.100q) = %.100s, want %.100s", v.file, v.line, v.text, Format(got), Format(want))
		}
		n++
	}
	if n < 1000 {
		t.Errorf("only %d terms were read", n)
	}
}
