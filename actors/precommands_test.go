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
	"github.com/beamkeeper/beamkeeper/release"
)

// publishWith publishes a version with pre_commands.
func (w *world) publishWith(app, version string, commands ...string) {
	w.t.Helper()
	cur := release.Current{Version: version, PreCommands: commands}
	b := cur.Encode()
	if err := w.bucket.Put(w.t.Context(), release.CurrentKey(app, ""), strings.NewReader(string(b)), int64(len(b))); err != nil {
		w.t.Fatal(err)
	}
}

// diary is a file that releases write to.
type diary string

func (w *world) diary() diary { return diary(filepath.Join(w.dir, "diary")) }

func (d diary) lines() []string {
	b, _ := os.ReadFile(string(d)) // none yet is empty
	return strings.Fields(string(b))
}

// script is a release that writes "VERSION:WORD" for each command but foreground, and does what else says.
func (d diary) script(version, more string) string {
	return `case "$1" in foreground) exec sleep 1000;; esac
echo ` + version + `:"$1" >>` + string(d) + `
echo "did $1 on port $PORT as $RELEASE_NODE in $BEAMKEEPER_RUN$BEAMKEEPER_INSTANCE"
` + more + "\nexit 0"
}

// ofVersion waits for the end of the newest deployment to a version.
func (w *world) ofVersion(app, version, outcome string) api.Deployment {
	w.t.Helper()
	id := ""
	w.until("a deployment to "+version, func() bool {
		all, err := w.sys.Deployments(w.t.Context(), app, 0)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, d := range all {
			if d.To == version && d.Trigger != triggerRestore {
				id = d.ID
				return true
			}
		}
		return false
	})
	return w.ended(id, outcome)
}

func commandsOf(d api.Deployment) (list []string) {
	for _, st := range d.Steps {
		if st.Command != "" {
			list = append(list, st.Name+" "+st.Command)
		}
	}
	return list
}

// The commands run once for an app and a version: not for each replica, nor at a crash, a restart or a return to it.
func TestPreCommands_RunOncePerVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2))
	d := w.diary()
	w.cfg.Source.Bucket = w.bucket
	w.shelf.scripts["1.0.0"], w.shelf.scripts["2.0.0"] = d.script("1", ""), d.script("2", "")
	w.up()
	w.publishWith("shop", "1.0.0", "create", "migrate all")
	list := w.running("shop", "1.0.0", 2)
	dep := w.ofVersion("shop", "1.0.0", api.DeploymentSucceeded)
	if got := commandsOf(dep); !slices.Equal(got, []string{"pre_command create", "pre_command migrate all"}) {
		t.Errorf("commands %q of %+v", got, dep.Steps)
	}
	for _, st := range dep.Steps {
		if st.Command == "" {
			continue
		}
		want := fmt.Sprintf("did %s on port 21000 as shop-before@localhost in %s/shop/pre_command", strings.Fields(st.Command)[0], w.cluster.name)
		if st.ExitCode == nil || *st.ExitCode != 0 || st.Error != "" || st.EndedAt.IsZero() || len(st.Output) != 1 || st.Output[0] != want {
			t.Errorf("step %+v, want output %q", st, want)
		}
	}
	if e := w.eventsOf(api.EventCommandEnded); len(e) != 2 || e[1].Deployment != dep.ID || e[1].Data["command"] != "migrate all" {
		t.Errorf("events %+v", e)
	}
	w.killInstance(list[0])
	w.until("a restart", func() bool { i := w.instance("shop", list[0].Name); return i.OSPID != 0 && i.OSPID != list[0].OSPID })
	w.running("shop", "1.0.0", 2)
	if err := w.sys.Restart(t.Context(), api.Target{App: "shop"}); err != nil {
		t.Fatal(err)
	}
	w.until("the restart's end", func() bool {
		all, err := w.sys.Deployments(t.Context(), "shop", 1)
		return err == nil && all[0].Trigger == triggerRestart && all[0].Outcome == api.DeploymentSucceeded
	})
	w.publishWith("shop", "2.0.0", "migrate")
	w.ofVersion("shop", "2.0.0", api.DeploymentSucceeded)
	w.publishWith("shop", "1.0.0", "create", "migrate all")
	w.running("shop", "1.0.0", 2)
	if got := d.lines(); !slices.Equal(got, []string{"1:create", "1:migrate", "2:migrate"}) {
		t.Errorf("ran %q", got)
	}
	if _, err := os.Stat(w.shelf.InstanceDir("shop", "shop-before")); err == nil {
		t.Error("what they ran in is left")
	}
}

