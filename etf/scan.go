package etf

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// tokenKind is the kind of a token of Erlang text.
type tokenKind uint8

const (
	tokEnd    tokenKind = iota // of the text
	tokDot                     // full stop
	tokAtom                    // text
	tokVar                     // text
	tokNumber                  // value: int64, *big.Int or float64; a character too
	tokString                  // text
	tokBinary                  // text, from a sigil
	tokPunct                   // text: one of { } [ ] ( ) , | # : / - + << >> => and others that no term has
)

type token struct {
	kind  tokenKind
	at    int // byte offset
	text  string
	value Term
}

func (t token) String() string {
	switch t.kind {
	case tokEnd:
		return "the end of the text"
	case tokDot:
		return "full stop"
	case tokNumber:
		return Format(t.value)
	case tokString, tokBinary:
		return fmt.Sprintf("string %.40q", t.text)
	case tokVar:
		return "variable " + t.text
	}
	return strconv.Quote(t.text)
}

// scanner cuts Erlang text into tokens as erl_scan does.
type scanner struct {
	name string
	text string
	p    int
}

// scanError is what scanner and parser throw at themselves; Consult and its like return it.
type scanError struct {
	at     int
	reason string
}

func (s *scanner) fail(at int, format string, args ...any) {
	panic(scanError{at, fmt.Sprintf(format, args...)})
}

// position turns an error into one with line and column.
func (s *scanner) position(e scanError) *TextError {
	before := s.text[:min(e.at, len(s.text))]
	line := strings.LastIndexByte(before, '\n') + 1
	return &TextError{
		Name: s.name, Line: 1 + strings.Count(before, "\n"), Column: 1 + utf8.RuneCountInString(before[line:]), Reason: e.reason,
	}
}

// peek returns the character at the scanner's place, -1 at the end.
func (s *scanner) peek() rune {
	if s.p >= len(s.text) {
		return -1
	}
	c, _ := utf8.DecodeRuneInString(s.text[s.p:])
	return c
}

// take returns the next character and passes over it.
func (s *scanner) take() rune {
	if s.p >= len(s.text) {
		return -1
	}
	c, n := utf8.DecodeRuneInString(s.text[s.p:])
	if c == utf8.RuneError && n == 1 {
		s.fail(s.p, "byte %#x is not UTF-8; a file in Latin-1 says so by %%%% coding: latin-1 in its first two lines", s.text[s.p])
	}
	s.p += n
	return c
}

func isSpace(c rune) bool { return c >= 0 && c <= ' ' || c >= 0x80 && c <= 0xA0 }

func (s *scanner) skipSpace() {
	for {
		switch c := s.peek(); {
		case c == '%':
			if i := strings.IndexByte(s.text[s.p:], '\n'); i >= 0 {
				s.p += i
			} else {
				s.p = len(s.text)
			}
		case isSpace(c):
			s.take()
		default:
			return
		}
	}
}

func (s *scanner) next() token {
	s.skipSpace()
	at := s.p
	tok := func(kind tokenKind, text string) token { return token{kind: kind, at: at, text: text} }
	switch c := s.peek(); {
	case c < 0:
		return tok(tokEnd, "")
	case isLower(c):
		return tok(tokAtom, s.atomText(at, s.bareName()))
	case isUpper(c), c == '_':
		return tok(tokVar, s.bareName())
	case c >= '0' && c <= '9':
		return token{kind: tokNumber, at: at, value: s.number()}
	case c == '$':
		s.take()
		return token{kind: tokNumber, at: at, value: int64(s.char(at))}
	case c == '\'':
		s.take()
		return token{kind: tokAtom, at: at, text: s.atomText(at, s.quoted(at, '\'', true)), value: true}
	case c == '"':
		return tok(tokString, s.stringToken(at, true))
	case c == '~':
		return s.sigil(at)
	case c == '.':
		return s.dot(at)
	}
	return tok(tokPunct, s.punct())
}

func (s *scanner) atomText(at int, text string) string {
	if utf8.RuneCountInString(text) > maxAtomChars {
		s.fail(at, "atom of more than %d characters", maxAtomChars)
	}
	return text
}

