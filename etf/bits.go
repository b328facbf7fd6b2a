package etf

import (
	"encoding/binary"
	"math"
	"math/big"
	"unicode/utf16"
	"unicode/utf8"
)

// bitWriter builds a binary or bitstring bit by bit.
type bitWriter struct {
	data []byte
	bits int
}

func (w *bitWriter) bit(b uint) {
	if w.bits%8 == 0 {
		w.data = append(w.data, 0)
	}
	w.data[w.bits/8] |= byte(b) << (7 - w.bits%8)
	w.bits++
}

func (w *bitWriter) bytes(b []byte) {
	if w.bits%8 == 0 {
		w.data = append(w.data, b...)
		w.bits += 8 * len(b)
		return
	}
	for _, c := range b {
		for i := 7; i >= 0; i-- {
			w.bit(uint(c>>i) & 1)
		}
	}
}

// bits8 appends data, whose last byte holds n bits.
func (w *bitWriter) bits8(data []byte, n uint8) {
	if len(data) == 0 {
		return
	}
	w.bytes(data[:len(data)-1])
	for i := range int(n) {
		w.bit(uint(data[len(data)-1]>>(7-i)) & 1)
	}
}

func (w *bitWriter) term() Term {
	if w.bits%8 != 0 {
		return Bitstring{Bytes: w.data, Bits: uint8(w.bits % 8)}
	}
	if w.data == nil {
		return Binary{}
	}
	return Binary(w.data)
}

// segment is the :Size/Type of one element of a binary in text.
type segment struct {
	at     int
	size   int // in units; -1 when not given
	unit   int
	kind   string // integer, float, utf8, utf16, utf32, binary
	little bool
}

// maxSegmentBits bounds one segment.
const maxSegmentBits = 1 << 20

// binary takes the segments up to >>.
func (p *parser) binary() Term {
	w := &bitWriter{}
	for first := true; !p.accept(">>"); first = false {
		if !first {
			if !p.accept(",") {
				p.unexpected(`"," or ">>"`)
			}
		}
		at := p.tok.at
		values := p.segmentValues()
		seg := p.segmentType(at)
		for _, v := range values {
			p.write(w, seg, v)
		}
	}
	return w.term()
}

// segmentValues takes the value of a segment: a number, or the characters of a string.
func (p *parser) segmentValues() []Term {
	switch {
	case p.tok.kind == tokString:
		var values []Term
		for _, c := range p.strings() {
			values = append(values, int64(c))
		}
		return values
	case p.accept("<<"):
		return []Term{p.binary()}
	case p.tok.kind == tokNumber, p.punctIs("-"), p.punctIs("+"), p.punctIs("("):
		return []Term{p.term(0)}
	}
	p.unexpected("a number, a string or a binary")
	return nil
}

func (p *parser) segmentType(at int) segment {
	seg := segment{at: at, size: -1, unit: 1, kind: "integer"}
	if p.accept(":") {
		seg.size = p.segmentSize()
	}
	if !p.accept("/") {
		return seg
	}
	for {
		word := string(p.atom("a type"))
		switch word {
		case "integer", "float", "utf8", "utf16", "utf32":
			seg.kind = word
		case "binary", "bytes", "bitstring", "bits":
			seg.kind = "binary"
		case "little":
			seg.little = true
		case "native":
			seg.little = binary.NativeEndian.Uint16([]byte{1, 0}) == 1
		case "big", "signed", "unsigned":
		case "unit":
			p.expect(":")
			seg.unit = p.segmentSize()
		default:
			p.fail(at, "type %s in a binary", word)
		}
		if !p.accept("-") {
			return seg
		}
	}
}

func (p *parser) segmentSize() int {
	n, ok := p.term(0).(int64)
	if !ok || n < 0 || n > maxSegmentBits {
		p.fail(p.tok.at, "bad size in a binary")
	}
	return int(n)
}

func (p *parser) write(w *bitWriter, seg segment, v Term) {
	switch seg.kind {
	case "float":
		p.writeFloat(w, seg, v)
	case "integer":
		p.writeInteger(w, seg, v)
	case "binary":
		data, last := bitsOf(v)
		if data == nil || seg.size >= 0 {
			p.fail(seg.at, "bad binary segment")
		}
		w.bits8(data, last)
	default:
		c, ok := v.(int64)
		if !ok || c < 0 || c > utf8.MaxRune || c >= 0xD800 && c <= 0xDFFF || seg.size >= 0 {
			p.fail(seg.at, "bad %s segment", seg.kind)
		}
		w.bytes(encodeRune(rune(c), seg))
	}
}

func encodeRune(c rune, seg segment) []byte {
	var order binary.AppendByteOrder = binary.BigEndian
	if seg.little {
		order = binary.LittleEndian
	}
	switch seg.kind {
	case "utf16":
		var out []byte
		for _, u := range utf16.AppendRune(nil, c) {
			out = order.AppendUint16(out, u)
		}
		return out
	case "utf32":
		return order.AppendUint32(nil, uint32(c))
	}
	return utf8.AppendRune(nil, c)
}

func (p *parser) writeFloat(w *bitWriter, seg segment, v Term) {
	var f float64
	switch n := v.(type) {
	case float64:
		f = n
	case int64:
		f = float64(n)
	default:
		p.fail(seg.at, "bad float segment")
	}
	var out []byte
	switch size := seg.size; {
	case size < 0 || size*seg.unit == 64:
		out = binary.BigEndian.AppendUint64(nil, math.Float64bits(f))
	case size*seg.unit == 32:
		out = binary.BigEndian.AppendUint32(nil, math.Float32bits(float32(f)))
	default:
		p.fail(seg.at, "float of %d bits", size*seg.unit)
	}
	if seg.little {
		reverse(out)
	}
	w.bytes(out)
}

func (p *parser) writeInteger(w *bitWriter, seg segment, v Term) {
	n := new(big.Int)
	switch i := v.(type) {
	case int64:
		n.SetInt64(i)
	case *big.Int:
		n.Set(i)
	default:
		p.fail(seg.at, "a segment of type integer that is none")
	}
	size := 8
	if seg.size >= 0 {
		size = seg.size * seg.unit
	}
	if size > maxSegmentBits {
		p.fail(seg.at, "segment of %d bits, at most %d", size, maxSegmentBits)
	}
	modulus := new(big.Int).Lsh(big.NewInt(1), uint(size))
	n.Mod(n, modulus)
	if !seg.little {
		for i := size - 1; i >= 0; i-- {
			w.bit(n.Bit(i))
		}
		return
	}
	for low := 0; low < size; low += 8 { // whole bytes from the lowest, then the bits that are left
		for i := min(low+8, size) - 1; i >= low; i-- {
			w.bit(n.Bit(i))
		}
	}
}

func reverse(b []byte) {
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
}
