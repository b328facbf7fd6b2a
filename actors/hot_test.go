package actors

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/upgrade"
)

func TestHot_KeepsTheProcesses(t *testing.T) {
	t.Parallel()
	for _, all := range []bool{false, true} {
		t.Run(fmt.Sprintf("all %v", all), func(t *testing.T) {
			t.Parallel()
			spec := hotApp(3, 200*time.Millisecond)
			spec.Hot.All = all
			w := newWorld(t, spec)
			f := withForge(w)
			w.up()
			w.run("shop", "1")
			was := pidsByName(w.running("shop", "1", 3))
			d := w.run("shop", "hot-2")
			if d.Kind != api.KindHot {
				t.Fatalf("kind %s, steps %+v", d.Kind, d.Steps)
			}
			f.all(t, "hot-2", was)
			h, err := w.sys.History(t.Context(), "shop")
			if err != nil || len(h) != 6 || h[0].Kind != api.KindHot || h[0].Version != "hot-2" {
				t.Errorf("history %+v, %v", h, err)
			}
			var soaked, installed []time.Time
			for _, i := range d.Instances {
				var names []string
				for _, st := range i.Steps {
					names = append(names, st.Name)
					switch st.Name {
					case stepInstall:
						installed = append(installed, st.StartedAt.Time)
					case stepSoak:
						soaked = append(soaked, st.EndedAt.Time)
					}
				}
				if got := strings.Join(names, " "); got != "prepare install soak commit" {
					t.Errorf("steps %s", got)
				}
			}
			if first := soaked[0]; installed[1].Before(first) != all {
				t.Errorf("the second was installed %v after the soak of the first", installed[1].Sub(first))
			}
			// What starts next boots the new version.
			i := w.app("shop").Instances[0]
			w.killInstance(i)
			w.until("its restart", func() bool {
				now := w.instance("shop", i.Name)
				return now.State == api.StateRunning && now.OSPID != i.OSPID
			})
			f.all(t, "hot-2", nil)
		})
	}
}

func TestHot_FallsBack(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		version  string
		fallback bool
		kind     string
		outcome  string
		at       string // version at rest
	}{
		{"hot-prepare-2", true, api.KindFull, api.DeploymentSucceeded, "hot-prepare-2"},
		{"hot-prepare-2", false, api.KindHot, api.DeploymentFailed, "1"},
		{"hot-install-2", true, api.KindFull, api.DeploymentSucceeded, "hot-install-2"},
		{"hot-install-2", false, api.KindHot, api.DeploymentFailed, "1"},
		{"hot-install-revert-2", false, api.KindHot, api.DeploymentFailed, "1"},
		{"hot-commit-2", false, api.KindFull, api.DeploymentSucceeded, "hot-commit-2"},
		{"hot-sick-2", true, api.KindHot, api.DeploymentFailed, "1"},
		{"hot-sick-revert-2", true, api.KindHot, api.DeploymentFailed, "1"},
		{"hot-crash-2", true, api.KindHot, api.DeploymentFailed, "1"},
		{"2", false, api.KindFull, api.DeploymentSucceeded, "2"},
		{"refused-2", true, api.KindHot, api.DeploymentFailed, "1"},
	} {
		t.Run(fmt.Sprintf("%s %v", tt.version, tt.fallback), func(t *testing.T) {
			t.Parallel()
			spec := hotApp(2, 150*time.Millisecond)
			spec.Hot.Fallback = tt.fallback
			spec.Readiness.Timeout = time.Second
			w := newWorld(t, spec)
			f := withForge(w)
			w.up()
			w.run("shop", "1")
			was := pidsByName(w.running("shop", "1", 2))
			d := w.ended(w.deploy("shop", tt.version).ID, tt.outcome)
			if d.Kind != tt.kind {
				t.Errorf("kind %s, want %s: %+v", d.Kind, tt.kind, d.Steps)
			}
			w.running("shop", tt.at, 2)
			w.until("the end of all", func() bool {
				a := w.app("shop")
				return (a.Deployment == nil || a.Deployment.Outcome != api.DeploymentRunning) &&
					!slices.ContainsFunc(a.Instances, func(i api.Instance) bool { return i.Upgrade != nil || i.Version != tt.at })
			})
			if strings.Contains(tt.version, "crash") || tt.kind == api.KindFull || strings.Contains(tt.version, "revert") {
				was = nil
			}
			w.running("shop", tt.at, 2)
			f.all(t, tt.at, was)
			ghost := len(w.app("shop").Ghosted) > 0
			if want := strings.Contains(tt.version, "sick") || strings.Contains(tt.version, "crash"); ghost != want {
				t.Errorf("ghost: %v, want %v", ghost, want)
			}
			for _, i := range w.app("shop").Instances {
				f.set(func() {
					if f.files[i.Name][tt.version] && tt.at == "1" {
						t.Errorf("files of %s are left in %s", tt.version, i.Name)
					}
				})
			}
		})
	}
}

