package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// patience bounds every wait of the tests with real releases.
const patience = 90 * time.Second

// binary builds the program once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	var err error
	if binaryDir, err = os.MkdirTemp("", "beamkeeper-binary-"); err != nil {
		return "", err
	}
	bin := filepath.Join(binaryDir, "beamkeeper")
	args := append(append([]string{"build"}, buildFlags...), "-o", bin, ".")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
})

var (
	buildFlags []string
	binaryDir  string // holds the program; empty when it was not built
)

// rig is an installation of its own: a folder made by `beamkeeper init`, an epmd, ports, a node name.
type rig struct {
	t    *testing.T
	bin  string
	dir  string
	app  string
	node string // the daemon's node name
	env  []string

	started func(pid int) // told of each daemon; may be nil
}

func newRig(t *testing.T, language string) *rig {
	t.Helper()
	if testing.Short() {
		t.Skip("real releases take a while")
	}
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "bk-e2e-") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, bin: bin, dir: dir, app: sampletest.AppName(language)}
	epmd := nodetest.StartEPMD(t)
	r.env = append(os.Environ(), "BEAMKEEPER_SOCKET=", "BEAMKEEPER_CONFIG=", "ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_PORT="+strconv.Itoa(epmd))
	if os.Getenv("GORACE") == "" {
		r.env = append(r.env, "GORACE=atexit_sleep_ms=50") // a second at the end of each verb otherwise
	}
	alive := "bk" + filepath.Base(dir)[len("bk-e2e-"):]
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	short, _, _ := strings.Cut(host, ".")
	r.node = alive + "@" + short
	t.Cleanup(r.cleanUp)
	r.must("init", "--app", r.app, "--language", strings.TrimPrefix(language, "hot_"), "--port", strconv.Itoa(nodetest.FreePorts(t, 4)))
	r.edit("name: beamkeeper\n", "name: "+alive+"\n")
	return r
}

