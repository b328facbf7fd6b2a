package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/web/client"
)

// hotCells is how many steps the daemon is killed at in each of the two tests that run side by side.
const hotCells = 10

// newHotMatrix is a matrix of an app that is upgraded while it runs. The daemon's part is newMatrix's.
func newHotMatrix(t *testing.T, replicas int) *matrix {
	t.Helper()
	r := hotRig(t, sampletest.HotErlang, "soak_ms: 0, fallback: none")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{rig: r, faults: filepath.Join(r.dir, "faults")}
	if err := os.Mkdir(f.faults, 0o700); err != nil {
		t.Fatal(err)
	}
	r.bin = exe
	r.env = append(r.env, faultsEnv+"="+f.faults, "GOGC=100")
	r.edit("replicas: 2", fmt.Sprintf("replicas: %d", replicas))
	m := &matrix{faulty: f, client: client.New(filepath.Join(f.dir, "beamkeeper.sock"))}
	t.Cleanup(m.client.Close)
	m.start()
	m.offer(versionB, sampletest.Build(t, sampletest.HotErlang, versionB))
	m.must("deploy", m.app, sampletest.Build(t, sampletest.HotErlang, versionA))
	m.settled(replicas, versionA)
	base := m.status().Instances[0].Ports["PORT"] - m.status().Instances[0].Slot
	var ports []int
	for slot := range replicas + 1 {
		ports = append(ports, base+slot)
	}
	m.visitor = visit(t, false, ports...)
	return m
}

// revertOf takes the last hot deployment back.
func revertOf(n int, version string) operation {
	return operation{
		name: "revert to " + version, done: allOf(n, version),
		do: func(m *matrix) error {
			all, err := m.client.Deployments(m.t.Context(), m.app, 0)
			if err != nil {
				return err
			}
			for _, d := range all {
				if d.Kind == api.KindHot && d.To == versionB && d.Outcome == api.DeploymentSucceeded {
					_, err := m.client.RevertDeployment(m.t.Context(), d.ID)
					return err
				}
			}
			return fmt.Errorf("no deployment to %s has succeeded", versionB)
		},
	}
}

// The daemon is killed at the steps of a hot deployment and of its way back, and goes on: no OS process is replaced, nothing
// is left of either, and nobody who uses the app notices.
func TestKill_HotDeployment(t *testing.T) {
	t.Parallel()
	for half := range 2 {
		t.Run(strconv.Itoa(half), func(t *testing.T) {
			t.Parallel()
			const n = 2
			m := newHotMatrix(t, n)
			defer m.report()
			was := osPIDs(m.status())
			ops := []operation{deployOf(n, versionB), revertOf(n, versionA)}
			var points [2][]string
			for i, o := range ops {
				points[i] = some(selected(m.record(func() { m.whole(o) }), false), hotCells/2, half)
			}
			m.visitor.since()
			for k := range max(len(points[0]), len(points[1])) {
				for i, o := range ops {
					if k >= len(points[i]) {
						m.whole(o)
						continue
					}
					m.hotCell(o, points[i][k], was)
					if t.Failed() {
						return
					}
				}
			}
			if m.cells < hotCells/2 {
				t.Errorf("only %d steps were killed at", m.cells)
			}
		})
	}
}

// some are so many of the points, spread over all of them; half 1 has those between half 0's.
func some(points []string, n, half int) (list []string) {
	for k := range min(n, len(points)) {
		list = append(list, points[(2*k+half)*len(points)/(2*n)])
	}
	return slices.Compact(list)
}

// hotCell is cell for operations that replace no OS process.
func (m *matrix) hotCell(o operation, point string, was map[string]int) {
	m.t.Helper()
	m.until("quiet", quiet)
	m.arm(point)
	err := o.do(m)
	for end := time.Now().Add(patience); !m.killed(); time.Sleep(5 * time.Millisecond) {
		if a, e := m.look(); e == nil && quiet(a) && o.done(a) {
			break
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
		if !quiet(a) || slices.ContainsFunc(a.Instances, func(i api.Instance) bool { return i.Upgrade != nil }) {
			return false
		}
		if !o.done(a) && err != nil { // it was not accepted
			err = o.do(m)
			return false
		}
		return o.done(a)
	})
	m.cells++
	bad := func(format string, args ...any) {
		m.t.Helper()
		m.t.Errorf("%s, killed at %s: %s", o.name, point, fmt.Sprintf(format, args...))
	}
	if now := osPIDs(a); !maps.Equal(now, was) {
		bad("OS processes %v, want %v", now, was)
	}
	if out := m.visitor.since(); len(out) > 0 {
		bad("nobody served: %q", out)
	}
	for _, i := range a.Instances {
		if v, err := m.get(i, "/version"); err != nil || v != i.Version {
			bad("%s runs %s, %v", i.Name, v, err)
		}
	}
	m.checkProcesses(a, bad)
	var e state.Export
	raw, err := m.client.ExportState(m.t.Context())
	if err == nil {
		err = json.Unmarshal(raw.(json.RawMessage), &e)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	for _, d := range e.Deployments {
		if d.Outcome != api.DeploymentSucceeded || d.From != "" && d.Kind != api.KindHot {
			bad("deployment %s: %s %s %s", d.ID, d.Kind, d.Outcome, d.Error)
		}
	}
	for _, ev := range e.Events {
		if ev.Type == api.EventUpgradeBroken || ev.Type == api.EventActorRestarted || ev.Type == api.EventCrashRestart || strings.HasPrefix(ev.Type, "upgrade_fa") {
			bad("event %s", ev.Message)
		}
	}
}
