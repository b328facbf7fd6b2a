package actors

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// hook makes a program that writes its name, and what say gives, into the diary, and ends with a code.
func (w *world) hook(name, say string, code int) []string {
	w.t.Helper()
	file := filepath.Join(w.dir, "bin", name)
	w.write(file, fmt.Sprintf("#!/bin/sh\necho %s%s >>%s\necho %s out\nexit %d\n", name, say, w.diary(), name, code), 0o755)
	return []string{file, "an argument"}
}

func (w *world) write(file, text string, mode os.FileMode) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil { // whatever the umask
		w.t.Fatal(err)
	}
}

// Hooks run in their order, those of the configuration before the scripts, and know what is going on.
func TestHooks_RunAroundADeployment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	spec := app("shop", 1)
	spec.Hooks = Hooks{
		BeforeDeploy: []Hook{{Run: w.hook("before", `:$BEAMKEEPER_HOOK_FROM-$BEAMKEEPER_HOOK_TO`, 0)}, {Run: w.hook("weak", "", 1), Ignore: true}},
		AfterDeploy:  []Hook{{Run: w.hook("after", "", 7)}, {RPC: "erlang:system_info(otp_release)"}},
		BeforeStop:   []Hook{{Run: w.hook("stop", `:$BEAMKEEPER_HOOK_SLOT:$BEAMKEEPER_INSTANCE:$(kill -0 $BEAMKEEPER_HOOK_OS_PID && echo up)`, 1)}},
		AfterStop:    []Hook{{Run: w.hook("stopped", `:$(kill -0 $BEAMKEEPER_HOOK_OS_PID 2>/dev/null || echo down)`, 0)}},
	}
	w.cfg.Apps, w.cfg.HooksDir = []AppSpec{spec}, filepath.Join(w.dir, "hooks.d")
	dir := filepath.Join(w.cfg.HooksDir, stepBeforeDeploy)
	w.write(filepath.Join(dir, "20-b"), "#!/bin/sh\necho b >>"+string(w.diary())+"\n", 0o755)
	w.write(filepath.Join(dir, "10-a"), "#!/bin/sh\ncat >"+filepath.Join(w.dir, "stdin")+"\necho a >>"+string(w.diary())+"\n", 0o755)
	w.write(filepath.Join(dir, "30-others"), "#!/bin/sh\necho others >>"+string(w.diary())+"\n", 0o777)
	w.write(filepath.Join(dir, "README"), "no program", 0o644)
	d := w.diary()
	w.shelf.scripts["1.0.0"] = d.script("1", "")
	w.cfg.Source.Bucket = w.bucket
	w.up()
	w.publishWith("shop", "1.0.0", "migrate")
	w.running("shop", "1.0.0", 1)
	dep := w.ofVersion("shop", "1.0.0", api.DeploymentSucceeded)
	if got, want := d.lines(), []string{"before:-1.0.0", "weak", "a", "b", "1:migrate", "after"}; !slices.Equal(got, want) {
		t.Errorf("ran %q, want %q", got, want)
	}
	b, err := os.ReadFile(filepath.Join(w.dir, "stdin"))
	if text := string(b); err != nil || !strings.Contains(text, `"hook":"before_deploy","app":"shop","version":"1.0.0"`) || !strings.Contains(text, `"id":"`+dep.ID+`"`) {
		t.Errorf("input %s, %v", b, err)
	}
	steps := map[string]api.DeploymentStep{}
	for _, st := range dep.Steps {
		steps[filepath.Base(st.Command)] = st
	}
	if st := steps["after"]; st.Error != "exit code 7" || !slices.Equal(st.Output, []string{"after out"}) || strings.Contains(st.Command, "argument") {
		t.Errorf("step %+v", st)
	}
	if st := steps["system_info(otp_release)"]; st.Command == "" && steps["erlang:system_info(otp_release)"].Error != "" {
		t.Errorf("steps %+v", dep.Steps)
	}
	if e := w.eventsOf(api.EventHookSkipped); len(e) == 0 || !strings.Contains(e[0].Message, "30-others") {
		t.Errorf("events %+v", e)
	}

	w.publish("shop", "2.0.0")
	w.running("shop", "2.0.0", 1)
	dep = w.ofVersion("shop", "2.0.0", api.DeploymentSucceeded)
	if got, want := d.lines()[6:], []string{"before:1.0.0-2.0.0", "weak", "a", "b", "stop:0::up", "stopped:down", "after"}; !slices.Equal(got, want) {
		t.Errorf("ran %q, want %q", got, want)
	}
	if got := commandsOf(dep); len(got) != 8 {
		t.Errorf("commands %q", got)
	}
	if err := w.sys.Stop(t.Context(), api.Target{App: "shop"}); err != nil {
		t.Fatal(err)
	}
	if got := d.lines()[13:]; !slices.Equal(got, []string{"stop:1::up", "stopped:down"}) {
		t.Errorf("at a stop ran %q", got)
	}
}

