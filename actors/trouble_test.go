package actors

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// fullDisk has the commits of a world's store fail. It returns what mends it.
func (w *world) fullDisk() (mend func()) {
	w.broken.Store(true)
	return func() { w.broken.Store(false) }
}

// tried waits until so many more commits were tried in vain.
func (w *world) tried(n int64) {
	w.t.Helper()
	enough := w.refused.Load() + n
	w.until("commits to be tried in vain", func() bool { return w.refused.Load() >= enough })
}

// While the state cannot be written what runs goes on and nothing new is begun; afterwards everything goes on.
func TestTrouble_AFullDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2))
	w.up()
	w.run("shop", "1.0.0")
	before := w.running("shop", "1.0.0", 2)
	giveBack := w.fullDisk()
	if _, err := w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop", Version: "2.0.0"}); err == nil {
		t.Error("a deployment was accepted")
	}
	if p := w.problems(); !strings.Contains(p, "the state cannot be written") || !strings.Contains(p, "make room") {
		t.Errorf("problems are %s", p)
	}
	w.killInstance(before[0])
	w.tried(3)
	if !alive(before[1].OSPID) || !strings.Contains(w.problems(), "the state cannot be written") {
		t.Errorf("the other one: %v; problems %s", alive(before[1].OSPID), w.problems())
	}
	if i := w.instance("shop", before[0].Name); i.State == api.StateRunning {
		t.Errorf("the dead one is shown as %+v", i)
	}
	giveBack()
	w.until("its end to be noted", func() bool { return w.instance("shop", before[0].Name).CrashRestarts == 1 })
	now := w.running("shop", "1.0.0", 2)
	if now[0].CrashRestarts+now[1].CrashRestarts != 1 || now[1].OSPID != before[1].OSPID {
		t.Errorf("%+v, was %+v", now, before)
	}
	w.until("the problem to be gone", func() bool { return w.problems() == "" })
	w.run("shop", "2.0.0")
	if e := w.eventsOf(api.EventActorRestarted); len(e) != 0 {
		t.Errorf("actors were started again: %+v", e)
	}
	if a, b := w.eventsOf(api.EventStateUnwritable), w.eventsOf(api.EventStateWritable); len(a) == 0 || len(a) != len(b) {
		t.Errorf("events %+v and %+v", a, b)
	}
}

// An actor that cannot write what it has come to waits, and goes on from there; it is not started again and again.
func TestTrouble_AnActorWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	w.run("shop", "1.0.0")
	w.cluster.set(func() { w.cluster.refuse[""] = errors.New("not yet") })
	d := w.deploy("shop", "2.0.0")
	w.until("the surge instance", func() bool { return len(w.sys.reg.running()) == 2 })
	giveBack := w.fullDisk()
	w.cluster.set(func() { delete(w.cluster.refuse, "") })
	w.until("a commit to fail", func() bool { return w.problems() != "" })
	pids := w.sys.reg.running()
	w.tried(2)
	giveBack()
	w.ended(d.ID, api.DeploymentSucceeded)
	w.running("shop", "2.0.0", 1)
	if e := w.eventsOf(api.EventActorRestarted); len(e) != 0 || len(pids) != 2 {
		t.Errorf("actors were started again: %+v", e)
	}
	if e := w.eventsOf(api.EventApplicationReady); len(e) != 2 {
		t.Errorf("events are %+v", e)
	}
}

// What an instance was just started with is kept running when it cannot be noted, and noted later.
func TestTrouble_WhatCannotBeNotedRunsOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1))
	w.shelf.scripts["1.0.0"] = "touch ../started; while [ ! -e ../go ]; do sleep 0.05; done; exec sleep 1000"
	w.up()
	w.deploy("shop", "1.0.0")
	var giveBack func()
	w.until("the start", func() bool { return len(w.app("shop").Instances) == 1 })
	name := w.app("shop").Instances[0].Name
	giveBack = w.fullDisk() // before or after the start is noted: it must not matter
	w.until("the process", func() bool { return w.sys.reg.process(name) != nil || w.app("shop").Instances[0].OSPID == 0 })
	w.tried(2)
	p := w.sys.reg.process(name)
	giveBack()
	now := w.running("shop", "1.0.0", 1)[0]
	if p != nil && p.Identity().OSPID != now.OSPID {
		t.Errorf("OS pid %d, was %d", now.OSPID, p.Identity().OSPID)
	}
	if found, err := process.Find(w.cluster.name.String()); err != nil || len(found) != 1 {
		t.Errorf("running %+v, %v", found, err)
	}
}

func TestOfHost_TellsTheMachinesFailuresFromTheApps(t *testing.T) {
	t.Parallel()
	for _, err := range []error{unix.ENOSPC, unix.EMFILE, unix.EROFS, &os.PathError{Err: unix.EDQUOT}, &state.WriteError{Err: errors.New("x")}} {
		if !ofHost(fmt.Errorf("start: %w", err)) {
			t.Errorf("%v is not of the machine", err)
		}
	}
	for _, err := range []error{unix.ENOENT, unix.EACCES, errors.New("x"), unix.ENOEXEC} {
		if ofHost(err) {
			t.Errorf("%v is of the machine", err)
		}
	}
}

