package actors

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/release"
)

// lose takes the state folder away while no daemon runs.
func (w *world) lose() {
	w.t.Helper()
	if err := os.Rename(filepath.Join(w.dir, "state"), filepath.Join(w.dir, "lost")); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) problems() string {
	w.t.Helper()
	st, err := w.sys.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, p := range st.Problems {
		all = append(all, p.What+" REMEDY "+p.Remedy)
	}
	return strings.Join(all, "\n")
}

// With its state lost the daemon leaves what runs alone, starts nothing beside it, and takes it over when told to.
func TestUnclaimed_AreOfferedAndAdopted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2))
	w.cfg.Source = release.Source{Bucket: w.bucket}
	w.publish("shop", "1.0.0")
	w.up()
	before := w.running("shop", "1.0.0", 2)
	w.down(false)
	w.lose()
	w.up()
	w.until("current.json to be heard of", func() bool { return w.app("shop").DesiredVersion == "1.0.0" })
	if err := w.sys.Scale(t.Context(), "shop", 3); err != nil { // which is followed when they are adopted
		t.Fatal(err)
	}
	if _, err := w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop", Version: "1.0.0"}); err == nil || !strings.Contains(err.Error(), "2 instances of shop run that are not adopted") {
		t.Errorf("Deploy: %v", err)
	}
	if err := w.sys.Restart(t.Context(), api.Target{App: "shop"}); err == nil {
		t.Error("Restart was not refused")
	}
	p := w.problems()
	for _, i := range before {
		if !strings.Contains(p, i.Name) || !alive(i.OSPID) {
			t.Errorf("%s: alive %v, problems %s", i.Name, alive(i.OSPID), p)
		}
	}
	if !strings.Contains(p, "beamkeeper adopt shop") || len(w.app("shop").Instances) != 0 {
		t.Errorf("problems %s, instances %+v", p, w.app("shop").Instances)
	}
	if list, err := w.sys.Unclaimed(t.Context()); err != nil || len(list) != 2 || list[0].OSPID == 0 || list[0].StartedAt.IsZero() {
		t.Errorf("Unclaimed: %+v, %v", list, err)
	}
	if _, err := w.sys.Adopt(t.Context(), api.Target{App: "shop", Instance: "shop-000000"}); err == nil {
		t.Error("an instance that is not there was adopted")
	}

	// One by name, then the rest; a third replica is started only then.
	if list, err := w.sys.Adopt(t.Context(), api.Target{App: "shop", Instance: before[0].Name}); err != nil || len(list) != 1 || list[0].Error != "" || list[0].Version != "1.0.0" {
		t.Fatalf("Adopt: %+v, %v", list, err)
	}
	w.until("the first one", func() bool { return w.instance("shop", before[0].Name).State == api.StateRunning })
	if n := len(w.app("shop").Instances); n != 1 {
		t.Errorf("%d instances while one is unclaimed", n)
	}
	if list, err := w.sys.Adopt(t.Context(), api.Target{}); err != nil || len(list) != 1 || list[0].Error != "" {
		t.Fatalf("Adopt: %+v, %v", list, err)
	}
	now := w.running("shop", "1.0.0", 3)
	for _, i := range before {
		got := w.instance("shop", i.Name)
		if got.OSPID != i.OSPID || got.Slot != i.Slot || got.Ports["PORT"] != i.Ports["PORT"] || !near(got.StartedAt, i.StartedAt) {
			t.Errorf("%+v, was %+v", got, i)
		}
	}
	if w.problems() != "" || len(w.eventsOf(api.EventInstanceAdopted)) != 2 || now[2].Slot != 2 {
		t.Errorf("problems %s, instances %+v", w.problems(), now)
	}
	if h, err := w.sys.History(t.Context(), "shop"); err != nil || len(h) != 3 {
		t.Errorf("history %+v, %v", h, err)
	}
	// They are ours in every way.
	w.killInstance(now[0])
	w.until("another OS process", func() bool {
		i := w.instance("shop", now[0].Name)
		return i.State == api.StateRunning && i.OSPID != now[0].OSPID && i.CrashRestarts == 1
	})
	w.run("shop", "2.0.0")
	w.running("shop", "2.0.0", 3)
}

func near(a, b api.Time) bool { d := a.Sub(b.Time); return d < 5e9 && d > -5e9 }

