package actors

import (
	"errors"
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
	for killed := 0; killed < 2; {
		for _, i := range w.app("shop").Instances {
			if i.Version == "2.0.0" && i.State == api.StateRunning && i.OSPID > 1 && alive(i.OSPID) && i.CrashRestarts == killed {
				w.killInstance(i)
				killed++
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	d = w.ended(d.ID, api.DeploymentFailed)
	if want := "was ready, but crashed 2 times before the deployment was done"; !strings.Contains(d.Error, want) {
		t.Errorf("error is %q, want %q", d.Error, want)
	}
	w.running("shop", "1.0.0", 2)
}
