package actors

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/launch"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
	"github.com/beamkeeper/beamkeeper/release"
)

// nodes is what erlang:nodes/0 gives in an instance, sorted; "?" when it does not answer.
func (f *field) nodes(i api.Instance) string {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Second)
	defer cancel()
	t, err := f.node.Call(ctx, f.sys.nodeName(i.Name), "erlang", "nodes")
	list, ok := t.(etf.List)
	if err != nil || !ok {
		return "?"
	}
	names := make([]string, len(list))
	for n, e := range list {
		names[n] = etf.Format(e)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// meshed waits until each instance is connected to exactly its siblings, and the status says so.
func (f *field) meshed(what string, list []api.Instance) {
	f.t.Helper()
	for _, i := range list {
		var nodes, names []string
		for _, other := range list {
			if other.Name != i.Name {
				nodes = append(nodes, "'"+other.Node+"'")
				names = append(names, other.Name)
			}
		}
		slices.Sort(nodes)
		slices.Sort(names)
		f.until(what+": the siblings of "+i.Name, func() bool {
			return slices.Equal(f.instance(f.app, i.Name).Sees, names) && f.nodes(i) == strings.Join(nodes, " ")
		})
	}
}

// Instances of a mesh are connected to their siblings, and to them only: at first, after a crash, after a partition, after
// a rolling deployment, and after one that failed.
func TestOTP_Mesh(t *testing.T) {
	t.Parallel()
	f := newField(t, launch.Erlang, func(a *AppSpec) { a.Replicas, a.Mesh, a.Readiness.Timeout = 3, true, 20*time.Second }).up()
	f.publish("0.1.0")
	first := f.running(f.app, "0.1.0", 3)
	f.meshed("at first", first)

	f.killInstance(first[0])
	f.until("another OS process", func() bool {
		i := f.instance(f.app, first[0].Name)
		return i.State == api.StateRunning && i.OSPID != first[0].OSPID
	})
	f.meshed("after a crash", first)

	a, b := first[1], first[2]
	reply, err := f.sys.RPC(t.Context(), api.RPCRequest{Target: api.Target{App: f.app, Instance: a.Name}, Call: "erlang:disconnect_node('" + b.Node + "')"})
	if err != nil || reply.Text != "true" {
		t.Fatalf("disconnect_node gave %+v, %v", reply, err)
	}
	f.meshed("after a partition", first)

	f.publish("0.2.0")
	second := f.running(f.app, "0.2.0", 3)
	f.meshed("after a deployment", second)
	for _, i := range second {
		if slices.ContainsFunc(first, func(old api.Instance) bool { return old.Name == i.Name }) {
			t.Errorf("%s was not replaced", i.Name)
		}
	}
	f.until("its end", func() bool { return f.world.app(f.app).Deployment == nil })

	f.publish("0.3.0-sick")
	f.until("its node", func() bool {
		list := f.world.app(f.app).Instances
		return len(list) == 4 && slices.ContainsFunc(list, func(i api.Instance) bool {
			return i.Version == "0.3.0-sick" && i.OTPConnected && f.nodes(i) == ""
		})
	})
	f.meshed("while one is not ready", second)
	f.until("its failure", func() bool {
		app := f.world.app(f.app)
		for _, i := range app.Instances {
			if got := f.nodes(i); i.Version == "0.3.0-sick" && strings.Contains(got, "@") {
				t.Fatalf("%s is not ready and connected to %s", i.Name, got)
			}
		}
		return len(app.Instances) == 3 && app.Deployment != nil && app.Deployment.Outcome == api.DeploymentFailed
	})
	f.meshed("after a failed deployment", second)
}

// An app's mesh can have others in it: here an Elixir app, which asks for nothing itself.
func TestOTP_MeshAcrossApps(t *testing.T) {
	t.Parallel()
	other := sampletest.AppName("elixir")
	f := newField(t, launch.Erlang, func(a *AppSpec) { a.Replicas, a.Mesh, a.MeshWith = 2, true, []string{other} })
	second := f.cfg.Apps[0]
	second.Name, second.Language, second.Mesh, second.MeshWith = other, launch.Elixir, false, nil
	second.Ports = []launch.Port{{Key: "PORT", Base: nodetest.FreePorts(t, 4)}}
	f.cfg.Apps = append(f.cfg.Apps, second)
	f.up()
	f.publish("0.1.0")
	file := sampletest.Build(t, "elixir", "0.1.0")
	if _, err := release.Publish(t.Context(), release.PublishOptions{Bucket: f.bucket, App: other, File: file, Version: "0.1.0"}); err != nil {
		t.Fatal(err)
	}
	ours, theirs := f.running(f.app, "0.1.0", 2), f.running(other, "0.1.0", 2)
	for n, i := range ours {
		want := []string{ours[1-n].Name, theirs[0].Name, theirs[1].Name}
		slices.Sort(want)
		f.until("the siblings of "+i.Name, func() bool { return slices.Equal(f.instance(f.app, i.Name).Sees, want) })
	}
	for _, i := range theirs {
		f.until("the connections of "+i.Name, func() bool {
			got := f.nodes(i)
			return strings.Contains(got, ours[0].Node) && strings.Contains(got, ours[1].Node) // and not to each other, but for global's doing
		})
		if got := f.instance(other, i.Name).Sees; got != nil {
			t.Errorf("%s sees %v in the status", i.Name, got)
		}
	}
}

// Two siblings whose connection is cut are connected again. When that does not work it is told, in the events and in the
// status, until it does.
func TestOTP_MeshTellsOfThoseItCannotConnect(t *testing.T) {
	t.Parallel()
	for _, otp := range nodetest.Want(t, "27", "29") {
		t.Run("OTP"+otp.Release, func(t *testing.T) {
			t.Parallel()
			f := newField(t, launch.Erlang, func(a *AppSpec) { a.Replicas, a.Mesh = 2, true }).up()
			file := sampletest.BuildWith(t, otp.Bin, "erlang", "0.1.0")
			if _, err := release.Publish(t.Context(), release.PublishOptions{Bucket: f.bucket, App: f.app, File: file, Version: "0.1.0"}); err != nil {
				t.Fatal(err)
			}
			list := f.running(f.app, "0.1.0", 2)
			f.meshed("at first", list)
			if list[0].OTPRelease != otp.Release {
				t.Errorf("the instances run on OTP %s", list[0].OTPRelease)
			}
			a, b := list[0], list[1]
			call := func(text string) {
				t.Helper()
				if reply, err := f.sys.RPC(t.Context(), api.RPCRequest{Target: api.Target{App: f.app, Instance: a.Name}, Call: text}); err != nil || reply.Text != "true" {
					t.Fatalf("%s gives %+v, %v", text, reply, err)
				}
			}
			if os.Geteuid() == 0 {
				cut(t, a.OSPID, b.OSPID)
				f.meshed("after a cut", list)
			}

			call("erlang:set_cookie('" + b.Node + "', other)")
			call("erlang:disconnect_node('" + b.Node + "')")
			f.until("word of it in the status", func() bool {
				return slices.ContainsFunc(f.world.app(f.app).Problems, func(p api.Problem) bool {
					return strings.Contains(p.What, a.Name) && strings.Contains(p.What, b.Name) && strings.Contains(p.What, "attempts") && strings.Contains(p.Remedy, "doctor dist")
				})
			})
			if n := len(f.eventsOf(api.EventSiblingLost)); n != 1 {
				t.Errorf("%d events say so", n)
			}
			call("erlang:set_cookie('" + b.Node + "', 'field-cookie')")
			f.meshed("afterwards", list)
			f.until("the end of the problem", func() bool {
				return len(f.world.app(f.app).Problems) == 0 && len(f.eventsOf(api.EventSiblingBack)) == 1
			})
		})
	}
}

// cut ends the TCP connections between two OS processes, as a broken network would.
func cut(t *testing.T, a, b int) {
	t.Helper()
	out, err := exec.Command("ss", "-tnpH", "state", "established").Output()
	if err != nil {
		t.Fatal(err)
	}
	owner := map[string]string{} // address → pid=N,
	var rows [][]string
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) == 5 {
			rows = append(rows, fields)
			owner[fields[2]] = fields[4]
		}
	}
	of := func(address string, pid int) bool {
		return strings.Contains(owner[address], fmt.Sprintf("pid=%d,", pid))
	}
	n := 0
	for _, r := range rows {
		if of(r[2], a) && of(r[3], b) {
			if out, err := exec.Command("ss", "-K", "-tn", "src", r[2], "dst", r[3]).CombinedOutput(); err != nil {
				t.Fatalf("ss -K: %v\n%s", err, out)
			}
			n++
		}
	}
	if n == 0 {
		t.Fatalf("no connection between %d and %d", a, b)
	}
}

func TestOTP_NoMesh(t *testing.T) {
	t.Parallel()
	f := newField(t, launch.Erlang, func(a *AppSpec) { a.Replicas = 2 }).up()
	f.publish("0.1.0")
	list := f.running(f.app, "0.1.0", 2)
	f.until("connections", func() bool { return f.nodes(list[0]) != "?" && f.nodes(list[1]) != "?" })
	for _, i := range f.world.app(f.app).Instances {
		if got := f.nodes(i); got != "" || i.Sees != nil {
			t.Errorf("%s is connected to %q, the status says %v", i.Name, got, i.Sees)
		}
	}
}
