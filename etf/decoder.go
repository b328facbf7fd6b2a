package etf

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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
