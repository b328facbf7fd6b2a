package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/release"
)

// The last word wins: a changed current.json, then an operator, then a changed current.json.
func TestWish_TheLastWordWins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1))
	w.cfg.Source.Bucket = w.bucket
	w.up()
	if a := w.app("shop"); a.DesiredVersion != "" || len(a.Instances) != 0 {
		t.Errorf("app is %+v", a)
	}
	w.until("the advice to publish", func() bool {
		p := w.app("shop").Problems
		return len(p) == 1 && strings.Contains(p[0].Remedy, "beamkeeper publish shop FILE")
	})
	w.publish("shop", "1.0.0")
	w.running("shop", "1.0.0", 1)
	w.run("shop", "2.0.0")
	w.running("shop", "2.0.0", 1)
	// A restart of the daemon is no new word of the bucket.
	w.down(false)
	w.up()
	w.until("current.json to be read", func() bool { _, ok := w.sys.board.change("shop"); return ok })
	w.sys.send(managerActor("shop"), msgChanged{})
	w.running("shop", "2.0.0", 1)
	if a := w.app("shop"); a.DesiredVersion != "2.0.0" {
		t.Errorf("app is %+v", a)
	}
	w.publish("shop", "3.0.0")
	w.running("shop", "3.0.0", 1)
	// The operator may ask for what the bucket names.
	w.run("shop", "1.0.0")
	if d, err := w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop"}); err != nil || d.To != "3.0.0" || d.Hash != "hash-of-3.0.0" {
		t.Errorf("Deploy = %+v, %v", d, err)
	}
	w.running("shop", "3.0.0", 1)
	if e := w.eventsOf(api.EventReleasePublished); len(e) != 2 || e[1].Version != "3.0.0" {
		t.Errorf("events are %+v", e)
	}
	w.until("no deployment", func() bool { return w.app("shop").Deployment == nil })
	if h, err := w.sys.History(t.Context(), "shop"); err != nil || fmt.Sprint(versions(h)) != "[3.0.0 1.0.0 3.0.0 2.0.0 1.0.0]" || h[0].Hash != "hash-of-3.0.0" {
		t.Errorf("history is %+v, %v", h, err)
	}
}

func versions(h []api.HistoryEntry) []string {
	list := make([]string, len(h))
	for i := range h {
		list[i] = h[i].Version
	}
	return list
}

// A version that failed is tried again when current.json is changed, with the same version but another archive.
func TestWish_AFailedVersionIsTriedAgainWhenCurrentChanges(t *testing.T) {
	t.Parallel()
	spec := app("shop", 1)
	spec.Readiness.Timeout = 300 * time.Millisecond
	w := newWorld(t, spec)
	w.cfg.Source.Bucket = w.bucket
	w.cluster.refuse[""] = errors.New("never")
	w.up()
	w.publish("shop", "1.0.0")
	failed := func(n int) func() bool {
		return func() bool { return len(w.eventsOf(api.EventDeploymentFailed)) == n }
	}
	w.until("the failure", failed(1))
	archive := func(sum string) { w.shelf.set(func() { w.shelf.sums = map[string]string{"1.0.0": sum} }) }
	archive("second")
	w.publish("shop", "1.0.0", "built again")
	w.until("the second failure", failed(2))
	w.cluster.set(func() { delete(w.cluster.refuse, "") })
	archive("third")
	w.publish("shop", "1.0.0", "and again")
	w.running("shop", "1.0.0", 1)
}

// An archive that comes after its current.json is deployed when it is there.
func TestWish_TheArchiveMayComeLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1))
	w.cfg.Source.Bucket = w.bucket
	w.shelf.fails = &release.Error{Op: "fetch", Release: "shop", Version: "1.0.0", Err: release.ErrNotFound}
	w.up()
	w.publish("shop", "1.0.0")
	w.until("the failure", func() bool { return len(w.eventsOf(api.EventDeploymentFailed)) == 1 })
	w.shelf.set(func() { w.shelf.fails = nil })
	if err := w.bucket.Put(t.Context(), release.ArchiveKey("shop", "1.0.0"), strings.NewReader("archive"), 7); err != nil {
		t.Fatal(err)
	}
	w.running("shop", "1.0.0", 1)
}

