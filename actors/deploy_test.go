package actors

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/release"
)

func TestDeploy_TheFirstStartsAllReplicas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2)).up()
	d := w.run("shop", "1.0.0")
	list := w.running("shop", "1.0.0", 2)
	if d.Kind != "full" || d.From != "" || d.To != "1.0.0" || d.Trigger != "operator" || len(d.Instances) != 2 {
		t.Errorf("deployment is %+v", d)
	}
	for _, i := range d.Instances {
		if got := stepNames(i.Steps); got != "prepare start process node application probe" && got != "prepare start node application probe" {
			t.Errorf("steps are %s", got)
		}
		for _, s := range i.Steps {
			if s.StartedAt.IsZero() || s.EndedAt.IsZero() || s.Error != "" {
				t.Errorf("step %+v", s)
			}
		}
	}
	if got := stepNames(d.Steps); got != "fetch" {
		t.Errorf("steps of the deployment are %s", got)
	}
	for n, i := range list {
		if i.Slot != n || i.Ports["PORT"] != 21000+n || i.OTPRelease != "27" || !alive(i.OSPID) || !i.OTPConnected || i.LastDeployment != "full" {
			t.Errorf("instance %d is %+v", n, i)
		}
		if len(i.Readiness) != 4 || i.Readiness[2].State != "passed" || i.Readiness[3].State != "skipped" {
			t.Errorf("readiness is %+v", i.Readiness)
		}
	}
	history, err := w.sys.History(t.Context(), "shop")
	if err != nil || len(history) != 2 || history[0].Version != "1.0.0" || history[0].Deployment != d.ID {
		t.Errorf("history is %+v, %v", history, err)
	}
}

func stepNames(steps []api.DeploymentStep) string {
	var names []string
	for _, s := range steps {
		names = append(names, s.Name)
	}
	return strings.Join(names, " ")
}

// Replicas must start side by side: each waits until it sees the other's file.
func TestDeploy_TheFirstStartsReplicasInParallel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 3))
	w.shelf.scripts["1.0.0"] = "exec sleep 1000"
	w.cluster.refuse[""] = errors.New("not yet")
	w.up()
	d := w.deploy("shop", "1.0.0")
	w.until("three OS processes", func() bool { return len(w.sys.reg.running()) == 3 })
	w.cluster.set(func() { delete(w.cluster.refuse, "") })
	w.ended(d.ID, api.DeploymentSucceeded)
}

func TestDeploy_RollsWithASurgeInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2)).up()
	w.run("shop", "1.0.0")
	old := w.running("shop", "1.0.0", 2)

	// At no moment are fewer than two running, nor more than three there that are not on their way out.
	stop, watched := make(chan struct{}), make(chan string, 1)
	go func() {
		for {
			select {
			case <-stop:
				watched <- ""
				return
			default:
			}
			st, err := w.sys.Status(t.Context())
			if err != nil {
				watched <- err.Error()
				return
			}
			running, staying := 0, 0
			for _, i := range st.Apps[0].Instances {
				switch i.State {
				case api.StateRunning:
					running++
					staying++
				case api.StateStarting:
					staying++
				}
			}
			if running < 2 || staying > 3 {
				watched <- fmt.Sprintf("%d of %d running", running, staying)
				return
			}
			time.Sleep(100 * time.Microsecond)
		}
	}()
	d := w.run("shop", "2.0.0")
	close(stop)
	if problem := <-watched; problem != "" {
		t.Error(problem)
	}
	now := w.running("shop", "2.0.0", 2)
	for _, o := range old {
		if alive(o.OSPID) {
			t.Errorf("%s still runs", o.Name)
		}
	}
	if d.From != "1.0.0" || len(d.Instances) != 2 {
		t.Errorf("deployment is %+v", d)
	}
	// The first new one had the spare slot, the second one the slot of the old one that went first.
	if now[0].Slot != 0 || now[1].Slot != 2 || now[1].Ports["PORT"] != 21002 {
		t.Errorf("slots are %d and %d", now[0].Slot, now[1].Slot)
	}
	for n, i := range d.Instances {
		if i.Replaces != old[n].Name || !strings.HasSuffix(stepNames(i.Steps), "probe stop_old") || i.Steps[len(i.Steps)-1].EndedAt.IsZero() {
			t.Errorf("instance %d of the deployment is %+v", n, i)
		}
	}
	if d.Instances[0].Steps[len(d.Instances[0].Steps)-1].StartedAt.After(d.Instances[1].Steps[0].StartedAt.Time) {
		t.Error("the second began before the first could replace its predecessor")
	}
}

