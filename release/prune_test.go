package release

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// stocked publishes versions to an account, one after the other, and makes them so many hours old.
func stocked(t *testing.T, sh shelf, account string, hours map[string]int) {
	t.Helper()
	var versions []string
	for v := range hours {
		versions = append(versions, v)
	}
	slices.SortFunc(versions, func(a, b string) int { return hours[b] - hours[a] })
	for _, v := range versions {
		_, err := Publish(t.Context(), PublishOptions{Bucket: sh.bucket, Account: account, App: "shop", File: writeArchive(t, archiveOf(t, mixRelease("shop", v)...))})
		if err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-time.Duration(hours[v]) * time.Hour)
		for _, key := range []string{DescriptionKey("shop", account, v), ArchiveKey("shop", v)} {
			if err := os.Chtimes(sh.bucket.Location(key), at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func versionsOf(list []Stocked) []string {
	words := []string{}
	for _, s := range list {
		words = append(words, s.Version)
	}
	return words
}

func TestPruneBucket_KeepsWhatIsNamed(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	stocked(t, sh, "prod", map[string]int{"1.0.0": 50, "1.1.0": 40, "1.2.0": 30})
	stocked(t, sh, "staging", map[string]int{"1.3.0": 9, "1.4.0": 8, "1.5.0": 7, "1.6.0": 6})
	stocked(t, sh, "", map[string]int{"0.9.0": 90, "0.8.0": 91})
	// prod went back to its first version, in another way than by publishing.
	if _, err := sh.bucket.PutObject(t.Context(), CurrentKey("shop", "prod"), strings.NewReader(`{"version":"1.0.0"}`), PutOptions{Size: 19}); err != nil {
		t.Fatal(err)
	}
	all, err := Stock(t.Context(), sh.bucket, "shop", nil)
	if err != nil || fmt.Sprint(versionsOf(all)) != "[1.6.0 1.5.0 1.4.0 1.3.0 1.2.0 1.1.0 1.0.0 0.9.0 0.8.0]" {
		t.Fatalf("Stock = %v, %v", versionsOf(all), err)
	}
	if s := all[6]; !slices.Equal(s.Current, []string{"prod"}) || !slices.Equal(s.Published, []string{"prod"}) || s.Size == 0 {
		t.Errorf("Stock of 1.0.0 = %+v", s)
	}
	o := PruneOptions{Bucket: sh.bucket, App: "shop", Keep: 2, DryRun: true}
	removed, kept, err := PruneBucket(t.Context(), o)
	const gone, stays = "[1.4.0 1.3.0]", "[1.6.0 1.5.0 1.2.0 1.1.0 1.0.0 0.9.0 0.8.0]"
	if err != nil || fmt.Sprint(versionsOf(removed)) != gone || fmt.Sprint(versionsOf(kept)) != stays {
		t.Errorf("PruneBucket, dry = %v, %v, %v", versionsOf(removed), versionsOf(kept), err)
	}
	if all, err = Stock(t.Context(), sh.bucket, "shop", nil); err != nil || len(all) != 9 {
		t.Errorf("a dry run removed something: %v, %v", versionsOf(all), err)
	}
	o.DryRun = false
	if removed, _, err = PruneBucket(t.Context(), o); err != nil || fmt.Sprint(versionsOf(removed)) != gone {
		t.Errorf("PruneBucket = %v, %v", versionsOf(removed), err)
	}
	if all, err = Stock(t.Context(), sh.bucket, "shop", nil); err != nil || fmt.Sprint(versionsOf(all)) != stays {
		t.Errorf("afterwards there are %v, %v", versionsOf(all), err)
	}
	for _, s := range all {
		if s.Archive == "" {
			t.Errorf("the archive of %s is gone", s.Version)
		}
	}
	if removed, _, err = PruneBucket(t.Context(), o); err != nil || len(removed) > 0 {
		t.Errorf("PruneBucket again = %v, %v", versionsOf(removed), err)
	}
}

func TestPruneBucket_RemovesNothingInDoubt(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	stocked(t, sh, "prod", map[string]int{"1.0.0": 50, "1.1.0": 40, "1.2.0": 30})
	before := filesBelow(t, sh.bucket.dir)
	for _, keep := range []int{0, -1} {
		if _, _, err := PruneBucket(t.Context(), PruneOptions{Bucket: sh.bucket, App: "shop", Keep: keep}); err == nil {
			t.Errorf("Keep %d was accepted", keep)
		}
	}
	if _, _, err := PruneBucket(t.Context(), PruneOptions{Bucket: struct{ Depot }{sh.bucket}, App: "shop", Keep: 1}); err == nil {
		t.Error("a bucket that shows no accounts was pruned without any")
	}
	if _, err := sh.bucket.PutObject(t.Context(), CurrentKey("shop", "staging"), strings.NewReader(`{"version":`), PutOptions{Size: 11}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := PruneBucket(t.Context(), PruneOptions{Bucket: sh.bucket, App: "shop", Keep: 1}); !errors.Is(err, ErrBadCurrent) {
		t.Errorf("with a broken current.json: %v", err)
	}
	if err := sh.bucket.Delete(t.Context(), CurrentKey("shop", "staging")); err != nil {
		t.Fatal(err)
	}
	if after := filesBelow(t, sh.bucket.dir); !slices.Equal(after, before) {
		t.Errorf("there are %q, before %q", after, before)
	}
	// Named, such a bucket's accounts will do.
	removed, _, err := PruneBucket(t.Context(), PruneOptions{Bucket: struct{ Depot }{sh.bucket}, App: "shop", Keep: 1, Accounts: []string{"prod"}})
	if err != nil || fmt.Sprint(versionsOf(removed)) != "[1.1.0 1.0.0]" {
		t.Errorf("PruneBucket = %v, %v", versionsOf(removed), err)
	}
}
