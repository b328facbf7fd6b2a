package etf

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"unicode/utf8"
)

// Encoder holds encoding options. The zero value writes what OTP 26 and later write.
type Encoder struct {
	// LegacyAtoms writes atoms of Latin-1 characters as ATOM_EXT, as term_to_binary of OTP 23 to 25 does.
	LegacyAtoms bool
	// LegacyPorts writes ports that fit it as NEW_PORT_EXT, as OTP 23 to 25 do; OTP 23 knows no other.
	LegacyPorts bool
	// TextFloats writes FLOAT_EXT, as term_to_binary(T, [{minor_version, 0}]) does.
	TextFloats bool
	// RefuseRecords makes native records an error, ErrRecord: for links without DFLAG_NATIVE_RECORDS.
	RefuseRecords bool

	cache *AtomCacheOut
}

// maxEncodeDepth stops the encoder in a Go value that contains itself.
const maxEncodeDepth = 100000

var plainEncoder Encoder

// AppendTerm appends t without the version byte. It allocates nothing but what dst needs to grow.
// On error dst is returned with its old length. Errors: *UnsupportedTypeError, *ValueError.
func AppendTerm(dst []byte, t Term) ([]byte, error) { return plainEncoder.AppendTerm(dst, t) }

// Append appends the version byte and t, otherwise as AppendTerm.
func Append(dst []byte, t Term) ([]byte, error) { return plainEncoder.Append(dst, t) }

