package etf

import (
	"encoding/binary"
	"math"
	"math/big"
)

// Kind is the kind of a term, as a Cursor sees it.
type Kind uint8

// Kinds. KindEnd means that no bytes are left, that the next byte is no tag, or that there was an error.
const (
	KindEnd Kind = iota
	KindInt
	KindFloat
	KindAtom
	KindRef
	KindFun
	KindPort
	KindPid
	KindTuple
	KindRecord
	KindMap
	KindList // NIL_EXT, STRING_EXT or LIST_EXT
	KindBinary
	KindBitstring
	KindLocal
)

var tagKinds = [256]Kind{
	tagSmallInteger: KindInt, tagInteger: KindInt, tagSmallBig: KindInt, tagLargeBig: KindInt,
	tagFloat: KindFloat, tagNewFloat: KindFloat,
	tagAtom: KindAtom, tagSmallAtom: KindAtom, tagAtomUTF8: KindAtom, tagSmallAtomUTF8: KindAtom, tagCacheRef: KindAtom,
	tagReference: KindRef, tagNewReference: KindRef, tagNewerReference: KindRef,
	tagNewFun: KindFun, tagExport: KindFun, tagPort: KindPort, tagNewPort: KindPort, tagV4Port: KindPort,
	tagPid: KindPid, tagNewPid: KindPid, tagSmallTuple: KindTuple, tagLargeTuple: KindTuple, tagRecord: KindRecord,
	tagMap: KindMap, tagNil: KindList, tagString: KindList, tagList: KindList,
	tagBinary: KindBinary, tagBitBinary: KindBitstring, tagLocal: KindLocal,
}

// Cursor walks over encoded terms without building them: each call reads one term, or enters one container, whose
// elements the next calls read. The first error sticks: later calls do nothing and return zero values, so that a caller
// may read a whole control message and then ask Err once. It allocates only for what Term builds, for atoms that its
// decoder has not seen of late, and for errors. It is valid until its decoder gets other cache references.
type Cursor struct {
	d   *Decoder
	b   []byte
	p   int
	err error
}

// Cursor walks over the terms of b, which has no version byte. It shares d's limits, atom table and cache references.
func (d *Decoder) Cursor(b []byte) Cursor { return Cursor{d: d, b: b} }

// Err returns the first error, a *SyntaxError.
func (c *Cursor) Err() error { return c.err }

// Rest returns the bytes that have not been read.
func (c *Cursor) Rest() []byte { return c.b[c.p:] }

// Kind returns the kind of the next term.
func (c *Cursor) Kind() Kind {
	if c.err != nil || c.p >= len(c.b) {
		return KindEnd
	}
	return tagKinds[c.b[c.p]]
}

func (c *Cursor) fail(err error) {
	if c.err != nil {
		return
	}
	var tag byte
	if c.p < len(c.b) {
		tag = c.b[c.p]
	}
	c.err = &SyntaxError{Offset: c.p, Tag: tag, Err: err}
}

// need returns the next n bytes and stays before them; nil if there are fewer.
func (c *Cursor) need(n int) []byte {
	if c.err != nil {
		return nil
	}
	if n > len(c.b)-c.p {
		c.fail(ErrTruncated)
		return nil
	}
	return c.b[c.p : c.p+n]
}

// tag returns the tag of the next term, 0 if there is none.
func (c *Cursor) tag() byte {
	if b := c.need(1); b != nil {
		return b[0]
	}
	return 0
}

// is reports whether the next term is of kind k; if not it notes an error.
func (c *Cursor) is(k Kind, want string) bool {
	tag := c.tag()
	if c.err == nil && tagKinds[tag] != k {
		c.wrong(want)
	}
	return c.err == nil
}

// wrong notes that the next term is not of the wanted kind.
func (c *Cursor) wrong(want string) { c.fail(malformed("want %s", want)) }

// moved takes the position that a reading function of the decoder returned.
func (c *Cursor) moved(p int) bool {
	if p < 0 {
		c.err = c.d.takeErr()
		return false
	}
	c.p = p
	return true
}

// Skip passes over the next term. It checks lengths only.
func (c *Cursor) Skip() {
	if c.err != nil {
		return
	}
	end, err := skip(c.b, c.p)
	if err != nil {
		c.fail(err)
		return
	}
	c.p = end
}

// Raw passes over the next term as Skip does and returns its bytes, which alias the input.
func (c *Cursor) Raw() []byte {
	start := c.p
	c.Skip()
	if c.err != nil {
		return nil
	}
	return c.b[start:c.p:c.p]
}

// Term builds the next term, nil on error.
func (c *Cursor) Term() Term {
	if c.err != nil {
		return nil
	}
	t, p := c.d.top(c.b, c.p)
	if !c.moved(p) {
		return nil
	}
	return t
}

// Tuple enters a tuple and returns its arity, -1 on error.
func (c *Cursor) Tuple() int {
	switch c.tag() {
	case tagSmallTuple:
		if b := c.need(2); b != nil {
			return c.enter(2, int(b[1]), int(b[1]))
		}
	case tagLargeTuple:
		if b := c.need(5); b != nil {
			n := int(binary.BigEndian.Uint32(b[1:]))
			return c.enter(5, n, n)
		}
	default:
		c.wrong("a tuple")
	}
	return -1
}

// enter passes over header bytes of a container with n elements of at least size bytes together.
func (c *Cursor) enter(header, n, size int) int {
	if size > len(c.b)-c.p-header {
		c.fail(ErrTruncated)
		return -1
	}
	c.p += header
	return n
}

