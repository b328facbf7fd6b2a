package secrets

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// Lengths of a token in characters.
const (
	minToken = 32
	maxToken = 1024
)

// LoadToken reads a token that others send to us: one line of at least 32 characters. The file's mode must keep it from
// everybody else, as that of a cookie.
func LoadToken(file string) (Secret, error) {
	// O_NONBLOCK so that a FIFO does not hold us up; it has no effect on a regular file.
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return Secret{}, fmt.Errorf("secrets: token: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Secret{}, err
	}
	if !info.Mode().IsRegular() {
		return Secret{}, fmt.Errorf("secrets: token: %s is not a regular file", file)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return Secret{}, &ModeError{File: file, Mode: info.Mode().Perm()}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxToken+2))
	if err != nil {
		return Secret{}, err
	}
	text := strings.TrimSpace(string(b))
	switch {
	case len(text) < minToken:
		return Secret{}, fmt.Errorf("secrets: token: %s has %d characters; it needs at least %d (openssl rand -hex 32)", file, len(text), minToken)
	case len(text) > maxToken, strings.ContainsAny(text, " \t\r\n"):
		return Secret{}, fmt.Errorf("secrets: token: %s is not one line of at most %d characters", file, maxToken)
	}
	return New(text), nil
}
