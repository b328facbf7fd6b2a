package release

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"aead.dev/minisign"
)

// What Trust.Policy may be.
const (
	VerifyOff       = "off"        // signatures are not looked at
	VerifyIfPresent = "if_present" // a signature must be right where there is one; "" is this too
	VerifyRequired  = "required"   // there must be one
)

// maxAhead is how far the clock of who signs may be ahead of ours.
const maxAhead = time.Hour

// Trust says which releases may be deployed. It is not changed once it is in use.
type Trust struct {
	Policy string      // VerifyOff, VerifyIfPresent or VerifyRequired
	Keys   []PublicKey // one of them must have signed; none with VerifyIfPresent: signatures are not looked at
	Unread string      // why there are fewer keys than there should be; empty: there are not

	// Newest tells when the newest signed current.json of an app that was acted on was published; the zero time: there
	// was none. An older one is refused, and one without a signature. Nil: neither is.
	Newest func(app string) (time.Time, error)
}

// PublicKey is a key that releases are signed with.
type PublicKey struct {
	key  minisign.PublicKey
	From string // where it came from, for people
}

// ParsePublicKey reads a key as minisign writes it: a line beginning with RW, alone or below a comment.
func ParsePublicKey(text, from string) (PublicKey, error) {
	var k minisign.PublicKey
	if err := k.UnmarshalText([]byte(strings.TrimSpace(text))); err != nil {
		return PublicKey{}, fmt.Errorf("%s: no public key of minisign: it is a line that begins with RW (%w)", from, err)
	}
	return PublicKey{key: k, From: from}, nil
}

// ID is the key's number as minisign shows it.
func (k PublicKey) ID() string { return keyID(k.key.ID()) }

// String gives the key in one line, as configurations have it.
func (k PublicKey) String() string { return k.key.String() }

func keyID(id uint64) string { return fmt.Sprintf("%016X", id) }

// PrivateKey signs releases.
type PrivateKey struct{ key minisign.PrivateKey }

// ErrPassword: the private key needs a password, or another one.
var ErrPassword = errors.New("wrong password")

// NewKey makes a pair of keys.
func NewKey() (PublicKey, PrivateKey, error) {
	pub, priv, err := minisign.GenerateKey(nil)
	return PublicKey{key: pub}, PrivateKey{priv}, err
}

// ParsePrivateKey reads a key as minisign writes it. The error wraps ErrPassword if that is what is wrong.
func ParsePrivateKey(text []byte, password string) (PrivateKey, error) {
	text = []byte(strings.TrimSpace(string(text)))
	if minisign.IsEncrypted(text) {
		if password == "" {
			return PrivateKey{}, fmt.Errorf("the key is encrypted and no password is given: %w", ErrPassword)
		}
		key, err := minisign.DecryptKey(password, text)
		if err != nil {
			return PrivateKey{}, fmt.Errorf("%w: %w", ErrPassword, err)
		}
		return PrivateKey{key}, nil
	}
	var key minisign.PrivateKey
	if err := key.UnmarshalText(text); err != nil {
		return PrivateKey{}, fmt.Errorf("no private key of minisign: %w", err)
	}
	return PrivateKey{key}, nil
}

// Text writes the key as minisign does, encrypted if there is a password.
func (k PrivateKey) Text(password string) ([]byte, error) {
	var text []byte
	var err error
	if password == "" {
		text, err = k.key.MarshalText()
	} else {
		text, err = minisign.EncryptKey(password, k.key)
	}
	return append(text, '\n'), err
}

// Public gives the key that verifies what this one signs.
func (k PrivateKey) Public() PublicKey {
	pub, _ := k.key.Public().(minisign.PublicKey)
	return PublicKey{key: pub}
}

// Text writes the key as minisign does, with its comment.
func (k PublicKey) Text() []byte {
	return fmt.Appendf(nil, "untrusted comment: minisign public key %s\n%s\n", k.ID(), k.key)
}

// Sign fills in cur.Signature for an app and account. The version, sha256 and time must be set.
func (k PrivateKey) Sign(app, account string, cur *Current) error {
	b, err := Statement(app, account, *cur)
	if err != nil {
		return err
	}
	cur.Signature = string(minisign.SignWithComments(k.key, b, strings.TrimSpace(app+" "+cur.Version+" "+account), "signature of a release by beamkeeper"))
	return nil
}

