package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// testbed is a machine: a real systemd as PID 1 in namespaces of its own.
type testbed struct {
	t       *testing.T
	pid     int    // of systemd
	share   string // seen as /srv/bk inside
	version int    // of systemd
}

// bootTestbed boots the systemd of a root: that of this host (/), or one that systemd-root.sh makes.
func bootTestbed(t *testing.T, lower string, shares ...string) *testbed {
	t.Helper()
	scratch, share := t.TempDir(), t.TempDir()
	boot := exec.Command("../../testdata/testbed/systemd-boot.sh", append([]string{lower, scratch, share + ":/srv/bk"}, shares...)...)
	var out bytes.Buffer
	boot.Stdout, boot.Stderr = &out, &out
	if err := boot.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = boot.Wait() }() // it is killed
	t.Cleanup(func() {
		_ = boot.Process.Kill() // and all in its pid namespace with it
		<-ended
		removeGroup(t, scratch)
	})
	b := &testbed{t: t, share: share}
	b.eventually("systemd is up", func() error {
		select {
		case <-ended:
			t.Fatalf("systemd-boot.sh ended: %s", out.String())
		default:
		}
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", boot.Process.Pid))
		if err != nil {
			return err
		}
		if b.pid, err = strconv.Atoi(strings.TrimSpace(string(children))); err != nil {
			return err
		}
		if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", b.pid)); err != nil || strings.TrimSpace(string(comm)) != "systemd" {
			return fmt.Errorf("PID 1 is %q", comm)
		}
		state, _ := b.try("systemctl", "is-system-running") // starting and degraded are errors
		if s := strings.TrimSpace(state); s != "running" && s != "degraded" {
			return fmt.Errorf("it is %s", s)
		}
		return nil
	})
	if _, err := fmt.Sscanf(b.run("systemctl", "--version"), "systemd %d", &b.version); err != nil {
		t.Fatal(err)
	}
	return b
}

// removeGroup removes the control groups of a testbed that has ended. The kernel may need a moment.
func removeGroup(t *testing.T, scratch string) {
	name, err := os.ReadFile(filepath.Join(scratch, "cgroup"))
	if err != nil {
		return
	}
	top := strings.TrimSpace(string(name))
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var dirs []string
		_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		slices.Reverse(dirs)
		for _, d := range dirs {
			_ = syscall.Rmdir(d) // tried again
		}
		if _, err := os.Stat(top); errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	t.Errorf("%s is left", top)
}

// try runs a program inside.
func (b *testbed) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"-t", strconv.Itoa(b.pid), "-a"}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (b *testbed) run(args ...string) string {
	b.t.Helper()
	out, err := b.try(args...)
	if err != nil {
		b.t.Fatalf("%s: %v\n%s\n%s", strings.Join(args, " "), err, out, b.journal())
	}
	return out
}

func (b *testbed) journal() string {
	out, _ := b.try("journalctl", "--no-pager", "-o", "short-precise", "-u", "beamkeeper*", "-n", "80") // to be shown
	return out
}

// show is a property of a unit.
func (b *testbed) show(unit, property string) string {
	b.t.Helper()
	return strings.TrimSpace(b.run("systemctl", "show", "-P", property, unit))
}

func (b *testbed) eventually(what string, f func() error) {
	b.t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	b.t.Fatalf("not within %s: %s: %v\n%s", patience, what, err, b.journal())
}

func (b *testbed) write(path, text string) {
	b.t.Helper()
	file := filepath.Join(b.share, "file")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
	b.run("install", "-D", "-m", "644", "/srv/bk/file", path)
}

func (b *testbed) copyIn(from, name string) {
	b.t.Helper()
	if out, err := exec.Command("cp", from, filepath.Join(b.share, name)).CombinedOutput(); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
}

// app is the status of the sample.
func (b *testbed) app() (api.App, error) {
	out, err := b.try("beamkeeper", "status", "sample", "--json")
	if err != nil {
		return api.App{}, fmt.Errorf("%w: %s", err, out)
	}
	var s api.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		return api.App{}, err
	}
	return s.Apps[0], nil
}

