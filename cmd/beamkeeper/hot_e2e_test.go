package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
)

// hotRig is a rig of a sample that is upgraded while it runs.
func hotRig(t *testing.T, sample string, hotUpgrade string) *rig {
	t.Helper()
	r := newRig(t, sample)
	r.edit("    strategy:\n", "    hot_upgrade: {"+hotUpgrade+"}\n    strategy:\n")
	r.edit("      # application: "+r.app+"\n", "      probe: {http: \"http://127.0.0.1:${PORT}/health\", interval_ms: 50}\n")
	return r
}

// get asks an instance over HTTP.
func (r *rig) get(i api.Instance, path string) (string, error) {
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", i.Ports["PORT"], path))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(b)), err
}

// counted wants all instances of the app to run a version and their counters to stand at n.
func (r *rig) counted(a api.App, version string, n int) {
	r.t.Helper()
	for _, i := range a.Instances {
		value, err1 := r.get(i, "/value")
		now, err2 := r.get(i, "/version")
		if err1 != nil || err2 != nil || value != strconv.Itoa(n) || now != version {
			r.t.Errorf("%s has version %s and counts %s (%v, %v); want %s and %d", i.Name, now, value, err1, err2, version, n)
		}
	}
}

// still says that the instances run a version and nothing is under way.
func still(n int, version string) func(api.App) bool {
	return func(a api.App) bool {
		for _, i := range a.Instances {
			if i.Upgrade != nil {
				return false
			}
		}
		return running(n, version)(a) && (a.Deployment == nil || a.Deployment.Outcome != api.DeploymentRunning)
	}
}