func TestDeploy_AnInstanceThatNeverGetsReadyFailsIt(t *testing.T) {
	t.Parallel()
	spec := app("shop", 2)
	spec.Readiness.Timeout = 700 * time.Millisecond
	w := newWorld(t, spec)
	w.shelf.scripts["2.0.0"] = "echo this is the new one; exec sleep 1000"
	w.up()
	w.run("shop", "1.0.0")
	old := w.running("shop", "1.0.0", 2)
	w.cluster.set(func() {
		w.cluster.started[""] = false
		for _, o := range old {
			w.cluster.started[o.Name] = true
		}
	})
	d := w.ended(w.deploy("shop", "2.0.0").ID, api.DeploymentFailed)
	for _, want := range []string{"was not ready within 700ms", "application is missing", "shop is not started; started are kernel"} {
		if !strings.Contains(d.Error, want) {
			t.Errorf("error %q lacks %q", d.Error, want)
		}
	}
	if !slices.Contains(d.LogTail, "this is the new one") {
		t.Errorf("log tail is %q", d.LogTail)
	}
	if s := d.Instances[0].Steps; s[len(s)-1].Name != "application" || s[len(s)-1].Error == "" {
		t.Errorf("steps are %+v", s)
	}
	now := w.running("shop", "1.0.0", 2)
	for i := range now {
		if now[i].OSPID != old[i].OSPID || now[i].Name != old[i].Name {
			t.Errorf("an old instance was touched: %+v, was %+v", now[i], old[i])
		}
	}
	if a := w.app("shop"); a.DesiredVersion != "2.0.0" || a.Deployment == nil || a.Deployment.ID != d.ID || len(a.Problems) != 1 {
		t.Errorf("app is %+v", a)
	}
	if e := w.eventsOf(api.EventDeploymentFailed); len(e) != 1 || e[0].Deployment != d.ID || e[0].Level != "error" {
		t.Errorf("events are %+v", e)
	}
	// Nothing is tried again unasked.
	w.sys.send(managerActor("shop"), msgWake{})
	if all, _ := w.sys.Deployments(t.Context(), "shop", 0); len(all) != 2 {
		t.Errorf("%d deployments", len(all))
	}
	// But asked.
	w.cluster.set(func() { w.cluster.started = map[string]bool{} })
	_, err := w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop", Version: "2.0.0"})
	wantCode(t, err, api.CodeRefused)
	if d, err = w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop", Version: "2.0.0", Force: true}); err != nil {
		t.Fatal(err)
	}
	w.ended(d.ID, api.DeploymentSucceeded)
	w.running("shop", "2.0.0", 2)
	if a := w.app("shop"); a.Deployment != nil || len(a.Problems) != 0 || len(a.Ghosted) != 0 {
		t.Errorf("app is %+v", a)
	}
}

