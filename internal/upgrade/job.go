package upgrade

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// fault makes the error of a step.
func (j Job) fault(op string, kind error, reason string, err error) *Error {
	return &Error{Op: op, Name: j.Name, From: j.From, To: j.To, Kind: kind, Reason: reason, Err: err}
}

// called makes the error of a call to the node: an exception is the node's answer, anything else is the link's.
func (j Job) called(op, reason string, err error) *Error {
	if e, ok := exception(err); ok {
		return j.fault(op, ErrNotPossible, reason, errors.New(brief(e.Reason)))
	}
	return j.fault(op, ErrTransient, "link", err)
}

// filed makes the error of work on files.
func (j Job) filed(op string, err error) *Error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) || errors.Is(err, syscall.EIO) {
		return j.fault(op, ErrTransient, "disk", err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return j.fault(op, ErrNotPossible, "files", fmt.Errorf("a file that the upgrade needs is missing: %w", err))
	}
	return j.fault(op, ErrNotPossible, "files", err)
}

// asError gives an error of a part of a step the form of the step's.
func (j Job) asError(op string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		if e.Op == "" {
			e.Op = op
		}
		return e
	}
	return j.filed(op, err)
}