// A real release goes up, fails its soak, goes up, down, up and further, and keeps what it has counted.
func TestEndToEnd_HotUpgradeErlang(t *testing.T) {
	t.Parallel()
	r := hotRig(t, sampletest.HotErlang, "soak_ms: 2000")
	build := func(version string) string { return sampletest.Build(t, sampletest.HotErlang, version) }
	r.run()
	r.must("publish", r.app, build("0.1.0"))
	a := r.await("two instances", still(2, "0.1.0"))
	was := osPIDs(a)
	for _, i := range a.Instances {
		for range 3 {
			if _, err := r.get(i, "/"); err != nil {
				t.Fatal(err)
			}
		}
	}
	kept := func(a api.App, version string) {
		t.Helper()
		if now := osPIDs(a); !maps.Equal(now, was) {
			t.Errorf("OS processes are %v, and were %v", now, was)
		}
		r.counted(a, version, 3)
	}

	r.must("publish", r.app, build("0.2.0"))
	d := r.last("0.2.0", api.DeploymentSucceeded)
	if d.Kind != api.KindHot {
		t.Fatalf("deployment to 0.2.0: %s: %+v", d.Kind, d.Steps)
	}
	kept(r.await("0.2.0", still(2, "0.2.0")), "0.2.0")
	r.must("deployment", "revert", d.ID)
	a = r.await("0.1.0 after the revert", still(2, "0.1.0"))
	kept(a, "0.1.0")
	r.must("deploy", r.app, "0.2.0", "--hot")
	kept(r.await("0.2.0 again", still(2, "0.2.0")), "0.2.0")

	// What cannot be installed hot is refused when that was asked for.
	b, err := os.ReadFile(build("0.2.4"))
	if err == nil {
		err = os.WriteFile(filepath.Join(r.dir, "bucket", "dist", r.app, r.app+"-0.2.4.tar.gz"), b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := r.command("deploy", r.app, "0.2.4", "--hot"); code != 6 || !strings.Contains(stderr, "appup") {
		t.Errorf("deploy --hot of what has no appups: exit code %d\n%s", code, stderr)
	}
	r.must("deployment", "revert", r.last("0.2.0", api.DeploymentSucceeded).ID)
	kept(r.await("0.1.0 after the second revert", still(2, "0.1.0")), "0.1.0")

	// One that logs errors without end does not get through its soak.
	r.must("publish", r.app, build("0.2.6"))
	d = r.last("0.2.6", api.DeploymentFailed)
	if d.Kind != api.KindHot || !strings.Contains(d.Error, "errors in its log") {
		t.Errorf("deployment to 0.2.6: %s, %s: %+v", d.Kind, d.Error, d.Steps)
	}
	a = r.await("0.1.0 again", still(2, "0.1.0"))
	kept(a, "0.1.0")
	if len(a.Ghosted) != 1 || a.Ghosted[0] != "0.2.6" {
		t.Errorf("ghosts %v", a.Ghosted)
	}

}

// A crash at any time boots what is permanent.
func TestEndToEnd_HotUpgradeBootsWhatIsPermanent(t *testing.T) {
	t.Parallel()
	r := hotRig(t, sampletest.HotErlang, "soak_ms: 0, commit: manual, fallback: none")
	r.edit("replicas: 2", "replicas: 1")
	r.run()
	r.must("publish", r.app, sampletest.Build(t, sampletest.HotErlang, "0.1.0"))
	r.await("an instance", still(1, "0.1.0"))
	crash := func(version string) {
		t.Helper()
		i := r.status().Instances[0]
		if err := syscall.Kill(i.OSPID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		a := r.await("its restart", func(a api.App) bool {
			return still(1, version)(a) && a.Instances[0].OSPID != i.OSPID
		})
		r.counted(a, version, 0)
	}
	// code_change crashes: the BEAM is started again with the old version.
	r.must("publish", r.app, sampletest.Build(t, sampletest.HotErlang, "0.2.2"))
	if d := r.last("0.2.2", api.DeploymentFailed); d.Kind != api.KindHot {
		t.Errorf("deployment to 0.2.2: %+v", d)
	}
	r.counted(r.await("0.1.0", still(1, "0.1.0")), "0.1.0", 0)

	file := sampletest.Build(t, sampletest.HotErlang, "0.2.0")
	r.must("publish", r.app, file)
	waits := func(a api.App) bool {
		return len(a.Instances) == 1 && a.Instances[0].Upgrade != nil && a.Instances[0].Upgrade.Phase == "soaked"
	}
	r.await("the question", waits)
	crash("0.1.0")
	if a := r.status(); len(a.Ghosted) != 1 {
		t.Errorf("ghosts %v", a.Ghosted)
	}
	r.must("deploy", r.app, "0.2.0", "--force", "--detach")
	a := r.await("the question again", waits)
	r.must("deployment", "commit", a.Deployment.ID)
	r.await("0.2.0", still(1, "0.2.0"))
	crash("0.2.0")
}

// A mix release, whose runtime.exs reads the environment, goes up and down.
func TestEndToEnd_HotUpgradeElixir(t *testing.T) {
	t.Parallel()
	r := hotRig(t, sampletest.HotElixir, "soak_ms: 0")
	r.run()
	r.must("publish", r.app, sampletest.Build(t, sampletest.HotElixir, "0.1.0"))
	a := r.await("two instances", still(2, "0.1.0"))
	was := osPIDs(a)
	r.must("publish", r.app, sampletest.Build(t, sampletest.HotElixir, "0.2.0"))
	d := r.last("0.2.0", api.DeploymentSucceeded)
	if d.Kind != api.KindHot {
		t.Fatalf("deployment to 0.2.0: %s: %+v", d.Kind, d.Steps)
	}
	if now := osPIDs(r.await("0.2.0", still(2, "0.2.0"))); !maps.Equal(now, was) {
		t.Errorf("OS processes are %v, and were %v", now, was)
	}
	r.must("deployment", "revert", d.ID)
	if now := osPIDs(r.await("0.1.0", still(2, "0.1.0"))); !maps.Equal(now, was) {
		t.Errorf("OS processes are %v, and were %v", now, was)
	}
}
