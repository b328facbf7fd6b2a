package release

import (
	"context"
	"errors"
)

// flightKey names what is fetched.
type flightKey struct{ app, version, sum string }

// flight is one fetch that several callers may wait for. It is cancelled when the last of them has gone.
type flight struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int // guarded by Store.mu

	// after done
	rel Release
	err error
}

var errClosed = errors.New("store is closed")

// share runs fetch once for all who ask for key at the same time.
func (s *Store) share(ctx context.Context, key flightKey, fetch func(context.Context) (Release, error)) (Release, error) {
	if err := ctx.Err(); err != nil {
		return Release{}, err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return Release{}, errClosed
	}
	f := s.flights[key]
	if f == nil {
		f = s.depart(ctx, key, fetch)
	}
	f.waiters++
	s.mu.Unlock()

	select {
	case <-f.done:
		return f.rel, f.err
	case <-ctx.Done():
		s.leave(key, f)
		return Release{}, ctx.Err()
	}
}

// depart begins a flight. The caller holds mu.
func (s *Store) depart(ctx context.Context, key flightKey, fetch func(context.Context) (Release, error)) *flight {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{done: make(chan struct{}), cancel: cancel}
	s.flights[key] = f
	s.running.Go(func() {
		defer cancel()
		f.rel, f.err = fetch(ctx)
		s.mu.Lock()
		if s.flights[key] == f {
			delete(s.flights, key)
		}
		s.mu.Unlock()
		close(f.done)
	})
	return f
}

// leave gives up waiting. A flight without waiters is cancelled, and no one can join it any more.
func (s *Store) leave(key flightKey, f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.waiters--; f.waiters > 0 {
		return
	}
	f.cancel()
	if s.flights[key] == f {
		delete(s.flights, key)
	}
}
