package etf

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Format prints t as io:format("~0tp", [t]) does on an erl started with +pc unicode: on one line of any length, lists of
// printable characters as strings, binaries as strings where they are such. Two things differ: pids, ports and
// references carry the name of their node instead of a channel number of some node, as in <shop@host.85.0>, and a map
// prints in the order that it has. The words reserved since OTP 27 are quoted.
func Format(t Term) string { return string(AppendFormat(nil, t)) }

// AppendFormat appends what Format returns.
func AppendFormat(dst []byte, t Term) []byte {
	switch v := plain(t).(type) {
	case Atom:
		return appendAtomText(dst, v)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case *big.Int:
		return v.Append(dst, 10)
	case float64:
		return appendFloatText(dst, v)
	case Tuple:
		return append(appendTerms(append(dst, '{'), v), '}')
	case List:
		return appendListText(dst, v, nil)
	case ImproperList:
		return appendListText(dst, v.Elems, v.Tail)
	case Charlist:
		return appendCharlistText(dst, v)
	case Binary:
		return appendBinaryText(dst, v)
	case Bitstring:
		return appendBitstringText(dst, v)
	case Map:
		return appendMapText(dst, v)
	case Pid:
		return fmt.Appendf(dst, "<%s.%d.%d>", v.Node, v.ID, v.Serial)
	case Port:
		return fmt.Appendf(dst, "#Port<%s.%d>", v.Node, v.ID)
	case Ref:
		return appendRefText(dst, v)
	case Export:
		dst = append(appendAtomText(append(dst, "fun "...), v.Module), ':')
		return fmt.Appendf(appendAtomText(dst, v.Function), "/%d", v.Arity)
	case *Fun:
		dst = append(appendAtomText(append(dst, "#Fun<"...), v.Module), '.')
		dst = append(AppendFormat(dst, v.OldIndex), '.')
		return append(AppendFormat(dst, v.OldUniq), '>')
	case *Record:
		return appendRecordText(dst, v)
	case Local:
		return fmt.Appendf(dst, "#Local<%d bytes>", len(v))
	default:
		return fmt.Appendf(dst, "#Go<%T>", v)
	}
}

// String and the other String methods print as Format does.
func (p Pid) String() string { return Format(p) }

func (p Port) String() string { return Format(p) }

func (r Ref) String() string { return Format(r) }

func appendTerms(dst []byte, terms []Term) []byte {
	for i, t := range terms {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendFormat(dst, t)
	}
	return dst
}

func appendListText(dst []byte, elems []Term, tail Term) []byte {
	if tail == nil && len(elems) > 0 && printableList(elems) {
		dst = append(dst, '"')
		for _, t := range elems {
			dst = appendChar(dst, rune(plain(t).(int64)), '"')
		}
		return append(dst, '"')
	}
	dst = appendTerms(append(dst, '['), elems)
	if tail != nil {
		dst = AppendFormat(append(dst, '|'), tail)
	}
	return append(dst, ']')
}

func appendCharlistText(dst []byte, s Charlist) []byte {
	if len(s) == 0 {
		return append(dst, "[]"...)
	}
	for i := 0; i < len(s); i++ {
		if !printable(rune(s[i])) {
			for i := 0; i < len(s); i++ {
				dst = append(dst, ",["[b2i(i == 0)])
				dst = strconv.AppendUint(dst, uint64(s[i]), 10)
			}
			return append(dst, ']')
		}
	}
	return appendLatin1(dst, []byte(s))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func appendLatin1(dst []byte, s []byte) []byte {
	dst = append(dst, '"')
	for _, c := range s {
		dst = appendChar(dst, rune(c), '"')
	}
	return append(dst, '"')
}

func printableList(elems []Term) bool {
	for _, t := range elems {
		c, ok := plain(t).(int64)
		if !ok || c < 0 || c > utf8.MaxRune || !printable(rune(c)) {
			return false
		}
	}
	return true
}

// printable is io_lib:printable_unicode_list/1 for one character.
func printable(c rune) bool {
	switch {
	case c >= ' ' && c <= '~', c >= 0xA0 && c <= 0xD7FF, c >= 0xE000 && c <= 0xFFFD, c >= 0x10000 && c <= 0x10FFFF:
		return true
	}
	return c >= '\b' && c <= '\r' || c == 0x1B
}

var charEscapes = map[rune]byte{
	'\n': 'n', '\r': 'r', '\t': 't', '\v': 'v', '\b': 'b', '\f': 'f', 0x1B: 'e', 0x7F: 'd', '\\': '\\',
}

// appendChar appends a character of a string or quoted atom.
func appendChar(dst []byte, c rune, quote byte) []byte {
	if c == rune(quote) {
		return append(dst, '\\', quote)
	}
	if e, ok := charEscapes[c]; ok {
		return append(dst, '\\', e)
	}
	if c < ' ' || c > '~' && c < 0xA0 {
		return append(dst, '\\', '0'+byte(c>>6), '0'+byte(c>>3)&7, '0'+byte(c)&7)
	}
	return utf8.AppendRune(dst, c)
}

func appendBinaryText(dst []byte, b []byte) []byte {
	dst = append(dst, "<<"...)
	switch {
	case len(b) == 0:
	case printableUTF8(b):
		dst = append(dst, '"')
		for _, c := range string(b) {
			dst = appendChar(dst, c, '"')
		}
		dst = append(dst, '"')
		if !isASCII(b) {
			dst = append(dst, "/utf8"...)
		}
	case printableLatin1(b):
		dst = appendLatin1(dst, b)
	default:
		dst = appendByteNumbers(dst, b)
	}
	return append(dst, ">>"...)
}

func printableUTF8(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for _, c := range string(b) {
		if !printable(c) {
			return false
		}
	}
	return true
}

func printableLatin1(b []byte) bool {
	for _, c := range b {
		if !printable(rune(c)) {
			return false
		}
	}
	return true
}

func appendByteNumbers(dst []byte, b []byte) []byte {
	for i, c := range b {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(c), 10)
	}
	return dst
}

