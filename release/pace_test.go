package release

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// farBucket is a Remote in memory that counts what it is asked.
type farBucket struct {
	mu      sync.Mutex
	objects map[string]string
	fails   error
	asked   map[string][]time.Time // by key
}

func newFarBucket() *farBucket {
	return &farBucket{objects: make(map[string]string), asked: make(map[string][]time.Time)}
}

func (b *farBucket) put(key, content string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects[key] = content
}

func (b *farBucket) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fails = err
}

func (b *farBucket) times(key string) []time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.asked[key]
	delete(b.asked, key)
	return all
}

func (b *farBucket) OpenChanged(_ context.Context, key, token string) (*Object, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked[key] = append(b.asked[key], time.Now())
	content, ok := b.objects[key]
	switch {
	case b.fails != nil:
		return nil, b.fails
	case !ok:
		return nil, &BucketError{Location: key, Kind: ErrNotFound}
	case content == token:
		return nil, &BucketError{Location: key, Kind: ErrUnchanged}
	}
	return &Object{ObjectInfo: ObjectInfo{Key: key, Location: key, Token: content, Size: int64(len(content))}, Body: io.NopCloser(bytes.NewReader([]byte(content)))}, nil
}

func (b *farBucket) Open(ctx context.Context, key string, _ int64) (*Object, error) {
	return b.OpenChanged(ctx, key, "")
}

func (b *farBucket) Resume(context.Context, string, string, int64) (*Object, error) {
	return nil, errors.New("not asked for here")
}

func (b *farBucket) List(context.Context, string) ([]ObjectInfo, error) { return nil, nil }
func (b *farBucket) Location(key string) string                         { return "far://" + key }

func TestWatcher_AsksAFarBucketOnceInAnInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFarBucket()
		b.put(CurrentKey("shop", "prod"), `{"version":"1"}`)
		b.put(ArchiveKey("shop", "1"), "archive")
		_, c := watch(t, b, 10*time.Second)
		c.version("1")
		time.Sleep(time.Hour)
		at := b.times(CurrentKey("shop", "prod"))
		if n := len(at); n < 340 || n > 380 {
			t.Errorf("%d requests in an hour with an interval of 10 s", n)
		}
		gaps := make(map[time.Duration]bool)
		for i := 2; i < len(at); i++ {
			gap := at[i].Sub(at[i-1])
			gaps[gap] = true
			if gap < 9*time.Second || gap > 11*time.Second {
				t.Errorf("%v between two requests", gap)
			}
		}
		if len(gaps) < 10 {
			t.Error("no jitter")
		}
		if n := len(b.times(ArchiveKey("shop", "1"))); n != 1 {
			t.Errorf("the archive was asked for %d times", n)
		}
	})
}

func TestWatcher_AsksForTheArchiveWhileItIsMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFarBucket()
		b.put(CurrentKey("shop", "prod"), `{"version":"1"}`)
		_, c := watch(t, b, 10*time.Second)
		c.version("1")
		time.Sleep(time.Minute)
		b.put(ArchiveKey("shop", "1"), "archive")
		time.Sleep(11 * time.Second)
		if ch := c.next(); !ch.ArchiveChanged || ch.Err != nil {
			t.Fatalf("change %+v", ch)
		}
		b.times(ArchiveKey("shop", "1"))
		time.Sleep(time.Hour)
		if n := len(b.times(ArchiveKey("shop", "1"))); n != 0 {
			t.Errorf("the archive was asked for %d times more", n)
		}
	})
}

func TestWatcher_AsksABucketInTroubleSeldomer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFarBucket()
		key := CurrentKey("shop", "prod")
		b.put(key, `{"version":"1"}`)
		b.put(ArchiveKey("shop", "1"), "archive")
		w, c := watch(t, b, 5*time.Second)
		c.version("1")
		time.Sleep(time.Minute)
		b.fail(&BucketError{Location: key, Kind: ErrThrottled})
		b.times(key)
		time.Sleep(time.Hour)
		c.fails(ErrThrottled)
		at := b.times(key)
		if n := len(at); n < 60 || n > 130 {
			t.Errorf("%d requests in an hour of trouble", n)
		}
		last := at[len(at)-5:]
		for i := 1; i < len(last); i++ {
			if gap := last[i].Sub(last[i-1]); gap < 29*time.Second || gap > time.Minute {
				t.Errorf("%v between two requests", gap)
			}
		}
		// Who is told that there is something new does not wait for that.
		b.fail(nil)
		b.put(key, `{"version":"2"}`)
		b.put(ArchiveKey("shop", "2"), "archive")
		w.Check("shop")
		time.Sleep(time.Second)
		if ch := c.version("2"); !ch.Mended {
			t.Errorf("change %+v", ch)
		}
		b.times(key)
		time.Sleep(time.Minute)
		if n := len(b.times(key)); n < 9 {
			t.Errorf("%d requests in the minute after", n)
		}
		select {
		case ch := <-c.ch:
			t.Errorf("told %+v", ch)
		default:
		}
	})
}

func TestWatcher_WaitsInAnEmptyBucket(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newFarBucket()
		_, c := watch(t, b, 5*time.Second)
		c.fails(ErrNotFound)
		time.Sleep(10 * time.Minute)
		if n := len(b.times(CurrentKey("shop", "prod"))); n < 100 {
			t.Errorf("%d requests: an empty bucket is no trouble", n)
		}
		b.put(CurrentKey("shop", "prod"), `{"version":"1"}`)
		time.Sleep(6 * time.Second)
		if ch := c.version("1"); ch.Mended {
			t.Error("mended, though nothing was broken")
		}
	})
}
