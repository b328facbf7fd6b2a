package release

import (
	"cmp"
	"fmt"
	"strings"
)

const (
	maxName    = 64
	maxVersion = 128
)

// CheckVersion says whether v can name a version: 1 to 128 of letters, digits and . _ + ~ -, not starting with . or -.
// The error wraps ErrBadVersion.
func CheckVersion(v string) error {
	if why := badWord(v, maxVersion, "._+~-"); why != "" {
		return fmt.Errorf("%w %s: %s", ErrBadVersion, quoteCut(v), why)
	}
	return nil
}

// CheckName says whether s can name an app or an instance: 1 to 64 of letters, digits and . _ -, not starting with . or -.
// The error wraps ErrBadName.
func CheckName(s string) error {
	if why := badWord(s, maxName, "._-"); why != "" {
		return fmt.Errorf("%w %s: %s", ErrBadName, quoteCut(s), why)
	}
	return nil
}

// badWord says what is wrong with s as one component of a path, or nothing.
func badWord(s string, most int, marks string) string {
	switch {
	case s == "":
		return "it is empty"
	case len(s) > most:
		return fmt.Sprintf("it is longer than %d bytes", most)
	case s[0] == '.' || s[0] == '-':
		return fmt.Sprintf("it starts with %q", s[0])
	}
	for _, r := range s {
		if !isDigit(r) && !isLetter(r) && !strings.ContainsRune(marks, r) {
			return fmt.Sprintf("%q is not allowed in it", r)
		}
	}
	return ""
}

func isDigit(r rune) bool  { return '0' <= r && r <= '9' }
func isLetter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }

// CompareVersions orders versions: dotted numbers by their value, a pre-release (-rc.1) before the release, build
// metadata (+5) after all else. It returns a negative number, zero or a positive one.
func CompareVersions(a, b string) int {
	coreA, preA, buildA := splitVersion(a)
	coreB, preB, buildB := splitVersion(b)
	if c := compareDotted(coreA, coreB); c != 0 {
		return c
	}
	switch {
	case preA == "" && preB != "":
		return 1
	case preA != "" && preB == "":
		return -1
	}
	return cmp.Or(compareDotted(preA, preB), compareDotted(buildA, buildB), strings.Compare(a, b))
}

func splitVersion(v string) (core, pre, build string) {
	v, build, _ = strings.Cut(v, "+")
	core, pre, _ = strings.Cut(v, "-")
	return strings.TrimPrefix(core, "v"), pre, build
}

func compareDotted(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == "":
		return -1
	case b == "":
		return 1
	}
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		if c := compareWord(as[i], bs[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(as), len(bs))
}

// compareWord compares numbers by value; a number comes before a word.
func compareWord(a, b string) int {
	na, nb := isNumber(a), isNumber(b)
	switch {
	case na && nb:
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	case na:
		return -1
	case nb:
		return 1
	}
	return strings.Compare(a, b)
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
