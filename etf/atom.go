package etf

import (
	"encoding/binary"
	"unicode/utf8"
)

// maxAtomChars is the length limit of an atom in code points (MAXIMUM_ATOM_CHARACTERS).
const maxAtomChars = 255

// atomSlots is the size of a Decoder's table of seen atoms.
const atomSlots = 1 << 9

// atomTable maps the bytes of atoms to boxed Atoms. A name has four places; a new atom drives out the oldest of the four
// there, so that no peer can make the table grow.
type atomTable [atomSlots / 4][4]atomEntry

type atomEntry struct {
	name  Atom
	boxed Term // nil in an empty entry
}

// intern returns the boxed atom of UTF-8 name, false if name is no atom.
func (t *atomTable) intern(name []byte) (Term, bool) {
	set := &t[atomHash(name)%(atomSlots/4)]
	for i := range set {
		if e := &set[i]; string(name) == string(e.name) && e.boxed != nil {
			return e.boxed, true
		}
	}
	if !validAtom(name) {
		return nil, false
	}
	copy(set[1:], set[:3])
	a := Atom(name)
	set[0] = atomEntry{name: a, boxed: a}
	return set[0].boxed, true
}

// atomHash spreads names over the slots; it looks at the length and up to eight bytes at either end.
func atomHash[T ~string | ~[]byte](name T) uint {
	n := len(name)
	var a, b uint64
	switch {
	case n >= 8:
		a, b = load64(name, 0), load64(name, n-8)
	case n >= 4:
		a, b = uint64(load32(name, 0)), uint64(load32(name, n-4))
	case n > 0:
		a, b = uint64(name[0])<<8|uint64(name[n-1]), uint64(name[n/2])
	}
	h := (a ^ uint64(n)) * 0x9E3779B97F4A7C15
	h = (h ^ h>>29 ^ b) * 0xBF58476D1CE4E5B9
	return uint(h >> 40)
}

func load64[T ~string | ~[]byte](s T, i int) uint64 {
	return binary.LittleEndian.Uint64([]byte(s[i : i+8]))
}

func load32[T ~string | ~[]byte](s T, i int) uint32 {
	return binary.LittleEndian.Uint32([]byte(s[i : i+4]))
}

// validAtom reports whether name is UTF-8 of at most 255 code points.
func validAtom(name []byte) bool {
	if len(name) <= maxAtomChars && isASCII(name) {
		return true
	}
	return len(name) <= maxAtomChars*utf8.UTFMax && utf8.Valid(name) && utf8.RuneCount(name) <= maxAtomChars
}

func isASCII[T ~string | ~[]byte](s T) bool {
	var acc byte
	for i := 0; i < len(s); i++ {
		acc |= s[i]
	}
	return acc < utf8.RuneSelf
}

// latin1ToUTF8 transcodes the name of an ATOM_EXT or SMALL_ATOM_EXT.
func latin1ToUTF8(name []byte) []byte {
	if isASCII(name) {
		return name
	}
	out := make([]byte, 0, 2*len(name))
	for _, c := range name {
		out = utf8.AppendRune(out, rune(c))
	}
	return out
}
