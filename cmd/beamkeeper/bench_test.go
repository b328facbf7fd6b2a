package main_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
	"github.com/beamkeeper/beamkeeper/web/client"
)

// The benchmarks of the daemon. Each measures, in the same run, the bare release beside the supervised one:
// what a deployment costs is what it takes beyond the boot of the release.

// benchHost is one daemon over one sample app, all in one folder.
type benchHost struct {
	tb       testing.TB
	dir      string
	binary   string
	port     int // of slot 0
	epmd     int
	replicas int
	cmd      *exec.Cmd
	client   *client.Client
}

func newBenchHost(b *testing.B, binary string, replicas, maxParallel int) *benchHost {
	b.Helper()
	h := &benchHost{tb: b, dir: b.TempDir(), binary: binary, port: nodetest.FreePorts(b, replicas+1), epmd: nodetest.StartEPMD(b), replicas: replicas}
	config := fmt.Sprintf(`
account_name: local
release_adapter: local
release_bucket: %[1]s/bucket
var_path: %[1]s/var
log_path: %[1]s/log
monitored_app_log_path: %[1]s/log/apps
node: {name: bench, epmd: "127.0.0.1:%[2]d"}
control: {socket: %[1]s/control.sock}
applications:
  - name: sample
    language: erlang
    replicas: %[3]d
    replica_ports: [{key: PORT, base: %[4]d}]
    env: [{key: ERL_EPMD_PORT, value: "%[2]d"}, {key: ERL_EPMD_ADDRESS, value: 127.0.0.1}]
    readiness: {application: sample, probe: {http: "http://127.0.0.1:${PORT}/health"}}
    strategy: {max_parallel: %[5]d}
`, h.dir, h.epmd, replicas, h.port, maxParallel)
	if err := os.WriteFile(filepath.Join(h.dir, "beamkeeper.yaml"), []byte(config), 0o644); err != nil {
		b.Fatal(err)
	}
	h.client = client.New(filepath.Join(h.dir, "control.sock"))
	h.start()
	b.Cleanup(h.stopAll)
	return h
}

// start runs the daemon and returns how long it took to answer.
func (h *benchHost) start() time.Duration {
	h.tb.Helper()
	log, err := os.OpenFile(filepath.Join(h.dir, "daemon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		h.tb.Fatal(err)
	}
	defer log.Close()
	h.cmd = exec.Command(h.binary, "run", "--config", filepath.Join(h.dir, "beamkeeper.yaml"))
	h.cmd.Env = append(os.Environ(), "ERL_EPMD_PORT="+strconv.Itoa(h.epmd), "ERL_EPMD_ADDRESS=127.0.0.1")
	h.cmd.Stdout, h.cmd.Stderr = log, log
	began := time.Now()
	if err := h.cmd.Start(); err != nil {
		h.tb.Fatal(err)
	}
	h.until("the daemon to answer", func() bool {
		_, err := h.client.Status(context.Background())
		return err == nil
	})
	return time.Since(began)
}

func (h *benchHost) stopAll() {
	_ = h.client.Stop(context.Background(), api.Target{App: "sample"})
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	_ = h.cmd.Wait()
	if h.tb.Failed() {
		log, _ := os.ReadFile(filepath.Join(h.dir, "daemon.log"))
		h.tb.Logf("daemon.log:\n%s", log)
	}
}

func (h *benchHost) until(what string, ok func() bool) {
	h.tb.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			h.tb.Fatalf("waited two minutes for %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (h *benchHost) instances() []api.Instance {
	st, err := h.client.Status(context.Background())
	if err != nil || len(st.Apps) != 1 {
		return nil
	}
	return st.Apps[0].Instances
}

// ready reports whether all replicas run the version and nothing else is left.
func (h *benchHost) ready(version string) bool {
	list := h.instances()
	return len(list) == h.replicas && h.serves(list, version)
}

// serves reports whether as many instances as there are replicas run the version.
func (h *benchHost) serves(list []api.Instance, version string) bool {
	n := 0
	for _, i := range list {
		if i.State == api.StateRunning && i.Version == version {
			n++
		}
	}
	return n == h.replicas
}

// offer puts a release into the bucket without naming it in current.json.
func (h *benchHost) offer(version, tarball string) {
	h.tb.Helper()
	path := filepath.Join(h.dir, "bucket", "dist", "sample", "sample-"+version+".tar.gz")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.tb.Fatal(err)
	}
	b, err := os.ReadFile(tarball)
	if err == nil {
		err = os.WriteFile(path, b, 0o644)
	}
	if err != nil {
		h.tb.Fatal(err)
	}
}

// announce writes current.json and returns how long it took until all replicas ran the version, and until nothing of
// the version before was left.
func (h *benchHost) announce(version string) (served, done time.Duration) {
	h.tb.Helper()
	path := filepath.Join(h.dir, "bucket", "versions", "sample", "local", "current.json")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.tb.Fatal(err)
	}
	began := time.Now()
	if err := os.WriteFile(path, []byte(`{"version":"`+version+`","hash":"`+version+`"}`), 0o644); err != nil {
		h.tb.Fatal(err)
	}
	h.until(version+" to run", func() bool { return h.serves(h.instances(), version) })
	served = time.Since(began)
	h.until(version+" to run alone", func() bool { return h.ready(version) })
	return served, time.Since(began)
}

