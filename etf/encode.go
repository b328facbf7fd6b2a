package etf

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"reflect"
	"strconv"
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
	out, err := e.term(append(dst, Version), t, 0)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// AppendTerm appends t without the version byte. See the function AppendTerm.
func (e *Encoder) AppendTerm(dst []byte, t Term) ([]byte, error) {
	out, err := e.term(dst, t, 0)
	if err != nil {
		return dst, err
	}
	return out, nil
}

func (e *Encoder) term(dst []byte, t Term, depth int) ([]byte, error) {
	switch v := t.(type) {
	case Atom:
		return e.atom(dst, v)
	case int64:
		return appendInt(dst, v), nil
	case Tuple:
		dst = appendTupleHeader(dst, len(v))
		return e.terms(dst, v, depth)
	case List:
		if len(v) == 0 {
			return append(dst, tagNil), nil
		}
		dst, err := e.terms(appendLen32(dst, tagList, len(v)), v, depth)
		return append(dst, tagNil), err
	case Binary:
		return append(appendLen32(dst, tagBinary, len(v)), v...), nil
	case Charlist:
		return appendCharlist(dst, v), nil
	case Map:
		return e.mapTerm(dst, v, depth)
	case Pid:
		dst, err := e.atom(append(dst, tagNewPid), v.Node)
		return appendPidWords(dst, v), err
	case float64:
		return e.float(dst, v)
	case Ref:
		return e.ref(dst, v)
	case *big.Int:
		if v == nil {
			return dst, &UnsupportedTypeError{}
		}
		return appendBig(dst, v), nil
	}
	return e.rare(dst, t, depth)
}

