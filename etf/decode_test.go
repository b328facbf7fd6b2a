package etf

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func packed(t testing.TB, declared int, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	b.Write([]byte{Version, tagCompressed})
	if err := binary.Write(&b, binary.BigEndian, uint32(declared)); err != nil {
		t.Fatal(err)
	}
	zw := zlib.NewWriter(&b)
	if _, err := zw.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// nested is n lists of one element around [].
func nested(n int) []byte {
	b := append([]byte{Version}, bytes.Repeat([]byte{tagList, 0, 0, 0, 1}, n)...)
	return append(b, bytes.Repeat([]byte{tagNil}, n+1)...)
}

func TestDecoder_Limits(t *testing.T) {
	text := bytes.Repeat([]byte{'x'}, 1000)
	binaryTerm, _ := Encode(text)
	for _, tt := range []struct {
		name   string
		limits Limits
		in     []byte
		want   error
	}{
		{"bytes at the limit", Limits{MaxBytes: len(binaryTerm)}, binaryTerm, nil},
		{"bytes over the limit", Limits{MaxBytes: len(binaryTerm) - 1}, binaryTerm, ErrLimit},
		{"bytes without limit", Limits{MaxBytes: -1}, binaryTerm, nil},
		{"depth at the limit", Limits{MaxDepth: 5}, nested(5), nil},
		{"depth over the limit", Limits{MaxDepth: 5}, nested(6), ErrLimit},
		{"depth at the default", Limits{}, nested(DefaultMaxDepth), nil},
		{"depth over the default", Limits{}, nested(DefaultMaxDepth + 1), ErrLimit},
		{"depth without limit", Limits{MaxDepth: -1}, nested(DefaultMaxDepth + 1), nil},
		{"unpacked at the limit", Limits{MaxDecompressed: len(binaryTerm) - 1}, packed(t, len(binaryTerm)-1, binaryTerm[1:]), nil},
		{"unpacked over the limit", Limits{MaxDecompressed: len(binaryTerm) - 2}, packed(t, len(binaryTerm)-1, binaryTerm[1:]), ErrLimit},
		{"bomb that declares little", Limits{}, packed(t, 3, make([]byte, 1<<24)), ErrTag},
		{"bomb that declares much", Limits{}, packed(t, math.MaxUint32, make([]byte, 1<<20)), ErrLimit},
		{"declares more than comes", Limits{}, packed(t, 50<<20, binaryTerm[1:]), ErrTag},
		{"trailing inside", Limits{}, packed(t, 3, []byte{tagNil, tagNil, tagNil}), ErrTrailing},
		{"truncated inside", Limits{}, packed(t, 2, []byte{tagSmallTuple, 1}), ErrTruncated},
		{"compressed in compressed", Limits{}, packed(t, 2, []byte{tagCompressed, 0}), ErrTag},
	} {
		_, err := NewDecoder(tt.limits).Decode(tt.in)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		var se *SyntaxError
		if err != nil && !errors.As(err, &se) {
			t.Errorf("%s: %T is no *SyntaxError", tt.name, err)
		}
	}
	d := NewDecoder(Limits{MaxBytes: 3})
	if _, _, err := d.DecodeTerm(binaryTerm[1:]); !errors.Is(err, ErrLimit) {
		t.Errorf("DecodeTerm over the limit: %v", err)
	}
}

// A few bytes cannot make the decoder allocate much: what containers promise is checked against the bytes left, over all
// open containers together.
func TestDecode_AllocatesInProportion(t *testing.T) {
	header := func(tag byte, n int) []byte { return binary.BigEndian.AppendUint32([]byte{tag}, uint32(n)) }
	deep := []byte{Version}
	const size = 1 << 20
	for range 5000 { // each claims nearly all that is left
		deep = append(deep, header(tagList, size-len(deep)-100000)...)
	}
	deep = append(deep, bytes.Repeat([]byte{tagNil}, size-len(deep))...)
	for name, in := range map[string][]byte{
		"list": append([]byte{Version}, header(tagList, math.MaxUint32)...), "tuple": append([]byte{Version}, header(tagLargeTuple, math.MaxUint32)...),
		"map": append([]byte{Version}, header(tagMap, math.MaxUint32)...), "binary": append([]byte{Version}, header(tagBinary, math.MaxUint32)...),
		"big": append([]byte{Version}, header(tagLargeBig, math.MaxUint32)...), "record": append([]byte{Version}, header(tagRecord, math.MaxUint32)...),
		"nested claims": deep, "fun": append(append([]byte{Version, tagNewFun, 0, 0, 1, 0, 0}, make([]byte, 20)...), 0xFF, 0xFF, 0xFF, 0xFF),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode(in)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrTruncated) {
			t.Errorf("%s: %v, want ErrTruncated", name, err)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<16+40*uint64(len(in)) {
			t.Errorf("%s: %d bytes were allocated for %d", name, grown, len(in))
		}
	}
}

func TestDecode_DuplicateKeys(t *testing.T) {
	for _, n := range []int{2, fewKeys, fewKeys + 1, 100, 3000} {
		m := make(Map, 0, n)
		for i := range n - 1 {
			m = append(m, MapPair{Tuple{int64(i), "key"}, int64(i)})
		}
		good, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(good); err != nil {
			t.Errorf("%d keys: %v", n-1, err)
		}
		bad, err := Encode(append(m, m[n/3]))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(bad); !errors.Is(err, ErrTag) {
			t.Errorf("%d keys, one twice: %v, want ErrTag", n, err)
		}
	}
	// The same key in two encodings: STRING_EXT and LIST_EXT.
	if _, err := Decode([]byte{Version, tagMap, 0, 0, 0, 2, tagString, 0, 1, 'a', tagNil, tagList, 0, 0, 0, 1, tagSmallInteger, 'a', tagNil, tagNil}); !errors.Is(err, ErrTag) {
		t.Errorf("\"a\" and [97] as keys: %v, want ErrTag", err)
	}
}

// Terms of all kinds as the keys of one map: found unique, found again in any order, and found out when one comes twice.
func TestDecode_KeysOfEveryKind(t *testing.T) {
	var m Map
	for _, v := range vectors(t) {
		if v.kind != "write" || v.otp != "29" || v.in[1] == tagLocal {
			continue
		}
		key, known := mustDecode(t, v.in), false
		for _, p := range m {
			known = known || Equal(p.Key, key)
		}
		if !known {
			m = append(m, MapPair{key, int64(len(m))})
		}
	}
	b, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b)
	if err != nil {
		t.Fatalf("%d different keys: %v", len(m), err)
	}
	turned := slices.Clone(m)
	slices.Reverse(turned)
	if !Equal(got, turned) || Compare(got, turned) != 0 {
		t.Error("the map is not equal to itself in another order")
	}
	for i := 0; i < len(m); i += 7 {
		turned[0], turned[1] = m[i], MapPair{m[(i+1)%len(m)].Key, Atom("other")}
		if Equal(got, turned) {
			t.Errorf("a map without its key %d is equal", i)
		}
		b, err := Encode(append(slices.Clone(m), MapPair{m[i].Key, int64(0)}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(b); !errors.Is(err, ErrTag) {
			t.Errorf("%.80s twice: %v, want ErrTag", Format(m[i].Key), err)
		}
	}
}

// Two keys that are equal but for the order of the maps nested in them: the work must not double with each level.
func TestDecode_NestedMapsAsKeysTakeNoLongTime(t *testing.T) {
	nest := func(turned bool) Term {
		var key Term = Atom("core")
		for range 200 {
			m := Map{{key, int64(1)}, {Atom("x"), int64(1)}, {Atom("y"), int64(2)}}
			if turned {
				m[1], m[2] = m[2], m[1]
			}
			key = m
		}
		return key
	}
	in, err := Encode(Map{{nest(false), int64(1)}, {nest(true), int64(2)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(in); !errors.Is(err, ErrTag) {
		t.Errorf("got %v, want ErrTag", err)
	}
}

func TestDecode_MalformedTerms(t *testing.T) {
	atom := []byte{tagSmallAtomUTF8, 1, 'a'}
	cat := func(parts ...any) []byte {
		b := []byte{Version}
		for _, p := range parts {
			switch p := p.(type) {
			case int:
				b = append(b, byte(p))
			case []byte:
				b = append(b, p...)
			}
		}
		return b
	}
	fun := func(size int, rest ...any) []byte {
		return cat(append([]any{tagNewFun, 0, 0, 0, size, 0, make([]byte, 16), 0, 0, 0, 0, 0, 0, 0, 0}, rest...)...)
	}
	words := func(n int) []byte { return make([]byte, 4*n) }
	for name, in := range map[string][]byte{
		"arity above 255":          cat(tagExport, atom, atom, tagInteger, 0, 0, 1, 0),
		"negative arity":           cat(tagExport, atom, atom, tagInteger, 255, 255, 255, 255),
		"arity an atom":            cat(tagExport, atom, atom, atom),
		"node an integer":          cat(tagNewPid, tagSmallInteger, 1, words(3)),
		"node NIL_EXT":             cat(tagNewPid, tagNil, words(3)),
		"six words":                cat(tagNewerReference, 0, 6, atom, words(7)),
		"old pid, creation":        cat(tagPid, atom, words(2), 4),
		"old port, creation":       cat(tagPort, atom, words(1), 4),
		"old reference, creation":  cat(tagReference, atom, words(1), 4),
		"atom of 256 characters":   cat(tagAtomUTF8, 1, 0, bytes.Repeat([]byte{'x'}, 256)),
		"latin1 of 256 characters": cat(tagAtom, 1, 0, bytes.Repeat([]byte{'x'}, 256)),
		"atom not UTF-8":           cat(tagSmallAtomUTF8, 1, 0xC3),
		"atom a surrogate":         cat(tagSmallAtomUTF8, 3, 0xED, 0xA0, 0x80),
		"infinity":                 cat(tagNewFloat, 0x7F, 0xF0, words(1), 0, 0),
		"not a number":             cat(tagNewFloat, 0x7F, 0xF8, words(1), 0, 1),
		"bits 9":                   cat(tagBitBinary, 0, 0, 0, 1, 9, 255),
		"bits 0 of one byte":       cat(tagBitBinary, 0, 0, 0, 1, 0, 255),
		"bits 1 of no byte":        cat(tagBitBinary, 0, 0, 0, 0, 1),
		"fun, size 0":              fun(0, atom),
		"fun, index an atom":       fun(newFunFixed+3+3+2, atom, atom, tagSmallInteger, 1),
		"fun, creator no pid":      fun(newFunFixed+3+2+2+3, atom, tagSmallInteger, 1, tagSmallInteger, 1, atom),
		"fun, wrong size":          fun(newFunFixed+3+2+2+16-1, atom, tagSmallInteger, 1, tagSmallInteger, 1, tagNewPid, atom, words(3)),
		"record flags":             cat(tagRecord, 0, 0, 0, 0, 2, atom, atom),
		"record field an integer":  cat(tagRecord, 0, 0, 0, 1, 0, atom, atom, tagSmallInteger, 1, tagSmallInteger, 1),
		"FUN_EXT":                  cat(117, 0, 0, 0, 0),
		"version inside":           cat(tagSmallTuple, 1, Version, tagNil),
		"distribution header":      cat(tagDistHeader, 0, tagNil),
		"LOCAL_EXT inside":         cat(tagSmallTuple, 1, tagLocal, 0, 0, 0, 0, tagNil),
	} {
		if got, err := Decode(in); !errors.Is(err, ErrTag) {
			t.Errorf("%s: Decode(%x) = %v, %v, want ErrTag", name, in, got, err)
		}
	}
	if _, err := Decode([]byte{130, tagNil}); !errors.Is(err, ErrTag) {
		t.Errorf("version 130: %v", err)
	}
	if good := fun(newFunFixed+3+2+2+16, atom, tagSmallInteger, 1, tagSmallInteger, 1, tagNewPid, atom, words(3)); true {
		mustDecode(t, good)
	}
}

func TestSyntaxError_TellsPlaceAndTag(t *testing.T) {
	for _, tt := range []struct {
		in   []byte
		want string
	}{
		{[]byte{Version, tagSmallTuple, 2, tagNil, tagBinary, 0, 0, 0, 9, 1}, "etf: BINARY_EXT at offset 4: truncated"},
		{[]byte{Version, 1}, "etf: tag 1 at offset 1: malformed"},
		{[]byte{Version, tagNil, 0}, "etf: offset 2: trailing bytes"},
		{[]byte{}, "etf: offset 0: truncated"},
		{[]byte{5, tagNil}, "etf: offset 0: malformed: version 5, want 131"},
	} {
		if _, err := Decode(tt.in); err == nil || err.Error() != tt.want {
			t.Errorf("Decode(%x): %v, want %s", tt.in, err, tt.want)
		}
	}
}

func TestDecoder_BinariesAliasUnlessCopied(t *testing.T) {
	in, _ := Encode(Tuple{"alias", Charlist("list"), Bitstring{Bytes: []byte{0xFF, 0x80}, Bits: 1}})
	for _, copies := range []bool{false, true} {
		d := NewDecoder(Limits{})
		d.CopyBinaries = copies
		b := bytes.Clone(in)
		term, err := d.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			b[i] = 'x'
		}
		tuple := term.(Tuple)
		if got := string(tuple[0].(Binary)); (got == "alias") != copies {
			t.Errorf("copies %t: the binary became %q", copies, got)
		}
		if got := tuple[1].(Charlist); got != "list" {
			t.Errorf("copies %t: the charlist became %q", copies, got)
		}
		if n := cap(tuple[0].(Binary)); n > 8 {
			t.Errorf("the binary has a capacity of %d: appending to it would write on", n)
		}
	}
}

func TestDecoder_UnusedBitsAreCleared(t *testing.T) {
	in := []byte{Version, tagBitBinary, 0, 0, 0, 1, 3, 0xFF}
	got := mustDecode(t, in)
	if want := (Bitstring{Bytes: []byte{0xE0}, Bits: 3}); !Equal(got, want) || got.(Bitstring).Bytes[0] != 0xE0 {
		t.Errorf("got %v", got)
	}
	if in[len(in)-1] != 0xFF {
		t.Error("the input was written to")
	}
}

// Terms of one decoder do not change when it reads on.
func TestDecoder_TermsStayWhenReadingOn(t *testing.T) {
	d := NewDecoder(Limits{})
	var terms []Term
	var texts []string
	for i := range 3000 {
		in, err := Encode(Tuple{Atom(fmt.Sprintf("a%d", i)), int64(i) * 1e6, List{float64(i), "b"}, Charlist(fmt.Sprint(i)), Map{{int64(i), Pid{ID: uint32(i)}}}, Ref{Len: 1, ID: [5]uint32{uint32(i)}}})
		if err != nil {
			t.Fatal(err)
		}
		term, err := d.Decode(in)
		if err != nil {
			t.Fatal(err)
		}
		terms, texts = append(terms, term), append(texts, Format(term))
		if i%500 == 0 {
			runtime.GC()
		}
	}
	for i, term := range terms {
		if got := Format(term); got != texts[i] {
			t.Fatalf("term %d became %s, was %s", i, got, texts[i])
		}
	}
}

// box builds interfaces by hand; they must be what the compiler builds.
func TestBox(t *testing.T) {
	var s slabs
	s.chunk = 2
	for range 5 {
		for _, v := range []int64{minSmall - 1, minSmall, -1, 0, 1, 255, maxSmall, maxSmall + 1, math.MinInt64, math.MaxInt64} {
			if got, ok := s.int(v).(int64); !ok || got != v {
				t.Fatalf("int(%d) = %v", v, got)
			}
		}
		for _, tt := range []struct{ got, want Term }{
			{s.float(1.5), 1.5}, {s.tuple([]Term{int64(1)}), Tuple{int64(1)}}, {s.list([]Term{int64(1)}), List{int64(1)}}, {s.binary([]byte("x")), Binary("x")},
			{s.charlist([]byte("abc")), Charlist("abc")}, {s.mapTerm(Map{{int64(1), int64(2)}}), Map{{int64(1), int64(2)}}}, {s.pid(Pid{ID: 3}), Pid{ID: 3}}, {s.ref(Ref{Len: 1}), Ref{Len: 1}},
		} {
			if fmt.Sprintf("%T %v", tt.got, tt.got) != fmt.Sprintf("%T %v", tt.want, tt.want) || !Equal(tt.got, tt.want) {
				t.Errorf("boxed %T %v, want %T %v", tt.got, tt.got, tt.want, tt.want)
			}
		}
	}
	if m := (Map{{int64(1), int64(2)}, {int64(3), int64(4)}}); Format(List(m.terms())) != "[1,2,3,4]" {
		t.Errorf("terms of a map: %v", m.terms())
	}
}

func TestAtomTable_IsBounded(t *testing.T) {
	d := NewDecoder(Limits{})
	for i := range 20000 {
		name := Atom(fmt.Sprintf("%d_%s", i, strings.Repeat("x", i%20)))
		in, err := Encode(Tuple{name, name})
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Decode(in)
		if err != nil || !Equal(got, Tuple{name, name}) {
			t.Fatalf("%s: %v, %v", name, got, err)
		}
	}
}

func TestDecode_BigIntegersAreNormal(t *testing.T) {
	for _, v := range []*big.Int{big.NewInt(5), big.NewInt(math.MinInt64), new(big.Int).Lsh(big.NewInt(1), 63), new(big.Int).Neg(new(big.Int).Lsh(big.NewInt(3), 3000))} {
		b, err := Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		got := mustDecode(t, b)
		if _, isBig := got.(*big.Int); isBig == v.IsInt64() || !Equal(got, v) {
			t.Errorf("%v became %T %v", v, got, got)
		}
	}
}

// Parts of a term lie side by side in memory; appending to one must not write into the next.
func TestDecode_PartsCanBeAppendedTo(t *testing.T) {
	in, err := Encode(Tuple{List{int64(1)}, List{int64(2)}, Tuple{int64(3)}, Map{{int64(4), int64(4)}}, Map{{int64(5), int64(5)}}, Charlist("a"), Charlist("b"), "c", "d"})
	if err != nil {
		t.Fatal(err)
	}
	term := mustDecode(t, in).(Tuple)
	before := Format(term)
	for _, part := range term {
		switch v := part.(type) {
		case List:
			_ = append(v, Atom("x"))
		case Tuple:
			_ = append(v, Atom("x"))
		case Map:
			_ = append(v, MapPair{Atom("x"), Atom("x")})
		case Binary:
			_ = append(v, "xxxxxxxx"...)
		}
	}
	_ = append(term, Atom("x"))
	if after := Format(term); after != before {
		t.Errorf("the term became %s, was %s", after, before)
	}
}

// Who has not agreed on native records gets none, wherever in a term one stands, and writes none.
func TestRefuseRecords(t *testing.T) {
	t.Parallel()
	record := &Record{Module: "m", Name: "r", Fields: []RecordField{{"f", int64(1)}}}
	for _, term := range []Term{record, Tuple{List{Map{{Key: Atom("k"), Value: record}}}}} {
		b, err := Encode(term)
		if err != nil {
			t.Fatal(err)
		}
		d := NewDecoder(Limits{})
		if _, err := d.Decode(b); err != nil {
			t.Errorf("Decode(%s) = %v", Format(term), err)
		}
		d.RefuseRecords = true
		if _, err := d.Decode(b); !errors.Is(err, ErrRecord) {
			t.Errorf("refusing Decode(%s) = %v, want ErrRecord", Format(term), err)
		}
		e := Encoder{RefuseRecords: true}
		if _, err := e.Append(nil, term); !errors.Is(err, ErrRecord) {
			t.Errorf("refusing Append(%s) = %v, want ErrRecord", Format(term), err)
		}
	}
}

// Maps that are keys of maps, thousands deep, take time that grows with the message, not with its square: 9,000 of them took
// twenty seconds.
func TestDecode_MapsAsKeysOfMaps(t *testing.T) {
	t.Parallel()
	const depth = 9000
	b := []byte{Version}
	for range depth {
		b = binary.BigEndian.AppendUint32(append(b, tagMap), 9)
		for j := range byte(8) {
			b = append(b, tagSmallInteger, j, tagSmallInteger, 0)
		}
	}
	b = append(b, tagSmallInteger, 9)
	for range depth {
		b = append(b, tagSmallInteger, 0)
	}
	began := time.Now()
	if _, err := Decode(b); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("%d bytes took %v", len(b), d)
	}
	again := append(b[:len(b):len(b)], 0)
	if _, err := Decode(again); err == nil {
		t.Error("trailing byte accepted")
	}
}
