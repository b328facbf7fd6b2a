package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/web/client"
)

// matrix kills the daemon at the steps of what an operator asks for, again and again on one installation.
type matrix struct {
	*faulty
	client  *client.Client
	visitor *visitor // of the app: whichever instance serves
	alone   *visitor // of the instance on slot 0, when nothing touches that; else nil
	cells   int
	ready   []time.Duration // how long each daemon took
}

// operation is what is asked for, and what is to have come of it.
type operation struct {
	name    string
	do      func(*matrix) error
	done    func(api.App) bool // the app is as wished
	touches bool               // the instance on slot 0
}

const (
	versionA = "0.1.0"
	versionB = "0.2.0"
)

func newMatrix(t *testing.T, replicas int, alone bool) *matrix {
	t.Helper()
	f := newFaulty(t)
	f.edit("replicas: 2", fmt.Sprintf("replicas: %d", replicas))
	m := &matrix{faulty: f, client: client.New(filepath.Join(f.dir, "beamkeeper.sock"))}
	t.Cleanup(m.client.Close)
	m.start()
	m.offer(versionB, sampletest.Build(t, "erlang", versionB))
	m.must("deploy", m.app, sampletest.Build(t, "erlang", versionA))
	m.settled(replicas, versionA)
	base := m.status().Instances[0].Ports["PORT"] - m.status().Instances[0].Slot
	var ports []int
	for slot := range replicas + 1 {
		ports = append(ports, base+slot)
	}
	m.visitor = visit(t, false, ports...)
	if alone {
		m.alone = visit(t, true, base)
	}
	return m
}

func (m *matrix) look() (api.App, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	st, err := m.client.Status(ctx)
	if err != nil {
		return api.App{}, err
	}
	return st.Apps[0], nil
}

// until waits for a condition of the app.
func (m *matrix) until(what string, ok func(api.App) bool) api.App {
	m.t.Helper()
	var a api.App
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if a, err = m.look(); err == nil && ok(a) {
			return a
		}
	}
	b, _ := json.Marshal(a)
	m.t.Fatalf("not within %s: %s: %s %v", patience, what, b, err)
	return a
}

// quiet says that nothing is under way.
func quiet(a api.App) bool {
	if a.Deployment != nil && a.Deployment.Outcome == api.DeploymentRunning {
		return false
	}
	return !slices.ContainsFunc(a.Instances, func(i api.Instance) bool {
		return i.State != api.StateRunning && i.State != api.StateStopped || i.State == api.StateRunning && !i.OTPConnected
	})
}

func (m *matrix) settled(replicas int, version string) api.App {
	m.t.Helper()
	return m.until(fmt.Sprintf("%d of %s", replicas, version), func(a api.App) bool {
		return quiet(a) && len(a.Instances) == replicas && !slices.ContainsFunc(a.Instances, func(i api.Instance) bool { return i.Version != version })
	})
}

// whole does an operation and waits for its end.
func (m *matrix) whole(o operation) {
	m.t.Helper()
	if err := o.do(m); err != nil {
		m.t.Fatalf("%s: %v", o.name, err)
	}
	m.until(o.name, func(a api.App) bool { return quiet(a) && o.done(a) })
}

// cell does an operation, kills the daemon at a step of it, starts it again, and wants the operation done and nothing
// else changed.
func (m *matrix) cell(o operation, point string) {
	m.t.Helper()
	before := m.until("quiet", quiet)
	serial := m.deployments()
	m.arm(point)
	err := o.do(m)
	for end := time.Now().Add(patience); !m.killed(); time.Sleep(5 * time.Millisecond) {
		if a, e := m.look(); e == nil && quiet(a) && o.done(a) {
			break // it went another way this time, and did not come there
		}
		if time.Now().After(end) {
			m.t.Fatalf("%s: neither done nor killed at %s: %v", o.name, point, err)
		}
	}
	if !m.killed() {
		m.t.Logf("%s: did not come to %s", o.name, point)
		m.arm("none")
		return
	}
	<-m.daemon.done
	m.ready = append(m.ready, m.start())
	a := m.until(o.name+" after "+point, func(a api.App) bool {
		if !quiet(a) {
			return false
		}
		if !o.done(a) && err != nil { // the kill came before it was accepted: whoever asked was told so, and asks again
			err = o.do(m)
			return false
		}
		return o.done(a)
	})
	m.cells++
	m.check(fmt.Sprintf("%s, killed at %s", o.name, point), o, before, a, serial)
}

