package etf

import (
	"bytes"
	"errors"
	"math"
	"math/big"
	"testing"
)

// rebuild walks over a term with the cursor and builds it from what the cursor says.
func rebuild(c *Cursor) Term {
	switch c.Kind() {
	case KindInt:
		return normalBig(c.BigInt())
	case KindFloat:
		return c.Float()
	case KindAtom:
		return c.Atom()
	case KindPid:
		return c.Pid()
	case KindRef:
		return c.Ref()
	case KindPort:
		return c.Port()
	case KindBinary:
		return Binary(c.Bytes())
	case KindTuple:
		t := Tuple{}
		for range c.Tuple() {
			t = append(t, rebuild(c))
		}
		return t
	case KindMap:
		m := Map{}
		for range c.Map() {
			key := rebuild(c)
			m = append(m, MapPair{key, rebuild(c)})
		}
		return m
	case KindList:
		if c.tag() != tagList {
			return Charlist(c.Bytes())
		}
		l := ImproperList{}
		for range c.List() {
			l.Elems = append(l.Elems, rebuild(c))
		}
		if len(l.Elems) == 0 {
			return List{}
		}
		if c.tag() == tagNil {
			c.EndList()
			return List(l.Elems)
		}
		l.Tail = rebuild(c)
		return l
	}
	return c.Term()
}

func TestCursor_WalksOverEveryVector(t *testing.T) {
	d := NewDecoder(Limits{})
	for _, v := range vectors(t) {
		if v.kind == "reject" || v.in[1] == tagCompressed {
			continue
		}
		if v.in[1] == tagList && bytes.Equal(v.in[2:6], make([]byte, 4)) && v.in[6] != tagNil {
			continue // LIST_EXT without elements and with a tail that is no list, which OTP does not write
		}
		want := mustDecode(t, v.in)
		c := d.Cursor(v.in[1:])
		got := rebuild(&c)
		if err := c.Close(); err != nil || !Equal(got, want) {
			t.Errorf("%s:%d: the cursor gave %.80s, %v, want %.80s", v.file, v.line, Format(got), err, Format(want))
		}
		c = d.Cursor(v.in[1:])
		if raw := c.Raw(); c.Err() != nil || len(raw) != len(v.in)-1 || len(c.Rest()) != 0 {
			t.Errorf("%s:%d: Raw gave %d of %d bytes, %v", v.file, v.line, len(raw), len(v.in)-1, c.Err())
		}
	}
}

func TestCursor_FirstErrorSticks(t *testing.T) {
	b, _ := AppendTerm(nil, Tuple{Atom("a"), int64(1), "rest"})
	d := NewDecoder(Limits{})
	c := d.Cursor(b)
	c.Tuple()
	if c.Int() != 0 || c.Err() == nil {
		t.Fatal("an atom was read as an integer")
	}
	first := c.Err()
	if c.Atom() != "" || c.Kind() != KindEnd || c.Tuple() != -1 || c.List() != -1 || c.Map() != -1 || c.Float() != 0 || c.Uint() != 0 ||
		c.Term() != nil || c.Raw() != nil || c.Bytes() != nil || c.Pid() != (Pid{}) || c.Ref() != (Ref{}) || c.Port() != (Port{}) || c.BigInt() != nil {
		t.Error("something was read after the error")
	}
	c.Skip()
	c.EndList()
	if c.Err() != first || !errors.Is(c.Close(), ErrTag) {
		t.Errorf("the error became %v", c.Err())
	}
}

