package actors

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// only lets as many instances of a version be connected to as are given, and all of others.
func (w *world) only(version string, most int) {
	seen := make(map[string]bool)
	w.cluster.set(func() {
		w.cluster.accept = func(instance, v string) error {
			if v != version || seen[instance] {
				return nil
			}
			if len(seen) >= most {
				return errors.New("name not registered")
			}
			seen[instance] = true
			return nil
		}
	})
}

// The second of three replicas does not get ready: the first goes back too.
func TestDeploy_AFailedOneMovesEveryReplicaBack(t *testing.T) {
	t.Parallel()
	for _, strategy := range []Strategy{{MaxParallel: 1}, {MaxParallel: 3, MaxUnavailable: 2}} {
		spec := app("shop", 3)
		spec.Readiness.Timeout = 700 * time.Millisecond
		spec.Strategy = strategy
		w := newWorld(t, spec).up()
		w.run("shop", "1.0.0")
		w.only("2.0.0", 1)
		d := w.ended(w.deploy("shop", "2.0.0").ID, api.DeploymentFailed)
		w.running("shop", "1.0.0", 3)
		all, err := w.sys.Deployments(t.Context(), "shop", 1)
		if err != nil || len(all) != 1 || all[0].Trigger != "restore" || all[0].To != "1.0.0" {
			t.Fatalf("last deployment is %+v, %v", all, err)
		}
		w.ended(all[0].ID, api.DeploymentSucceeded)
		if a := w.app("shop"); a.DesiredVersion != "2.0.0" || a.Deployment == nil || a.Deployment.ID != d.ID {
			t.Errorf("app is %+v", a)
		}
	}
}

func TestDeploy_AnAbortedOneMovesEveryReplicaBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 3)).up()
	w.run("shop", "1.0.0")
	w.only("2.0.0", 1)
	d := w.deploy("shop", "2.0.0")
	w.until("the second new one", func() bool {
		d, err := w.sys.Deployment(t.Context(), d.ID)
		return err == nil && len(d.Instances) == 2
	})
	if err := w.sys.AbortDeployment(t.Context(), d.ID); err != nil {
		t.Fatal(err)
	}
	w.running("shop", "1.0.0", 3)
}

// An instance that was ready and then crashes again and again while the others are still moved fails the deployment.
func TestDeploy_ACrashLoopAfterReadyFailsIt(t *testing.T) {
	t.Parallel()
	spec := app("shop", 2)
	spec.CrashLoop.Limit = 1
	w := newWorld(t, spec).up()
	w.run("shop", "1.0.0")
	w.only("2.0.0", 1)
	d := w.deploy("shop", "2.0.0")
	w.crashTwice("a replica of 2.0.0", func() api.Instance {
		all := w.app("shop").Instances
		if i := slices.IndexFunc(all, func(i api.Instance) bool { return i.Version == "2.0.0" && i.State == api.StateRunning }); i >= 0 {
			return all[i]
		}
		return api.Instance{}
	})
	d = w.ended(d.ID, api.DeploymentFailed)
	if want := "was ready, but crashed 2 times before the deployment was done"; !strings.Contains(d.Error, want) {
		t.Errorf("error is %q, want %q", d.Error, want)
	}
	w.running("shop", "1.0.0", 2)
}

func TestRollback_ByAnOperator(t *testing.T) {
	t.Parallel()
	w := watched(t, app("shop", 2)).up()
	_, err := w.sys.Rollback(t.Context(), "shop", api.VersionRequest{})
	wantCode(t, err, api.CodeRefused)
	for _, v := range []string{"1.0.0", "2.0.0", "3.0.0"} {
		w.run("shop", v)
	}
	for _, want := range []string{"2.0.0", "1.0.0"} { // not to and fro
		d, err := w.sys.Rollback(t.Context(), "shop", api.VersionRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if d.To != want || d.Trigger != "rollback" {
			t.Errorf("deployment is %+v, want one to %s", d, want)
		}
		w.ended(d.ID, api.DeploymentSucceeded)
		w.running("shop", want, 2)
	}
	_, err = w.sys.Rollback(t.Context(), "shop", api.VersionRequest{Version: "7.0.0"})
	wantCode(t, err, api.CodeNotFound)
	w.publish("shop", "4.0.0") // counts again
	w.running("shop", "4.0.0", 2)
}

// A version that crashes again and again soon after its deployment is replaced on every replica.
func TestRollback_AfterACrashLoop(t *testing.T) {
	t.Parallel()
	spec := app("shop", 3)
	spec.CrashLoop.Limit = 1
	w := watched(t, spec)
	w.publish("shop", "1.0.0")
	w.up()
	w.running("shop", "1.0.0", 3)
	w.lastEnded("shop", "1.0.0")
	w.publish("shop", "2.0.0")
	w.running("shop", "2.0.0", 3)
	bad := w.lastEnded("shop", "2.0.0")
	victim := w.running("shop", "2.0.0", 3)[1].Name
	w.crashTwice(victim, func() api.Instance { return w.instance("shop", victim) })
	d := w.lastEnded("shop", "1.0.0")
	w.running("shop", "1.0.0", 3)
	if d.Trigger != "rollback" || d.From != "2.0.0" || d.Outcome != api.DeploymentSucceeded || d.ID == bad.ID {
		t.Errorf("deployment is %+v", d)
	}
	list := w.ghosts("shop")
	if len(list) != 1 || list[0].Version != "2.0.0" || list[0].Instance != victim || list[0].Deployment != bad.ID || !strings.Contains(list[0].Reason, "crashed 2 times") {
		t.Errorf("ghosts are %+v", list)
	}
	if e := w.eventsOf(api.EventRollback); len(e) != 1 {
		t.Errorf("events are %+v", e)
	}
	w.down(false)
	w.up()
	w.running("shop", "1.0.0", 3)
	if a := w.app("shop"); a.DesiredVersion != "1.0.0" || a.Deployment != nil {
		t.Errorf("app is %+v", a)
	}
}

// Later than deploy_rollback_timeout_ms a crash loop is one of an instance, and nothing else happens.
func TestRollback_NotAfterALongTime(t *testing.T) {
	t.Parallel()
	spec := app("shop", 1)
	spec.CrashLoop.Limit, spec.RollbackTimeout = 1, time.Millisecond
	w := newWorld(t, spec).up()
	w.run("shop", "1.0.0")
	w.run("shop", "2.0.0")
	w.crashTwice("the replica", func() api.Instance { return w.app("shop").Instances[0] })
	w.until("the failed instance", func() bool { return w.app("shop").Instances[0].State == api.StateFailed })
	if a := w.app("shop"); a.DesiredVersion != "2.0.0" || len(a.Ghosted) != 0 || a.Instances[0].Version != "2.0.0" {
		t.Errorf("app is %+v", a)
	}
}

// crashTwice kills an instance twice, each time when it is ready.
func (w *world) crashTwice(what string, find func() api.Instance) {
	w.t.Helper()
	for killed := range 2 {
		w.until(fmt.Sprintf("%s to run after %d crashes", what, killed), func() bool {
			i := find()
			ready := i.State == api.StateRunning && i.OSPID > 1 && alive(i.OSPID) && i.CrashRestarts == killed
			if ready {
				w.killInstance(i)
			}
			return ready
		})
	}
}
