package applog

import (
	"bytes"
	"fmt"
	"strings"
)

// Level is how grave a line is, by the levels of Erlang's logger. The zero Level is that of a line that tells none.
type Level int

// The levels, in their order.
const (
	NoLevel Level = iota
	Debug
	Info
	Notice
	Warning
	Error
	Critical
	Alert
	Emergency
)

// Levels are the names of the levels, as ParseLevel knows them.
var Levels = []string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}

func (l Level) String() string {
	if l <= NoLevel || int(l) > len(Levels) {
		return ""
	}
	return Levels[l-1]
}

// ParseLevel reads the name of a level; the empty one is NoLevel.
func ParseLevel(name string) (Level, error) {
	if name == "" {
		return NoLevel, nil
	}
	if l := levelWord([]byte(name)); l != NoLevel {
		return l, nil
	}
	return NoLevel, fmt.Errorf("%q is no level; they are %s", name, strings.Join(Levels, ", "))
}

// levelWord reads a level as loggers write it: Erlang's and Elixir's names, four letters as those of Gleam's, and what
// else is common.
func levelWord(b []byte) Level {
	if len(b) < 4 || len(b) > 9 {
		return NoLevel
	}
	var lower [9]byte
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	switch string(lower[:len(b)]) {
	case "debug", "debg", "dbug", "trace":
		return Debug
	case "info":
		return Info
	case "notice", "ntce":
		return Notice
	case "warning", "warn":
		return Warning
	case "error", "eror":
		return Error
	case "critical", "crit", "fatal":
		return Critical
	case "alert", "alrt":
		return Alert
	case "emergency", "emrg", "panic":
		return Emergency
	}
	return NoLevel
}

// levelWithin is how far into a line a level is looked for.
const levelWithin = 200

// levelOf finds the level of a line; stamped is how many bytes of it were a time.
//
//	2026-11-20T09:59:58.123456+01:00 error: ...   Erlang's logger_formatter
//	09:59:58.123 request_id=x [error] ...          Elixir's Logger; lager
//	=ERROR REPORT==== 20-Nov-2026::...             error_logger's form
//	INFO ...                                       Gleam's logging, with or without colours
//	{"level":"error", ...}  level=error            JSON, logfmt
func levelOf(line []byte, stamped int) Level {
	if len(line) == 0 {
		return NoLevel
	}
	if line[0] == '=' {
		return reportLevel(line)
	}
	b := line[stamped:min(len(line), stamped+levelWithin)]
	b = skipBlank(b)
	if len(b) == 0 {
		return NoLevel
	}
	switch {
	case b[0] == '{':
		return fieldLevel(b, `"level":`, `"severity":`, `"lvl":`)
	case b[0] == '[' || stamped > 0:
		if l := firstWord(b); l != NoLevel {
			return l
		}
		for rest := b; ; {
			_, after, found := bytes.Cut(rest, []byte("["))
			if !found {
				break
			}
			word, _, closed := bytes.Cut(after, []byte("]"))
			if closed {
				if l := levelWord(word); l != NoLevel {
					return l
				}
			}
			rest = after
		}
		return fieldLevel(b, "level=", "severity=")
	case b[0] >= 'A' && b[0] <= 'Z':
		if l := firstWord(b); l != NoLevel && isUpper(b[1]) {
			return l
		}
	case b[0] >= 'a' && b[0] <= 'z' && bytes.IndexByte(b, '=') > 0:
		return fieldLevel(b, "level=", "severity=", "lvl=")
	}
	return NoLevel
}

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }

// skipBlank skips blanks and the sequences that colour a terminal.
func skipBlank(b []byte) []byte {
	for len(b) > 0 {
		switch {
		case b[0] == ' ' || b[0] == '\t' || b[0] == ']':
			b = b[1:]
		case b[0] == 0x1b && len(b) > 1 && b[1] == '[':
			i := bytes.IndexByte(b, 'm')
			if i < 0 {
				return nil
			}
			b = b[i+1:]
		default:
			return b
		}
	}
	return b
}

// firstWord reads the word that b begins with, if it is a level and ends there.
func firstWord(b []byte) Level {
	n := 0
	for n < len(b) && n < 10 && isWord(b[n]) {
		n++
	}
	if n < len(b) && (b[n] == ':' || b[n] == ' ' || b[n] == 0x1b || b[n] == '|') || n == len(b) {
		return levelWord(b[:n])
	}
	return NoLevel
}

// fieldLevel reads the level behind one of the keys.
func fieldLevel(b []byte, keys ...string) Level {
	for _, key := range keys {
		if i := bytes.Index(b, []byte(key)); i >= 0 {
			rest := bytes.TrimLeft(b[i+len(key):], ` "`)
			n := 0
			for n < len(rest) && isWord(rest[n]) {
				n++
			}
			return levelWord(rest[:n])
		}
	}
	return NoLevel
}

func reportLevel(line []byte) Level {
	i := indexMark(line, " REPORT====")
	if i < 0 {
		return NoLevel
	}
	switch word := string(line[1:i]); word {
	case "CRASH", "SUPERVISOR":
		return Error
	case "PROGRESS":
		return Info
	default:
		return levelWord([]byte(word))
	}
}
