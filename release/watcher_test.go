package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// changes receives what a Watcher tells.
type changes struct {
	t  *testing.T
	ch chan Change
}

// watch runs a Watcher for shop, polling so seldom that only notifications can be in time.
func watch(t *testing.T, b Bucket, interval time.Duration) (*Watcher, changes) {
	t.Helper()
	c := changes{t, make(chan Change, 100)}
	w := NewWatcher(WatcherConfig{Source: Source{Bucket: b, Account: "prod"}, Changed: func(ch Change) { c.ch <- ch }})
	w.Add("shop", interval)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	return w, c
}

func (c changes) next() Change {
	c.t.Helper()
	select {
	case ch := <-c.ch:
		return ch
	case <-time.After(10 * time.Second):
		c.t.Fatal("no change came")
		return Change{}
	}
}

func (c changes) version(want string) Change {
	c.t.Helper()
	ch := c.next()
	if ch.Err != nil || ch.Current.Version != want || ch.ArchiveChanged || ch.App != "shop" {
		c.t.Fatalf("change %+v, want version %s", ch, want)
	}
	return ch
}

func (c changes) fails(want error) Change {
	c.t.Helper()
	ch := c.next()
	if !errors.Is(ch.Err, want) {
		c.t.Fatalf("change %+v, want %v", ch, want)
	}
	return ch
}

const never = time.Hour

func TestWatcher_TellsAtOnce(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	// Nothing of the bucket exists yet.
	_, c := watch(t, sh.bucket, never)
	c.fails(ErrNotFound)
	start := time.Now()
	writeCurrent(t, sh, `{"version":"1"}`)
	if ch := c.version("1"); ch.Mended {
		t.Error("a first current.json is not a mended one")
	}
	t.Logf("told after %v", time.Since(start))

	for i, write := range []func(name, text string) error{
		func(name, text string) error { return os.WriteFile(name, []byte(text), 0o600) },
		func(name, text string) error { // as editors do
			if err := os.Rename(name, name+"~"); err != nil {
				return err
			}
			return os.WriteFile(name, []byte(text), 0o600)
		},
		func(name, text string) error {
			if err := os.WriteFile(name+".tmp", []byte(text), 0o600); err != nil {
				return err
			}
			return os.Rename(name+".tmp", name)
		},
		func(name, text string) error { // the folder anew
			dir := filepath.Dir(name)
			if err := os.Rename(dir, dir+".old"); err != nil {
				return err
			}
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
			return os.WriteFile(name, []byte(text), 0o600)
		},
		func(name, text string) error { // and the folder above
			dir := filepath.Dir(filepath.Dir(name))
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				return err
			}
			return os.WriteFile(name, []byte(text), 0o600)
		},
	} {
		// Another version would be another archive to watch, and so a new beginning.
		text := func(hash string) string { return fmt.Sprintf(`{"version":"1","hash":%q}`, hash) }
		hash := fmt.Sprint(i)
		start := time.Now()
		if err := write(sh.bucket.Location("versions/shop/prod/current.json"), text(hash)); err != nil {
			t.Fatal(err)
		}
		if ch := c.version("1"); ch.Current.Hash != hash {
			t.Fatalf("change %+v, want hash %s", ch, hash)
		}
		t.Logf("%s told after %v", hash, time.Since(start))
		// And what it looks at now is the folder of now.
		writeCurrent(t, sh, text(hash+"+"))
		if ch := c.version("1"); ch.Current.Hash != hash+"+" {
			t.Fatalf("change %+v, want hash %s+", ch, hash)
		}
	}
}

