package etf

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

// Text returns the characters of a binary (UTF-8), a charlist or list of code points, an atom, or nested chardata of those, as a Go
// string; false if t is none of these.
func Text(t Term) (string, bool) { panic("todo") }
