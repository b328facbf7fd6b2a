package actors

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/launch"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

func (w *world) apply(o ApplyOptions, apps ...AppSpec) {
	w.t.Helper()
	if err := w.sys.Apply(w.t.Context(), apps, o); err != nil {
		w.t.Fatalf("Apply: %v", err)
	}
	w.cfg.Apps = apps // what the next daemon starts with
}

func names(list []api.Instance) []string {
	var all []string
	for _, i := range list {
		all = append(all, i.Name)
	}
	slices.Sort(all)
	return all
}

// noneOf says whether nothing of before is among now.
func noneOf(before, now []api.Instance) bool {
	return !slices.ContainsFunc(names(now), func(n string) bool { return slices.Contains(names(before), n) })
}

// TestAppSpec_EveryFieldSaysWhenAChangeCounts keeps startSettings whole.
func TestAppSpec_EveryFieldSaysWhenAChangeCounts(t *testing.T) {
	t.Parallel()
	typ := reflect.TypeFor[AppSpec]()
	for i := range typ.NumField() {
		if _, ok := startSettings[typ.Field(i).Name]; !ok && typ.Field(i).IsExported() {
			t.Errorf("startSettings does not say whether AppSpec.%s is what an OS process is started with", typ.Field(i).Name)
		}
	}
	for name := range startSettings {
		if _, ok := typ.FieldByName(name); !ok {
			t.Errorf("startSettings has %s, AppSpec has not", name)
		}
	}
}

func TestAppSpec_SettingsAreThoseOfTheStart(t *testing.T) {
	t.Parallel()
	base := app("shop", 2).withDefaults()
	for what, change := range map[string]func(*AppSpec){
		"env":      func(a *AppSpec) { a.Env = []launch.Var{{Key: "A", Value: "1"}} },
		"ports":    func(a *AppSpec) { a.Ports = []launch.Port{{Key: "PORT", Base: 22000}} },
		"cookie":   func(a *AppSpec) { a.Cookie = "other" },
		"user":     func(a *AppSpec) { a.User = "nobody" },
		"language": func(a *AppSpec) { a.Language = launch.Elixir },
	} {
		b := base
		change(&b)
		if b = b.withDefaults(); b.settings() == base.settings() {
			t.Errorf("another %s has the same digest", what)
		}
	}
	b := base
	b.Replicas, b.Poll, b.Stop, b.Mesh, b.Keep, b.Env = 5, time.Hour, time.Hour, true, 9, []launch.Var{}
	b.Readiness.Timeout, b.Strategy.MaxParallel = time.Hour, 7
	if b = b.withDefaults(); b.settings() != base.settings() {
		t.Error("settings that no OS process is started with change the digest")
	}
}

func TestApply_ReplicasChangeAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	w.run("shop", "1")
	first := w.running("shop", "1", 1)
	w.apply(ApplyOptions{}, app("shop", 3))
	three := w.running("shop", "1", 3)
	if !slices.Contains(names(three), first[0].Name) {
		t.Errorf("the first instance was replaced: %v", names(three))
	}
	w.apply(ApplyOptions{}, app("shop", 2))
	w.running("shop", "1", 2)
	ds, err := w.sys.Deployments(t.Context(), "shop", 1)
	if err != nil || ds[0].Trigger != triggerConfig || ds[0].Kind != "scale" {
		t.Errorf("last deployment %+v, %v, want kind scale by the configuration", ds, err)
	}
}

func TestApply_EnvironmentRollsAndIsKnownOverRestarts(t *testing.T) {
	t.Parallel()
	spec := app("shop", 2)
	w := newWorld(t, spec).up()
	w.run("shop", "1")
	before := w.running("shop", "1", 2)

	changed := spec
	changed.Env = []launch.Var{{Key: "COLOUR", Value: "blue"}}
	w.apply(ApplyOptions{}, changed)
	old := func() (n int) {
		for _, i := range w.app("shop").Instances {
			if i.OldSettings {
				n++
			}
		}
		return n
	}
	if old() != 2 {
		t.Errorf("%d instances have old settings, want both", old())
	}
	w.down(false)
	w.up()
	if now := w.running("shop", "1", 2); !slices.Equal(names(now), names(before)) || old() != 2 {
		t.Errorf("after a restart of the daemon: %v with %d old, want %v and both", names(now), old(), names(before))
	}
	// One that crashes has the new settings, and is not replaced later.
	w.killInstance(before[0])
	w.until("the new settings of the one that crashed", func() bool { return old() == 1 })
	w.running("shop", "1", 2)

	w.apply(ApplyOptions{Restart: true}, changed)
	w.until("all with new settings", func() bool { return old() == 0 })
	now := w.running("shop", "1", 2)
	if !slices.Contains(names(now), before[0].Name) || slices.Contains(names(now), before[1].Name) {
		t.Errorf("now %v, want %s kept and %s replaced", names(now), before[0].Name, before[1].Name)
	}
	for _, i := range now {
		b, err := os.ReadFile(filepath.Join("/proc", itoa(i.OSPID), "environ"))
		if err != nil || !containsVar(string(b), "COLOUR=blue") {
			t.Errorf("%s has not the variable: %v", i.Name, err)
		}
	}
}

