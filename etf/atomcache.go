package etf

import "encoding/binary"

// Distribution header, behind 131,68 or behind 131,69 and its two identifiers:
//
//	n u8 | flags [n/2+1]byte, absent when n is 0 | n × (slot u8 | when new: length u8 or u16, name)
//
// Flags are half-bytes, the lower half first: for each reference new<<3 | segment, and after the last one LongAtoms in
// the lowest bit, with which lengths are u16. Slot number = segment<<8 | slot.
// Spec: https://www.erlang.org/doc/apps/erts/erl_ext_dist.html#distribution-header

// cacheSlots is the size of an atom cache: 8 segments of 256.
const cacheSlots = 2048

// maxCacheRefs is how many references one message may have.
const maxCacheRefs = 255

const (
	flagNewEntry  = 8
	segmentMask   = 7
	flagLongAtoms = 1
)

// AtomRefs are the atoms of one distribution header. The zero value is ready; it may be used again and again.
// Keep one for each message in fragments until its last fragment has come.
type AtomRefs struct{ atoms []Term }

// Len is the number of atoms.
func (r *AtomRefs) Len() int { return len(r.atoms) }

// At returns the atom that ATOM_CACHE_REF i stands for.
func (r *AtomRefs) At(i int) Atom { return r.atoms[i].(Atom) }

// AtomCacheIn is the receiving half of a link's atom cache. The zero value is ready.
// Headers must be read in the order in which they came.
// It grows with the slots that the peer uses.
type AtomCacheIn struct {
	groups [cacheSlots / cacheGroup]*[cacheGroup]Term // boxed Atoms
}

// cacheGroup is how many slots are made at one time. A link mostly uses some dozen, all over the cache.
const cacheGroup = 16

// at gives what is in a slot, nil when it is empty.
func (c *AtomCacheIn) at(slot int) Term {
	if g := c.groups[slot/cacheGroup]; g != nil {
		return g[slot%cacheGroup]
	}
	return nil
}

// ReadHeader reads a distribution header from its count of references on (what follows 131,68, or the two identifiers of
// 131,69), replaces refs by its atoms and returns the bytes behind it. After an error (*SyntaxError) the cache no longer
// agrees with the peer's: drop the link.
func (c *AtomCacheIn) ReadHeader(b []byte, refs *AtomRefs) (rest []byte, err error) {
	refs.atoms = refs.atoms[:0]
	fail := func(p int, err error) ([]byte, error) {
		return nil, &SyntaxError{Offset: p, Tag: tagDistHeader, Err: err}
	}
	if len(b) == 0 {
		return fail(0, ErrTruncated)
	}
	n := int(b[0])
	if n == 0 {
		return b[1:], nil
	}
	p := 1 + n/2 + 1
	if p > len(b) {
		return fail(1, ErrTruncated)
	}
	flags := b[1:p]
	half := func(i int) byte { return flags[i/2] >> (4 * (i & 1)) }
	lengthSize := 1
	if half(n)&flagLongAtoms != 0 {
		lengthSize = 2
	}
	for i := range n {
		if p >= len(b) {
			return fail(p, ErrTruncated)
		}
		slot := int(half(i)&segmentMask)<<8 | int(b[p])
		p++
		if half(i)&flagNewEntry != 0 {
			if lengthSize > len(b)-p {
				return fail(p, ErrTruncated)
			}
			length := int(b[p])
			if lengthSize == 2 {
				length = int(binary.BigEndian.Uint16(b[p:]))
			}
			p += lengthSize
			if length > len(b)-p {
				return fail(p, ErrTruncated)
			}
			if !c.store(slot, b[p:p+length]) {
				return fail(p, malformed("%.40q is not an atom", b[p:p+length]))
			}
			p += length
		}
		atom := c.at(slot)
		if atom == nil {
			return fail(p, malformed("slot %d is empty", slot))
		}
		refs.atoms = append(refs.atoms, atom)
	}
	return b[p:], nil
}

func (c *AtomCacheIn) store(slot int, name []byte) bool {
	if old, ok := c.at(slot).(Atom); ok && string(old) == string(name) {
		return true
	}
	if !validAtom(name) {
		return false
	}
	g := &c.groups[slot/cacheGroup]
	if *g == nil {
		*g = new([cacheGroup]Term)
	}
	(*g)[slot%cacheGroup] = Atom(name)
	return true
}

// AtomCacheOut is the sending half of a link's atom cache. The zero value is ready. For each message: Begin, AppendTerm
// for the control message and for the payload, then AppendHeader, whose bytes go out before those. AppendHeader commits
// the message's atoms, so messages must go out in the order of their headers, and none may be left out; a message
// that was given up before AppendHeader leaves the cache as it was.
type AtomCacheOut struct {
	slots [cacheSlots]Atom // what the peer has; "" is an empty slot

	// of the message at hand
	refs  []cacheEntry
	index [cacheSlots]uint8 // position in refs plus one
	enc   Encoder
}

type cacheEntry struct {
	name Atom
	slot uint16
}

// Begin starts a message.
func (c *AtomCacheOut) Begin() {
	for _, e := range c.refs {
		c.index[e.slot] = 0
	}
	c.refs = c.refs[:0]
	c.enc.cache = c
}

// SetEncoder sets the encoding options; the zero Encoder is the default.
func (c *AtomCacheOut) SetEncoder(e Encoder) {
	c.enc = e
	c.enc.cache = c
}

// AppendTerm appends t without 131, its atoms replaced by cache references as far as they go.
func (c *AtomCacheOut) AppendTerm(dst []byte, t Term) ([]byte, error) {
	return c.enc.AppendTerm(dst, t)
}

// ref returns the reference for an atom; false if it must be written out.
func (c *AtomCacheOut) ref(a Atom) (int, bool) {
	slot := atomHash(a) & (cacheSlots - 1)
	if i := c.index[slot]; i != 0 {
		if c.refs[i-1].name == a {
			return int(i) - 1, true
		}
		return 0, false // the slot serves another atom of this message
	}
	if len(c.refs) == maxCacheRefs || a == "" || c.slots[slot] != a && checkAtom(a) != nil {
		return 0, false
	}
	c.refs = append(c.refs, cacheEntry{name: a, slot: uint16(slot)})
	c.index[slot] = uint8(len(c.refs))
	return len(c.refs) - 1, true
}

// AppendHeader appends the message's header, from the count of references on, and commits its atoms.
func (c *AtomCacheOut) AppendHeader(dst []byte) []byte {
	n := len(c.refs)
	dst = append(dst, byte(n))
	if n == 0 {
		return dst
	}
	start := len(dst)
	for range n/2 + 1 {
		dst = append(dst, 0)
	}
	long := false
	for i, e := range c.refs {
		half := byte(e.slot >> 8)
		if c.slots[e.slot] != e.name {
			half |= flagNewEntry
			long = long || len(e.name) > 255
		}
		dst[start+i/2] |= half << (4 * (i & 1))
	}
	if long {
		dst[start+n/2] |= flagLongAtoms << (4 * (n & 1))
	}
	for _, e := range c.refs {
		dst = append(dst, byte(e.slot))
		if c.slots[e.slot] == e.name {
			continue
		}
		if long {
			dst = append(dst, byte(len(e.name)>>8))
		}
		dst = append(append(dst, byte(len(e.name))), e.name...)
		c.slots[e.slot] = e.name
	}
	return dst
}