// Encode returns the version byte and t. Errors: *UnsupportedTypeError, *ValueError.
func Encode(t Term) ([]byte, error) {
	b, err := plainEncoder.Append(nil, t)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Append appends the version byte and t, otherwise as AppendTerm.
func (e *Encoder) Append(dst []byte, t Term) ([]byte, error) {
	out, err := e.append(append(dst, Version), t)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// AppendTerm appends t without the version byte. See the function AppendTerm.
func (e *Encoder) AppendTerm(dst []byte, t Term) ([]byte, error) {
	out, err := e.append(dst, t)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// encoding is the state of one call of the encoder. Its appending methods return nil once err is set.
type encoding struct {
	*Encoder
	bareAtoms bool // atoms of ASCII go out as SMALL_ATOM_UTF8_EXT
	err       error
}

func (e *Encoder) append(dst []byte, t Term) ([]byte, error) {
	if dst == nil {
		dst = []byte{}
	}
	s := encoding{Encoder: e, bareAtoms: e.cache == nil && !e.LegacyAtoms}
	out := s.term(dst, t, 0)
	return out, s.err
}

// fail notes the error.
func (s *encoding) fail(err error) []byte {
	if s.err == nil {
		s.err = err
	}
	return nil
}

// term appends t, which stands at depth.
func (s *encoding) term(dst []byte, t Term, depth int) []byte {
	one := [1]Term{t}
	return s.terms(dst, one[:], depth-1)
}

// terms appends the elements of a container that stands at depth. The types that make up most of most terms are tried
// one by one, which is quicker than a type switch.
func (s *encoding) terms(dst []byte, elems []Term, depth int) []byte {
	if depth++; depth > maxEncodeDepth {
		return s.fail(errEncodeDepth)
	}
	for i := range elems {
		t := elems[i]
		if v, ok := t.(Atom); ok {
			dst = s.atom(dst, v)
		} else if v, ok := t.(int64); ok {
			if uint64(v) <= 255 {
				dst = append(dst, tagSmallInteger, byte(v))
			} else {
				dst = appendInt(dst, v)
			}
		} else if v, ok := t.(Tuple); ok {
			if len(v) <= 255 {
				dst = append(dst, tagSmallTuple, byte(len(v)))
			} else {
				dst = appendLen32(dst, tagLargeTuple, len(v))
			}
			dst = s.terms(dst, v, depth)
		} else if v, ok := t.(List); ok {
			if len(v) > 0 {
				dst = s.terms(appendLen32(dst, tagList, len(v)), v, depth)
			}
			if dst != nil {
				dst = append(dst, tagNil)
			}
		} else if v, ok := t.(Binary); ok {
			dst = append(appendLen32(dst, tagBinary, len(v)), v...)
		} else if v, ok := t.(Map); ok {
			dst = s.terms(appendLen32(dst, tagMap, len(v)), v.terms(), depth)
		} else {
			dst = s.other(dst, t, depth)
		}
		if dst == nil {
			return nil
		}
	}
	return dst
}

// other appends the types that are less frequent.
func (s *encoding) other(dst []byte, t Term, depth int) []byte {
	switch v := t.(type) {
	case Charlist:
		return appendCharlist(dst, v)
	case Pid:
		if dst = s.atom(append(dst, tagNewPid), v.Node); dst == nil {
			return nil
		}
		return appendPidWords(dst, v)
	case float64:
		return s.float(dst, v)
	case Ref:
		return s.ref(dst, v)
	case *big.Int:
		if v == nil {
			return s.fail(&UnsupportedTypeError{})
		}
		return appendBig(dst, v)
	}
	return s.rare(dst, t, depth)
}

var errEncodeDepth = &ValueError{What: "term", Reason: "nested too deeply, or contains itself"}

// rare appends the types that seldom occur or are conveniences for callers.
func (s *encoding) rare(dst []byte, t Term, depth int) []byte {
	switch v := t.(type) {
	case nil:
		return s.fail(&UnsupportedTypeError{})
	case Port:
		return s.port(dst, v)
	case Bitstring:
		return s.bitstring(dst, v)
	case ImproperList:
		return s.improper(dst, v, depth)
	case Export:
		return s.export(dst, v)
	case *Fun:
		return s.fun(dst, v, depth)
	case *Record:
		return s.record(dst, v, depth)
	case Local:
		return append(append(dst, tagLocal), v...)
	case []Term:
		if len(v) == 0 {
			return append(dst, tagNil)
		}
		if dst = s.terms(appendLen32(dst, tagList, len(v)), v, depth); dst == nil {
			return nil
		}
		return append(dst, tagNil)
	case []byte:
		return append(appendLen32(dst, tagBinary, len(v)), v...)
	case string:
		return append(appendLen32(dst, tagBinary, len(v)), v...)
	case bool:
		if v {
			return s.atom(dst, "true")
		}
		return s.atom(dst, "false")
	case int:
		return appendInt(dst, int64(v))
	case int32:
		return appendInt(dst, int64(v))
	case int16:
		return appendInt(dst, int64(v))
	case int8:
		return appendInt(dst, int64(v))
	case uint8:
		return appendInt(dst, int64(v))
	case uint16:
		return appendInt(dst, int64(v))
	case uint32:
		return appendInt(dst, int64(v))
	case uint64:
		return appendUint(dst, v)
	case uint:
		return appendUint(dst, uint64(v))
	case uintptr:
		return appendUint(dst, uint64(v))
	case float32:
		return s.float(dst, float64(v))
	}
	return s.fail(&UnsupportedTypeError{Type: reflect.TypeOf(t)})
}

func appendLen32(dst []byte, tag byte, n int) []byte {
	return append(dst, tag, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// atom appends a cache reference or the atom itself.
func (s *encoding) atom(dst []byte, a Atom) []byte {
	if s.bareAtoms && len(a) <= maxAtomChars {
		if out, ok := appendASCIIAtom(dst, a); ok {
			return out
		}
	}
	return s.otherAtom(dst, a)
}

// appendASCIIAtom appends SMALL_ATOM_UTF8_EXT, looking for other than ASCII while it copies; false if there is some.
func appendASCIIAtom(dst []byte, a Atom) ([]byte, bool) {
	n, old := len(a), len(dst)
	if cap(dst)-old < n+2+8 {
		dst = slices.Grow(dst, n+2+8)
	}
	out := dst[old : old+n+2+8]
	out[0], out[1] = tagSmallAtomUTF8, byte(n)
	to := out[2:]
	var seen uint64
	i := 0
	for ; i+8 <= n; i += 8 {
		w := load64(a, i)
		seen |= w
		binary.LittleEndian.PutUint64(to[i:], w)
	}
	if i < n {
		var w uint64
		switch rest := n - i; {
		case n >= 8: // the last eight bytes again
			w = load64(a, n-8)
			binary.LittleEndian.PutUint64(to[n-8:], w)
		case rest >= 4:
			lo, hi := load32(a, 0), load32(a, n-4)
			w = uint64(lo | hi)
			binary.LittleEndian.PutUint32(to, lo)
			binary.LittleEndian.PutUint32(to[n-4:], hi)
		default:
			for ; i < n; i++ {
				w |= uint64(a[i])
				to[i] = a[i]
			}
		}
		seen |= w
	}
	return dst[:old+n+2], seen&0x8080808080808080 == 0
}

// otherAtom appends a cache reference, or an atom in any form.
func (s *encoding) otherAtom(dst []byte, a Atom) []byte {
	if s.cache != nil {
		if i, ok := s.cache.ref(a); ok {
			return append(dst, tagCacheRef, byte(i))
		}
	}
	if n := len(a); n <= maxAtomChars && isASCII(a) {
		if s.LegacyAtoms {
			return append(append(dst, tagAtom, 0, byte(n)), a...)
		}
		return append(append(dst, tagSmallAtomUTF8, byte(n)), a...)
	}
	return s.wideAtom(dst, a)
}

// wideAtom appends an atom that is not short ASCII.
func (s *encoding) wideAtom(dst []byte, a Atom) []byte {
	if err := checkAtom(a); err != nil {
		return s.fail(err)
	}
	n := len(a)
	if s.LegacyAtoms && isLatin1(a) {
		chars := utf8.RuneCountInString(string(a))
		dst = append(dst, tagAtom, byte(chars>>8), byte(chars))
		for _, r := range a {
			dst = append(dst, byte(r))
		}
		return dst
	}
	if n <= 255 {
		return append(append(dst, tagSmallAtomUTF8, byte(n)), a...)
	}
	return append(append(dst, tagAtomUTF8, byte(n>>8), byte(n)), a...)
}

func checkAtom(a Atom) error {
	switch {
	case !utf8.ValidString(string(a)):
		return &ValueError{What: "atom", Reason: fmt.Sprintf("%.40q is not UTF-8", string(a))}
	case utf8.RuneCountInString(string(a)) > maxAtomChars:
		return &ValueError{What: "atom", Reason: fmt.Sprintf("%.40q... is longer than %d characters", string(a), maxAtomChars)}
	}
	return nil
}

func isLatin1(a Atom) bool {
	for _, r := range a {
		if r > 0xFF {
			return false
		}
	}
	return true
}

// maxStringExt is the longest list that STRING_EXT holds.
const maxStringExt = 65535

func appendCharlist(dst []byte, s Charlist) []byte {
	n := len(s)
	if n == 0 {
		return append(dst, tagNil)
	}
	if n <= maxStringExt {
		return append(append(dst, tagString, byte(n>>8), byte(n)), s...)
	}
	dst = appendLen32(dst, tagList, n)
	for i := 0; i < n; i++ {
		dst = append(dst, tagSmallInteger, s[i])
	}
	return append(dst, tagNil)
}

func (s *encoding) improper(dst []byte, l ImproperList, depth int) []byte {
	if len(l.Elems) > 0 {
		dst = appendLen32(dst, tagList, len(l.Elems))
	}
	if dst = s.terms(dst, l.Elems, depth); dst == nil {
		return nil
	}
	return s.term(dst, l.Tail, depth+1)
}

func (s *encoding) bitstring(dst []byte, v Bitstring) []byte {
	n := len(v.Bytes)
	if v.Bits > 8 || n == 0 && v.Bits != 0 {
		return s.fail(&ValueError{What: "bitstring", Reason: fmt.Sprintf("%d bytes with %d bits in the last", n, v.Bits)})
	}
	if v.Bits == 0 || v.Bits == 8 {
		return append(appendLen32(dst, tagBinary, n), v.Bytes...)
	}
	dst = append(appendLen32(dst, tagBitBinary, n), v.Bits)
	dst = append(dst, v.Bytes[:n-1]...)
	return append(dst, v.Bytes[n-1]&^(0xFF>>v.Bits))
}
