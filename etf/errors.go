package etf

import (
	"errors"
	"fmt"
	"reflect"
)

// Sentinels of the binary decoder, found with errors.Is inside a *SyntaxError.
var (
	// ErrTruncated says that the input ends before the term does.
	ErrTruncated = errors.New("truncated")
	// ErrTag says that a byte is not a tag, or that the fields behind a tag are not what the format allows.
	ErrTag = errors.New("malformed")
	// ErrLimit says that the term is larger or deeper than Limits allows.
	ErrLimit = errors.New("limit exceeded")
	// ErrTrailing says that bytes follow the term.
	ErrTrailing = errors.New("trailing bytes")
	// ErrRecord says that there is a native record where none is wanted, see RefuseRecords.
	ErrRecord = errors.New("native records are not agreed on")
)

// SyntaxError tells where the input stopped being a term. Err is one of the sentinels, or wraps one.
type SyntaxError struct {
	Offset int  // byte offset in the input, or in the decompressed data of a COMPRESSED term
	Tag    byte // the tag being read, 0 if there was none
	Err    error
}

func (e *SyntaxError) Error() string {
	if e.Tag == 0 {
		return fmt.Sprintf("etf: offset %d: %v", e.Offset, e.Err)
	}
	return fmt.Sprintf("etf: %s at offset %d: %v", tagName(e.Tag), e.Offset, e.Err)
}

func (e *SyntaxError) Unwrap() error { return e.Err }

// UnsupportedTypeError says that a Go value has no Erlang form.
type UnsupportedTypeError struct{ Type reflect.Type }

func (e *UnsupportedTypeError) Error() string {
	if e.Type == nil {
		return "etf: nil has no Erlang form"
	}
	return "etf: " + e.Type.String() + " has no Erlang form"
}

// ValueError says that a Go value of a supported type is outside what Erlang can hold: an atom that is too long or not
// UTF-8, a float that is not finite, a term nested too deeply.
type ValueError struct {
	What   string // "atom", "float", ...
	Reason string
}

func (e *ValueError) Error() string { return "etf: " + e.What + ": " + e.Reason }

// TextError tells where Erlang text stopped being a term.
type TextError struct {
	Name   string // of the file, as given to Consult; may be empty
	Line   int    // from 1
	Column int    // from 1, in code points
	Reason string
}

func (e *TextError) Error() string {
	name := e.Name
	if name == "" {
		name = "term"
	}
	return fmt.Sprintf("%s:%d:%d: %s", name, e.Line, e.Column, e.Reason)
}

// UnmarshalError tells which part of a term did not fit its Go value.
type UnmarshalError struct {
	Path string // such as "apps[2].version"; empty for the whole term
	Term string // the term there, printed and cut
	Type reflect.Type
	Err  error // the reason when it is more than a wrong kind, else nil
}

func (e *UnmarshalError) Error() string {
	where := ""
	if e.Path != "" {
		where = e.Path + ": "
	}
	if e.Err != nil {
		return fmt.Sprintf("etf: %s%v", where, e.Err)
	}
	return fmt.Sprintf("etf: %scannot put %s into %s", where, e.Term, e.Type)
}

func (e *UnmarshalError) Unwrap() error { return e.Err }
