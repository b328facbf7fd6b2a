package etf

import (
	"bytes"
	"cmp"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strings"
)

// Equal reports whether a =:= b in Erlang: 1 and 1.0 differ, and so do 0.0 and -0.0 (as since OTP 27); a Charlist is
// the List of its bytes; maps are equal in any order. Go values that only the encoder takes compare as what they encode.
func Equal(a, b Term) bool {
	a, b = plain(a), plain(b)
	switch x := a.(type) {
	case Atom, int64, Pid, Port, Ref, Export:
		return a == b
	case float64:
		y, ok := b.(float64)
		return ok && math.Float64bits(x) == math.Float64bits(y)
	case Binary:
		y, ok := b.(Binary)
		return ok && bytes.Equal(x, y)
	case Tuple:
		y, ok := b.(Tuple)
		return ok && equalTerms(x, y)
	case Map:
		y, ok := b.(Map)
		return ok && equalMaps(x, y)
	case *big.Int:
		y, ok := b.(*big.Int)
		return ok && x.Cmp(y) == 0
	case Bitstring:
		y, ok := b.(Bitstring)
		return ok && x.Bits == y.Bits && compareBits(x.Bytes, x.Bits, y.Bytes, y.Bits) == 0
	case *Fun:
		y, ok := b.(*Fun)
		return ok && equalFuns(x, y)
	case *Record:
		y, ok := b.(*Record)
		return ok && equalRecords(x, y)
	case Local:
		y, ok := b.(Local)
		return ok && bytes.Equal(x, y)
	case List, Charlist, ImproperList:
		return equalLists(a, b)
	}
	return false
}

func equalTerms(a, b []Term) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func equalLists(a, b Term) bool {
	x, xok := cells(a)
	y, yok := cells(b)
	if !xok || !yok || x.len() != y.len() {
		return false
	}
	if xs, ok := a.(Charlist); ok {
		if ys, ok := b.(Charlist); ok {
			return xs == ys
		}
	}
	for i := range x.len() {
		if !Equal(x.at(i), y.at(i)) {
			return false
		}
	}
	return (x.tail == nil) == (y.tail == nil) && (x.tail == nil || Equal(x.tail, y.tail))
}

// equalMaps compares pair by pair as long as both have the same order, and looks up the rest by hash. A key is compared
// with few others, so that maps nested in keys do not multiply the work.
func equalMaps(a, b Map) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !Equal(a[i].Key, b[i].Key) {
			return equalUnordered(a[i:], b[i:])
		}
		if !Equal(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}

func equalUnordered(a, b Map) bool {
	var hashes hasher
	index := make(map[uint64][]int, len(b))
	for i := range b {
		h := hashes.hash(plain(b[i].Key))
		index[h] = append(index[h], i)
	}
	for i := range a {
		candidates := index[hashes.hash(plain(a[i].Key))]
		found := slices.IndexFunc(candidates, func(j int) bool { return Equal(a[i].Key, b[j].Key) })
		if found < 0 || !Equal(a[i].Value, b[candidates[found]].Value) {
			return false
		}
	}
	return true
}

func equalFuns(a, b *Fun) bool {
	return a.Arity == b.Arity && a.Uniq == b.Uniq && a.Index == b.Index && a.Module == b.Module &&
		Equal(a.OldIndex, b.OldIndex) && Equal(a.OldUniq, b.OldUniq) && a.Creator == b.Creator && equalTerms(a.Free, b.Free)
}

func equalRecords(a, b *Record) bool {
	if a.Module != b.Module || a.Name != b.Name || a.Exported != b.Exported || len(a.Fields) != len(b.Fields) {
		return false
	}
	for i := range a.Fields {
		if a.Fields[i].Name != b.Fields[i].Name || !Equal(a.Fields[i].Value, b.Fields[i].Value) {
			return false
		}
	}
	return true
}

// cellList looks at the three list types as one: elements, and a tail that is nil for a proper list.
type cellList struct {
	elems []Term
	chars Charlist
	tail  Term
}

func cells(t Term) (cellList, bool) {
	switch v := t.(type) {
	case List:
		return cellList{elems: v}, true
	case Charlist:
		return cellList{chars: v}, true
	case ImproperList:
		return cellList{elems: v.Elems, tail: v.Tail}, true
	}
	return cellList{}, false
}

func (l cellList) len() int { return len(l.elems) + len(l.chars) }

func (l cellList) at(i int) Term {
	if l.elems != nil {
		return l.elems[i]
	}
	return int64(l.chars[i])
}