func (m *matrix) deployments() int {
	m.t.Helper()
	all, err := m.client.Deployments(m.t.Context(), m.app, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	return len(all)
}

// check wants the app to be as wished, nobody to have noticed, and nothing to be left behind.
func (m *matrix) check(what string, o operation, before, a api.App, serial int) {
	m.t.Helper()
	bad := func(format string, args ...any) {
		m.t.Helper()
		m.t.Errorf("%s: %s", what, fmt.Sprintf(format, args...))
	}
	if out := m.visitor.since(); len(out) > 0 {
		bad("nobody served: %q", out)
	}
	if m.alone != nil {
		if out := m.alone.since(); len(out) > 0 {
			bad("the untouched instance's connection broke: %q", out)
		}
	}
	for _, i := range before.Instances {
		if o.touches || i.Slot != 0 {
			continue
		}
		if !slices.ContainsFunc(a.Instances, func(now api.Instance) bool { return now.Name == i.Name && now.OSPID == i.OSPID }) {
			bad("%s is not as it was: %+v", i.Name, a.Instances)
		}
	}
	m.checkProcesses(a, bad)
	m.checkFiles(a, bad)
	m.checkState(a, serial, bad)
}

func (m *matrix) checkProcesses(a api.App, bad func(string, ...any)) {
	m.t.Helper()
	want := make(map[string]int)
	for _, i := range a.Instances {
		if i.OSPID != 0 {
			want[i.Name] = i.OSPID
		}
		if i.CrashRestarts != 0 {
			bad("%s counts %d crashes", i.Name, i.CrashRestarts)
		}
	}
	found, err := process.Find(m.node)
	if err != nil {
		m.t.Fatal(err)
	}
	got := make(map[string]int)
	for _, f := range found {
		got[f.Instance] = f.OSPID
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		bad("OS processes %v, want %v", got, want)
	}
}

func (m *matrix) checkFiles(a api.App, bad func(string, ...any)) {
	m.t.Helper()
	names := func(dir string) []string {
		var list []string
		for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			list = nil
			entries, _ := filepath.Glob(filepath.Join(m.dir, "var", dir, m.app, "*"))
			for _, e := range entries {
				list = append(list, filepath.Base(e))
			}
			slices.Sort(list)
			if dir == "service" || len(list) <= 1 || time.Now().After(end) { // releases are pruned a moment after the end
				return list
			}
		}
	}
	var instances []string
	for _, i := range a.Instances {
		instances = append(instances, i.Name)
	}
	slices.Sort(instances)
	if got := names("service"); !slices.Equal(got, instances) {
		bad("folders %q, instances %q", got, instances)
	}
	if got := names("releases"); len(got) > 1 {
		bad("releases %q", got)
	}
	unfinished := func() (list []string) {
		_ = filepath.WalkDir(filepath.Join(m.dir, "var"), func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasPrefix(d.Name(), ".part-") {
				list = append(list, path)
			}
			return nil
		})
		return list
	}
	left := unfinished()
	for end := time.Now().Add(patience); len(left) > 0 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		left = unfinished() // a backup, say, is being made
	}
	if len(left) > 0 {
		bad("left behind: %q", left)
	}
}