// A before_deploy that fails, or takes too long, ends the deployment with nothing begun; those after it are not run.
func TestHooks_BeforeDeployAborts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	spec := app("shop", 1)
	w.cfg.Apps = []AppSpec{spec}
	w.up()
	w.run("shop", "1.0.0")
	before := w.running("shop", "1.0.0", 1)[0]
	for i, hook := range []Hook{
		{Run: w.hook("refuse", "", 4)},
		{Run: []string{"/bin/sleep", "1000"}, Timeout: 200 * time.Millisecond},
		{Run: []string{"/no/such/program"}},
		{RPC: "no:such(function)"},
	} {
		spec.Hooks.BeforeDeploy = []Hook{hook, {Run: w.hook("never", "", 0)}}
		if err := w.sys.Apply(t.Context(), []AppSpec{spec}, ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		version := fmt.Sprintf("2.0.%d", i)
		dep := w.ended(w.deploy("shop", version).ID, api.DeploymentFailed)
		if !strings.HasPrefix(dep.Error, "before_deploy ") || len(dep.Instances) != 0 {
			t.Errorf("deployment %+v", dep)
		}
		if now := w.running("shop", "1.0.0", 1)[0]; now.OSPID != before.OSPID {
			t.Errorf("%+v was %+v", now, before)
		}
	}
	if got := w.diary().lines(); !slices.Equal(got, []string{"refuse"}) {
		t.Errorf("ran %q", got)
	}
	spec.Hooks = Hooks{}
	if err := w.sys.Apply(t.Context(), []AppSpec{spec}, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	w.run("shop", "3.0.0")
}

// A way back is open whatever the hooks say, and is told to those who want to know.
func TestHooks_OnRollback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	spec := app("shop", 1)
	spec.Readiness.Timeout = 500 * time.Millisecond
	spec.Strategy.MaxUnavailable = 1
	w.cfg.Apps = []AppSpec{spec}
	w.up()
	w.run("shop", "1.0.0")
	spec.Hooks = Hooks{
		BeforeDeploy: []Hook{{Run: w.hook("before", ":$BEAMKEEPER_HOOK_TO", 0)}}, AfterDeploy: []Hook{{Run: w.hook("after", "", 0)}},
		OnRollback: []Hook{{Run: w.hook("back", ":$BEAMKEEPER_HOOK_TRIGGER", 1)}},
	}
	if err := w.sys.Apply(t.Context(), []AppSpec{spec}, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	first := "" // of 2.0.0, which gets ready: the deployment fails half way
	w.cluster.set(func() {
		w.cluster.accept = func(instance, version string) error {
			if version == "2.0.0" && first == "" {
				first = instance
			}
			if version == "2.0.0" && instance != first {
				return fmt.Errorf("not this one")
			}
			return nil
		}
	})
	if err := w.sys.Scale(t.Context(), "shop", 2); err != nil {
		t.Fatal(err)
	}
	w.running("shop", "1.0.0", 2)
	w.ended(w.deploy("shop", "2.0.0").ID, api.DeploymentFailed)
	w.running("shop", "1.0.0", 2)
	w.until("the hook", func() bool { return slices.Contains(w.diary().lines(), "back:restore") })
	if got := w.diary().lines(); !slices.Equal(got, []string{"before:2.0.0", "back:restore"}) {
		t.Errorf("ran %q", got)
	}
}
