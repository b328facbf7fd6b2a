package emulator

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/release"
)

// fetchWorld is a store that fetches from an emulator.
type fetchWorld struct {
	t       *testing.T
	proxy   *Proxy
	depot   release.Depot
	archive []byte
	sum     string
	store   *release.Store
}

// TestFetch checks how release.Store downloads the archive of a release of "sample" from d, which proxy makes trouble for.
func TestFetch(t *testing.T, proxy *Proxy, d release.Depot, archive string) {
	content, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	w := &fetchWorld{t: t, proxy: proxy, depot: d, archive: content, sum: hex.EncodeToString(sum[:])}
	for name, test := range map[string]func(*fetchWorld){
		"once for a host":     (*fetchWorld).once,
		"cut off":             (*fetchWorld).cutOff,
		"trouble in between":  (*fetchWorld).troubled,
		"shortened":           (*fetchWorld).shortened,
		"damaged":             (*fetchWorld).damaged,
		"slow":                (*fetchWorld).slow,
		"swapped":             (*fetchWorld).swapped,
		"swapped, other sum":  (*fetchWorld).swappedForAnother,
		"removed":             (*fetchWorld).removed,
		"never comes through": (*fetchWorld).never,
	} {
		t.Run(name, func(t *testing.T) {
			one := *w
			one.t = t
			one.begin()
			test(&one)
			proxy.Trouble(nil)
		})
	}
}

func (w *fetchWorld) begin() {
	w.proxy.Trouble(nil)
	w.put(w.archive)
	var err error
	w.store, err = release.OpenStore(release.StoreConfig{
		Dir: w.t.TempDir(), Source: release.Source{Bucket: w.depot, Account: "prod"}, Reserve: -1, ResumeWait: time.Millisecond,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.store.Close() })
	w.proxy.Requests()
}

func (w *fetchWorld) put(content []byte) {
	w.t.Helper()
	if err := w.depot.Put(context.Background(), release.ArchiveKey("sample", "1"), bytes.NewReader(content), int64(len(content))); err != nil {
		w.t.Fatal(err)
	}
}

func (w *fetchWorld) fetch(sum string) (release.Release, release.FetchProgress, error) {
	var last release.FetchProgress
	ctx := release.WithFetchProgress(w.t.Context(), func(p release.FetchProgress) { last = p })
	r, err := w.store.Fetch(ctx, "sample", release.Current{Version: "1", SHA256: sum})
	return r, last, err
}

func (w *fetchWorld) fetched(sum string) release.FetchProgress {
	w.t.Helper()
	r, p, err := w.fetch(sum)
	if err != nil {
		w.t.Fatalf("Fetch: %v", err)
	}
	if r.SHA256 != w.sum || r.Size != int64(len(w.archive)) || p.Done != r.Size || p.Total != r.Size {
		w.t.Errorf("release %+v, progress %+v", r, p)
	}
	return p
}

func (w *fetchWorld) refused(sum string, want ...error) {
	w.t.Helper()
	_, _, err := w.fetch(sum)
	for _, e := range want {
		if errors.Is(err, e) {
			return
		}
	}
	w.t.Errorf("Fetch: %v, want %v", err, want)
}

func (w *fetchWorld) once() {
	w.fetched("")
	if n := len(w.proxy.Requests()); n != 1 {
		w.t.Errorf("%d requests for a download", n)
	}
	if _, _, err := w.fetch(""); err != nil {
		w.t.Error(err)
	}
	if n := len(w.proxy.Requests()); n != 1 {
		w.t.Errorf("%d requests to see that it is the same", n)
	}
	if _, _, err := w.fetch(w.sum); err != nil {
		w.t.Error(err)
	}
	if n := len(w.proxy.Requests()); n != 0 {
		w.t.Errorf("%d requests for what is known to be here", n)
	}
}

// cutOff cuts each answer after a third, until nothing is left.
func (w *fetchWorld) cutOff() {
	third := int64(len(w.archive)/3 + 1)
	var ranged atomic.Int32
	w.proxy.Trouble(func(rw http.ResponseWriter, r *http.Request, forward http.Handler) {
		if r.Header.Get("Range") != "" {
			ranged.Add(1)
		}
		CutBody(rw, r, forward, third)
	})
	w.fetched(w.sum)
	if n := ranged.Load(); n < 2 {
		w.t.Errorf("%d requests for a part", n)
	}
}

// troubled answers 500 and 503 after each cut.
func (w *fetchWorld) troubled() {
	var n atomic.Int32
	w.proxy.Trouble(func(rw http.ResponseWriter, r *http.Request, forward http.Handler) {
		switch n.Add(1) {
		case 1:
			CutBody(rw, r, forward, 1000)
		case 2:
			rw.WriteHeader(http.StatusInternalServerError)
		case 3:
			rw.WriteHeader(http.StatusServiceUnavailable)
		default:
			forward.ServeHTTP(rw, r)
		}
	})
	w.fetched("")
}