func TestDeploy_TheMissingStepIsNamed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		script string
		edit   func(*world)
		want   string
	}{
		{"process", "exit 3", func(w *world) { w.cluster.refuse[""] = errors.New("name not registered") }, "exit code 3"},
		{"node", "", func(w *world) { w.cluster.refuse[""] = errors.New("name not registered") }, "node is missing: name not registered"},
		{"application", "", func(w *world) { w.cluster.started[""] = false }, "application is missing: shop is not started"},
		{"probe", "", func(w *world) {
			w.cfg.Apps[0].Readiness.Probe = &Probe{TCP: "127.0.0.1:${PORT}", Interval: 10 * time.Millisecond}
		}, "probe is missing: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			spec := app("shop", 1)
			spec.Readiness.Timeout = 500 * time.Millisecond
			spec.Ports[0].Base = 1 // nobody listens there
			w := newWorld(t, spec)
			w.shelf.scripts["1.0.0"] = tt.script
			tt.edit(w)
			w.up()
			d := w.ended(w.deploy("shop", "1.0.0").ID, api.DeploymentFailed)
			if !strings.Contains(d.Error, tt.want) {
				t.Errorf("error %q lacks %q", d.Error, tt.want)
			}
			w.until("all traces to go", func() bool { return len(w.app("shop").Instances) == 0 })
		})
	}
}

func TestDeploy_ACrashLoopFailsItBeforeTheTimeout(t *testing.T) {
	t.Parallel()
	spec := app("shop", 1)
	spec.CrashLoop.Limit = 1
	spec.Readiness.Timeout = time.Hour
	w := newWorld(t, spec)
	w.shelf.scripts["1.0.0"] = "exit 3"
	w.cluster.refuse[""] = errors.New("name not registered")
	w.up()
	d := w.ended(w.deploy("shop", "1.0.0").ID, api.DeploymentFailed)
	if !strings.Contains(d.Error, "crashed 2 times before it was ready: exit code 3") {
		t.Errorf("error is %q", d.Error)
	}
}

func TestDeploy_AReleaseThatCannotBeFetchedStopsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	w.run("shop", "1.0.0")
	old := w.running("shop", "1.0.0", 1)
	w.shelf.set(func() {
		w.shelf.fails = &release.Error{Op: "verify", Release: "shop", Version: "2.0.0", Err: release.ErrChecksum}
	})
	d := w.ended(w.deploy("shop", "2.0.0").ID, api.DeploymentRefused)
	if !strings.Contains(d.Error, "wrong sha256") || stepNames(d.Steps) != "verify" || d.Steps[0].Error == "" || len(d.Instances) != 0 {
		t.Errorf("deployment is %+v", d)
	}
	if now := w.running("shop", "1.0.0", 1); now[0].OSPID != old[0].OSPID {
		t.Errorf("%+v, was %+v", now, old)
	}
}

func TestDeploy_ANewerWishSupersedes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2)).up()
	w.run("shop", "1.0.0")
	old := w.running("shop", "1.0.0", 2)
	w.cluster.set(func() { w.cluster.refuse[""] = errors.New("not yet") })
	first := w.deploy("shop", "2.0.0")
	w.until("the surge instance", func() bool { return len(w.sys.reg.running()) == 3 })
	second := w.deploy("shop", "3.0.0")
	if second.ID == first.ID {
		t.Fatal("the deployment of 2.0.0 answers for 3.0.0")
	}
	d := w.ended(first.ID, api.DeploymentSuperseded)
	if d.Error != "version 3.0.0 is wished now" {
		t.Errorf("error is %q", d.Error)
	}
	for _, o := range old {
		if !alive(o.OSPID) {
			t.Errorf("%s was stopped", o.Name)
		}
	}
	w.cluster.set(func() { delete(w.cluster.refuse, "") })
	w.ended(second.ID, api.DeploymentSucceeded)
	w.running("shop", "3.0.0", 2)
}

func TestDeploy_TheSameAgainIsTheSameDeployment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1))
	w.cluster.refuse[""] = errors.New("not yet")
	w.up()
	first := w.deploy("shop", "1.0.0")
	if again := w.deploy("shop", "1.0.0"); again.ID != first.ID {
		t.Errorf("a second deployment %s beside %s", again.ID, first.ID)
	}
	w.cluster.set(func() { delete(w.cluster.refuse, "") })
	w.ended(first.ID, api.DeploymentSucceeded)
	if again := w.deploy("shop", "1.0.0"); again.ID != first.ID || again.Outcome != api.DeploymentSucceeded {
		t.Errorf("deploying what runs gave %+v", again)
	}
}

