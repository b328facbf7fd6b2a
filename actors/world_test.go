package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/launch"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/release"
)

// world is a System whose OS processes, state store and tree are real. Releases are shell scripts, and the cluster is a
// stage on which the tests say who is up.
type world struct {
	t       *testing.T
	dir     string
	cfg     Config
	sys     *System
	store   *state.Store
	cluster *stage
	shelf   *shelf
	bucket  *release.LocalBucket
	broken  atomic.Bool  // the store takes nothing
	refused atomic.Int64 // commits that it did not take
}

// app is the app of a world: a release that looks like relx's.
func app(name string, replicas int) AppSpec {
	return AppSpec{
		Name: name, Language: launch.Erlang, Replicas: replicas, Poll: 50 * time.Millisecond,
		Ports: []launch.Port{{Key: "PORT", Base: 21000}}, Stop: 2 * time.Second,
		Readiness: Readiness{Timeout: 20 * time.Second},
	}
}

func newWorld(t *testing.T, apps ...AppSpec) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	w.shelf = &shelf{dir: filepath.Join(w.dir, "service"), scripts: map[string]string{}}
	w.cluster = &stage{name: node.Name{Alive: "bk" + strings.ToLower(newInstanceName("")[1:]), Host: "localhost"}, refuse: map[string]error{}, started: map[string]bool{}}
	w.bucket = release.NewLocalBucket(filepath.Join(w.dir, "bucket"))
	var out slog.Handler = slog.DiscardHandler
	if testing.Verbose() {
		out = slog.NewTextHandler(testWriter{t}, nil)
	}
	w.cfg = Config{
		Apps: apps, Cluster: w.cluster, Releases: w.shelf, LogDir: filepath.Join(w.dir, "log"),
		BaseEnv: os.Environ(), Version: "test", Log: slog.New(out),
	}
	t.Cleanup(func() {
		w.down(true)
		if left, err := process.Find(w.cluster.name.String()); err != nil || len(left) != 0 {
			t.Errorf("left running: %+v, %v", left, err)
		}
	})
	return w
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	defer func() { recover() }() // after the test's end
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// up starts the daemon's part.
func (w *world) up() *world {
	w.t.Helper()
	if err := w.upErr(); err != nil {
		w.t.Fatal(err)
	}
	return w
}

func (w *world) upErr() (err error) {
	if w.store, err = state.Open(filepath.Join(w.dir, "state")); err != nil {
		return err
	}
	w.store.OnCommit(func(done bool) error {
		if !done && w.broken.Load() {
			w.refused.Add(1)
			return unix.ENOSPC
		}
		return nil
	})
	w.cfg.State = w.store
	sys, err := Start(context.Background(), w.cfg)
	if err != nil {
		w.store.Close()
		return err
	}
	w.sys = sys
	w.cluster.set(func() { w.cluster.sys = sys })
	return nil
}

// down ends it.
func (w *world) down(stop bool) {
	w.t.Helper()
	if w.sys == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := w.sys.Close(ctx, stop); err != nil {
		w.t.Errorf("Close: %v", err)
	}
	w.sys = nil
	if err := w.store.Close(); err != nil {
		w.t.Error(err)
	}
}

func (w *world) deploy(app, version string) api.Deployment {
	w.t.Helper()
	d, err := w.sys.Deploy(w.t.Context(), api.DeployRequest{App: app, Version: version})
	if err != nil {
		w.t.Fatalf("Deploy %s %s: %v", app, version, err)
	}
	return d
}

// ended waits for the end of a deployment.
func (w *world) ended(id, outcome string) api.Deployment {
	w.t.Helper()
	var d api.Deployment
	w.until("the end of deployment "+id, func() bool {
		var err error
		if d, err = w.sys.Deployment(w.t.Context(), id); err != nil {
			w.t.Fatal(err)
		}
		return d.Outcome != api.DeploymentRunning
	})
	if d.Outcome != outcome {
		w.t.Fatalf("deployment %s: %s (%s), want %s", id, d.Outcome, d.Error, outcome)
	}
	return d
}

// run deploys and waits until that has succeeded.
func (w *world) run(app, version string) api.Deployment {
	w.t.Helper()
	return w.ended(w.deploy(app, version).ID, api.DeploymentSucceeded)
}

func (w *world) app(name string) api.App {
	w.t.Helper()
	st, err := w.sys.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, a := range st.Apps {
		if a.Name == name {
			return a
		}
	}
	w.t.Fatalf("no app %q in %+v", name, st)
	return api.App{}
}

