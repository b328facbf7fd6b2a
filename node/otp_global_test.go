package node_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// Three BEAMs that prevent overlapping partitions use global and pg while a node of ours is connected with all of them,
// comes and goes, and two of them lose each other. All is as it is without us, which the first case shows.
func TestOTP_GlobalUndisturbed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		release string
		with    bool
	}{{"25", false}, {"25", true}, {"27", true}} {
		t.Run(fmt.Sprintf("%s_%v", c.release, c.with), func(t *testing.T) {
			t.Parallel()
			g := startGlobalCluster(t, nodetest.Want(t, c.release)[0])
			if c.with {
				g.join()
			}
			g.check("at first")
			if c.with {
				g.comeAndGo()
				g.check("after coming and going")
			}
			g.partition()
			g.check("healed")
			for _, e := range g.beams {
				if out := e.Output(); strings.Contains(out, "keeper") {
					t.Errorf("%s speaks of us:\n%s", e.Name, out)
				}
			}
		})
	}
}

type globalCluster struct {
	t     *testing.T
	epmd  int
	beams []*nodetest.Erl

	us     *node.Node // nil: the cluster is among itself
	box    *node.Mailbox
	events atomic.Int64 // nodeup and nodedown
}

func startGlobalCluster(t *testing.T, otp nodetest.OTP) *globalCluster {
	g := &globalCluster{t: t, epmd: nodetest.StartEPMD(t)}
	for _, name := range []string{"a", "b", "c"} {
		e := nodetest.StartErl(t, otp, name, cookie, g.epmd, "-kernel", "prevent_overlapping_partitions", "true")
		e.Eval("net_kernel:monitor_nodes(true), {ok, _} = pg:start(pg), register(sentinel, spawn(fun() -> receive after infinity -> ok end end))")
		g.beams = append(g.beams, e)
	}
	g.mesh()
	return g
}

// mesh has a connect to the others, and waits until all are connected with all. With us it is we who ask for it, as
// for "cluster: mesh".
func (g *globalCluster) mesh() {
	g.t.Helper()
	whole := func() bool {
		for _, pair := range [][2]int{{0, 1}, {0, 2}, {1, 2}} {
			at, to := g.beams[pair[0]], g.beams[pair[1]]
			if strings.Contains(at.Eval("nodes()"), to.Name) {
				continue
			}
			if g.us == nil {
				at.Eval("net_kernel:connect_node(" + to.Name + ")")
			} else if _, err := g.us.Call(ctx(g.t), nameOf(at), "net_kernel", "connect_node", etf.Atom(to.Name)); err != nil {
				g.t.Fatal(err)
			}
			return false
		}
		for _, e := range g.beams {
			if e.Eval("length(nodes())") != "2" {
				return false
			}
		}
		return true
	}
	eventually(g.t, "three nodes connected with each other", whole)
	for _, e := range g.beams {
		e.Eval("(fun F() -> receive {nodeup, _} -> F(); {nodedown, _} -> F() after 0 -> ok end end)()")
	}
}

// join connects a node of ours with all.
func (g *globalCluster) join() {
	g.t.Helper()
	g.us, g.box = startNode(g.t, "keeper@localhost", g.epmd), &node.Mailbox{}
	g.events.Store(0)
	g.us.Subscribe(func(node.NodeEvent) { g.events.Add(1) })
	p := g.us.Spawn(g.box)
	for _, e := range g.beams {
		if _, err := p.Monitor(ctx(g.t), node.ToName("sentinel", nameOf(e))); err != nil {
			g.t.Fatal(err)
		}
	}
	eventually(g.t, "all nodeups", func() bool { return g.events.Load() == 3 })
}

// check uses what global and pg offer.
func (g *globalCluster) check(when string) {
	g.t.Helper()
	expect := func(e *nodetest.Erl, expr, want string) {
		g.t.Helper()
		if got := e.Eval(expr); got != want {
			g.t.Errorf("%s, %s: %s\n got %s\nwant %s", when, e.Name, expr, got, want)
		}
	}
	began := time.Now()
	name := strings.ReplaceAll(when, " ", "_")
	for i, e := range g.beams {
		other := g.beams[(i+1)%3]
		expect(e, "global:sync()", "ok")
		expect(e, "lists:sort([node() | nodes()])", "[a@localhost,b@localhost,c@localhost]")
		expect(e, "global:set_lock({lock, node()}, [node() | nodes()], 0)", "true")
		expect(other, "global:set_lock({lock, node()}, [node() | nodes()], 0)", "false")
		expect(e, "global:del_lock({lock, node()})", "true")
		expect(e, "global:trans({lock, self()}, fun() -> done end)", "done")
		registered := fmt.Sprintf("%s_%d", name, i)
		expect(e, "global:register_name("+registered+", whereis(sentinel))", "yes")
		expect(e, "ok = pg:join("+registered+", whereis(sentinel))", "ok")
		for _, o := range g.beams {
			expect(o, "node(global:whereis_name("+registered+"))", e.Name)
			eventually(g.t, "pg of "+o.Name, func() bool { return o.Eval("[node(P) || P <- pg:get_members("+registered+")]") == "["+e.Name+"]" })
		}
		expect(other, "global:unregister_name("+registered+"), global:whereis_name("+registered+")", "undefined")
		if g.us != nil {
			expect(e, "nodes(hidden)", "[keeper@localhost]")
			expect(e, "[N || {_, P} <- [{x, global:whereis_name(X)} || X <- global:registered_names()], N <- [node(P)], N =:= keeper@localhost]", "[]")
		}
	}
	if d := time.Since(began); d > 30*time.Second {
		g.t.Errorf("%s: all that took %v", when, d)
	}
}

