package etf

import "unsafe"

// Putting a slice or an int64 into an interface makes the compiler allocate a copy of it. The decoder takes these copies
// from slabs instead: it stores the value in a slab and builds the interface around its address. A slab entry is written
// once, before it is boxed, and never again, as the runtime demands of values behind interfaces.
// TestBox checks the layout that this relies on.
type iface struct {
	typ, data unsafe.Pointer
}

func typeWord(t Term) unsafe.Pointer { return (*iface)(unsafe.Pointer(&t)).typ }

var (
	int64Type    = typeWord(int64(0))
	float64Type  = typeWord(float64(0))
	tupleType    = typeWord(Tuple(nil))
	listType     = typeWord(List(nil))
	binaryType   = typeWord(Binary(nil))
	charlistType = typeWord(Charlist(""))
	mapType      = typeWord(Map(nil))
	pidType      = typeWord(Pid{})
	refType      = typeWord(Ref{})
)

func box(typ, data unsafe.Pointer) (t Term) {
	*(*iface)(unsafe.Pointer(&t)) = iface{typ, data}
	return t
}

// Integers from minSmall to maxSmall are boxed once and for all.
const (
	minSmall = -1024
	maxSmall = 1 << 14
)

var smallInts = func() *[maxSmall - minSmall + 1]int64 {
	var a [maxSmall - minSmall + 1]int64
	for i := range a {
		a[i] = int64(i) + minSmall
	}
	return &a
}()

// smallInt boxes a v from minSmall to maxSmall.
func smallInt(v int64) Term { return box(int64Type, unsafe.Pointer(&smallInts[v-minSmall])) }

var (
	emptyList  Term = List{}
	emptyTuple Term = Tuple{}
)

// slab hands out elements of chunks. free is what is left of the current chunk.
type slab[T any] struct{ free []T }

// one returns a zero element; chunk is the size of a new chunk when there is need of one.
func (s *slab[T]) one(chunk int) *T {
	if len(s.free) == 0 {
		s.free = make([]T, chunk)
	}
	p := &s.free[0]
	s.free = s.free[1:]
	return p
}

// many returns n zero elements.
func (s *slab[T]) many(n, chunk int) []T {
	if n > len(s.free) {
		if n > chunk/4 {
			return make([]T, n)
		}
		s.free = make([]T, chunk)
	}
	out := s.free[:n:n]
	s.free = s.free[n:]
	return out
}

// slabs are the slabs of a Decoder.
type slabs struct {
	chunk     int // size of the next chunk
	terms     slab[Term]
	pairs     slab[MapPair]
	ints      slab[int64]
	floats    slab[float64]
	tuples    slab[Tuple]
	lists     slab[List]
	binaries  slab[Binary]
	charlists slab[Charlist]
	text      slab[byte] // of charlists
	maps      slab[Map]
	pids      slab[Pid]
	refs      slab[Ref]
}

func (s *slabs) int(v int64) Term {
	if minSmall <= v && v <= maxSmall {
		return smallInt(v)
	}
	p := s.ints.one(s.chunk)
	*p = v
	return box(int64Type, unsafe.Pointer(p))
}

func (s *slabs) float(v float64) Term {
	p := s.floats.one(s.chunk)
	*p = v
	return box(float64Type, unsafe.Pointer(p))
}

func (s *slabs) tuple(v []Term) Term {
	p := s.tuples.one(s.chunk)
	*p = v
	return box(tupleType, unsafe.Pointer(p))
}

func (s *slabs) list(v []Term) Term {
	p := s.lists.one(s.chunk)
	*p = v
	return box(listType, unsafe.Pointer(p))
}

func (s *slabs) binary(v []byte) Term {
	p := s.binaries.one(s.chunk)
	*p = v
	return box(binaryType, unsafe.Pointer(p))
}

func (s *slabs) charlist(v []byte) Term {
	p := s.charlists.one(s.chunk)
	text := s.text.many(len(v), 8*s.chunk)
	copy(text, v)
	*p = Charlist(unsafe.String(unsafe.SliceData(text), len(text)))
	return box(charlistType, unsafe.Pointer(p))
}

func (s *slabs) mapTerm(v Map) Term {
	p := s.maps.one(s.chunk)
	*p = v
	return box(mapType, unsafe.Pointer(p))
}

func (s *slabs) pid(v Pid) Term {
	p := s.pids.one(s.chunk)
	*p = v
	return box(pidType, unsafe.Pointer(p))
}

func (s *slabs) ref(v Ref) Term {
	p := s.refs.one(s.chunk)
	*p = v
	return box(refType, unsafe.Pointer(p))
}

// terms are the keys and values of m in turn: a MapPair is laid out as two Terms.
func (m Map) terms() []Term {
	if len(m) == 0 {
		return nil
	}
	return unsafe.Slice(&m[0].Key, 2*len(m))
}
