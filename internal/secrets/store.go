package secrets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxStore bounds what a store may give, in bytes.
const maxStore = 1 << 20

// Store is where secrets are kept under keys.
type Store interface {
	// Fetch gives all of them. The error says what was asked and never repeats a secret.
	Fetch(ctx context.Context) (map[string]Secret, error)
	// String says which store it is, for people.
	String() string
}

// StoreOptions say which store.
type StoreOptions struct {
	Adapter string // env, file, aws or gcp
	Path    string // secrets_path

	Region      string // of aws; empty: the SDK's to find
	Credentials string // file of credentials of gcp; empty: Application Default Credentials
	Endpoint    string // URL of another server than the cloud's own; empty: that

	Environ []string // of the daemon, for env
	Dir     string   // of systemd's credentials ($CREDENTIALS_DIRECTORY); empty: none
}

// Open returns a store. Nothing is asked of it yet. Nil for the adapter none: there are only systemd's credentials, if any.
func Open(o StoreOptions) (Store, error) {
	var s Store
	switch o.Adapter {
	case "", "none":
	case "env":
		s = environment{o.Environ}
	case "file":
		s = files{o.Path}
	case "aws":
		s = newAWS(o)
	case "gcp":
		g, err := newGCP(o)
		if err != nil {
			return nil, err
		}
		s = g
	default:
		return nil, &AdapterError{Adapter: o.Adapter}
	}
	if o.Dir != "" {
		return passed{Store: s, dir: o.Dir}, nil
	}
	return s, nil
}

// environment is the daemon's own.
type environment struct{ environ []string }

func (e environment) String() string { return "the daemon's environment" }

func (e environment) Fetch(context.Context) (map[string]Secret, error) {
	all := make(map[string]Secret)
	for _, kv := range e.environ {
		if key, value, ok := strings.Cut(kv, "="); ok && value != "" {
			all[key] = New(value)
		}
	}
	return all, nil
}

// files is a file with a JSON object, or a folder with a file for each key.
type files struct{ path string }

func (f files) String() string { return f.path }

func (f files) Fetch(context.Context) (map[string]Secret, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	if !info.IsDir() {
		b, err := readSecret(f.path, true)
		if err != nil {
			return nil, err
		}
		return parseObject(f.path, b)
	}
	return readFolder(f.path, true)
}

// readFolder reads the plain files of a folder, whose names are the keys. One line break at an end is taken off.
func readFolder(dir string, private bool) (map[string]Secret, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	all := make(map[string]Secret)
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		b, err := readSecret(name, private)
		if err != nil {
			return nil, err
		}
		all[e.Name()] = New(strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"))
	}
	return all, nil
}

// readSecret reads a file, which must be nobody else's to read if private.
func readSecret(name string, private bool) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	if private && info.Mode().Perm()&0o077 != 0 {
		return nil, &ModeError{File: name, Mode: info.Mode().Perm()}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxStore+1))
	if err == nil && len(b) > maxStore {
		err = fmt.Errorf("%s is longer than %d bytes", name, maxStore)
	}
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	return b, nil
}

// parseObject reads a JSON object whose values are text, numbers, true or false.
func parseObject(from string, b []byte) (map[string]Secret, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		// The text of the error may hold a piece of what was read.
		return nil, fmt.Errorf("secrets: %s does not hold a JSON object such as {\"KEY\": \"value\"}", from)
	}
	all := make(map[string]Secret)
	for key, value := range raw {
		var text string
		switch {
		case json.Unmarshal(value, &text) == nil && string(value) != "null":
			all[key] = New(text)
		case value[0] == '{' || value[0] == '[' || string(value) == "null":
			return nil, fmt.Errorf("secrets: %s: the value of %q is no text", from, key)
		default:
			all[key] = New(string(value))
		}
	}
	return all, nil
}

// passed is systemd's credentials, which win over a store behind them.
type passed struct {
	Store
	dir string
}

func (p passed) String() string {
	if p.Store == nil {
		return "the credentials that the service manager passes"
	}
	return p.Store.String()
}

func (p passed) Fetch(ctx context.Context) (map[string]Secret, error) {
	all := make(map[string]Secret)
	if p.Store != nil {
		var err error
		if all, err = p.Store.Fetch(ctx); err != nil {
			return nil, err
		}
	}
	own, err := readFolder(p.dir, false) // the folder is the service's alone
	for key, value := range own {
		all[key] = value
	}
	return all, err
}

// Either gives the secret of the first of the names that there is, and which it was.
func Either(all map[string]Secret, names ...string) (Secret, string) {
	for _, name := range names {
		if s, ok := all[name]; ok && !s.IsZero() {
			return s, name
		}
	}
	return Secret{}, ""
}

// StoreError says why a store gave no secrets.
type StoreError struct {
	Store  string
	Reason string
	Remedy string // may be empty
	Err    error
}

func (e *StoreError) Error() string {
	text := "secrets: " + e.Store + ": " + e.Reason
	if e.Remedy != "" {
		text += " (" + e.Remedy + ")"
	}
	return text
}

// Unwrap returns the cause.
func (e *StoreError) Unwrap() error { return e.Err }

var errEmptyPath = errors.New("secrets_path names no secret")
