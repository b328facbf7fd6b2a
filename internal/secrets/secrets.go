// Package secrets says where the daemon's secrets come from: files, the environment, or a cookie of its own making.
package secrets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// The variables of the adapter env, which have DeployEx's names.
const (
	EnvCookie              = "DEPLOYEX_ERLANG_COOKIE"
	EnvAdminHashedPassword = "DEPLOYEX_ADMIN_HASHED_PASSWORD"
	EnvSecretKeyBase       = "DEPLOYEX_SECRET_KEY_BASE"
)

// Options say where to look. They come from the configuration.
type Options struct {
	CookieFile string              // node.cookie_file; empty: none
	Adapter    string              // secrets_adapter: none (or empty) or env
	Generated  string              // <var_path>/cookie: read if there, else created with mode 0400
	Getenv     func(string) string // of the daemon's environment; nil: os.Getenv
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
// variable that the adapter needs and the environment lacks, *AdapterError for an adapter that this version does not
// have, else that of the file system.
func Load(o Options) (Secrets, error) {
	getenv := o.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	var s Secrets
	switch o.Adapter {
	case "", "none":
	case "env":
		s.AdminHashedPassword = New(getenv(EnvAdminHashedPassword))
		s.SecretKeyBase = New(getenv(EnvSecretKeyBase))
	default:
		return Secrets{}, &AdapterError{Adapter: o.Adapter}
	}

	cookie, from, passed, err := CookieCredential(getenv(EnvCredentials), CredentialCookie)
	switch {
	case err != nil:
	case passed:
		s.Cookie, s.CookieFrom = cookie, from
	case o.CookieFile != "":
		s.Cookie, err = LoadCookie(o.CookieFile)
		s.CookieFrom = o.CookieFile
	case o.Adapter == "env":
		s.Cookie, err = envCookie(getenv)
		s.CookieFrom = EnvCookie
	default:
		s.Cookie, s.Created, err = generatedCookie(o.Generated)
		s.CookieFrom = o.Generated
	}
	if err != nil {
		return Secrets{}, err
	}
	return s, nil
}

func envCookie(getenv func(string) string) (Secret, error) {
	text := getenv(EnvCookie)
	if text == "" {
		return Secret{}, &MissingError{Variable: EnvCookie}
	}
	if reason := badCookie(text); reason != "" {
		return Secret{}, &CookieError{From: EnvCookie, Reason: reason}
	}
	return New(text), nil
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

// MissingError tells of a variable that the adapter env needs and the environment lacks.
type MissingError struct{ Variable string }

func (e *MissingError) Error() string {
	return fmt.Sprintf("secrets: adapter env: %s is not set in the daemon's environment", e.Variable)
}