// comeAndGo has our node leave and come back, as itself and as a new one, while the three take locks from each other.
// Nobody is told of a node that the cluster could see.
func (g *globalCluster) comeAndGo() {
	g.t.Helper()
	const rounds = 20
	for _, e := range g.beams {
		e.Eval(fmt.Sprintf(`Me = self(), spawn(fun() -> Me ! {rounds, [global:trans({shared, self()}, fun() -> ok end, [node() | nodes()]) || _ <- lists:seq(1, %d)]} end), ok`, rounds))
	}
	for i := range 10 {
		if i%2 == 0 {
			for _, e := range g.beams {
				g.us.Disconnect(nameOf(e))
			}
		} else {
			g.us.Close()
			g.us = startNode(g.t, "keeper@localhost", g.epmd)
		}
		for _, e := range g.beams {
			eventually(g.t, "our coming back", func() bool { return g.us.Connect(ctx(g.t), nameOf(e)) == nil })
		}
	}
	for _, e := range g.beams {
		got := e.Eval("receive {rounds, R} -> {length(R), lists:usort(R)} after 60000 -> late end")
		if want := fmt.Sprintf("{%d,[ok]}", rounds); got != want {
			g.t.Errorf("transactions of %s: %s, want %s", e.Name, got, want)
		}
		if got := e.Eval("receive {nodeup, N1} -> {up, N1}; {nodedown, N1} -> {down, N1} after 0 -> nothing end"); got != "nothing" {
			g.t.Errorf("%s heard of %s", e.Name, got)
		}
	}
	g.us.Close()
	g.join()
}

// partition has a and b lose each other. global takes care that there is no node that sees two that do not see each
// other; each part works on, and a name that was given twice is one again afterwards. We stay connected with all.
func (g *globalCluster) partition() {
	g.t.Helper()
	events := g.events.Load()
	a, b := g.beams[0], g.beams[1]
	a.Eval("erlang:disconnect_node(b@localhost)")
	sees := func() (m [3][]string) {
		for i, e := range g.beams {
			m[i] = strings.Split(strings.Trim(e.Eval("lists:sort([node() | nodes()])"), "[]"), ",")
		}
		return m
	}
	parted := func() bool {
		m := sees()
		for i := range m {
			for j := range m {
				if slices.Contains(m[i], g.beams[j].Name) && !slices.Equal(m[i], m[j]) {
					return false
				}
			}
		}
		return !slices.Contains(m[0], b.Name)
	}
	eventually(g.t, "parts that do not overlap", parted)
	for _, e := range g.beams {
		if got := e.Eval("ok = global:sync(), global:trans({lock, self()}, fun() -> done end)"); got != "done" {
			g.t.Errorf("transaction in the part of %s: %s", e.Name, got)
		}
	}
	for _, e := range []*nodetest.Erl{a, b} {
		if got := e.Eval("global:register_name(twice, spawn(fun() -> receive after infinity -> ok end end))"); got != "yes" {
			g.t.Errorf("register_name in the part of %s: %s", e.Name, got)
		}
	}
	if !parted() {
		g.t.Errorf("the parts have grown together: %v", sees())
	}
	if g.us != nil {
		if got := g.events.Load() - events; got != 0 || g.box.Len() != 0 || len(g.us.Peers()) != 3 {
			g.t.Errorf("we noticed the partition: %d events, %d signals, %d peers", got, g.box.Len(), len(g.us.Peers()))
		}
	}
	g.mesh()
	eventually(g.t, "one process behind the name", func() bool {
		at := a.Eval("global:whereis_name(twice), catch node(global:whereis_name(twice))")
		return (at == a.Name || at == b.Name) && b.Eval("catch node(global:whereis_name(twice))") == at &&
			g.beams[2].Eval("catch node(global:whereis_name(twice))") == at
	})
	a.Eval("global:unregister_name(twice)")
}