func TestDeploy_Abort(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	w.run("shop", "1.0.0")
	old := w.running("shop", "1.0.0", 1)
	w.cluster.set(func() { w.cluster.refuse[""] = errors.New("not yet") })
	d := w.deploy("shop", "2.0.0")
	w.until("the surge instance", func() bool { return len(w.sys.reg.running()) == 2 })
	if err := w.sys.AbortDeployment(t.Context(), d.ID); err != nil {
		t.Fatal(err)
	}
	w.ended(d.ID, api.DeploymentAborted)
	if now := w.running("shop", "1.0.0", 1); now[0].OSPID != old[0].OSPID {
		t.Errorf("%+v, was %+v", now, old)
	}
	wantCode(t, w.sys.AbortDeployment(t.Context(), d.ID), api.CodeRefused)
	wantCode(t, w.sys.AbortDeployment(t.Context(), "d9"), api.CodeNotFound)
}

func wantCode(t *testing.T, err error, code api.Code) {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("error is %v, want code %s", err, code)
	}
}

// After a deployment that failed half way the replicas are of two versions. The wish for the old one moves all of them.
func TestDeploy_GoesBackWithEveryReplica(t *testing.T) {
	t.Parallel()
	spec := app("shop", 3)
	spec.Readiness.Timeout = 700 * time.Millisecond
	w := newWorld(t, spec).up()
	w.run("shop", "1.0.0")
	for _, i := range w.running("shop", "1.0.0", 3) {
		w.cluster.set(func() { w.cluster.started[i.Name] = true })
	}
	d := w.deploy("shop", "2.0.0")
	w.until("the first new one", func() bool {
		return slices.ContainsFunc(w.app("shop").Instances, func(i api.Instance) bool {
			return i.Version == "2.0.0" && i.State == api.StateRunning
		})
	})
	w.cluster.set(func() { w.cluster.started[""] = false })
	w.ended(d.ID, api.DeploymentFailed)
	w.until("three running", func() bool {
		list := w.app("shop").Instances
		return len(list) == 3 && !slices.ContainsFunc(list, func(i api.Instance) bool { return i.State != api.StateRunning })
	})
	w.cluster.set(func() { w.cluster.started = map[string]bool{} })
	w.run("shop", "1.0.0")
	w.running("shop", "1.0.0", 3)
}

// With max_unavailable an old instance stops before the new one is ready. When that fails, it is given back.
func TestDeploy_AFailedOneGivesBackWhatItTook(t *testing.T) {
	t.Parallel()
	spec := app("shop", 2)
	spec.Readiness.Timeout = 700 * time.Millisecond
	spec.Strategy = Strategy{MaxParallel: 2, MaxUnavailable: 1}
	w := newWorld(t, spec).up()
	w.run("shop", "1.0.0")
	w.cluster.set(func() { w.cluster.refuse[""] = errors.New("not yet") })
	d := w.deploy("shop", "2.0.0")
	w.until("two new ones beside one old one", func() bool {
		list := w.app("shop").Instances
		return len(list) == 3 && len(slices.DeleteFunc(list, func(i api.Instance) bool { return i.Version != "2.0.0" })) == 2
	})
	w.ended(d.ID, api.DeploymentFailed)
	w.cluster.set(func() { delete(w.cluster.refuse, "") })
	w.running("shop", "1.0.0", 2)
	all, err := w.sys.Deployments(t.Context(), "shop", 1)
	if err != nil || len(all) != 1 || all[0].Trigger != "restore" || all[0].To != "1.0.0" {
		t.Errorf("last deployment is %+v, %v", all, err)
	}
	w.ended(all[0].ID, api.DeploymentSucceeded)
	if a := w.app("shop"); a.DesiredVersion != "2.0.0" || a.Deployment == nil || a.Deployment.ID != d.ID {
		t.Errorf("app is %+v", a)
	}
}

