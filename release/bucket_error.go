package release

import (
	"errors"
	"strings"
)

// Why a bucket does not give what it is asked for. Each is behind a *BucketError.
var (
	// ErrUnchanged: the object is the one that the caller has.
	ErrUnchanged = errors.New("unchanged")

	ErrNoBucket      = errors.New("no such bucket")
	ErrNoCredentials = errors.New("no credentials")
	// ErrDenied: the credentials are known, but do not allow it.
	ErrDenied = errors.New("access denied")
	// ErrCredentials: the credentials themselves are refused: an unknown key, a wrong secret.
	ErrCredentials = errors.New("credentials refused")
	ErrExpired     = errors.New("credentials expired")
	ErrClockSkew   = errors.New("this host's clock is wrong")
	ErrWrongRegion = errors.New("wrong region")
	ErrThrottled   = errors.New("too many requests")
	ErrDNS         = errors.New("host name does not resolve")
	ErrTLS         = errors.New("TLS")
	// ErrUnreachable: no connection, or one that was cut off or fell silent.
	ErrUnreachable = errors.New("out of reach")
	// ErrServer: the store itself has trouble (5xx).
	ErrServer = errors.New("trouble of the store")
)

// BucketError says what a bucket refused, why, and what to do about it. Its text is the same each time for the same
// cause: no request IDs, no times.
type BucketError struct {
	Location string // of the object, such as s3://bucket/key
	Kind     error  // one of the sentinels above, ErrNotFound or ErrChanging
	Detail   string // in the store's own words, or the network's; may be empty
	Remedy   string // what to do; may be empty
	Request  string // the store's ID of the request, for its support; not part of the text
	Err      error  // the cause
}

func (e *BucketError) Error() string {
	var b strings.Builder
	if e.Location != "" {
		b.WriteString(e.Location + ": ")
	}
	b.WriteString(e.Kind.Error())
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.Remedy != "" {
		b.WriteString(" (" + e.Remedy + ")")
	}
	return b.String()
}

// Unwrap returns the kind and the cause.
func (e *BucketError) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}
