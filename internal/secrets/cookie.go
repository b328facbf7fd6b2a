package secrets

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxCookie is the longest cookie: it is an atom in Erlang.
const maxCookie = 255

// LoadCookie reads the cookie in a file, such as cookie_file of an app: its text without the white space around it.
// The file must be a regular one that only its owner may read or write.
//
// Errors: *ModeError, *CookieError, or that of the file system.
func LoadCookie(file string) (Secret, error) {
	// O_NONBLOCK so that a FIFO does not hold us up; it has no effect on a regular file.
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return Secret{}, fmt.Errorf("secrets: cookie: %w", err)
	}
	defer f.Close()
	info, err := f.Stat() // of the opened file, so that it cannot be exchanged in between
	if err != nil {
		return Secret{}, fmt.Errorf("secrets: cookie: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Secret{}, &CookieError{From: file, Reason: "is not a regular file"}
	}
	if info.Mode().Perm()&0o077 != 0 {
		return Secret{}, &ModeError{File: file, Mode: info.Mode().Perm()}
	}
	return readCookie(f, file)
}

func readCookie(r io.Reader, file string) (Secret, error) {
	b, err := io.ReadAll(io.LimitReader(r, 4096))
	if err != nil {
		return Secret{}, fmt.Errorf("secrets: cookie: %w", err)
	}
	text := strings.TrimSpace(string(b))
	if reason := badCookie(text); reason != "" {
		return Secret{}, &CookieError{From: file, Reason: reason}
	}
	return New(text), nil
}

// badCookie says why text cannot be a cookie; empty when it can.
func badCookie(text string) string {
	switch {
	case text == "":
		return "is empty"
	case len(text) > maxCookie:
		return fmt.Sprintf("has more than %d bytes", maxCookie)
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' {
			return "has white space or characters outside ASCII in it"
		}
	}
	return ""
}

// CreateCookie makes a random cookie of 160 bits, in letters and digits, and writes it to a new file of mode 0400. The
// file appears whole or not at all. Its folder is made if need be.
//
// Errors: fs.ErrExist when the file is there already, else that of the file system.
func CreateCookie(file string) (err error) {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("secrets: cookie: %w", err)
	}
	f, err := os.CreateTemp(dir, ".cookie-*")
	if err != nil {
		return fmt.Errorf("secrets: cookie: %w", err)
	}
	defer func() {
		_ = f.Close() // a second close after the one below is harmless
		if rmErr := os.Remove(f.Name()); rmErr != nil && err == nil {
			err = fmt.Errorf("secrets: cookie: %w", rmErr)
		}
	}()
	random := make([]byte, 20)
	if _, err := rand.Read(random); err != nil {
		return fmt.Errorf("secrets: cookie: %w", err)
	}
	text := base32.StdEncoding.EncodeToString(random)
	for _, step := range []func() error{
		func() error { return f.Chmod(0o400) },
		func() error { _, err := f.WriteString(text); return err },
		f.Sync,
		f.Close,
		func() error { return os.Link(f.Name(), file) }, // unlike a rename it never replaces a cookie that is there
		func() error { return syncDir(dir) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("secrets: cookie: %w", err)
		}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// ModeError tells of a secret file that others than its owner may read or write.
type ModeError struct {
	File string
	Mode fs.FileMode
}

// Error says what is wrong and gives the command that mends it.
func (e *ModeError) Error() string {
	return fmt.Sprintf("secrets: %s has mode %04o, so that others than its owner may read or change it; run: chmod 0400 %s",
		e.File, e.Mode, shellWord(e.File))
}

// shellWord quotes a file name for a shell where it needs it.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+@%", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// CookieError tells of a cookie that is not one. It does not repeat it.
type CookieError struct {
	From   string // a file or a variable
	Reason string
}

func (e *CookieError) Error() string { return fmt.Sprintf("secrets: cookie: %s %s", e.From, e.Reason) }
