package actors

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/internal/upgrade"
	"github.com/beamkeeper/beamkeeper/release"
)

// forge is an Upgrader for a world: what it installs is a note of which version an OS process runs.
//
// A version is installable hot when its name begins with hot. It fails at prepare, install, revert or commit when its name
// says so (hot-install-2), is not well or not there after its installation (hot-sick-2, hot-lost-2), or ends the OS process then (hot-crash-2).
type forge struct {
	w *world

	mu     sync.Mutex
	runs   map[int]string                        // OS pid → version installed in it
	boots  map[string]string                     // instance → version made permanent
	files  map[string]map[string]bool            // instance → versions whose files are there
	calls  []string                              // STEP INSTANCE
	before func(step, instance, to string) error // nil: nothing
	linger map[string]int                        // instance → how often its processes are still in old code
	block  map[string]chan struct{}              // step → it waits for its end
}

func withForge(w *world) *forge {
	f := &forge{w: w, runs: map[int]string{}, boots: map[string]string{}, files: map[string]map[string]bool{}, linger: map[string]int{}, block: map[string]chan struct{}{}}
	w.cfg.Upgrader = f
	w.cluster.unwell = func(instance string) bool { return strings.Contains(f.version(instance), "sick") }
	return f
}

func (f *forge) set(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *forge) instance(j upgrade.Job) string { return filepath.Base(filepath.Dir(j.Root)) }

func (f *forge) osPID(instance string) int {
	var sys *System
	f.w.cluster.set(func() { sys = f.w.cluster.sys })
	if sys == nil {
		return 0
	}
	var rec state.Instance
	_ = sys.cfg.State.View(func(tx *state.Tx) (err error) {
		rec, _, err = tx.Instance(instance)
		return err
	})
	if !alive(rec.Process.OSPID) {
		return 0
	}
	return rec.Process.OSPID
}

// version is what an instance runs.
func (f *forge) version(instance string) string {
	pid := f.osPID(instance)
	f.mu.Lock()
	defer f.mu.Unlock()
	if v := f.runs[pid]; pid != 0 && v != "" {
		return v
	}
	return f.bootsLocked(instance)
}

func (f *forge) bootsLocked(instance string) string {
	if v := f.boots[instance]; v != "" {
		return v
	}
	app, _ := AppOf(instance)
	b, _ := os.ReadFile(filepath.Join(f.w.shelf.InstanceDir(app, instance), "current", "VERSION"))
	return string(b)
}

// enter is the beginning of each step.
func (f *forge) enter(ctx context.Context, step string, j upgrade.Job) (instance string, err error) {
	instance = f.instance(j)
	f.mu.Lock()
	f.calls = append(f.calls, step+" "+instance)
	before, block := f.before, f.block[step]
	f.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return instance, fmt.Errorf("%w: %w", upgrade.ErrTransient, ctx.Err())
		}
	}
	if before != nil {
		if err := before(step, instance, j.To); err != nil {
			return instance, err
		}
	}
	if f.osPID(instance) == 0 && step != "clean" {
		return instance, &upgrade.Error{Op: step, Kind: upgrade.ErrTransient, Err: fmt.Errorf("%s does not run", instance)}
	}
	kind := map[string]error{"prepare": upgrade.ErrNotPossible, "install": upgrade.ErrBroken, "revert": upgrade.ErrNotPossible, "commit": upgrade.ErrBroken}[step]
	if kind != nil && strings.Contains(j.To, "-"+step) {
		return instance, &upgrade.Error{Op: step, From: j.From, To: j.To, Kind: kind, Err: fmt.Errorf("%s is so", j.To)}
	}
	return instance, nil
}

func (f *forge) Judge(_ context.Context, _ string, _, to release.Release) (release.Verdict, error) {
	if strings.HasPrefix(to.Version, "hot") {
		return release.Verdict{Verdict: release.Hot}, nil
	}
	if strings.HasPrefix(to.Version, "refused") {
		return release.Verdict{Verdict: release.Refused, Reasons: []release.Reason{{What: "it would not run here"}}}, nil
	}
	return release.Verdict{Verdict: release.Full, Reasons: []release.Reason{{What: "no appup"}, {What: "another ERTS"}}}, nil
}

