package etf

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Decoder reads terms. It keeps the atoms that it has seen in a bounded table, so that one decoder per link is cheap to
// use again and again. It is not safe for concurrent use; the terms it yields are the caller's for as long as it likes.
//
// Small values of one term share memory: a part that is kept keeps up to some kilobytes of its term alive, and a Binary
// keeps the whole input alive unless CopyBinaries is set.
type Decoder struct {
	// CopyBinaries makes decoded binaries copies; otherwise they alias the input, which must then not be written to.
	CopyBinaries bool

	limits Limits
	refs   *AtomRefs
	atoms  atomTable
	slabs  slabs
	seen   []keySlot // scratch of uniqueKeys
	err    error
}

// NewDecoder returns a Decoder with the given limits.
func NewDecoder(l Limits) *Decoder { return &Decoder{limits: l.withDefaults()} }

var decoders = sync.Pool{New: func() any { return NewDecoder(Limits{}) }}

// Decode reads one term from b, which starts with the version byte 131 and holds nothing else.
// Binaries of the term alias b. Limits are the defaults. Errors: *SyntaxError.
func Decode(b []byte) (Term, error) {
	d := decoders.Get().(*Decoder)
	t, err := d.Decode(b)
	d.slabs = slabs{}
	decoders.Put(d)
	return t, err
}

// SetAtomRefs gives the atoms that ATOM_CACHE_REF stands for in the terms to come; nil for none. refs is not copied.
func (d *Decoder) SetAtomRefs(refs *AtomRefs) { d.refs = refs }

// Decode reads one term from b, which starts with 131 and holds nothing else. Errors: *SyntaxError.
func (d *Decoder) Decode(b []byte) (Term, error) {
	switch {
	case len(b) == 0:
		return nil, &SyntaxError{Err: ErrTruncated}
	case b[0] != Version:
		return nil, &SyntaxError{Err: fmt.Errorf("%w: version %d, want %d", ErrTag, b[0], Version)}
	case len(b) > d.limits.MaxBytes:
		return nil, &SyntaxError{Err: fmt.Errorf("%w: %d bytes, at most %d", ErrLimit, len(b), d.limits.MaxBytes)}
	case len(b) > 1 && b[1] == tagCompressed:
		return d.compressed(b)
	}
	t, p := d.top(b, 1)
	return d.whole(t, b, p)
}

// DecodeTerm reads the first term of b, which has no version byte, and returns what follows it. Errors: *SyntaxError.
func (d *Decoder) DecodeTerm(b []byte) (t Term, rest []byte, err error) {
	if len(b) > d.limits.MaxBytes {
		return nil, nil, &SyntaxError{Err: fmt.Errorf("%w: %d bytes, at most %d", ErrLimit, len(b), d.limits.MaxBytes)}
	}
	t, p := d.top(b, 0)
	if p < 0 {
		return nil, nil, d.takeErr()
	}
	return t, b[p:], nil
}

func (d *Decoder) takeErr() error {
	err := d.err
	d.err = nil
	return err
}

func (d *Decoder) whole(t Term, b []byte, p int) (Term, error) {
	switch {
	case p < 0:
		return nil, d.takeErr()
	case p != len(b):
		return nil, &SyntaxError{Offset: p, Err: ErrTrailing}
	}
	return t, nil
}

// Sizes of slab chunks, in elements. A message of some length seldom has more elements of a kind than an eighth of it.
const (
	minChunk = 4
	maxChunk = 512
	// keepSlabs is the longest input after which the rest of the slabs serves the next one: together they must not keep
	// much memory alive for one small term.
	keepSlabs = 4096
)

// top reads the term at b[p:].
func (d *Decoder) top(b []byte, p int) (Term, int) {
	d.slabs.chunk = min(max(len(b)/16, minChunk), maxChunk)
	if p < len(b) && b[p] == tagLocal {
		return d.local(b, p)
	}
	t, p := d.term(b, p, 0, d.limits.MaxDepth)
	if len(b) > keepSlabs {
		d.slabs = slabs{}
	}
	return t, p
}