func (b *testbed) await(n int, version string) api.App {
	b.t.Helper()
	var a api.App
	b.eventually(fmt.Sprintf("%d instances of %s run", n, version), func() (err error) {
		if a, err = b.app(); err == nil && !running(n, version)(a) {
			err = fmt.Errorf("%+v", a.Instances)
		}
		return err
	})
	return a
}

// mainPID is the daemon's OS pid inside.
func (b *testbed) mainPID() string { return b.show("beamkeeper.service", "MainPID") }

// awaitAnother waits until another daemon than the one with this pid is up.
func (b *testbed) awaitAnother(pid string) {
	b.t.Helper()
	b.eventually("another daemon is up", func() error {
		if now, state := b.mainPID(), b.show("beamkeeper.service", "ActiveState"); now == pid || now == "0" || state != "active" {
			return fmt.Errorf("it is %s, main process %s", state, now)
		}
		return nil
	})
}

// steady is a client inside.
type steady struct {
	b   *testbed
	cmd *exec.Cmd
	out *bytes.Buffer
}

func (b *testbed) steady(what ...string) *steady {
	b.t.Helper()
	args := append([]string{"-t", strconv.Itoa(b.pid), "-m", "-n", "/srv/bk/steadyclient"}, what...) // without -p it does not fork
	s := &steady{b: b, cmd: exec.Command("nsenter", args...), out: new(bytes.Buffer)}
	out, err := os.Create(filepath.Join(b.t.TempDir(), "client"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer out.Close()
	s.cmd.Stdout, s.cmd.Stderr = out, out
	if err := s.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.eventually("the client has its first answers", func() error {
		text, err := os.ReadFile(out.Name())
		if err == nil && !bytes.HasPrefix(text, []byte("up\n")) {
			err = fmt.Errorf("it says %q", text)
		}
		return err
	})
	b.t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	s.out = bytes.NewBufferString(out.Name())
	return s
}

type steadyResult struct {
	Asked, Refused, Broken int
	Longest                int `json:"longest_ms"`
	Errors                 []string
}

// end stops the client and gives what it counted.
func (s *steady) end() map[string]steadyResult {
	s.b.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.b.t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		s.b.t.Fatal(err)
	}
	text, err := os.ReadFile(s.out.String())
	if err != nil {
		s.b.t.Fatal(err)
	}
	results := make(map[string]steadyResult)
	if err := json.Unmarshal(bytes.TrimPrefix(text, []byte("up\n")), &results); err != nil {
		s.b.t.Fatalf("%v: %s", err, text)
	}
	return results
}

func TestSystemd(t *testing.T) {
	t.Parallel()
	need := func(ok bool, why string) {
		t.Helper()
		if ok {
			return
		}
		if os.Getenv("REQUIRE_OTP") == "1" && os.Geteuid() == 0 {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	need(!testing.Short(), "boots machines")
	need(os.Geteuid() == 0, "needs root")
	_, err := os.Stat("/lib/systemd/systemd")
	need(err == nil, "no systemd on this host")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	trixie := filepath.Join(cache, "beamkeeper", "systemd-trixie")
	for _, root := range []struct {
		name, lower string
		atLeast     int
	}{{"host", "/", 247}, {"trixie", trixie, 257}} {
		t.Run(root.name, func(t *testing.T) {
			t.Parallel()
			if root.lower != "/" {
				_, err := os.Stat(filepath.Join(root.lower, ".complete"))
				need(err == nil, root.lower+" is missing: run testdata/testbed/install.sh test")
			}
			vars, err := os.MkdirTemp("", "bk-systemd-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(vars) }) // not empty when the testbed hangs
			b := bootTestbed(t, root.lower, vars+":/var/lib/beamkeeper")
			if b.version < root.atLeast {
				t.Fatalf("systemd %d, want %d", b.version, root.atLeast)
			}
			b.install()
			b.everything()
			if root.lower == "/" {
				b.asUser()
			}
			b.powerOff(vars)
		})
	}
}

// install puts the daemon into the testbed, as a package would, with the units that it prints itself.
func (b *testbed) install() {
	t := b.t
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	b.copyIn(bin, "beamkeeper")
	for name, args := range map[string][]string{
		"upgraded":     append(slices.Clone(buildFlags), "-ldflags", "-X main.version=upgraded", "."),
		"steadyclient": {"../../testdata/testbed/steadyclient"},
	} {
		if out, err := exec.Command("go", append([]string{"build", "-o", filepath.Join(b.share, name)}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
	}
	b.copyIn(sampletest.Build(t, "erlang", "0.1.0"), "sample-0.1.0.tar.gz")
	b.run("install", "-m", "755", "/srv/bk/beamkeeper", "/usr/bin/beamkeeper")
	b.write("/etc/beamkeeper/cookie", "from-a-credential\n")
	b.run("chmod", "400", "/etc/beamkeeper/cookie")
	b.write("/etc/beamkeeper/beamkeeper.yaml", `
web: {listen: "127.0.0.1:5001"}
node: {cookie_file: /etc/beamkeeper/cookie}
applications:
  - name: sample
    language: erlang
    replicas: 2
    replica_ports: [{key: PORT, base: 4000}]
    limits: {memory_max: 1GiB, memory_high: 900MiB, cpu_quota: 150%, tasks_max: 2000}
    readiness: {probe: {http: "http://127.0.0.1:${PORT}/health"}}
`)
	b.run("beamkeeper", "generate", "systemd", "--output", "/")
	b.write("/etc/systemd/system/beamkeeper.service.d/quick.conf", "[Service]\nWatchdogSec=6s\nTimeoutAbortSec=2s\n")
	out := b.run("systemd-analyze", "verify", "/etc/systemd/system/beamkeeper.service", "/etc/systemd/system/beamkeeper.slice",
		"/etc/systemd/system/beamkeeper.socket", "/etc/systemd/system/beamkeeper-web.socket")
	if strings.Contains(out, "beamkeeper") {
		t.Errorf("systemd-analyze verify:\n%s", out)
	}
	b.run("systemctl", "daemon-reload")
}

// everything that the service manager does to the daemon, with instances that serve throughout.
func (b *testbed) everything() {
	t := b.t
	t.Helper()
	b.run("systemctl", "start", "beamkeeper.service")
	b.run("beamkeeper", "publish", "sample", "/srv/bk/sample-0.1.0.tar.gz", "--version", "0.1.0")
	before := osPIDs(b.await(2, "0.1.0"))
	b.scopes(before)
	b.reports()

	web := "http://127.0.0.1:5001/health"
	dist := b.distPort()
	apps := []string{"a=http:http://127.0.0.1:4000/health", "a-held=held:http://127.0.0.1:4000/health",
		"b=http:http://127.0.0.1:4001/health", "b-held=held:http://127.0.0.1:4001/health"}
	instances := b.steady(apps...)
	daemon := b.steady("control=unix:/run/beamkeeper/beamkeeper.sock", "web=http:"+web, "dist=dist:127.0.0.1:"+dist+"@50")

	b.run("systemctl", "reload", "beamkeeper.service")
	b.eventually("the reload is done", func() error {
		if state := b.show("beamkeeper.service", "ActiveState"); state != "active" {
			return errors.New(state)
		}
		return nil
	})
	b.run("chmod", "0666", "/run/beamkeeper/beamkeeper.sock") // as another configuration had it
	for range 3 {
		pid := b.mainPID()
		b.run("systemctl", "restart", "beamkeeper.service")
		b.awaitAnother(pid)
	}
	if mode := strings.TrimSpace(b.run("stat", "-c", "%a", "/run/beamkeeper/beamkeeper.sock")); mode != "660" {
		t.Errorf("the mode of the kept control socket is %s, want 660", mode)
	}
	b.run("install", "-m", "755", "/srv/bk/upgraded", "/usr/bin/beamkeeper.new")
	b.run("mv", "/usr/bin/beamkeeper.new", "/usr/bin/beamkeeper")
	b.run("systemctl", "restart", "beamkeeper.service")
	b.eventually("the upgraded daemon answers", func() error {
		out, err := b.try("beamkeeper", "status", "--json")
		if err == nil && !strings.Contains(out, `"upgraded"`) {
			err = errors.New(out)
		}
		return err
	})
	graceful := daemon.end()
	for name, r := range graceful {
		t.Logf("%s: over reload, restarts and upgrade: %+v", name, r)
		// A handshake that is under way when the node closes is not finished; whoever connects then tries again.
		if r.Refused > 0 || r.Broken > 0 && name != "dist" || r.Broken > 4 || r.Asked < 5 {
			t.Errorf("%s: %+v, want all answered", name, r)
		}
	}

	daemon = b.steady("control=unix:/run/beamkeeper/beamkeeper.sock", "web=http:"+web, "dist=dist:127.0.0.1:"+dist+"@50")
	for _, sig := range []string{"KILL", "STOP"} {
		pid := b.mainPID()
		b.run("kill", "-"+sig, pid)
		b.awaitAnother(pid)
	}
	if out := b.run("journalctl", "--no-pager", "-u", "beamkeeper.service"); !strings.Contains(out, "Watchdog timeout") {
		t.Errorf("the stopped daemon was not ended by the watchdog:\n%s", out)
	}
	for name, r := range daemon.end() {
		t.Logf("%s: over kill -9 and the watchdog: %+v", name, r)
		if r.Refused > 0 || r.Broken > 4 || r.Asked < 5 { // what the killed one had accepted is lost
			t.Errorf("%s: %+v, want none refused", name, r)
		}
	}

	b.run("systemctl", "stop", "beamkeeper.service")
	if state := b.show("beamkeeper.service", "ActiveState"); state != "inactive" {
		t.Errorf("the stopped service is %s\n%s", state, b.journal())
	}
	b.run("systemctl", "start", "beamkeeper.socket", "beamkeeper-web.socket") // the next verb starts the daemon
	if after := osPIDs(b.await(2, "0.1.0")); !samePIDs(before, after) {
		t.Errorf("OS pids %v, were %v", after, before)
	}
	b.scopes(before)
	if state := b.show("beamkeeper.service", "ActiveState"); state != "active" {
		t.Errorf("the service that its socket should have started is %s", state)
	}
	for name, r := range instances.end() {
		t.Logf("%s: over everything: %+v", name, r)
		if r.Refused+r.Broken > 0 || r.Asked < 100 {
			t.Errorf("%s: %+v, want all answered", name, r)
		}
	}
	b.crashAndStop(before)
}

func samePIDs(a, b map[string]int) bool {
	for name, pid := range a {
		if b[name] != pid {
			return false
		}
	}
	return len(a) == len(b)
}

// scopes checks where the processes are.
func (b *testbed) scopes(instances map[string]int) {
	t := b.t
	t.Helper()
	procs := func(unit string) []string {
		return strings.Fields(b.run("cat", "/sys/fs/cgroup/beamkeeper.slice/"+unit+"/cgroup.procs"))
	}
	comm := func(pid string) string { return strings.TrimSpace(b.run("cat", "/proc/"+pid+"/comm")) }
	b.eventually("the port mapper has a scope of its own", func() error { // which it gets right after an instance is ready
		out, err := b.try("cat", "/sys/fs/cgroup/beamkeeper.slice/beamkeeper-epmd.scope/cgroup.procs")
		if err == nil && out == "" {
			err = errors.New("it is empty")
		}
		return err
	})
	for name, pid := range instances {
		unit := "beamkeeper-" + name + ".scope"
		for property, want := range map[string]string{
			"ActiveState": "active", "Slice": "beamkeeper.slice", "MemoryMax": "1073741824", "MemoryHigh": "943718400",
			"CPUQuotaPerSecUSec": "1.500000s", "TasksMax": "2000",
		} {
			if got := b.show(unit, property); got != want && !(property == "CPUQuotaPerSecUSec" && got == "1.5s") {
				t.Errorf("%s of %s = %q, want %q", property, unit, got, want)
			}
		}
		if d := b.show(unit, "Description"); !strings.Contains(d, name) || !strings.Contains(d, "sample 0.1.0") {
			t.Errorf("Description of %s = %q", unit, d)
		}
		var comms []string
		in := procs(unit)
		for _, p := range in {
			comms = append(comms, comm(p))
		}
		if !slices.Contains(in, strconv.Itoa(pid)) || !slices.Contains(comms, "erl_child_setup") || slices.Contains(comms, "epmd") {
			t.Errorf("in %s: %v %v, want the BEAM %d with its erl_child_setup, and no epmd", unit, in, comms, pid)
		}
	}
	if in := procs("beamkeeper-epmd.scope"); len(in) != 1 || comm(in[0]) != "epmd" {
		t.Errorf("in beamkeeper-epmd.scope: %v, want the epmd that the first BEAM has started", in)
	}
	if in := procs("beamkeeper.service"); len(in) != 1 || in[0] != b.mainPID() {
		t.Errorf("in beamkeeper.service: %v, want the daemon alone", in)
	}
	out := b.run("systemctl", "status", "--no-pager", "beamkeeper.slice")
	for name := range instances {
		if !strings.Contains(out, "beamkeeper-"+name+".scope") {
			t.Errorf("systemctl status beamkeeper.slice lacks %s:\n%s", name, out)
		}
	}
}

// reports checks what the daemon tells the service manager and the journal.
func (b *testbed) reports() {
	t := b.t
	t.Helper()
	b.eventually("the status line counts", func() error {
		if got := b.show("beamkeeper.service", "StatusText"); got != "1 app, 2 of 2 instances running" {
			return fmt.Errorf("StatusText = %q", got)
		}
		return nil
	})
	if n, err := strconv.Atoi(b.show("beamkeeper.service", "NFileDescriptorStore")); err != nil || n < 3 {
		t.Errorf("%d descriptors are stored, want control, web and distribution", n)
	}
	if got := b.run("beamkeeper", "rpc", "sample", "erlang:get_cookie()."); !strings.Contains(got, "from-a-credential") {
		t.Errorf("the instance's cookie is %q, want that of the credential", got)
	}
	var e map[string]any
	out := b.run("journalctl", "--no-pager", "-o", "json", "-n", "1", "BEAMKEEPER_EVENT=application_ready")
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for field, want := range map[string]string{
		"BEAMKEEPER_APP": "^sample$", "BEAMKEEPER_INSTANCE": "^sample-[0-9a-z]{6}$", "BEAMKEEPER_VERSION": `^0\.1\.0$`,
		"BEAMKEEPER_DEPLOYMENT": "^d[0-9]+$", "MESSAGE_ID": "^2f93b7342beb8b69a2ff3df469e25110$", "SYSLOG_IDENTIFIER": "^beamkeeper$",
		"MESSAGE": "is ready after", "PRIORITY": "^6$", "_SYSTEMD_UNIT": "^beamkeeper.service$",
	} {
		if got := fmt.Sprint(e[field]); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("the journal's %s = %q, want %s", field, got, want)
		}
	}
}

// distPort is where the daemon's distribution listens.
func (b *testbed) distPort() string {
	b.t.Helper()
	var port string
	b.eventually("the daemon is registered", func() error {
		m := regexp.MustCompile(`name beamkeeper at port (\d+)`).FindStringSubmatch(b.run("sh", "-c", "exec $(ls -d /var/lib/beamkeeper/service/sample/*/current/erts-*/bin/epmd | head -n 1) -names"))
		if m == nil {
			return errors.New("not yet")
		}
		port = m[1]
		return nil
	})
	return port
}

// crashAndStop checks that scopes come and go with their processes.
func (b *testbed) crashAndStop(instances map[string]int) {
	t := b.t
	t.Helper()
	for name, pid := range instances {
		b.run("kill", "-KILL", strconv.Itoa(pid))
		b.eventually("the crashed instance is back in a scope of its name", func() error {
			a, err := b.app()
			if err != nil {
				return err
			}
			now := osPIDs(a)[name]
			if now == pid || !running(2, "0.1.0")(a) {
				return fmt.Errorf("%+v", a.Instances)
			}
			out, err := b.try("cat", "/sys/fs/cgroup/beamkeeper.slice/beamkeeper-"+name+".scope/cgroup.procs")
			if err == nil && !slices.Contains(strings.Fields(out), strconv.Itoa(now)) {
				err = fmt.Errorf("%d is not in %q", now, out)
			}
			return err
		})
		break
	}
	b.run("beamkeeper", "stop", "sample")
	b.eventually("no scope of an instance is left", func() error {
		out := b.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "beamkeeper-*.scope")
		if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 1 || !strings.HasPrefix(lines[0], "beamkeeper-epmd.scope") {
			return errors.New(out)
		}
		return nil
	})
	b.run("beamkeeper", "start", "sample")
	b.await(2, "0.1.0")
}

// asUser runs another daemon as a user, under that user's manager: its instances are in scopes, too, and so is the port
// mapper that it starts itself.
func (b *testbed) asUser() {
	t := b.t
	t.Helper()
	b.run("useradd", "--create-home", "--uid", "1500", "tester")
	b.run("loginctl", "enable-linger", "tester")
	b.eventually("the user's manager is up", func() error {
		_, err := b.try("test", "-S", "/run/user/1500/systemd/private")
		return err
	})
	as := func(script string) string {
		t.Helper()
		return b.run("su", "tester", "-s", "/bin/sh", "-c", "cd; export XDG_RUNTIME_DIR=/run/user/1500 ERL_EPMD_PORT=4370; "+script)
	}
	as(`beamkeeper init --app sample --language erlang --port 4100
		sed -i -e "s/name: beamkeeper$/name: own\n  start_epmd: true/" beamkeeper.yaml
		systemd-run --user --unit own --setenv ERL_EPMD_PORT=4370 --working-directory /home/tester -p Type=notify -p KillMode=process 			-p FileDescriptorStoreMax=9 beamkeeper run
		beamkeeper publish sample /srv/bk/sample-0.1.0.tar.gz --version 0.1.0`)
	b.eventually("the user's instances run in scopes", func() error {
		out := as("systemctl --user list-units --plain --no-legend beamkeeper-*.scope; beamkeeper status sample --json")
		if n := strings.Count(out, "active running sample 0.1.0, instance"); n != 2 || strings.Count(out, `"state": "running"`)+strings.Count(out, `"state":"running"`) != 2 {
			return errors.New(out)
		}
		if !strings.Contains(out, "beamkeeper-epmd.scope") {
			return fmt.Errorf("the port mapper is not in a scope: %s", out)
		}
		return nil
	})
	as("systemctl --user restart own; beamkeeper stop sample; systemctl --user stop own")
}

// powerOff checks that the instances end in good order when the machine goes down.
func (b *testbed) powerOff(vars string) {
	t := b.t
	t.Helper()
	last := b.events()
	if out, err := b.try("systemctl", "poweroff"); err != nil {
		t.Logf("systemctl poweroff: %v: %s", err, out) // it may be cut off
	}
	deadline := time.Now().Add(patience)
	for syscall.Kill(b.pid, 0) == nil && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	s, err := state.Open(filepath.Join(vars, "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stopped := 0
	if err := s.View(func(tx *state.Tx) error {
		events, err := tx.Events(last, 1000)
		for _, e := range events {
			if e.Type == api.EventInstanceStopped && strings.HasSuffix(e.Message, "(init_stop)") {
				stopped++
			}
		}
		if stopped != 2 {
			t.Errorf("%d instances stopped in good order with the machine, want 2: %+v", stopped, events)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// events is the ID of the last event.
func (b *testbed) events() uint64 {
	b.t.Helper()
	var last uint64
	for line := range strings.Lines(b.run("beamkeeper", "events", "--json")) {
		var e api.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			b.t.Fatalf("%v: %s", err, line)
		}
		last = max(last, e.ID)
	}
	return last
}
