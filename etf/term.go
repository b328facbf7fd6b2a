package etf

// Term is an Erlang term. Its dynamic type is one of the closed set below; the decoder yields nothing else.
//
//	Erlang               Go from the decoder     the encoder also takes
//	integer              int64, *big.Int         every Go integer type
//	float                float64                 float32
//	atom                 Atom                    bool (true, false)
//	binary               Binary                  []byte, string
//	bitstring            Bitstring
//	tuple                Tuple
//	proper list          List ([] is an empty List)
//	list of bytes sent   Charlist
//	  as STRING_EXT
//	improper list        ImproperList
//	map                  Map
//	pid, port, reference Pid, Port, Ref
//	fun                  *Fun
//	fun M:F/A            Export
//	native record        *Record (OTP 29)
//	LOCAL_EXT            Local
//
// A *big.Int never holds a value that an int64 can hold.
type Term = any

// Atom is an Erlang atom: up to 255 code points of UTF-8.
type Atom string

// Binary is an Erlang binary. A decoded Binary may alias the input (see Limits and Decoder).
type Binary []byte

// Bitstring is a binary whose last byte holds only Bits (1 to 7) significant bits, left-aligned.
type Bitstring struct {
	Bytes []byte
	Bits  uint8
}

// Tuple is an Erlang tuple.
type Tuple []Term

// List is a proper list.
type List []Term

// Charlist is a list of integers 0 to 255 that the sender wrote in the compact STRING_EXT form.
// Equal treats it as the List of the same integers.
type Charlist string

// ImproperList is a list of one or more elements whose tail is not a list.
type ImproperList struct {
	Elems []Term
	Tail  Term
}

// Map is an Erlang map, in the order of the wire. Keys may be any term and are unique.
type Map []MapPair

// MapPair is one association of a Map.
type MapPair struct{ Key, Value Term }

// Pid is a process identifier. It is comparable and may key a Go map.
type Pid struct {
	Node     Atom
	ID       uint32
	Serial   uint32
	Creation uint32
}

// Port is a port identifier. IDs above 28 bits need V4_PORT_EXT (OTP 24).
type Port struct {
	Node     Atom
	ID       uint64
	Creation uint32
}

// Ref is a reference of Len (1 to 5) words. It is comparable; words past Len are zero.
type Ref struct {
	Node     Atom
	Creation uint32
	Len      uint8
	ID       [5]uint32
}

// Export is an external fun, fun Module:Function/Arity.
type Export struct {
	Module   Atom
	Function Atom
	Arity    uint8
}

// Fun is a local fun (NEW_FUN_EXT). It can be sent back to a node that has its module.
type Fun struct {
	Arity    uint8
	Uniq     [16]byte
	Index    uint32
	Module   Atom
	OldIndex Term // an integer
	OldUniq  Term // an integer
	Creator  Pid
	Free     []Term
}

// Record is a native record (OTP 29), #Module:Name{...}. The records of older code are tuples.
type Record struct {
	Module   Atom
	Name     Atom
	Exported bool // listed in its module's -export_record
	Fields   []RecordField
}

// RecordField is one field of a Record, in the order of its definition.
type RecordField struct {
	Name  Atom
	Value Term
}

// Local holds LOCAL_EXT bytes, which only their creator understands.
type Local []byte
