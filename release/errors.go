package release

import (
	"errors"
	"fmt"
	"strings"
)

// Errors that callers tell apart with errors.Is.
var (
	ErrExists     = errors.New("already exists")
	ErrNotFound   = errors.New("not found")
	ErrBadName    = errors.New("bad name")
	ErrBadVersion = errors.New("bad version")

	// ErrBadCurrent is behind every *CurrentError.
	ErrBadCurrent = errors.New("bad current.json")
	// ErrTruncated: the archive ends before its end.
	ErrTruncated = errors.New("archive is cut off")
	// ErrChanging: the object was written to while it was read; later it may be whole.
	ErrChanging = errors.New("still being written")
	// ErrBadArchive: not a gzipped tar file, or one with damaged contents.
	ErrBadArchive = errors.New("damaged archive")
	// ErrUnsafePath: an entry that would reach out of the tree, or is no plain file, folder or link.
	ErrUnsafePath = errors.New("unsafe entry")
	// ErrLimit: more entries, bytes, links, a longer name or a higher compression ratio than Limits allow.
	ErrLimit = errors.New("over the limit")
	// ErrChecksum: the archive's sha256 is not the one that current.json names.
	ErrChecksum = errors.New("wrong sha256")
	// ErrSignature: current.json is not signed, or not as it should be.
	ErrSignature = errors.New("signature refused")
	// ErrBadRel: the archive is whole but holds no release that can be started.
	ErrBadRel = errors.New("not a release")
	// ErrNoSpace: the disk (or quota, or file size limit) has no room.
	ErrNoSpace = errors.New("no space left")
	// ErrLocked: another process has the store open.
	ErrLocked = errors.New("locked by another process")
	// ErrNotPrepared: Switch without a complete new folder.
	ErrNotPrepared = errors.New("no new release prepared")
)

// Error says which operation failed for which release.
type Error struct {
	Op      string // open, current, fetch, verify, unpack, prepare, switch, upgrade, remove, prune, inspect, publish, describe, list
	Release string // the app's name
	Version string // empty when it has no part in it
	Err     error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("release: ")
	b.WriteString(e.Op)
	if e.Release != "" {
		fmt.Fprintf(&b, " %q", e.Release)
	}
	if e.Version != "" {
		b.WriteString(" " + e.Version)
	}
	b.WriteString(": ")
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// EntryError names the entry of an archive that was refused.
type EntryError struct {
	Name string // as the archive has it
	Err  error
}

func (e *EntryError) Error() string { return fmt.Sprintf("entry %s: %v", quoteCut(e.Name), e.Err) }

// Unwrap returns the cause.
func (e *EntryError) Unwrap() error { return e.Err }

// CurrentError says where and why a current.json is not valid. It unwraps to ErrBadCurrent.
type CurrentError struct {
	File   string // as the bucket shows it
	Line   int    // from 1
	Reason string
}

func (e *CurrentError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Reason) }

// Unwrap returns ErrBadCurrent.
func (e *CurrentError) Unwrap() error { return ErrBadCurrent }

// quoteCut quotes text that came from outside and cuts it to a length that a log line bears.
func quoteCut(s string) string {
	const most = 200
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