func TestWatcher_BrokenAndMended(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	writeCurrent(t, sh, `{"version":"1"}`)
	_, c := watch(t, sh.bucket, never)
	c.version("1")
	writeCurrent(t, sh, "{\"version\":\"2\",\n\"oops\"}")
	ch := c.fails(ErrBadCurrent)
	var bad *CurrentError
	if !errors.As(ch.Err, &bad) || bad.Line != 2 || bad.File != sh.bucket.Location("versions/shop/prod/current.json") {
		t.Errorf("error %v", ch.Err)
	}
	writeCurrent(t, sh, "{\"version\":\"2\"\n\"oops\"}") // broken in another way
	c.fails(ErrBadCurrent)
	writeCurrent(t, sh, `{"version":"2"}`)
	if ch := c.version("2"); !ch.Mended {
		t.Error("mended, but does not say so")
	}
	if err := os.Remove(sh.bucket.Location("versions/shop/prod/current.json")); err != nil {
		t.Fatal(err)
	}
	c.fails(ErrNotFound)
	writeCurrent(t, sh, `{"version":"3"}`)
	if ch := c.version("3"); ch.Mended {
		t.Error("a file that came back is not a mended one")
	}
}

// A file that is written piece by piece is broken for a moment, and nobody should hear of it.
func TestWatcher_SlowWriter(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	writeCurrent(t, sh, `{"version":"1"}`)
	_, c := watch(t, sh.bucket, never)
	c.version("1")
	f, err := os.OpenFile(sh.bucket.Location("versions/shop/prod/current.json"), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, part := range []string{"{\"ver", "sion\"", ":\"2\"", "}"} {
		if _, err := f.WriteString(part); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Millisecond)
	}
	c.version("2")
}

func TestWatcher_WithoutNotifications(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	_, c := watch(t, deafBucket{sh.bucket}, never)
	c.fails(ErrNotFound)
	writeCurrent(t, sh, `{"version":"1"}`)
	c.version("1")
	writeCurrent(t, sh, `{"version":"2"}`)
	c.version("2")
}

// deafBucket cannot notify, as when the kernel has no watches left.
type deafBucket struct{ *LocalBucket }

func (deafBucket) Notify(context.Context, []string, func(string)) error {
	return errors.New("no watches left")
}

func TestWatcher_ArchiveThatComesLater(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	writeCurrent(t, sh, `{"version":"1"}`)
	_, c := watch(t, sh.bucket, never)
	c.version("1")
	for _, text := range []string{"half", "whole"} {
		sh.put(t, "shop", "1", []byte(text))
		if ch := c.next(); !ch.ArchiveChanged || ch.Err != nil || ch.Current.Version != "1" {
			t.Fatalf("change %+v, want ArchiveChanged", ch)
		}
	}
	// Another version's is none of our business, until it is wanted.
	sh.put(t, "shop", "2", []byte("x"))
	writeCurrent(t, sh, `{"version":"2"}`)
	c.version("2")
	sh.put(t, "shop", "1", []byte("y"))
	sh.put(t, "shop", "2", []byte("z"))
	if ch := c.next(); !ch.ArchiveChanged || ch.Current.Version != "2" {
		t.Fatalf("change %+v, want ArchiveChanged of 2", ch)
	}
	select {
	case ch := <-c.ch:
		t.Errorf("one more change: %+v", ch)
	default:
	}
}

func TestWatcher_AddAndRemove(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	writeCurrent(t, sh, `{"version":"1"}`)
	w, c := watch(t, sh.bucket, never)
	c.version("1")
	w.Add("store", 0)
	if ch := c.next(); ch.App != "store" || !errors.Is(ch.Err, ErrNotFound) {
		t.Fatalf("change %+v, want that of store", ch)
	}
	b := []byte(`{"version":"9"}`)
	if err := sh.bucket.Put(context.Background(), CurrentKey("store", "prod"), bytes.NewReader(b), int64(len(b))); err != nil {
		t.Fatal(err)
	}
	if ch := c.next(); ch.App != "store" || ch.Current.Version != "9" {
		t.Fatalf("change %+v, want that of store", ch)
	}
	w.Remove("shop")
	w.Remove("shop")
	w.Check("shop")
	writeCurrent(t, sh, `{"version":"2"}`)
	w.Add("shop", never) // looks anew
	c.version("2")
}

// memoryBucket is a bucket that does not notify.
type memoryBucket struct {
	mu   sync.Mutex
	text map[string]string
	gen  int
	err  error
	gets int
}