// When what runs without a record ends, the app is kept as the bucket wishes.
func TestUnclaimed_TheirEndLetsTheAppGoOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1))
	w.cfg.Source = release.Source{Bucket: w.bucket}
	w.publish("shop", "1.0.0")
	w.up()
	before := w.running("shop", "1.0.0", 1)[0]
	w.down(false)
	w.lose()
	w.up()
	if p := w.problems(); !strings.Contains(p, before.Name) {
		t.Errorf("problems are %s", p)
	}
	if err := syscall.Kill(before.OSPID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	now := w.running("shop", "1.0.0", 1)[0]
	if now.Name == before.Name || w.problems() != "" {
		t.Errorf("%+v, problems %s", now, w.problems())
	}
}

// With the folder lost too, the node is asked for its version.
func TestUnclaimed_WithoutTheirFolderTheirNodeIsAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	w.run("shop", "1.0.0")
	before := w.running("shop", "1.0.0", 1)[0]
	w.down(false)
	w.lose()
	if err := os.RemoveAll(w.shelf.InstanceDir("shop", before.Name)); err != nil {
		t.Fatal(err)
	}
	w.up()
	if list, err := w.sys.Adopt(t.Context(), api.Target{App: "shop"}); err != nil || !strings.Contains(list[0].Error, "its version is not known") {
		t.Errorf("Adopt: %+v, %v", list, err)
	}
	w.cluster.set(func() { w.cluster.script = "1.0.0" })
	if list, err := w.sys.Adopt(t.Context(), api.Target{App: "shop"}); err != nil || list[0].Error != "" {
		t.Errorf("Adopt: %+v, %v", list, err)
	}
	if now := w.running("shop", "1.0.0", 1)[0]; now.OSPID != before.OSPID {
		t.Errorf("%+v, was %+v", now, before)
	}
}

// An older state, restored from a backup, knows instances that are gone and not those that run. Nothing is started beside
// what runs, and when that is adopted the rest goes.
func TestUnclaimed_AfterARestoredBackup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2)).up()
	w.run("shop", "1.0.0")
	if _, err := w.store.Backup(); err != nil {
		t.Fatal(err)
	}
	w.run("shop", "2.0.0")
	before := w.running("shop", "2.0.0", 2)
	w.down(false)
	if _, _, err := state.Restore(filepath.Join(w.dir, "state"), ""); err != nil {
		t.Fatal(err)
	}
	w.up()
	w.until("the end of the old ones to be noted", func() bool { return len(w.eventsOf(api.EventCrashRestart)) == 2 })
	for _, i := range w.app("shop").Instances {
		if i.OSPID != 0 {
			t.Errorf("started beside what runs: %+v", i)
		}
	}
	if _, err := w.sys.Adopt(t.Context(), api.Target{App: "shop"}); err != nil {
		t.Fatal(err)
	}
	// The restored wish is 1.0.0. What was adopted is not replaced for that.
	now := w.running("shop", "2.0.0", 2)
	for n := range now {
		if now[n].OSPID != before[n].OSPID {
			t.Errorf("%+v, was %+v", now[n], before[n])
		}
	}
	w.until("the rest to be gone", func() bool {
		a := w.app("shop")
		return a.DesiredVersion == "2.0.0" && len(a.Instances) == 2 && (a.Deployment == nil || a.Deployment.Outcome != api.DeploymentRunning)
	})
	w.run("shop", "3.0.0")
	w.running("shop", "3.0.0", 2)
}

// A record that another OS process of the same instance has outlived takes that over.
func TestAdopt_ALaterProcessOfAKnownInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	w.run("shop", "1.0.0")
	if _, err := w.store.Backup(); err != nil {
		t.Fatal(err)
	}
	first := w.running("shop", "1.0.0", 1)[0]
	w.killInstance(first)
	w.until("another OS process", func() bool {
		i := w.instance("shop", first.Name)
		return i.State == api.StateRunning && i.OSPID != first.OSPID
	})
	second := w.running("shop", "1.0.0", 1)[0]
	w.down(false)
	if _, _, err := state.Restore(filepath.Join(w.dir, "state"), ""); err != nil {
		t.Fatal(err)
	}
	w.up()
	if now := w.running("shop", "1.0.0", 1)[0]; now.OSPID != second.OSPID || w.problems() != "" {
		t.Errorf("%+v, was %+v; problems %s", now, second, w.problems())
	}
}
