package release

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"time"
)

// maxBackoff is how seldom a bucket that gives errors is asked, unless the interval itself is longer.
const maxBackoff = time.Minute

// keptCurrent is the content of a current.json and which object it is of.
type keptCurrent struct {
	token   string // empty: none is kept
	file    string
	content []byte
}

// remote says whether the bucket is at the other end of a network.
func (w *Watcher) remote() bool {
	_, ok := w.source.Bucket.(Remote)
	return ok
}

// pace is when to look again, for a look that wants to be repeated after d. A bucket far away is not asked by all apps
// at the same moment, nor after the same time each; and seldomer as long as it gives errors.
func (a *appWatch) pace(d time.Duration) time.Duration {
	if !a.watcher.remote() {
		return d
	}
	first := !a.looked
	a.looked = true
	switch {
	case a.failures > 0:
		most := max(maxBackoff, a.pollInterval())
		d = min(a.pollInterval()<<min(a.failures-1, 10), most)
		return d - rand.N(d/2+1)
	case first:
		return rand.N(d + 1)
	}
	return d - d/10 + rand.N(d/5+1)
}

// count notes whether the bucket could be asked. Nothing there, or something broken, is an answer.
func (a *appWatch) count(err error) {
	if err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrBadCurrent) || errors.Is(err, ErrSignature) {
		a.failures = 0
		return
	}
	a.failures++
}

// currentOrKept is Current that, from a bucket far away, brings only what changed: one request, with an answer of a few
// bytes as long as nothing does. What is kept is judged anew each time, as what is trusted may change.
func (s Source) currentOrKept(ctx context.Context, app string, kept *keptCurrent) (Current, error) {
	remote, ok := s.Bucket.(Remote)
	if !ok {
		return s.Current(ctx, app)
	}
	if err := CheckName(app); err != nil {
		return Current{}, &Error{Op: "current", Release: app, Err: err}
	}
	if err := kept.renew(ctx, remote, CurrentKey(app, s.Account)); err != nil {
		return Current{}, &Error{Op: "current", Release: app, Err: err}
	}
	return s.judge(app, kept.file, kept.content)
}

// renew brings the object if it is another one by now.
func (k *keptCurrent) renew(ctx context.Context, remote Remote, key string) error {
	o, err := remote.OpenChanged(ctx, key, k.token)
	if errors.Is(err, ErrUnchanged) && k.token != "" {
		return nil
	}
	if errors.Is(err, ErrNotFound) {
		*k = keptCurrent{}
	}
	if err != nil {
		return err
	}
	defer o.Body.Close()
	content, err := io.ReadAll(io.LimitReader(o.Body, maxCurrent+1))
	if err != nil {
		return err
	}
	*k = keptCurrent{token: o.Token, file: o.Location, content: content}
	return nil
}