// What can be tried again is, and says nothing about the version.
func TestHot_TriesAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hotApp(1, 0))
	f := withForge(w)
	failed := map[string]int{}
	f.before = func(step, _, _ string) error { // not at once
		if failed[step]++; failed[step] == 1 && step != "look" {
			return &upgrade.Error{Op: step, Kind: upgrade.ErrTransient, Err: fmt.Errorf("no link")}
		}
		return nil
	}
	w.up()
	w.run("shop", "1")
	was := pidsByName(w.running("shop", "1", 1))
	if d := w.run("shop", "hot-2"); d.Kind != api.KindHot {
		t.Errorf("%+v", d)
	}
	f.all(t, "hot-2", was)
}

func TestHot_GivesUpWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	spec := hotApp(1, 0)
	spec.Hot.Fallback = false
	w := newWorld(t, spec)
	f := withForge(w)
	w.up()
	w.run("shop", "1")
	f.set(func() {
		f.before = func(step, _, _ string) error {
			if step == "install" {
				return &upgrade.Error{Op: step, Kind: upgrade.ErrTransient, Err: fmt.Errorf("no link")}
			}
			return nil
		}
	})
	d := w.ended(w.deploy("shop", "hot-2").ID, api.DeploymentFailed)
	if len(w.app("shop").Ghosted) > 0 || !strings.Contains(d.Error, "no link") {
		t.Errorf("ghosts %v, %s", w.app("shop").Ghosted, d.Error)
	}
	f.all(t, "1", nil)
}

func TestHot_WaitsForTheOperator(t *testing.T) {
	t.Parallel()
	spec := hotApp(2, 0)
	spec.Hot.Manual = true
	w := newWorld(t, spec)
	f := withForge(w)
	w.up()
	w.run("shop", "1")
	was := pidsByName(w.running("shop", "1", 2))
	id := w.deploy("shop", "hot-2").ID
	w.until("the question", func() bool { return len(w.eventsOf(api.EventUpgradeWaits)) == 1 })
	for _, i := range w.app("shop").Instances {
		if i.Version != "1" || i.Upgrade == nil || i.Upgrade.Phase != "soaked" || i.Upgrade.To != "hot-2" {
			t.Errorf("%+v", i)
		}
	}
	w.down(false) // the word is waited for by the next daemon too
	w.up()
	w.until("both to be connected", func() bool {
		return !slices.ContainsFunc(w.app("shop").Instances, func(i api.Instance) bool { return i.State != api.StateRunning })
	})
	name := w.app("shop").Instances[0].Name
	f.set(func() { f.linger[name] = 1000 })
	if _, err := w.sys.CommitDeployment(t.Context(), id, false); err != nil {
		t.Fatal(err)
	}
	w.until("the step to say what it waits for", func() bool {
		d, err := w.sys.Deployment(t.Context(), id)
		return err == nil && strings.Contains(fmt.Sprintf("%+v", d.Instances), "old code")
	})
	if _, err := w.sys.CommitDeployment(t.Context(), id, true); err != nil {
		t.Fatal(err)
	}
	w.ended(id, api.DeploymentSucceeded)
	f.all(t, "hot-2", was)
}

