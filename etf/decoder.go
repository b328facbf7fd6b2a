package etf

import (
	"fmt"
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
	// RefuseRecords makes native records an error, ErrRecord: for links without DFLAG_NATIVE_RECORDS.
	RefuseRecords bool

	limits Limits
	chunk  int // the least size of a chunk of slabs
	refs   *AtomRefs
	atoms  *atomTable // nil until the first atom
	slabs  slabs
	seen   []keySlot // scratch of uniqueKeys
	hashes hasher    // of the term at hand
	err    error
}

// NewDecoder returns a Decoder with the given limits.
func NewDecoder(l Limits) *Decoder { return &Decoder{limits: l.withDefaults(), chunk: linkChunk} }

// decoders serve Decode, one term each.
var decoders = sync.Pool{New: func() any {
	d := NewDecoder(Limits{})
	d.chunk = minChunk
	return d
}}

// Decode reads one term from b, which starts with the version byte 131 and holds nothing else.
// Binaries of the term alias b. Limits are the defaults. Errors: *SyntaxError.
func Decode(b []byte) (Term, error) {
	d := decoders.Get().(*Decoder)
	t, err := d.Decode(b)
	d.slabs = slabs{}
	decoders.Put(d)
	return t, err
}

// Release gives up the memory that is kept for terms to come. The next one makes it anew.
func (d *Decoder) Release() { d.atoms, d.slabs, d.seen = nil, slabs{}, nil }

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
	minChunk  = 4
	linkChunk = 64 // of a Decoder, which needs what is left of one message for the next
	maxChunk  = 512
	// keepSlabs is the longest input after which the rest of the slabs serves the next one: together they must not keep
	// much memory alive for one small term.
	keepSlabs = 4096
)

// top reads the term at b[p:].
func (d *Decoder) top(b []byte, p int) (Term, int) {
	d.slabs.chunk = min(max(len(b)/16, d.chunk), maxChunk)
	if p < len(b) && b[p] == tagLocal {
		return d.local(b, p)
	}
	t, p := d.term(b, p, 0, d.limits.MaxDepth)
	d.hashes.maps = nil
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
