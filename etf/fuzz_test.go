package etf

import (
	"bytes"
	"errors"
	"runtime"
	"testing"
)

// FuzzDecode: no panic, memory in proportion to the input, and the cursor and skip agree with the decoder.
func FuzzDecode(f *testing.F) {
	for _, v := range vectors(f) {
		if len(v.in) < 4096 {
			f.Add(v.in)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := NewDecoder(Limits{MaxDecompressed: 1 << 16})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		term, err := d.Decode(b)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20+200*uint64(len(b)) {
			t.Fatalf("%d bytes were allocated for an input of %d", grown, len(b))
		}
		if err != nil {
			var se *SyntaxError
			if !errors.As(err, &se) {
				t.Fatalf("Decode(%x): %v is no *SyntaxError", b, err)
			}
			return
		}
		_ = Format(term)
		if len(b) > 1 && b[1] != tagCompressed {
			if end, err := skip(b, 1); end != len(b) || err != nil {
				t.Fatalf("skip(%x) = %d, %v, want %d", b, end, err, len(b))
			}
		}
		back, err := Encode(term)
		if err != nil {
			t.Fatalf("Encode of the decoded %x: %v", b, err)
		}
		again, err := Decode(back)
		if err != nil || !Equal(term, again) || Compare(term, again) != 0 {
			t.Fatalf("%x became %x: %v", b, back, err)
		}
	})
}

// FuzzRoundTrip: what the encoder writes is stable, through the atom cache too, and what Format prints is read back if
// it is syntax.
func FuzzRoundTrip(f *testing.F) {
	for _, v := range vectors(f) {
		if v.kind != "reject" && len(v.in) < 4096 {
			f.Add(v.in)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		term, err := NewDecoder(Limits{MaxDecompressed: 1 << 16}).Decode(b)
		if err != nil {
			return
		}
		once, err := Encode(term)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := Encode(mustDecode(t, once))
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%x is not stable: %x, %v", once, twice, err)
		}
		if _, ok := term.(Local); ok {
			return
		}
		var out AtomCacheOut
		var in AtomCacheIn
		var refs AtomRefs
		d := NewDecoder(Limits{})
		for range 2 {
			out.Begin()
			body, err := out.AppendTerm(nil, term)
			if err != nil {
				t.Fatal(err)
			}
			rest, err := in.ReadHeader(append(out.AppendHeader(nil), body...), &refs)
			if err != nil {
				t.Fatal(err)
			}
			d.SetAtomRefs(&refs)
			got, rest, err := d.DecodeTerm(rest)
			if err != nil || len(rest) > 0 || !Equal(got, term) {
				t.Fatalf("%x changed in the atom cache: %v", once, err)
			}
		}
		text := Format(term)
		if read, err := ParseTerm(text); err == nil && !Equal(read, term) {
			t.Fatalf("%x prints as %q, which reads as %s", once, text, Format(read))
		}
	})
}

// FuzzConsult: no panic, errors with a place, and what is read survives printing and reading.
func FuzzConsult(f *testing.F) {
	for _, text := range consultTexts {
		f.Add(text)
	}
	for _, v := range vectors(f) {
		if len(v.text) < 200 {
			f.Add(v.text + ".")
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		terms, err := Consult("fuzz", []byte(text))
		if err != nil {
			var te *TextError
			if !errors.As(err, &te) || te.Line < 1 || te.Column < 1 {
				t.Fatalf("Consult(%q): %v", text, err)
			}
			return
		}
		for _, term := range terms {
			if _, err := Encode(term); err != nil {
				t.Fatalf("Consult(%q) gave what cannot be encoded: %v", text, err)
			}
			printed := Format(term)
			again, err := ParseTerm(printed)
			if err != nil || !Equal(again, term) {
				t.Fatalf("%q reads as %s, which reads as %s, %v", text, printed, Format(again), err)
			}
		}
	})
}
