package actors

import (
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func TestSettle_TakesAsLongAsTheSoak(t *testing.T) {
	t.Parallel()
	spec := app("shop", 2)
	spec.Strategy.Soak = 400 * time.Millisecond
	w := newWorld(t, spec).up()
	d := w.run("shop", "1")
	if took := d.EndedAt.Sub(d.StartedAt.Time); took < spec.Strategy.Soak {
		t.Errorf("it was done after %s", took)
	}
	if st := d.Steps[len(d.Steps)-1]; st.Name != stepSoak || st.EndedAt.IsZero() {
		t.Errorf("steps %+v", d.Steps)
	}
	// What brings no other version is not watched.
	must(t, w.sys.Scale(t.Context(), "shop", 3))
	w.running("shop", "1", 3)
}

func TestSettle_WhatDoesNotLastGoesBack(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"crash", "unwell", "daemon"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			spec := app("shop", 2)
			spec.Strategy.Soak = 700 * time.Millisecond
			spec.Readiness.Timeout = 5 * time.Second
			w := newWorld(t, spec).up()
			w.run("shop", "1")
			d := w.deploy("shop", "2")
			w.until("the soak", func() bool {
				now, err := w.sys.Deployment(t.Context(), d.ID)
				return err == nil && len(now.Steps) > 0 && now.Steps[len(now.Steps)-1].Name == stepSoak
			})
			switch by {
			case "crash":
				w.killInstance(w.running("shop", "2", 2)[0])
			case "unwell":
				name := w.running("shop", "2", 2)[0].Name
				w.cluster.set(func() { w.cluster.started[name] = false })
			case "daemon": // it begins anew
				w.down(false)
				w.up()
				w.ended(d.ID, api.DeploymentSucceeded)
				return
			}
			failed := w.ended(d.ID, api.DeploymentFailed)
			if !strings.HasPrefix(failed.Error, "soak: ") {
				t.Error(failed.Error)
			}
			w.running("shop", "1", 2)
			if got := w.app("shop").Ghosted; len(got) != 1 || got[0] != "2" {
				t.Errorf("ghosts %v", got)
			}
		})
	}
}

// A way back that fails half way is gone on with, and does not leave two versions.
func TestBackAgain_GoesOn(t *testing.T) {
	t.Parallel()
	spec := app("shop", 2)
	spec.CrashLoop.Limit, spec.Readiness.Timeout = 1, time.Second
	w := newWorld(t, spec)
	w.cfg.BackRetry = 300 * time.Millisecond
	w.up()
	w.run("shop", "1")
	w.run("shop", "2")
	// The second instance of version 1 cannot be had for a while.
	n := 0
	w.cluster.set(func() {
		w.cluster.accept = func(instance, version string) error {
			if version == "1" && w.cluster.links[w.sys.nodeName(instance)] == false {
				if n++; n > 1 && n < 120 {
					return errNotAlive
				}
			}
			return nil
		}
	})
	i := w.running("shop", "2", 2)[0]
	for range 2 {
		w.killInstance(w.instance("shop", i.Name))
		was := w.instance("shop", i.Name).OSPID
		w.until("its end to be seen", func() bool { return w.instance("shop", i.Name).OSPID != was })
		w.until("its next", func() bool {
			now := w.instance("shop", i.Name)
			return now.State == api.StateRunning || now.State == api.StateFailed || now.Name == ""
		})
		if w.instance("shop", i.Name).State != api.StateRunning {
			break
		}
	}
	w.running("shop", "1", 2)
	failed := 0
	all, err := w.sys.Deployments(t.Context(), "shop", 0)
	must(t, err)
	for _, d := range all {
		if d.Outcome == api.DeploymentFailed && d.Trigger == triggerRollback {
			failed++
		}
	}
	if failed == 0 {
		t.Errorf("no way back has failed: %+v", all)
	}
}

func TestPreCommands_GhostIfConfigured(t *testing.T) {
	t.Parallel()
	for _, ghost := range []bool{false, true} {
		spec := app("shop", 1)
		spec.PreCommandsGhost = ghost
		w := watched(t, spec).up()
		w.run("shop", "1")
		w.shelf.set(func() { w.shelf.scripts["2"] = "exit 7" })
		w.publishWith("shop", "2", "migrate")
		w.ofVersion("shop", "2", api.DeploymentFailed)
		if got := len(w.app("shop").Ghosted); (got == 1) != ghost {
			t.Errorf("ghosts: %d with %v", got, ghost)
		}
	}
}
