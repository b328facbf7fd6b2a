package etf

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"math/big"
	"math/bits"
)

// keySlot is one entry of the open-addressed table by which the decoder finds a map key that occurs twice.
type keySlot struct {
	hash uint64
	at   int32 // index of the pair plus one; 0 is an empty slot
}

// fewKeys is the size up to which comparing every pair of keys is cheaper than hashing.
const fewKeys = 8

// uniqueKeys reports whether no two keys of m are equal.
func (d *Decoder) uniqueKeys(m Map) bool {
	if len(m) <= fewKeys {
		for i := 1; i < len(m); i++ {
			for j := range i {
				if sameKey(m[i].Key, m[j].Key) {
					return false
				}
			}
		}
		return true
	}
	size := 1 << bits.Len(uint(2*len(m)))
	seen := d.seen
	if cap(seen) < size {
		seen = make([]keySlot, size)
		if size <= 4*maxChunk {
			d.seen = seen
		}
	}
	seen = seen[:size]
	clear(seen)
	for i := range m {
		h := d.hashes.hash(m[i].Key)
		at := int(h & uint64(size-1))
		for seen[at].at != 0 {
			if seen[at].hash == h && Equal(m[seen[at].at-1].Key, m[i].Key) {
				return false
			}
			at = (at + 1) & (size - 1)
		}
		seen[at] = keySlot{hash: h, at: int32(i) + 1}
	}
	return true
}

func sameKey(a, b Term) bool {
	if x, ok := a.(Atom); ok {
		y, ok := b.(Atom)
		return ok && x == y
	}
	if _, ok := b.(Atom); ok {
		return false
	}
	return Equal(a, b)
}

var hashSeed = maphash.MakeSeed()

// hasher keeps the hashes of large maps: where maps are keys of maps that are keys of maps, each would be gone through once
// for every map around it. The zero value is ready. It is for terms that do not change meanwhile.
type hasher struct{ maps map[mapAt]uint64 }

type mapAt struct {
	first *MapPair
	pairs int
}

// hash is equal for terms that are Equal. Its seed is random, so that nobody can prepare keys that collide.
func (hs *hasher) hash(t Term) uint64 {
	switch v := t.(type) {
	case Atom:
		return maphash.String(hashSeed, string(v))
	case int64:
		return hashWord(1, uint64(v))
	case Binary:
		return maphash.Bytes(hashSeed, v) + 2
	case float64:
		return hashWord(3, math.Float64bits(v))
	case Tuple:
		return hs.terms(4, v)
	case List:
		return hs.terms(5, v)
	case Charlist:
		h := uint64(5)
		for i := 0; i < len(v); i++ {
			h = mix(h, hashWord(1, uint64(v[i])))
		}
		return h
	case ImproperList:
		return mix(hs.terms(6, v.Elems), hs.hash(v.Tail))
	case Map: // pairs in any order
		if len(v) <= fewKeys {
			return hs.pairs(v)
		}
		at := mapAt{&v[0], len(v)}
		h, ok := hs.maps[at]
		if !ok {
			h = hs.pairs(v)
			if hs.maps == nil {
				hs.maps = map[mapAt]uint64{}
			}
			hs.maps[at] = h
		}
		return h
	case Pid:
		return mix(hashWord(8, uint64(v.ID)<<32|uint64(v.Serial)), uint64(v.Creation))
	case Port:
		return mix(hashWord(9, v.ID), uint64(v.Creation))
	case Ref:
		h := hashWord(10, uint64(v.Creation))
		for _, w := range v.ID {
			h = mix(h, uint64(w))
		}
		return h
	case Bitstring:
		return maphash.Bytes(hashSeed, v.Bytes) + 11
	case *big.Int:
		return maphash.Bytes(hashSeed, v.Bytes()) + 12
	case Export:
		return mix(maphash.String(hashSeed, string(v.Module)), maphash.String(hashSeed, string(v.Function)))
	case *Fun:
		return mix(hashWord(13, uint64(v.Index)), hs.terms(13, v.Free))
	case *Record:
		h := maphash.String(hashSeed, string(v.Name))
		for i := range v.Fields {
			h = mix(h, hs.hash(v.Fields[i].Value))
		}
		return h
	case Local:
		return maphash.Bytes(hashSeed, v) + 14
	}
	if p := plain(t); rank(p) <= rank(Binary(nil)) {
		return hs.hash(p)
	}
	return 0
}

// pairs does not depend on the order of the pairs.
func (hs *hasher) pairs(m Map) uint64 {
	h := uint64(7)
	for i := range m {
		h += mix(hs.hash(m[i].Key), hs.hash(m[i].Value))
	}
	return h
}

func hashWord(kind byte, v uint64) uint64 {
	var b [9]byte
	b[0] = kind
	binary.LittleEndian.PutUint64(b[1:], v)
	return maphash.Bytes(hashSeed, b[:])
}

func (hs *hasher) terms(h uint64, terms []Term) uint64 {
	for _, t := range terms {
		h = mix(h, hs.hash(t))
	}
	return h
}

func mix(h, v uint64) uint64 {
	return (bits.RotateLeft64(h, 23) ^ v) * 0x9E3779B97F4A7C15
}
