package etf

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestAtomCache_RoundTripOfManyMessages(t *testing.T) {
	var out AtomCacheOut
	var in AtomCacheIn
	var refs AtomRefs
	dec := NewDecoder(Limits{})
	rnd := rand.New(rand.NewPCG(1, 2))
	var last int
	for n := range 500 {
		terms := make(List, 1+rnd.IntN(300))
		for i := range terms {
			name := fmt.Sprintf("atom_%d", rnd.IntN(5000))
			if rnd.IntN(50) == 0 {
				name += strings.Repeat("ö", 200)
			}
			terms[i] = Tuple{Atom(name), Pid{Node: "a@b", ID: uint32(i), Creation: 3}}
		}
		out.Begin()
		body, err := out.AppendTerm(nil, terms)
		if err != nil {
			t.Fatal(err)
		}
		header := out.AppendHeader(nil)
		rest, err := in.ReadHeader(append(header, body...), &refs)
		if err != nil {
			t.Fatalf("message %d: %v", n, err)
		}
		dec.SetAtomRefs(&refs)
		got, rest, err := dec.DecodeTerm(rest)
		if err != nil || len(rest) > 0 {
			t.Fatalf("message %d: DecodeTerm: %v, %d bytes left", n, err, len(rest))
		}
		if !Equal(got, terms) {
			t.Fatalf("message %d changed on its way", n)
		}
		last = len(header) + len(body)
	}
	plain, _ := AppendTerm(nil, List{})
	if last == 0 || len(plain) == 0 {
		t.Fatal("nothing was sent")
	}
}

// A message has room for 255 references; further atoms are written out.
func TestAtomCache_MoreAtomsThanReferences(t *testing.T) {
	var out AtomCacheOut
	out.SetEncoder(Encoder{LegacyPorts: true})
	var terms Tuple
	for i := range 3000 {
		terms = append(terms, Atom(fmt.Sprint("a", i)))
	}
	terms = append(terms, Atom(""), Port{Node: "a@b", ID: 7})
	out.Begin()
	body, err := out.AppendTerm(nil, terms)
	if err != nil {
		t.Fatal(err)
	}
	header := out.AppendHeader(nil)
	if header[0] != maxCacheRefs {
		t.Errorf("%d references, want %d", header[0], maxCacheRefs)
	}
	if !bytes.Contains(body, []byte{tagNewPort, tagSmallAtomUTF8}) && !bytes.Contains(body, []byte{tagNewPort, tagCacheRef}) {
		t.Error("the encoder's options got lost")
	}
	var refs AtomRefs
	rest, err := new(AtomCacheIn).ReadHeader(append(header, body...), &refs)
	if err != nil {
		t.Fatal(err)
	}
	dec := NewDecoder(Limits{})
	dec.SetAtomRefs(&refs)
	if got, rest, err := dec.DecodeTerm(rest); err != nil || len(rest) > 0 || !Equal(got, terms) {
		t.Errorf("the message changed on its way: %v", err)
	}
}

func TestAtomCache_SecondMessageRefersToTheFirst(t *testing.T) {
	var out AtomCacheOut
	for n := range 2 {
		out.Begin()
		if _, err := out.AppendTerm(nil, Tuple{Atom("hello"), Atom("world"), Atom("hello")}); err != nil {
			t.Fatal(err)
		}
		header := out.AppendHeader(nil)
		if known := !bytes.Contains(header, []byte("hello")); known != (n == 1) {
			t.Errorf("message %d: header %q", n, header)
		}
	}
}

func TestAtomCache_GivenUpMessageLeavesNothingBehind(t *testing.T) {
	var out AtomCacheOut
	out.Begin()
	if _, err := out.AppendTerm(nil, Atom("lost")); err != nil {
		t.Fatal(err)
	}
	out.Begin()
	if _, err := out.AppendTerm(nil, Atom("lost")); err != nil {
		t.Fatal(err)
	}
	if header := out.AppendHeader(nil); !bytes.Contains(header, []byte("lost")) {
		t.Errorf("header %q does not bring the atom", header)
	}
}

// A header as the documentation draws it: three references, the first and last of them new, segment 1 and 0.
func TestAtomCacheIn_ReadsHeaderByHand(t *testing.T) {
	var in AtomCacheIn
	var refs AtomRefs
	if _, err := in.ReadHeader([]byte{1, 0x0A, 7, 2, 'o', 'k'}, &refs); err != nil { // slot 2<<8|7
		t.Fatal(err)
	}
	b, _ := hex.DecodeString("03" + "29" + "08" + "05" + "0161" + "07" + "09" + "0162" + "ff")
	rest, err := in.ReadHeader(b, &refs)
	if err != nil || len(rest) != 1 {
		t.Fatalf("ReadHeader: %v, rest %x", err, rest)
	}
	if refs.Len() != 3 || refs.At(0) != "a" || refs.At(1) != "ok" || refs.At(2) != "b" {
		t.Errorf("atoms %v", refs.atoms)
	}
}

func TestAtomCacheIn_RefusesBadHeaders(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []byte
		want error
	}{
		{"nothing", nil, ErrTruncated},
		{"no flags", []byte{1}, ErrTruncated},
		{"no slot", []byte{1, 8}, ErrTruncated},
		{"no length", []byte{1, 8, 0}, ErrTruncated},
		{"short name", []byte{1, 8, 0, 3, 'a'}, ErrTruncated},
		{"long length cut", []byte{1, 0x18, 0, 1}, ErrTruncated},
		{"empty slot", []byte{1, 0, 9}, ErrTag},
		{"not UTF-8", []byte{1, 8, 0, 1, 0xFF}, ErrTag},
	} {
		var in AtomCacheIn
		var refs AtomRefs
		if _, err := in.ReadHeader(tt.in, &refs); !errors.Is(err, tt.want) {
			t.Errorf("%s: ReadHeader(%x): %v, want %v", tt.name, tt.in, err, tt.want)
		}
	}
}

func TestDecoder_CacheRefOutsideTheHeader(t *testing.T) {
	if _, err := Decode([]byte{Version, tagCacheRef, 0}); !errors.Is(err, ErrTag) {
		t.Errorf("got %v, want ErrTag", err)
	}
	dec := NewDecoder(Limits{})
	dec.SetAtomRefs(&AtomRefs{atoms: []Term{Atom("a")}})
	if _, _, err := dec.DecodeTerm([]byte{tagCacheRef, 1}); !errors.Is(err, ErrTag) {
		t.Errorf("got %v, want ErrTag", err)
	}
}
