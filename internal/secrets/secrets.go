// Package secrets says where the daemon's secrets come from: files, the environment, or a cookie of its own making.
package secrets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// The names of the daemon's secrets in each store, which are DeployEx's. Under BEAMKEEPER_ in place of DEPLOYEX_ they are
// looked for first.
const (
	EnvCookie              = "DEPLOYEX_ERLANG_COOKIE"
	EnvAdminHashedPassword = "DEPLOYEX_ADMIN_HASHED_PASSWORD"
	EnvSecretKeyBase       = "DEPLOYEX_SECRET_KEY_BASE"
)

// twin is our own name of a secret.
func twin(name string) string { return "BEAMKEEPER_" + strings.TrimPrefix(name, "DEPLOYEX_") }

// Options say where to look. They come from the configuration.
type Options struct {
	CookieFile string              // node.cookie_file; empty: none
	Adapter    string              // secrets_adapter; none (or empty): only files
	Generated  string              // <var_path>/cookie: read if there, else created with mode 0400
	Getenv     func(string) string // of the daemon's environment; nil: os.Getenv
	Store      Store               // of the adapters other than none and env; it is asked once
}

// Secrets are the secrets of the daemon.
type Secrets struct {
	Cookie     Secret
	CookieFrom string // where it came from, for logs: a file name, or the name of a variable
	Created    bool   // whether Load has made the cookie

	AdminHashedPassword Secret // empty without the adapter env; nothing uses it yet
	SecretKeyBase       Secret // likewise
}

// Load finds the secrets. The cookie is the credential "cookie" of the service manager, else that of CookieFile, else of the
// adapter, else of Generated, which is created with a random cookie when it does not exist.
//
// Errors: *ModeError for a file that others may read, *CookieError for a cookie that is not one, *MissingError for a
// secret that the adapter needs and does not have, *AdapterError for an adapter that this version does not have,
// *StoreError for a store in a cloud, else that of the file system.
func Load(o Options) (Secrets, error) {
	getenv := o.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	var s Secrets
	all := make(map[string]Secret)
	switch {
	case o.Adapter == "" || o.Adapter == "none":
	case o.Adapter == "env":
		for _, name := range []string{EnvCookie, EnvAdminHashedPassword, EnvSecretKeyBase} {
			all[name], all[twin(name)] = New(getenv(name)), New(getenv(twin(name)))
		}
	case o.Store != nil:
		var err error
		if all, err = o.Store.Fetch(context.Background()); err != nil {
			return Secrets{}, err
		}
	default:
		return Secrets{}, &AdapterError{Adapter: o.Adapter}
	}
	s.AdminHashedPassword, _ = Either(all, twin(EnvAdminHashedPassword), EnvAdminHashedPassword)
	s.SecretKeyBase, _ = Either(all, twin(EnvSecretKeyBase), EnvSecretKeyBase)

	cookie, from, passed, err := CookieCredential(getenv(EnvCredentials), CredentialCookie)
	switch {
	case err != nil:
	case passed:
		s.Cookie, s.CookieFrom = cookie, from
	case o.CookieFile != "":
		s.Cookie, err = LoadCookie(o.CookieFile)
		s.CookieFrom = o.CookieFile
	case o.Adapter != "" && o.Adapter != "none":
		s.Cookie, s.CookieFrom, err = storedCookie(o.Adapter, all)
	default:
		s.Cookie, s.Created, err = generatedCookie(o.Generated)
		s.CookieFrom = o.Generated
	}
	if err != nil {
		return Secrets{}, err
	}
	return s, nil
}

// storedCookie is the cookie among the secrets of an adapter.
func storedCookie(adapter string, all map[string]Secret) (Secret, string, error) {
	cookie, from := Either(all, twin(EnvCookie), EnvCookie)
	if from == "" {
		return Secret{}, "", &MissingError{Adapter: adapter, Variable: EnvCookie}
	}
	if reason := badCookie(cookie.Reveal()); reason != "" {
		return Secret{}, "", &CookieError{From: from, Reason: reason}
	}
	return cookie, from, nil
}

func generatedCookie(file string) (s Secret, created bool, err error) {
	s, err = LoadCookie(file)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return s, false, err
	}
	err = CreateCookie(file)
	if errors.Is(err, fs.ErrExist) { // somebody else was quicker; theirs is as good
		s, err = LoadCookie(file)
		return s, false, err
	}
	if err != nil {
		return Secret{}, false, err
	}
	s, err = LoadCookie(file)
	return s, true, err
}

// AdapterError tells of a secrets_adapter that this version does not have.
type AdapterError struct{ Adapter string }

func (e *AdapterError) Error() string {
	return fmt.Sprintf("secrets: adapter %q comes with a later version", e.Adapter)
}

// MissingError tells of a secret that an adapter needs and does not have.
type MissingError struct{ Adapter, Variable string }

func (e *MissingError) Error() string {
	if e.Adapter != "env" {
		return fmt.Sprintf("secrets: adapter %s: there is neither %s nor %s", e.Adapter, e.Variable, twin(e.Variable))
	}
	return fmt.Sprintf("secrets: adapter env: %s is not set in the daemon's environment", e.Variable)
}