func appendBitstringText(dst []byte, s Bitstring) []byte {
	n := len(s.Bytes)
	if n == 0 {
		return append(dst, "<<>>"...)
	}
	dst = appendByteNumbers(append(dst, "<<"...), s.Bytes[:n-1])
	if n > 1 {
		dst = append(dst, ',')
	}
	return fmt.Appendf(dst, "%d:%d>>", s.Bytes[n-1]>>(8-s.Bits), s.Bits)
}

func appendMapText(dst []byte, m Map) []byte {
	dst = append(dst, "#{"...)
	for i, p := range m {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendFormat(dst, p.Key), " => "...)
		dst = AppendFormat(dst, p.Value)
	}
	return append(dst, '}')
}

func appendRecordText(dst []byte, r *Record) []byte {
	dst = append(appendAtomText(append(dst, '#'), r.Module), ':')
	dst = append(appendAtomText(dst, r.Name), '{')
	for i, f := range r.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendAtomText(dst, f.Name), " = "...)
		dst = AppendFormat(dst, f.Value)
	}
	return append(dst, '}')
}

func appendRefText(dst []byte, r Ref) []byte {
	dst = append(append(dst, "#Ref<"...), r.Node...)
	for i := int(r.Len) - 1; i >= 0; i-- {
		dst = strconv.AppendUint(append(dst, '.'), uint64(r.ID[i]), 10)
	}
	return append(dst, '>')
}

// appendFloatText writes the shortest digits that read back as f, with an exponent where that is shorter, and always
// from 2^53 on, where not every integer is a float.
func appendFloatText(dst []byte, f float64) []byte {
	if f == 0 {
		return strconv.AppendFloat(dst, f, 'f', 1, 64)
	}
	var buf [32]byte
	digits := strconv.AppendFloat(buf[:0], f, 'e', -1, 64) // d.ddde±xx
	if digits[0] == '-' {
		dst, digits = append(dst, '-'), digits[1:]
		f = -f
	}
	mantissa, exp, _ := strings.Cut(string(digits), "e")
	exponent, _ := strconv.Atoi(exp) // written by AppendFloat
	s := strings.Replace(mantissa, ".", "", 1)
	place := exponent + 1 // f = 0.s × 10^place
	expText := strconv.Itoa(exponent)
	expCost := len(expText) + 2
	if len(s) == 1 {
		expCost++
	}
	zeros := func(n int) string { return strings.Repeat("0", n) }
	switch {
	case place > 0 && place < len(s):
		return append(append(append(dst, s[:place]...), '.'), s[place:]...)
	case place <= 0 && 2-place <= expCost:
		return append(append(append(dst, "0."...), zeros(-place)...), s...)
	case place >= len(s) && place-len(s)+2 <= expCost && f < 1<<53:
		return append(append(append(dst, s...), zeros(place-len(s))...), ".0"...)
	}
	dst = append(dst, s[0], '.')
	if len(s) == 1 {
		dst = append(dst, '0')
	}
	dst = append(append(dst, s[1:]...), 'e')
	return append(dst, expText...)
}

// reserved are the words that cannot be atoms without quotes.
var reserved = map[Atom]bool{
	"after": true, "and": true, "andalso": true, "band": true, "begin": true, "bnot": true, "bor": true, "bsl": true,
	"bsr": true, "bxor": true, "case": true, "catch": true, "cond": true, "div": true, "else": true, "end": true,
	"fun": true, "if": true, "let": true, "maybe": true, "not": true, "of": true, "or": true, "orelse": true,
	"receive": true, "rem": true, "try": true, "when": true, "xor": true,
}

func appendAtomText(dst []byte, a Atom) []byte {
	if bareAtom(a) {
		return append(dst, a...)
	}
	dst = append(dst, '\'')
	for _, c := range string(a) {
		dst = appendChar(dst, c, '\'')
	}
	return append(dst, '\'')
}

// bareAtom reports whether a needs no quotes.
func bareAtom(a Atom) bool {
	for i, c := range string(a) {
		if i == 0 && !isLower(c) || !isNameChar(c) {
			return false
		}
	}
	return a != "" && !reserved[a]
}

func isLower(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 0xDF && c <= 0xFF && c != 0xF7
}

func isUpper(c rune) bool {
	return c >= 'A' && c <= 'Z' || c >= 0xC0 && c <= 0xDE && c != 0xD7
}

func isNameChar(c rune) bool {
	return isLower(c) || isUpper(c) || c >= '0' && c <= '9' || c == '_' || c == '@'
}
