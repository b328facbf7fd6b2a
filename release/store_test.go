package release

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// shelf is a folder with a bucket and a store.
type shelf struct {
	dir    string
	bucket *LocalBucket
}

func newShelf(t testing.TB) shelf {
	t.Helper()
	dir := t.TempDir()
	return shelf{dir: dir, bucket: NewLocalBucket(filepath.Join(dir, "bucket"))}
}

func (s shelf) config() StoreConfig {
	return StoreConfig{Dir: filepath.Join(s.dir, "var"), Source: Source{Bucket: s.bucket, Account: "prod"}, Reserve: -1}
}

func (s shelf) open(t testing.TB) *Store {
	t.Helper()
	st, err := OpenStore(s.config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// put stores an archive as a version and returns its sha256.
func (s shelf) put(t testing.TB, app, version string, b []byte) string {
	t.Helper()
	if err := s.bucket.Put(context.Background(), ArchiveKey(app, version), bytes.NewReader(b), int64(len(b))); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func fetchOK(t testing.TB, s *Store, app string, cur Current) Release {
	t.Helper()
	r, err := s.Fetch(context.Background(), app, cur)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// leftovers lists what is unfinished below dir after a while: a store removes what it finds beside its other work.
func leftovers(t testing.TB, dir string) (all []string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if all = unfinished(t, dir); len(all) == 0 {
			return nil
		}
	}
	return all
}

// unfinished lists what is unfinished below dir now.
func unfinished(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), tempPrefix) {
			all = append(all, name)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // being removed
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// filesBelow lists the plain files below dir, without the lock.
func filesBelow(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != ".lock" {
			all = append(all, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func readFile(t testing.TB, parts ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestStore_Fetch(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	sum := sh.put(t, "shop", "1.0.0", archiveOf(t, mixRelease("shop", "1.0.0")...))
	s := sh.open(t)
	r := fetchOK(t, s, "shop", Current{Version: "1.0.0", SHA256: sum})
	if r.App != "shop" || r.Version != "1.0.0" || r.SHA256 != sum || r.ID() != "1.0.0-"+sum[:12] || r.Package.Language != Elixir {
		t.Errorf("Fetch = %+v", r)
	}
	var steps []string
	for _, st := range r.Steps {
		steps = append(steps, st.Name)
		if st.StartedAt.IsZero() || st.EndedAt.Before(st.StartedAt) {
			t.Errorf("step %+v", st)
		}
	}
	if want := []string{"fetch", "verify", "unpack"}; !slices.Equal(steps, want) {
		t.Errorf("steps %q, want %q", steps, want)
	}
	if got := readFile(t, r.Tree, "releases/start_erl.data"); got != "13.1.5 1.0.0" {
		t.Errorf("start_erl.data: %q", got)
	}
	if got := readFile(t, r.Archive); len(got) == 0 {
		t.Error("the archive is not kept")
	}

	for _, cur := range []Current{{Version: "1.0.0", SHA256: sum}, {Version: "1.0.0"}} {
		again := fetchOK(t, s, "shop", cur)
		if len(again.Steps) != 0 || again.Tree != r.Tree {
			t.Errorf("second Fetch = %+v, want what is there", again)
		}
	}
	// Opened again, later.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = sh.open(t)
	if again := fetchOK(t, s, "shop", Current{Version: "1.0.0"}); len(again.Steps) != 0 || again.SHA256 != sum {
		t.Errorf("Fetch after opening again = %+v, want what is there", again)
	}
	if left := leftovers(t, sh.dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestStore_FetchWithoutTheBucket(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	sum := sh.put(t, "shop", "1.0.0", archiveOf(t, mixRelease("shop", "1.0.0")...))
	s := sh.open(t)
	r := fetchOK(t, s, "shop", Current{Version: "1.0.0"})
	if err := os.RemoveAll(sh.bucket.dir); err != nil {
		t.Fatal(err)
	}
	for _, cur := range []Current{{Version: "1.0.0"}, {Version: "1.0.0", SHA256: sum}} {
		if got := fetchOK(t, s, "shop", cur); got.Tree != r.Tree {
			t.Errorf("Fetch(%+v) = %+v, want what is there", cur, got)
		}
	}
	for _, cur := range []Current{{Version: "1.0.0", SHA256: someSum}, {Version: "2.0.0"}} {
		_, err := s.Fetch(context.Background(), "shop", cur)
		var e *Error
		if !errors.Is(err, ErrNotFound) || !errors.As(err, &e) || e.Op != "fetch" || e.Version != cur.Version {
			t.Errorf("Fetch(%+v): %v, want ErrNotFound", cur, err)
		}
	}
}

func TestStore_FetchPublishedAgain(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	one := archiveOf(t, mixRelease("shop", "1.0.0")...)
	two := archiveOf(t, mixRelease("shop", "1.0.0", member{name: "lib/shop-1.0.0/ebin/more.beam", body: "x"})...)
	sh.put(t, "shop", "1.0.0", one)
	s := sh.open(t)
	old := fetchOK(t, s, "shop", Current{Version: "1.0.0"})
	if err := s.Prepare(context.Background(), "shop", "shop-aaaaaa", old, nil); err != nil {
		t.Fatal(err)
	}

	// The same bytes as another object: no new tree, and known from then on.
	sh.put(t, "shop", "1.0.0", one)
	same := fetchOK(t, s, "shop", Current{Version: "1.0.0"})
	if same.Tree != old.Tree || same.Token == old.Token || len(same.Steps) != 2 {
		t.Errorf("Fetch of the same content = %+v, want the tree of %+v with a new token", same, old)
	}
	if again := fetchOK(t, s, "shop", Current{Version: "1.0.0"}); len(again.Steps) != 0 {
		t.Errorf("third Fetch did %+v", again.Steps)
	}

	// Other bytes: a tree of its own, and the old one stays.
	sum := sh.put(t, "shop", "1.0.0", two)
	fresh := fetchOK(t, s, "shop", Current{Version: "1.0.0"})
	if fresh.ID() == old.ID() || fresh.SHA256 != sum {
		t.Errorf("Fetch of other content = %+v, want another one than %+v", fresh, old)
	}
	readFile(t, fresh.Tree, "lib/shop-1.0.0/ebin/more.beam")
	if _, err := os.Stat(filepath.Join(s.InstanceDir("shop", "shop-aaaaaa"), "new/lib/shop-1.0.0/ebin/more.beam")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old instance's folder changed: %v", err)
	}
	all, err := s.Releases("shop")
	if err != nil || len(all) != 2 || all[0].ID() != fresh.ID() {
		t.Errorf("Releases = %+v, %v, want the new one and the old one", all, err)
	}
}

func TestStore_FetchRefuses(t *testing.T) {
	t.Parallel()
	good := archiveOf(t, mixRelease("shop", "1.0.0")...)
	tests := []struct {
		name    string
		archive []byte
		cur     Current
		op      string
		want    error
	}{
		{"wrong sha256", good, Current{Version: "1.0.0", SHA256: someSum}, "verify", ErrChecksum},
		{"half an archive", good[:len(good)/2], Current{Version: "1.0.0"}, "unpack", ErrTruncated},
		{"empty archive", nil, Current{Version: "1.0.0"}, "unpack", ErrTruncated},
		{"bomb", archiveOf(t, append(mixRelease("shop", "1.0.0"), member{name: "z", body: strings.Repeat("\x00", 40<<20)})...), Current{Version: "1.0.0"}, "unpack", ErrLimit},
		{"escape", archiveOf(t, append(mixRelease("shop", "1.0.0"), member{name: "../../x", body: "x"})...), Current{Version: "1.0.0"}, "unpack", ErrUnsafePath},
		{"no release", archiveOf(t, member{name: "README", body: "x"}), Current{Version: "1.0.0"}, "unpack", ErrBadRel},
		{"another app's", archiveOf(t, mixRelease("store", "1.0.0")...), Current{Version: "1.0.0"}, "unpack", ErrBadRel},
		{"bad version", good, Current{Version: "../1"}, "fetch", ErrBadVersion},
		{"no such version", good, Current{Version: "2.0.0"}, "fetch", ErrNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sh := newShelf(t)
			sh.put(t, "shop", "1.0.0", tt.archive)
			s := sh.open(t)
			_, err := s.Fetch(context.Background(), "shop", tt.cur)
			var e *Error
			if !errors.Is(err, tt.want) || !errors.As(err, &e) || e.Op != tt.op || e.Release != "shop" {
				t.Fatalf("Fetch: %v, want %v from %s", err, tt.want, tt.op)
			}
			if left := filesBelow(t, s.dir); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			if tt.want == ErrBadVersion || tt.want == ErrNotFound {
				return
			}
			// Mended, it is taken at once.
			sum := sh.put(t, "shop", "1.0.0", good)
			fetchOK(t, s, "shop", Current{Version: "1.0.0", SHA256: sum})
		})
	}
}

// A failure as late as can be leaves nothing behind either.
func TestStore_FetchFailsAtTheLastStep(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	sh.put(t, "shop", "1.0.0", archiveOf(t, mixRelease("shop", "1.0.0")...))
	cfg := sh.config()
	cfg.Step = func(step string) {
		if step == "rename" {
			for _, work := range unfinished(t, filepath.Join(cfg.Dir, releasesDir)) {
				if err := os.RemoveAll(work); err != nil {
					t.Error(err)
				}
			}
		}
	}
	s, err := OpenStore(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Fetch(context.Background(), "shop", Current{Version: "1.0.0"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Fetch: %v", err)
	}
	if left := filesBelow(t, s.dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestStore_FetchMentionsAFreshArchive(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	good := archiveOf(t, mixRelease("shop", "1.0.0")...)
	sh.put(t, "shop", "1.0.0", good[:len(good)/2])
	s := sh.open(t)
	_, err := s.Fetch(context.Background(), "shop", Current{Version: "1.0.0"})
	if err == nil || !strings.Contains(err.Error(), "is it whole?") || !strings.Contains(err.Error(), sh.bucket.dir) {
		t.Errorf("Fetch of half an archive: %v, want it to name the file and ask whether it is whole", err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(sh.bucket.Location(ArchiveKey("shop", "1.0.0")), old, old); err != nil {
		t.Fatal(err)
	}
	_, err = s.Fetch(context.Background(), "shop", Current{Version: "1.0.0"})
	if err == nil || strings.Contains(err.Error(), "is it whole?") {
		t.Errorf("Fetch of half an old archive: %v", err)
	}
}

func TestStore_RefusesWithoutRoom(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	sh.put(t, "shop", "1.0.0", archiveOf(t, mixRelease("shop", "1.0.0")...))
	cfg := sh.config()
	cfg.Reserve = 1 << 60
	s, err := OpenStore(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Fetch(context.Background(), "shop", Current{Version: "1.0.0"}); !errors.Is(err, ErrNoSpace) {
		t.Errorf("Fetch: %v, want ErrNoSpace", err)
	}
	if left := filesBelow(t, s.dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// gateBucket counts the archives that are read, and lets them end when its gate opens.
type gateBucket struct {
	Bucket
	gate chan struct{}

	mu    sync.Mutex
	reads int
	begun chan struct{} // closed with the first
}

func (b *gateBucket) Open(ctx context.Context, key string, offset int64) (*Object, error) {
	o, err := b.Bucket.Open(ctx, key, offset)
	if err != nil || !strings.HasPrefix(key, "dist/") {
		return o, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reads++; b.reads == 1 {
		close(b.begun)
	}
	o.Body = &gateBody{o.Body, ctx, b.gate}
	return o, nil
}

type gateBody struct {
	io.ReadCloser
	ctx  context.Context
	gate chan struct{}
}

func (b *gateBody) Read(p []byte) (int, error) {
	select {
	case <-b.gate:
		return b.ReadCloser.Read(p)
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}

func gatedStore(t *testing.T, sh shelf) (*Store, *gateBucket) {
	t.Helper()
	b := &gateBucket{Bucket: sh.bucket, gate: make(chan struct{}), begun: make(chan struct{})}
	cfg := sh.config()
	cfg.Source.Bucket = b
	s, err := OpenStore(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, b
}

func TestStore_FetchSharesOneDownload(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	sum := sh.put(t, "shop", "1.0.0", archiveOf(t, mixRelease("shop", "1.0.0")...))
	s, b := gatedStore(t, sh)

	given, give := context.WithCancel(context.Background())
	givenUp := make(chan error, 1)
	go func() {
		_, err := s.Fetch(given, "shop", Current{Version: "1.0.0", SHA256: sum})
		givenUp <- err
	}()
	<-b.begun
	const callers = 8
	trees := make(chan string, callers)
	for range callers {
		go func() {
			r, err := s.Fetch(context.Background(), "shop", Current{Version: "1.0.0", SHA256: sum})
			if err != nil {
				t.Error(err)
			}
			trees <- r.Tree
		}()
	}
	waitFor(t, "all to wait for one", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, f := range s.flights {
			return f.waiters == callers+1
		}
		return false
	})
	// The first one gives up; the others must not notice.
	give()
	if err := <-givenUp; !errors.Is(err, context.Canceled) {
		t.Errorf("Fetch that was given up: %v", err)
	}
	close(b.gate)
	first := <-trees
	for range callers - 1 {
		if tree := <-trees; tree != first || tree == "" {
			t.Errorf("trees %q and %q", tree, first)
		}
	}
	if b.reads != 1 {
		t.Errorf("%d downloads, want 1", b.reads)
	}
}

func TestStore_FetchGivenUpByAllIsCancelled(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	sh.put(t, "shop", "1.0.0", archiveOf(t, mixRelease("shop", "1.0.0")...))
	s, b := gatedStore(t, sh)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-b.begun
		cancel()
	}()
	if _, err := s.Fetch(ctx, "shop", Current{Version: "1.0.0"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Fetch: %v, want context.Canceled", err)
	}
	s.running.Wait()
	if left := filesBelow(t, s.dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	close(b.gate)
	fetchOK(t, s, "shop", Current{Version: "1.0.0"})
}

// With and without a sha256 it is the same release, unpacked once.
func TestStore_FetchOneAfterTheOther(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	sum := sh.put(t, "shop", "1.0.0", archiveOf(t, mixRelease("shop", "1.0.0")...))
	s := sh.open(t)
	var wg sync.WaitGroup
	unpacked := make(chan string, 4)
	for i := range 4 {
		wg.Go(func() {
			cur := Current{Version: "1.0.0"}
			if i%2 == 0 {
				cur.SHA256 = sum
			}
			r, err := s.Fetch(context.Background(), "shop", cur)
			if err != nil {
				t.Error(err)
			}
			unpacked <- r.UnpackedAt.String()
		})
	}
	wg.Wait()
	first := <-unpacked
	for range 3 {
		if at := <-unpacked; at != first {
			t.Errorf("unpacked at %s and at %s", first, at)
		}
	}
}

func TestStore_CloseEndsFetches(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	sh.put(t, "shop", "1.0.0", archiveOf(t, mixRelease("shop", "1.0.0")...))
	s, b := gatedStore(t, sh)
	failed := make(chan error, 1)
	go func() {
		_, err := s.Fetch(context.Background(), "shop", Current{Version: "1.0.0"})
		failed <- err
	}()
	<-b.begun
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("Fetch under way: %v, want context.Canceled", err)
	}
	if _, err := s.Fetch(context.Background(), "shop", Current{Version: "1.0.0"}); !errors.Is(err, errClosed) {
		t.Errorf("Fetch after Close: %v", err)
	}
}

func TestOpenStore_OneAtATime(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	s := sh.open(t)
	if _, err := OpenStore(sh.config()); !errors.Is(err, ErrLocked) {
		t.Errorf("second OpenStore: %v, want ErrLocked", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	sh.open(t)
}

func TestOpenStore_NeedsAFolder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", file} {
		if s, err := OpenStore(StoreConfig{Dir: dir}); err == nil {
			s.Close()
			t.Errorf("OpenStore(%q): no error", dir)
		}
	}
}

func TestStore_Prune(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	s := sh.open(t)
	var ids []string
	for _, v := range []string{"1.0.0", "2.0.0", "3.0.0", "4.0.0", "5.0.0", "6.0.0"} {
		sh.put(t, "shop", v, archiveOf(t, mixRelease("shop", v)...))
		r := fetchOK(t, s, "shop", Current{Version: v})
		ids = append(ids, r.ID())
		switch v {
		case "1.0.0", "2.0.0": // 1.0.0 becomes current, then previous
			if err := s.Prepare(context.Background(), "shop", "shop-aaaaaa", r, nil); err != nil {
				t.Fatal(err)
			}
			if err := s.Switch("shop", "shop-aaaaaa"); err != nil {
				t.Fatal(err)
			}
		}
	}
	removed, err := s.Prune("shop", 2, []string{ids[3]})
	if err != nil || !slices.Equal(removed, []string{ids[2]}) {
		t.Errorf("Prune = %q, %v, want %q alone", removed, err, ids[2])
	}
	removed, err = s.Prune("shop", 0, nil)
	slices.Sort(removed)
	if err != nil || !slices.Equal(removed, ids[3:]) {
		t.Errorf("Prune of all = %q, %v, want %q", removed, err, ids[3:])
	}
	if err := s.RemoveInstance("shop", "shop-aaaaaa"); err != nil {
		t.Fatal(err)
	}
	if removed, err = s.Prune("shop", 0, nil); err != nil || len(removed) != 2 {
		t.Errorf("Prune without instances = %q, %v", removed, err)
	}
	if left := filesBelow(t, s.dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if _, err := s.Prune("../x", 0, nil); !errors.Is(err, ErrBadName) {
		t.Errorf("Prune of a bad name: %v", err)
	}
}

func TestOpenStore_RemovesDamage(t *testing.T) {
	t.Parallel()
	sh := newShelf(t)
	sh.put(t, "shop", "1.0.0", archiveOf(t, mixRelease("shop", "1.0.0")...))
	s := sh.open(t)
	r := fetchOK(t, s, "shop", Current{Version: "1.0.0"})
	if err := os.WriteFile(filepath.Join(filepath.Dir(r.Tree), releaseFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = sh.open(t)
	if left := filesBelow(t, s.dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	fetchOK(t, s, "shop", Current{Version: "1.0.0"})
}

// waitFor waits until it is so.
func waitFor(t testing.TB, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !so(); {
		if time.Now().After(end) {
			t.Fatalf("timed out waiting for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
