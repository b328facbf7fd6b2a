package state

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// A backup that somebody is in a hurry for does not wait for the hour.
func TestKeepBackups_AHurry(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "state"))
	fill(t, s, 1)
	first, err := s.Backup() // so that the next is due in an hour
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan error, 2)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.KeepBackups(ctx, time.Hour, slog.New(slog.DiscardHandler), func(err error) { told <- err })
	}()
	s.HurryBackup()
	s.HurryBackup() // nobody waits
	select {
	case err := <-told:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("no backup was made")
	}
	cancel()
	<-done
	list, err := Backups(filepath.Dir(s.Path()))
	if err != nil || len(list) < 2 || !list[0].At.After(first.At) {
		t.Errorf("backups %+v, %v", list, err)
	}
}

// One that fails is tried again soon, then less and less often.
func TestKeepBackups_TriesAgain(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, "16m")
	synctest.Test(t, func(t *testing.T) {
		s := open(t, filepath.Join(disk, "state"))
		fill(t, s, 1)
		fillDisk(t, disk)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var at []time.Duration
		began := time.Now()
		s.KeepBackups(ctx, time.Hour, slog.New(slog.DiscardHandler), func(err error) {
			if err == nil {
				t.Error(errors.New("there was room"))
			}
			if at = append(at, time.Since(began)); len(at) == 4 {
				cancel()
			}
		})
		for i, want := range []time.Duration{5, 10, 20, 40} {
			if at[i] != want*time.Second {
				t.Fatalf("tried after %s, want 5, 10, 20 and 40 s", at)
			}
		}
	})
}
