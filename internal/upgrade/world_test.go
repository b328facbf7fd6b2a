package upgrade_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/launch"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/internal/upgrade"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
	"github.com/beamkeeper/beamkeeper/release"
)

var shared struct {
	dir    string
	mu     sync.Mutex
	stores map[string]*store // by OTP
	serial atomic.Int64
}

// store is one store for all tests with an OTP: what is unpacked once serves them all.
type store struct {
	*release.Store
	bucket   *release.LocalBucket
	mu       sync.Mutex
	releases map[string]release.Release
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "upgrade")
	if err != nil {
		panic(err)
	}
	shared.dir, shared.stores = dir, make(map[string]*store)
	os.Chmod(dir, 0o755) // instances of another user look into it
	code := m.Run()
	for _, s := range shared.stores {
		s.Close()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func storeFor(t testing.TB, otp nodetest.OTP) *store {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if s := shared.stores[otp.Release]; s != nil {
		return s
	}
	dir := filepath.Join(shared.dir, otp.Release)
	if err := os.MkdirAll(filepath.Join(dir, "var"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := &store{bucket: release.NewLocalBucket(filepath.Join(dir, "bucket")), releases: make(map[string]release.Release)}
	var err error
	s.Store, err = release.OpenStore(release.StoreConfig{
		Dir: filepath.Join(dir, "var"), Source: release.Source{Bucket: s.bucket, Account: "prod"},
	})
	if err != nil {
		t.Fatal(err)
	}
	shared.stores[otp.Release] = s
	return s
}

// fetch builds, publishes and unpacks a version of a sample.
func (s *store) fetch(t testing.TB, otp nodetest.OTP, app, version string) release.Release {
	t.Helper()
	file := sampletest.BuildWith(t, otp.Bin, app, version)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.releases[app+version]; ok {
		return r
	}
	p, err := release.Publish(context.Background(), release.PublishOptions{Bucket: s.bucket, Account: "prod", App: app, File: file})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Fetch(context.Background(), app, p.Current)
	if err != nil {
		t.Fatal(err)
	}
	s.releases[app+version] = r
	return r
}

// instance is a running BEAM of a sample, in a folder of the store.
type instance struct {
	t     testing.TB
	otp   nodetest.OTP
	store *store
	app   string
	name  string
	owner *release.Owner
	user  string
	env   []launch.Var
	epmd  int
	run   string

	node    *node.Node
	peer    node.Name
	started *process.Process
	logs    []string
}

type option func(*instance)

func asUser(name string, uid, gid int) option {
	return func(i *instance) {
		i.user, i.owner = name, &release.Owner{UID: uid, GID: gid, ReadOnly: true}
	}
}

func withEnv(key, value string) option {
	return func(i *instance) { i.env = append(i.env, launch.Var{Key: key, Value: value}) }
}

// begin prepares and starts an instance.
func begin(t testing.TB, otp nodetest.OTP, app, version string, options ...option) *instance {
	t.Helper()
	n := shared.serial.Add(1)
	i := &instance{
		t: t, otp: otp, store: storeFor(t, otp), app: app, name: fmt.Sprintf("%s-%dn%d", app, os.Getpid(), n), epmd: nodetest.StartEPMD(t),
		run: filepath.Join(shared.dir, fmt.Sprintf("run%d", n)), // a folder of t is closed to other users
	}
	if err := os.MkdirAll(i.run, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, o := range options {
		o(i)
	}
	rel := i.store.fetch(t, otp, app, version)
	if err := i.store.Prepare(context.Background(), app, i.name, rel, i.owner); err != nil {
		t.Fatal(err)
	}
	if err := i.store.Switch(app, i.name); err != nil {
		t.Fatal(err)
	}
	var err error
	self, err := node.ParseName(fmt.Sprintf("keeper%d@localhost", n))
	if err != nil {
		t.Fatal(err)
	}
	i.node, err = node.New(node.Config{Name: self, Cookie: "s3cret", Listen: "none", NoEPMD: true, EPMDAddr: "127.0.0.1:" + strconv.Itoa(i.epmd)})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.node.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.node.Close() })
	t.Cleanup(func() {
		i.kill()
		if t.Failed() {
			for _, name := range i.logs {
				if b, _ := os.ReadFile(name); len(b) > 0 {
					t.Logf("%s:\n%s", filepath.Base(name), b[:min(len(b), 6000)])
				}
			}
		}
	})
	i.start()
	return i
}

func (i *instance) root() string { return filepath.Join(i.store.InstanceDir(i.app, i.name), "current") }

// start starts the BEAM by the daemon's own launch and waits until it answers.
func (i *instance) start() {
	i.t.Helper()
	language := launch.Erlang
	if i.app == sampletest.HotElixir {
		language = launch.Elixir
	}
	p, err := launch.Build(launch.Spec{
		App: i.app, Language: language, Root: i.root(), RunDir: filepath.Join(i.run, "run"), Host: "localhost", Instance: i.name,
		// only what this test process started is killed
		Daemon: fmt.Sprintf("beamkeeper@upgradetest%d", os.Getpid()), Cookie: "s3cret", Env: i.env, User: i.user, ReadOnly: i.owner != nil && i.owner.ReadOnly,
		BaseEnv: i.otp.Env("HOME="+i.run, "ERL_EPMD_PORT="+strconv.Itoa(i.epmd), "ERL_EPMD_ADDRESS=127.0.0.1"),
	})
	if err != nil {
		i.t.Fatal(err)
	}
	if err := p.Prepare(); err != nil {
		i.t.Fatal(err)
	}
	out, errs := filepath.Join(i.run, fmt.Sprintf("out%d.log", len(i.logs))), filepath.Join(i.run, fmt.Sprintf("err%d.log", len(i.logs)))
	i.logs = append(i.logs, out, errs)
	i.started, err = process.Start(p.Command(out, errs))
	if err != nil {
		i.t.Fatal(err)
	}
	if i.peer == (node.Name{}) { // a step under way may be reading it
		if i.peer, err = node.ParseName(p.Node); err != nil {
			i.t.Fatal(err)
		}
	}
	i.eventually("the application runs", func() bool {
		v, err := i.call("application", "get_key", etf.Atom(i.app), etf.Atom("vsn"))
		running, err2 := i.call("erlang", "whereis", etf.Atom("release_handler"))
		_, isPid := running.(etf.Pid)
		if err != nil || err2 != nil || !isPid || etf.Format(v) == "undefined" {
			return false
		}
		apps, err := i.call("application", "which_applications")
		return err == nil && strings.Contains(etf.Format(apps), "{"+i.app+",")
	})
}

// kill ends the BEAM at once.
func (i *instance) kill() {
	if i.started == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := process.KillAll(ctx, i.started.Identity()); err != nil {
		i.t.Error(err)
	}
}

// ended waits until the BEAM's OS process is gone by itself.
func (i *instance) ended() {
	i.t.Helper()
	i.eventually("the BEAM has ended", func() bool {
		_, err := i.call("erlang", "node")
		return err != nil
	})
	select {
	case <-i.started.Done():
	case <-time.After(60 * time.Second):
		i.t.Fatal("the BEAM's OS process goes on")
	}
}

func (i *instance) eventually(what string, ok func() bool) {
	i.t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			i.t.Fatalf("not within a minute: %s", what)
		}
	}
}