// fail notes the error; its results are those of a reading function.
func (d *Decoder) fail(p int, tag byte, err error) (Term, int) {
	if d.err == nil {
		d.err = &SyntaxError{Offset: p, Tag: tag, Err: err}
	}
	return nil, -1
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrTag, fmt.Sprintf(format, args...))
}

// term reads the term at b[p:] and returns it with the position behind it, or -1 and d.err set. after is the number of
// bytes that the elements still to come in the containers around this term need at the least. depth is how many more
// containers may nest.
func (d *Decoder) term(b []byte, p, after, depth int) (Term, int) {
	if p >= len(b) {
		return d.fail(p, 0, ErrTruncated)
	}
	tag := b[p]
	switch tag {
	case tagSmallInteger:
		if p+2 > len(b) {
			return d.fail(p, tag, ErrTruncated)
		}
		return smallInt(int64(b[p+1])), p + 2
	case tagInteger:
		if p+5 > len(b) {
			return d.fail(p, tag, ErrTruncated)
		}
		return d.slabs.int(int64(int32(binary.BigEndian.Uint32(b[p+1:])))), p + 5
	case tagSmallAtomUTF8, tagAtom, tagAtomUTF8, tagSmallAtom, tagCacheRef:
		return d.atom(b, p)
	case tagSmallTuple:
		if p+2 > len(b) {
			return d.fail(p, tag, ErrTruncated)
		}
		return d.tuple(b, p, p+2, int(b[p+1]), after, depth)
	case tagLargeTuple:
		if p+5 > len(b) {
			return d.fail(p, tag, ErrTruncated)
		}
		return d.tuple(b, p, p+5, int(binary.BigEndian.Uint32(b[p+1:])), after, depth)
	case tagNil:
		return emptyList, p + 1
	case tagList:
		return d.list(b, p, after, depth)
	case tagString:
		return d.charlist(b, p)
	case tagBinary:
		return d.binary(b, p)
	case tagMap:
		return d.mapTerm(b, p, after, depth)
	case tagNewFloat:
		if p+9 > len(b) {
			return d.fail(p, tag, ErrTruncated)
		}
		f := math.Float64frombits(binary.BigEndian.Uint64(b[p+1:]))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return d.fail(p, tag, malformed("not finite"))
		}
		return d.slabs.float(f), p + 9
	case tagSmallBig:
		return d.smallBig(b, p)
	case tagNewPid, tagPid:
		pid, p := d.pid(b, p)
		if p < 0 {
			return nil, -1
		}
		return d.slabs.pid(pid), p
	case tagNewerReference, tagNewReference, tagReference:
		ref, p := d.ref(b, p)
		if p < 0 {
			return nil, -1
		}
		return d.slabs.ref(ref), p
	case tagNewPort, tagV4Port, tagPort:
		port, p := d.port(b, p)
		if p < 0 {
			return nil, -1
		}
		return port, p
	case tagLargeBig:
		return d.largeBig(b, p)
	case tagBitBinary:
		return d.bitstring(b, p)
	case tagExport:
		return d.export(b, p)
	case tagNewFun:
		return d.fun(b, p, after, depth)
	case tagFloat:
		return d.textFloat(b, p)
	case tagRecord:
		return d.record(b, p, after, depth)
	}
	return d.fail(p, tag, ErrTag)
}

// len32 reads the length behind a tag at p; the result is -1 when b ends before it does.
func (d *Decoder) len32(b []byte, p int) int {
	if p+5 > len(b) {
		d.fail(p, b[p], ErrTruncated)
		return -1
	}
	return int(binary.BigEndian.Uint32(b[p+1:]))
}

// enter checks that n elements of at least one byte each fit before the end, and that they may nest.
func (d *Decoder) enter(b []byte, start, p, n, after, depth int) bool {
	if n > len(b)-p-after {
		d.fail(start, b[start], ErrTruncated)
		return false
	}
	if depth <= 0 {
		d.fail(start, b[start], fmt.Errorf("%w: nested deeper than %d", ErrLimit, d.limits.MaxDepth))
		return false
	}
	return true
}