func TestApply_PortsMoveOneByOneEvenWhereTheyOverlap(t *testing.T) {
	t.Parallel()
	spec := app("shop", 2)
	w := newWorld(t, spec).up()
	w.run("shop", "1")
	before := w.running("shop", "1", 2)
	w.until("ports", func() bool { return w.app("shop").Instances[0].Ports["PORT"] != 0 })

	moved := spec
	moved.Ports = []launch.Port{{Key: "PORT", Base: 21001}}
	w.apply(ApplyOptions{Restart: true}, moved)
	w.until("new ports", func() bool {
		now := w.app("shop").Instances
		return len(now) == 2 && noneOf(before, now) && !slices.ContainsFunc(now, func(i api.Instance) bool { return i.State != api.StateRunning })
	})
	seen := make(map[int]bool)
	for _, i := range w.app("shop").Instances {
		if p := i.Ports["PORT"]; p != 21001+i.Slot || seen[p] {
			t.Errorf("%s has port %d in slot %d", i.Name, p, i.Slot)
		}
		seen[i.Ports["PORT"]] = true
	}
}

func TestApply_AppsComeAndGo(t *testing.T) {
	t.Parallel()
	shop, cart := app("shop", 2), app("cart", 1)
	cart.Ports[0].Base = 21100
	w := newWorld(t, shop)
	w.publish("cart", "1")
	w.cfg.Source.Bucket = w.bucket
	w.up()
	w.run("shop", "1")
	w.running("shop", "1", 2)

	w.apply(ApplyOptions{}, shop, cart)
	added := w.running("cart", "1", 1) // it is watched, and deployed
	w.apply(ApplyOptions{}, shop)
	w.until("cart to be gone", func() bool { return len(w.status().Apps) == 1 })
	if alive(added[0].OSPID) {
		t.Error("the instance of the app that was removed runs on")
	}
	if len(w.eventsOf(api.EventAppRemoved)) != 1 || len(w.eventsOf(api.EventAppAdded)) != 1 {
		t.Errorf("events: %+v", w.events())
	}
	if _, err := w.sys.Deploy(t.Context(), api.DeployRequest{App: "cart", Version: "1"}); codeOf(err) != api.CodeNotFound {
		t.Errorf("Deploy of an app that was removed: %v", err)
	}
	// Its records are kept, and it comes back with them.
	w.apply(ApplyOptions{}, shop, cart)
	w.running("cart", "1", 1)
	if h, err := w.sys.History(t.Context(), "cart"); err != nil || len(h) != 2 {
		t.Errorf("History = %v, %v, want both of its lives", h, err)
	}
	if n := len(w.eventsOf(api.EventActorRestarted)); n != 0 {
		t.Errorf("%d actors count as started again after a crash", n)
	}
	w.running("shop", "1", 2)
}

func TestApply_RemovalGoesOnInTheNextDaemon(t *testing.T) {
	t.Parallel()
	shop, cart := app("shop", 1), app("cart", 2)
	cart.Ports[0].Base, cart.Stop = 21100, 5*time.Second
	w := newWorld(t, shop, cart).up()
	w.run("cart", "1")
	before := w.running("cart", "1", 2)
	w.cluster.set(func() { w.cluster.deaf = true })
	w.apply(ApplyOptions{}, shop)
	w.down(false) // while they are being stopped
	w.cluster.set(func() { w.cluster.deaf = false })
	w.up()
	w.until("cart to be gone", func() bool { return len(w.status().Apps) == 1 })
	for _, i := range before {
		if alive(i.OSPID) {
			t.Errorf("%s runs on", i.Name)
		}
	}
}

func TestApply_RemovesWhatAnEarlierConfigurationHad(t *testing.T) {
	t.Parallel()
	shop, cart := app("shop", 1), app("cart", 1)
	cart.Ports[0].Base = 21100
	w := newWorld(t, shop, cart).up()
	w.run("cart", "1")
	left := w.running("cart", "1", 1)
	w.down(false)
	w.cfg.Apps = []AppSpec{shop}
	w.up()
	if !alive(left[0].OSPID) || len(w.status().Problems) == 0 {
		t.Error("what the configuration does not have must run on, and be told")
	}
	if err := w.sys.Purge(t.Context(), "cart"); codeOf(err) != api.CodeRefused {
		t.Errorf("Purge with an instance = %v, want it refused", err)
	}
	w.apply(ApplyOptions{Remove: []string{"cart"}}, shop)
	w.until("cart to be gone", func() bool { return !alive(left[0].OSPID) && len(w.status().Apps) == 1 })
	if err := w.sys.Apply(t.Context(), []AppSpec{shop}, ApplyOptions{Remove: []string{"nothing"}}); codeOf(err) != api.CodeNotFound {
		t.Errorf("removing what nobody knows = %v", err)
	}
}