// Statement is what is signed: all that a current.json says, and for which app and account, a line for each.
//
//	beamkeeper release 1
//	app shop
//	account prod                 without one: left out
//	version 1.2.0
//	sha256 64 hexadecimal digits in lower case
//	published_at 2026-01-02T03:04:05Z
//	hash 1a2b3c                  without one: left out
//	pre_command eval Shop.migrate()     one for each, in order
//
// Each line ends in a line break, and no value has one in it, so that no two files have the same statement.
//
// Errors: ErrSignature for a current.json without what must be signed.
func Statement(app, account string, cur Current) ([]byte, error) {
	switch {
	case cur.SHA256 == "":
		return nil, fmt.Errorf("%w: there is no sha256, so that it would not cover the archive", ErrSignature)
	case cur.PublishedAt.IsZero():
		return nil, fmt.Errorf("%w: there is no published_at, so that an old one could be put back", ErrSignature)
	}
	b := []byte("beamkeeper release 1\n")
	line := func(key, value string) error {
		if strings.ContainsAny(value, "\n\r\x00") {
			return fmt.Errorf("%w: %s has a line break in it, which cannot be signed", ErrSignature, key)
		}
		b = fmt.Appendf(b, "%s %s\n", key, value)
		return nil
	}
	var errs []error
	errs = append(errs, line("app", app))
	if account != "" {
		errs = append(errs, line("account", account))
	}
	errs = append(errs, line("version", cur.Version), line("sha256", strings.ToLower(cur.SHA256)), line("published_at", cur.publishedText()))
	if cur.Hash != "" {
		errs = append(errs, line("hash", cur.Hash))
	}
	for _, c := range cur.PreCommands {
		errs = append(errs, line("pre_command", c))
	}
	return b, errors.Join(errs...)
}

// looks says whether signatures are looked at.
func (t *Trust) looks() bool {
	return t != nil && t.Policy != VerifyOff && (len(t.Keys) > 0 || t.Policy == VerifyRequired || t.Unread != "")
}

// check says why cur may not be deployed. The error is a *SignatureError.
func (t *Trust) check(app, account string, cur Current) error {
	if !t.looks() {
		return nil
	}
	refuse := func(format string, args ...any) error {
		return &SignatureError{File: cur.File, App: app, Version: cur.Version, Reason: fmt.Sprintf(format, args...)}
	}
	if cur.Signature == "" {
		if t.Policy == VerifyRequired {
			return refuse("it is not signed, and release.verify is required; publish it with --sign")
		}
		return nil
	}
	var sig minisign.Signature
	if err := sig.UnmarshalText(tidySignature(cur.Signature)); err != nil {
		return refuse("what it has as signature is none of minisign's")
	}
	b, err := Statement(app, account, cur)
	if err != nil {
		return refuse("%v", err)
	}
	known := false
	for _, k := range t.Keys {
		if k.key.ID() != sig.KeyID {
			continue
		}
		known = true
		if minisign.Verify(k.key, b, tidySignature(cur.Signature)) {
			if ahead := time.Until(cur.PublishedAt); ahead > maxAhead {
				return refuse("it was signed in the future, at %s; set the clock of the machine that publishes, or of this one", cur.PublishedAt.Format(time.RFC3339))
			}
			return nil
		}
	}
	if !known && t.Unread != "" {
		return refuse("it is signed with the key %s, and not all of release.public_keys could be read: %s", keyID(sig.KeyID), t.Unread)
	}
	if !known {
		return refuse("it is signed with the key %s, which is none of release.public_keys (%s)", keyID(sig.KeyID), t.keyIDs())
	}
	return refuse("its signature, by the key %s, does not fit: something was changed after signing, or it was signed for another app or account than %q and %q", keyID(sig.KeyID), app, account)
}

// checkNewest says why a current.json that is signed may not take the place of the one before.
func (t *Trust) checkNewest(app string, cur Current) error {
	if !t.looks() || t.Newest == nil {
		return nil
	}
	newest, err := t.Newest(app)
	if err != nil || newest.IsZero() {
		return err
	}
	refuse := func(format string, args ...any) error {
		return &SignatureError{File: cur.File, App: app, Version: cur.Version, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case cur.Signature == "":
		return refuse("it is not signed, and the one before was; sign it, or set release.refuse_downgrade: false")
	case cur.PublishedAt.Before(newest):
		return refuse("it was signed at %s, before the one deployed last, at %s: an older one was put back. To go back to this version: beamkeeper rollback %s %s, or publish it again",
			cur.PublishedAt.Format(time.RFC3339), newest.UTC().Format(time.RFC3339), app, cur.Version)
	}
	return nil
}

func (t *Trust) keyIDs() string {
	var ids []string
	for _, k := range t.Keys {
		if id := k.ID(); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return strings.Join(ids, ", ")
}

// tidySignature takes off what editors and shells leave at the end.
func tidySignature(s string) []byte {
	return []byte(strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")))
}

// trust is the trust in force; nil: everything is trusted.
func (s Source) trust() *Trust {
	if s.Trust == nil {
		return nil
	}
	return s.Trust()
}

// trusted returns cur if it may be deployed.
func (s Source) trusted(app string, cur Current) (Current, error) {
	t := s.trust()
	err := t.check(app, s.Account, cur)
	if err == nil {
		err = t.checkNewest(app, cur)
	}
	if err != nil {
		return Current{File: cur.File, Token: cur.Token}, err
	}
	return cur, nil
}

// SignatureError says why a release is refused that is not signed as it should be. It unwraps to ErrSignature.
type SignatureError struct {
	File    string // the current.json
	App     string
	Version string
	Reason  string
}

func (e *SignatureError) Error() string {
	where := e.File
	if where == "" {
		where = "current.json"
	}
	return fmt.Sprintf("%s: version %s of %s is refused: %s", where, e.Version, e.App, e.Reason)
}

// Unwrap returns ErrSignature.
func (e *SignatureError) Unwrap() error { return ErrSignature }