func (d *Decoder) tuple(b []byte, start, p, n, after, depth int) (Term, int) {
	if n == 0 {
		return emptyTuple, p
	}
	if !d.enter(b, start, p, n, after, depth) {
		return nil, -1
	}
	elems := d.slabs.terms.many(n, d.slabs.chunk)
	if p = d.elems(b, p, elems, after, depth-1); p < 0 {
		return nil, -1
	}
	return d.slabs.tuple(elems), p
}

// elems fills out with the terms at b[p:]. Integers and references to atoms seen before are read in place.
func (d *Decoder) elems(b []byte, p int, out []Term, after, depth int) int {
	after += len(out)
	for i := range out {
		after--
		if p+5 <= len(b) {
			switch b[p] {
			case tagSmallInteger:
				out[i] = smallInt(int64(b[p+1]))
				p += 2
				continue
			case tagInteger:
				out[i] = d.slabs.int(int64(int32(binary.BigEndian.Uint32(b[p+1:]))))
				p += 5
				continue
			}
		}
		if out[i], p = d.term(b, p, after, depth); p < 0 {
			return -1
		}
	}
	return p
}

// list reads LIST_EXT. A tail that is a list again, which OTP accepts and does not write, continues the list.
func (d *Decoder) list(b []byte, start, after, depth int) (Term, int) {
	var elems []Term
	for {
		n := d.len32(b, start)
		p := start + 5
		if n < 0 || !d.enter(b, start, p, n+1, after, depth) {
			return nil, -1
		}
		old := len(elems)
		if old == 0 {
			elems = d.slabs.terms.many(n, d.slabs.chunk)
		} else {
			elems = append(elems, make([]Term, n)...)
		}
		if p = d.elems(b, p, elems[old:], after+1, depth-1); p < 0 {
			return nil, -1
		}
		switch {
		case p < len(b) && b[p] == tagNil:
			if len(elems) == 0 {
				return emptyList, p + 1
			}
			return d.slabs.list(elems), p + 1
		case p < len(b) && b[p] == tagList:
			start = p
		default:
			return d.tail(b, p, elems, after, depth)
		}
	}
}

// tail reads the tail behind elems that is neither NIL_EXT nor LIST_EXT.
func (d *Decoder) tail(b []byte, p int, elems []Term, after, depth int) (Term, int) {
	tail, p := d.term(b, p, after, depth-1)
	if p < 0 || len(elems) == 0 {
		return tail, p
	}
	switch t := tail.(type) {
	case List:
		return d.slabs.list(append(elems, t...)), p
	case Charlist:
		for i := 0; i < len(t); i++ {
			elems = append(elems, d.slabs.int(int64(t[i])))
		}
		return d.slabs.list(elems), p
	}
	return ImproperList{Elems: elems, Tail: tail}, p
}

func (d *Decoder) charlist(b []byte, p int) (Term, int) {
	if p+3 > len(b) {
		return d.fail(p, tagString, ErrTruncated)
	}
	end := p + 3 + int(binary.BigEndian.Uint16(b[p+1:]))
	if end > len(b) {
		return d.fail(p, tagString, ErrTruncated)
	}
	if end == p+3 {
		return emptyList, end
	}
	return d.slabs.charlist(b[p+3 : end]), end
}

func (d *Decoder) binary(b []byte, p int) (Term, int) {
	n := d.len32(b, p)
	if n < 0 || n > len(b)-p-5 {
		return d.fail(p, tagBinary, ErrTruncated)
	}
	end := p + 5 + n
	return d.slabs.binary(d.bytes(b[p+5 : end : end])), end
}

func (d *Decoder) bytes(b []byte) []byte {
	if d.CopyBinaries {
		return bytes.Clone(b)
	}
	return b
}

