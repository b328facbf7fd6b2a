package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Foldered is a Bucket that tells which folders there are right below a prefix that ends in a slash.
type Foldered interface {
	Folders(ctx context.Context, prefix string) ([]string, error)
}

// Folders implements Foldered.
func (b *LocalBucket) Folders(_ context.Context, prefix string) ([]string, error) {
	dir, err := b.path(path.Clean(prefix))
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		if err = localError(dir, err); errors.Is(err, ErrNotFound) {
			return nil, nil
		}
		return nil, err
	}
	var all []string
	for _, e := range entries {
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && info.IsDir() {
			all = append(all, e.Name())
		}
	}
	return all, nil
}

// Stocked is a version of an app that a bucket has.
type Stocked struct {
	Version string    `json:"version"`
	Archive string    `json:"archive,omitempty"` // location; empty: it is gone
	Size    int64     `json:"archive_bytes"`
	At      time.Time `json:"at"` // when it was last published, or else when its archive was written

	Current   []string `json:"current,omitempty"`   // accounts whose current.json names it
	Published []string `json:"published,omitempty"` // accounts that it was published in

	keys []string // descriptions, then the archive
	last map[string]time.Time
}

// Stock lists the versions of an app that a bucket has, the last published first. Accounts are those to look at besides
// the ones that the bucket shows by itself.
//
// Errors: of the bucket; a current.json that is broken is one, for what it names is not known.
func Stock(ctx context.Context, b Depot, app string, accounts []string) ([]Stocked, error) {
	all, err := stock(ctx, b, app, accounts)
	if err != nil {
		return nil, &Error{Op: "list", Release: app, Err: err}
	}
	return all, nil
}

func stock(ctx context.Context, b Depot, app string, accounts []string) ([]Stocked, error) {
	if err := CheckName(app); err != nil {
		return nil, err
	}
	// The archives first: one whose publishing is under way is then not taken for one that nobody knows of.
	archives, err := Source{Bucket: b}.Archives(ctx, app)
	if err != nil {
		return nil, err
	}
	byVersion := make(map[string]*Stocked)
	at := func(version string) *Stocked {
		s := byVersion[version]
		if s == nil {
			s = &Stocked{Version: version, last: make(map[string]time.Time)}
			byVersion[version] = s
		}
		return s
	}
	if f, ok := b.(Foldered); ok {
		found, err := f.Folders(ctx, path.Join("versions", app)+"/")
		if err != nil {
			return nil, err
		}
		accounts = slices.Concat(accounts, found, []string{""})
	}
	accounts = slices.Clone(accounts)
	slices.Sort(accounts)
	for _, account := range slices.Compact(accounts) {
		if err := stockOf(ctx, b, app, account, at); err != nil {
			return nil, err
		}
	}
	for _, a := range archives {
		s := at(a.Version)
		s.Archive, s.Size = a.Location, a.Size
		if s.At.IsZero() {
			s.At = a.ModTime
		}
		s.keys = append(s.keys, a.Key)
	}
	var all []Stocked
	for _, s := range byVersion {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b Stocked) int { return cmp.Or(b.At.Compare(a.At), CompareVersions(b.Version, a.Version)) })
	return all, nil
}

// stockOf adds what one account knows of.
func stockOf(ctx context.Context, b Depot, app, account string, at func(string) *Stocked) error {
	described, err := b.List(ctx, path.Join("versions", app, account)+"/")
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	for _, d := range described {
		v, ok := strings.CutPrefix(path.Base(d.Key), app+"-")
		v, isJSON := strings.CutSuffix(v, ".json")
		if !ok || !isJSON || CheckVersion(v) != nil {
			continue
		}
		s := at(v)
		s.Published = append(s.Published, account)
		s.keys = append(s.keys, d.Key)
		s.last[account] = d.ModTime
		if d.ModTime.After(s.At) {
			s.At = d.ModTime
		}
	}
	cur, err := Source{Bucket: b, Account: account}.Current(ctx, app)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	s := at(cur.Version)
	s.Current = append(s.Current, account)
	return nil
}

// PruneOptions say what PruneBucket removes.
type PruneOptions struct {
	Bucket   Depot
	App      string
	Accounts []string // besides those that the bucket shows; needed where it shows none
	Keep     int      // versions published last, of each account and of all together; at least 1
	DryRun   bool
}

// PruneBucket removes the archives of an app that no current.json names and that are not among the last Keep published, of
// any account, with what describes them. It returns what was removed, and what stays.
func PruneBucket(ctx context.Context, o PruneOptions) (removed, kept []Stocked, err error) {
	fail := func(err error) ([]Stocked, []Stocked, error) {
		return removed, kept, &Error{Op: "prune", Release: o.App, Err: err}
	}
	if o.Keep < 1 {
		return fail(fmt.Errorf("at least one version must stay, not %d", o.Keep))
	}
	if _, ok := o.Bucket.(Foldered); !ok && len(o.Accounts) == 0 {
		return fail(errors.New("this bucket does not tell which accounts it has: name them all"))
	}
	all, err := stock(ctx, o.Bucket, o.App, o.Accounts)
	if err != nil {
		return fail(err)
	}
	stays := make(map[string]bool)
	order := make(map[string][]Stocked) // of each account
	for i, s := range all {
		stays[s.Version] = i < o.Keep || len(s.Current) > 0
		for account := range s.last {
			order[account] = append(order[account], s)
		}
	}
	for account, list := range order {
		slices.SortFunc(list, func(a, b Stocked) int {
			return cmp.Or(b.last[account].Compare(a.last[account]), CompareVersions(b.Version, a.Version))
		})
		for _, s := range list[:min(o.Keep, len(list))] {
			stays[s.Version] = true
		}
	}
	for _, s := range all {
		if stays[s.Version] {
			kept = append(kept, s)
			continue
		}
		for _, key := range s.keys {
			if o.DryRun {
				break
			}
			if err := o.Bucket.Delete(ctx, key); err != nil {
				return fail(err)
			}
		}
		removed = append(removed, s)
	}
	return removed, kept, nil
}
