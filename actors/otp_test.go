package actors

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/launch"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
	"github.com/beamkeeper/beamkeeper/release"
)

// field is a daemon without its command line: a distribution node, a release store and a tree, all real.
type field struct {
	*world
	epmd  *nodetest.EPMD
	node  *node.Node
	shop  *release.Store
	app   string
	lang  launch.Language
	ports int
}

func newField(t *testing.T, lang launch.Language, edit ...func(*AppSpec)) *field {
	t.Helper()
	nodetest.WantAny(t)
	f := &field{world: &world{t: t, dir: t.TempDir()}, app: sampletest.AppName(string(lang)), lang: lang}
	f.epmd = nodetest.NewEPMD(t)
	f.ports = nodetest.FreePorts(t, 4)
	spec := AppSpec{
		Name: f.app, Language: lang, Replicas: 1, Cookie: "field-cookie", Poll: 100 * time.Millisecond,
		Ports:     []launch.Port{{Key: "PORT", Base: f.ports}},
		Readiness: Readiness{Timeout: 30 * time.Second, Probe: &Probe{HTTP: "http://127.0.0.1:${PORT}/health", Interval: 20 * time.Millisecond}},
	}
	if lang == launch.Gleam {
		spec.Readiness.Probe = &Probe{TCP: "127.0.0.1:${PORT}"} // the sample speaks no HTTP
	}
	for _, e := range edit {
		e(&spec)
	}
	var out slog.Handler = slog.DiscardHandler
	if testing.Verbose() {
		out = slog.NewTextHandler(testWriter{t}, nil)
	}
	f.bucket = release.NewLocalBucket(filepath.Join(f.dir, "bucket"))
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "ERL_EPMD_") })
	f.cfg = Config{
		Apps: []AppSpec{spec}, Source: release.Source{Bucket: f.bucket}, LogDir: filepath.Join(f.dir, "log"),
		BaseEnv: append(env, fmt.Sprintf("ERL_EPMD_PORT=%d", f.epmd.Port), "ERL_EPMD_ADDRESS=127.0.0.1"),
		Version: "test", Log: slog.New(out),
	}
	t.Cleanup(func() { f.down(true) })
	return f
}

func (f *field) up() *field {
	f.t.Helper()
	var err error
	fail := func(err error) {
		if err != nil {
			f.t.Fatal(err)
		}
	}
	f.store, err = state.Open(filepath.Join(f.dir, "state"))
	fail(err)
	f.shop, err = release.OpenStore(release.StoreConfig{Dir: f.dir, Source: f.cfg.Source})
	fail(err)
	f.node, err = node.New(node.Config{
		Name: node.Name{Alive: fmt.Sprintf("keeper%d", f.epmd.Port), Host: "localhost"}, Cookie: "field-cookie", EPMDAddr: f.epmd.Addr(), Log: f.cfg.Log,
	})
	fail(err)
	fail(f.node.Start(context.Background()))
	f.cfg.State, f.cfg.Releases, f.cfg.Cluster = f.store, f.shop, f.node
	f.sys, err = Start(context.Background(), f.cfg)
	fail(err)
	return f
}

func (f *field) down(stop bool) {
	f.t.Helper()
	if f.sys == nil {
		return
	}
	f.world.down(stop)
	if err := f.node.Close(); err != nil {
		f.t.Error(err)
	}
	if err := f.shop.Close(); err != nil {
		f.t.Error(err)
	}
}

func (f *field) publish(version string) {
	f.t.Helper()
	file := sampletest.Build(f.t, string(f.lang), version)
	_, err := release.Publish(f.t.Context(), release.PublishOptions{Bucket: f.bucket, App: f.app, File: file, Version: version})
	if err != nil {
		f.t.Fatal(err)
	}
}

