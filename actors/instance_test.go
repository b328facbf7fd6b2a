package actors

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

func TestInstance_ACrashIsMendedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2))
	w.shelf.scripts["1.0.0"] = "echo one; echo two; echo bad >&2; exec sleep 1000"
	w.up()
	w.run("shop", "1.0.0")
	before := w.running("shop", "1.0.0", 2)
	w.killInstance(before[0])
	w.until("another OS process", func() bool {
		i := w.instance("shop", before[0].Name)
		return i.State == api.StateRunning && i.OSPID != before[0].OSPID
	})
	now := w.running("shop", "1.0.0", 2)
	if now[0].Name != before[0].Name || now[0].CrashRestarts != 1 || now[0].Slot != before[0].Slot || now[0].Ports["PORT"] != before[0].Ports["PORT"] {
		t.Errorf("%+v, was %+v", now[0], before[0])
	}
	if now[1].OSPID != before[1].OSPID || now[1].CrashRestarts != 0 {
		t.Errorf("the other one was touched: %+v", now[1])
	}
	e := w.eventsOf(api.EventCrashRestart)
	if len(e) != 1 || e[0].Instance != before[0].Name || e[0].Level != "warning" || e[0].Data["signal"] != float64(9) {
		t.Fatalf("events are %+v", e)
	}
	if log, _ := e[0].Data["log"].([]any); !slices.Equal(log, []any{"one", "two", "bad"}) {
		t.Errorf("log is %v", e[0].Data["log"])
	}
}

func TestInstance_ExitWithCode0IsACrashToo(t *testing.T) {
	t.Parallel()
	spec := app("shop", 1)
	spec.CrashLoop.Limit = 1
	w := newWorld(t, spec)
	flag := filepath.Join(w.dir, "flag")
	w.shelf.scripts["1.0.0"] = "while [ ! -e " + flag + " ]; do sleep 0.01; done; exit 0"
	w.up()
	w.run("shop", "1.0.0")
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.until("the end", func() bool { return w.app("shop").Instances[0].State == api.StateFailed })
	i := w.app("shop").Instances[0]
	if i.CrashRestarts != 2 || i.OSPID != 0 || !strings.Contains(i.LastError, "exit code 0") {
		t.Errorf("instance is %+v", i)
	}
	if e := w.eventsOf(api.EventInstanceFailed); len(e) != 1 || e[0].Instance != i.Name || e[0].Level != "error" {
		t.Errorf("events are %+v", e)
	}
	crashes := w.eventsOf(api.EventCrashRestart)
	if len(crashes) != 2 || crashes[0].Data["exit_code"] != float64(0) {
		t.Errorf("events are %+v", crashes)
	}
	// Until told otherwise.
	os.Remove(flag)
	if err := w.sys.Start(t.Context(), api.Target{App: "shop", Instance: i.Name}); err != nil {
		t.Fatal(err)
	}
	w.running("shop", "1.0.0", 1)
}

func TestInstance_TheSecondCrashInARowWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	w.run("shop", "1.0.0")
	first := w.running("shop", "1.0.0", 1)[0]
	w.killInstance(first)
	w.until("another OS process", func() bool {
		i := w.instance("shop", first.Name)
		return i.State == api.StateRunning && i.OSPID != first.OSPID
	})
	second := w.instance("shop", first.Name)
	w.killInstance(second)
	w.until("backoff", func() bool { return w.instance("shop", first.Name).State == api.StateBackoff })
	i := w.instance("shop", first.Name)
	if wait := time.Until(i.RetryAt.Time); wait < 0 || wait > time.Second || i.OSPID != 0 {
		t.Errorf("instance is %+v", i)
	}
	// A daemon that comes in between does not start it earlier.
	retry := i.RetryAt
	w.down(false)
	w.up()
	third := w.running("shop", "1.0.0", 1)[0]
	if third.StartedAt.Before(retry.Truncate(time.Millisecond)) {
		t.Errorf("started at %v, not before %v", third.StartedAt, retry)
	}
	if third.CrashRestarts != 2 {
		t.Errorf("instance is %+v", third)
	}
}

