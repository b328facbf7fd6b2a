package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// epmdPort is the port of the rig's EPMD.
func (r *rig) epmdPort() int {
	r.t.Helper()
	for _, kv := range r.env {
		if text, ok := strings.CutPrefix(kv, "ERL_EPMD_PORT="); ok {
			if port, err := strconv.Atoi(text); err == nil {
				return port
			}
		}
	}
	r.t.Fatal("the rig has no EPMD")
	return 0
}

// TestEndToEnd_ErlangAPI has instances of a real release, and another node, call the daemon.
func TestEndToEnd_ErlangAPI(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	short, _, _ := strings.Cut(r.node, "@")
	r.node = short + "@localhost"
	r.edit("name: "+short+"\n", "name: "+short+"\n  host: localhost\n  grant: [{nodes: \"panel@*\", rights: deploy}]\n")
	r.edit(`allow: ["observer@*"]`, `allow: ["panel@localhost", "other@localhost"]`)
	r.edit("      # probe: {http", "      probe: {api: true}\n      # probe: {http")
	d := r.run("--with-instances")

	// An instance asks the daemon by this; the daemon is asked to have it do so.
	ask := func(instance, function, args string) string {
		t.Helper()
		return strings.TrimSpace(r.must("rpc", r.app+"/"+instance, fmt.Sprintf("rpc:call('%s', beamkeeper, %s, [%s])", r.node, function, args)))
	}

	// Each instance is ready when it says so, and not before.
	r.must("publish", r.app, sampletest.Build(t, "erlang", "0.1.0"))
	var waited int
	a := r.await("two instances that have said that they are ready", func(a api.App) bool {
		for _, i := range a.Instances {
			if n := len(i.Readiness); n == 4 && i.Readiness[3].State == "waiting" {
				if i.State != api.StateStarting {
					t.Errorf("%s is %s before it has said that it is ready", i.Name, i.State)
				}
				waited++
				if got := ask(i.Name, "ready", ""); got != "ok" {
					t.Fatalf("ready() gives %s", got)
				}
			}
		}
		return running(2, "0.1.0")(a)
	})
	if waited < 2 {
		t.Errorf("%d instances were waited for, want 2", waited)
	}
	first, second := a.Instances[0], a.Instances[1]
	if got := ask(first.Name, "history", r.app); strings.Count(got, "version => <<\"0.1.0\">>") != 2 {
		t.Errorf("history gives %s", got)
	}
	if got := ask(first.Name, "status", "another_app"); got != "{error,denied}" {
		t.Errorf("status of another app gives %s", got)
	}

	// A node with a right, and one without.
	cookie, err := os.ReadFile(filepath.Join(r.dir, "var", "cookie"))
	if err != nil {
		t.Fatal(err)
	}
	otp := nodetest.Want(t, "25")[0]
	start := func(name string) *nodetest.Erl {
		e := nodetest.StartErl(t, otp, name, strings.TrimSpace(string(cookie)), r.epmdPort())
		e.Eval(fmt.Sprintf(`K = '%s', App = <<"%s">>, Rpc = fun(F, A) -> rpc:call(K, beamkeeper, F, A) end`, r.node, r.app))
		return e
	}
	if got := start("other@localhost").Eval("Rpc(status, [])"); got != "{error,denied}" {
		t.Errorf("a node without rights gets %s", got)
	}
	panel := start("panel@localhost")
	if got := panel.Eval("{ok, L} = Rpc(instances, [App]), lists:sort([N || #{name := N, state := <<\"running\">>} <- L])"); !strings.Contains(got, first.Name) || !strings.Contains(got, second.Name) {
		t.Errorf("the instances are %s", got)
	}
	if got := panel.Eval("{Rpc(restart, [App]), Rpc(restart, []), Rpc(drain, [])}"); got != "{{error,denied},{error,denied},{error,denied}}" {
		t.Errorf("what takes more rights gives %s", got)
	}
	panel.Eval("{ok, Source} = Rpc(subscribe, [#{app => App}]), M = monitor(process, Source), " +
		"Await = fun A(T) -> receive {beamkeeper_event, #{type := T, instance := I}} -> I after 60000 -> {no, T} end end, ok")

	// An instance restarts itself: the same name, another OS process, which has to say again that it is ready.
	if got := ask(first.Name, "restart", ""); got != "ok" {
		t.Errorf("restart() gives %s", got)
	}
	next := r.await("the restarted instance", func(a api.App) bool {
		for _, i := range a.Instances {
			if i.Name == first.Name && i.OSPID != 0 && i.OSPID != first.OSPID && len(i.Readiness) == 4 {
				return true
			}
		}
		return false
	})
	if next.Instances[0].State != api.StateStarting {
		t.Errorf("the restarted instance is %s", next.Instances[0].State)
	}
	if got := ask(first.Name, "ready", ""); got != "ok" {
		t.Errorf("ready() gives %s", got)
	}
	r.await("both again", running(2, "0.1.0"))
	if got := panel.Eval(`[Await(T) || T <- [<<"deployment_shutdown">>, <<"instance_stopped">>, <<"instance_started">>]]`); strings.Count(got, first.Name) != 3 {
		t.Errorf("the events of the restart are of %s", got)
	}

	// An instance has itself taken out; it stays out.
	if got := ask(second.Name, "drain", ""); got != "ok" {
		t.Errorf("drain() gives %s", got)
	}
	drained := r.await("the drained instance", func(a api.App) bool {
		return len(a.Instances) == 2 && a.Instances[1].State == api.StateStopped && !alive(second.OSPID)
	})
	if drained.Instances[1].Name != second.Name || drained.Mode == modeStopped {
		t.Errorf("after drain(): %+v", drained)
	}

	// A deployment by the panel.
	if got := panel.Eval(`{ok, #{to := Absent}} = Rpc(deploy, [App, "7.7.7"]), {Absent, Await(<<"deployment_failed">>)}`); got != `{<<"7.7.7">>,<<>>}` {
		t.Errorf("deploying what is not there gives %s", got)
	}
	if got := panel.Eval(`{ok, #{to := To}} = Rpc(deploy, [App, current]), To`); got != `<<"0.1.0">>` {
		t.Errorf("deploying the current version gives %s", got)
	}

	// The daemon goes; the subscriber hears of it.
	d.end(syscall.SIGTERM, exitOK)
	if got := panel.Eval("receive {'DOWN', M, process, Source, Why} -> Why after 30000 -> none end"); got != "shutdown" && got != "noconnection" {
		t.Errorf("the subscriber hears %s", got)
	}
	log := d.readLog()
	for _, line := range []string{"beamkeeper:drain/0", "beamkeeper:restart/0", "denied"} {
		if !strings.Contains(log, line) {
			t.Errorf("the log says nothing of %s", line)
		}
	}
}
