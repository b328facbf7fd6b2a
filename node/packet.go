package node

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"

	"github.com/beamkeeper/beamkeeper/etf"
)

const (
	versionMagic     = 131 // before a term, a distribution header, a fragment
	passThrough      = 112 // before a control message without distribution header
	tagDistHeader    = 68
	tagFirstFragment = 69
	tagFragment      = 70

	// bigBinary is the size from which a binary is sent from where it is, without being copied.
	bigBinary = 16 << 10
	// bigSearchDepth and bigSearchWidth bound where such binaries are looked for.
	bigSearchDepth = 4
	bigSearchWidth = 16

	maxPacketBytes = math.MaxInt32
)

// wireTerms writes terms for links, which are without DFLAG_NATIVE_RECORDS.
var wireTerms = etf.Encoder{RefuseRecords: true}

// buffers are reused for encoding; those that grew beyond a chunk are given to the outbox.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// encoder builds a packet. Control messages are written by hand, so that hot paths allocate nothing.
type encoder struct {
	buf   *[]byte
	b     []byte
	mark  int // bytes of b before this offset are in tail already
	tail  [][]byte
	ctl   int // where the control message ends
	err   error
	lazy  bool // see packet
	plain bool // no distribution header: each term has its own version byte
}

// encode begins a control message of the given arity and operation.
func (l *link) encode(arity int, op byte) encoder {
	buf := buffers.Get().(*[]byte)
	e := encoder{buf: buf, b: (*buf)[:0]}
	if l.flags.Has(FlagDistHdrAtomCache) {
		e.b = append(e.b, versionMagic, tagDistHeader, 0)
	} else {
		e.b = append(e.b, passThrough, versionMagic)
		e.plain = true
	}
	e.b = append(e.b, 104, byte(arity), 97, op)
	return e
}

// raw appends an encoded term.
func (e *encoder) raw(b []byte) { e.b = append(e.b, b...) }

// emptyAtom appends the unused field of control messages.
func (e *encoder) emptyAtom() { e.b = append(e.b, 119, 0) }

func (e *encoder) term(t etf.Term) {
	if e.err == nil {
		e.b, e.err = wireTerms.AppendTerm(e.b, t)
	}
}

// payload ends the control message and appends the payload.
func (e *encoder) payload(t etf.Term) {
	e.ctl = len(e.b)
	if e.plain {
		e.b = append(e.b, versionMagic)
	}
	if hasBigBinary(t, bigSearchDepth) {
		e.vector(t, bigSearchDepth)
	} else {
		e.term(t)
	}
}

// hasBigBinary looks for a binary that is worth a vector of its own where such are usual.
func hasBigBinary(t etf.Term, depth int) bool {
	var elems []etf.Term
	switch t := t.(type) {
	case etf.Binary:
		return len(t) >= bigBinary
	case []byte:
		return len(t) >= bigBinary
	case etf.Tuple:
		elems = t
	case etf.List:
		elems = t
	}
	if depth == 0 {
		return false
	}
	for _, x := range elems[:min(len(elems), bigSearchWidth)] {
		if hasBigBinary(x, depth-1) {
			return true
		}
	}
	return false
}

// vector appends a term whose big binaries become vectors of their own.
func (e *encoder) vector(t etf.Term, depth int) {
	if !hasBigBinary(t, depth) {
		e.term(t)
		return
	}
	switch t := t.(type) {
	case etf.Binary:
		e.binary(t)
	case []byte:
		e.binary(t)
	case etf.Tuple:
		if len(t) <= math.MaxUint8 {
			e.b = append(e.b, 104, byte(len(t)))
		} else {
			e.b = binary.BigEndian.AppendUint32(append(e.b, 105), uint32(len(t)))
		}
		for _, x := range t {
			e.vector(x, depth-1)
		}
	case etf.List:
		e.b = binary.BigEndian.AppendUint32(append(e.b, 108), uint32(len(t)))
		for _, x := range t {
			e.vector(x, depth-1)
		}
		e.b = append(e.b, 106)
	}
}

func (e *encoder) binary(b []byte) {
	e.b = binary.BigEndian.AppendUint32(append(e.b, 109), uint32(len(b)))
	if len(b) < bigBinary {
		e.b = append(e.b, b...)
		return
	}
	e.cut()
	e.tail = append(e.tail, b)
}

// cut moves what was appended since the first big binary to tail.
func (e *encoder) cut() {
	if len(e.tail) == 0 {
		e.mark = len(e.b) // what is before stays in b as the head
		return
	}
	if len(e.b) > e.mark {
		e.tail = append(e.tail, append([]byte(nil), e.b[e.mark:]...))
		e.b = e.b[:e.mark]
	}
}

// packet ends the encoding. The packet must be given to done when the outbox has it.
func (e *encoder) packet(sender uint64) (packet, error) {
	if e.err != nil {
		e.done()
		return packet{}, e.err
	}
	if len(e.tail) > 0 {
		e.cut()
	}
	p := packet{sender: sender, head: e.b, tail: e.tail, payloadAt: e.ctl, size: len(e.b), lazy: e.lazy}
	for _, b := range e.tail {
		p.size += len(b)
	}
	if p.size > maxPacketBytes {
		e.done()
		return packet{}, fmt.Errorf("node: message of %d bytes", p.size)
	}
	return p, nil
}

// done gives the buffer back.
func (e *encoder) done() {
	if cap(e.b) <= chunkBytes {
		*e.buf = e.b
		buffers.Put(e.buf)
	}
}