func (d *Decoder) bitstring(b []byte, p int) (Term, int) {
	n := d.len32(b, p)
	if n < 0 || p+6 > len(b) || n > len(b)-p-6 {
		return d.fail(p, tagBitBinary, ErrTruncated)
	}
	bits, end := b[p+5], p+6+n
	if bits > 8 || (bits == 0) != (n == 0) {
		return d.fail(p, tagBitBinary, malformed("%d bytes with %d bits in the last", n, bits))
	}
	data := d.bytes(b[p+6 : end : end])
	if n == 0 || bits == 8 {
		return d.slabs.binary(data), end
	}
	if unused := byte(0xFF) >> bits; data[n-1]&unused != 0 {
		data = bytes.Clone(data)
		data[n-1] &^= unused
	}
	return Bitstring{Bytes: data, Bits: bits}, end
}

func (d *Decoder) mapTerm(b []byte, start, after, depth int) (Term, int) {
	n := d.len32(b, start)
	p := start + 5
	if n < 0 || !d.enter(b, start, p, 2*n, after, depth) {
		return nil, -1
	}
	m := Map(d.slabs.pairs.many(n, d.slabs.chunk))
	after += 2 * n
	for i := range m {
		after--
		if m[i].Key, p = d.term(b, p, after, depth-1); p < 0 {
			return nil, -1
		}
		after--
		if m[i].Value, p = d.term(b, p, after, depth-1); p < 0 {
			return nil, -1
		}
	}
	if !d.uniqueKeys(m) {
		return d.fail(start, tagMap, malformed("a key occurs twice"))
	}
	return d.slabs.mapTerm(m), p
}

func (d *Decoder) smallBig(b []byte, p int) (Term, int) {
	if p+3 > len(b) {
		return d.fail(p, tagSmallBig, ErrTruncated)
	}
	n, sign := int(b[p+1]), b[p+2]
	return d.bigDigits(b, p, p+3, n, sign)
}

func (d *Decoder) largeBig(b []byte, p int) (Term, int) {
	n := d.len32(b, p)
	if n < 0 || p+6 > len(b) {
		return d.fail(p, tagLargeBig, ErrTruncated)
	}
	return d.bigDigits(b, p, p+6, n, b[p+5])
}

// bigDigits reads n little-endian bytes at b[p:]. Any sign but 0 is minus, as binary_to_term has it.
func (d *Decoder) bigDigits(b []byte, start, p, n int, sign byte) (Term, int) {
	if n > len(b)-p {
		return d.fail(start, b[start], ErrTruncated)
	}
	digits := b[p : p+n]
	p += n
	for len(digits) > 0 && digits[len(digits)-1] == 0 {
		digits = digits[:len(digits)-1]
	}
	if len(digits) <= 8 {
		var abs uint64
		for i, c := range digits {
			abs |= uint64(c) << (8 * i)
		}
		if sign == 0 && abs <= math.MaxInt64 {
			return d.slabs.int(int64(abs)), p
		}
		if sign != 0 && abs <= 1<<63 {
			return d.slabs.int(-int64(abs)), p
		}
	}
	be := make([]byte, len(digits))
	for i, c := range digits {
		be[len(be)-1-i] = c
	}
	v := new(big.Int).SetBytes(be)
	if sign != 0 {
		v.Neg(v)
	}
	return v, p
}

// textFloat reads FLOAT_EXT: 31 bytes of text ended by zeros.
func (d *Decoder) textFloat(b []byte, p int) (Term, int) {
	end := p + 32
	if end > len(b) {
		return d.fail(p, tagFloat, ErrTruncated)
	}
	text, _, _ := bytes.Cut(b[p+1:end], []byte{0})
	f, ok := parseTextFloat(string(text))
	if !ok {
		return d.fail(p, tagFloat, malformed("float %q", text))
	}
	return d.slabs.float(f), end
}

// parseTextFloat reads what C's "%.20e" writes: a sign or none, digits, point, digits, an exponent or none.
func parseTextFloat(text string) (float64, bool) {
	if !textFloat.MatchString(text) {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	if f == 0 && strings.ContainsAny(mantissa(text), "123456789") {
		return 0, false // underflow
	}
	return f, err == nil
}

var textFloat = regexp.MustCompile(`^[-+]?[0-9]+\.[0-9]+([eE][-+]?[0-9]+)?$`)

func mantissa(text string) string {
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		return text[:i]
	}
	return text
}