func buildBinary(tb testing.TB) string {
	tb.Helper()
	out := filepath.Join(tb.TempDir(), "beamkeeper")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("go build: %v\n%s", err, b)
	}
	return out
}

// bareBoot starts the release by hand and returns how long it takes until its port answers, the best of three.
func bareBoot(b *testing.B, tarball string) time.Duration {
	b.Helper()
	dir, epmd := b.TempDir(), nodetest.StartEPMD(b)
	if out, err := exec.Command("tar", "-xzf", tarball, "-C", dir).CombinedOutput(); err != nil {
		b.Fatalf("tar: %v\n%s", err, out)
	}
	var times []time.Duration
	for range 3 {
		port := nodetest.FreePort(b)
		cmd := exec.Command(filepath.Join(dir, "bin", "sample"), "foreground")
		cmd.Env = append(os.Environ(), "RELX_REPLACE_OS_VARS=true", "RELEASE_NODE=bare", "RELEASE_COOKIE=bare", "RELEASE_SSL_OPTIONS=",
			"PORT="+strconv.Itoa(port), "ERL_EPMD_PORT="+strconv.Itoa(epmd), "ERL_EPMD_ADDRESS=127.0.0.1")
		began := time.Now()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		for deadline := began.Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
			if r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/health", port)); err == nil {
				r.Body.Close()
				break
			}
			if time.Now().After(deadline) {
				b.Fatal("the bare release did not open its port within a minute")
			}
		}
		times = append(times, time.Since(began))
		_, _ = http.Get(fmt.Sprintf("http://127.0.0.1:%d/halt/0", port))
		_ = cmd.Wait()
	}
	return slices.Min(times)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// BenchmarkDeploy is the time from current.json written to all replicas ready, beside the bare boot of the release. The