func TestHot_RevertsOnDemand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hotApp(2, 0))
	f := withForge(w)
	w.up()
	w.run("shop", "1")
	was := pidsByName(w.running("shop", "1", 2))
	d := w.run("shop", "hot-2")
	back, err := w.sys.RevertDeployment(t.Context(), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	if back = w.ended(back.ID, api.DeploymentSucceeded); back.Kind != api.KindHot || back.To != "1" || back.From != "hot-2" {
		t.Errorf("%+v", back)
	}
	f.all(t, "1", was)
	if a := w.app("shop"); a.DesiredVersion != "1" || len(a.Ghosted) != 0 {
		t.Errorf("%+v", a)
	}
	// Up again, and down when there are no instructions any more: fully.
	d = w.run("shop", "hot-revert-3")
	back, err = w.sys.RevertDeployment(t.Context(), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	if back = w.ended(back.ID, api.DeploymentSucceeded); back.Kind != api.KindFull {
		t.Errorf("%+v", back)
	}
	f.all(t, "1", nil)
}

func TestHot_IsRefusedWithReasons(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hotApp(1, 0))
	withForge(w)
	w.up()
	w.run("shop", "1")
	_, err := w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop", Version: "2", Kind: api.KindHot})
	if err == nil || !strings.Contains(err.Error(), "no appup") || !strings.Contains(err.Error(), "another ERTS") {
		t.Errorf("Deploy --hot: %v", err)
	}
	if a := w.app("shop"); a.DesiredVersion != "1" || a.Deployment != nil {
		t.Errorf("%+v", a)
	}
	d, err := w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop", Version: "hot-2", Kind: api.KindFull})
	if err != nil {
		t.Fatal(err)
	}
	if d = w.ended(d.ID, api.DeploymentSucceeded); d.Kind != api.KindFull {
		t.Errorf("%+v", d)
	}
	d, err = w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop", Version: "hot-3", Kind: api.KindHot})
	if err != nil {
		t.Fatal(err)
	}
	if d = w.ended(d.ID, api.DeploymentSucceeded); d.Kind != api.KindHot {
		t.Errorf("%+v", d)
	}
}

// The daemon goes on, or back, from wherever it was.
func TestHot_SurvivesTheDaemon(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"prepare", "install", "look", "lingering", "commit", "clean", "revert"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			spec, version, at := hotApp(2, 0), "hot-2", "hot-2"
			if step == "clean" || step == "revert" {
				version, at = "hot-sick-2", "1"
				spec.Readiness.Timeout = time.Second
			}
			w := newWorld(t, spec)
			f := withForge(w)
			w.up()
			w.run("shop", "1")
			was := pidsByName(w.running("shop", "1", 2))
			f.set(func() { f.block[step] = make(chan struct{}) })
			w.deploy("shop", version)
			w.until(step, func() bool {
				f.mu.Lock()
				defer f.mu.Unlock()
				return slices.ContainsFunc(f.calls, func(c string) bool { return strings.HasPrefix(c, step+" ") })
			})
			w.down(false)
			f.set(func() { delete(f.block, step) })
			w.up()
			w.running("shop", at, 2)
			w.until("the end", func() bool {
				return !slices.ContainsFunc(w.app("shop").Instances, func(i api.Instance) bool { return i.Upgrade != nil })
			})
			f.all(t, at, was)
		})
	}
}

func TestHot_CanBeEndedAnywhere(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"prepare", "install", "look", "lingering", "commit"} {
		for _, by := range []string{"abort", "publish", "stop", "scale", "stop one", "crash"} {
			t.Run(step+" "+by, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, hotApp(2, 0))
				f := withForge(w)
				w.up()
				w.run("shop", "1")
				w.running("shop", "1", 2)
				block := make(chan struct{})
				f.set(func() { f.block[step] = block })
				id := w.deploy("shop", "hot-2").ID
				w.until(step, func() bool {
					f.mu.Lock()
					defer f.mu.Unlock()
					return slices.ContainsFunc(f.calls, func(c string) bool { return strings.HasPrefix(c, step+" ") })
				})
				at, n := "hot-2", 2
				first := w.app("shop").Instances[0]
				switch by {
				case "abort":
					at = "1"
					must(t, w.sys.AbortDeployment(t.Context(), id))
				case "publish":
					at = "3"
					_, err := w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop", Version: "3"})
					must(t, err)
				case "stop":
					must(t, w.sys.Stop(t.Context(), api.Target{App: "shop"}))
					must(t, w.sys.Start(t.Context(), api.Target{App: "shop"}))
				case "scale":
					n = 3
					must(t, w.sys.Scale(t.Context(), "shop", 3))
				case "stop one":
					must(t, w.sys.Stop(t.Context(), api.Target{App: "shop", Instance: first.Name}))
					must(t, w.sys.Start(t.Context(), api.Target{App: "shop", Instance: first.Name}))
				case "crash":
					w.killInstance(first)
					if step != "prepare" {
						at = "" // it depends on how far it had come: all one, or the other
					}
				}
				f.set(func() { delete(f.block, step); close(block) })
				w.until("one version at rest", func() bool {
					a := w.app("shop")
					if a.Deployment != nil && a.Deployment.Outcome == api.DeploymentRunning || len(a.Instances) != n {
						return false
					}
					if at == "" {
						at = a.Instances[0].Version
					}
					return !slices.ContainsFunc(a.Instances, func(i api.Instance) bool {
						return i.State != api.StateRunning || i.Upgrade != nil || i.Version != a.Instances[0].Version
					})
				})
				f.all(t, w.app("shop").Instances[0].Version, nil)
				if v := w.app("shop").Instances[0].Version; by != "crash" && v != at {
					t.Errorf("at rest with %s, want %s", v, at)
				}
			})
		}
	}
}