// until waits for a condition.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			st := ""
			if w.sys != nil {
				s, err := w.sys.Status(context.Background())
				st = fmt.Sprintf("%+v %v", s, err)
			}
			w.t.Fatalf("waited in vain for %s: %s", what, st)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// running waits until the app has n running instances of the version, and no others.
func (w *world) running(app, version string, n int) []api.Instance {
	w.t.Helper()
	var list []api.Instance
	w.until(fmt.Sprintf("%d running %s %s", n, app, version), func() bool {
		list = w.app(app).Instances
		return len(list) == n && !slices.ContainsFunc(list, func(i api.Instance) bool {
			return i.State != api.StateRunning || i.Version != version || i.OSPID == 0
		})
	})
	return list
}

func (w *world) instance(app, name string) api.Instance {
	w.t.Helper()
	for _, i := range w.app(app).Instances {
		if i.Name == name {
			return i
		}
	}
	return api.Instance{}
}

func (w *world) events() []api.Event {
	w.t.Helper()
	var list []api.Event
	if err := w.sys.Events(w.t.Context(), 0, false, func(e api.Event) bool { list = append(list, e); return true }); err != nil {
		w.t.Fatal(err)
	}
	return list
}

func (w *world) eventsOf(kind string) []api.Event {
	w.t.Helper()
	return slices.DeleteFunc(w.events(), func(e api.Event) bool { return e.Type != kind })
}

func alive(osPID int) bool { return osPID > 1 && syscall.Kill(osPID, 0) == nil }

// shelf holds releases that are shell scripts.
type shelf struct {
	dir string

	mu      sync.Mutex
	scripts map[string]string // version → what it runs; default: sleeps
	sums    map[string]string // version → sha256 of its archive; default: sha-of-VERSION
	fails   error             // of Fetch
	looks   error             // of Instance
	looked  int               // how often looks was given
	fetched int
	blocked chan struct{} // Fetch waits for its end
}

func (s *shelf) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *shelf) Fetch(ctx context.Context, app string, cur release.Current) (release.Release, error) {
	s.mu.Lock()
	blocked, fails, sum := s.blocked, s.fails, s.sums[cur.Version]
	s.fetched++
	s.mu.Unlock()
	if blocked != nil {
		select {
		case <-blocked:
		case <-ctx.Done():
			return release.Release{}, ctx.Err()
		}
	}
	return release.Release{App: app, Version: cur.Version, SHA256: firstOf(sum, "sha-of-"+cur.Version)}, fails
}

func (s *shelf) Prepare(_ context.Context, app, instance string, rel release.Release, _ *release.Owner) error {
	bin := filepath.Join(s.InstanceDir(app, instance), "new", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	s.mu.Lock()
	script := s.scripts[rel.Version]
	s.mu.Unlock()
	if script == "" {
		script = "exec sleep 1000"
	}
	if err := os.WriteFile(filepath.Join(bin, "..", "VERSION"), []byte(rel.Version), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(bin, app), []byte("#!/bin/sh\n"+script+"\n"), 0o755)
}

func (s *shelf) Switch(app, instance string) error {
	dir := s.InstanceDir(app, instance)
	os.RemoveAll(filepath.Join(dir, "current"))
	return os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "current"))
}

func (s *shelf) Instance(app, instance string) (release.Folder, error) {
	s.mu.Lock()
	looks := s.looks
	if looks != nil {
		s.looked++
	}
	s.mu.Unlock()
	if looks != nil {
		return release.Folder{}, looks
	}
	b, err := os.ReadFile(filepath.Join(s.InstanceDir(app, instance), "current", "VERSION"))
	if err != nil {
		return release.Folder{}, release.ErrNotFound
	}
	v := string(b)
	return release.Folder{App: app, Instance: instance, Current: &release.Release{Version: v, SHA256: "sha-of-" + v}}, nil
}

func (s *shelf) InstanceDir(app, instance string) string { return filepath.Join(s.dir, app, instance) }

func (s *shelf) RemoveInstance(app, instance string) error {
	return os.RemoveAll(s.InstanceDir(app, instance))
}

func (s *shelf) RemoveApp(app string) error { return os.RemoveAll(filepath.Join(s.dir, app)) }

func (s *shelf) Prune(string, int, []string) ([]string, error) { return nil, nil }

