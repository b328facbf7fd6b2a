package etf

// Decode reads one term from b, which starts with the version byte 131 and holds nothing else.
// Binaries of the term alias b. Limits are the defaults. Errors: *SyntaxError.
func Decode(b []byte) (Term, error) { panic("todo") }

// Decoder reads terms. It keeps the atoms that it has seen in a bounded table, so that one decoder per link is cheap to
// use again and again. It is not safe for concurrent use; the terms it yields are the caller's.
type Decoder struct {
	// CopyBinaries makes decoded binaries copies; otherwise they alias the input, which must then not be written to.
	CopyBinaries bool
}

// NewDecoder returns a Decoder with the given limits.
func NewDecoder(l Limits) *Decoder { panic("todo") }

// Decode reads one term from b, which starts with 131 and holds nothing else.
func (d *Decoder) Decode(b []byte) (Term, error) { panic("todo") }

// DecodeTerm reads the first term of b, which has no version byte, and returns what follows it.
func (d *Decoder) DecodeTerm(b []byte) (t Term, rest []byte, err error) { panic("todo") }

// SetAtomRefs gives the atoms that ATOM_CACHE_REF stands for in the terms to come; nil for none. refs is not copied.
func (d *Decoder) SetAtomRefs(refs *AtomRefs) { panic("todo") }

// Cursor walks over the terms of b, which has no version byte. It shares d's limits, atom table and cache references.
func (d *Decoder) Cursor(b []byte) Cursor { panic("todo") }

// Cursor walks over encoded terms without building them. The first error sticks: later calls do nothing and return zero
// values, so a caller may read a whole control message and then ask Err once.
type Cursor struct{}

// Kind is the kind of a term, as a Cursor sees it.
type Kind uint8

// Kinds. KindEnd means that no bytes are left (or an error occurred).
const (
	KindEnd Kind = iota
	KindInt
	KindFloat
	KindAtom
	KindRef
	KindFun
	KindPort
	KindPid
	KindTuple
	KindMap
	KindList // NIL_EXT, STRING_EXT or LIST_EXT
	KindBinary
	KindBitstring
	KindLocal
)

// Err returns the first error.
func (c *Cursor) Err() error { panic("todo") }

// Kind returns the kind of the next term.
func (c *Cursor) Kind() Kind { panic("todo") }

// Rest returns the bytes that have not been read.
func (c *Cursor) Rest() []byte { panic("todo") }

// Skip passes over the next term.
func (c *Cursor) Skip() { panic("todo") }

// Raw passes over the next term and returns its bytes, which alias the input.
func (c *Cursor) Raw() []byte { panic("todo") }

// Term builds the next term.
func (c *Cursor) Term() Term { panic("todo") }

// Tuple enters a tuple and returns its arity, -1 if the next term is no tuple (an error).
func (c *Cursor) Tuple() int { panic("todo") }

// List enters a list and returns its number of elements. When it is above zero the tail follows the elements and must be
// read too (EndList for a proper list). For a STRING_EXT use Term or Bytes.
func (c *Cursor) List() int { panic("todo") }

// EndList reads the tail of a proper list.
func (c *Cursor) EndList() { panic("todo") }

// Map enters a map and returns its number of pairs.
func (c *Cursor) Map() int { panic("todo") }

// Int reads an integer that fits int64.
func (c *Cursor) Int() int64 { panic("todo") }

// Uint reads an integer that fits uint64.
func (c *Cursor) Uint() uint64 { panic("todo") }

// Float reads a float.
func (c *Cursor) Float() float64 { panic("todo") }

// Atom reads an atom. An atom that the decoder has seen before costs no allocation.
func (c *Cursor) Atom() Atom { panic("todo") }

// Pid reads a pid.
func (c *Cursor) Pid() Pid { panic("todo") }

// Ref reads a reference.
func (c *Cursor) Ref() Ref { panic("todo") }

// Port reads a port identifier.
func (c *Cursor) Port() Port { panic("todo") }

// Bytes reads a binary or a STRING_EXT (or the empty list) as bytes that alias the input.
func (c *Cursor) Bytes() []byte { panic("todo") }

// AtomRefs are the atoms of one distribution header. The zero value is ready; it may be used again and again.
type AtomRefs struct{}

