package etf

import (
	"strings"
	"unicode/utf8"
)

// Text returns the characters of a string in any of Erlang's forms: a binary (UTF-8, or Latin-1 where it is not), a
// charlist, a list of code points, chardata nested of these (as iolists are), or an atom. False if t is none of them.
func Text(t Term) (string, bool) {
	if a, ok := plain(t).(Atom); ok {
		return string(a), true
	}
	var out strings.Builder
	ok := appendText(&out, t)
	return out.String(), ok
}

func appendText(out *strings.Builder, t Term) bool {
	switch v := plain(t).(type) {
	case Binary:
		if utf8.Valid(v) {
			out.Write(v)
		} else {
			out.Write(latin1ToUTF8(v))
		}
		return true
	case Charlist:
		out.Write(latin1ToUTF8([]byte(v)))
		return true
	case List:
		return appendTextElems(out, v)
	case ImproperList:
		if _, isBinary := plain(v.Tail).(Binary); !isBinary {
			return false
		}
		return appendTextElems(out, v.Elems) && appendText(out, v.Tail)
	}
	return false
}

func appendTextElems(out *strings.Builder, elems []Term) bool {
	for _, t := range elems {
		if c, ok := plain(t).(int64); ok {
			if c < 0 || c > utf8.MaxRune || c >= 0xD800 && c <= 0xDFFF {
				return false
			}
			out.WriteRune(rune(c))
		} else if !appendText(out, t) {
			return false
		}
	}
	return true
}
