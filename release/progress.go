package release

import (
	"context"
	"time"
)

// FetchProgress says how far the download of an archive has come.
type FetchProgress struct {
	Location string
	Done     int64 // bytes
	Total    int64 // bytes; negative: not known
	Resumed  int   // how often it went on after a cut
	Restarts int   // how often it began anew, as the object was replaced
	Err      error // what it recovers from just now; nil: it goes on
}

type progressKey struct{}

// WithFetchProgress gives a context with which Fetch tells of its download: when it begins, at most twice a second, and
// when it ends. Calls come one at a time and must not block. Of callers that share one download the first is told.
func WithFetchProgress(ctx context.Context, tell func(FetchProgress)) context.Context {
	return context.WithValue(ctx, progressKey{}, tell)
}

const progressEvery = 500 * time.Millisecond

// progress tells now and then.
type progress struct {
	FetchProgress
	tell func(FetchProgress) // nil: nobody listens
	last time.Time
}

func newProgress(ctx context.Context, o ObjectInfo) *progress {
	tell, _ := ctx.Value(progressKey{}).(func(FetchProgress))
	return &progress{FetchProgress: FetchProgress{Location: o.Location, Total: o.Size}, tell: tell}
}

// now tells at once.
func (p *progress) now() {
	if p.tell != nil {
		p.last = time.Now()
		p.tell(p.FetchProgress)
	}
}

// add counts what came.
func (p *progress) add(n int) {
	p.Done += int64(n)
	p.Err = nil
	if p.tell != nil && time.Since(p.last) >= progressEvery {
		p.now()
	}
}