// AtomCacheIn is the receiving half of a link's atom cache (2048 slots). The zero value is ready.
// Headers must be read in the order in which they came.
type AtomCacheIn struct{}

// ReadHeader reads a distribution header from its NumberOfAtomCacheRefs byte on (what follows 131,68, or the two
// identifiers of 131,69), replaces refs by its atoms and returns the bytes behind it.
func (c *AtomCacheIn) ReadHeader(b []byte, refs *AtomRefs) (rest []byte, err error) { panic("todo") }

// AtomCacheOut is the sending half. The zero value is ready. For each message: Begin, AppendTerm for the control message
// and the payload, then AppendHeader, whose bytes go out before those. A message that was begun and not sent leaves the
// cache as it was as long as AppendHeader was not called.
type AtomCacheOut struct{}

// Begin starts a message.
func (c *AtomCacheOut) Begin() { panic("todo") }

// AppendTerm appends t without 131, its atoms replaced by cache references as far as they go.
func (c *AtomCacheOut) AppendTerm(dst []byte, t Term) ([]byte, error) { panic("todo") }

// AppendHeader appends the header of the message, from the NumberOfAtomCacheRefs byte on, and commits its atoms.
func (c *AtomCacheOut) AppendHeader(dst []byte) []byte { panic("todo") }

// Encoder holds encoding options. The zero value writes what OTP 26 and later write.
type Encoder struct {
	// LegacyAtoms writes atoms of Latin-1 characters as ATOM_EXT, as term_to_binary of OTP 23 to 25 does.
	LegacyAtoms bool
	// TextFloats writes FLOAT_EXT, as term_to_binary(T, [{minor_version, 0}]) does.
	TextFloats bool
}

// AppendTerm appends t without the version byte.
func (e *Encoder) AppendTerm(dst []byte, t Term) ([]byte, error) { panic("todo") }

// AppendTerm appends t without the version byte. It allocates nothing but what dst needs to grow.
// On error dst's content past its length is undefined and dst is returned with its old length.
// Errors: *UnsupportedTypeError, *ValueError.
func AppendTerm(dst []byte, t Term) ([]byte, error) { panic("todo") }

// Append appends the version byte and t.
func Append(dst []byte, t Term) ([]byte, error) { panic("todo") }

// Encode returns the version byte and t.
func Encode(t Term) ([]byte, error) { panic("todo") }

// Format prints t as io:format("~tp") with +pc unicode would on one line of any length. Pids, ports and references
// carry their node's name instead of a channel number: <shop@host.85.0>.
func Format(t Term) string { panic("todo") }

// AppendFormat appends what Format returns.
func AppendFormat(dst []byte, t Term) []byte { panic("todo") }

// Consult reads Erlang terms, each ended by a full stop, as file:consult/1 does. name is used in errors (*TextError).
func Consult(name string, b []byte) ([]Term, error) { panic("todo") }

// ParseTerm reads one Erlang term from text; a full stop at the end may be left out.
func ParseTerm(text string) (Term, error) { panic("todo") }

// ParseCall reads a call such as "m:f(Args)." or "'Elixir.Foo':bar(1)"; the full stop may be left out.
func ParseCall(text string) (mod, fun Atom, args []Term, err error) { panic("todo") }

// Unmarshal decodes b (with 131) and stores it in the value that v points to, as UnmarshalTerm does.
func Unmarshal(b []byte, v any) error { panic("todo") }

// UnmarshalTerm stores t in the value that v points to.
func UnmarshalTerm(t Term, v any) error { panic("todo") }

// Unmarshaler is implemented by types that read themselves from a term.
type Unmarshaler interface{ UnmarshalETF(t Term) error }

// Equal reports whether a =:= b in Erlang.
func Equal(a, b Term) bool { panic("todo") }

// Compare orders a and b in Erlang's standard term order: -1, 0 or +1. 1 and 1.0 compare as 0.
func Compare(a, b Term) int { panic("todo") }

// Text returns the characters of a binary (UTF-8), a charlist or list of code points, an atom, or nested chardata of those, as a Go
// string; false if t is none of these.
func Text(t Term) (string, bool) { panic("todo") }