// cleanUp ends whatever instances the test left.
func (r *rig) cleanUp() {
	found, err := process.Find(r.node)
	if err != nil {
		r.t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, f := range found {
		if err := process.KillAll(ctx, f.Identity); err != nil {
			r.t.Error(err)
		}
	}
	if r.t.Failed() {
		r.t.Logf("kept %s", r.dir)
		return
	}
	if err := os.RemoveAll(r.dir); err != nil {
		r.t.Error(err)
	}
}

// edit replaces text in the configuration.
func (r *rig) edit(from, to string) {
	r.t.Helper()
	file := filepath.Join(r.dir, configName)
	b, err := os.ReadFile(file)
	if err != nil {
		r.t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(from)) {
		r.t.Fatalf("the configuration has no %q:\n%s", from, b)
	}
	if err := os.WriteFile(file, bytes.Replace(b, []byte(from), []byte(to), 1), 0o640); err != nil {
		r.t.Fatal(err)
	}
}

// command runs a verb in the rig's folder.
func (r *rig) command(args ...string) (stdout, stderr string, code int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.bin, args...)
	cmd.Dir, cmd.Env = r.dir, r.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatalf("beamkeeper %v: %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func (r *rig) must(args ...string) string {
	r.t.Helper()
	stdout, stderr, code := r.command(args...)
	if code != 0 {
		r.t.Fatalf("beamkeeper %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

func (r *rig) status() api.App {
	r.t.Helper()
	var s api.Status
	if err := json.Unmarshal([]byte(r.must("status", r.app, "--json")), &s); err != nil {
		r.t.Fatal(err)
	}
	return s.Apps[0]
}

// await waits until the app's status is as wanted.
func (r *rig) await(what string, ok func(api.App) bool) api.App {
	r.t.Helper()
	var a api.App
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if a = r.status(); ok(a) {
			return a
		}
	}
	r.t.Fatalf("not within %s: %s\n%s\n%s", patience, what, r.must("status"), r.must("events"))
	return a
}

func running(n int, version string) func(api.App) bool {
	return func(a api.App) bool {
		count := 0
		for _, i := range a.Instances {
			if i.State == api.StateRunning && i.Version == version && i.OTPConnected {
				count++
			}
		}
		return count == n && len(a.Instances) == n
	}
}

// osPIDs maps the instances to their OS processes.
func osPIDs(a api.App) map[string]int {
	m := make(map[string]int)
	for _, i := range a.Instances {
		m[i.Name] = i.OSPID
	}
	return m
}

func alive(pid int) bool { return pid > 0 && syscall.Kill(pid, 0) == nil }

// runningDaemon is a `beamkeeper run`.
type runningDaemon struct {
	r    *rig
	cmd  *exec.Cmd
	log  string // file
	done chan struct{}
}

// run starts the daemon and waits until it says that it is ready.
func (r *rig) run(args ...string) *runningDaemon {
	r.t.Helper()
	f, err := os.CreateTemp(r.dir, "daemon-*.log")
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	d := &runningDaemon{r: r, log: f.Name(), done: make(chan struct{}), cmd: exec.Command(r.bin, append([]string{"run"}, args...)...)}
	d.cmd.Dir, d.cmd.Env, d.cmd.Stderr = r.dir, r.env, f
	if err := d.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	if r.started != nil {
		r.started(d.cmd.Process.Pid)
	}
	go func() {
		defer close(d.done)
		_ = d.cmd.Wait() // its exit code is looked at by those who wait
	}()
	r.t.Cleanup(func() {
		_ = d.cmd.Process.Kill() // it may have ended
		<-d.done
		if r.t.Failed() {
			r.t.Logf("the daemon's log:\n%s", d.readLog())
		}
	})
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if strings.Contains(d.readLog(), `"msg":"ready"`) {
			return d
		}
		select {
		case <-d.done:
			r.t.Fatalf("the daemon ended: %v", d.cmd.ProcessState)
		default:
		}
	}
	r.t.Fatal("the daemon is not ready")
	return nil
}

func (d *runningDaemon) readLog() string {
	b, _ := os.ReadFile(d.log) // a missing one is an empty one
	return string(b)
}

// end sends a signal and wants the daemon to end with a code.
func (d *runningDaemon) end(sig syscall.Signal, code int) {
	d.r.t.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		d.r.t.Fatal(err)
	}
	select {
	case <-d.done:
	case <-time.After(patience):
		d.r.t.Fatalf("the daemon does not end after %v", sig)
	}
	if got := d.cmd.ProcessState.ExitCode(); got != code {
		d.r.t.Errorf("after %v the daemon ended with code %d, want %d", sig, got, code)
	}
}

// follower is a verb that goes on until it is interrupted.
type follower struct {
	r     *rig
	cmd   *exec.Cmd
	lines chan string
	done  chan struct{}
}

func (r *rig) follow(args ...string) *follower {
	r.t.Helper()
	cmd := exec.Command(r.bin, args...)
	cmd.Dir, cmd.Env = r.dir, r.env
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	f := &follower{r: r, cmd: cmd, lines: make(chan string, 10000), done: make(chan struct{})}
	go func() {
		defer close(f.done)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			f.lines <- sc.Text()
		}
		close(f.lines)
		_ = cmd.Wait() // its exit code is looked at by awaitEnd
	}()
	r.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		<-f.done
	})
	f.awaitLine("")
	return f
}

// awaitLine waits for a line with text in it.
func (f *follower) awaitLine(text string) {
	f.r.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line, ok := <-f.lines:
			if !ok {
				f.r.t.Fatalf("ended before a line with %q", text)
			}
			if strings.Contains(line, text) {
				return
			}
		case <-deadline:
			f.r.t.Fatalf("no line with %q within %s", text, patience)
		}
	}
}