// offer puts an archive into the bucket without naming it in current.json.
func (m *matrix) offer(version, tarball string) {
	m.t.Helper()
	dir := filepath.Join(m.dir, "bucket", "dist", m.app)
	b, err := os.ReadFile(tarball)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, m.app+"-"+version+".tar.gz"), b, 0o644)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *matrix) checkState(a api.App, serial int, bad func(string, ...any)) {
	m.t.Helper()
	raw, err := m.client.ExportState(m.t.Context())
	var e state.Export
	if err == nil {
		err = json.Unmarshal(raw.(json.RawMessage), &e)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	if e.Apps[0].Deployment != "" || e.Apps[0].Failed != "" || e.Apps[0].Halted != "" {
		bad("the app's record is %+v", e.Apps[0])
	}
	if len(e.Instances) != len(a.Instances) {
		bad("%d records of instances, %d instances", len(e.Instances), len(a.Instances))
	}
	for _, i := range e.Instances {
		if i.Leaving || i.Restarting || i.Failed {
			bad("record %+v", i)
		}
	}
	ended := make(map[string]int)
	for _, ev := range e.Events {
		switch ev.Type {
		case api.EventDeploymentComplete:
			ended[ev.Deployment]++
		case api.EventDeploymentStarted:
			ended[ev.Deployment] += 100
		case api.EventCrashRestart, api.EventDeploymentFailed, api.EventActorRestarted, api.EventInstanceFailed:
			bad("event %s", ev.Message)
		}
	}
	for n, d := range e.Deployments {
		if d.Outcome != api.DeploymentSucceeded || d.EndedAt.IsZero() {
			bad("deployment %s: %s %s", d.ID, d.Outcome, d.Error)
		}
		if ended[d.ID] != 101 { // one of each
			bad("events of deployment %s: %d", d.ID, ended[d.ID])
		}
		if n < len(e.Deployments)-serial { // those of this cell
			for _, i := range d.Instances {
				if slices.ContainsFunc(i.Steps, func(s api.DeploymentStep) bool { return s.EndedAt.IsZero() }) {
					bad("steps of %s: %+v", i.Name, i.Steps)
				}
			}
		}
	}
	if more := len(e.Deployments) - serial; more > 1 {
		bad("%d deployments", more)
	}
}

// selected are the points to kill at: each step of the journal, where it comes the first and the last time, and the steps
// of the release store.
func selected(points []string, releases bool) []string {
	last := make(map[string]int)
	for _, p := range points {
		name, n := cutCount(p)
		last[name] = n
	}
	var list []string
	for _, p := range points {
		name, n := cutCount(p)
		if strings.Contains(name, "bus.flush") || strings.HasPrefix(name, "commit System.Start") ||
			!releases && strings.HasPrefix(name, "release ") || n != 1 && n != last[name] {
			continue
		}
		list = append(list, p)
	}
	return list
}

func cutCount(point string) (string, int) {
	at := strings.LastIndexByte(point, ' ')
	n, _ := strconv.Atoi(point[at+1:])
	return point[:at], n
}

func allOf(n int, version string) func(api.App) bool {
	return func(a api.App) bool {
		return len(a.Instances) == n && a.DesiredVersion == version && !slices.ContainsFunc(a.Instances, func(i api.Instance) bool {
			return i.Version != version || i.State != api.StateRunning
		})
	}
}

func (m *matrix) report() {
	slices.Sort(m.ready)
	if n := len(m.ready); n > 0 {
		m.t.Logf("%d cells; daemon ready again after %s (median), %s (longest)", m.cells, m.ready[n/2], m.ready[n-1])
	}
	requests, outages := m.visitor.leave()
	m.t.Logf("%d requests, outages %q", requests, outages)
}

func deployOf(n int, version string) operation {
	return operation{
		name: "deploy " + version, touches: true, done: allOf(n, version),
		do: func(m *matrix) error {
			_, err := m.client.Deploy(m.t.Context(), api.DeployRequest{App: m.app, Version: version})
			return err
		},
	}
}

// The daemon is killed before and after every step of a deployment and every step of unpacking, and goes on.
func TestKill_Deployment(t *testing.T) {
	t.Parallel()
	for half := range 2 {
		t.Run(strconv.Itoa(half), func(t *testing.T) {
			t.Parallel()
			m := newMatrix(t, 1, false)
			defer m.report()
			to, back := deployOf(1, versionB), deployOf(1, versionA)
			points := selected(m.record(func() { m.whole(to) }), true)
			m.visitor.since()
			for n, point := range points { // there and back again
				if n%2 != half {
					continue
				}
				to, back = back, to
				m.cell(to, point)
				if t.Failed() {
					return
				}
				if a := m.until("quiet", quiet); !to.done(a) {
					m.whole(to)
				}
			}
			if m.cells < len(points)/3 {
				t.Errorf("only %d of %d steps were killed at", m.cells, len(points)/2)
			}
		})
	}
}

// The same for a restart of an app, of an instance, for scaling up and down, for a stop and a start.
func TestKill_RestartScaleStop(t *testing.T) {
	t.Parallel()
	t.Run("restart", func(t *testing.T) {
		t.Parallel()
		m := newMatrix(t, 1, false)
		defer m.report()
		var had string
		restart := operation{
			name: "restart", touches: true,
			do: func(m *matrix) error {
				if a, err := m.look(); err == nil {
					had = a.Instances[0].Name
				}
				return m.client.Restart(m.t.Context(), api.Target{App: m.app})
			},
			done: func(a api.App) bool { return allOf(1, versionA)(a) && a.Instances[0].Name != had },
		}
		points := selected(m.record(func() { m.whole(restart) }), false)
		for _, point := range points {
			if m.cell(restart, point); t.Failed() {
				return
			}
		}
	})
	t.Run("scale and stop", func(t *testing.T) {
		t.Parallel()
		m := newMatrix(t, 2, true)
		defer m.report()
		scale := func(n int) operation {
			return operation{
				name: fmt.Sprintf("scale to %d", n), done: allOf(n, versionA),
				do: func(m *matrix) error { return m.client.Scale(m.t.Context(), m.app, n) },
			}
		}
		second := func(m *matrix) api.Target {
			t := api.Target{App: m.app, Instance: "none"}
			if a, err := m.look(); err == nil {
				for _, i := range a.Instances {
					if i.Slot == 1 {
						t.Instance = i.Name
					}
				}
			}
			return t
		}
		inState := func(s api.InstanceState) func(api.App) bool {
			return func(a api.App) bool {
				return len(a.Instances) == 2 && slices.ContainsFunc(a.Instances, func(i api.Instance) bool {
					return i.Slot == 1 && i.State == s && (i.OSPID != 0) == (s == api.StateRunning)
				})
			}
		}
		stop := operation{name: "stop", done: inState(api.StateStopped), do: func(m *matrix) error { return m.client.Stop(m.t.Context(), second(m)) }}
		start := operation{name: "start", done: inState(api.StateRunning), do: func(m *matrix) error { return m.client.Start(m.t.Context(), second(m)) }}
		pid := 0
		restart := operation{
			name: "restart of an instance",
			do: func(m *matrix) error {
				if a, err := m.look(); err == nil {
					pid = a.Instances[1].OSPID
				}
				return m.client.Restart(m.t.Context(), second(m))
			},
			done: func(a api.App) bool { return inState(api.StateRunning)(a) && a.Instances[1].OSPID != pid },
		}
		for _, pair := range [][2]operation{{scale(1), scale(2)}, {stop, start}, {restart, restart}} {
			there, back := pair[0], pair[1]
			first := selected(m.record(func() { m.whole(there) }), false)
			second := selected(m.record(func() { m.whole(back) }), false)
			for n := range max(len(first), len(second)) {
				for _, half := range []struct {
					o      operation
					points []string
				}{{there, first}, {back, second}} {
					if n < len(half.points) {
						m.cell(half.o, half.points[n])
					}
					if t.Failed() {
						return
					}
					if a := m.until("quiet", quiet); !half.o.done(a) {
						m.whole(half.o)
					}
				}
				if there.name == back.name {
					second = nil
				}
			}
		}
	})
}
