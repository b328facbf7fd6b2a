package applog

import (
	"bytes"
	"strings"
	"time"
)

// MaxLine is the length in bytes at which a line is cut.
const MaxLine = 16 << 10

// Line is one line of a log file: valid UTF-8, without its line end, cut at MaxLine.
type Line struct {
	Text string
	Time time.Time // when it was seen while following; zero for a line that was there already
}

// splitter cuts what is written to it into lines. A line is never held with more than MaxLine bytes.
type splitter struct {
	line []byte
	cut  int  // bytes of the line that were dropped
	open bool // a line has begun
}

// write calls yield for each line that ends in b, and returns false as soon as yield does.
func (s *splitter) write(b []byte, yield func(string) bool) bool {
	for len(b) > 0 {
		s.open = true
		part, rest, found := bytes.Cut(b, []byte("\n"))
		room := MaxLine - len(s.line)
		if room < len(part) {
			s.cut += len(part) - room
			part = part[:room]
		}
		s.line = append(s.line, part...)
		if !found {
			return true
		}
		if !s.flush(yield) {
			return false
		}
		b = rest
	}
	return true
}

// flush ends the line under way, if there is one.
func (s *splitter) flush(yield func(string) bool) bool {
	if !s.open {
		return true
	}
	text := strings.TrimSuffix(string(s.line), "\r")
	if s.cut > 0 {
		text += "…"
	}
	s.line, s.cut, s.open = s.line[:0], 0, false
	return yield(strings.ToValidUTF8(text, "\uFFFD"))
}
