package main_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
	"github.com/beamkeeper/beamkeeper/web/client"
)

// hotBench is one daemon over the sample that is upgraded while it runs.
type hotBench struct{ *benchHost }

func newHotBench(b *testing.B, binary string, replicas int, hot bool) hotBench {
	b.Helper()
	h := hotBench{&benchHost{tb: b, dir: b.TempDir(), binary: binary, port: nodetest.FreePorts(b, replicas+1), epmd: nodetest.StartEPMD(b), replicas: replicas}}
	config := fmt.Sprintf(`
account_name: local
release_adapter: local
release_bucket: %[1]s/bucket
var_path: %[1]s/var
log_path: %[1]s/log
monitored_app_log_path: %[1]s/log/apps
node: {name: bench%[2]d, epmd: "127.0.0.1:%[2]d"}
control: {socket: %[1]s/control.sock}
applications:
  - name: hot_erlang
    language: erlang
    replicas: %[3]d
    replica_ports: [{key: PORT, base: %[4]d}]
    env: [{key: ERL_EPMD_PORT, value: "%[2]d"}, {key: ERL_EPMD_ADDRESS, value: 127.0.0.1}]
    readiness: {application: hot_erlang, probe: {http: "http://127.0.0.1:${PORT}/health"}}
    hot_upgrade: {enabled: %[5]v, soak_ms: 0, fallback: none}
`, h.dir, h.epmd, replicas, h.port, hot)
	if err := os.WriteFile(filepath.Join(h.dir, "beamkeeper.yaml"), []byte(config), 0o644); err != nil {
		b.Fatal(err)
	}
	h.client = client.New(filepath.Join(h.dir, "control.sock"))
	h.start()
	b.Cleanup(func() {
		_ = h.client.Stop(context.Background(), api.Target{App: "hot_erlang"})
		_ = h.cmd.Process.Signal(syscall.SIGTERM)
		_ = h.cmd.Wait()
		if b.Failed() {
			log, _ := os.ReadFile(filepath.Join(h.dir, "log", "beamkeeper.log"))
			b.Logf("daemon.log:\n%s", log)
		}
	})
	for _, version := range []string{"0.1.0", "0.2.0"} {
		h.put(filepath.Join("dist", "hot_erlang", "hot_erlang-"+version+".tar.gz"), sampletest.Build(b, sampletest.HotErlang, version))
	}
	return h
}

// put copies a file into the bucket.
func (h hotBench) put(name, file string) {
	h.tb.Helper()
	path := filepath.Join(h.dir, "bucket", name)
	b, err := os.ReadFile(file)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path, b, 0o644)
	}
	if err != nil {
		h.tb.Fatal(err)
	}
}

// bring writes current.json and returns how long it took until the version was the only one, for good.
func (h hotBench) bring(version string) time.Duration {
	h.tb.Helper()
	path := filepath.Join(h.dir, "bucket", "versions", "hot_erlang", "local", "current.json")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.tb.Fatal(err)
	}
	began := time.Now()
	if err := os.WriteFile(path, []byte(`{"version":"`+version+`","hash":"`+version+`"}`), 0o644); err != nil {
		h.tb.Fatal(err)
	}
	h.until(version, func() bool {
		return h.ready(version) && !slices.ContainsFunc(h.instances(), func(i api.Instance) bool { return i.Upgrade != nil })
	})
	took := time.Since(began)
	h.until("the deployment to end", func() bool {
		all, err := h.client.Deployments(context.Background(), "hot_erlang", 1)
		return err == nil && len(all) == 1 && all[0].To == version && all[0].Outcome == api.DeploymentSucceeded
	})
	return took
}

// stream sends a request every millisecond, over one connection as long as that lasts, then over another to any instance, and
// returns the longest time between two answers.
func (h hotBench) stream(quit <-chan struct{}) <-chan time.Duration {
	longest := make(chan time.Duration, 1)
	go func() {
		var most time.Duration
		var c net.Conn
		var r *bufio.Reader
		last := time.Now()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for slot := 0; ; {
			select {
			case <-quit:
				longest <- most
				return
			case <-tick.C:
			}
			if c == nil {
				slot = (slot + 1) % (h.replicas + 1)
				conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", h.port+slot), time.Second)
				if err != nil {
					continue
				}
				c, r = conn, bufio.NewReader(conn)
			}
			if err := askOnce(c, r); err != nil {
				c.Close()
				c = nil
				continue
			}
			most = max(most, time.Since(last))
			last = time.Now()
		}
	}()
	return longest
}

// askOnce asks what goes through the process whose state is kept.
func askOnce(c net.Conn, r *bufio.Reader) error {
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// BenchmarkHotUpgrade is the time from current.json written until the new version is permanent in all replicas, without a
// soak, and the longest pause of a client that sends a request every millisecond meanwhile; beside it, the same as a full
// deployment, until nothing of the old version is left.
func BenchmarkHotUpgrade(b *testing.B) {
	binary := buildBinary(b)
	for _, c := range []struct{ replicas, crowd int }{{1, 0}, {3, 0}, {1, 100_000}} {
		b.Run(fmt.Sprintf("replicas=%d/processes=%d", c.replicas, c.crowd), func(b *testing.B) {
			for b.Loop() {
				for _, hot := range []bool{true, false} {
					h := newHotBench(b, binary, c.replicas, hot)
					h.bring("0.1.0")
					for _, i := range h.instances() {
						if c.crowd == 0 {
							break
						}
						r, err := h.client.RPC(context.Background(), api.RPCRequest{Target: api.Target{App: "hot_erlang", Instance: i.Name}, Call: fmt.Sprintf("hot_counter:crowd(%d)", c.crowd), TimeoutMS: 60000})
						if err != nil || strings.TrimSpace(r.Text) != "ok" {
							b.Fatalf("crowd: %+v, %v", r, err)
						}
					}
					before := h.osPIDs()
					quit := make(chan struct{})
					pause := h.stream(quit)
					took := h.bring("0.2.0")
					close(quit)
					kind := "full"
					if hot {
						kind = "hot"
						if now := h.osPIDs(); !slices.Equal(now, before) {
							b.Fatal("other OS processes run now")
						}
					}
					b.ReportMetric(ms(took), kind+"-ms")
					b.ReportMetric(ms(<-pause), kind+"-pause-ms")
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
