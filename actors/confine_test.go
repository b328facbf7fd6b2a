package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// fence is a Confinement that notes what it is asked.
type fence struct {
	mu     sync.Mutex
	placed map[string][]Placement
	left   []string
	kills  map[string]int
	fail   error
}

func newFence() *fence {
	return &fence{placed: make(map[string][]Placement), kills: make(map[string]int)}
}

func (f *fence) Place(_ context.Context, p Placement) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.placed[p.Instance] = append(f.placed[p.Instance], p)
	return f.fail
}

func (f *fence) OOMKills(instance string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kills[instance]
}

func (f *fence) Leave(_ context.Context, instance string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = append(f.left, instance)
	return f.fail
}

func (f *fence) placements(instance string) []Placement {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.placed[instance])
}

func (f *fence) hasLeft(instance string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.left, instance)
}

func TestConfinement_ThroughTheLifeOfAnInstance(t *testing.T) {
	t.Parallel()
	spec := app("shop", 1)
	spec.Limits = Limits{MemoryMax: 1 << 30, CPUQuota: 150}
	w := newWorld(t, spec)
	f := newFence()
	w.cfg.Confinement = f
	w.up().run("shop", "1.0.0")
	i := w.running("shop", "1.0.0", 1)[0]
	w.until("placed at its start and when it is ready", func() bool { return len(f.placements(i.Name)) == 2 })
	for _, p := range f.placements(i.Name) {
		if p.App != "shop" || p.Version != "1.0.0" || p.Process.OSPID != i.OSPID || p.Limits != spec.Limits {
			t.Errorf("placed %+v, want OS pid %d with %+v", p, i.OSPID, spec.Limits)
		}
	}

	w.down(false)
	w.up().running("shop", "1.0.0", 1)
	w.until("placed when adopted", func() bool { return len(f.placements(i.Name)) == 3 })
	if f.hasLeft(i.Name) {
		t.Error("the place was removed while the instance ran")
	}

	f.mu.Lock()
	f.kills[i.Name] = 1
	f.mu.Unlock()
	w.killInstance(i)
	w.until("it runs again", func() bool {
		again := w.instance("shop", i.Name)
		return again.State == api.StateRunning && again.OSPID != i.OSPID
	})
	if !f.hasLeft(i.Name) {
		t.Error("the place was not removed after the crash")
	}
	e := w.eventsOf(api.EventCrashRestart)
	if len(e) != 1 || !strings.Contains(e[0].Message, "killed for want of memory") || fmt.Sprint(e[0].Data["oom_kills"]) != "1" {
		t.Errorf("the crash is told as %+v", e)
	}
	w.until("placed again", func() bool {
		p := f.placements(i.Name)
		return p[len(p)-1].Process.OSPID == w.instance("shop", i.Name).OSPID
	})

	f.mu.Lock()
	f.left = nil
	f.mu.Unlock()
	if err := w.sys.Stop(t.Context(), api.Target{App: "shop"}); err != nil {
		t.Fatal(err)
	}
	w.until("its place is removed after the stop", func() bool { return f.hasLeft(i.Name) })
}

// Limits that were changed hold for what runs.
func TestConfinement_LimitsAreChangedLive(t *testing.T) {
	t.Parallel()
	spec := app("shop", 1)
	spec.Limits = Limits{MemoryMax: 1 << 30}
	w := newWorld(t, spec)
	f := newFence()
	w.cfg.Confinement = f
	w.up().run("shop", "1.0.0")
	i := w.running("shop", "1.0.0", 1)[0]
	spec.Limits = Limits{MemoryMax: 1 << 31, TasksMax: 100}
	if err := w.sys.Apply(t.Context(), []AppSpec{spec}, ApplyOptions{Restart: true}); err != nil {
		t.Fatal(err)
	}
	w.until("the new limits hold", func() bool {
		p := f.placements(i.Name)
		return p[len(p)-1].Limits == spec.Limits
	})
	now := w.running("shop", "1.0.0", 1)[0]
	if now.OSPID != i.OSPID || now.OldSettings {
		t.Errorf("the instance is %+v, was %+v", now, i)
	}
	if l := w.app("shop").Limits; l == nil || l.MemoryMaxBytes != 1<<31 || l.TasksMax != 100 || l.CPUQuotaPercent != 0 {
		t.Errorf("the status tells of the limits %+v", l)
	}
}

// Whatever becomes of its place, an instance runs.
func TestConfinement_FailureHoldsUpNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1))
	f := newFence()
	f.fail = errors.New("no place")
	w.cfg.Confinement = f
	w.up().run("shop", "1.0.0")
	w.running("shop", "1.0.0", 1)
	if err := w.sys.Stop(t.Context(), api.Target{App: "shop"}); err != nil {
		t.Fatal(err)
	}
	w.until("it has stopped", func() bool { return w.app("shop").Instances[0].State == api.StateStopped })
}

func TestAlive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2)).up()
	w.run("shop", "1.0.0")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range 10 {
		if err := w.sys.Alive(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if apps, instances, running := w.sys.Counts(); apps != 1 || instances != 2 || running != 2 {
		t.Errorf("Counts = %d, %d, %d", apps, instances, running)
	}
	// An actor that is started again meanwhile is not a dead one.
	if pid, ok := w.sys.dir.pid(eventsActor); !ok || w.sys.ergo.Ergo().SendExit(pid, gen.TerminateReasonKill) != nil {
		t.Fatal("the events actor cannot be ended")
	}
	if err := w.sys.Alive(ctx); err != nil {
		t.Error(err)
	}
	// One that is stuck is named.
	stuck := make(chan struct{})
	pid, err := w.sys.ergo.Ergo().Spawn(func() gen.ProcessBehavior { return &deafActor{until: stuck} }, gen.ProcessOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.sys.dir.claim("deaf", pid)
	w.sys.dir.open(pid)
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := w.sys.Alive(short); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "deaf") {
		t.Errorf("Alive = %v, want the stuck actor named", err)
	}
	close(stuck)
	w.sys.dir.leave("deaf", pid)
	if err := w.sys.Alive(ctx); err != nil {
		t.Error(err)
	}
}

// deafActor handles its first message for ever.
type deafActor struct {
	act.Actor
	until chan struct{}
}

func (d *deafActor) HandleMessage(gen.PID, any) error { <-d.until; return gen.TerminateReasonNormal }