// atomBytes finds the name of the atom at b[p:]. A cache reference yields its boxed atom instead.
func (d *Decoder) atomBytes(b []byte, p int) (name []byte, boxed Term, end int) {
	if p >= len(b) {
		d.fail(p, 0, ErrTruncated)
		return nil, nil, -1
	}
	tag := b[p]
	var n int
	switch tag {
	case tagSmallAtomUTF8, tagSmallAtom, tagCacheRef:
		if p+2 > len(b) {
			d.fail(p, tag, ErrTruncated)
			return nil, nil, -1
		}
		n = int(b[p+1])
		p += 2
	case tagAtomUTF8, tagAtom:
		if p+3 > len(b) {
			d.fail(p, tag, ErrTruncated)
			return nil, nil, -1
		}
		n = int(binary.BigEndian.Uint16(b[p+1:]))
		p += 3
	default:
		d.fail(p, tag, malformed("not an atom"))
		return nil, nil, -1
	}
	if tag == tagCacheRef {
		if d.refs == nil || n >= len(d.refs.atoms) {
			d.fail(p-2, tag, malformed("no such reference: %d", n))
			return nil, nil, -1
		}
		return nil, d.refs.atoms[n], p
	}
	if n > len(b)-p {
		d.fail(p, tag, ErrTruncated)
		return nil, nil, -1
	}
	name = b[p : p+n]
	if tag == tagAtom || tag == tagSmallAtom {
		if n > maxAtomChars {
			d.fail(p, tag, malformed("atom of %d characters", n))
			return nil, nil, -1
		}
		name = latin1ToUTF8(name)
	}
	return name, nil, p + n
}

// atom reads any form of atom.
func (d *Decoder) atom(b []byte, p int) (Term, int) {
	name, boxed, end := d.atomBytes(b, p)
	if end < 0 || boxed != nil {
		return boxed, end
	}
	t, ok := d.atoms.intern(name)
	if !ok {
		return d.fail(p, b[p], malformed("%.40q is not an atom", name))
	}
	return t, end
}

// nodeAtom reads an atom into a field.
func (d *Decoder) nodeAtom(b []byte, p int) (Atom, int) {
	t, p := d.atom(b, p)
	if p < 0 {
		return "", -1
	}
	return t.(Atom), p
}

// maxOldCreation is the largest creation in the forms of before OTP 23, which have one byte for it.
const maxOldCreation = 3

func (d *Decoder) pid(b []byte, start int) (pid Pid, p int) {
	tag := b[start]
	node, p := d.nodeAtom(b, start+1)
	if p < 0 {
		return pid, -1
	}
	size := 12
	if tag == tagPid {
		size = 9
	}
	if size > len(b)-p {
		d.fail(start, tag, ErrTruncated)
		return pid, -1
	}
	pid.Node = node
	pid.ID = binary.BigEndian.Uint32(b[p:])
	pid.Serial = binary.BigEndian.Uint32(b[p+4:])
	if tag == tagPid {
		if pid.Creation = uint32(b[p+8]); pid.Creation > maxOldCreation {
			d.fail(start, tag, malformed("creation %d", pid.Creation))
			return pid, -1
		}
	} else {
		pid.Creation = binary.BigEndian.Uint32(b[p+8:])
	}
	return pid, p + size
}

func (d *Decoder) port(b []byte, start int) (port Port, p int) {
	tag := b[start]
	node, p := d.nodeAtom(b, start+1)
	if p < 0 {
		return port, -1
	}
	size := map[byte]int{tagPort: 5, tagNewPort: 8, tagV4Port: 12}[tag]
	if size > len(b)-p {
		d.fail(start, tag, ErrTruncated)
		return port, -1
	}
	port.Node = node
	switch tag {
	case tagPort:
		port.ID, port.Creation = uint64(binary.BigEndian.Uint32(b[p:])), uint32(b[p+4])
	case tagNewPort:
		port.ID, port.Creation = uint64(binary.BigEndian.Uint32(b[p:])), binary.BigEndian.Uint32(b[p+4:])
	case tagV4Port:
		port.ID, port.Creation = binary.BigEndian.Uint64(b[p:]), binary.BigEndian.Uint32(b[p+8:])
	}
	if tag == tagPort && port.Creation > maxOldCreation {
		d.fail(start, tag, malformed("creation %d", port.Creation))
		return port, -1
	}
	return port, p + size
}