func TestEndToEnd_ErlangFromInitToStop(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	v1, v2, crash := sampletest.Build(t, "erlang", "0.1.0"), sampletest.Build(t, "erlang", "0.2.0"), sampletest.Build(t, "erlang", "0.3.0-crash")
	r.edit("readiness:\n      timeout_ms: 60000", "readiness:\n      timeout_ms: 15000")
	d := r.run()

	// The first deployment, with the file at hand.
	if out := r.must("deploy", r.app, v1); !strings.Contains(out, "succeeded") {
		t.Errorf("deploy says %q", out)
	}
	first := r.await("two instances of 0.1.0", running(2, "0.1.0"))
	instance := first.Instances[0]
	if got := r.must("rpc", r.app+"/"+instance.Name, "sample_counter:bump()."); got != "1\n" {
		t.Errorf("rpc prints %q", got)
	}
	if got, want := r.must("rpc", r.app+"/"+instance.Name, "erlang:node()."), instance.Node; strings.Trim(got, "'\n") != want {
		t.Errorf("node() = %q, want %s", got, want)
	}
	if _, stderr, code := r.command("rpc", r.app, "erlang:error(on_purpose)."); code != exitFailed || !strings.Contains(stderr, "error") || !strings.Contains(stderr, "on_purpose") {
		t.Errorf("a call that raises: code %d, %q", code, stderr)
	}
	if out := r.must("logs", r.app+"/"+instance.Name); !strings.Contains(out, "sample 0.1.0 starting on "+instance.Node) {
		t.Errorf("logs are %q", out)
	}
	if out := r.must("nodes"); strings.Count(out, " up ") != 2 {
		t.Errorf("nodes:\n%s", out)
	}

	// A restart gives a new OS process, and is over when that is ready.
	r.must("restart", r.app+"/"+instance.Name)
	restarted := r.status()
	if pid := osPIDs(restarted)[instance.Name]; !running(2, "0.1.0")(restarted) || pid == 0 || pid == instance.OSPID {
		t.Errorf("after the restart of %s (OS pid %d): %+v", instance.Name, instance.OSPID, restarted.Instances)
	}

	// The next version, rolling.
	r.must("deploy", r.app, v2)
	second := r.await("two instances of 0.2.0", running(2, "0.2.0"))
	for name := range osPIDs(second) {
		if _, old := osPIDs(first)[name]; old {
			t.Errorf("%s has outlived the deployment", name)
		}
	}

	// A version that crashes at boot fails the deployment, says why, and the old one goes on.
	_, stderr, code := r.command("deploy", r.app, crash)
	if code != exitFailed || !strings.Contains(stderr, "asked_to_crash_at_boot") || !strings.Contains(stderr, "0.2.0 was not stopped") {
		t.Errorf("deploying a version that crashes: code %d\n%s", code, stderr)
	}
	kept := r.await("two instances of 0.2.0 still", running(2, "0.2.0"))
	if fmt.Sprint(osPIDs(kept)) != fmt.Sprint(osPIDs(second)) {
		t.Errorf("the failed deployment changed the instances: %v, before %v", osPIDs(kept), osPIDs(second))
	}

	// Asked for what runs, it has nothing to do but to forget the version that failed.
	r.must("deploy", r.app, "0.2.0")
	if again := r.status(); again.DesiredVersion != "0.2.0" || fmt.Sprint(osPIDs(again)) != fmt.Sprint(osPIDs(second)) {
		t.Errorf("back to 0.2.0: %s, %v, before %v", again.DesiredVersion, osPIDs(again), osPIDs(second))
	}

	// A second daemon on the same folder is refused, and says who has it.
	if _, stderr, code := r.command("run"); code != exitRefused || !strings.Contains(stderr, strconv.Itoa(d.cmd.Process.Pid)) {
		t.Errorf("a second daemon: code %d\n%s", code, stderr)
	}

	// Killed and started again, it finds its stale socket and its instances; who follows the events misses none.
	follower := r.follow("events", "-f", "--json", "-n", "1")
	d.end(syscall.SIGKILL, -1)
	d = r.run()
	killed := r.await("both instances taken over after a kill", running(2, "0.2.0"))
	if fmt.Sprint(osPIDs(killed)) != fmt.Sprint(osPIDs(second)) {
		t.Errorf("taken over %v, before %v", osPIDs(killed), osPIDs(second))
	}
	follower.awaitLine(`"type":"daemon_started"`)

	// The daemon goes, the instances stay; the next one takes them over as they are.
	d.end(syscall.SIGTERM, exitOK)
	for name, pid := range osPIDs(second) {
		if !alive(pid) {
			t.Errorf("%s ended with the daemon", name)
		}
	}
	if _, _, code := r.command("status"); code != exitUnreachable {
		t.Errorf("status without a daemon: code %d", code)
	}
	d = r.run("--with-instances")
	adopted := r.await("both instances taken over", running(2, "0.2.0"))
	if fmt.Sprint(osPIDs(adopted)) != fmt.Sprint(osPIDs(second)) {
		t.Errorf("taken over %v, before %v", osPIDs(adopted), osPIDs(second))
	}

	// stop and start; then the daemon takes the instances with it.
	r.must("stop", r.app)
	stopped := r.status()
	if stopped.Mode != modeStopped {
		t.Errorf("mode after stop: %s", stopped.Mode)
	}
	for _, i := range stopped.Instances {
		if i.State != api.StateStopped {
			t.Errorf("%s is %s after stop", i.Name, i.State)
		}
	}
	r.must("start", r.app)
	last := r.await("started again", running(2, "0.2.0"))
	d.end(syscall.SIGTERM, exitOK)
	for name, pid := range osPIDs(last) {
		if alive(pid) {
			t.Errorf("%s has outlived run --with-instances", name)
		}
	}
}