// One that fails, or takes too long, ends the deployment before anything was stopped; another version comes as ever.
func TestPreCommands_FailureStopsNothing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ more, wantError string }{
		"exit code": {"echo oh no >&2; exit 3", "pre_command migrate: exit code 3"},
		"too long":  {"echo waiting; setsid sleep 1000 & sleep 1000", "pre_command migrate: it took longer than 500ms and was killed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := app("shop", 2)
			spec.PreCommandsTimeout = 500 * time.Millisecond
			if name == "exit code" {
				spec.PreCommandsTimeout = 0
			}
			w := newWorld(t, spec)
			d := w.diary()
			w.cfg.Source.Bucket = w.bucket
			w.shelf.scripts["2.0.0"], w.shelf.scripts["3.0.0"] = d.script("2", tt.more), d.script("3", "")
			w.up()
			w.publish("shop", "1.0.0")
			before := w.running("shop", "1.0.0", 2)
			w.publishWith("shop", "2.0.0", "migrate", "never")
			dep := w.ofVersion("shop", "2.0.0", api.DeploymentFailed)
			if dep.Error != tt.wantError || len(dep.Instances) != 0 || len(dep.LogTail) == 0 {
				t.Errorf("deployment %+v", dep)
			}
			if name == "exit code" && (dep.LogTail[len(dep.LogTail)-1] != "oh no" || *dep.Steps[len(dep.Steps)-1].ExitCode != 3) {
				t.Errorf("deployment %+v", dep)
			}
			now := w.running("shop", "1.0.0", 2)
			for i := range now {
				if now[i].OSPID != before[i].OSPID {
					t.Errorf("%s was %+v", now[i].Name, before[i])
				}
			}
			if e := w.eventsOf(api.EventInstanceStopped); len(e) != 0 {
				t.Errorf("stopped: %+v", e)
			}
			// Nothing is tried again unasked; asked, it is.
			if _, err := w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop", Version: "2.0.0"}); err != nil {
				t.Fatal(err)
			}
			w.until("the second try's end", func() bool {
				all, err := w.sys.Deployments(t.Context(), "shop", 1)
				return err == nil && len(d.lines()) == 2 && all[0].Outcome == api.DeploymentFailed
			})
			w.publishWith("shop", "3.0.0", "migrate")
			w.running("shop", "3.0.0", 2)
			if got := d.lines(); !slices.Equal(got, []string{"2:migrate", "2:migrate", "3:migrate"}) {
				t.Errorf("ran %q", got)
			}
		})
	}
}

// The next daemon runs what had not succeeded, and nothing else.
func TestPreCommands_NextDaemonGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2))
	d := w.diary()
	let := filepath.Join(w.dir, "let")
	w.cfg.Source.Bucket = w.bucket
	w.shelf.scripts["1.0.0"] = d.script("1", `[ "$1" != two ] || [ -e `+let+` ] || exec sleep 1000`)
	w.up()
	w.publishWith("shop", "1.0.0", "one", "two", "three")
	w.until("the second command", func() bool { return len(d.lines()) == 2 })
	w.down(false)
	if err := os.WriteFile(let, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	w.up()
	w.running("shop", "1.0.0", 2)
	if got := d.lines(); !slices.Equal(got, []string{"1:one", "1:two", "1:two", "1:three"}) {
		t.Errorf("ran %q", got)
	}
	dep := w.ofVersion("shop", "1.0.0", api.DeploymentSucceeded)
	if got := commandsOf(dep); len(got) != 4 || !strings.HasPrefix(dep.Steps[len(dep.Steps)-3].Error, "interrupted") {
		t.Errorf("steps %+v", dep.Steps)
	}
}

// An aborted deployment ends the command that runs, and nothing of it is left for the next one to meet.
func TestPreCommands_Abort(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1))
	d := w.diary()
	w.cfg.Source.Bucket = w.bucket
	w.shelf.scripts["1.0.0"], w.shelf.scripts["2.0.0"] = d.script("1", "sleep 1000"), d.script("2", "")
	w.up()
	w.publishWith("shop", "1.0.0", "migrate")
	w.until("the command", func() bool { return len(d.lines()) == 1 })
	dep := w.app("shop").Deployment
	if err := w.sys.AbortDeployment(t.Context(), dep.ID); err != nil {
		t.Fatal(err)
	}
	if dep := w.ended(dep.ID, api.DeploymentAborted); dep.Steps[len(dep.Steps)-1].Error != api.DeploymentAborted {
		t.Errorf("steps %+v", dep.Steps)
	}
	w.publishWith("shop", "2.0.0", "migrate")
	w.running("shop", "2.0.0", 1)
	if got := d.lines(); !slices.Equal(got, []string{"1:migrate", "2:migrate"}) {
		t.Errorf("ran %q", got)
	}
}

// A call is made in an instance that serves.
func TestPreCommands_RPC(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1))
	w.cfg.Source.Bucket = w.bucket
	w.up()
	w.publish("shop", "1.0.0")
	w.running("shop", "1.0.0", 1)
	w.publishWith("shop", "2.0.0", "erlang:system_info(otp_release).")
	w.running("shop", "2.0.0", 1)
	dep := w.ofVersion("shop", "2.0.0", api.DeploymentSucceeded)
	if st := dep.Steps[len(dep.Steps)-1]; st.Name != stepPreCommand || st.Error != "" || !slices.Equal(st.Output, []string{`"27"`}) {
		t.Errorf("step %+v", st)
	}
	w.publishWith("shop", "3.0.0", "no:such(function).")
	if dep := w.ofVersion("shop", "3.0.0", api.DeploymentFailed); !strings.Contains(dep.Error, "undef") {
		t.Errorf("error %q", dep.Error)
	}
	w.running("shop", "2.0.0", 1)
}