// plain turns the conveniences that the encoder takes into the types that the decoder yields.
func plain(t Term) Term {
	switch v := t.(type) {
	case Atom, int64, Tuple, List, Binary, Charlist, Map, Pid, Ref, float64:
		return t
	case *big.Int:
		if v.IsInt64() {
			return v.Int64()
		}
	case Bitstring:
		if v.Bits == 0 || v.Bits == 8 {
			return Binary(v.Bytes)
		}
	case ImproperList:
		return plainImproper(v)
	case []Term:
		return List(v)
	case []byte:
		return Binary(v)
	case string:
		return Binary(v)
	case bool:
		if v {
			return Atom("true")
		}
		return Atom("false")
	case int, int8, int16, int32:
		return reflect.ValueOf(t).Int()
	case uint8, uint16, uint32, uint64, uint, uintptr:
		u := reflect.ValueOf(t).Uint()
		if u <= math.MaxInt64 {
			return int64(u)
		}
		return new(big.Int).SetUint64(u)
	case float32:
		return float64(v)
	}
	return t
}

func plainImproper(v ImproperList) Term {
	if len(v.Elems) == 0 {
		return plain(v.Tail)
	}
	tail, ok := cells(plain(v.Tail))
	if !ok {
		return v
	}
	out := slices.Clone(v.Elems)
	for i := range tail.len() {
		out = append(out, tail.at(i))
	}
	if tail.tail != nil {
		return ImproperList{Elems: out, Tail: tail.tail}
	}
	return List(out)
}

// rankNil is the rank of [].
const rankNil = 9

// rank is the place of a type in Erlang's standard order: number < atom < reference < fun < port < pid < tuple < native record < map < nil <
// list < bitstring. Local, which Erlang does not know as a value, comes last.
func rank(t Term) int {
	switch v := t.(type) {
	case int64, float64, *big.Int:
		return 0
	case Atom:
		return 1
	case Ref:
		return 2
	case *Fun, Export:
		return 3
	case Port:
		return 4
	case Pid:
		return 5
	case Tuple:
		return 6
	case *Record:
		return 7
	case Map:
		return 8
	case List:
		if len(v) == 0 {
			return rankNil
		}
		return 10
	case Charlist:
		if len(v) == 0 {
			return rankNil
		}
		return 10
	case ImproperList:
		return 10
	case Binary, Bitstring:
		return 11
	}
	return 12
}

// Compare orders a and b in Erlang's standard term order: -1, 0 or +1. 1 and 1.0 compare as 0, except as map keys.
// Funs, pids, ports and references have an order of their own that is stable, but not that of any one Erlang node.
func Compare(a, b Term) int { return compare(plain(a), plain(b), false) }

// compare orders terms that went through plain. exact tells 1 and 1.0 apart, as map keys are.
func compare(a, b Term, exact bool) int {
	ra, rb := rank(a), rank(b)
	if ra != rb || ra == rankNil {
		return cmp.Compare(ra, rb)
	}
	switch x := a.(type) {
	case int64, float64, *big.Int:
		return compareNumbers(a, b, exact)
	case Atom:
		return strings.Compare(string(x), string(b.(Atom)))
	case Ref:
		return compareRefs(x, b.(Ref))
	case *Fun, Export:
		return compareFuns(a, b, exact)
	case Port:
		y := b.(Port)
		return cmp.Or(strings.Compare(string(x.Node), string(y.Node)), cmp.Compare(x.Creation, y.Creation), cmp.Compare(x.ID, y.ID))
	case Pid:
		y := b.(Pid)
		return cmp.Or(cmp.Compare(x.Serial, y.Serial), cmp.Compare(x.ID, y.ID), strings.Compare(string(x.Node), string(y.Node)),
			cmp.Compare(x.Creation, y.Creation))
	case Tuple:
		y := b.(Tuple)
		return cmp.Or(cmp.Compare(len(x), len(y)), compareTerms(x, y, exact))
	case *Record:
		return compareRecords(x, b.(*Record), exact)
	case Map:
		return compareMaps(x, b.(Map), exact)
	case Binary, Bitstring:
		xb, xn := bitsOf(a)
		yb, yn := bitsOf(b)
		return compareBits(xb, xn, yb, yn)
	case Local:
		return bytes.Compare(x, b.(Local))
	}
	return compareLists(a, b, exact)
}