func TestPurge_LeavesNothing(t *testing.T) {
	t.Parallel()
	shop, cart := app("shop", 1), app("cart", 1)
	cart.Ports[0].Base = 21100
	w := newWorld(t, shop, cart).up()
	w.run("cart", "1")
	w.running("cart", "1", 1)
	if err := w.sys.Purge(t.Context(), "cart"); codeOf(err) != api.CodeRefused {
		t.Errorf("Purge of a configured app = %v, want it refused", err)
	}
	w.apply(ApplyOptions{}, shop)
	w.until("cart to be gone", func() bool { return len(w.status().Apps) == 1 })
	logs := filepath.Join(w.cfg.LogDir, "cart")
	if _, err := os.Stat(logs); err != nil {
		t.Errorf("its logs are not kept: %v", err)
	}
	if err := w.sys.Purge(t.Context(), "cart"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(logs); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its logs are still there: %v", err)
	}
	err := w.store.View(func(tx *state.Tx) error {
		_, known, err := tx.App("cart")
		h, err2 := tx.History("cart")
		d, err3 := tx.Deployments("cart", 0)
		if known || len(h)+len(d) > 0 {
			t.Errorf("records are left: %t %v %v", known, h, d)
		}
		return errors.Join(err, err2, err3)
	})
	if err != nil {
		t.Error(err)
	}
	if err := w.sys.Purge(t.Context(), "cart"); codeOf(err) != api.CodeNotFound {
		t.Errorf("a second Purge = %v", err)
	}
}

// TestApply_BadSettingsHurtNobody: instances that do not get ready with the new settings are given up, the old ones
// serve on, and the next change is tried again.
func TestApply_BadSettingsHurtNobody(t *testing.T) {
	t.Parallel()
	spec := app("shop", 2)
	spec.CrashLoop.Limit = 1
	w := newWorld(t, spec)
	w.shelf.scripts["1"] = `[ "$COLOUR" = black ] && exit 3; exec sleep 1000`
	w.up()
	w.run("shop", "1")
	before := w.running("shop", "1", 2)
	w.cluster.set(func() { w.cluster.started[""] = false }) // none gets ready before it has ended
	bad := spec
	bad.Env = []launch.Var{{Key: "COLOUR", Value: "black"}}
	w.apply(ApplyOptions{Restart: true}, bad)
	w.until("the end of the deployment", func() bool { return len(w.eventsOf(api.EventDeploymentFailed)) == 1 })
	if now := w.running("shop", "1", 2); !slices.Equal(names(now), names(before)) {
		t.Errorf("now %v, want %v", names(now), names(before))
	}
	w.cluster.set(func() { delete(w.cluster.started, "") })
	good := spec
	good.Env = []launch.Var{{Key: "COLOUR", Value: "white"}}
	w.apply(ApplyOptions{Restart: true}, good)
	w.until("new instances", func() bool { return noneOf(before, w.app("shop").Instances) })
	w.running("shop", "1", 2)
}

func TestApply_RefusesNonsense(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	if err := w.sys.Apply(t.Context(), []AppSpec{app("a", 1), app("a", 1)}, ApplyOptions{}); err == nil {
		t.Error("an app that is there twice was taken")
	}
	if st := w.status(); len(st.Apps) != 1 || st.Apps[0].Name != "shop" {
		t.Errorf("apps %+v, want what there was", st.Apps)
	}
}

func (w *world) status() api.Status {
	w.t.Helper()
	st, err := w.sys.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return st
}

func codeOf(err error) api.Code {
	var e *api.Error
	errors.As(err, &e)
	if e == nil {
		return ""
	}
	return e.Code
}

func itoa(n int) string { return strconv.Itoa(n) }

// containsVar says whether an environment, as /proc has it, has a variable.
func containsVar(environ, variable string) bool {
	return slices.Contains(strings.Split(environ, "\x00"), variable)
}

// TestReconcile_OldPortsBlockSlots: a slot whose ports an instance with older bases still has is not given away.
func TestReconcile_OldPortsBlockSlots(t *testing.T) {
	t.Parallel()
	w := wanted{release: releaseID{version: "1"}, replicas: 2, surge: 1, slots: 3, maxParallel: 1}
	old := func(name string, slot int, blocks ...int) observed {
		if blocks == nil {
			blocks = []int{}
		}
		return observed{name: name, slot: slot, release: w.release, phase: phaseReady, outdated: true, blocks: blocks}
	}
	// All bases moved by one: the second instance has the port of slot 0, the first one that of none.
	p := reconcile(w, []observed{old("a", 0), old("b", 1, 0)})
	if len(p.start) != 1 || p.start[0].slot != 1 || len(p.stop) != 0 {
		t.Errorf("moved by one: %+v", p)
	}
	// Between them they have a port of every slot: one has to go first, though none may be missing.
	p = reconcile(w, []observed{old("a", 0, 0, 1), old("b", 1, 2)})
	if len(p.start) != 0 || len(p.stop) != 1 {
		t.Errorf("all slots blocked: %+v", p)
	}
	// And no second one while that is leaving.
	leaving := old("a", 0, 0, 1)
	leaving.leaving = true
	p = reconcile(w, []observed{leaving, old("b", 1, 2)})
	if len(p.start) != 0 || len(p.stop) != 0 {
		t.Errorf("one is leaving: %+v", p)
	}
}