func (f *forge) Prepare(ctx context.Context, j upgrade.Job) (upgrade.Prepared, error) {
	name, err := f.enter(ctx, "prepare", j)
	if err != nil {
		return upgrade.Prepared{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.files[name] == nil {
		f.files[name] = map[string]bool{}
	}
	f.files[name][j.To] = true
	return upgrade.Prepared{Relup: "appups", CanRevert: true}, nil
}

func (f *forge) Install(ctx context.Context, j upgrade.Job, o upgrade.Options) error {
	if o.Progress != nil {
		o.Progress(upgrade.Progress{For: 12 * time.Second, Doing: "code_change", Suspended: 3, Waiting: &upgrade.Process{Pid: "<0.7.0>", Name: "cart"}})
	}
	name, err := f.enter(ctx, "install", j)
	if err != nil {
		return err
	}
	pid := f.osPID(name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.files[name][j.To] || pid == 0 {
		return &upgrade.Error{Op: "install", Kind: upgrade.ErrNotPossible, Err: fmt.Errorf("%s is not prepared in %s", j.To, name)}
	}
	f.runs[pid] = j.To
	if strings.Contains(j.To, "crash") {
		time.AfterFunc(30*time.Millisecond, func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	}
	return nil
}

func (f *forge) Look(ctx context.Context, j upgrade.Job) (upgrade.State, error) {
	name, err := f.enter(ctx, "look", j)
	if err != nil {
		return upgrade.State{}, err
	}
	v := f.version(name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.Contains(v, "lost") {
		return upgrade.State{Running: "another"}, nil
	}
	return upgrade.State{Running: v, Permanent: f.bootsLocked(name), Boots: f.bootsLocked(name)}, nil
}

func (f *forge) Lingering(ctx context.Context, j upgrade.Job) ([]upgrade.Lingerer, error) {
	name, err := f.enter(ctx, "lingering", j)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.linger[name] > 0 {
		f.linger[name]--
		return []upgrade.Lingerer{{Process: upgrade.Process{Pid: "<0.7.0>", Name: "slow"}}}, nil
	}
	return nil, nil
}

func (f *forge) Commit(ctx context.Context, j upgrade.Job, _ bool) error {
	name, err := f.enter(ctx, "commit", j)
	if err != nil {
		return err
	}
	f.set(func() { f.boots[name] = j.To })
	return nil
}

func (f *forge) Revert(ctx context.Context, j upgrade.Job, _ upgrade.Options) error {
	name, err := f.enter(ctx, "revert", j)
	if err != nil {
		return err
	}
	pid := f.osPID(name)
	f.set(func() {
		f.runs[pid] = j.From
		f.boots[name] = j.From
	})
	return nil
}

func (f *forge) Clean(ctx context.Context, j upgrade.Job) error {
	name, err := f.enter(ctx, "clean", j)
	if err != nil {
		return err
	}
	v := f.version(name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if v == j.To || f.bootsLocked(name) == j.To {
		return &upgrade.Error{Op: "clean", Kind: upgrade.ErrNotPossible, Err: fmt.Errorf("%s runs", j.To)}
	}
	delete(f.files[name], j.To)
	return nil
}

func (f *forge) Upgraded(app, instance string, rel release.Release) error {
	return os.WriteFile(filepath.Join(f.w.shelf.InstanceDir(app, instance), "current", "VERSION"), []byte(rel.Version), 0o644)
}

// hotApp is the app of a world whose versions are installed hot, with a soak that a test can wait for.
func hotApp(replicas int, soak time.Duration) AppSpec {
	a := app("shop", replicas)
	a.Hot = &HotUpgrade{Soak: soak, Fallback: true}
	return a
}

// all says whether all instances of the app run code of a version, in the OS processes given by name; nil: in any.
func (f *forge) all(t *testing.T, version string, in map[string]int) {
	t.Helper()
	for _, i := range f.w.app("shop").Instances {
		if v := f.version(i.Name); v != version || i.Version != version {
			t.Errorf("%s runs %s, and its record says %s; want %s", i.Name, v, i.Version, version)
		}
		if in != nil && in[i.Name] != i.OSPID {
			t.Errorf("%s runs in OS process %d; before it was %d", i.Name, i.OSPID, in[i.Name])
		}
		if i.Upgrade != nil {
			t.Errorf("%s still has an upgrade: %+v", i.Name, i.Upgrade)
		}
	}
}

func pidsByName(list []api.Instance) map[string]int {
	m := make(map[string]int)
	for _, i := range list {
		m[i.Name] = i.OSPID
	}
	return m
}
