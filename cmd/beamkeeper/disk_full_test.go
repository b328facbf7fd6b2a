package main

import (
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/web/client"
)

// The disk becomes full at each write of the daemon in turn, for a moment. Each time it goes on by itself when there is room
// again: what was asked for comes about, no version is a ghost, nothing that ran was stopped for it, and nothing is left behind.
func TestDiskFull_AtEachWrite(t *testing.T) {
	t.Parallel()
	const parts = 2
	refused := make([][]string, parts)
	t.Run("part", func(t *testing.T) {
		for part := range parts {
			t.Run(strconv.Itoa(part), func(t *testing.T) {
				t.Parallel()
				g := newGauntlet(t, func(site string) bool {
					h := fnv.New32()
					fmt.Fprint(h, site)
					return int(h.Sum32()%parts) == part
				})
				g.run()
				refused[part] = g.warden.refused
			})
		}
	})
	if t.Failed() {
		return
	}
	all := slices.Concat(refused...)
	slices.Sort(all)
	for _, w := range diskWrites {
		if !slices.ContainsFunc(all, w.what.MatchString) {
			t.Errorf("%s: not met: %s", w.whose, w.what)
		}
	}
	for _, site := range all {
		if !slices.ContainsFunc(diskWrites, func(w diskWrite) bool { return w.what.MatchString(site) }) {
			t.Errorf("%s is a write that is not in the list: say whose it is", site)
		}
	}
	t.Logf("the disk was full at %d places:\n%s", len(all), strings.Join(all, "\n"))
}

// diskWrite is a kind of writes of the daemon.
type diskWrite struct {
	whose string
	what  *regexp.Regexp
}

// diskWrites are all that a daemon writes where it serves: found by a look for os.WriteFile, Create, OpenFile, Rename, Mkdir, Link,
// Symlink and the like in the source. Not met here: the cookie, the lock, the authority and the sockets, without which a daemon does
// not start; the daemon's own log, whose lines are lost then; hot upgrades; the place in the journal (.journal) that target both keeps, where there is no journal.
var diskWrites = []diskWrite{
	{"state: a deployment's commits", regexp.MustCompile(`^commit manager\.(wish|open|startFetch|act|end)`)},
	{"state: an instance's commits", regexp.MustCompile(`^commit (System\.(journal|startInstance)|instance\.)`)},
	{"state: an errand's commits", regexp.MustCompile(`^commit System\.do`)},
	{"state: what operators ask", regexp.MustCompile(`^commit (manager\.\w+Target|System\.Apply|manager\.stopTarget)`)},
	{"state: other commits", regexp.MustCompile(`^commit `)},
	{"internal/state: backups", regexp.MustCompile(`var/state/backups`)},
	{"release: the archive that comes", regexp.MustCompile(`(create|write) var/cache/APP/\.part-`)},
	{"release: its folders", regexp.MustCompile(`^mkdir var/(cache|releases|service)`)},
	{"release: the archive that is kept", regexp.MustCompile(`^rename var/cache/APP/VERSION-HEX.tar.gz`)},
	{"release: the tree that is unpacked", regexp.MustCompile(`^(create|write) var/releases/APP/\.part-.*/tree/`)},
	{"release: what is known of it", regexp.MustCompile(`var/releases/.*release\.json`)},
	{"release: what is in it, for plans", regexp.MustCompile(`var/releases/.*contents\.json`)},
	{"release: the tree gets its name, or leaves", regexp.MustCompile(`^rename var/releases/`)},
	{"release: an instance's folder", regexp.MustCompile(`^(create|link|copy|write|symlink) var/service/APP/[^/]+/\.part-new`)},
	{"release: it gets its name, is put in place, or leaves", regexp.MustCompile(`^rename var/service/`)},
	{"internal/launch: what an instance runs with", regexp.MustCompile(`var/service/APP/[^/]+/run`)},
	{"tlsdist: certificates and their options", regexp.MustCompile(`var/tls/nodes/`)},
	{"internal/process: an instance's log files", regexp.MustCompile(`^create log/apps/APP/INSTANCE-std(out|err).log$`)},
	{"internal/applog: archives", regexp.MustCompile(`^(create|write|rename) log/.*\.gz`)},
	{"internal/applog: the head of a rotated file", regexp.MustCompile(`^(write|allocate) log/apps/APP/INSTANCE-std(out|err).log$`)},
	{"internal/applog: crash dumps", regexp.MustCompile(`log/apps/APP/dumps`)},
	{"internal/applog: the folder of an app", regexp.MustCompile(`^mkdir log/apps/APP$`)},
	{"cmd/beamkeeper: the configuration in force", regexp.MustCompile(`applied\.yaml`)},
}

// gauntlet is a rig whose daemon meets a full disk again and again.
type gauntlet struct {
	*matrix
	warden *warden
}