func (b *memoryBucket) set(key, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.text == nil {
		b.text = make(map[string]string)
	}
	b.text[key] = text
	b.gen++
}

func (b *memoryBucket) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// count is how many objects were opened, once all is still.
func (b *memoryBucket) count() int {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.gets
}

func (b *memoryBucket) Open(_ context.Context, key string, _ int64) (*Object, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gets++
	if b.err != nil {
		return nil, b.err
	}
	text, ok := b.text[key]
	if !ok {
		return nil, fmt.Errorf("%s: %w", key, ErrNotFound)
	}
	return &Object{ObjectInfo{Key: key, Location: key, Token: fmt.Sprint(b.gen), Size: int64(len(text))}, io.NopCloser(strings.NewReader(text))}, nil
}

func (b *memoryBucket) List(context.Context, string) ([]ObjectInfo, error) { return nil, nil }
func (b *memoryBucket) Location(key string) string                         { return "mem:" + key }

func TestWatcher_Polls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := new(memoryBucket)
		key := CurrentKey("shop", "prod")
		b.set(key, `{"version":"1"}`)
		var mu sync.Mutex
		var got []Change
		w := NewWatcher(WatcherConfig{Source: Source{Bucket: b, Account: "prod"}, Changed: func(c Change) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, c)
		}})
		w.Add("shop", 5*time.Second)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		expect := func(what string, n int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(got) != n {
				t.Fatalf("%s: changes %+v, want %d", what, got, n)
			}
		}
		time.Sleep(10 * time.Millisecond)
		expect("first look", 1)
		time.Sleep(4 * time.Second)
		b.set(key, `{"version":"2"}`)
		expect("between polls", 1)
		time.Sleep(1100 * time.Millisecond)
		expect("at the poll", 2)
		b.set(key, `{"version":"2"}`)
		time.Sleep(6 * time.Second)
		expect("written again with the same content", 2)

		// A failure that does not last is not told.
		b.fail(errors.New("out of order"))
		w.Check("shop")
		time.Sleep(50 * time.Millisecond)
		b.fail(nil)
		time.Sleep(10 * time.Second)
		expect("short failure", 2)
		b.fail(errors.New("out of order"))
		time.Sleep(6 * time.Second)
		expect("long failure", 3)
		time.Sleep(60 * time.Second)
		expect("the same failure", 3)
		b.fail(nil)
		time.Sleep(5 * time.Second)
		expect("mended", 4)
		if !got[3].Mended || got[3].Current.Version != "2" {
			t.Errorf("change %+v, want version 2, mended", got[3])
		}

		// A longer interval, and a look on demand.
		w.Add("shop", time.Hour)
		time.Sleep(time.Second)
		before := b.count()
		time.Sleep(30 * time.Minute)
		if after := b.count(); after != before {
			t.Errorf("%d looks in half an interval", after-before)
		}
		b.set(key, `{"version":"3"}`)
		w.Check("shop")
		time.Sleep(10 * time.Millisecond)
		expect("looked on demand", 5)

		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		b.set(key, `{"version":"4"}`)
		time.Sleep(2 * time.Hour)
		expect("after Run", 5)
	})
}

func TestWatcher_ArchiveThatGrowsIsToldOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := new(memoryBucket)
		b.set(CurrentKey("shop", "prod"), `{"version":"1"}`)
		got := make(chan Change, 100)
		w := NewWatcher(WatcherConfig{Source: Source{Bucket: b, Account: "prod"}, Changed: func(c Change) { got <- c }})
		w.Add("shop", 50*time.Millisecond)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		<-got
		for range 20 {
			b.set(ArchiveKey("shop", "1"), "more")
			time.Sleep(300 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(got) != 1 {
			t.Errorf("%d changes while the archive grew, want 1", len(got))
		}
		if c := <-got; !c.ArchiveChanged {
			t.Errorf("change %+v, want ArchiveChanged", c)
		}
		cancel()
		<-done
	})
}
