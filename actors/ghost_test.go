package actors

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/release"
)

// watched is a world whose bucket is watched.
func watched(t *testing.T, apps ...AppSpec) *world {
	w := newWorld(t, apps...)
	w.cfg.Source = release.Source{Bucket: w.bucket}
	return w
}

func (w *world) ghosts(app string) []api.Ghost {
	w.t.Helper()
	list, err := w.sys.Ghosts(w.t.Context(), app)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// lastEnded waits until the last deployment of an app is one to the version and has ended.
func (w *world) lastEnded(app, version string) (d api.Deployment) {
	w.t.Helper()
	w.until("the end of a deployment to "+version, func() bool {
		all, err := w.sys.Deployments(w.t.Context(), app, 1)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(all) == 1 {
			d = all[0]
		}
		return d.To == version && d.Outcome != api.DeploymentRunning
	})
	return d
}

func TestGhost_OfAVersionThatDoesNotGetReady(t *testing.T) {
	t.Parallel()
	spec := app("shop", 2)
	spec.Readiness.Timeout = 500 * time.Millisecond
	w := watched(t, spec)
	w.shelf.scripts["2.0.0"] = "echo this is the new one; exec sleep 1000"
	w.publish("shop", "1.0.0")
	w.up()
	w.running("shop", "1.0.0", 2)
	w.only("2.0.0", 0)
	w.publish("shop", "2.0.0")
	d := w.lastEnded("shop", "2.0.0")
	list := w.ghosts("shop")
	if len(list) != 1 {
		t.Fatalf("ghosts are %+v", list)
	}
	g := list[0]
	if g.Version != "2.0.0" || g.SHA256 != "sha-of-2.0.0" || g.Deployment != d.ID || !strings.Contains(g.Reason, "was not ready within 500ms: node is missing") ||
		!slices.Contains(g.LogTail, "this is the new one") || len(g.Readiness) != 2 || g.Readiness[1].Name != "node" || g.At.IsZero() {
		t.Errorf("ghost is %+v", g)
	}
	if a := w.app("shop"); !slices.Equal(a.Ghosted, []string{"2.0.0"}) {
		t.Errorf("app is %+v", a)
	}
	_, err := w.sys.Deploy(t.Context(), api.DeployRequest{App: "shop", Version: "2.0.0"})
	wantCode(t, err, api.CodeRefused)
	_, err = w.sys.Pin(t.Context(), "shop", api.VersionRequest{Version: "2.0.0"})
	wantCode(t, err, api.CodeRefused)

	// Start does not ask for it: the one deployment to it is still the last.
	for range 2 { // the second is heard when the first has been dealt with
		if err := w.sys.Start(t.Context(), api.Target{App: "shop"}); err != nil {
			t.Fatal(err)
		}
	}
	if last := w.lastEnded("shop", "2.0.0"); last.ID != d.ID {
		t.Errorf("start tried it again: %+v", last)
	}

	// It is skipped, over restarts of the daemon too.
	w.publish("shop", "3.0.0")
	w.lastEnded("shop", "3.0.0")
	w.down(false)
	w.up()
	w.publish("shop", "2.0.0")
	w.until("the word about the ghost", func() bool { return len(w.eventsOf(api.EventVersionSkipped)) == 1 })
	w.running("shop", "3.0.0", 2)
	if d := w.lastEnded("shop", "3.0.0"); d.Outcome != api.DeploymentSucceeded {
		t.Errorf("last deployment is %+v", d)
	}

	// Once it is cleared, what current.json names is tried.
	_, err = w.sys.ClearGhosts(t.Context(), "shop", "9.9.9")
	wantCode(t, err, api.CodeNotFound)
	w.only("2.0.0", 100)
	if gone, err := w.sys.ClearGhosts(t.Context(), "shop", "2.0.0"); err != nil || len(gone) != 1 {
		t.Fatalf("cleared %+v, %v", gone, err)
	}
	w.running("shop", "2.0.0", 2)
	if len(w.ghosts("shop")) != 0 {
		t.Error("the ghost is still there")
	}
}

func TestGhost_AnotherArchiveIsANewCandidate(t *testing.T) {
	t.Parallel()
	spec := app("shop", 1)
	spec.Readiness.Timeout = 500 * time.Millisecond
	w := watched(t, spec).up()
	w.run("shop", "1.0.0")
	w.only("2.0.0", 0)
	w.publish("shop", "2.0.0")
	w.lastEnded("shop", "2.0.0")
	w.until("the ghost", func() bool { return len(w.ghosts("shop")) == 1 })
	// The same archive under another hash is fetched, and then known again.
	w.publish("shop", "2.0.0", "x")
	w.until("the deployment that finds it out", func() bool {
		d := w.lastEnded("shop", "2.0.0")
		return strings.Contains(d.Error, "it is a ghost")
	})
	w.only("2.0.0", 100)
	w.shelf.set(func() { w.shelf.sums = map[string]string{"2.0.0": "another"} })
	w.publish("shop", "2.0.0", "y")
	w.running("shop", "2.0.0", 1)
	w.until("no ghosts", func() bool { return len(w.ghosts("shop")) == 0 })
	if e := w.eventsOf(api.EventNewCandidate); len(e) == 0 {
		t.Error("nothing was said")
	}
}

func TestGhost_NotForWhatTheMachineIsToBlameFor(t *testing.T) {
	t.Parallel()
	spec := app("shop", 1)
	spec.Readiness.Timeout = 500 * time.Millisecond
	w := newWorld(t, spec).up()
	w.run("shop", "1.0.0")
	w.shelf.set(func() { w.shelf.fails = errors.New("connection reset by peer") })
	w.ended(w.deploy("shop", "2.0.0").ID, api.DeploymentFailed)
	w.shelf.set(func() { w.shelf.fails = nil })
	w.cluster.set(func() { w.cluster.refuse[""] = &node.EPMDError{Addr: "127.0.0.1:4369", Err: syscall.ECONNREFUSED} })
	w.ended(w.deploy("shop", "3.0.0").ID, api.DeploymentFailed)
	d := w.deploy("shop", "4.0.0")
	if err := w.sys.AbortDeployment(t.Context(), d.ID); err != nil {
		t.Fatal(err)
	}
	if list := w.ghosts("shop"); len(list) != 0 {
		t.Errorf("ghosts are %+v", list)
	}
	w.cluster.set(func() { delete(w.cluster.refuse, "") })
	w.run("shop", "3.0.0")
}