// shortened: a cache that passes half of it off as the whole.
func (w *fetchWorld) shortened() {
	w.proxy.Trouble(func(rw http.ResponseWriter, r *http.Request, forward http.Handler) {
		ShortenBody(rw, r, forward, len(w.archive)/2)
	})
	w.refused(w.sum, release.ErrDamaged, release.ErrChecksum)
}

// damaged: a bit that is another one. The bucket's own checksum tells, without current.json.
func (w *fetchWorld) damaged() {
	w.proxy.Trouble(func(rw http.ResponseWriter, r *http.Request, forward http.Handler) {
		forward.ServeHTTP(&flipper{ResponseWriter: rw, at: int64(len(w.archive) / 2)}, r)
	})
	if info, err := w.depot.Stat(w.t.Context(), release.ArchiveKey("sample", "1")); err == nil && len(info.Checksums) > 0 {
		w.refused("", release.ErrDamaged)
		return
	}
	w.refused(w.sum, release.ErrChecksum)
}

func (w *fetchWorld) slow() {
	w.proxy.Trouble(func(rw http.ResponseWriter, r *http.Request, forward http.Handler) {
		forward.ServeHTTP(&dawdler{ResponseWriter: rw, pause: 300 * time.Millisecond / time.Duration(len(w.archive)/(32<<10)+1)}, r)
	})
	w.fetched(w.sum)
}

// swapped: the object is replaced half way by one of the same content. For S3 it is the same then.
func (w *fetchWorld) swapped() {
	w.swap(w.archive)
	w.fetched(w.sum)
}

// swappedForAnother: it is downloaded anew, whole, and refused for what it is.
func (w *fetchWorld) swappedForAnother() {
	other := bytes.Repeat([]byte("another"), len(w.archive)/7)
	sum := sha256.Sum256(other)
	w.swap(other)
	_, p, err := w.fetch(w.sum)
	if !errors.Is(err, release.ErrChecksum) || !strings.Contains(err.Error(), hex.EncodeToString(sum[:])) || p.Restarts != 1 {
		w.t.Errorf("Fetch: %v, progress %+v, want one new beginning", err, p)
	}
}

// swap replaces the object in the middle of the first answer, and cuts that.
func (w *fetchWorld) swap(content []byte) {
	var n atomic.Int32
	w.proxy.Trouble(func(rw http.ResponseWriter, r *http.Request, forward http.Handler) {
		if r.Method != http.MethodGet || n.Add(1) > 1 {
			forward.ServeHTTP(rw, r)
			return
		}
		HaltBody(rw, r, forward, int64(len(w.archive)/2), func() {
			w.put(content)
			panic(http.ErrAbortHandler)
		})
	})
}

func (w *fetchWorld) removed() {
	var n atomic.Int32
	w.proxy.Trouble(func(rw http.ResponseWriter, r *http.Request, forward http.Handler) {
		if r.Method != http.MethodGet || n.Add(1) > 1 {
			forward.ServeHTTP(rw, r)
			return
		}
		HaltBody(rw, r, forward, int64(len(w.archive)/2), func() {
			if err := w.depot.Delete(context.Background(), release.ArchiveKey("sample", "1")); err != nil {
				w.t.Error(err)
			}
			panic(http.ErrAbortHandler)
		})
	})
	w.refused(w.sum, release.ErrNotFound)
}

// never: it is cut at the same byte again and again.
func (w *fetchWorld) never() {
	w.proxy.Trouble(func(rw http.ResponseWriter, r *http.Request, forward http.Handler) {
		if r.Header.Get("Range") != "" {
			panic(http.ErrAbortHandler)
		}
		CutBody(rw, r, forward, 1000)
	})
	w.refused(w.sum, release.ErrUnreachable)
	if all, err := w.store.Releases("sample"); err != nil || len(all) != 0 {
		w.t.Errorf("it left %v, %v", all, err)
	}
}

// flipper turns a bit of what goes through it.
type flipper struct {
	http.ResponseWriter
	at int64
}

func (f *flipper) Write(p []byte) (int, error) {
	if i := f.at; i >= 0 && i < int64(len(p)) {
		p = bytes.Clone(p)
		p[i] ^= 1
	}
	f.at -= int64(len(p))
	return f.ResponseWriter.Write(p)
}

// dawdler waits before each piece.
type dawdler struct {
	http.ResponseWriter
	pause time.Duration
}

func (d *dawdler) Write(p []byte) (int, error) {
	time.Sleep(d.pause)
	return d.ResponseWriter.Write(p)
}

// Problem checks an error of a bucket: its kind, and words of its text.
func Problem(t testing.TB, err, kind error, words ...string) {
	t.Helper()
	var e *release.BucketError
	if !errors.Is(err, kind) || !errors.As(err, &e) {
		t.Errorf("error %v (%T), want %v", err, err, kind)
		return
	}
	for _, w := range words {
		if !strings.Contains(e.Error(), w) {
			t.Errorf("error %q says nothing of %q", e, w)
		}
	}
}