// List enters a list and returns its number of elements, -1 on error. When the number is above zero the tail follows the
// elements and is to be read too, with EndList if the list must be proper. For a STRING_EXT use Bytes or Term.
func (c *Cursor) List() int {
	for {
		switch c.tag() {
		case tagNil:
			c.p++
			return 0
		case tagList:
			b := c.need(5)
			if b == nil {
				return -1
			}
			if n := int(binary.BigEndian.Uint32(b[1:])); n > 0 {
				return c.enter(5, n, n+1)
			}
			c.p += 5 // a list of no elements is its tail
		default:
			c.wrong("a list")
			return -1
		}
	}
}

// EndList reads the tail of a proper list.
func (c *Cursor) EndList() {
	switch c.tag() {
	case tagNil:
		c.p++
	default:
		c.wrong("the end of the list")
	}
}

// Map enters a map and returns its number of pairs, -1 on error. Key and value of each follow one another.
func (c *Cursor) Map() int {
	if c.tag() != tagMap {
		c.wrong("a map")
		return -1
	}
	if b := c.need(5); b != nil {
		n := int(binary.BigEndian.Uint32(b[1:]))
		return c.enter(5, n, 2*n)
	}
	return -1
}

// Int reads an integer that fits int64.
func (c *Cursor) Int() int64 {
	switch c.tag() {
	case tagSmallInteger:
		if b := c.need(2); b != nil {
			c.p += 2
			return int64(b[1])
		}
	case tagInteger:
		if b := c.need(5); b != nil {
			c.p += 5
			return int64(int32(binary.BigEndian.Uint32(b[1:])))
		}
	case tagSmallBig, tagLargeBig:
		abs, negative, ok := c.magnitude()
		switch {
		case !ok:
		case !negative && abs <= math.MaxInt64:
			return int64(abs)
		case negative && abs <= 1<<63:
			return -int64(abs)
		default:
			c.wrong("an integer of 64 bits")
		}
	default:
		c.wrong("an integer")
	}
	return 0
}

// Uint reads an integer from 0 to 2^64-1.
func (c *Cursor) Uint() uint64 {
	switch c.tag() {
	case tagSmallInteger, tagInteger:
		start := *c
		v := c.Int()
		if v < 0 {
			*c = start
			c.wrong("an integer from 0 up")
			return 0
		}
		return uint64(v)
	case tagSmallBig, tagLargeBig:
		abs, negative, ok := c.magnitude()
		if ok && negative && abs != 0 {
			c.wrong("an integer from 0 up")
			return 0
		}
		return abs
	}
	c.wrong("an integer")
	return 0
}

// magnitude reads a big integer of up to 64 bits.
func (c *Cursor) magnitude() (abs uint64, negative, ok bool) {
	end, err := skip(c.b, c.p)
	if err != nil {
		c.fail(err)
		return 0, false, false
	}
	header := 3
	if c.b[c.p] == tagLargeBig {
		header = 6
	}
	negative = c.b[c.p+header-1] != 0
	for i, digit := range c.b[c.p+header : end] {
		if i >= 8 {
			if digit != 0 {
				c.wrong("an integer of 64 bits")
				return 0, false, false
			}
			continue
		}
		abs |= uint64(digit) << (8 * i)
	}
	c.p = end
	return abs, negative, true
}

// BigInt reads an integer of any size.
func (c *Cursor) BigInt() *big.Int {
	if !c.is(KindInt, "an integer") {
		return nil
	}
	switch v := c.Term().(type) {
	case int64:
		return big.NewInt(v)
	case *big.Int:
		return v
	}
	return nil
}

// Float reads a float.
func (c *Cursor) Float() float64 {
	switch c.tag() {
	case tagNewFloat:
		if b := c.need(9); b != nil {
			f := math.Float64frombits(binary.BigEndian.Uint64(b[1:]))
			if math.IsNaN(f) || math.IsInf(f, 0) {
				c.wrong("a finite float")
				return 0
			}
			c.p += 9
			return f
		}
	case tagFloat:
		if t, ok := c.Term().(float64); ok {
			return t
		}
	default:
		c.wrong("a float")
	}
	return 0
}

// Atom reads an atom. One that the decoder has seen of late costs no allocation.
func (c *Cursor) Atom() Atom {
	if c.err != nil {
		return ""
	}
	t, p := c.d.atom(c.b, c.p)
	if !c.moved(p) {
		return ""
	}
	return t.(Atom)
}

// Pid reads a pid.
func (c *Cursor) Pid() Pid {
	if !c.is(KindPid, "a pid") {
		return Pid{}
	}
	pid, p := c.d.pid(c.b, c.p)
	if !c.moved(p) {
		return Pid{}
	}
	return pid
}

// Ref reads a reference.
func (c *Cursor) Ref() Ref {
	if !c.is(KindRef, "a reference") {
		return Ref{}
	}
	ref, p := c.d.ref(c.b, c.p)
	if !c.moved(p) {
		return Ref{}
	}
	return ref
}

// Port reads a port identifier.
func (c *Cursor) Port() Port {
	if !c.is(KindPort, "a port") {
		return Port{}
	}
	port, p := c.d.port(c.b, c.p)
	if !c.moved(p) {
		return Port{}
	}
	return port
}

// Bytes reads a binary, a STRING_EXT or the empty list as bytes that alias the input.
func (c *Cursor) Bytes() []byte {
	header := 0
	switch c.tag() {
	case tagNil:
		c.p++
		return []byte{}
	case tagBinary:
		header = 5
	case tagString:
		header = 3
	default:
		c.wrong("a binary")
		return nil
	}
	raw := c.Raw()
	if c.err != nil {
		return nil
	}
	return raw[header:]
}

// Close checks that nothing is left to read and returns the first error.
func (c *Cursor) Close() error {
	if c.err == nil && c.p != len(c.b) {
		c.fail(ErrTrailing)
	}
	return c.err
}
