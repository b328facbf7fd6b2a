package etf

import (
	"bytes"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"
)

func TestEncode_Refuses(t *testing.T) {
	loop := make(List, 1)
	loop[0] = loop
	mapLoop := make(Map, 1)
	mapLoop[0] = MapPair{int64(1), mapLoop}
	var unsupported *UnsupportedTypeError
	var value *ValueError
	for _, tt := range []struct {
		name string
		in   Term
		as   any
	}{
		{"nil", nil, &unsupported}, {"struct", struct{}{}, &unsupported}, {"Go map", map[string]int{}, &unsupported}, {"nil inside", Tuple{int64(1), nil}, &unsupported},
		{"nil big.Int", (*big.Int)(nil), &unsupported}, {"nil Fun", (*Fun)(nil), &unsupported}, {"nil Record", (*Record)(nil), &unsupported}, {"channel in a map", Map{{int64(1), make(chan int)}}, &unsupported},
		{"NaN", math.NaN(), &value}, {"infinity", math.Inf(-1), &value}, {"float32 infinity", float32(math.Inf(1)), &value},
		{"atom too long", Atom(strings.Repeat("x", 256)), &value}, {"wide atom too long", Atom(strings.Repeat("ö", 256)), &value}, {"atom not UTF-8", Atom("\xff"), &value}, {"long atom not UTF-8", Atom(strings.Repeat("x", 250) + "\xff"), &value},
		{"node", Pid{Node: "\xff"}, &value}, {"node of a reference", Ref{Node: "\xff", Len: 1}, &value}, {"node of a port", Port{Node: "\xff"}, &value}, {"module", Export{Module: "\xff"}, &value}, {"function", Export{Function: "\xff"}, &value},
		{"six words", Ref{Len: 6}, &value}, {"nine bits", Bitstring{Bytes: []byte{1}, Bits: 9}, &value}, {"bits of nothing", Bitstring{Bits: 3}, &value},
		{"list that contains itself", loop, &value}, {"map that contains itself", mapLoop, &value}, {"fun without index", &Fun{}, &value},
		{"fun with a bad module", &Fun{Module: "\xff", OldIndex: int64(0), OldUniq: int64(0)}, &value}, {"fun with a bad variable", &Fun{OldIndex: int64(0), OldUniq: int64(0), Free: []Term{nil}}, &unsupported},
		{"record with a bad field", &Record{Fields: []RecordField{{Name: "\xff", Value: int64(1)}}}, &value}, {"record with a bad value", &Record{Fields: []RecordField{{Name: "a"}}}, &unsupported},
		{"bad tail", ImproperList{Elems: []Term{int64(1)}}, &unsupported},
	} {
		dst := []byte("kept")
		out, err := AppendTerm(dst, tt.in)
		if !errors.As(err, tt.as) {
			t.Errorf("%s: %v, want %T", tt.name, err, tt.as)
		}
		if string(out) != "kept" {
			t.Errorf("%s: dst became %q", tt.name, out)
		}
		if b, err := Encode(tt.in); b != nil || err == nil {
			t.Errorf("%s: Encode = %x, %v", tt.name, b, err)
		}
		if err.Error() == "" || !strings.HasPrefix(err.Error(), "etf: ") {
			t.Errorf("%s: error text %q", tt.name, err)
		}
	}
}

func TestAppendTerm_DoesNotAllocate(t *testing.T) {
	var terms List
	for _, v := range vectors(t) {
		if v.kind == "write" && v.otp == "29" {
			terms = append(terms, mustDecode(t, v.in))
		}
	}
	terms = append(terms, true, 5, []Term{int64(1)}, "text", uint64(math.MaxUint64))
	buf := make([]byte, 0, 4<<20)
	for _, e := range []*Encoder{{}, {LegacyAtoms: true, LegacyPorts: true}} {
		n := testing.AllocsPerRun(10, func() {
			if _, err := e.AppendTerm(buf, terms); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%+v: %v allocations", e, n)
		}
	}
}

func TestAppendTerm_AppendsToNothing(t *testing.T) {
	for _, term := range []Term{List{}, Tuple{}, Map{}, Binary{}, int64(0), Atom(""), ImproperList{Tail: List{}}, Charlist("")} {
		b, err := AppendTerm(nil, term)
		if err != nil || len(b) == 0 {
			t.Errorf("AppendTerm(nil, %s) = %x, %v", Format(term), b, err)
		}
	}
}

func TestEncode_LongCharlistBecomesAList(t *testing.T) {
	for n, tag := range map[int]byte{65535: tagString, 65536: tagList} {
		b, err := Encode(Charlist(strings.Repeat("x", n)))
		if err != nil || b[1] != tag {
			t.Errorf("%d characters: tag %d, %v, want %d", n, b[1], err, tag)
		}
	}
}

func TestAppend_KeepsWhatIsThere(t *testing.T) {
	for n := range 40 { // atoms are copied in words of eight bytes
		a := Atom(strings.Repeat("abcdefgh", 5)[:n])
		b, err := Append([]byte("before"), Tuple{a, a})
		if err != nil || !bytes.HasPrefix(b, []byte("before")) || !Equal(mustDecode(t, b[6:]), Tuple{a, a}) {
			t.Errorf("%d characters: %q, %v", n, b, err)
		}
	}
}

func TestEncode_Bytes(t *testing.T) {
	for _, tt := range []struct {
		in   Term
		want []byte
	}{
		{200, []byte{tagSmallInteger, 200}}, {uint8(255), []byte{tagSmallInteger, 255}}, {256, []byte{tagInteger, 0, 0, 1, 0}}, {uint32(math.MaxUint32), []byte{tagSmallBig, 4, 0, 255, 255, 255, 255}},
		{Bitstring{Bytes: []byte{0xFF}, Bits: 3}, []byte{tagBitBinary, 0, 0, 0, 1, 3, 0xE0}}, {Bitstring{Bytes: []byte{0xFF}}, []byte{tagBinary, 0, 0, 0, 1, 0xFF}},
		{big.NewInt(7), []byte{tagSmallInteger, 7}}, {[]Term{}, []byte{tagNil}}, {[]Term{true}, []byte{tagList, 0, 0, 0, 1, tagSmallAtomUTF8, 4, 't', 'r', 'u', 'e', tagNil}},
	} {
		if got, err := AppendTerm(nil, tt.in); err != nil || !bytes.Equal(got, tt.want) {
			t.Errorf("AppendTerm(%s) = %x, %v, want %x", Format(tt.in), got, err, tt.want)
		}
	}
}

func TestAppendCompressed(t *testing.T) {
	for _, tt := range []struct {
		in     Term
		packed bool
	}{{Atom("short"), false}, {strings.Repeat("x", 1000), true}} {
		b, err := AppendCompressed([]byte("before"), tt.in)
		if err != nil || !bytes.HasPrefix(b, []byte("before")) {
			t.Fatal(string(b), err)
		}
		if b = b[6:]; (b[1] == tagCompressed) != tt.packed || !Equal(mustDecode(t, b), tt.in) {
			t.Errorf("%.20v became %x", tt.in, b)
		}
	}
	if b, err := AppendCompressed(nil, struct{}{}); err == nil {
		t.Errorf("a struct became %x", b)
	}
}
