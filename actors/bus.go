package actors

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// maxQueued bounds the events that wait to be kept while the disk does not take them.
const maxQueued = 10_000

// bus numbers events, keeps them and spreads them. What is emitted is in its queue until it is kept, whatever becomes of
// the actor that keeps it.
type bus struct {
	store *state.Store
	log   *slog.Logger
	wake  func() // tells the actor that there is something to keep

	began uint64 // the last event of the daemons before this one; constant

	flushing sync.Mutex

	mu      sync.Mutex
	last    uint64 // highest ID given
	queue   []api.Event
	changed chan struct{} // closed, and made anew, when more events are kept
}

func newBus(store *state.Store, log *slog.Logger, wake func()) (*bus, error) {
	b := &bus{store: store, log: log, wake: wake, changed: make(chan struct{})}
	err := store.View(func(tx *state.Tx) error {
		b.last = tx.LastEvent()
		b.began = b.last
		return nil
	})
	return b, err
}

// emit takes an event that goes with nothing in the store. It does not wait for the disk.
func (b *bus) emit(e api.Event) {
	b.mu.Lock()
	e = b.number(e)
	if len(b.queue) >= maxQueued {
		b.queue = b.queue[1:]
	}
	b.queue = append(b.queue, e)
	b.mu.Unlock()
	b.write(e)
	b.wake()
}

// record calls f in a transaction and keeps what it writes with the events that it says: both or neither, whatever
// happens to the daemon.
func (b *bus) record(f func(tx *state.Tx, say func(api.Event)) error) error {
	var said []api.Event
	err := b.store.Update(func(tx *state.Tx) error {
		said = nil
		if err := f(tx, func(e api.Event) { said = append(said, e) }); err != nil || len(said) == 0 {
			return err
		}
		b.mu.Lock()
		for i, e := range said {
			said[i] = b.number(e)
		}
		batch := slices.Concat(b.queue, said) // in the order of their IDs, so that no reader sees a later one first
		b.mu.Unlock()
		return tx.AddEvents(batch)
	})
	if err != nil || len(said) == 0 {
		return err
	}
	b.kept(said[len(said)-1].ID)
	for _, e := range said {
		b.write(e)
	}
	return nil
}

// number completes an event. b.mu is held.
func (b *bus) number(e api.Event) api.Event {
	if e.Level == "" {
		e.Level = "info"
	}
	e.Time = api.Time{Time: time.Now().UTC()}
	b.last++
	e.ID = b.last
	return e
}

// write puts an event into the daemon's log.
func (b *bus) write(e api.Event) {
	level := map[string]slog.Level{"warning": slog.LevelWarn, "error": slog.LevelError}[e.Level]
	attrs := []slog.Attr{slog.String("event", e.Type)}
	for _, a := range [][2]string{{"app", e.App}, {"instance", e.Instance}, {"deployment", e.Deployment}, {"version", e.Version}} {
		if a[1] != "" {
			attrs = append(attrs, slog.String(a[0], a[1]))
		}
	}
	b.log.LogAttrs(context.Background(), level, e.Message, attrs...)
}

// flush keeps what is queued. When the disk does not take it, it stays queued.
func (b *bus) flush() error {
	b.flushing.Lock()
	defer b.flushing.Unlock()
	b.mu.Lock()
	batch := b.queue
	b.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	if err := b.store.Update(func(tx *state.Tx) error { return tx.AddEvents(batch) }); err != nil {
		return err
	}
	b.kept(batch[len(batch)-1].ID)
	return nil
}

// kept is called when the store has all events up to an ID.
func (b *bus) kept(last uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for n < len(b.queue) && b.queue[n].ID <= last {
		n++
	}
	b.queue = b.queue[n:]
	close(b.changed)
	b.changed = make(chan struct{})
}

// read calls yield for each kept event above since and, with follow, for those that come, until ctx or yield ends it.
func (b *bus) read(ctx context.Context, since uint64, follow bool, yield func(api.Event) bool) error {
	for {
		b.mu.Lock()
		changed, last, queued := b.changed, b.last, len(b.queue) > 0
		b.mu.Unlock()
		if queued && !follow {
			if err := b.flush(); err != nil {
				return err
			}
			continue
		}
		// IDs start anew when the state folder is replaced; whoever has seen later ones gets all.
		if since > last {
			since = 0
		}
		for {
			var page []api.Event
			err := b.store.View(func(tx *state.Tx) (err error) {
				page, err = tx.Events(since, 256)
				return err
			})
			if err != nil {
				return err
			}
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				if ctx.Err() != nil || !yield(e) {
					return ctx.Err()
				}
				since = e.ID
			}
		}
		if !follow {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