// A version that was installed hot and crashes again and again later is gone back from like any other.
func TestHot_IsRolledBackAfterACrashLoop(t *testing.T) {
	t.Parallel()
	spec := hotApp(1, 0)
	spec.CrashLoop.Limit = 1
	w := newWorld(t, spec)
	f := withForge(w)
	w.up()
	w.run("shop", "1")
	w.run("shop", "hot-2")
	for range 2 {
		i := w.running("shop", "hot-2", 1)[0]
		w.killInstance(i)
		w.until("its end to be seen", func() bool { return w.instance("shop", i.Name).OSPID != i.OSPID })
	}
	w.running("shop", "1", 1)
	if got := w.app("shop").Ghosted; len(got) != 1 || got[0] != "hot-2" {
		t.Errorf("ghosts %v", got)
	}
	f.all(t, "1", nil)
}

// An instance that is restarted while its upgrade is under way would lose it: that is refused.
func TestHot_RefusesARestartMeanwhile(t *testing.T) {
	t.Parallel()
	spec := hotApp(1, 0)
	spec.Hot.Manual = true
	w := newWorld(t, spec)
	withForge(w)
	w.up()
	w.run("shop", "1")
	id := w.deploy("shop", "hot-2").ID
	w.until("the question", func() bool { return len(w.eventsOf(api.EventUpgradeWaits)) == 1 })
	i := w.app("shop").Instances[0]
	if err := w.sys.Restart(t.Context(), api.Target{App: "shop", Instance: i.Name}); err == nil || !strings.Contains(err.Error(), id) {
		t.Errorf("Restart: %v", err)
	}
	if _, err := w.sys.RevertDeployment(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.ended(id, api.DeploymentReverted)
	w.until("the way back", func() bool { return w.app("shop").Instances[0].Upgrade == nil })
	if now := w.app("shop").Instances[0]; now.OSPID != i.OSPID || now.Version != "1" {
		t.Errorf("%+v", now)
	}
}

// What runs around a hot deployment runs in order, and what fails before it leaves all as it was.
func TestHot_RunsItsHooks(t *testing.T) {
	t.Parallel()
	spec := hotApp(2, 0)
	w := newWorld(t, spec)
	d := w.diary()
	hook := func(step string) []Hook {
		return []Hook{{Run: []string{"/bin/sh", "-c", fmt.Sprintf("echo %s >>%s; test %s-$BEAMKEEPER_HOOK_VERSION != before_upgrade-hot-3", step, d, step)}}}
	}
	w.cfg.Apps[0].Hooks = Hooks{
		BeforeDeploy: hook("before_deploy"), BeforeUpgrade: hook("before_upgrade"), AfterUpgrade: hook("after_upgrade"), AfterDeploy: hook("after_deploy"),
	}
	f := withForge(w)
	w.up()
	w.run("shop", "1")
	was := pidsByName(w.running("shop", "1", 2))
	w.run("shop", "hot-2")
	if got, want := strings.Join(d.lines(), " "), "before_deploy after_deploy before_deploy before_upgrade after_upgrade after_deploy"; got != want {
		t.Errorf("ran %s, want %s", got, want)
	}
	failed := w.ended(w.deploy("shop", "hot-3").ID, api.DeploymentFailed)
	if len(failed.Instances) != 0 || len(w.app("shop").Ghosted) != 0 {
		t.Errorf("%+v", failed)
	}
	f.all(t, "hot-2", was)
}