// bareName takes an atom without quotes or a variable.
func (s *scanner) bareName() string {
	start := s.p
	for isNameChar(s.peek()) {
		s.take()
	}
	return s.text[start:s.p]
}

// dot takes a full stop, which white space, a comment or the end follows.
func (s *scanner) dot(at int) token {
	s.take()
	if c := s.peek(); c < 0 || c == '%' || isSpace(c) {
		return token{kind: tokDot, at: at}
	}
	return token{kind: tokPunct, at: at, text: "."}
}

func (s *scanner) punct() string {
	for _, p := range [...]string{"<<", ">>", "=>", ":=", "--", "++"} {
		if strings.HasPrefix(s.text[s.p:], p) {
			s.p += len(p)
			return p
		}
	}
	return string(s.take())
}

func digitValue(c rune) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'z':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'Z':
		return int(c-'A') + 10
	}
	return 99
}

// digits takes digits of a base; an underscore may stand between two of them.
func (s *scanner) digits(base int) string {
	var out strings.Builder
	for {
		c := s.peek()
		switch {
		case digitValue(c) < base:
			out.WriteRune(s.take())
		case c == '_' && out.Len() > 0 && s.p+1 < len(s.text) && digitValue(rune(s.text[s.p+1])) < base:
			s.take()
		default:
			return out.String()
		}
	}
}

// maxDigits bounds integers in text, so that a file cannot make us work for minutes.
const maxDigits = 100000

func (s *scanner) number() Term {
	at := s.p
	whole := s.digits(10)
	base := 10
	switch {
	case s.peek() == '#':
		n, err := strconv.Atoi(whole)
		if err != nil || n < 2 || n > 36 {
			s.fail(at, "base %s is not between 2 and 36", whole)
		}
		s.take()
		base = n
		if whole = s.digits(base); whole == "" {
			s.fail(at, "no digits of base %d", base)
		}
	case s.peek() == '.' && s.p+1 < len(s.text) && s.text[s.p+1] >= '0' && s.text[s.p+1] <= '9':
		return s.float(at, whole)
	}
	if len(whole) > maxDigits {
		s.fail(at, "integer of %d digits, at most %d", len(whole), maxDigits)
	}
	if v, err := strconv.ParseInt(whole, base, 64); err == nil {
		return v
	}
	v, ok := new(big.Int).SetString(whole, base)
	if !ok {
		s.fail(at, "%q is not a number of base %d", whole, base)
	}
	return v
}

