package vmtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
)

const configuration = `
node: {tls: {mode: own_ca}}
applications:
  - name: sample
    language: erlang
    replicas: 1
    deploy_schedule_interval_ms: 1000
    replica_ports: [{key: PORT, base: 4000}]
    limits: {memory_max: 400MiB, cpu_quota: 150%, tasks_max: 200}
    readiness: {timeout_ms: 480000, probe: {http: "http://127.0.0.1:${PORT}/health"}}
`

// What only a kernel of one's own shows: limits that hold, kills for want of memory, a clock that is set, disks that are
// read-only or full; each with the daemon under systemd and an instance that runs on.
func TestMachine(t *testing.T) {
	t.Parallel()
	if why := Missing(); why != "" || os.Geteuid() != 0 {
		if os.Getenv("REQUIRE_OTP") == "1" && os.Geteuid() == 0 {
			t.Fatalf("%s: run testdata/testbed/install.sh test", why)
		}
		t.Skipf("needs root and an emulator: %s", why)
	}
	if testing.Short() {
		t.Skip("takes minutes")
	}
	payload := t.TempDir()
	build(t, filepath.Join(payload, "beamkeeper"), "./cmd/beamkeeper")
	for _, version := range []string{"0.1.0", "0.2.0"} {
		link(t, sampletest.Build(t, "erlang", version), filepath.Join(payload, version+".tar.gz"))
	}
	m := onto(Boot(t, payload))
	m.install()
	for _, part := range []struct {
		name string
		test func(*daemon)
	}{
		{"limits", limits}, {"daemonOutOfMemory", daemonOutOfMemory}, {"readOnly", readOnly},
		{"fullDisk", fullDisk}, {"clock", clock},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.test(onto(m.As(t))) }) {
			t.Logf("%s", m.Journal())
		}
	}
}

func build(t *testing.T, output, pkg string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", output, pkg)
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

func link(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// daemon is a machine with the daemon on it.
type daemon struct {
	*Machine
	command []string // which is asked
}

func onto(m *Machine) *daemon { return &daemon{Machine: m, command: []string{"beamkeeper"}} }

func (d *daemon) install() {
	d.t.Helper()
	d.Write("/etc/beamkeeper/beamkeeper.yaml", configuration)
	// A busy host may let the machine stand still for long.
	d.Write("/etc/systemd/system/beamkeeper.service.d/patient.conf", "[Service]\nWatchdogSec=0\nTimeoutStartSec=8min\nTimeoutStopSec=8min\n")
	d.Sh(`ln -s /srv/bk/beamkeeper /usr/bin/beamkeeper
beamkeeper generate systemd --output / >/dev/null
systemctl daemon-reload
systemctl start beamkeeper.service
beamkeeper publish sample /srv/bk/0.1.0.tar.gz --version 0.1.0`)
	d.await("the first instance", running("0.1.0"))
}

// app is the status of an app.
func (d *daemon) app() (api.App, error) {
	out, err := d.Try(slices.Concat(d.command, []string{"status", "--json"})...)
	if err != nil {
		return api.App{}, fmt.Errorf("%w: %s", err, out)
	}
	var s api.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		return api.App{}, err
	}
	if len(s.Apps) != 1 {
		return api.App{}, fmt.Errorf("%d apps", len(s.Apps))
	}
	return s.Apps[0], nil
}

func running(version string) func(api.App) bool {
	return func(a api.App) bool {
		return len(a.Instances) == 1 && a.Instances[0].State == api.StateRunning && a.Instances[0].Version == version
	}
}

// await waits until the one instance is as wanted.
func (d *daemon) await(what string, wanted func(api.App) bool) api.Instance {
	d.t.Helper()
	var a api.App
	d.Eventually(what, func() (err error) {
		if a, err = d.app(); err == nil && !wanted(a) {
			err = fmt.Errorf("%+v", a)
		}
		return err
	})
	return a.Instances[0]
}

// goesOn checks that the instance is the one that it was.
func (d *daemon) goesOn(was api.Instance) {
	d.t.Helper()
	if i := d.await("the instance", running(was.Version)); i.OSPID != was.OSPID || i.CrashRestarts != was.CrashRestarts {
		d.t.Errorf("the instance is %+v, was %+v", i, was)
	}
}

// awaitStatus waits until the status says something, or not.
func (d *daemon) awaitStatus(says bool, text string) string {
	d.t.Helper()
	var out string
	d.Eventually(fmt.Sprintf("the status says %q: %v", text, says), func() error {
		var err error
		if out, err = d.Try("beamkeeper", "status"); err == nil && strings.Contains(out, text) != says {
			err = errors.New("it does not")
		}
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	return out
}

func (d *daemon) mainPID() string {
	d.t.Helper()
	return strings.TrimSpace(d.Run("systemctl", "show", "-P", "MainPID", "beamkeeper.service"))
}

// serves checks that the instance answers.
func (d *daemon) serves(i api.Instance) {
	d.t.Helper()
	d.Run("bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/127.0.0.1/%d; ", i.Ports["PORT"])+` printf 'GET /health HTTP/1.0\r\n\r\n' >&3; read -r line <&3; case $line in *200*) ;; *) echo "$line"; exit 1;; esac`)
}

func (d *daemon) rpc(expression string) string {
	d.t.Helper()
	return d.Run(slices.Concat(d.command, []string{"rpc", "sample", expression, "--timeout", "5m"})...)
}

// counter reads one of the kernel's counters: a file of names and numbers in the group of an instance.
func (d *daemon) counter(group, file, name string) int {
	d.t.Helper()
	text := d.Run("cat", group+"/"+file)
	m := regexp.MustCompile(`(?m)^` + name + ` (\d+)$`).FindStringSubmatch(text)
	if m == nil {
		d.t.Fatalf("no %s in %s: %s", name, file, text)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}

// groupOf is the folder of the control group of an instance.
func (d *daemon) groupOf(i api.Instance) string {
	d.t.Helper()
	text := strings.TrimSpace(d.Run("cat", fmt.Sprintf("/proc/%d/cgroup", i.OSPID)))
	path, ok := strings.CutPrefix(text, "0::")
	if !ok {
		d.t.Fatalf("the group of %s is %q", i.Name, text)
	}
	return "/sys/fs/cgroup" + path
}