func TestScale(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	w.run("shop", "1.0.0")
	first := w.running("shop", "1.0.0", 1)
	if err := w.sys.Scale(t.Context(), "shop", 3); err != nil {
		t.Fatal(err)
	}
	three := w.running("shop", "1.0.0", 3)
	if three[0].OSPID != first[0].OSPID {
		t.Error("scaling up touched what was there")
	}
	if err := w.sys.Scale(t.Context(), "shop", 2); err != nil {
		t.Fatal(err)
	}
	two := w.running("shop", "1.0.0", 2)
	if two[0].Name != three[0].Name || two[1].Name != three[1].Name || alive(three[2].OSPID) {
		t.Errorf("left are %+v of %+v", two, three)
	}
	w.until("the end of scaling", func() bool { return w.app("shop").Deployment == nil })
	all, err := w.sys.Deployments(t.Context(), "shop", 0)
	if err != nil || len(all) != 3 || all[0].Kind != "scale" || all[0].Trigger != "scale" || all[1].Kind != "scale" {
		t.Errorf("deployments are %+v, %v", all, err)
	}
	if i := all[0].Instances; len(i) != 1 || i[0].Name != three[2].Name || stepNames(i[0].Steps) != "stop" || i[0].Steps[0].EndedAt.IsZero() {
		t.Errorf("scaling down did %+v", i)
	}
	if e := w.eventsOf(api.EventScaled); len(e) != 2 {
		t.Errorf("events are %+v", e)
	}
	// It outlives the daemon, until the configuration says something new.
	w.down(false)
	w.up()
	if a := w.app("shop"); a.Replicas != 2 {
		t.Errorf("%d replicas after a restart of the daemon", a.Replicas)
	}
	w.down(false)
	w.cfg.Apps = []AppSpec{app("shop", 4)}
	w.up()
	w.running("shop", "1.0.0", 4)
	if err := w.sys.Scale(t.Context(), "shop", 0); err != nil {
		t.Fatal(err)
	}
	w.until("none", func() bool { return len(w.app("shop").Instances) == 0 })
	wantCode(t, w.sys.Scale(t.Context(), "shop", -1), api.CodeUsage)
	wantCode(t, w.sys.Scale(t.Context(), "shop", api.MaxReplicas+1), api.CodeUsage)
	wantCode(t, w.sys.Scale(t.Context(), "none", 1), api.CodeNotFound)
}

func TestScale_InTheMiddleOfADeployment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2)).up()
	w.run("shop", "1.0.0")
	w.cluster.set(func() { w.cluster.refuse[""] = errors.New("not yet") })
	d := w.deploy("shop", "2.0.0")
	w.until("the surge instance", func() bool { return len(w.sys.reg.running()) == 3 })
	if err := w.sys.Scale(t.Context(), "shop", 3); err != nil {
		t.Fatal(err)
	}
	w.cluster.set(func() { delete(w.cluster.refuse, "") })
	w.ended(d.ID, api.DeploymentSucceeded)
	w.running("shop", "2.0.0", 3)
}

func TestDeploy_Refusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	_, err := w.sys.Deploy(t.Context(), api.DeployRequest{App: "none", Version: "1"})
	wantCode(t, err, api.CodeNotFound)
	_, err = w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop"})
	wantCode(t, err, api.CodeNotFound)
	_, err = w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop", Version: "../1"})
	wantCode(t, err, api.CodeUsage)
	_, err = w.sys.Deployment(t.Context(), "none")
	wantCode(t, err, api.CodeNotFound)
	_, err = w.sys.History(t.Context(), "none")
	wantCode(t, err, api.CodeNotFound)
}
