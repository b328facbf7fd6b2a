package release

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ got, want string }{
		{CurrentKey("shop", "prod"), "versions/shop/prod/current.json"},
		{CurrentKey("shop", ""), "versions/shop/current.json"},
		{ArchiveKey("shop", "1.2.3"), "dist/shop/shop-1.2.3.tar.gz"},
	} {
		if tt.got != tt.want {
			t.Errorf("key %q, want %q", tt.got, tt.want)
		}
	}
}

func TestLocalBucket_PutAndOpen(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := NewLocalBucket(filepath.Join(t.TempDir(), "not", "there", "yet"))
	if _, err := b.Open(ctx, "dist/a", 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("Open of nothing: %v, want ErrNotFound", err)
	}
	put := func(text string) ObjectInfo {
		t.Helper()
		if err := b.Put(ctx, "dist/a", strings.NewReader(text), int64(len(text))); err != nil {
			t.Fatal(err)
		}
		o, err := b.Open(ctx, "dist/a", 2)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Body.Close()
		if got, err := io.ReadAll(o.Body); err != nil || string(got) != text[2:] {
			t.Errorf("Open from 2: %q, %v, want %q", got, err, text[2:])
		}
		return o.ObjectInfo
	}
	first := put("hello")
	if first.Size != 5 || first.Key != "dist/a" || first.Location != b.Location("dist/a") || first.ModTime.IsZero() {
		t.Errorf("info %+v", first)
	}
	if second := put("hello"); second.Token == first.Token {
		t.Errorf("token %q of what was written again", second.Token)
	}
	if info, err := os.Stat(b.Location("dist/a")); err != nil || info.Mode() != 0o644 {
		t.Errorf("file %v, %v", info, err)
	}

	// A source that fails or is not as long as it said leaves the old object.
	if err := b.Put(ctx, "dist/a", strings.NewReader("x"), 5); !errors.Is(err, ErrChanging) {
		t.Errorf("Put of a short source: %v, want ErrChanging", err)
	}
	bad := errors.New("bad")
	if err := b.Put(ctx, "dist/a", io.MultiReader(strings.NewReader("x"), failingReader{bad}), 5); !errors.Is(err, bad) {
		t.Errorf("Put of a failing source: %v", err)
	}
	infos, err := b.List(ctx, "dist/")
	if err != nil || len(infos) != 1 || infos[0].Size != 5 {
		t.Errorf("List = %+v, %v, want the old object alone", infos, err)
	}
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

func TestLocalBucket_OpensPlainFilesBelowIt(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	b := NewLocalBucket(dir)
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"../x", "/etc/passwd", "", "a/../../x", "folder", "fifo"} {
		o, err := b.Open(ctx, key, 0)
		if err == nil {
			o.Body.Close()
			t.Errorf("Open(%q): no error", key)
		}
		if key != "folder" && key != "fifo" {
			if err := b.Put(ctx, key, strings.NewReader(""), 0); !errors.Is(err, ErrBadName) {
				t.Errorf("Put(%q): %v, want ErrBadName", key, err)
			}
		}
	}
	if infos, err := b.List(ctx, "none/"); err != nil || len(infos) != 0 {
		t.Errorf("List of nothing = %v, %v", infos, err)
	}
	if infos, err := b.List(ctx, "./"); err != nil || len(infos) != 0 {
		t.Errorf("List = %v, %v, want no folders and fifos", infos, err)
	}
}

func TestLocalBucket_NoticesAFileThatGrows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "a")
	if err := os.WriteFile(name, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := NewLocalBucket(dir).Open(context.Background(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Body.Close()
	if _, err := io.ReadFull(o.Body, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("hello world"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(o.Body); !errors.Is(err, ErrChanging) {
		t.Errorf("reading a file that grew: %v, want ErrChanging", err)
	}
}

func TestSource_Archives(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := Source{Bucket: NewLocalBucket(dir), Account: "prod"}
	if all, err := s.Archives(context.Background(), "shop"); err != nil || len(all) != 0 {
		t.Errorf("Archives of nothing = %v, %v", all, err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "dist/shop/shop-9.tar.gz"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shop-1.9.0.tar.gz", "shop-1.10.0.tar.gz", "shop-1.10.0-rc.1.tar.gz", "shop-.tar.gz", "shop-1.zip",
		"store-1.tar.gz", ".part-shop-2.tar.gz.1", "shop-a b.tar.gz"} {
		if err := os.WriteFile(filepath.Join(dir, "dist/shop", name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.Archives(context.Background(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range all {
		got = append(got, a.Version)
		if a.App != "shop" || a.Key != ArchiveKey("shop", a.Version) || a.Size != 1 {
			t.Errorf("archive %+v", a)
		}
	}
	if want := []string{"1.10.0", "1.10.0-rc.1", "1.9.0"}; !slices.Equal(got, want) {
		t.Errorf("versions %q, want %q", got, want)
	}
	if _, err := s.Archives(context.Background(), "../x"); !errors.Is(err, ErrBadName) {
		t.Errorf("Archives of a bad name: %v", err)
	}
}

func TestSource_Current(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	s := Source{Bucket: sh.bucket, Account: "prod"}
	ctx := context.Background()
	if _, err := s.Current(ctx, "shop"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), sh.bucket.Location("versions/shop/prod/current.json")) {
		t.Errorf("Current of nothing: %v, want ErrNotFound with the file's path", err)
	}
	writeCurrent(t, sh, `{"version":"1"}`)
	cur, err := s.Current(ctx, "shop")
	if err != nil || cur.Version != "1" || cur.Token == "" || cur.File != sh.bucket.Location("versions/shop/prod/current.json") {
		t.Errorf("Current = %+v, %v", cur, err)
	}
	writeCurrent(t, sh, "{\n\"version\":1}")
	var bad *CurrentError
	if cur, err := s.Current(ctx, "shop"); !errors.As(err, &bad) || bad.Line != 2 || cur.Token == "" {
		t.Errorf("Current of a broken file = %+v, %v, want *CurrentError for line 2", cur, err)
	}
	if _, err := s.Current(ctx, "a/b"); !errors.Is(err, ErrBadName) {
		t.Errorf("Current of a bad name: %v", err)
	}
}

// writeCurrent replaces the current.json of shop as a publisher would.
func writeCurrent(t testing.TB, sh shelf, text string) {
	t.Helper()
	err := sh.bucket.Put(context.Background(), CurrentKey("shop", "prod"), strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
}