// ref reads NEWER_REFERENCE_EXT and NEW_REFERENCE_EXT (count u16 | node | creation | words) and REFERENCE_EXT
// (node | word | creation).
func (d *Decoder) ref(b []byte, start int) (ref Ref, p int) {
	tag := b[start]
	p = start + 1
	words, creation := 1, 1
	if tag != tagReference {
		if p+2 > len(b) {
			d.fail(start, tag, ErrTruncated)
			return ref, -1
		}
		words = int(binary.BigEndian.Uint16(b[p:]))
		p += 2
		if words > len(ref.ID) {
			d.fail(start, tag, malformed("%d words", words))
			return ref, -1
		}
	}
	if tag == tagNewerReference {
		creation = 4
	}
	node, p := d.nodeAtom(b, p)
	if p < 0 {
		return ref, -1
	}
	if creation+4*words > len(b)-p {
		d.fail(start, tag, ErrTruncated)
		return ref, -1
	}
	ref.Node, ref.Len = node, uint8(words)
	switch tag {
	case tagNewerReference:
		ref.Creation = binary.BigEndian.Uint32(b[p:])
		p += 4
	case tagNewReference:
		ref.Creation = uint32(b[p])
		p++
	}
	for i := range words {
		ref.ID[i] = binary.BigEndian.Uint32(b[p:])
		p += 4
	}
	if tag == tagReference {
		ref.Creation = uint32(b[p])
		p++
	}
	if tag != tagNewerReference && ref.Creation > maxOldCreation {
		d.fail(start, tag, malformed("creation %d", ref.Creation))
		return ref, -1
	}
	return ref, p
}

func (d *Decoder) export(b []byte, start int) (Term, int) {
	mod, p := d.nodeAtom(b, start+1)
	if p < 0 {
		return nil, -1
	}
	fun, p := d.nodeAtom(b, p)
	if p < 0 {
		return nil, -1
	}
	t, p := d.term(b, p, 0, 0)
	if p < 0 {
		return nil, -1
	}
	arity, ok := t.(int64)
	if !ok || arity < 0 || arity > 255 {
		return d.fail(start, tagExport, malformed("arity is not a byte"))
	}
	return Export{Module: mod, Function: fun, Arity: uint8(arity)}, p
}

// newFunFixed is the length of the fixed part of NEW_FUN_EXT behind its tag: size, arity, uniq, index, count.
const newFunFixed = 4 + 1 + 16 + 4 + 4

func (d *Decoder) fun(b []byte, start, after, depth int) (Term, int) {
	p := start + 1
	if newFunFixed > len(b)-p {
		return d.fail(start, tagNewFun, ErrTruncated)
	}
	size := int(binary.BigEndian.Uint32(b[p:]))
	f := &Fun{Arity: b[p+4], Index: binary.BigEndian.Uint32(b[p+21:])}
	copy(f.Uniq[:], b[p+5:])
	free := int(binary.BigEndian.Uint32(b[p+25:]))
	if size < newFunFixed {
		return d.fail(start, tagNewFun, malformed("size %d", size))
	}
	if size > len(b)-p {
		return d.fail(start, tagNewFun, ErrTruncated)
	}
	end := p + size
	p += newFunFixed
	if !d.enter(b, start, p, free, after, depth) {
		return nil, -1
	}
	if f.Module, p = d.nodeAtom(b, p); p < 0 {
		return nil, -1
	}
	if f.OldIndex, p = d.term(b, p, after, 0); p < 0 {
		return nil, -1
	}
	if f.OldUniq, p = d.term(b, p, after, 0); p < 0 {
		return nil, -1
	}
	if !isInteger(f.OldIndex) || !isInteger(f.OldUniq) {
		return d.fail(start, tagNewFun, malformed("index or uniq is not an integer"))
	}
	if p >= len(b) {
		return d.fail(start, tagNewFun, ErrTruncated)
	}
	if b[p] != tagNewPid && b[p] != tagPid {
		return d.fail(start, tagNewFun, malformed("creator is not a pid"))
	}
	if f.Creator, p = d.pid(b, p); p < 0 {
		return nil, -1
	}
	if free > len(b)-p-after {
		return d.fail(start, tagNewFun, ErrTruncated)
	}
	f.Free = make([]Term, free)
	if p = d.elems(b, p, f.Free, after, depth-1); p < 0 {
		return nil, -1
	}
	if p != end {
		return d.fail(start, tagNewFun, malformed("size %d, but %d bytes", size, p-start-1))
	}
	return f, p
}

