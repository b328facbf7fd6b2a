package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

func newTestBus(t *testing.T, dir string) (*bus, *state.Store) {
	t.Helper()
	s, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b, err := newBus(s, slog.New(slog.DiscardHandler), func() {})
	if err != nil {
		t.Fatal(err)
	}
	return b, s
}

func TestBus_NumbersGrowOverRestarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b, s := newTestBus(t, dir)
	for range 3 {
		b.emit(api.Event{Type: "t"})
	}
	if err := b.flush(); err != nil {
		t.Fatal(err)
	}
	s.Close()
	b, _ = newTestBus(t, dir)
	b.emit(api.Event{Type: "t"})
	// Not flushed: whoever reads sees it all the same.
	var ids []uint64
	if err := b.read(t.Context(), 1, false, func(e api.Event) bool { ids = append(ids, e.ID); return true }); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(ids) != "[2 3 4]" {
		t.Errorf("read %v", ids)
	}
}

func TestBus_FollowersMissNothing(t *testing.T) {
	t.Parallel()
	const total, followers = 2000, 4
	b, _ := newTestBus(t, t.TempDir())
	var wg sync.WaitGroup
	for f := range followers {
		wg.Go(func() {
			next := uint64(1)
			err := b.read(t.Context(), 0, true, func(e api.Event) bool {
				if e.ID != next {
					t.Errorf("follower %d got %d, want %d", f, e.ID, next)
				}
				next = e.ID + 1
				return e.ID < total && !t.Failed()
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	for range total / 100 {
		for range 100 {
			b.emit(api.Event{Type: "t"})
		}
		if err := b.flush(); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}

func TestBus_FollowingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b, _ := newTestBus(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.read(ctx, 0, true, func(api.Event) bool { return true }) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
}

// What the disk does not take stays, and is kept when it does.
func TestBus_KeepsWhatTheDiskRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b, s := newTestBus(t, dir)
	b.emit(api.Event{Type: "one"})
	s.Close()
	if err := b.flush(); err == nil {
		t.Fatal("flush to a closed store succeeded")
	}
	b.emit(api.Event{Type: "two"})
	s, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b.store = s
	var types []string
	if err := b.read(t.Context(), 0, false, func(e api.Event) bool { types = append(types, e.Type); return true }); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(types) != "[one two]" {
		t.Errorf("read %v", types)
	}
}

// What is recorded with a change is kept with it, after what was emitted before, and not at all when the change is not.
func TestBus_RecordsEventsWithTheirChange(t *testing.T) {
	t.Parallel()
	b, s := newTestBus(t, t.TempDir())
	b.emit(api.Event{Type: "before"}) // nobody has kept it yet
	failed := errors.New("no")
	err := b.record(func(tx *state.Tx, say func(api.Event)) error {
		say(api.Event{Type: "lost"})
		return errors.Join(tx.PutApp(state.App{Name: "a"}), failed)
	})
	if !errors.Is(err, failed) {
		t.Fatal(err)
	}
	err = b.record(func(tx *state.Tx, say func(api.Event)) error {
		say(api.Event{Type: "first"})
		say(api.Event{Type: "second"})
		return tx.PutApp(state.App{Name: "b"})
	})
	if err != nil {
		t.Fatal(err)
	}
	b.emit(api.Event{Type: "after"})
	// As a daemon finds it that comes after one that was killed here.
	var kept []string
	err = s.View(func(tx *state.Tx) error {
		apps, err := tx.Apps()
		if len(apps) != 1 || apps[0].Name != "b" {
			t.Errorf("apps are %+v", apps)
		}
		events, e := tx.Events(0, 10)
		for n, ev := range events {
			kept = append(kept, ev.Type)
			if n > 0 && ev.ID <= events[n-1].ID {
				t.Errorf("event %d after %d", ev.ID, events[n-1].ID)
			}
		}
		return errors.Join(err, e)
	})
	if err != nil || fmt.Sprint(kept) != "[before first second]" {
		t.Errorf("kept %v, %v", kept, err)
	}
	if err := b.flush(); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := b.read(t.Context(), 0, false, func(api.Event) bool { n++; return true }); err != nil || n != 4 {
		t.Errorf("%d events, %v", n, err)
	}
}
