package actors

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/launch"
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
