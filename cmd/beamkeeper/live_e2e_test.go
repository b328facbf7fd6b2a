package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// wholeStatus is the status of the daemon.
func (r *rig) wholeStatus() api.Status {
	r.t.Helper()
	var s api.Status
	if err := json.Unmarshal([]byte(r.must("status", "--json")), &s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// awaitStatus waits until the status is as wanted.
func (r *rig) awaitStatus(what string, ok func(api.Status) bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ok(r.wholeStatus()) {
			return
		}
	}
	r.t.Fatalf("not within %s: %s\n%s\n%s", patience, what, r.must("status"), r.must("events"))
}

// problem says whether the status has a problem with text in it.
func problem(text string) func(api.Status) bool {
	return func(s api.Status) bool {
		return slices.ContainsFunc(s.Problems, func(p api.Problem) bool { return strings.Contains(p.What, text) })
	}
}

func noProblem(s api.Status) bool { return len(s.Problems) == 0 }

// environ is the environment of a process.
func environ(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// healthAsker asks the app's ports for as long as a test goes on: one of them has to answer at any moment.
type healthAsker struct {
	stop func() (asked, failed int)
}

func (r *rig) askAlways(base, slots int) healthAsker {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	asked, failed := 0, 0
	wg.Go(func() {
		c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		for ctx.Err() == nil {
			served := false
			for slot := range slots {
				resp, err := c.Get(fmt.Sprintf("http://127.0.0.1:%d/health", base+slot))
				if err != nil {
					continue
				}
				resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					served = true
					break
				}
			}
			asked++
			if !served {
				failed++
			}
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	return healthAsker{stop: func() (int, int) { cancel(); wg.Wait(); return asked, failed }}
}

// port is the base of PORT in the rig's configuration.
func (r *rig) port() int {
	for _, i := range r.status().Instances {
		return i.Ports["PORT"] - i.Slot
	}
	r.t.Fatal("no instance")
	return 0
}

func TestLive_ConfigurationOfARunningDaemon(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	r.must("publish", r.app, sampletest.Build(t, "erlang", "0.1.0"))
	file := filepath.Join(r.dir, configName)
	d := r.run()
	first := r.await("two instances", running(2, "0.1.0"))
	base := r.port()
	if out, stderr, code := r.command("config", "diff"); code != exitOK || !strings.Contains(out, "in force") {
		t.Errorf("config diff of nothing: code %d\n%s%s", code, out, stderr)
	}

	// A changed file waits, is shown, and is applied: the environment rolls, and the app serves throughout.
	asking := r.askAlways(base, 4)
	r.edit("value: C.UTF-8", "value: C.UTF-8\n      - key: API_TOKEN\n        value: hush")
	r.awaitStatus("the change to be told", problem("applications["+r.app+"].env[API_TOKEN]"))
	out, _, code := r.command("config", "diff")
	if code != exitChanges || !strings.Contains(out, "one after the other") || strings.Contains(out, "hush") || !strings.Contains(out, "env[API_TOKEN]") {
		t.Errorf("config diff: code %d\n%s", code, out)
	}
	if _, stderr, code := r.command("config", "apply"); code != exitRefused || !strings.Contains(stderr, "--yes") {
		t.Errorf("config apply without a word: code %d\n%s", code, stderr)
	}
	if now := r.status(); fmt.Sprint(osPIDs(now)) != fmt.Sprint(osPIDs(first)) {
		t.Errorf("a change that waits changed the instances: %v", osPIDs(now))
	}
	r.must("config", "apply", "--yes")
	second := r.status()
	for _, i := range second.Instances {
		if !running(2, "0.1.0")(second) || !strings.Contains(environ(t, i.OSPID), "API_TOKEN=hush") || osPIDs(first)[i.Name] != 0 {
			t.Errorf("after apply: %+v", i)
		}
	}
	if asked, failed := asking.stop(); failed > 0 || asked < 10 {
		t.Errorf("%d of %d requests had no answer", failed, asked)
	}
	if s := r.wholeStatus(); !noProblem(s) {
		t.Errorf("problems afterwards: %+v", s.Problems)
	}

	// A broken file changes nothing, and is told with its line until it is mended.
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r.edit("replicas: 2", "replcas: 2")
	r.awaitStatus("the broken file to be told", problem("did you mean replicas"))
	if out, _, code := r.command("config", "diff"); code != exitFailed || !strings.Contains(out, "replcas") {
		t.Errorf("config diff of a broken file: code %d\n%s", code, out)
	}
	if _, stderr, code := r.command("config", "apply", "--yes"); code != exitRefused || !strings.Contains(stderr, "did you mean replicas") {
		t.Errorf("config apply of a broken file: code %d\n%s", code, stderr)
	}
	if err := os.WriteFile(file, good, 0o640); err != nil {
		t.Fatal(err)
	}
	r.awaitStatus("the mended file", noProblem)
	if out := r.must("events"); !strings.Contains(out, "config_broken") || !strings.Contains(out, "config_mended") || !strings.Contains(out, "config_change_applied") {
		t.Errorf("events:\n%s", out)
	}

	// The file becomes a link to one of two, and is swapped; SIGHUP applies what it leads to then.
	three := strings.Replace(string(good), "replicas: 2", "replicas: 3", 1)
	for name, text := range map[string]string{"a.yaml": string(good), "b.yaml": three} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for i, target := range []string{"a.yaml", "b.yaml"} {
		next := filepath.Join(r.dir, fmt.Sprint("next", i))
		if err := os.Symlink(target, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, file); err != nil {
			t.Fatal(err)
		}
	}
	r.awaitStatus("the swapped link", problem("replicas"))
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	r.await("three instances", running(3, "0.1.0"))

	// By itself from now on, and a setting of the daemon waits for its restart.
	r.must("config", "apply", "--yes", r.write("auto.yaml", strings.Replace(string(good), "control:\n", "config: {auto_apply: immediate}\ncontrol:\n", 1)))
	r.await("two instances again", running(2, "0.1.0"))
	if to, err := os.Readlink(file); err != nil || to != "b.yaml" {
		t.Errorf("the link was replaced: %q, %v", to, err)
	}
	r.edit("replicas: 2", "replicas: 1")
	r.await("one instance, unasked", running(1, "0.1.0"))
	r.edit("keep_releases: 3", "keep_releases: 3\n  max_entries: 1000")
	r.awaitStatus("what waits for a restart", problem("after a restart of the daemon"))
	d.end(syscall.SIGTERM, exitOK)
	d = r.run()
	r.awaitStatus("the restart", noProblem)

	// A daemon that dies while the file is broken goes on with what was in force, and looks after its instances.
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	last := r.await("the instance taken over", running(1, "0.1.0"))
	r.write(configName, strings.Replace(string(whole), "applications:", "aplications:", 1))
	d.end(syscall.SIGKILL, -1)
	r.run()
	r.awaitStatus("the broken file", problem("did you mean applications"))
	if err := syscall.Kill(last.Instances[0].OSPID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.await("the instance started again", func(a api.App) bool {
		return running(1, "0.1.0")(a) && a.Instances[0].OSPID != last.Instances[0].OSPID
	})
	r.write(configName, string(whole))
	r.awaitStatus("the mended file", noProblem)
}

// write writes a file into the rig's folder and returns its path.
func (r *rig) write(name, text string) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		r.t.Fatal(err)
	}
	return path
}

func TestLive_AppsComeAndGoAndAreAskedForByFlag(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	release := sampletest.Build(t, "erlang", "0.1.0")
	r.must("publish", r.app, release)
	d := r.run()
	r.await("two instances", running(2, "0.1.0"))
	file := filepath.Join(r.dir, configName)
	small, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	// A second app is added: it is watched, its node let in, and deployed.
	gleam := sampletest.AppName("gleam")
	port := nodetest.FreePorts(t, 2)
	both := string(small) + fmt.Sprintf("\n  - name: %s\n    language: gleam\n    replicas: 1\n    replica_ports: [{key: PORT, base: %d}]\n", gleam, port)
	r.write(configName, both)
	r.must("config", "apply", "--yes")
	r.must("publish", gleam, sampletest.Build(t, "gleam", "0.1.0"))
	added := *r
	added.app = gleam
	there := added.await("the added app", running(1, "0.1.0"))

	// It is taken out of the file: it runs on until that is confirmed, then it goes and its data stays until it is purged.
	r.write(configName, string(small))
	r.awaitStatus("the removal to be told", problem("app "+gleam+" is not in the configuration"))
	r.must("config", "apply", "--yes")
	if a := added.status(); !running(1, "0.1.0")(a) {
		t.Errorf("unconfirmed it went: %+v", a.Instances)
	}
	if _, stderr, code := r.command("config", "apply", "--confirm-removal", r.app); code != exitUsage || !strings.Contains(stderr, gleam) {
		t.Errorf("confirming the removal of an app that is there: code %d\n%s", code, stderr)
	}
	if out := r.must("config", "apply", "--confirm-removal", gleam); !strings.Contains(out, "is removed") {
		t.Errorf("config apply says\n%s", out)
	}
	if alive(there.Instances[0].OSPID) || len(r.wholeStatus().Apps) != 1 {
		t.Error("it was not removed")
	}
	logs := filepath.Join(r.dir, "log", "apps", gleam)
	if _, err := os.Stat(logs); err != nil {
		t.Errorf("its logs: %v", err)
	}
	if _, _, code := r.command("purge", r.app, "--yes"); code != exitRefused {
		t.Errorf("purge of a configured app: code %d", code)
	}
	r.must("purge", gleam, "--yes")
	if _, err := os.Stat(logs); err == nil {
		t.Error("its logs are there after purge")
	}

	// An unprivileged user touches the flag.
	before := r.status()
	flag := filepath.Join(r.dir, "var", "flags", r.app, restartFlag)
	if err := os.WriteFile(flag, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r.await("other instances", func(a api.App) bool {
		for name := range osPIDs(a) {
			if osPIDs(before)[name] != 0 {
				return false
			}
		}
		return running(2, "0.1.0")(a)
	})
	if _, err := os.Stat(flag); err == nil {
		t.Error("the flag is still there")
	}
	if out := r.must("events"); !strings.Contains(out, "asked for a restart of "+r.app+" by restart.flag") {
		t.Errorf("events:\n%s", out)
	}

	// Killed while a change rolls, the next daemon goes on with it.
	r.edit("value: C.UTF-8", "value: C")
	r.must("config", "apply", "--yes", "--detach")
	d.end(syscall.SIGKILL, -1)
	r.run()
	r.await("the new environment everywhere", func(a api.App) bool {
		return running(2, "0.1.0")(a) && !slices.ContainsFunc(a.Instances, func(i api.Instance) bool {
			return i.OldSettings || !strings.Contains(environ(t, i.OSPID), "LANG=C\x00")
		})
	})
}

// TestLive_RightsOfOtherUsers takes root: it asks as another user.
func TestLive_RightsOfOtherUsers(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can ask as somebody else")
	}
	r := newRig(t, "erlang")
	r.edit("control:\n", "control:\n  grant: [{user: nobody, rights: read}]\n")
	r.run()
	if err := os.Chmod(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(r.dir, "beamkeeper.sock")
	as := func(args ...string) (string, int) {
		t.Helper()
		return r.asNobody(append([]string{"--socket", socket}, args...)...)
	}
	if out, code := as("status"); code != exitOK {
		t.Errorf("status as nobody: code %d\n%s", code, out)
	}
	if out, code := as("restart", r.app); code != exitDenied || !strings.Contains(out, "control.grant") {
		t.Errorf("restart as nobody: code %d\n%s", code, out)
	}
	r.edit("{user: nobody, rights: read}", "{user: nobody, rights: deploy}")
	r.must("config", "apply", "--yes")
	if out, code := as("scale", r.app, "1"); code != exitOK {
		t.Errorf("scale as nobody, now with a right: code %d\n%s", code, out)
	}
	if out, code := as("config", "apply", "--yes", "--no-restart"); code != exitOK && code != exitDenied {
		t.Errorf("config apply as nobody: code %d\n%s", code, out)
	}
	// And without any grants the mode of the socket keeps others out.
	r.edit("  grant: [{user: nobody, rights: deploy}]\n", "")
	r.must("config", "apply", "--yes")
	if out, code := as("status"); code != exitDenied {
		t.Errorf("status as nobody, who may not connect: code %d\n%s", code, out)
	}
	if _, err := net.Dial("unix", socket); err != nil {
		t.Errorf("root cannot connect: %v", err)
	}
}

// What nodes may do is changed while they are connected.
func TestLive_NodesAreLetInAndShutOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	short, _, _ := strings.Cut(r.node, "@")
	r.node = short + "@localhost"
	r.edit("name: "+short+"\n", "name: "+short+"\n  host: localhost\n")
	r.run()
	cookie, err := os.ReadFile(filepath.Join(r.dir, "var", "cookie"))
	if err != nil {
		t.Fatal(err)
	}
	e := nodetest.StartErl(t, nodetest.WantAny(t), "panel@localhost", strings.TrimSpace(string(cookie)), r.epmdPort(), "-hidden")
	want := func(want, expr string) {
		t.Helper()
		if got := e.Eval("(fun(K) -> " + expr + " end)('" + r.node + "')"); got != want {
			t.Errorf("%s = %s, want %s", expr, got, want)
		}
	}
	const status = "case rpc:call(K, beamkeeper, status, []) of {ok, _} -> ok; {error, denied} -> denied; {badrpc, nodedown} -> nodedown end"
	want("pang", "net_adm:ping(K)")
	r.edit(`allow: ["observer@*"]`, `allow: ["observer@*", "panel@*"]`)
	r.must("config", "apply", "--yes")
	want("pong", "net_adm:ping(K)")
	want("denied", status)
	r.edit(`"panel@*"]`, "\"panel@*\"]\n  grant: [{nodes: \"panel@*\", rights: read}]\n  #")
	r.must("config", "apply", "--yes")
	want("ok", status)
	e.Eval("true = monitor_node('" + r.node + "', true)")
	r.edit(`"panel@*"]`, "]")
	r.must("config", "apply", "--yes")
	want("cut", "receive {nodedown, K} -> cut after 30000 -> still end")
	want("nodedown", status)
}
