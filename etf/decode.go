package etf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
)

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
		if d.RefuseRecords {
			return d.fail(p, tag, ErrRecord)
		}
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
