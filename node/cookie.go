package node

import (
	"crypto/md5"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
)

// Cookie is the shared secret of a handshake. Printing and logging it shows nothing of it.
type Cookie string

// maxCookieBytes is what an atom can hold.
const maxCookieBytes = 255

// LoadCookie reads a cookie file as Erlang does: the first word of the file. It refuses a file that
// group or others can read or write, an empty one, and one of more than 255 bytes of cookie.
func LoadCookie(file string) (Cookie, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("node: cookie: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("node: cookie: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("node: cookie: %q has mode %04o and must be readable by its owner only", file, st.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return "", fmt.Errorf("node: cookie: %w", err)
	}
	words := strings.Fields(string(b))
	if len(words) == 0 {
		return "", fmt.Errorf("node: cookie: %q is empty", file)
	}
	if len(words) > 1 || len(words[0]) > maxCookieBytes {
		return "", fmt.Errorf("node: cookie: %q must hold one word of at most %d bytes", file, maxCookieBytes)
	}
	return Cookie(words[0]), nil
}

// String hides the cookie.
func (c Cookie) String() string {
	if c == "" {
		return "(no cookie)"
	}
	return "(cookie)"
}

// GoString hides the cookie from %#v.
func (c Cookie) GoString() string { return c.String() }

// LogValue hides the cookie from slog.
func (c Cookie) LogValue() slog.Value { return slog.StringValue(c.String()) }

// digest is the answer to a challenge: MD5 of the cookie followed by the challenge in decimal.
// MD5 is the protocol's choice. Compare digests with hmac.Equal.
func (c Cookie) digest(challenge uint32) [md5.Size]byte {
	b := make([]byte, 0, maxCookieBytes+10)
	b = append(b, c...)
	return md5.Sum(strconv.AppendUint(b, uint64(challenge), 10))
}