func TestCursor_RefusesOtherKindsAndCuts(t *testing.T) {
	reads := map[Kind]func(*Cursor){
		KindInt: func(c *Cursor) { c.Int() }, KindFloat: func(c *Cursor) { c.Float() }, KindAtom: func(c *Cursor) { c.Atom() },
		KindPid: func(c *Cursor) { c.Pid() }, KindRef: func(c *Cursor) { c.Ref() }, KindPort: func(c *Cursor) { c.Port() },
		KindTuple: func(c *Cursor) { c.Tuple() }, KindMap: func(c *Cursor) { c.Map() }, KindBinary: func(c *Cursor) { c.Bytes() },
		KindList: func(c *Cursor) { c.List() }, KindEnd: func(c *Cursor) { c.Skip() },
	}
	terms := map[Kind]Term{
		KindInt: 77777, KindFloat: 1.5, KindAtom: Atom("abc"), KindPid: Pid{Node: "a@b"}, KindRef: Ref{Node: "a@b", Len: 3}, KindPort: Port{Node: "a@b"},
		KindTuple: Tuple{int64(1)}, KindMap: Map{{int64(1), int64(2)}}, KindBinary: "bin", KindList: List{Atom("x")}, KindEnd: Bitstring{Bytes: []byte{1}, Bits: 3},
	}
	d := NewDecoder(Limits{})
	for kind, read := range reads {
		for other, term := range terms {
			b, err := AppendTerm(nil, term)
			if err != nil {
				t.Fatal(err)
			}
			c := d.Cursor(b)
			read(&c)
			if fits := kind == other || kind == KindEnd; (c.Err() == nil) != fits {
				t.Errorf("reading kind %d from %s: %v", kind, Format(term), c.Err())
			}
			if kind != other {
				continue
			}
			cuts := len(b)
			if kind == KindTuple || kind == KindMap || kind == KindList {
				cuts = 2 // only the header was read
			}
			for n := range cuts {
				c := d.Cursor(b[:n:n])
				if read(&c); !errors.Is(c.Err(), ErrTruncated) {
					t.Errorf("reading kind %d from %d of %d bytes: %v, want ErrTruncated", kind, n, len(b), c.Err())
				}
			}
		}
	}
}

func TestCursor_IntegerRanges(t *testing.T) {
	d := NewDecoder(Limits{})
	two64 := new(big.Int).Lsh(big.NewInt(1), 64)
	for _, tt := range []struct {
		in     Term
		i      int64
		iok    bool
		u      uint64
		uok    bool
		padded []byte
	}{
		{in: 0, i: 0, iok: true, u: 0, uok: true}, {in: -1, i: -1, iok: true}, {in: math.MaxInt64, i: math.MaxInt64, iok: true, u: math.MaxInt64, uok: true},
		{in: math.MinInt64, i: math.MinInt64, iok: true}, {in: uint64(1 << 63), u: 1 << 63, uok: true}, {in: uint64(math.MaxUint64), u: math.MaxUint64, uok: true},
		{in: two64}, {in: new(big.Int).Neg(two64)}, {padded: []byte{tagSmallBig, 10, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0}, i: 5, iok: true, u: 5, uok: true},
		{padded: []byte{tagLargeBig, 0, 0, 0, 1, 1, 5}, i: -5, iok: true},
	} {
		b := tt.padded
		if b == nil {
			b, _ = AppendTerm(nil, tt.in)
		}
		c := d.Cursor(b)
		if got := c.Int(); got != tt.i || (c.Close() == nil) != tt.iok {
			t.Errorf("Int of %x = %d, %v", b, got, c.Err())
		}
		c = d.Cursor(b)
		if got := c.Uint(); got != tt.u || (c.Close() == nil) != tt.uok {
			t.Errorf("Uint of %x = %d, %v", b, got, c.Err())
		}
	}
}

// A link reads control messages without garbage.
func TestCursor_DoesNotAllocate(t *testing.T) {
	alias := ImproperList{Elems: []Term{Atom("alias")}, Tail: Ref{Node: "a@b", Len: 3}}
	b, err := AppendTerm(nil, Tuple{int64(6), Pid{Node: "a@b", ID: 9}, Atom("net_kernel"), alias, Binary("bin"), Map{{"k", 1.5}}})
	if err != nil {
		t.Fatal(err)
	}
	d := NewDecoder(Limits{})
	walk := func() {
		c := d.Cursor(b)
		c.Tuple()
		c.Int()
		c.Pid()
		c.Atom()
		c.List()
		c.Atom()
		c.Ref()
		c.Bytes()
		c.Skip()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, walk); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCursor_ContainersLargerThanTheInput(t *testing.T) {
	d := NewDecoder(Limits{})
	for _, in := range [][]byte{{tagSmallTuple, 2, tagNil}, {tagLargeTuple, 255, 255, 255, 255, tagNil}, {tagMap, 0, 0, 0, 1, tagNil}, {tagList, 0, 0, 0, 1, tagNil}} {
		c := d.Cursor(in)
		switch c.Kind() {
		case KindTuple:
			c.Tuple()
		case KindMap:
			c.Map()
		default:
			c.List()
		}
		if !errors.Is(c.Err(), ErrTruncated) {
			t.Errorf("%x: %v, want ErrTruncated", in, c.Err())
		}
	}
	c := d.Cursor([]byte{tagNil, tagNil})
	c.Skip()
	if err := c.Close(); !errors.Is(err, ErrTrailing) {
		t.Errorf("Close before the end: %v, want ErrTrailing", err)
	}
}
