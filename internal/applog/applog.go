// Package applog reads the log files that instances write: their last lines, what is added, and why a BEAM ended.
package applog

import (
	"context"
	"errors"
	"regexp"
	"time"
)

var errTODO = errors.New("applog: not written yet")

// MaxLine is the length in bytes at which a line is cut.
const MaxLine = 16 << 10

// Line is one line of a log file, valid UTF-8, without its line end.
type Line struct {
	Text string
	Time time.Time // when it was seen while following; zero for a line that was there already
}

// Options of Read.
type Options struct {
	Lines  int            // the last so many lines that match; 0: all
	Follow bool           // go on with what is added, until ctx ends
	Since  time.Time      // only lines that are newer, as far as their own time stamps tell
	Grep   *regexp.Regexp // only lines that match
}

// Tail returns the last n lines of a file. A missing file has none.
func Tail(path string, n int) ([]string, error) { return nil, errTODO }

// Read calls yield for each line that o asks for, until the end, ctx's end, or until yield returns false.
// A file that does not exist yet is waited for with Follow, and is empty otherwise. Following survives truncation
// and replacement of the file. The end of ctx is not an error.
func Read(ctx context.Context, path string, o Options, yield func(Line) bool) error { return errTODO }

// CrashSlogan says in one line why a BEAM ended, from the end of its log files and its crash dump
// (erl_crash.dump, if newer than since); empty when nothing tells.
func CrashSlogan(since time.Time, dump string, logs ...string) string { return "" }