// Call implements upgrade.Node.
func (i *instance) Call(ctx context.Context, mod, fun etf.Atom, args ...etf.Term) (etf.Term, error) {
	return i.node.Call(ctx, i.peer, mod, fun, args...)
}

func (i *instance) call(mod, fun etf.Atom, args ...etf.Term) (etf.Term, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return i.Call(ctx, mod, fun, args...)
}

// eval calls a function on the instance and returns what it gives, as Erlang prints it.
func (i *instance) eval(mod, fun etf.Atom, args ...etf.Term) string {
	i.t.Helper()
	v, err := i.call(mod, fun, args...)
	if err != nil {
		i.t.Fatalf("%s:%s: %v", mod, fun, err)
	}
	return etf.Format(v)
}

func (i *instance) want(want string, mod, fun etf.Atom, args ...etf.Term) {
	i.t.Helper()
	if got := i.eval(mod, fun, args...); got != want {
		i.t.Errorf("%s:%s = %s, want %s", mod, fun, got, want)
	}
}

// job is the upgrade of the instance.
func (i *instance) job(from, to string) upgrade.Job {
	i.t.Helper()
	rel := i.store.fetch(i.t, i.otp, i.app, to)
	language := release.Erlang
	if i.app == sampletest.HotElixir {
		language = release.Elixir
	}
	return upgrade.Job{
		Node: i, Root: i.root(), New: rel.Tree, Name: i.app, From: from, To: to, Language: language, Owner: i.owner,
	}
}

func (i *instance) prepare(j upgrade.Job) upgrade.Prepared {
	i.t.Helper()
	p, err := j.Prepare(limited(i.t))
	if err != nil {
		i.t.Fatal(err)
	}
	return p
}

func (i *instance) install(j upgrade.Job) {
	i.t.Helper()
	if err := j.Install(limited(i.t), upgrade.Options{Ceiling: time.Minute, Every: 20 * time.Millisecond}); err != nil {
		i.t.Fatal(err)
	}
}

func (i *instance) commit(j upgrade.Job) {
	i.t.Helper()
	if err := j.Commit(limited(i.t), false); err != nil {
		i.t.Fatal(err)
	}
}

func (i *instance) look(j upgrade.Job) upgrade.State {
	i.t.Helper()
	s, err := j.Look(limited(i.t))
	if err != nil {
		i.t.Fatal(err)
	}
	return s
}

func limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}