// A start that fails for the machine's sake is tried again until it goes well, and counts as no crash.
func TestTrouble_AStartThatTheMachineRefusesIsNoCrash(t *testing.T) {
	t.Parallel()
	spec := app("shop", 1)
	spec.CrashLoop.Limit = 1
	w := newWorld(t, spec).up()
	w.run("shop", "1.0.0")
	before := w.running("shop", "1.0.0", 1)[0]
	w.shelf.set(func() { w.shelf.looks = fmt.Errorf("look at the folder: %w", unix.ENOSPC) })
	w.killInstance(before)
	w.until("the reason", func() bool { return strings.Contains(w.instance("shop", before.Name).LastError, "no space left") })
	w.until("two more tries", func() (enough bool) {
		w.shelf.set(func() { enough = w.shelf.looked >= 3 })
		return enough
	})
	w.shelf.set(func() { w.shelf.looks = nil })
	now := w.running("shop", "1.0.0", 1)[0]
	if now.CrashRestarts != 1 || now.Name != before.Name {
		t.Errorf("%+v, was %+v", now, before)
	}
}

// A clock that was set back must not keep an instance waiting for longer than its backoff is, nor have it given up for
// crashes that seem to be still to come.
func TestClock_SetBackABackoffDoesNotGrow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	w.run("shop", "1.0.0")
	before := w.running("shop", "1.0.0", 1)[0]
	w.down(false)
	id := identity(t, w, before.Name)
	w.killInstance(before)
	w.until("its end", func() bool { return !runs(id) })
	store, err := state.Open(filepath.Join(w.dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	ahead := time.Now().Add(6 * time.Hour).UTC() // what the clock said then
	err = store.Update(func(tx *state.Tx) error {
		rec, _, err := tx.Instance(before.Name)
		rec.Process, rec.RetryAt, rec.CrashRow, rec.StartedAt = process.Identity{}, ahead, 2, ahead
		for range 20 {
			rec.Crashes = append(rec.Crashes, ahead)
		}
		return errors.Join(err, tx.PutInstance(rec))
	})
	if err = errors.Join(err, store.Close()); err != nil {
		t.Fatal(err)
	}
	w.up()
	last := before.OSPID
	for _, what := range []string{"the end of the backoff", "the start after the next crash"} {
		var now api.Instance
		w.until(what, func() bool {
			now = w.instance("shop", before.Name)
			return now.State == api.StateRunning && now.OSPID != last
		})
		last = now.OSPID
		w.killInstance(now)
	}
}

// A clock that was set forward in the middle of a deployment must not make it time out.
func TestClock_SetForwardADeploymentDoesNotFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	w.run("shop", "1.0.0")
	w.cluster.set(func() { w.cluster.refuse[""] = errors.New("not yet") })
	d := w.deploy("shop", "2.0.0")
	w.until("the surge instance", func() bool { return len(w.sys.reg.running()) == 2 })
	w.until("its step", func() bool {
		d, err := w.sys.Deployment(t.Context(), d.ID)
		return err == nil && len(d.Instances) == 1 && len(d.Instances[0].Steps) >= 3
	})
	behind := time.Now().Add(-6 * time.Hour).UTC() // when it began, by the clock of then
	err := w.store.Update(func(tx *state.Tx) error {
		d, _, err := tx.Deployment(d.ID)
		d.StartedAt.Time = behind
		for i := range d.Instances[0].Steps {
			d.Instances[0].Steps[i].StartedAt.Time = behind
		}
		recs, e := tx.Instances("shop")
		for _, rec := range recs {
			rec.CreatedAt, rec.StartedAt = behind, behind
			err = errors.Join(err, tx.PutInstance(rec))
		}
		return errors.Join(err, e, tx.PutDeployment(d))
	})
	if err != nil {
		t.Fatal(err)
	}
	w.sys.send(managerActor("shop"), msgWake{})
	if err := w.sys.Alive(t.Context()); err != nil { // each actor has looked at what came before
		t.Fatal(err)
	}
	w.cluster.set(func() { delete(w.cluster.refuse, "") })
	w.ended(d.ID, api.DeploymentSucceeded)
}

// What can be known of an end that no daemon saw is told: that it was, when it was last heard of, and why.
func TestAdopt_AnEndWithoutADaemonIsExamined(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1))
	w.shelf.scripts["1.0.0"] = "while [ ! -e die ]; do sleep 0.05; done; echo 'Kernel pid terminated (application_controller) (lost)' ; exit 1"
	w.up()
	w.run("shop", "1.0.0")
	before := w.running("shop", "1.0.0", 1)[0]
	id := noted(t, w, before.Name)
	w.down(false)
	w.shelf.set(func() { w.shelf.scripts["1.0.0"] = "" })
	if err := os.WriteFile(filepath.Join(w.shelf.InstanceDir("shop", before.Name), "current", "die"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	w.until("its end", func() bool { return !runs(id) })
	if err := os.Remove(filepath.Join(w.shelf.InstanceDir("shop", before.Name), "current", "die")); err != nil {
		t.Fatal(err)
	}
	w.up()
	w.until("the event", func() bool { return len(w.eventsOf(api.EventCrashRestart)) == 1 })
	e := w.eventsOf(api.EventCrashRestart)[0]
	for _, want := range []string{"ended while the daemon was down", "Kernel pid terminated"} {
		if !strings.Contains(e.Message, want) {
			t.Errorf("event %q lacks %q", e.Message, want)
		}
	}
	if !strings.Contains(e.Message, "last heard of at") && !strings.Contains(e.Message, "exit code 1") {
		t.Errorf("event %q says neither when nor how", e.Message)
	}
	if e.Data["slogan"] == nil || e.Data["log"] == nil {
		t.Errorf("data %v", e.Data)
	}
}

func noted(t *testing.T, w *world, instance string) process.Identity {
	t.Helper()
	var rec state.Instance
	if err := w.store.View(func(tx *state.Tx) (err error) { rec, _, err = tx.Instance(instance); return err }); err != nil {
		t.Fatal(err)
	}
	return rec.Process
}