func TestEndToEnd_ElixirAndGleam(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"elixir", "gleam"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, language)
			file := sampletest.Build(t, language, "0.1.0")
			r.must("publish", r.app, file)
			tcp := fmt.Sprintf("127.0.0.1:%d", nodetest.FreePort(t))
			r.edit("control:\n", "web: {listen: \""+tcp+"\"}\ncontrol:\n")
			d := r.run("--with-instances")
			a := r.await("two instances", running(2, "0.1.0"))
			if got := r.must("rpc", r.app, "erlang:system_info(otp_release)."); !strings.Contains(got, a.Instances[0].OTPRelease) {
				t.Errorf("rpc prints %q, status has %q", got, a.Instances[0].OTPRelease)
			}
			r.lookOverTCP(tcp)
			r.breakAndMendCurrent()
			if out := r.must("history", r.app); strings.Count(out, " 0.1.0 ") != 2 {
				t.Errorf("history:\n%s", out)
			}
			r.must("scale", r.app, "1")
			if a := r.status(); !running(1, "0.1.0")(a) {
				t.Errorf("after scale to 1: %+v", a.Instances)
			}
			d.end(syscall.SIGINT, exitOK)
		})
	}
}

// lookOverTCP wants web.listen to show the status and to change nothing.
func (r *rig) lookOverTCP(addr string) {
	r.t.Helper()
	ask := func(method, path string) (int, string) {
		req, err := http.NewRequestWithContext(r.t.Context(), method, "http://"+addr+path, nil)
		if err != nil {
			r.t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			r.t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			r.t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if code, body := ask("GET", "/health"); code != 200 || !strings.Contains(body, `"status":"ok"`) {
		r.t.Errorf("GET /health: %d %s", code, body)
	}
	if code, body := ask("GET", "/v1/status"); code != 200 || !strings.Contains(body, `"state":"running"`) {
		r.t.Errorf("GET /v1/status: %d %s", code, body)
	}
	if code, body := ask("POST", "/v1/apps/"+r.app+"/stop"); code != 403 {
		r.t.Errorf("POST …/stop over TCP: %d %s", code, body)
	}
}

// breakAndMendCurrent wants a broken current.json to be told with its line, and to be forgotten when it is mended.
func (r *rig) breakAndMendCurrent() {
	r.t.Helper()
	file := filepath.Join(r.dir, "bucket", "versions", r.app, "local", "current.json")
	good, err := os.ReadFile(file)
	if err != nil {
		r.t.Fatal(err)
	}
	write := func(b []byte) {
		if err := os.WriteFile(file+".new", b, 0o644); err != nil {
			r.t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			r.t.Fatal(err)
		}
	}
	write([]byte("{\n  \"versoin\": \"0.1.0\"\n}\n"))
	r.await("the broken current.json is told", func(a api.App) bool {
		return len(a.Problems) > 0 && strings.Contains(a.Problems[0].What, "current.json:2: ") && running(2, "0.1.0")(a)
	})
	if out := r.must("status"); !strings.Contains(out, `did you mean "version"`) {
		r.t.Errorf("status does not say what is wrong:\n%s", out)
	}
	write(good)
	r.await("the mended current.json is taken", func(a api.App) bool { return len(a.Problems) == 0 && running(2, "0.1.0")(a) })
}
