package actors

import (
	"errors"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

func TestSaidReady_IsWhatTheProbeWaitsFor(t *testing.T) {
	t.Parallel()
	spec := app("shop", 1)
	spec.Readiness.Probe = &Probe{API: true}
	w := newWorld(t, spec).up()
	d := w.deploy("shop", "1.0.0")
	waiting := func() api.Instance {
		t.Helper()
		var i api.Instance
		w.until("an instance that waits for its word", func() bool {
			list := w.app("shop").Instances
			if len(list) != 1 || len(list[0].Readiness) != 4 {
				return false
			}
			i = list[0]
			return i.Readiness[3].State == linkWaiting && i.Readiness[3].Detail == "it has not called beamkeeper:ready/0 yet"
		})
		return i
	}
	i := waiting()
	var e *api.Error
	for _, wrong := range []api.Target{{App: "shop", Instance: "shop-zzzzzz"}, {App: "other", Instance: i.Name}} {
		if err := w.sys.SaidReady(t.Context(), wrong); !errors.As(err, &e) || e.Code != api.CodeNotFound {
			t.Errorf("SaidReady(%s) = %v", wrong, err)
		}
	}
	self := api.Target{App: "shop", Instance: i.Name}
	for range 2 { // again is as once
		if err := w.sys.SaidReady(t.Context(), self); err != nil {
			t.Fatal(err)
		}
	}
	w.ended(d.ID, api.DeploymentSucceeded)
	before := w.running("shop", "1.0.0", 1)[0]

	// The next daemon does not ask again, for the OS process has said so.
	w.down(false)
	w.up()
	if after := w.running("shop", "1.0.0", 1)[0]; after.OSPID != before.OSPID {
		t.Fatalf("taken over with OS pid %d, before %d", after.OSPID, before.OSPID)
	}
	w.until("the chain to be passed", func() bool { r := w.app("shop").Instances[0].Readiness; return len(r) == 4 && r[3].State == linkPassed })

	// The next OS process has to say it itself.
	w.killInstance(before)
	if next := waiting(); next.State != api.StateStarting || next.OSPID == before.OSPID {
		t.Errorf("after a crash: %+v", next)
	}
	if err := w.sys.SaidReady(t.Context(), self); err != nil {
		t.Fatal(err)
	}
	w.running("shop", "1.0.0", 1)
}

func TestLastEvent_IsThatOfTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	w.run("shop", "1.0.0")
	list := w.events()
	if last := w.sys.LastEvent(); len(list) == 0 || last < list[len(list)-1].ID {
		t.Fatalf("LastEvent = %d of %d events", last, len(list))
	}
	w.down(false)
	w.up()
	var kept uint64
	if err := w.store.View(func(tx *state.Tx) error { kept = tx.LastEvent(); return nil }); err != nil {
		t.Fatal(err)
	}
	if last := w.sys.LastEvent(); last < kept {
		t.Errorf("LastEvent = %d after a restart, kept are %d", last, kept)
	}
}
