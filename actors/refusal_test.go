package actors

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/release"
)

// shelved says what is in the releases of a shelf.
type shelved struct {
	mu       sync.Mutex
	contents map[string]release.Contents // by version
	looked   int
}

func (s *shelved) Find(app, version, sum string) (release.Release, error) {
	return release.Release{App: app, Version: version, SHA256: firstOf(sum, "sha-of-"+version)}, nil
}

func (s *shelved) Contents(_ context.Context, rel release.Release) (release.Contents, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looked++
	c, ok := s.contents[rel.Version]
	if !ok {
		c = plainContents(rel.Version)
	}
	return c, nil
}

// plainContents are those of a release that can run, and that nothing can be upgraded to hot.
func plainContents(version string) release.Contents {
	return release.Contents{
		Package: release.Package{Language: release.Erlang, Name: "shop", Version: version, ERTS: "14.2"},
		Apps: []release.AppContents{
			{Name: "sasl", Version: "4.2"},
			{Name: "shop", Version: version, Modules: []release.Module{{Name: "shop", Digest: version}}},
		},
	}
}

// elsewhere are contents for another machine.
func elsewhere(version string) release.Contents {
	c := plainContents(version)
	c.Natives = []release.Native{{Path: "erts-14.2/bin/beam.smp", Machine: "s390x"}}
	return c
}

func TestRefused_StopsNothingAndIsToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1))
	archives := &shelved{contents: map[string]release.Contents{"2.0.0": elsewhere("2.0.0")}}
	w.cfg.Archives, w.cfg.Source.Bucket = archives, w.bucket
	w.cfg.Host = func() release.Host { return release.Host{Machine: "amd64"} }
	w.publish("shop", "1.0.0")
	w.up()
	before := w.running("shop", "1.0.0", 1)[0]

	w.publish("shop", "2.0.0")
	w.until("word of the refusal", func() bool { return len(w.eventsOf(api.EventReleaseRefused)) == 1 })
	a := w.app("shop")
	if a.Deployment == nil || a.Deployment.Outcome != api.DeploymentRefused || a.Deployment.To != "2.0.0" || len(a.Ghosted) != 0 {
		t.Errorf("status %+v, deployment %+v", a, a.Deployment)
	}
	d := w.ended(a.Deployment.ID, api.DeploymentRefused)
	if !strings.Contains(d.Error, "is for s390x, this host is amd64") || len(d.Instances) != 0 || d.Steps[len(d.Steps)-1].Name != "check" {
		t.Errorf("deployment %+v", d)
	}
	e := w.eventsOf(api.EventReleaseRefused)[0]
	if e.Version != "2.0.0" || e.Deployment != d.ID || fmt.Sprint(e.Data["reasons"]) == "" || !strings.Contains(e.Message, "nothing was changed") {
		t.Errorf("event %+v", e)
	}

	// Nor does a daemon that is started again tell it again, though it reads the same word.
	w.down(false)
	w.up()
	w.publish("shop", "2.0.0")
	w.until("another look", func() bool { c, ok := w.sys.board.change("shop"); return ok && c.told })
	if now := w.running("shop", "1.0.0", 1)[0]; now.OSPID != before.OSPID {
		t.Errorf("it was restarted: %+v", now)
	}
	if n, m := len(w.eventsOf(api.EventReleaseRefused)), len(w.eventsOf(api.EventDeploymentStarted)); n != 1 || m != 2 {
		t.Errorf("told %d times, %d deployments", n, m)
	}
	// Whoever asks is told each time.
	w.ended(w.deploy("shop", "2.0.0").ID, api.DeploymentRefused)
	// What was brought before is not asked for again: a way back must not be closed by what a look at a file says.
	archives.mu.Lock()
	archives.contents["1.0.0"] = elsewhere("1.0.0")
	looked := archives.looked
	archives.mu.Unlock()
	w.run("shop", "3.0.0")
	w.run("shop", "1.0.0")
	back, err := w.sys.Rollback(t.Context(), "shop", api.VersionRequest{})
	if err != nil {
		t.Fatal(err)
	}
	w.ended(back.ID, api.DeploymentSucceeded)
	if archives.looked != looked+1 {
		t.Errorf("looked into %d archives", archives.looked-looked)
	}
}

func TestRefused_AnArchiveThatDoesNotUnpack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	w.run("shop", "1.0.0")
	w.shelf.set(func() {
		w.shelf.fails = &release.Error{Op: "unpack", Release: "shop", Version: "2.0.0", Err: release.ErrBadRel}
	})
	d := w.ended(w.deploy("shop", "2.0.0").ID, api.DeploymentRefused)
	if d.Steps[len(d.Steps)-1].Name != "unpack" {
		t.Errorf("steps %+v", d.Steps)
	}
	w.shelf.set(func() {
		w.shelf.fails = &release.Error{Op: "fetch", Release: "shop", Version: "2.0.0", Err: release.ErrNotFound}
	})
	w.ended(w.deploy("shop", "2.0.1").ID, api.DeploymentFailed)
	if n := len(w.eventsOf(api.EventReleaseRefused)); n != 1 {
		t.Errorf("told %d times", n)
	}
	w.running("shop", "1.0.0", 1)
}
