//go:build !nogcs

package gcs

import (
	"slices"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/emulator"
)

func TestBucket_Folders(t *testing.T) {
	s := emulator.StartGCS(t)
	b := open(t, s)
	for _, key := range []string{"versions/shop/prod/current.json", "versions/shop/staging/current.json", "versions/shop/current.json", "versions/other/x/current.json"} {
		if err := b.Put(t.Context(), key, strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
	}
	got, err := b.Folders(t.Context(), "versions/shop/")
	slices.Sort(got)
	if err != nil || !slices.Equal(got, []string{"prod", "staging"}) {
		t.Errorf("Folders = %q, %v", got, err)
	}
	if got, err := b.Folders(t.Context(), "none/"); err != nil || len(got) > 0 {
		t.Errorf("Folders of nothing = %q, %v", got, err)
	}
}