func (d *Decoder) record(b []byte, start, after, depth int) (Term, int) {
	n := d.len32(b, start)
	p := start + 6
	if n < 0 || p > len(b) {
		return d.fail(start, tagRecord, ErrTruncated)
	}
	flags := b[start+5]
	if flags > 1 {
		return d.fail(start, tagRecord, malformed("flags %#x", flags))
	}
	// A field is at least two bytes of name and one of value; module and name are two each.
	if !d.enter(b, start, p, 3*n+4, after, depth) {
		return nil, -1
	}
	r := &Record{Exported: flags == 1, Fields: make([]RecordField, n)}
	if r.Module, p = d.nodeAtom(b, p); p < 0 {
		return nil, -1
	}
	if r.Name, p = d.nodeAtom(b, p); p < 0 {
		return nil, -1
	}
	for i := range r.Fields {
		if r.Fields[i].Name, p = d.nodeAtom(b, p); p < 0 {
			return nil, -1
		}
	}
	after += n
	for i := range r.Fields {
		after--
		if r.Fields[i].Value, p = d.term(b, p, after, depth-1); p < 0 {
			return nil, -1
		}
	}
	return r, p
}

// local takes LOCAL_EXT as it is: a hash of four bytes and a term in which NIL_EXT stands for this node's name.
func (d *Decoder) local(b []byte, p int) (Term, int) {
	end, err := skip(b, p)
	if err != nil {
		return d.fail(p, tagLocal, err)
	}
	return Local(d.bytes(b[p+1 : end : end])), end
}

// compressed reads 131,80: the size of the rest when unpacked, u32, then zlib data.
func (d *Decoder) compressed(b []byte) (Term, error) {
	fail := func(err error) (Term, error) {
		return nil, &SyntaxError{Offset: 1, Tag: tagCompressed, Err: err}
	}
	if len(b) < 6 {
		return fail(ErrTruncated)
	}
	size := int(binary.BigEndian.Uint32(b[2:]))
	if size > d.limits.MaxDecompressed {
		return fail(fmt.Errorf("%w: %d bytes unpacked, at most %d", ErrLimit, size, d.limits.MaxDecompressed))
	}
	packed := bytes.NewReader(b[6:])
	data, err := inflate(packed, size)
	if err != nil {
		return fail(err)
	}
	if packed.Len() > 0 {
		return nil, &SyntaxError{Offset: len(b) - packed.Len(), Err: ErrTrailing}
	}
	t, p := d.top(data, 0)
	return d.whole(t, data, p)
}

// inflate unpacks exactly size bytes. Memory grows with what really comes, not with what the sender declares.
func inflate(packed *bytes.Reader, size int) ([]byte, error) {
	zr, err := zlib.NewReader(packed)
	if err != nil {
		return nil, zlibError(err)
	}
	data, err := io.ReadAll(io.LimitReader(zr, int64(size)+1))
	switch {
	case err != nil:
		return nil, zlibError(err)
	case len(data) != size:
		return nil, malformed("unpacks to other than the declared %d bytes", size)
	}
	return data, nil
}

func zlibError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	return fmt.Errorf("%w: %v", ErrTag, err)
}