func TestLogs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2))
	w.shelf.scripts["1.0.0"] = "echo out of $BEAMKEEPER_INSTANCE; echo err >&2; exec sleep 1000"
	w.up()
	w.run("shop", "1.0.0")
	list := w.running("shop", "1.0.0", 2)
	read := func(r api.LogRequest) []string {
		var lines []string
		if err := w.sys.Logs(t.Context(), r, func(l api.LogLine) bool {
			lines = append(lines, l.Instance+" "+l.Stream+" "+l.Text)
			return true
		}); err != nil {
			t.Fatal(err)
		}
		slices.Sort(lines) // without times of their own they come as the files were last written to
		return lines
	}
	a, b := list[0].Name, list[1].Name
	all := []string{a + " stderr err", a + " stdout out of " + a, b + " stderr err", b + " stdout out of " + b}
	slices.Sort(all)
	w.until("the logs", func() bool { return slices.Equal(read(api.LogRequest{Target: api.Target{App: "shop"}}), all) })
	if got := read(api.LogRequest{Target: api.Target{App: "shop", Instance: b}, Stream: "stderr"}); !slices.Equal(got, []string{b + " stderr err"}) {
		t.Errorf("logs are %q", got)
	}
	if got := read(api.LogRequest{Target: api.Target{App: "shop"}, Grep: "^out"}); !slices.Equal(got, []string{all[1], all[3]}) {
		t.Errorf("logs are %q", got)
	}
	for _, bad := range []api.LogRequest{{Grep: "("}, {Stream: "both"}, {Level: "loud"}, {Lines: 1 << 40}} {
		bad.App = "shop"
		wantCode(t, w.sys.Logs(t.Context(), bad, func(api.LogLine) bool { return true }), api.CodeUsage)
	}
	wantCode(t, w.sys.Logs(t.Context(), api.LogRequest{Target: api.Target{App: "none"}}, nil), api.CodeNotFound)
	wantCode(t, w.sys.Logs(t.Context(), api.LogRequest{Target: api.Target{App: "shop", Instance: "shop-zzzzzz"}}, nil), api.CodeNotFound)
	wantCode(t, w.sys.Logs(t.Context(), api.LogRequest{Target: api.Target{App: "shop", Instance: "../shop/" + a}}, nil), api.CodeNotFound)

	// One that is gone has left its log, which is often why somebody asks.
	if err := w.sys.Scale(t.Context(), "shop", 1); err != nil {
		t.Fatal(err)
	}
	w.running("shop", "1.0.0", 1)
	w.until("one instance", func() bool { return len(w.app("shop").Instances) == 1 })
	gone := a
	if w.app("shop").Instances[0].Name == a {
		gone = b
	}
	if got := read(api.LogRequest{Target: api.Target{App: "shop", Instance: gone}, Stream: "stderr"}); !slices.Equal(got, []string{gone + " stderr err"}) {
		t.Errorf("logs of %s are %q", gone, got)
	}
	if got := read(api.LogRequest{Target: api.Target{App: "shop"}, All: true}); !slices.Equal(got, all) {
		t.Errorf("logs of all instances are %q", got)
	}
	if got := read(api.LogRequest{Target: api.Target{App: "shop"}}); len(got) != 2 {
		t.Errorf("logs of the instances that there are: %q", got)
	}
}

// A call to an instance that does not run says so, and not that its node is unknown.
func TestRPC_OfAStoppedInstanceIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1))
	w.up()
	w.run("shop", "1.0.0")
	target := api.Target{App: "shop", Instance: w.running("shop", "1.0.0", 1)[0].Name}
	if err := w.sys.Stop(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	w.until("it to be stopped", func() bool { return w.instance("shop", target.Instance).State == api.StateStopped })
	_, err := w.sys.RPC(t.Context(), api.RPCRequest{Target: target, Call: "erlang:node()."})
	wantCode(t, err, api.CodeRefused)
	if !strings.Contains(err.Error(), "does not run: it is in state stopped") {
		t.Errorf("error is %v", err)
	}
}

// deploy of what runs names the deployment that brought it, not a later one that failed with another archive.
func TestDeploy_OfWhatRunsIsASuccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1))
	w.up()
	first := w.run("shop", "1.0.0")
	err := w.sys.cfg.State.Update(func(tx *state.Tx) error {
		id, err := tx.NextDeployment()
		return errors.Join(err, tx.PutDeployment(api.Deployment{ID: id, App: "shop", To: "1.0.0", Outcome: api.DeploymentFailed}))
	})
	if err != nil {
		t.Fatal(err)
	}
	if d, err := w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop", Version: "1.0.0"}); err != nil || d.ID != first.ID {
		t.Errorf("Deploy = %+v, %v", d, err)
	}
}

func TestLogs_FollowsNewInstancesToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1))
	for _, v := range []string{"1.0.0", "2.0.0"} {
		w.shelf.scripts[v] = "echo this is " + v + "; exec sleep 1000"
	}
	w.up()
	w.run("shop", "1.0.0")
	lines := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- w.sys.Logs(ctx, api.LogRequest{Target: api.Target{App: "shop"}, Lines: 10, Follow: true}, func(l api.LogLine) bool {
			lines <- l.Text
			return true
		})
	}()
	seen := func(text string) {
		t.Helper()
		select {
		case got := <-lines:
			if got != text {
				t.Errorf("line %q, want %q", got, text)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no line %q", text)
		}
	}
	seen("this is 1.0.0")
	w.run("shop", "2.0.0")
	seen("this is 2.0.0")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestStatus_BeforeAnythingAndNamesOfInstances(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("my-shop", 1))
	w.cfg.Problems = func() []api.Problem { return []api.Problem{{What: "no epmd"}} }
	w.up()
	st, err := w.sys.Status(t.Context())
	if err != nil || st.Node != w.cluster.name.String() || st.Version != "test" || len(st.Problems) != 1 || st.Apps[0].Mode != "automatic" {
		t.Errorf("status is %+v, %v", st, err)
	}
	w.run("my-shop", "1.0.0")
	name := w.running("my-shop", "1.0.0", 1)[0].Name
	if app, ok := AppOf(name); !ok || app != "my-shop" || !w.sys.Knows(w.sys.nodeName(name)) {
		t.Errorf("AppOf(%q) = %q, %v", name, app, ok)
	}
	for _, bad := range []string{"", "shop", "-abcdef", "shop-abcde", "shop-ABCDEF", "shop_abcdef"} {
		if app, ok := AppOf(bad); ok {
			t.Errorf("AppOf(%q) = %q", bad, app)
		}
	}
}

func TestStart_RefusesABadConfiguration(t *testing.T) {
	t.Parallel()
	if err := newWorld(t, app("shop", 1), app("shop", 2)).upErr(); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("Start: %v", err)
	}
	if err := newWorld(t, app("../shop", 1)).upErr(); err == nil {
		t.Error("an app that would leave its folder is accepted")
	}
	if _, err := Start(t.Context(), Config{}); err == nil {
		t.Error("the zero Config is accepted")
	}
	if err := newWorld(t).upErr(); err != nil {
		t.Errorf("no apps: %v", err)
	}
}
