package release

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPublish(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	ctx := context.Background()
	file := writeArchive(t, archiveOf(t, mixRelease("shop", "1.2.0")...))
	o := PublishOptions{Bucket: sh.bucket, Account: "prod", App: "shop", File: file, Hash: "abc", PreCommands: []string{"eval Shop.migrate()"}}
	p, err := Publish(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if p.Current.Version != "1.2.0" || p.Package.Language != Elixir || p.Replaced || p.Unchanged || p.ArchiveSize == 0 ||
		p.Archive != sh.bucket.Location("dist/shop/shop-1.2.0.tar.gz") {
		t.Errorf("Publish = %+v", p)
	}
	cur, err := Source{Bucket: sh.bucket, Account: "prod"}.Current(ctx, "shop")
	if err != nil || !cur.Equal(p.Current) || cur.Hash != "abc" || cur.SHA256 == "" || len(cur.PreCommands) != 1 || cur.File != p.Current.File {
		t.Errorf("current.json = %+v, %v, want %+v", cur, err, p.Current)
	}
	if readFile(t, p.Archive) != readFile(t, file) {
		t.Error("the archive is another one")
	}
	s := sh.open(t)
	if r := fetchOK(t, s, "shop", cur); r.SHA256 != cur.SHA256 {
		t.Errorf("Fetch = %+v", r)
	}

	if p, err = Publish(ctx, o); err != nil || !p.Unchanged || p.Replaced {
		t.Errorf("Publish again = %+v, %v, want Unchanged", p, err)
	}
	o.File = writeArchive(t, archiveOf(t, mixRelease("shop", "1.2.0", member{name: "x", body: "y"})...))
	if _, err = Publish(ctx, o); !errors.Is(err, ErrExists) || readFile(t, p.Archive) == readFile(t, o.File) {
		t.Errorf("Publish of other content: %v, want ErrExists and nothing written", err)
	}
	o.Replace = true
	if p, err = Publish(ctx, o); err != nil || p.Unchanged || !p.Replaced || readFile(t, p.Archive) != readFile(t, o.File) {
		t.Errorf("Publish of other content = %+v, %v, want Replaced", p, err)
	}
	o.Replace = false
	o.Version = "1.2.0-hotfix"
	if p, err = Publish(ctx, o); err != nil || p.Current.Version != o.Version || p.Package.Version != "1.2.0" {
		t.Errorf("Publish as another version = %+v, %v", p, err)
	}
	for _, version := range []string{"1.2.0", "1.2.0-hotfix"} { // what was published stays known
		if d, err := (Source{Bucket: sh.bucket, Account: "prod"}).Description(ctx, "shop", version); err != nil || d.Version != version || d.SHA256 == "" {
			t.Errorf("Description of %s = %+v, %v", version, d, err)
		}
	}
	if left := leftovers(t, sh.dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestPublish_DryRunWritesNothing(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	key := newKey(t)
	o := PublishOptions{Bucket: sh.bucket, App: "shop", File: writeArchive(t, archiveOf(t, mixRelease("shop", "1.2.0")...)), Sign: &key, DryRun: true}
	p, err := Publish(t.Context(), o)
	if err != nil || p.Current.Version != "1.2.0" || p.Current.Signature == "" || p.Unchanged {
		t.Errorf("Publish = %+v, %v", p, err)
	}
	if _, err := os.Stat(sh.bucket.dir); err == nil {
		t.Errorf("written: %q", filesBelow(t, sh.bucket.dir))
	}
}

// forgetfulBucket has other bytes afterwards than those that were written.
type forgetfulBucket struct{ *LocalBucket }

func (b forgetfulBucket) PutObject(ctx context.Context, key string, r io.Reader, o PutOptions) (ObjectInfo, error) {
	info, err := b.LocalBucket.PutObject(ctx, key, r, o)
	if strings.HasPrefix(key, "dist/") && err == nil {
		err = os.WriteFile(b.Location(key), bytes.Repeat([]byte("x"), int(o.Size)), 0o600)
	}
	return info, err
}

func TestPublish_LooksAtWhatWasWritten(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	_, err := Publish(t.Context(), PublishOptions{Bucket: forgetfulBucket{sh.bucket}, App: "shop", File: writeArchive(t, archiveOf(t, mixRelease("shop", "1.2.0")...))})
	if !errors.Is(err, ErrChecksum) {
		t.Errorf("Publish: %v, want ErrChecksum", err)
	}
	if _, err := os.Stat(filepath.Join(sh.bucket.dir, "versions")); err == nil {
		t.Error("current.json names it all the same")
	}
}

func TestPublish_Refuses(t *testing.T) {
	t.Parallel()
	good := archiveOf(t, mixRelease("shop", "1.2.0")...)
	tests := []struct {
		name    string
		archive []byte
		change  func(*PublishOptions)
		want    error
	}{
		{"half an archive", good[:len(good)/2], nil, ErrTruncated},
		{"no release", archiveOf(t, member{name: "x"}), nil, ErrBadRel},
		{"another app", good, func(o *PublishOptions) { o.App = "store" }, ErrBadRel},
		{"bad app", good, func(o *PublishOptions) { o.App = "../x" }, ErrBadName},
		{"bad version", good, func(o *PublishOptions) { o.Version = "a/b" }, ErrBadVersion},
		{"bad version inside", archiveOf(t, mixRelease("shop", "1 2")...), nil, ErrBadVersion},
		{"bad pre-command", good, func(o *PublishOptions) { o.PreCommands = []string{"a\nb"} }, ErrBadCurrent},
		{"over the limit", good, func(o *PublishOptions) { o.Limits.Entries = 3 }, ErrLimit},
		{"no file", good, func(o *PublishOptions) { o.File += "x" }, ErrNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sh := newShelf(t)
			o := PublishOptions{Bucket: sh.bucket, Account: "prod", App: "shop", File: writeArchive(t, tt.archive)}
			if tt.change != nil {
				tt.change(&o)
			}
			_, err := Publish(context.Background(), o)
			var e *Error
			if !errors.Is(err, tt.want) || !errors.As(err, &e) || e.Op != "publish" {
				t.Errorf("Publish: %v, want %v", err, tt.want)
			}
			if _, err := os.Stat(sh.bucket.dir); err == nil {
				t.Errorf("left behind: %q", filesBelow(t, sh.bucket.dir))
			}
		})
	}
}

// failingBucket fails to store what has this in its key.
type failingBucket struct {
	*LocalBucket
	key string
}

func (b failingBucket) PutObject(ctx context.Context, key string, r io.Reader, o PutOptions) (ObjectInfo, error) {
	if strings.Contains(key, b.key) {
		return ObjectInfo{}, ErrNoSpace
	}
	return b.LocalBucket.PutObject(ctx, key, r, o)
}

func TestPublish_FailureKeepsCurrent(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"dist/", "shop-1.2.0.json", "current.json"} {
		sh := newShelf(t)
		writeCurrent(t, sh, `{"version":"1.0.0"}`)
		_, err := Publish(context.Background(), PublishOptions{
			Bucket: failingBucket{sh.bucket, key}, Account: "prod", App: "shop",
			File: writeArchive(t, archiveOf(t, mixRelease("shop", "1.2.0")...)),
		})
		if !errors.Is(err, ErrNoSpace) {
			t.Errorf("Publish: %v", err)
		}
		if got := readFile(t, sh.bucket.dir, "versions/shop/prod/current.json"); got != `{"version":"1.0.0"}` {
			t.Errorf("current.json is %q", got)
		}
	}
}

// changingBucket changes the published file before it is read for the last time.
type changingBucket struct {
	*LocalBucket
	file string
}

func (b changingBucket) PutObject(ctx context.Context, key string, r io.Reader, o PutOptions) (ObjectInfo, error) {
	if strings.HasPrefix(key, "dist/") {
		if err := os.WriteFile(b.file, bytes.Repeat([]byte("x"), int(o.Size)), 0o600); err != nil {
			return ObjectInfo{}, err
		}
	}
	return b.LocalBucket.PutObject(ctx, key, r, o)
}

func TestPublish_FileThatChanges(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	file := writeArchive(t, archiveOf(t, mixRelease("shop", "1.2.0")...))
	_, err := Publish(context.Background(), PublishOptions{
		Bucket: changingBucket{sh.bucket, file}, Account: "prod", App: "shop", File: file,
	})
	if !errors.Is(err, ErrChanging) {
		t.Errorf("Publish: %v, want ErrChanging", err)
	}
	if left := filesBelow(t, filepath.Join(sh.bucket.dir, "dist")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