func TestInstance_ManagesWithoutItsNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	w.run("shop", "1.0.0")
	i := w.running("shop", "1.0.0", 1)[0]
	w.cluster.set(func() { w.cluster.refuse[""] = errors.New("cut off") })
	w.cluster.Disconnect(w.sys.nodeName(i.Name))
	if now := w.instance("shop", i.Name); now.OTPConnected || now.State != api.StateRunning || now.OSPID != i.OSPID {
		t.Errorf("instance is %+v", now)
	}
	if e := w.eventsOf(api.EventNodeDown); len(e) != 1 || e[0].Level != "warning" {
		t.Errorf("events are %+v", e)
	}
	w.cluster.set(func() { delete(w.cluster.refuse, "") })
	w.until("reconnecting", func() bool { return w.instance("shop", i.Name).OTPConnected })
	if now := w.instance("shop", i.Name); now.OSPID != i.OSPID || now.CrashRestarts != 0 {
		t.Errorf("instance is %+v", now)
	}
}

func TestInstance_StopStartRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2)).up()
	w.run("shop", "1.0.0")
	before := w.running("shop", "1.0.0", 2)
	target := api.Target{App: "shop", Instance: before[0].Name}

	if err := w.sys.Stop(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	i := w.instance("shop", before[0].Name)
	if i.State != api.StateStopped || i.OSPID != 0 || alive(before[0].OSPID) {
		t.Fatalf("after Stop: %+v", i)
	}
	e := w.eventsOf(api.EventInstanceStopped)
	if len(e) != 1 || e[0].Instance != i.Name || !strings.Contains(e[0].Message, "init_stop") {
		t.Errorf("events are %+v", e)
	}
	// A stopped one stays so over a restart of the daemon.
	w.down(false)
	w.up()
	w.until("the other one", func() bool { return w.instance("shop", before[1].Name).State == api.StateRunning })
	w.until("it to be seen", func() bool { return w.instance("shop", before[0].Name).State == api.StateStopped })
	if now := w.instance("shop", before[1].Name); now.OSPID != before[1].OSPID {
		t.Errorf("the other one was touched: %+v", now)
	}

	if err := w.sys.Start(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	now := w.running("shop", "1.0.0", 2)
	if now[0].Name != before[0].Name || now[0].CrashRestarts != 0 {
		t.Errorf("after Start: %+v", now[0])
	}

	if err := w.sys.Restart(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	w.until("another OS process", func() bool {
		i := w.instance("shop", before[0].Name)
		return i.State == api.StateRunning && i.OSPID != now[0].OSPID
	})
	if i := w.instance("shop", before[0].Name); i.ForcedRestarts != 1 || i.CrashRestarts != 0 {
		t.Errorf("after Restart: %+v", i)
	}
	if e := w.eventsOf(api.EventDeploymentShutdown); len(e) != 1 || e[0].Instance != before[0].Name {
		t.Errorf("events are %+v", e)
	}
	if all, _ := w.sys.Deployments(t.Context(), "shop", 0); len(all) != 1 {
		t.Errorf("%d deployments", len(all))
	}
	wantCode(t, w.sys.Stop(t.Context(), api.Target{App: "shop", Instance: "shop-000000"}), api.CodeNotFound)
	wantCode(t, w.sys.Start(t.Context(), api.Target{App: "none"}), api.CodeNotFound)
}

func TestApp_StopStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2)).up()
	w.run("shop", "1.0.0")
	before := w.running("shop", "1.0.0", 2)
	if err := w.sys.Stop(t.Context(), api.Target{App: "shop"}); err != nil {
		t.Fatal(err)
	}
	a := w.app("shop")
	if a.Mode != "stopped" || len(a.Instances) != 2 || a.Instances[0].State != api.StateStopped || a.Instances[1].State != api.StateStopped {
		t.Errorf("app is %+v", a)
	}
	_, err := w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop", Version: "2.0.0"})
	wantCode(t, err, api.CodeRefused)
	wantCode(t, w.sys.Restart(t.Context(), api.Target{App: "shop"}), api.CodeRefused)
	wantCode(t, w.sys.Start(t.Context(), api.Target{App: "shop", Instance: before[0].Name}), api.CodeRefused)
	w.down(false)
	w.up()
	w.until("it to be seen", func() bool {
		a := w.app("shop")
		return a.Mode == "stopped" && a.Instances[0].State == api.StateStopped && a.Instances[1].State == api.StateStopped
	})
	if err := w.sys.Start(t.Context(), api.Target{App: "shop"}); err != nil {
		t.Fatal(err)
	}
	now := w.running("shop", "1.0.0", 2)
	if now[0].Name != before[0].Name || now[1].Name != before[1].Name || w.app("shop").Mode != "automatic" {
		t.Errorf("after Start: %+v", now)
	}
}