// float takes what follows the digits before the point.
func (s *scanner) float(at int, whole string) Term {
	s.take()
	text := whole + "." + s.digits(10)
	if c := s.peek(); c == 'e' || c == 'E' {
		back := s.p
		s.take()
		sign := ""
		if c := s.peek(); c == '+' || c == '-' {
			sign = string(s.take())
		}
		if exp := s.digits(10); exp != "" {
			text += "e" + sign + exp
		} else {
			s.p = back
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		s.fail(at, "float %s is out of range", text)
	}
	return f
}

// char takes the character behind a $.
func (s *scanner) char(at int) rune {
	c := s.take()
	switch c {
	case -1:
		s.fail(at, "no character behind $")
	case '\\':
		return s.escape(at)
	}
	return c
}

// escape takes what follows a backslash.
func (s *scanner) escape(at int) rune {
	start := s.p
	c := s.take()
	switch c {
	case -1:
		s.fail(at, "the text ends in an escape")
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'v':
		return '\v'
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'e':
		return 0x1B
	case 's':
		return ' '
	case 'd':
		return 0x7F
	case '^':
		if c = s.take(); c < '@' || c > '_' && (c < 'a' || c > 'z') {
			s.fail(start, "bad control character escape")
		}
		return c & 31
	case 'x':
		return s.hexEscape(start)
	}
	if c >= '0' && c <= '7' {
		v := c - '0'
		for range 2 {
			if d := s.peek(); d >= '0' && d <= '7' {
				v = v*8 + s.take() - '0'
			}
		}
		return v
	}
	return c
}

func (s *scanner) hexEscape(start int) rune {
	digits := ""
	if s.peek() == '{' {
		s.take()
		for digitValue(s.peek()) < 16 && len(digits) < 9 {
			digits += string(s.take())
		}
		if s.take() != '}' {
			s.fail(start, "\\x{ without }")
		}
	} else {
		for digitValue(s.peek()) < 16 && len(digits) < 2 {
			digits += string(s.take())
		}
		if len(digits) < 2 {
			s.fail(start, "\\x needs two digits")
		}
	}
	v, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || v > utf8.MaxRune || v >= 0xD800 && v <= 0xDFFF {
		s.fail(start, "\\x{%s} is not a character", digits)
	}
	return rune(v)
}

// quoted takes the text up to an unescaped closing quote, whose opening one has been taken.
func (s *scanner) quoted(at int, quote rune, escapes bool) string {
	var out strings.Builder
	for {
		c := s.take()
		switch {
		case c < 0:
			s.fail(at, "no closing %c", quote)
		case c == quote:
			return out.String()
		case c == '\\' && escapes:
			out.WriteRune(s.escape(at))
		default:
			out.WriteRune(c)
		}
	}
}

// stringToken takes "..." or, since OTP 27, a triple-quoted string.
func (s *scanner) stringToken(at int, escapes bool) string {
	quotes := 0
	for strings.HasPrefix(s.text[s.p+quotes:], `"`) {
		quotes++
	}
	if quotes < 3 {
		s.take()
		return s.quoted(at, '"', escapes)
	}
	return s.tripleQuoted(at, quotes)
}

// tripleQuoted takes a string whose lines stand between a line that ends in the quotes and one that begins with them,
// whose indentation is not part of the lines.
func (s *scanner) tripleQuoted(at, quotes int) string {
	mark := s.text[s.p : s.p+quotes]
	first, rest, ok := strings.Cut(s.text[s.p+quotes:], "\n")
	if !ok || strings.TrimSpace(first) != "" {
		s.fail(at, "text behind the opening %s", mark)
	}
	start := len(s.text) - len(rest)
	var lines []string
	for {
		line, after, more := strings.Cut(rest, "\n")
		if indent, tail, found := strings.Cut(line, mark); found && strings.TrimSpace(indent) == "" {
			s.p = len(s.text) - len(rest) + len(indent) + len(mark)
			if strings.HasPrefix(tail, `"`) {
				s.fail(s.p, "more quotes at the end than at the beginning")
			}
			return s.dedent(start, lines, indent)
		}
		if !more {
			s.fail(at, "no closing %s", mark)
		}
		lines = append(lines, strings.TrimSuffix(line, "\r"))
		rest = after
	}
}

func (s *scanner) dedent(at int, lines []string, indent string) string {
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, indent):
			lines[i] = line[len(indent):]
		case strings.TrimSpace(line) == "":
			lines[i] = ""
		default:
			s.fail(at, "line %d of the string is indented less than its end", i+1)
		}
		if !utf8.ValidString(line) {
			s.fail(at, "line %d of the string is not UTF-8", i+1)
		}
	}
	return strings.Join(lines, "\n")
}

var sigilPairs = map[rune]rune{
	'(': ')', '[': ']', '{': '}', '<': '>', '/': '/', '|': '|', '\'': '\'', '"': '"', '`': '`', '#': '#',
}

// sigil takes ~"..." and its kin (OTP 27): ~ ~b ~B are UTF-8 binaries, ~s ~S strings; capitals know no escapes.
func (s *scanner) sigil(at int) token {
	s.take()
	kind, escapes := tokBinary, true
	switch s.peek() {
	case 'b':
		s.take()
	case 'B':
		s.take()
		escapes = false
	case 's':
		s.take()
		kind = tokString
	case 'S':
		s.take()
		kind, escapes = tokString, false
	}
	open := s.peek()
	if open == '"' {
		return token{kind: kind, at: at, text: s.stringToken(at, escapes)}
	}
	end, ok := sigilPairs[open]
	if !ok {
		s.fail(at, "bad sigil")
	}
	s.take()
	return token{kind: kind, at: at, text: s.quoted(at, end, escapes)}
}
