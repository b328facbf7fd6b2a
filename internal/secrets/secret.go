package secrets

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// Secret is a string that shows itself to nobody: fmt, slog, JSON and text encoders print "[redacted]". Reveal gives
// the text. The zero Secret is empty. Compare with Equal, not with ==.
type Secret struct {
	// A pointer, because fmt prints the fields of a struct without their methods when they are unexported: of a pointer
	// it then prints the address.
	text *string
}

const redacted = "[redacted]"

// New makes a Secret.
func New(text string) Secret { return Secret{&text} }

// Reveal gives the text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Equal reports whether both are the same text, in a time that does not tell where they differ.
func (s Secret) Equal(o Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(o.Reveal())) == 1
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// String gives "[redacted]".
func (s Secret) String() string { return redacted }

// GoString gives "[redacted]", for %#v.
func (s Secret) GoString() string { return redacted }

// Format gives "[redacted]" for every verb, %x and %d among them.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) } // Formatters have nowhere to report to

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, which JSON, XML and YAML use.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
