package actors

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

var (
	modelSteps = flag.Int("model.steps", 60, "what TestModel does at most")
	modelTime  = flag.Duration("model.time", 12*time.Second, "how long TestModel does it")
	modelSeed  = flag.Uint64("model.seed", 0, "seed of TestModel; 0: 1, 2 and 3, a third of the time each")
)

// model plays with one app whose versions called bad-N crash at once. Those that begin with hot are installed hot, and fail at
// it as their names say, see forge.
type model struct {
	*world
	forge    *forge
	rand     *rand.Rand
	versions []string
	asked    int          // replicas
	floor    atomic.Int64 // as many must be running now
	problem  atomic.Pointer[string]
	crashes  int      // so many had there been when floor was set
	done     []string // what was done
}

// TestModel does what operators, publishers and bad luck do, in any order, and looks whether what must never be is so.
func TestModel(t *testing.T) {
	t.Parallel()
	seeds := []uint64{1, 2, 3}
	if *modelSeed != 0 {
		seeds = []uint64{*modelSeed}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			playModel(t, seed, *modelTime/time.Duration(len(seeds)))
		})
	}
}

func playModel(t *testing.T, seed uint64, most time.Duration) {
	spec := app("shop", 2)
	spec.CrashLoop.Limit = 1
	spec.Hot = &HotUpgrade{Soak: 30 * time.Millisecond, Manual: seed%3 == 0, All: seed%2 == 0, Fallback: seed%3 != 2}
	m := &model{world: watched(t, spec), rand: rand.New(rand.NewPCG(seed, 0)), asked: 2}
	m.forge = withForge(m.world)
	m.cluster.accept = func(_, version string) error {
		if strings.HasPrefix(version, "bad") {
			return errors.New("name not registered")
		}
		return nil
	}
	defer func() {
		if t.Failed() {
			t.Logf("seed %d: %s", seed, strings.Join(m.done, "; "))
		}
	}()
	m.fresh("good")
	m.up()
	m.running("shop", "good-0", 2)
	m.rest()
	for began := time.Now(); len(m.done) < *modelSteps && time.Since(began) < most; {
		m.step()
		if m.rand.IntN(3) > 0 {
			m.rest()
		}
		if m.problem.Load() != nil {
			break
		}
	}
	if p := m.problem.Load(); p != nil {
		t.Fatal(*p)
	}
	m.rest()
	m.noGhostByItself()

	// Nothing is left of what was.
	m.floor.Store(0)
	must(t, m.sys.Unfreeze(t.Context(), "shop"))
	must(t, m.sys.Scale(t.Context(), "shop", 0))
	m.until("no instances", func() bool { return len(m.app("shop").Instances) == 0 })
	if left, err := os.ReadDir(m.shelf.InstanceDir("shop", "")); err != nil || len(left) != 0 {
		t.Errorf("folders are left: %v, %v", left, err)
	}
	if left := m.sys.reg.running(); len(left) != 0 {
		t.Errorf("OS processes are left: %v", left)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fresh publishes a version that there was not.
func (m *model) fresh(kind string) {
	v := fmt.Sprintf("%s-%d", kind, len(m.versions))
	if kind == "bad" {
		m.shelf.set(func() { m.shelf.scripts[v] = "exit 3" })
	}
	m.versions = append(m.versions, v)
	m.publish("shop", v)
}

// step does one thing.
func (m *model) step() {
	ctx, version := m.t.Context(), m.versions[m.rand.IntN(len(m.versions))]
	var err error
	said := func(format string, args ...any) { m.done = append(m.done, fmt.Sprintf(format, args...)) }
	if m.rand.IntN(4) == 0 {
		must(m.t, m.sys.Unpin(ctx, "shop"))
		must(m.t, m.sys.Unfreeze(ctx, "shop"))
	}
	switch n := m.rand.IntN(20); n {
	case 0, 1:
		said("publish good-%d", len(m.versions))
		m.fresh("good")
	case 2, 3, 4:
		kinds := []string{"hot", "hot", "hot", "hot", "hot-prepare", "hot-install", "hot-lost", "hot-crash", "hot-revert", "hot-install-revert", "hot-commit"}
		kind := kinds[m.rand.IntN(len(kinds))]
		said("publish %s-%d", kind, len(m.versions))
		m.fresh(kind)
	case 5, 6:
		said("publish bad-%d", len(m.versions))
		m.fresh("bad")
	case 7:
		said("publish %s again", version)
		m.publish("shop", version)
	case 8, 9, 10:
		ghost, force := slices.Contains(m.app("shop").Ghosted, version), n == 10
		said("deploy %s, force %v", version, force)
		_, err = m.sys.Deploy(ctx, api.DeployRequest{App: "shop", Version: version, Force: force})
		if err == nil && ghost && !force {
			m.t.Errorf("the ghost %s was deployed", version)
		}
	case 11:
		said("pin %s", version)
		_, err = m.sys.Pin(ctx, "shop", api.VersionRequest{Version: version})
	case 12:
		said("unpin and unfreeze")
		must(m.t, m.sys.Unpin(ctx, "shop"))
		err = m.sys.Unfreeze(ctx, "shop")
	case 13:
		all, e := m.sys.Deployments(ctx, "shop", 0)
		must(m.t, e)
		if i := slices.IndexFunc(all, func(d api.Deployment) bool { return d.Kind == api.KindHot }); i >= 0 && m.rand.IntN(2) == 0 {
			said("revert %s to %s", all[i].ID, all[i].To)
			_, err = m.sys.RevertDeployment(ctx, all[i].ID)
			break
		}
		said("rollback")
		_, err = m.sys.Rollback(ctx, "shop", api.VersionRequest{})
	case 14, 15:
		m.floor.Store(0)
		if list := m.app("shop").Instances; len(list) > 0 {
			if i := list[m.rand.IntN(len(list))]; i.OSPID > 1 && alive(i.OSPID) {
				said("kill %s of %s", i.Name, i.Version)
				m.killInstance(i)
			}
		}
	case 16:
		m.asked = 1 + m.rand.IntN(3)
		said("scale to %d", m.asked)
		m.floor.Store(min(m.floor.Load(), int64(m.asked)))
		err = m.sys.Scale(ctx, "shop", m.asked)
	case 17:
		if d := m.app("shop").Deployment; d != nil && d.Outcome == api.DeploymentRunning && d.Kind != api.KindScale && d.From != d.To && d.Trigger != triggerRestore && d.Trigger != triggerRollback {
			said("abort %s to %s", d.ID, d.To)
			err = m.sys.AbortDeployment(ctx, d.ID)
		}
	case 18:
		said("freeze, clear ghosts")
		_, err = m.sys.ClearGhosts(ctx, "shop", "")
		must(m.t, m.sys.Freeze(ctx, "shop"))
	case 19:
		said("daemon again")
		m.floor.Store(0)
		m.down(false)
		m.up()
	}
	var e *api.Error
	if err != nil && (!errors.As(err, &e) || e.Code != api.CodeRefused && e.Code != api.CodeNotFound) {
		m.t.Errorf("%s: %v", m.done[len(m.done)-1], err)
	}
}

// rest waits until all replicas are there, in one version that is good, and nothing is under way. Meanwhile, and as long
// as nobody kills any, as many are running as were before.
func (m *model) rest() {
	m.t.Helper()
	calm := time.Time{}
	m.until("rest", func() bool {
		a := m.app("shop")
		if d := a.Deployment; d != nil && d.Outcome == api.DeploymentRunning && len(d.Steps) > 0 && d.Steps[len(d.Steps)-1].Name == stepConfirm {
			_, err := m.sys.CommitDeployment(m.t.Context(), d.ID, true)
			var e *api.Error
			if err != nil && (!errors.As(err, &e) || e.Code != api.CodeRefused) {
				m.t.Errorf("commit: %v", err)
			}
		}
		running, versions, settled := int64(0), map[string]bool{}, len(a.Instances) == m.asked
		for _, i := range a.Instances {
			if i.Upgrade != nil {
				settled = false
			}
			switch versions[i.Version] = true; i.State {
			case api.StateRunning:
				running++
			case api.StateFailed:
				m.floor.Store(0)
			default:
				settled = false
			}
		}
		crashing := slices.ContainsFunc(a.Instances, func(i api.Instance) bool { return i.Upgrade != nil && strings.Contains(i.Upgrade.To, "crash") })
		if m.floor.Load() > running && (crashing || m.crashed() > m.crashes) {
			m.floor.Store(0) // one that crashes once it is upgraded
		}
		if floor := m.floor.Load(); running < floor {
			text := fmt.Sprintf("%d are running, and %d were: %+v", running, floor, a)
			m.problem.CompareAndSwap(nil, &text)
			return true
		}
		settled = settled && len(versions) == 1 && (a.Deployment == nil || a.Deployment.Outcome != api.DeploymentRunning)
		if !settled {
			calm = time.Time{}
			return false
		}
		if calm.IsZero() {
			calm = time.Now()
		}
		if time.Since(calm) < 100*time.Millisecond {
			return false
		}
		for v := range versions {
			if strings.HasPrefix(v, "bad") {
				text := v + " is at rest"
				m.problem.CompareAndSwap(nil, &text)
			}
		}
		for _, i := range a.Instances {
			if runs := m.forge.version(i.Name); runs != i.Version && i.State == api.StateRunning {
				text := fmt.Sprintf("%s runs %s, and its record says %s", i.Name, runs, i.Version)
				m.problem.CompareAndSwap(nil, &text)
			}
		}
		m.floor.Store(running)
		m.crashes = m.crashed()
		return true
	})
}

func (m *model) crashed() int { return len(m.eventsOf(api.EventCrashRestart)) }

// noGhostByItself looks at all that happened: no deployment that nobody asked for brought a version that was a ghost then.
func (m *model) noGhostByItself() {
	ghosts := make(map[string]bool)
	ghosted := 0
	for _, e := range m.events() {
		switch e.Type {
		case api.EventVersionGhosted:
			ghosts[e.Version] = true
			ghosted++
		case api.EventGhostCleared:
			delete(ghosts, e.Version)
		case api.EventDeploymentStarted:
			if ghosts[e.Version] {
				m.t.Errorf("a ghost was deployed: %s, %v", e.Message, e.Data)
			}
		}
	}
	m.t.Logf("%d steps, %d ghosts, %d events", len(m.done), ghosted, len(m.events()))
}
