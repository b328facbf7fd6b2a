package release

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

// patternBucket is a Remote with one object of any size that takes no room.
type patternBucket struct {
	farBucket
	size int64
	body func(ctx context.Context, offset int64) io.ReadCloser // nil: all of it at once
}

func (b *patternBucket) Resume(ctx context.Context, key, _ string, offset int64) (*Object, error) {
	o := &Object{ObjectInfo: ObjectInfo{Key: key, Location: "far://" + key, Token: "1", Size: b.size}}
	if o.Body = io.NopCloser(io.LimitReader(endless{}, b.size-offset)); b.body != nil {
		o.Body = b.body(ctx, offset)
	}
	return o, nil
}

func (b *patternBucket) Open(ctx context.Context, key string, offset int64) (*Object, error) {
	return b.Resume(ctx, key, "1", offset)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func startDownload(t *testing.T, b Remote, file string, l *rate.Limiter) (*download, error) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := &download{source: Source{Bucket: b}, key: "k", limiter: l, stall: stallTimeout, wait: resumeWait, part: f}
	o, err := openCancellable(t.Context(), func(ctx context.Context) (*Object, error) { return b.Open(ctx, "k", 0) })
	if err != nil {
		t.Fatal(err)
	}
	return d, d.run(t.Context(), o)
}

func TestDownload_SharesTheRate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		const each = 10 << 20
		b := &patternBucket{size: each}
		limiter := rate.NewLimiter(1<<20, copyBuffer)
		began := time.Now()
		var took [4]time.Duration
		var all sync.WaitGroup
		for i := range took {
			all.Go(func() {
				if _, err := startDownload(t, b, filepath.Join(dir, string(rune('a'+i))), limiter); err != nil {
					t.Error(err)
				}
				took[i] = time.Since(began)
			})
		}
		all.Wait()
		for i, d := range took {
			if d < 38*time.Second || d > 41*time.Second {
				t.Errorf("download %d took %v; four of 10 MiB at 1 MiB/s take 40 s, and none is ahead", i, d)
			}
		}
	})
}

// silentBody sends some bytes, and then nothing until its request ends.
type silentBody struct {
	ctx  context.Context
	some io.Reader
}

func (s silentBody) Read(p []byte) (int, error) {
	if n, err := s.some.Read(p); n > 0 || err != io.EOF {
		return n, err
	}
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func (silentBody) Close() error { return nil }

func TestDownload_GoesOnAfterSilence(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := &patternBucket{size: 1000}
		b.body = func(ctx context.Context, offset int64) io.ReadCloser {
			return silentBody{ctx, bytes.NewReader(bytes.Repeat([]byte{'x'}, int(min(300, 1000-offset))))}
		}
		began := time.Now()
		d, err := startDownload(t, b, filepath.Join(dir, "x"), nil)
		if err != nil || d.told.Done != 1000 || d.told.Resumed != 3 {
			t.Fatalf("%v, progress %+v", err, d.told.FetchProgress)
		}
		if took := time.Since(began); took < 3*stallTimeout || took > 5*stallTimeout {
			t.Errorf("it took %v", took)
		}
		// One that brings nothing at all ends.
		b.body = func(ctx context.Context, _ int64) io.ReadCloser { return silentBody{ctx, bytes.NewReader(nil)} }
		if _, err := startDownload(t, b, filepath.Join(dir, "y"), nil); !errors.Is(err, ErrUnreachable) {
			t.Errorf("a silent bucket: %v", err)
		}
	})
}

func TestDownload_TakesLittleMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, err := startDownload(t, &patternBucket{size: 256 << 20}, filepath.Join(t.TempDir(), "x"), nil)
	if err != nil || d.told.Done != 256<<20 {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
		t.Errorf("%d bytes were allocated for 256 MiB", n)
	}
}

func TestChecksums_KnowTheAlgorithmsOfTheBuckets(t *testing.T) {
	t.Parallel()
	// The check values of the CRC catalogue, and of the RFCs, for "123456789".
	for algorithm, want := range map[string]string{
		"crc32": "\xcb\xf4\x39\x26", "crc32c": "\xe3\x06\x92\x83", "crc64nvme": "\xae\x8b\x14\x86\x0a\x79\x98\x88",
	} {
		h := newChecksum(algorithm)
		_, _ = h.Write([]byte("123456789"))
		if got := string(h.Sum(nil)); got != want {
			t.Errorf("%s: %x, want %x", algorithm, got, want)
		}
	}
	s := newSums([]Checksum{{Algorithm: "whirlpool", Sum: []byte("x")}, {Algorithm: "crc32", Sum: []byte("\xcb\xf4\x39\x26")}})
	_, _ = s.Write([]byte("123456789"))
	if err := s.check(); err != nil {
		t.Error(err)
	}
	_, _ = s.Write([]byte("0"))
	if err := s.check(); !errors.Is(err, ErrDamaged) {
		t.Errorf("check: %v", err)
	}
}
