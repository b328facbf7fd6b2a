// Package secrets says where the daemon's secrets come from: files, the environment, or a cookie of its own making.
package secrets

import (
	"log/slog"
)

// Secret is a string that shows itself to nobody: fmt, slog and JSON print "[redacted]". Reveal gives the text.
// The zero Secret is empty.
type Secret struct{ text string }

const redacted = "[redacted]"

// New makes a Secret.
func New(text string) Secret { return Secret{text} }

// Reveal gives the text.
func (s Secret) Reveal() string { return s.text }

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.text == "" }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Options say where to look. They come from the configuration.
type Options struct {
	CookieFile string              // node.cookie_file; empty: none
	Adapter    string              // secrets_adapter: none or env
	Generated  string              // <var_path>/cookie: read if there, else created with mode 0400
	Getenv     func(string) string // of the daemon's environment; nil: os.Getenv
}

// Secrets are the secrets of the daemon.
type Secrets struct {
	Cookie     Secret
	CookieFrom string // where it came from, for logs: a file name, or "environment DEPLOYEX_ERLANG_COOKIE"

	AdminHashedPassword Secret // DEPLOYEX_ADMIN_HASHED_PASSWORD; nothing uses it yet
	SecretKeyBase       Secret // DEPLOYEX_SECRET_KEY_BASE; nothing uses it yet
}

// Load finds the secrets. The cookie is that of CookieFile, else of the adapter, else of Generated, which is created
// with a random cookie when it does not exist.
//
// Errors: *ModeError for a file that others may read, *InvalidError for a cookie that is not one, *MissingError for a
// variable that the adapter needs and the environment lacks, else that of the file system.
func Load(o Options) (Secrets, error) { panic("todo") }

// LoadCookie reads the cookie in a file, such as cookie_file of an app.
//
// Errors: as for Load.
func LoadCookie(file string) (Secret, error) { panic("todo") }
