package release

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestCompareVersions(t *testing.T) {
	t.Parallel()
	want := []string{"0.9", "0.9.0", "0.9.9-rc.1", "0.9.9", "0.10.0", "1.0.0-1", "1.0.0-alpha", "1.0.0-rc.2", "1.0.0-rc.10",
		"1.0.0", "1.0.0+4", "1.0.0+12", "2.0.0", "10.0.0"}
	for range 20 {
		got := slices.Clone(want)
		rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		slices.SortFunc(got, CompareVersions)
		if !slices.Equal(got, want) {
			t.Fatalf("sorted %q, want %q", got, want)
		}
	}
}

func TestCheckName(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"a", "shop", "my_app2", "my-app", "a.b", "shop-x1y2z3"} {
		if err := CheckName(s); err != nil {
			t.Errorf("CheckName(%q) = %v", s, err)
		}
	}
	for _, s := range []string{"", ".", "..", ".hidden", "-x", "a/b", "a\\b", "a b", "a\x00", "ä", "a+b", "../x",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		if err := CheckName(s); !errors.Is(err, ErrBadName) {
			t.Errorf("CheckName(%q) = %v, want ErrBadName", s, err)
		}
	}
}