// old instances' last second is a pause in OTP's init:stop (user_sup:terminate/2), with their applications stopped.
func BenchmarkDeploy(b *testing.B) {
	first, next := sampletest.Build(b, "erlang", "0.1.0"), sampletest.Build(b, "erlang", "0.2.0")
	binary := buildBinary(b)
	boot := bareBoot(b, first)
	for _, c := range []struct{ replicas, parallel int }{{1, 1}, {3, 1}, {3, 3}} {
		b.Run(fmt.Sprintf("replicas=%d/max_parallel=%d", c.replicas, c.parallel), func(b *testing.B) {
			for b.Loop() {
				h := newBenchHost(b, binary, c.replicas, c.parallel)
				h.offer("0.1.0", first)
				h.offer("0.2.0", next)
				firstTime, _ := h.announce("0.1.0")
				nextTime, oldGone := h.announce("0.2.0")
				b.ReportMetric(ms(boot), "boot-ms")
				b.ReportMetric(ms(firstTime), "first-ms")
				b.ReportMetric(float64(firstTime)/float64(boot), "first/boot")
				b.ReportMetric(ms(nextTime), "next-ms")
				b.ReportMetric(float64(nextTime)/float64(boot), "next/boot")
				b.ReportMetric(ms(oldGone), "next-and-old-gone-ms")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkCrash is the time from an instance's SIGKILL to its next OS process, the median of five instances' first crash.
func BenchmarkCrash(b *testing.B) {
	tarball, binary := sampletest.Build(b, "erlang", "0.1.0"), buildBinary(b)
	for b.Loop() {
		h := newBenchHost(b, binary, 5, 5)
		h.offer("0.1.0", tarball)
		h.announce("0.1.0")
		var times []time.Duration
		for _, victim := range h.instances() {
			began := time.Now()
			if err := syscall.Kill(victim.OSPID, syscall.SIGKILL); err != nil {
				b.Fatal(err)
			}
			var again time.Duration
			h.until("the instance to start again", func() bool {
				for _, i := range h.instances() {
					if i.Name == victim.Name && i.OSPID != 0 && i.OSPID != victim.OSPID {
						again = time.Since(began)
						return true
					}
				}
				return false
			})
			times = append(times, again)
			h.until("all to run again", func() bool { return h.ready("0.1.0") })
		}
		slices.Sort(times)
		b.ReportMetric(ms(times[len(times)/2]), "restart-ms")
		b.ReportMetric(ms(times[len(times)-1]), "worst-ms")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkIdle is what the daemon itself needs: start to first answer, resident memory, and CPU over ten idle seconds.
func BenchmarkIdle(b *testing.B) {
	tarball, binary := sampletest.Build(b, "erlang", "0.1.0"), buildBinary(b)
	for _, replicas := range []int{0, 1, 10} {
		b.Run(fmt.Sprintf("replicas=%d", replicas), func(b *testing.B) {
			for b.Loop() {
				h := newBenchHost(b, binary, replicas, max(replicas, 1))
				if replicas > 0 {
					h.offer("0.1.0", tarball)
					h.announce("0.1.0")
				}
				_ = h.cmd.Process.Signal(syscall.SIGTERM)
				_ = h.cmd.Wait()
				began := time.Now()
				answer := h.start()
				h.until("all to be taken over", func() bool { return replicas == 0 || h.ready("0.1.0") })
				taken := time.Since(began)
				before := h.cpu()
				const idle = 10 * time.Second
				time.Sleep(idle)
				b.ReportMetric(ms(answer), "answer-ms")
				b.ReportMetric(ms(taken), "all-ready-ms")
				b.ReportMetric(100*float64(h.cpu()-before)/float64(idle), "cpu-%")
				b.ReportMetric(h.residentMB(), "rss-MB")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkAdoption is the time from the start of a daemon until it answers, and until it has taken over all instances
// that an earlier one left when it was killed: each connected and asked, none restarted. All are real BEAMs.
func BenchmarkAdoption(b *testing.B) {
	tarball, binary := sampletest.Build(b, "erlang", "0.1.0"), buildBinary(b)
	for _, replicas := range []int{10, 100} {
		b.Run(fmt.Sprintf("instances=%d", replicas), func(b *testing.B) {
			for b.Loop() {
				h := newBenchHost(b, binary, replicas, replicas)
				h.offer("0.1.0", tarball)
				h.announce("0.1.0")
				var answers, all, cpu []time.Duration
				for range 5 {
					before := h.osPIDs()
					_ = h.cmd.Process.Kill()
					_ = h.cmd.Wait()
					began := time.Now()
					answers = append(answers, h.start())
					h.until("all to be taken over", func() bool {
						time.Sleep(8 * time.Millisecond) // to look costs the daemon something
						return h.ready("0.1.0") && !slices.ContainsFunc(h.instances(), func(i api.Instance) bool { return !i.OTPConnected })
					})
					all = append(all, time.Since(began))
					cpu = append(cpu, h.cpu())
					if now := h.osPIDs(); !slices.Equal(now, before) {
						b.Fatalf("other OS processes run now")
					}
				}
				slices.Sort(answers)
				slices.Sort(all)
				slices.Sort(cpu)
				b.ReportMetric(ms(cpu[2]), "daemon-cpu-ms")
				b.ReportMetric(ms(answers[2]), "answer-ms")
				b.ReportMetric(ms(all[2]), "all-ready-ms")
				b.ReportMetric(ms(all[4]), "worst-ms")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func (h *benchHost) osPIDs() []int {
	var pids []int
	for _, i := range h.instances() {
		pids = append(pids, i.OSPID)
	}
	return pids
}

// cpu returns the CPU time that the daemon has used.
func (h *benchHost) cpu() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", h.cmd.Process.Pid))
	if err != nil {
		h.tb.Fatal(err)
	}
	var sum time.Duration
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", h.cmd.Process.Pid))
	for _, t := range tasks {
		if tb, err := os.ReadFile(t); err == nil {
			b = tb
		}
		ns, _ := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
		sum += time.Duration(ns)
	}
	return sum
}

func (h *benchHost) residentMB() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.cmd.Process.Pid))
	if err != nil {
		h.tb.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}
