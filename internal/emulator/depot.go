package emulator

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/release"
)

// TestDepot checks what every release.Depot must do, and, if it is a release.Remote, that.
func TestDepot(t *testing.T, d release.Depot) {
	ctx := t.Context()
	put := func(key, text string, o release.PutOptions) (release.ObjectInfo, error) {
		o.Size = int64(len(text))
		return d.PutObject(ctx, key, strings.NewReader(text), o)
	}
	if _, err := d.Open(ctx, "a/none", 0); !errors.Is(err, release.ErrNotFound) {
		t.Fatalf("Open of nothing: %v", err)
	}
	if _, err := d.Stat(ctx, "a/none"); !errors.Is(err, release.ErrNotFound) {
		t.Errorf("Stat of nothing: %v", err)
	}
	if err := d.Delete(ctx, "a/none"); err != nil {
		t.Errorf("Delete of nothing: %v", err)
	}
	if all, err := d.List(ctx, "a/"); err != nil || len(all) != 0 {
		t.Errorf("List of nothing: %v, %v", all, err)
	}

	sum := sha256.Sum256([]byte("first"))
	one, err := put("a/one", "first", release.PutOptions{SHA256: hex.EncodeToString(sum[:]), New: true})
	if err != nil {
		t.Fatal(err)
	}
	if one.Size != 5 || one.Token == "" || one.SHA256 != "" && one.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("PutObject: %+v", one)
	}
	if _, err := put("a/one", "other", release.PutOptions{New: true}); !errors.Is(err, release.ErrExists) {
		t.Errorf("PutObject of a second one: %v", err)
	}
	if got := read(t, d, "a/one", 0); got != "first" {
		t.Errorf("content %q", got)
	}
	if got := read(t, d, "a/one", 2); got != "rst" {
		t.Errorf("content from 2 on: %q", got)
	}
	info, err := d.Stat(ctx, "a/one")
	if err != nil || info.Token != one.Token || info.Size != 5 || info.SHA256 != one.SHA256 || info.ModTime.IsZero() {
		t.Errorf("Stat: %+v, %v", info, err)
	}
	if err := d.Put(ctx, "a/deeper/two", strings.NewReader("2"), 1); err != nil {
		t.Fatal(err)
	}
	if err := d.Put(ctx, "a/three", strings.NewReader(""), 0); err != nil {
		t.Fatal(err)
	}
	if got := list(t, d, "a/"); !slices.Equal(got, []string{"a/one", "a/three"}) {
		t.Errorf("List: %q", got)
	}
	if _, err := put("a/one", "another", release.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, d, "a/one", 0); got != "another" {
		t.Errorf("content %q", got)
	}
	testBadUploads(t, d)
	if r, ok := d.(release.Remote); ok {
		testRemote(t, d, r)
	}
	if err := d.Delete(ctx, "a/one"); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if got := list(t, d, "a/"); !slices.Equal(got, []string{"a/three"}) {
		t.Errorf("List: %q", got)
	}
}

// testBadUploads: what fails in the middle leaves nothing, and what was there stays.
func testBadUploads(t *testing.T, d release.Depot) {
	ctx := t.Context()
	large := bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16) // more than one part
	for _, content := range [][]byte{large[:100], large} {
		size := int64(len(content))
		if err := d.Put(ctx, "b/x", bytes.NewReader(content), size+1); !errors.Is(err, release.ErrChanging) {
			t.Errorf("Put of too few bytes: %v", err)
		}
		if err := d.Put(ctx, "b/x", io.MultiReader(bytes.NewReader(content), failing{}), size+1); !errors.Is(err, errSource) {
			t.Errorf("Put from a broken source: %v", err)
		}
		if got := list(t, d, "b/"); len(got) != 0 {
			t.Errorf("a failed upload leaves %q", got)
		}
	}
	o := release.PutOptions{Size: int64(len(large)), SHA256: strings.Repeat("ab", 32), New: true}
	info, err := d.PutObject(ctx, "b/large", bytes.NewReader(large), o)
	if err != nil || info.Size != o.Size || info.SHA256 != "" && info.SHA256 != o.SHA256 {
		t.Fatalf("a large one: %+v, %v", info, err)
	}
	if got := read(t, d, "b/large", 0); got != string(large) {
		t.Error("a large one comes back otherwise")
	}
	if _, err := d.PutObject(ctx, "b/large", bytes.NewReader(large), o); !errors.Is(err, release.ErrExists) {
		t.Errorf("a second large one: %v", err)
	}
}

var errSource = errors.New("the source is broken")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errSource }

func testRemote(t *testing.T, d release.Depot, r release.Remote) {
	ctx := t.Context()
	if err := d.Put(ctx, "c/x", strings.NewReader("0123456789"), 10); err != nil {
		t.Fatal(err)
	}
	o, err := r.OpenChanged(ctx, "c/x", "")
	if err != nil {
		t.Fatal(err)
	}
	token := o.Token
	o.Body.Close()
	if _, err := r.OpenChanged(ctx, "c/x", token); !errors.Is(err, release.ErrUnchanged) {
		t.Errorf("OpenChanged of the same: %v", err)
	}
	o, err = r.Resume(ctx, "c/x", token, 4)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(o.Body)
	o.Body.Close()
	if string(rest) != "456789" || err != nil || o.Size != 10 {
		t.Errorf("Resume: %q, %v, size %d", rest, err, o.Size)
	}
	if err := d.Put(ctx, "c/x", strings.NewReader("abcdefghij"), 10); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Resume(ctx, "c/x", token, 4); !errors.Is(err, release.ErrChanging) {
		t.Errorf("Resume of another one: %v", err)
	}
	o, err = r.OpenChanged(ctx, "c/x", token)
	if err != nil || o.Token == token {
		t.Fatalf("OpenChanged of another one: %v", err)
	}
	o.Body.Close()
	if err := d.Delete(ctx, "c/x"); err != nil {
		t.Error(err)
	}
	if _, err := r.OpenChanged(ctx, "c/x", token); !errors.Is(err, release.ErrNotFound) {
		t.Errorf("OpenChanged of nothing: %v", err)
	}
	if _, err := r.Resume(ctx, "c/x", token, 4); !errors.Is(err, release.ErrNotFound) && !errors.Is(err, release.ErrChanging) {
		t.Errorf("Resume of nothing: %v", err)
	}
}

func read(t *testing.T, b release.Bucket, key string, offset int64) string {
	t.Helper()
	o, err := b.Open(context.Background(), key, offset)
	if err != nil {
		t.Fatalf("Open %s: %v", key, err)
	}
	defer o.Body.Close()
	content, err := io.ReadAll(o.Body)
	if err != nil {
		t.Fatalf("read %s: %v", key, err)
	}
	if offset == 0 && int64(len(content)) != o.Size {
		t.Errorf("%s: %d bytes of %d", key, len(content), o.Size)
	}
	return string(content)
}

func list(t *testing.T, b release.Bucket, prefix string) []string {
	t.Helper()
	all, err := b.List(context.Background(), prefix)
	if err != nil {
		t.Fatalf("List %s: %v", prefix, err)
	}
	var keys []string
	for _, o := range all {
		keys = append(keys, o.Key)
	}
	slices.Sort(keys)
	return keys
}