func newGauntlet(t *testing.T, ours func(string) bool) *gauntlet {
	t.Helper()
	f := newFaulty(t)
	f.edit("replicas: 2", "replicas: 1")
	f.edit("  # tls: {mode: own_ca}", "  tls: {mode: own_ca}")
	f.edit("max_bytes: 20MiB", "max_bytes: 64KiB")
	if err := os.WriteFile(f.path(trapFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(f.path("commit"), 0o700); err != nil {
		t.Fatal(err)
	}
	g := &gauntlet{matrix: &matrix{faulty: f, client: client.New(filepath.Join(f.dir, "beamkeeper.sock"))}}
	t.Cleanup(g.client.Close)
	f.started = func(pid int) { g.warden = watchWrites(t, f.dir, pid, ours) } // it waits for the first answer
	g.start()
	t.Cleanup(func() { // before that of the rig
		_ = g.daemon.cmd.Process.Kill()
		<-g.daemon.done
		g.warden.leave()
	})
	g.warden.begin(true)
	return g
}

// ask asks until it is accepted: what cannot be noted is refused, and whoever asked knows.
func (g *gauntlet) ask(what string, do func() error) {
	g.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		err := do()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			g.t.Fatalf("%s: %v", what, err)
		}
	}
}

// becomes waits until the app is as wished, with nothing under way and nothing to complain about.
func (g *gauntlet) becomes(what string, ok func(api.App) bool) api.App {
	g.t.Helper()
	return g.until(what, func(a api.App) bool { return quiet(a) && len(a.Problems) == 0 && ok(a) })
}

func (g *gauntlet) run() {
	t := g.t
	ctx := t.Context()
	g.offer(versionA, sampletest.Build(t, "erlang", versionA))
	next := sampletest.Build(t, "erlang", versionB)
	deploy := func(version string) error {
		_, err := g.client.Deploy(ctx, api.DeployRequest{App: g.app, Version: version})
		return err
	}
	g.ask("deploy", func() error { return deploy(versionA) })
	first := g.becomes("the first version", allOf(1, versionA)).Instances[0]

	// Many lines, so that the log is rotated.
	logged := filepath.Join(g.dir, "log", "apps", g.app, "*.gz")
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		if list, _ := filepath.Glob(logged); len(list) > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no log was rotated")
		}
		g.must("rpc", g.app, `io:put_chars(standard_error, "`+strings.Repeat(`a line of the sample\n`, 1000)+`").`)
	}

	// The next version, with something to be run before.
	g.must("publish", g.app, next, "--pre-command", `eval ok.`)
	g.becomes("the next version", allOf(1, versionB))

	// Another setting is applied.
	g.edit("value: C.UTF-8", "value: other")
	g.ask("apply", func() error { _, err := g.client.ConfigApply(ctx, api.ConfigApplyRequest{}); return err })
	second := g.becomes("the new setting", func(a api.App) bool {
		return allOf(1, versionB)(a) && strings.Contains(environ(t, a.Instances[0].OSPID), "LANG=other\x00")
	}).Instances[0]
	if second.Name == first.Name {
		t.Errorf("%s is still there", first.Name)
	}

	// It ends with a crash dump, and is started again.
	_, _, _ = g.command("rpc", g.app, `erlang:halt("on purpose").`) // which has no answer
	third := g.becomes("the start after a crash", func(a api.App) bool { return allOf(1, versionB)(a) && a.Instances[0].OSPID != second.OSPID }).Instances[0]
	if third.CrashRestarts != 1 {
		t.Errorf("%d crashes", third.CrashRestarts)
	}

	// Stopped and started; scaled up and down.
	g.ask("stop", func() error { return g.client.Stop(ctx, api.Target{App: g.app}) })
	g.becomes("the stop", func(a api.App) bool { return a.Instances[0].State == api.StateStopped && a.Instances[0].OSPID == 0 })
	g.ask("start", func() error { return g.client.Start(ctx, api.Target{App: g.app}) })
	g.becomes("the start", allOf(1, versionB))
	g.ask("scale up", func() error { return g.client.Scale(ctx, g.app, 2) })
	g.becomes("two instances", allOf(2, versionB))
	g.ask("scale down", func() error { return g.client.Scale(ctx, g.app, 1) })
	g.becomes("one instance", allOf(1, versionB))

	g.warden.begin(false)
	a := g.becomes("the end", allOf(1, versionB))
	bad := func(format string, args ...any) { t.Helper(); t.Errorf(format, args...) }
	if len(a.Ghosted) > 0 {
		bad("ghosts %q", a.Ghosted)
	}
	g.checkFiles(a, bad)
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		st, err := g.client.Status(ctx)
		if err == nil && len(st.Problems) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("problems %+v, %v", st.Problems, err)
		}
	}
}