// terms appends the elements of a container that stands at depth.
func (e *Encoder) terms(dst []byte, elems []Term, depth int) ([]byte, error) {
	if depth++; depth > maxEncodeDepth {
		return dst, errEncodeDepth
	}
	var err error
	for _, t := range elems {
		if dst, err = e.term(dst, t, depth); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

var errEncodeDepth = &ValueError{What: "term", Reason: "nested too deeply, or contains itself"}

// rare appends the types that seldom occur or are conveniences for callers.
func (e *Encoder) rare(dst []byte, t Term, depth int) ([]byte, error) {
	switch v := t.(type) {
	case nil:
		return dst, &UnsupportedTypeError{}
	case Port:
		return e.port(dst, v)
	case Bitstring:
		return appendBitstring(dst, v)
	case ImproperList:
		return e.improper(dst, v, depth)
	case Export:
		return e.export(dst, v)
	case *Fun:
		return e.fun(dst, v, depth)
	case *Record:
		return e.record(dst, v, depth)
	case Local:
		return append(append(dst, tagLocal), v...), nil
	case []Term:
		return e.term(dst, List(v), depth)
	case []byte:
		return append(appendLen32(dst, tagBinary, len(v)), v...), nil
	case string:
		return append(appendLen32(dst, tagBinary, len(v)), v...), nil
	case bool:
		if v {
			return e.atom(dst, "true")
		}
		return e.atom(dst, "false")
	case int:
		return appendInt(dst, int64(v)), nil
	case int32:
		return appendInt(dst, int64(v)), nil
	case int16:
		return appendInt(dst, int64(v)), nil
	case int8:
		return appendInt(dst, int64(v)), nil
	case uint8:
		return appendInt(dst, int64(v)), nil
	case uint16:
		return appendInt(dst, int64(v)), nil
	case uint32:
		return appendInt(dst, int64(v)), nil
	case uint64:
		return appendUint(dst, v), nil
	case uint:
		return appendUint(dst, uint64(v)), nil
	case uintptr:
		return appendUint(dst, uint64(v)), nil
	case float32:
		return e.float(dst, float64(v))
	}
	return dst, &UnsupportedTypeError{Type: reflect.TypeOf(t)}
}

func appendLen32(dst []byte, tag byte, n int) []byte {
	return append(dst, tag, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

func appendTupleHeader(dst []byte, n int) []byte {
	if n <= 255 {
		return append(dst, tagSmallTuple, byte(n))
	}
	return appendLen32(dst, tagLargeTuple, n)
}

func appendInt(dst []byte, v int64) []byte {
	if uint64(v) <= 255 {
		return append(dst, tagSmallInteger, byte(v))
	}
	if int64(int32(v)) == v {
		return append(dst, tagInteger, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	if v < 0 {
		return appendSmallBig(dst, 1, -uint64(v))
	}
	return appendSmallBig(dst, 0, uint64(v))
}

func appendUint(dst []byte, v uint64) []byte {
	if v <= math.MaxInt32 {
		return appendInt(dst, int64(v))
	}
	return appendSmallBig(dst, 0, v)
}

func appendSmallBig(dst []byte, sign byte, abs uint64) []byte {
	n := (bits.Len64(abs) + 7) / 8
	var le [8]byte
	binary.LittleEndian.PutUint64(le[:], abs)
	dst = append(dst, tagSmallBig, byte(n), sign)
	return append(dst, le[:n]...)
}

func appendBig(dst []byte, v *big.Int) []byte {
	if v.IsInt64() {
		return appendInt(dst, v.Int64())
	}
	n := (v.BitLen() + 7) / 8
	sign := byte(0)
	if v.Sign() < 0 {
		sign = 1
	}
	if n <= 255 {
		dst = append(dst, tagSmallBig, byte(n), sign)
	} else {
		dst = append(appendLen32(dst, tagLargeBig, n), sign)
	}
	for _, w := range v.Bits() {
		for i := 0; i < bits.UintSize/8 && n > 0; i++ {
			dst = append(dst, byte(w))
			w >>= 8
			n--
		}
	}
	return dst
}

func (e *Encoder) float(dst []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, &ValueError{What: "float", Reason: "Erlang has no " + strconv.FormatFloat(f, 'g', -1, 64)}
	}
	if e.TextFloats {
		return appendTextFloat(dst, f), nil
	}
	return binary.BigEndian.AppendUint64(append(dst, tagNewFloat), math.Float64bits(f)), nil
}

// appendTextFloat writes FLOAT_EXT: 31 bytes holding C's "%.20e" and zeros.
func appendTextFloat(dst []byte, f float64) []byte {
	dst = append(dst, tagFloat)
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', 20, 64)
	for len(dst)-start < 31 {
		dst = append(dst, 0)
	}
	return dst
}

// atom appends a cache reference or the atom itself.
func (e *Encoder) atom(dst []byte, a Atom) ([]byte, error) {
	if e.cache != nil {
		if i, ok := e.cache.ref(a); ok {
			return append(dst, tagCacheRef, byte(i)), nil
		}
	}
	if n := len(a); n <= maxAtomChars && isASCII(a) {
		if e.LegacyAtoms {
			return append(append(dst, tagAtom, 0, byte(n)), a...), nil
		}
		return append(append(dst, tagSmallAtomUTF8, byte(n)), a...), nil
	}
	return e.wideAtom(dst, a)
}

// wideAtom appends an atom that is not short ASCII.
func (e *Encoder) wideAtom(dst []byte, a Atom) ([]byte, error) {
	if err := checkAtom(a); err != nil {
		return dst, err
	}
	n := len(a)
	if e.LegacyAtoms && isLatin1(a) {
		chars := utf8.RuneCountInString(string(a))
		dst = append(dst, tagAtom, byte(chars>>8), byte(chars))
		for _, r := range a {
			dst = append(dst, byte(r))
		}
		return dst, nil
	}
	if n <= 255 {
		return append(append(dst, tagSmallAtomUTF8, byte(n)), a...), nil
	}
	return append(append(dst, tagAtomUTF8, byte(n>>8), byte(n)), a...), nil
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

func (e *Encoder) improper(dst []byte, l ImproperList, depth int) ([]byte, error) {
	if len(l.Elems) > 0 {
		dst = appendLen32(dst, tagList, len(l.Elems))
	}
	dst, err := e.terms(dst, l.Elems, depth)
	if err != nil {
		return dst, err
	}
	return e.term(dst, l.Tail, depth+1)
}

func (e *Encoder) mapTerm(dst []byte, m Map, depth int) ([]byte, error) {
	if depth++; depth > maxEncodeDepth {
		return dst, errEncodeDepth
	}
	dst = appendLen32(dst, tagMap, len(m))
	var err error
	for i := range m {
		p := &m[i]
		if dst, err = e.term(dst, p.Key, depth); err != nil {
			return dst, err
		}
		if dst, err = e.term(dst, p.Value, depth); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func appendBitstring(dst []byte, s Bitstring) ([]byte, error) {
	n := len(s.Bytes)
	if s.Bits == 0 || s.Bits >= 8 || n == 0 {
		if s.Bits > 8 || n == 0 && s.Bits != 0 {
			return dst, &ValueError{What: "bitstring", Reason: fmt.Sprintf("%d bytes with %d bits in the last", n, s.Bits)}
		}
		return append(appendLen32(dst, tagBinary, n), s.Bytes...), nil
	}
	dst = append(appendLen32(dst, tagBitBinary, n), s.Bits)
	dst = append(dst, s.Bytes[:n-1]...)
	return append(dst, s.Bytes[n-1]&^(0xFF>>s.Bits)), nil
}

func appendPidWords(dst []byte, p Pid) []byte {
	return append(dst, byte(p.ID>>24), byte(p.ID>>16), byte(p.ID>>8), byte(p.ID),
		byte(p.Serial>>24), byte(p.Serial>>16), byte(p.Serial>>8), byte(p.Serial),
		byte(p.Creation>>24), byte(p.Creation>>16), byte(p.Creation>>8), byte(p.Creation))
}

// maxV3Port is the largest port number that NEW_PORT_EXT holds.
const maxV3Port = 1<<28 - 1

func (e *Encoder) port(dst []byte, p Port) ([]byte, error) {
	if e.LegacyPorts && p.ID <= maxV3Port {
		dst, err := e.atom(append(dst, tagNewPort), p.Node)
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(dst, uint32(p.ID)), p.Creation), err
	}
	dst, err := e.atom(append(dst, tagV4Port), p.Node)
	dst = binary.BigEndian.AppendUint64(dst, p.ID)
	return binary.BigEndian.AppendUint32(dst, p.Creation), err
}

func (e *Encoder) ref(dst []byte, r Ref) ([]byte, error) {
	if int(r.Len) > len(r.ID) {
		return dst, &ValueError{What: "reference", Reason: fmt.Sprintf("%d words", r.Len)}
	}
	dst, err := e.atom(append(dst, tagNewerReference, 0, r.Len), r.Node)
	if err != nil {
		return dst, err
	}
	dst = binary.BigEndian.AppendUint32(dst, r.Creation)
	for _, w := range r.ID[:r.Len] {
		dst = binary.BigEndian.AppendUint32(dst, w)
	}
	return dst, nil
}

func (e *Encoder) export(dst []byte, x Export) ([]byte, error) {
	dst, err := e.atom(append(dst, tagExport), x.Module)
	if err != nil {
		return dst, err
	}
	if dst, err = e.atom(dst, x.Function); err != nil {
		return dst, err
	}
	return append(dst, tagSmallInteger, x.Arity), nil
}

func (e *Encoder) fun(dst []byte, f *Fun, depth int) ([]byte, error) {
	if f == nil {
		return dst, &UnsupportedTypeError{}
	}
	if !isInteger(f.OldIndex) || !isInteger(f.OldUniq) {
		return dst, &ValueError{What: "fun", Reason: "OldIndex and OldUniq must be integers"}
	}
	dst = append(dst, tagNewFun)
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, f.Arity)
	dst = append(dst, f.Uniq[:]...)
	dst = binary.BigEndian.AppendUint32(dst, f.Index)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(f.Free)))
	dst, err := e.atom(dst, f.Module)
	if err != nil {
		return dst, err
	}
	for _, t := range [...]Term{f.OldIndex, f.OldUniq} {
		if dst, err = e.term(dst, t, depth); err != nil {
			return dst, err
		}
	}
	if dst, err = e.atom(append(dst, tagNewPid), f.Creator.Node); err != nil {
		return dst, err
	}
	if dst, err = e.terms(appendPidWords(dst, f.Creator), f.Free, depth); err != nil {
		return dst, err
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start))
	return dst, nil
}

func isInteger(t Term) bool {
	switch t.(type) {
	case int64, int, *big.Int:
		return true
	}
	return false
}

// record appends RECORD_EXT: count u32 | flags u8 | module | name | count field names | count values.
func (e *Encoder) record(dst []byte, r *Record, depth int) ([]byte, error) {
	if r == nil {
		return dst, &UnsupportedTypeError{}
	}
	dst = append(appendLen32(dst, tagRecord, len(r.Fields)), recordFlags(r))
	dst, err := e.atom(dst, r.Module)
	if err != nil {
		return dst, err
	}
	if dst, err = e.atom(dst, r.Name); err != nil {
		return dst, err
	}
	for i := range r.Fields {
		if dst, err = e.atom(dst, r.Fields[i].Name); err != nil {
			return dst, err
		}
	}
	if depth++; depth > maxEncodeDepth {
		return dst, errEncodeDepth
	}
	for i := range r.Fields {
		if dst, err = e.term(dst, r.Fields[i].Value, depth); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func recordFlags(r *Record) byte {
	if r.Exported {
		return 1
	}
	return 0
}
