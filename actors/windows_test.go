package actors

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/window"
)

// wallClock is a clock that a test sets.
type wallClock struct{ at atomic.Pointer[time.Time] }

func (c *wallClock) set(text string) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	c.at.Store(&at)
}

func (c *wallClock) now() time.Time { return *c.at.Load() }

// withWindow is a world of one app with a window. Friday 2026-11-20 has 09:00 to 17:00 in Berlin, 08:00 to 16:00 UTC.
func withWindow(t *testing.T) (*world, *wallClock) {
	t.Helper()
	spec := app("shop", 1)
	ws, err := window.ParseAll([]string{"Mon-Fri 09:00-17:00 Europe/Berlin"})
	if err != nil {
		t.Fatal(err)
	}
	spec.Windows = ws
	w, clock := newWorld(t, spec), &wallClock{}
	clock.set("2026-11-20T12:00:00Z")
	w.cfg.Clock = clock.now
	w.cfg.Source.Bucket = w.bucket
	return w, clock
}

func TestWindow_WhatComesByItselfWaits(t *testing.T) {
	t.Parallel()
	w, clock := withWindow(t)
	w.publish("shop", "1.0.0")
	w.up()
	w.running("shop", "1.0.0", 1)

	clock.set("2026-11-20T17:30:00Z")
	w.publish("shop", "1.1.0")
	w.until("word of the waiting", func() bool { return len(w.eventsOf(api.EventVersionWaits)) == 1 })
	e := w.eventsOf(api.EventVersionWaits)[0]
	if e.Version != "1.1.0" || !strings.Contains(e.Message, "until Mon 2026-11-23 09:00 CET") {
		t.Errorf("event %+v", e)
	}
	if a := w.app("shop"); a.Waiting == nil || a.Waiting.Version != "1.1.0" || a.Waiting.Until.Unix() != time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC).Unix() || a.DesiredVersion != "1.0.0" {
		t.Errorf("status %+v, waiting %+v", a, a.Waiting)
	}
	// A daemon that is started meanwhile says nothing again, and waits.
	w.down(false)
	w.up()
	w.running("shop", "1.0.0", 1)
	w.until("the daemon to have looked", func() bool { c, ok := w.sys.board.change("shop"); return ok && c.told && w.app("shop").Waiting != nil })
	if _, err := command(t.Context(), w.sys, "shop", func(*manager) (any, error) { return nil, nil }); err != nil { // behind what it was told
		t.Fatal(err)
	}
	if n := len(w.eventsOf(api.EventVersionWaits)); n != 1 {
		t.Errorf("told %d times", n)
	}
	// A newer one takes its place.
	w.publish("shop", "1.2.0")
	w.until("word of the newer one", func() bool { return len(w.eventsOf(api.EventVersionWaits)) == 2 })
	if n := len(w.eventsOf(api.EventDeploymentStarted)); n != 1 {
		t.Errorf("%d deployments were begun", n)
	}
	clock.set("2026-11-23T08:00:00Z")
	w.running("shop", "1.2.0", 1)
	if a := w.app("shop"); a.Waiting != nil {
		t.Errorf("it still waits: %+v", a.Waiting)
	}
	if n := len(w.eventsOf(api.EventVersionWaits)); n != 2 {
		t.Errorf("told %d times", n)
	}
}

func TestWindow_OperatorsAreRefusedAndNothingElse(t *testing.T) {
	t.Parallel()
	w, clock := withWindow(t)
	w.up()
	w.run("shop", "1.0.0")
	w.run("shop", "1.1.0")
	clock.set("2026-11-21T12:00:00Z")

	refused := func(what string, err error) {
		t.Helper()
		var e *api.Error
		if !errors.As(err, &e) || e.Code != api.CodeRefused || !strings.Contains(e.Message, "until Mon 2026-11-23 09:00 CET") || !strings.Contains(e.Hint, "--force") {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop", Version: "1.2.0"})
	refused("deploy", err)
	_, err = w.sys.Pin(t.Context(), "shop", api.VersionRequest{Version: "1.2.0"})
	refused("pin", err)
	if d, err := w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop", Version: "1.1.0"}); err != nil || d.Outcome != api.DeploymentSucceeded {
		t.Errorf("deploy of what runs: %+v, %v", d, err)
	}

	// A crash, a restart, a way back.
	i := w.running("shop", "1.1.0", 1)[0]
	w.killInstance(i)
	w.until("the instance again", func() bool {
		now := w.instance("shop", i.Name)
		return now.State == api.StateRunning && now.OSPID != i.OSPID && now.OSPID != 0
	})
	d, err := w.sys.Rollback(t.Context(), "shop", api.VersionRequest{})
	if err != nil {
		t.Fatal(err)
	}
	w.ended(d.ID, api.DeploymentSucceeded)
	w.running("shop", "1.0.0", 1)
	d, err = w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop", Version: "1.2.0", Force: true})
	if err != nil {
		t.Fatal(err)
	}
	w.ended(d.ID, api.DeploymentSucceeded)
}
