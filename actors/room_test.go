package actors

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/release"
)

// What failed as the disk was full is tried again until it goes well, over a restart of the daemon too, and is no ghost.
func TestRoom_WhatFailedForWantOfItIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2))
	w.cfg.RoomRetry = 20 * time.Millisecond
	w.up()
	w.run("shop", "1.0.0")
	before := w.running("shop", "1.0.0", 2)
	w.shelf.set(func() { w.shelf.fails = &release.Error{Op: "unpack", Err: fmt.Errorf("write it: %w", unix.ENOSPC)} })
	d := w.ended(w.deploy("shop", "2.0.0").ID, api.DeploymentFailed)
	if !strings.Contains(d.Error, "no space left") {
		t.Errorf("it failed with %s", d.Error)
	}
	tries := func() int {
		all, err := w.sys.Deployments(t.Context(), "shop", 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	w.until("two more tries", func() bool { return tries() >= 4 })
	w.until("a problem that says so", func() bool {
		a := w.app("shop")
		return len(a.Problems) == 1 && strings.Contains(a.Problems[0].What, "tried again by itself")
	})
	w.down(false)
	w.up()
	n := tries()
	w.until("another try", func() bool { return tries() > n })
	for _, i := range before {
		if !alive(i.OSPID) {
			t.Errorf("%s has ended", i.Name)
		}
	}
	w.shelf.set(func() { w.shelf.fails = nil })
	w.running("shop", "2.0.0", 2)
	w.until("its end", func() bool { return w.app("shop").Deployment == nil })
	if a := w.app("shop"); len(a.Ghosted) != 0 || len(a.Problems) != 0 {
		t.Errorf("%+v", a)
	}
	if len(w.eventsOf(api.EventRoomRetry)) < 3 {
		t.Errorf("events %+v", w.eventsOf(api.EventRoomRetry))
	}
	all, err := w.sys.Deployments(t.Context(), "shop", 1)
	if err != nil || all[0].Trigger != state.SourceOperator {
		t.Errorf("%+v, %v", all, err)
	}
}

// A failure that room would not mend is not tried again, nor is what an operator froze or stopped meanwhile.
func TestRoom_NothingElseIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1))
	w.cfg.RoomRetry = time.Millisecond
	w.up()
	w.run("shop", "1.0.0")
	fails := func(err error) { w.shelf.set(func() { w.shelf.fails = err }) }
	quiet := func(after string) {
		t.Helper()
		w.until("the deployment under way", func() bool {
			d := w.app("shop").Deployment
			return d == nil || d.Outcome != api.DeploymentRunning
		})
		n := len(w.eventsOf(api.EventRoomRetry))
		for range 3 { // each has the manager look once
			w.sys.send(managerActor("shop"), msgWake{})
			if err := w.sys.Alive(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if m := len(w.eventsOf(api.EventRoomRetry)); m != n {
			t.Errorf("%s it was tried again", after)
		}
	}
	fails(errors.New("no such archive"))
	w.ended(w.deploy("shop", "2.0.0").ID, api.DeploymentFailed)
	quiet("after another failure")
	fails(unix.ENOSPC)
	w.deploy("shop", "2.0.0")
	w.until("a try", func() bool { return len(w.eventsOf(api.EventRoomRetry)) > 0 })
	if err := w.sys.Freeze(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	quiet("frozen")
	if err := w.sys.Unfreeze(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if err := w.sys.Stop(t.Context(), api.Target{App: "shop"}); err != nil {
		t.Fatal(err)
	}
	quiet("stopped")
}

func TestRoom_WaitsLongerEachTime(t *testing.T) {
	t.Parallel()
	s := &System{}
	for tries, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 4: 8 * time.Second, 50: roomLongest} {
		if got := s.roomWait(tries); got != want {
			t.Errorf("after %d tries %s, want %s", tries, got, want)
		}
	}
}
