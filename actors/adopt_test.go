package actors

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

func TestAdopt_ASecondDaemonTakesOverWhatRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2)).up()
	w.run("shop", "1.0.0")
	before := w.running("shop", "1.0.0", 2)
	w.down(false)
	for _, i := range before {
		if !alive(i.OSPID) {
			t.Fatalf("%s ended with the daemon", i.Name)
		}
	}
	w.cluster.set(func() { w.cluster.links = nil })
	w.up()
	now := w.running("shop", "1.0.0", 2)
	for n := range now {
		if now[n].OSPID != before[n].OSPID || now[n].Name != before[n].Name || !now[n].StartedAt.Equal(before[n].StartedAt.Time) {
			t.Errorf("%+v, was %+v", now[n], before[n])
		}
	}
	w.until("connections", func() bool {
		return !slices.ContainsFunc(w.app("shop").Instances, func(i api.Instance) bool { return !i.OTPConnected })
	})
	if all, _ := w.sys.Deployments(t.Context(), "shop", 0); len(all) != 1 {
		t.Errorf("%d deployments", len(all))
	}
	if e := w.eventsOf(api.EventApplicationReady); len(e) != 2 {
		t.Errorf("%d events of readiness", len(e))
	}
	// They are watched and can be replaced.
	w.killInstance(now[0])
	w.until("another OS process", func() bool {
		i := w.instance("shop", now[0].Name)
		return i.State == api.StateRunning && i.OSPID != now[0].OSPID && i.CrashRestarts == 1
	})
	w.run("shop", "2.0.0")
	w.running("shop", "2.0.0", 2)
	if alive(before[1].OSPID) {
		t.Error("the adopted one still runs")
	}
}

func TestAdopt_WhatDiedMeanwhileIsStartedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2)).up()
	w.run("shop", "1.0.0")
	before := w.running("shop", "1.0.0", 2)
	w.down(false)
	w.killInstance(before[0])
	w.until("its end", func() bool { _, err := process.Adopt(identity(t, w, before[0].Name)); return err != nil })
	w.up()
	w.until("another OS process", func() bool {
		i := w.instance("shop", before[0].Name)
		return i.State == api.StateRunning && i.OSPID != before[0].OSPID
	})
	now := w.running("shop", "1.0.0", 2)
	if now[0].CrashRestarts != 1 || now[1].OSPID != before[1].OSPID {
		t.Errorf("instances are %+v", now)
	}
	e := w.eventsOf(api.EventCrashRestart)
	if len(e) != 1 || !strings.Contains(e[0].Message, "while the daemon was down") {
		t.Errorf("events are %+v", e)
	}
}

// identity reads the identity of an instance's OS process with no daemon running.
func identity(t *testing.T, w *world, instance string) process.Identity {
	t.Helper()
	s, err := state.Open(filepath.Join(w.dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var rec state.Instance
	if err := s.View(func(tx *state.Tx) error { rec, _, err = tx.Instance(instance); return err }); err != nil {
		t.Fatal(err)
	}
	return rec.Process
}

// A daemon that is killed between the start of an OS process and its note finds it by its environment.
func TestAdopt_WhatWasNotNotedIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	w.run("shop", "1.0.0")
	before := w.running("shop", "1.0.0", 1)[0]
	w.down(false)
	s, err := state.Open(filepath.Join(w.dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(func(tx *state.Tx) error {
		rec, _, err := tx.Instance(before.Name)
		rec.Process = process.Identity{}
		return errors.Join(err, tx.PutInstance(rec))
	})
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	w.up()
	if now := w.running("shop", "1.0.0", 1)[0]; now.OSPID != before.OSPID || now.CrashRestarts != 0 {
		t.Errorf("%+v, was %+v", now, before)
	}
}

func TestAdopt_ADeploymentIsContinued(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2)).up()
	w.run("shop", "1.0.0")
	w.cluster.set(func() { w.cluster.refuse[""] = errors.New("not yet") })
	d := w.deploy("shop", "2.0.0")
	w.until("the surge instance", func() bool {
		pids := osPIDs(w.app("shop").Instances)
		return len(pids) == 3 && !slices.Contains(pids, 0)
	})
	pids := osPIDs(w.app("shop").Instances)
	w.down(false)
	w.cluster.set(func() { delete(w.cluster.refuse, "") })
	w.up()
	d = w.ended(d.ID, api.DeploymentSucceeded)
	now := w.running("shop", "2.0.0", 2)
	if !slices.Contains(pids, now[0].OSPID) && !slices.Contains(pids, now[1].OSPID) {
		t.Errorf("the surge instance was started anew: %v, were %v", osPIDs(now), pids)
	}
	if len(d.Instances) != 2 {
		t.Errorf("deployment is %+v", d)
	}
}

// Cut off while the release is fetched, a deployment begins with that again.
func TestAdopt_AFetchIsBegunAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1))
	w.shelf.blocked = make(chan struct{})
	w.up()
	d := w.deploy("shop", "1.0.0")
	w.until("the fetch", func() bool { w.shelf.mu.Lock(); defer w.shelf.mu.Unlock(); return w.shelf.fetched == 1 })
	w.down(false)
	w.shelf.set(func() { w.shelf.blocked = nil })
	w.up()
	w.ended(d.ID, api.DeploymentSucceeded)
	w.running("shop", "1.0.0", 1)
}