// stage is a cluster in which an instance is up as soon as its OS process runs, unless a test says otherwise.
type stage struct {
	name node.Name
	sys  *System

	mu      sync.Mutex
	refuse  map[string]error                     // instance, or "" for all: why it cannot be connected to
	accept  func(instance, version string) error // nil: all that are not refused
	started map[string]bool                      // instance, or "" for all: false: its application is not
	unwell  func(instance string) bool           // true: its application is not, either
	deaf    bool                                 // init:stop does nothing
	script  string                               // the version that nodes say they have booted; empty: none
	links   map[node.Name]bool
	told    []func(node.NodeEvent)
}

func (s *stage) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *stage) Name() node.Name { return s.name }

func (s *stage) Connect(_ context.Context, peer node.Name) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accept != nil {
		app, _ := AppOf(peer.Alive)
		version := ""
		if f, err := s.sys.cfg.Releases.Instance(app, peer.Alive); err == nil && f.Current != nil {
			version = f.Current.Version
		}
		if err := s.accept(peer.Alive, version); err != nil {
			return err
		}
	}
	for _, name := range []string{"", peer.Alive} {
		if err := s.refuse[name]; err != nil {
			return err
		}
	}
	if s.links == nil {
		s.links = map[node.Name]bool{}
	}
	s.links[peer] = true
	return nil
}

func (s *stage) Connected(peer node.Name) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.links[peer]
}

func (s *stage) Disconnect(peer node.Name) bool {
	s.mu.Lock()
	up := s.links[peer]
	delete(s.links, peer)
	told := slices.Clone(s.told)
	s.mu.Unlock()
	if up {
		for _, f := range told {
			f(node.NodeEvent{Peer: peer, Err: errors.New("cut")})
		}
	}
	return up
}

func (s *stage) Call(_ context.Context, peer node.Name, mod, fun etf.Atom, _ ...etf.Term) (etf.Term, error) {
	s.mu.Lock()
	up, deaf, sys, script, unwell := s.links[peer], s.deaf, s.sys, s.script, s.unwell
	ready, said := s.started[peer.Alive]
	if !said {
		ready, said = s.started[""]
	}
	s.mu.Unlock()
	if !up {
		return nil, errors.New("no connection")
	}
	app, _ := AppOf(peer.Alive)
	if unwell != nil && mod == "application" && unwell(peer.Alive) {
		ready, said = false, true
	}
	switch mod + ":" + fun {
	case "application:which_applications":
		list := etf.List{etf.Tuple{etf.Atom("kernel"), etf.Charlist(""), etf.Charlist("")}}
		if ready || !said {
			list = append(list, etf.Tuple{etf.Atom(app), etf.Charlist(""), etf.Charlist("")})
		}
		return list, nil
	case "init:script_id":
		if script == "" {
			return nil, errors.New("no answer")
		}
		return etf.Tuple{etf.Charlist(app), etf.Charlist(script)}, nil
	case "erlang:system_info":
		return etf.Charlist("27"), nil
	case "init:stop":
		if p := sys.reg.process(peer.Alive); p != nil && !deaf {
			p.Signal(syscall.SIGKILL)
		}
		return etf.Atom("ok"), nil
	}
	return nil, &node.CallError{Reason: etf.Atom("undef")}
}

func (s *stage) Subscribe(f func(node.NodeEvent)) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, f)
	return func() {}
}

func (s *stage) Peers() []node.PeerInfo { return nil }

// killInstance ends an instance's OS process behind the daemon's back.
func (w *world) killInstance(i api.Instance) {
	w.t.Helper()
	if i.OSPID <= 1 {
		w.t.Fatalf("no OS process to kill: %+v", i) // and 0 would be the test itself
	}
	if err := syscall.Kill(i.OSPID, syscall.SIGKILL); err != nil {
		w.t.Fatal(err)
	}
}

// lockedBuffer keeps what is logged.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lockedBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// publish writes current.json of an app; the archives of a world's bucket are never looked at.
func (w *world) publish(app, version string, hash ...string) {
	w.t.Helper()
	cur := release.Current{Version: version, Hash: "hash-of-" + version + strings.Join(hash, "")}
	b := cur.Encode()
	if err := w.bucket.Put(w.t.Context(), release.CurrentKey(app, ""), strings.NewReader(string(b)), int64(len(b))); err != nil {
		w.t.Fatal(err)
	}
}