// get asks an instance over HTTP.
func (f *field) get(i api.Instance, path string) string {
	f.t.Helper()
	if f.lang == launch.Gleam {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", i.Ports["PORT"]))
		if err != nil {
			f.t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintln(c, strings.TrimPrefix(path, "/"))
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil {
			f.t.Fatal(err)
		}
		return line
	}
	r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", i.Ports["PORT"], path))
	if err != nil {
		f.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(b)
}

// The main job, for each language: published, ready, asked, crashed, replaced by a new version, stopped.
func TestOTP_MainJob(t *testing.T) {
	t.Parallel()
	for _, lang := range []launch.Language{launch.Erlang, launch.Elixir, launch.Gleam} {
		t.Run(string(lang), func(t *testing.T) {
			t.Parallel()
			f := newField(t, lang, func(a *AppSpec) { a.Replicas = 2 }).up()
			f.publish("0.1.0")
			first := f.running(f.app, "0.1.0", 2)
			f.until("connections", func() bool {
				return !slices.ContainsFunc(f.world.app(f.app).Instances, func(i api.Instance) bool { return !i.OTPConnected })
			})
			for _, i := range first {
				if v := f.get(i, "/version"); !strings.Contains(v, "0.1.0") {
					t.Errorf("%s says %q", i.Name, v)
				}
				if i.OTPRelease == "" || len(i.Readiness) != 4 || i.Readiness[3].State != "passed" {
					t.Errorf("instance is %+v", i)
				}
			}
			reply, err := f.sys.RPC(t.Context(), api.RPCRequest{Target: api.Target{App: f.app, Instance: first[1].Name}, Call: "erlang:node()."})
			if err != nil || !strings.Contains(reply.Text, first[1].Name+"@localhost") {
				t.Errorf("RPC gave %+v, %v", reply, err)
			}
			if reply, err = f.sys.RPC(t.Context(), api.RPCRequest{Target: api.Target{App: f.app}, Call: "erlang:error(oops)"}); err != nil || reply.Class != "error" || reply.Text != "oops" {
				t.Errorf("RPC gave %+v, %v", reply, err)
			}
			nodes, err := f.sys.Nodes(t.Context())
			if err != nil || len(nodes) != 2 || nodes[0].State != "up" || nodes[0].App != f.app {
				t.Errorf("nodes are %+v, %v", nodes, err)
			}
			lines := 0
			if err := f.sys.Logs(t.Context(), api.LogRequest{Target: api.Target{App: f.app}}, func(api.LogLine) bool { lines++; return true }); err != nil || lines == 0 {
				t.Errorf("%d log lines, %v", lines, err)
			}

			f.killInstance(first[0])
			f.until("another OS process", func() bool {
				i := f.instance(f.app, first[0].Name)
				return i.State == api.StateRunning && i.OSPID != first[0].OSPID
			})

			f.publish("0.2.0")
			second := f.running(f.app, "0.2.0", 2)
			for _, i := range second {
				if v := f.get(i, "/version"); !strings.Contains(v, "0.2.0") {
					t.Errorf("%s says %q", i.Name, v)
				}
			}
			f.until("its end", func() bool { return f.world.app(f.app).Deployment == nil })
			all, err := f.sys.Deployments(t.Context(), f.app, 0)
			if err != nil || len(all) != 2 || all[0].Trigger != "current.json" || all[0].Outcome != api.DeploymentSucceeded || all[0].From != "0.1.0" {
				t.Errorf("deployments are %+v, %v", all, err)
			}
			for _, e := range f.eventsOf(api.EventInstanceStopped) {
				if !strings.HasSuffix(e.Message, "(init_stop)") {
					t.Errorf("not stopped by init:stop: %s", e.Message)
				}
			}
			begun := time.Now()
			if err := f.sys.Stop(t.Context(), api.Target{App: f.app}); err != nil {
				t.Fatal(err)
			}
			t.Logf("stopped in %v", time.Since(begun))
			for _, i := range second {
				if alive(i.OSPID) {
					t.Errorf("%s still runs", i.Name)
				}
			}
		})
	}
}

// BEAMs outlive the daemon; the next one takes them over, and their nodes connect.
func TestOTP_Adopt(t *testing.T) {
	t.Parallel()
	f := newField(t, launch.Erlang, func(a *AppSpec) { a.Replicas = 2 }).up()
	f.publish("0.1.0")
	before := f.running(f.app, "0.1.0", 2)
	f.down(false)
	f.up()
	f.until("connections", func() bool {
		list := f.world.app(f.app).Instances
		return len(list) == 2 && !slices.ContainsFunc(list, func(i api.Instance) bool { return !i.OTPConnected || i.State != api.StateRunning })
	})
	now := f.running(f.app, "0.1.0", 2)
	for n := range now {
		if now[n].OSPID != before[n].OSPID || now[n].CrashRestarts != 0 {
			t.Errorf("%+v, was %+v", now[n], before[n])
		}
	}
	if err := f.sys.Stop(t.Context(), api.Target{App: f.app}); err != nil {
		t.Fatal(err)
	}
	for _, e := range f.eventsOf(api.EventInstanceStopped) {
		if !strings.HasSuffix(e.Message, "(init_stop)") {
			t.Errorf("not stopped by init:stop: %s", e.Message)
		}
	}
}

// A version that dies while starting, and one whose probe never passes, fail; the old version serves on.
func TestOTP_BadVersions(t *testing.T) {
	t.Parallel()
	f := newField(t, launch.Erlang, func(a *AppSpec) {
		a.Readiness.Timeout = 20 * time.Second
		a.CrashLoop.Limit = 1
	}).up()
	f.publish("0.1.0")
	before := f.running(f.app, "0.1.0", 1)[0]
	tests := []struct{ version, want string }{
		{"0.2.0-crash", "crashed 2 times before it was ready"},
		{"0.2.0-sick", "probe is missing: "},
	}
	for _, tt := range tests {
		f.publish(tt.version)
		var d api.Deployment
		f.until("the end of the deployment of "+tt.version, func() bool {
			all, err := f.sys.Deployments(t.Context(), f.app, 1)
			if err != nil {
				t.Fatal(err)
			}
			d = all[0]
			return d.To == tt.version && d.Outcome != api.DeploymentRunning
		})
		if d.Outcome != api.DeploymentFailed || !strings.Contains(d.Error, tt.want) || len(d.LogTail) == 0 {
			t.Errorf("%s: %s %q with %d lines of log", tt.version, d.Outcome, d.Error, len(d.LogTail))
		}
		t.Logf("%s: %s", tt.version, d.Error)
		if now := f.running(f.app, "0.1.0", 1)[0]; now.OSPID != before.OSPID {
			t.Errorf("%+v, was %+v", now, before)
		}
	}
	crashes := f.eventsOf(api.EventCrashRestart)
	if len(crashes) != 2 || crashes[0].Data["slogan"] == nil {
		t.Errorf("events are %+v", crashes)
	}
}

// A broken current.json is told, leaves all as it is, and is acted on as soon as it is mended.
func TestOTP_BrokenCurrent(t *testing.T) {
	t.Parallel()
	f := newField(t, launch.Erlang).up()
	f.publish("0.1.0")
	before := f.running(f.app, "0.1.0", 1)[0]
	file := f.bucket.Location(release.CurrentKey(f.app, ""))
	if err := os.WriteFile(file, []byte("{\n \"version\": 7\n}"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.until("the problem", func() bool {
		p := f.world.app(f.app).Problems
		return len(p) == 1 && strings.Contains(p[0].What, "current.json:2:")
	})
	if e := f.eventsOf(api.EventReleaseBroken); len(e) != 1 || !strings.Contains(e[0].Message, "current.json:2:") {
		t.Errorf("events are %+v", e)
	}
	if now := f.running(f.app, "0.1.0", 1)[0]; now.OSPID != before.OSPID {
		t.Errorf("%+v, was %+v", now, before)
	}
	f.publish("0.2.0")
	f.running(f.app, "0.2.0", 1)
	if p := f.world.app(f.app).Problems; len(p) != 0 {
		t.Errorf("problems are %+v", p)
	}
	f.until("the event", func() bool { return len(f.eventsOf(api.EventReleaseMended)) == 1 })
}

// The next instance takes the slot of an old one as soon as that has let go of its ports, while the rest of that BEAM is
// still on its way down.
func TestOTP_ASlotIsUsedAsSoonAsItsPortsAreFree(t *testing.T) {
	t.Parallel()
	f := newField(t, launch.Erlang, func(a *AppSpec) { a.Replicas = 2 }).up()
	f.publish("0.1.0")
	f.running(f.app, "0.1.0", 2)
	f.publish("0.2.0")
	f.running(f.app, "0.2.0", 2)
	f.until("its end", func() bool { return f.world.app(f.app).Deployment == nil })
	all, err := f.sys.Deployments(t.Context(), f.app, 1)
	if err != nil || len(all[0].Instances) != 2 {
		t.Fatalf("deployment is %+v, %v", all, err)
	}
	first, second := all[0].Instances[0], all[0].Instances[1]
	if second.Slot != 0 {
		t.Errorf("the second has slot %d", second.Slot)
	}
	stopOld := first.Steps[len(first.Steps)-1]
	if began := second.Steps[0].StartedAt; !began.Before(stopOld.EndedAt.Time) {
		t.Errorf("the second began %v after the old one's end", began.Sub(stopOld.EndedAt.Time))
	}
	for _, i := range f.world.app(f.app).Instances {
		if i.CrashRestarts != 0 {
			t.Errorf("crashed: %+v", i)
		}
	}
}

// From current.json to ready takes little more than a boot does.
func TestOTP_TimesOfADeployment(t *testing.T) {
	t.Parallel()
	f := newField(t, launch.Erlang, func(a *AppSpec) { a.Replicas = 2 }).up()
	begun := time.Now()
	f.publish("0.1.0")
	published := time.Now()
	f.running(f.app, "0.1.0", 2)
	t.Logf("published after %v, both ready %v later", published.Sub(begun), time.Since(published))
	for _, e := range f.eventsOf(api.EventApplicationReady) {
		t.Log(e.Message)
	}
	i := f.running(f.app, "0.1.0", 2)[0]
	killed := time.Now()
	f.killInstance(i)
	f.until("another OS process", func() bool {
		now := f.instance(f.app, i.Name)
		return now.OSPID != 0 && now.OSPID != i.OSPID
	})
	t.Logf("another OS process after %v", time.Since(killed))
}