// The time that an instance has to get ready is counted anew by the next daemon: it cannot be blamed for what it was not
// asked.
func TestAdopt_TimeWithoutADaemonDoesNotCount(t *testing.T) {
	t.Parallel()
	spec := app("shop", 1)
	spec.Readiness.Timeout = 3 * time.Second
	w := newWorld(t, spec).up()
	w.run("shop", "1.0.0")
	w.cluster.set(func() { w.cluster.refuse[""] = errors.New("not yet") })
	d := w.deploy("shop", "2.0.0")
	w.until("the surge instance", func() bool { return len(w.sys.reg.running()) == 2 })
	w.down(false)
	time.Sleep(spec.Readiness.Timeout + 100*time.Millisecond) // the time itself is what is tested
	w.cluster.set(func() { delete(w.cluster.refuse, "") })
	w.up()
	w.ended(d.ID, api.DeploymentSucceeded)
}

// A deployment that was cut off and whose instance never gets ready fails, and leaves the old one alone.
func TestAdopt_ADeploymentFailsCleanly(t *testing.T) {
	t.Parallel()
	spec := app("shop", 1)
	spec.Readiness.Timeout = 3 * time.Second
	w := newWorld(t, spec).up()
	w.run("shop", "1.0.0")
	old := w.running("shop", "1.0.0", 1)[0]
	w.cluster.set(func() { w.cluster.refuse[""] = errors.New("never") })
	d := w.deploy("shop", "2.0.0")
	w.until("the surge instance", func() bool { return len(w.sys.reg.running()) == 2 })
	w.down(false)
	w.up()
	d = w.ended(d.ID, api.DeploymentFailed)
	if !strings.Contains(d.Error, "node is missing: never") {
		t.Errorf("error is %q", d.Error)
	}
	if now := w.running("shop", "1.0.0", 1)[0]; now.OSPID != old.OSPID {
		t.Errorf("%+v, was %+v", now, old)
	}
}

func TestClose_WithInstancesStopsThemUntilTheNextDaemon(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2)).up()
	w.run("shop", "1.0.0")
	before := w.running("shop", "1.0.0", 2)
	w.down(true)
	for _, i := range before {
		if alive(i.OSPID) {
			t.Errorf("%s still runs", i.Name)
		}
	}
	w.up()
	now := w.running("shop", "1.0.0", 2)
	for n := range now {
		if now[n].Name != before[n].Name || now[n].CrashRestarts != 0 {
			t.Errorf("%+v, was %+v", now[n], before[n])
		}
	}
	if e := w.eventsOf(api.EventCrashRestart); len(e) != 0 {
		t.Errorf("events are %+v", e)
	}
	if e := w.eventsOf(api.EventInstanceStopped); len(e) != 2 || !strings.HasSuffix(e[0].Message, "(init_stop)") {
		t.Errorf("events are %+v", e)
	}
}

// What the configuration does not have any more is shown and left alone.
func TestAdopt_AnAppThatIsGoneIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	w.run("shop", "1.0.0")
	before := w.running("shop", "1.0.0", 1)[0]
	w.down(false)
	w.cfg.Apps = []AppSpec{app("other", 0)}
	w.up()
	st, err := w.sys.Status(t.Context())
	if err != nil || len(st.Problems) != 1 || !strings.Contains(st.Problems[0].What, before.Name) || !alive(before.OSPID) {
		t.Errorf("problems are %+v, %v", st.Problems, err)
	}
	w.down(false)
	w.cfg.Apps = []AppSpec{app("shop", 1)}
	w.up()
	if now := w.running("shop", "1.0.0", 1)[0]; now.OSPID != before.OSPID {
		t.Errorf("%+v, was %+v", now, before)
	}
}

func osPIDs(list []api.Instance) []int {
	pids := make([]int, len(list))
	for n, i := range list {
		pids[n] = i.OSPID
	}
	return pids
}