func TestApp_StopAbortsADeployment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	w.run("shop", "1.0.0")
	w.cluster.set(func() { w.cluster.refuse[""] = errors.New("not yet") })
	d := w.deploy("shop", "2.0.0")
	w.until("the surge instance", func() bool { return len(w.sys.reg.running()) == 2 })
	if err := w.sys.Stop(t.Context(), api.Target{App: "shop"}); err != nil {
		t.Fatal(err)
	}
	w.ended(d.ID, api.DeploymentAborted)
	w.until("only the old one, stopped", func() bool {
		list := w.app("shop").Instances
		return len(list) == 1 && list[0].Version == "1.0.0" && list[0].State == api.StateStopped
	})
	// The wish stands: a start brings the new version.
	w.cluster.set(func() { delete(w.cluster.refuse, "") })
	if err := w.sys.Start(t.Context(), api.Target{App: "shop"}); err != nil {
		t.Fatal(err)
	}
	w.running("shop", "2.0.0", 1)
}

func TestApp_RestartIsRolling(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2)).up()
	w.run("shop", "1.0.0")
	before := w.running("shop", "1.0.0", 2)
	if err := w.sys.Restart(t.Context(), api.Target{App: "shop"}); err != nil {
		t.Fatal(err)
	}
	var now []api.Instance
	w.until("two others", func() bool {
		now = w.app("shop").Instances
		return len(now) == 2 && !slices.ContainsFunc(now, func(i api.Instance) bool {
			return i.Name == before[0].Name || i.Name == before[1].Name || i.State != api.StateRunning
		})
	})
	for _, i := range now {
		if i.ForcedRestarts != 1 || i.Version != "1.0.0" {
			t.Errorf("after Restart: %+v", i)
		}
	}
	w.until("its end", func() bool { return w.app("shop").Deployment == nil })
	all, err := w.sys.Deployments(t.Context(), "shop", 1)
	if err != nil || all[0].Trigger != "restart" || all[0].Kind != "full" || all[0].Outcome != api.DeploymentSucceeded {
		t.Errorf("deployment is %+v, %v", all, err)
	}
}

func TestInstance_ADeafOneIsTerminatedThenKilled(t *testing.T) {
	t.Parallel()
	spec := app("shop", 1)
	spec.Stop = 50 * time.Millisecond
	w := newWorld(t, spec)
	w.shelf.scripts["1.0.0"] = "trap '' TERM; sleep 1000 & wait; while true; do sleep 0.05; done"
	w.cluster.deaf = true
	w.up()
	w.run("shop", "1.0.0")
	i := w.running("shop", "1.0.0", 1)[0]
	if err := w.sys.Stop(t.Context(), api.Target{App: "shop"}); err != nil {
		t.Fatal(err)
	}
	e := w.eventsOf(api.EventInstanceStopped)
	if len(e) != 1 {
		t.Fatalf("events are %+v", e)
	}
	var names []string
	steps, _ := e[0].Data["steps"].([]any)
	for _, s := range steps {
		names = append(names, s.(map[string]any)["name"].(string))
	}
	if !slices.Equal(names, []string{"init_stop", "sigterm", "sigkill"}) {
		t.Errorf("steps are %v", names)
	}
	left, err := process.Members(process.Identity{OSPID: i.OSPID, Instance: i.Name, Node: w.cluster.name.String()})
	if err != nil || len(left) != 0 {
		t.Errorf("left of the session: %+v, %v", left, err)
	}
}

// What a crashed OS process has started does not meet the next one.
func TestInstance_ACrashLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1))
	w.shelf.scripts["1.0.0"] = "setsid sleep 1000 & exec sleep 1000"
	w.up()
	w.run("shop", "1.0.0")
	i := w.running("shop", "1.0.0", 1)[0]
	members := func() (list []process.Member) {
		w.until("an OS process and its child", func() bool {
			var err error
			if list, err = process.Members(identityOf(t, w, i.Name)); err != nil {
				t.Fatal(err)
			}
			return len(list) == 2
		})
		return list
	}
	before := members()
	w.killInstance(i)
	w.until("another OS process", func() bool {
		now := w.instance("shop", i.Name)
		return now.State == api.StateRunning && now.OSPID != i.OSPID
	})
	for _, m := range members() {
		if slices.Contains(before, m) {
			t.Errorf("%+v is of the one before", m)
		}
	}
}

func identityOf(t *testing.T, w *world, instance string) process.Identity {
	t.Helper()
	var rec state.Instance
	if err := w.store.View(func(tx *state.Tx) (err error) { rec, _, err = tx.Instance(instance); return err }); err != nil {
		t.Fatal(err)
	}
	return rec.Process
}