func compareTerms(a, b []Term, exact bool) int {
	for i := range min(len(a), len(b)) {
		if c := compare(plain(a[i]), plain(b[i]), exact); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

func compareLists(a, b Term, exact bool) int {
	x, _ := cells(a)
	y, _ := cells(b)
	n := min(x.len(), y.len())
	for i := range n {
		if c := compare(plain(x.at(i)), plain(y.at(i)), exact); c != 0 {
			return c
		}
	}
	return compare(x.rest(n), y.rest(n), exact)
}

// rest is the tail after n elements.
func (l cellList) rest(n int) Term {
	switch {
	case n < len(l.elems):
		if l.tail != nil {
			return ImproperList{Elems: l.elems[n:], Tail: l.tail}
		}
		return List(l.elems[n:])
	case n < len(l.chars):
		return l.chars[n:]
	case l.tail != nil:
		return plain(l.tail)
	}
	return emptyList
}

func compareNumbers(a, b Term, exact bool) int {
	x, xint := a.(int64)
	y, yint := b.(int64)
	if xint && yint {
		return cmp.Compare(x, y)
	}
	xf, xfloat := a.(float64)
	yf, yfloat := b.(float64)
	switch {
	case xfloat && yfloat:
		if exact && xf == 0 && yf == 0 { // -0.0 sorts before 0.0
			return cmp.Compare(math.Copysign(1, xf), math.Copysign(1, yf))
		}
		return cmp.Compare(xf, yf)
	case exact && xfloat != yfloat: // integers before floats
		if yfloat {
			return -1
		}
		return 1
	}
	return exactNumber(a).Cmp(exactNumber(b))
}

func exactNumber(t Term) *big.Float {
	f := new(big.Float)
	switch v := t.(type) {
	case int64:
		return f.SetPrec(64).SetInt64(v)
	case float64:
		return f.SetPrec(53).SetFloat64(v)
	case *big.Int:
		return f.SetPrec(uint(v.BitLen())).SetInt(v)
	}
	return f
}

func compareRefs(a, b Ref) int {
	if c := cmp.Or(strings.Compare(string(a.Node), string(b.Node)), cmp.Compare(a.Creation, b.Creation)); c != 0 {
		return c
	}
	for i := len(a.ID) - 1; i >= 0; i-- {
		if c := cmp.Compare(a.ID[i], b.ID[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(a.Len, b.Len)
}

func compareFuns(a, b Term, exact bool) int {
	x, xlocal := a.(*Fun)
	y, ylocal := b.(*Fun)
	switch {
	case xlocal && ylocal:
		return cmp.Or(strings.Compare(string(x.Module), string(y.Module)), cmp.Compare(x.Index, y.Index),
			bytes.Compare(x.Uniq[:], y.Uniq[:]), compareTerms(x.Free, y.Free, exact))
	case xlocal:
		return -1
	case ylocal:
		return 1
	}
	p, q := a.(Export), b.(Export)
	return cmp.Or(strings.Compare(string(p.Module), string(q.Module)), strings.Compare(string(p.Function), string(q.Function)),
		cmp.Compare(p.Arity, q.Arity))
}

func compareRecords(a, b *Record, exact bool) int {
	c := cmp.Or(strings.Compare(string(a.Module), string(b.Module)), strings.Compare(string(a.Name), string(b.Name)),
		cmp.Compare(len(a.Fields), len(b.Fields)))
	for i := 0; i < len(a.Fields) && c == 0; i++ {
		x, y := a.Fields[i], b.Fields[i]
		c = cmp.Or(strings.Compare(string(x.Name), string(y.Name)), compare(plain(x.Value), plain(y.Value), exact))
	}
	return c
}

// compareMaps orders by size, then by the sorted keys, then by their values.
func compareMaps(a, b Map, exact bool) int {
	if len(a) != len(b) {
		return cmp.Compare(len(a), len(b))
	}
	x, y := sortedPairs(a), sortedPairs(b)
	for i := range x {
		if c := compare(plain(x[i].Key), plain(y[i].Key), true); c != 0 {
			return c
		}
	}
	for i := range x {
		if c := compare(plain(x[i].Value), plain(y[i].Value), exact); c != 0 {
			return c
		}
	}
	return 0
}

func sortedPairs(m Map) Map {
	m = slices.Clone(m)
	slices.SortFunc(m, func(p, q MapPair) int { return compare(plain(p.Key), plain(q.Key), true) })
	return m
}

func bitsOf(t Term) (data []byte, lastBits uint8) {
	switch v := t.(type) {
	case Binary:
		return v, 8
	case Bitstring:
		return v.Bytes, v.Bits
	}
	return nil, 8
}

// compareBits orders two bitstrings whose last bytes hold an and bn bits.
func compareBits(a []byte, an uint8, b []byte, bn uint8) int {
	la, lb := bitLen(a, an), bitLen(b, bn)
	whole := min(la, lb) / 8
	if c := bytes.Compare(a[:whole], b[:whole]); c != 0 {
		return c
	}
	if rest := min(la, lb) % 8; rest > 0 {
		mask := byte(0xFF) << (8 - rest)
		if c := cmp.Compare(a[whole]&mask, b[whole]&mask); c != 0 {
			return c
		}
	}
	return cmp.Compare(la, lb)
}

func bitLen(data []byte, lastBits uint8) int {
	if len(data) == 0 {
		return 0
	}
	return 8*(len(data)-1) + int(lastBits)
}
