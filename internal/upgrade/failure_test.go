package upgrade_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/internal/upgrade"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
	"github.com/beamkeeper/beamkeeper/release"
)

// tree lists what is in a folder of an instance, but for what each start leaves there.
func tree(t *testing.T, root string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if name = strings.TrimPrefix(name, root); !strings.HasPrefix(name, "/tmp") {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// What cannot be prepared leaves nothing behind, in the folder and in release_handler.
func TestPrepare_WhatIsNotPossible(t *testing.T) {
	t.Parallel()
	otp := nodetest.WantAny(t)
	for _, c := range []struct{ app, version, want string }{
		{sampletest.HotErlang, "0.2.3", "illegal_instruction_after_point_of_no_return"},
		{sampletest.HotErlang, "0.2.4", "hot_erlang"}, // the application without an appup is named
		{sampletest.HotElixir, "0.2.4", "hot_"},
		{sampletest.HotElixir, "0.2.5", "HOT_SECRET is missing"},
		{sampletest.HotErlang, "0.3.0", "hot_erlang"}, // leads from 0.2 only
	} {
		t.Run(c.app+" "+c.version, func(t *testing.T) {
			t.Parallel()
			i := begin(t, otp, c.app, "0.1.0")
			j := i.job("0.1.0", c.version)
			before, env := tree(t, i.root()), i.eval("application", "get_all_env", etf.Atom(c.app))
			for range 2 {
				_, err := j.Prepare(limited(t))
				if got := kinds(err); got != "not possible" || !strings.Contains(err.Error(), c.want) {
					t.Errorf("Prepare = %v (%s), want %s", err, got, c.want)
				}
			}
			if after := tree(t, i.root()); !slices.Equal(before, after) {
				t.Errorf("left behind: %q", slices.DeleteFunc(after, func(s string) bool { return slices.Contains(before, s) }))
			}
			if after := i.eval("application", "get_all_env", etf.Atom(c.app)); after != env {
				t.Errorf("the environment is %s, was %s", after, env)
			}
			if s := i.look(j); len(s.Releases) != 1 || !s.Committed("0.1.0") {
				t.Errorf("%+v", s)
			}
			if err := j.Install(limited(t), upgrade.Options{}); kinds(err) != "not possible" {
				t.Errorf("Install without Prepare = %v", err)
			}
		})
	}
	for _, c := range []struct {
		why    string
		change func(*upgrade.Job)
	}{
		{"gleam", func(j *upgrade.Job) { j.Language = release.Gleam }},
		{"not a name", func(j *upgrade.Job) { j.To = "../0.2.0" }},
		{"the same version", func(j *upgrade.Job) { j.To = j.From }},
	} {
		j := upgrade.Job{Name: "shop", From: "1", To: "2", Language: release.Erlang, Root: t.TempDir()}
		c.change(&j)
		if _, err := j.Prepare(limited(t)); kinds(err) != "not possible" {
			t.Errorf("%s: Prepare = %v", c.why, err)
		}
	}
}

// A code_change that crashes ends the BEAM; the next start boots the old version.
func TestInstall_CodeChangeThatCrashes(t *testing.T) {
	t.Parallel()
	for _, otp := range nodetest.Want(t, "25", "29") {
		t.Run(otp.Release, func(t *testing.T) {
			t.Parallel()
			i := begin(t, otp, sampletest.HotErlang, "0.1.0")
			j := i.job("0.1.0", "0.2.2")
			i.prepare(j)
			done := make(chan error, 1)
			ctx := limited(t)
			go func() { done <- j.Install(ctx, upgrade.Options{Every: 20 * time.Millisecond}) }()
			i.ended()
			i.start()
			err := <-done
			if got := kinds(err); got != "broken, restarted" {
				t.Errorf("Install = %v (%s)", err, got)
			}
			i.want("0", "hot_counter", "state")
			if s := i.look(j); !s.Committed("0.1.0") {
				t.Errorf("%+v", s)
			}
			if err := j.Clean(limited(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// A code_change may take its time: longer than the five seconds of OTP's defaults. The loss of the link and the end
// of whoever began it change nothing. BEAMKEEPER_SLOW=1: a minute and a half.
func TestInstall_SlowCodeChange(t *testing.T) {
	t.Parallel()
	long := 6 * time.Second
	if os.Getenv("BEAMKEEPER_SLOW") != "" {
		long = 90 * time.Second
	}
	i := begin(t, nodetest.WantAny(t), sampletest.HotErlang, "0.1.0", withEnv("HOT_SLOW_MS", "wait"))
	i.eval("hot_counter", "bump")
	j := i.job("0.1.0", "0.2.1")
	i.prepare(j)

	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	err := j.Install(ctx, upgrade.Options{Every: 50 * time.Millisecond, Progress: func(p upgrade.Progress) {
		if p.Doing == "code_change" && p.Suspended > 0 && p.Waiting != nil && p.Waiting.Name == "hot_counter" {
			cancel() // as a daemon that ends
		}
	}})
	if got := kinds(err); got != "transient" || !errors.Is(err, context.Canceled) {
		t.Fatalf("Install = %v (%s)", err, got)
	}
	err = j.Install(limited(t), upgrade.Options{Ceiling: time.Millisecond})
	if got := kinds(err); got != "broken, ceiling" {
		t.Errorf("Install with a low ceiling = %v (%s)", err, got)
	}
	if _, err := j.Prepare(limited(t)); kinds(err) != "transient" {
		t.Errorf("Prepare meanwhile = %v", err)
	}
	if err := j.Commit(limited(t), false); kinds(err) != "transient" {
		t.Errorf("Commit meanwhile = %v", err)
	}
	var lost, found, went atomic.Bool
	cut := j
	cut.Node = &flaky{Node: i, fail: func() bool { return found.Load() && lost.CompareAndSwap(false, true) }}
	err = cut.Install(limited(t), upgrade.Options{Every: 50 * time.Millisecond, Progress: func(p upgrade.Progress) {
		found.Store(true)
		if lost.Load() && p.Link == nil && p.For > long && went.CompareAndSwap(false, true) {
			i.eval("persistent_term", "put", etf.Atom("hot_go"), etf.Atom("true"))
		}
	}})
	if err != nil || !lost.Load() {
		t.Fatalf("Install after a lost link: %v, lost %v", err, lost.Load())
	}
	i.want("{2,1}", "hot_counter", "state")
	i.commit(j)
}

// flaky is a link that is lost now and then.
type flaky struct {
	upgrade.Node
	fail func() bool
}

func (f *flaky) Call(ctx context.Context, mod, fun etf.Atom, args ...etf.Term) (etf.Term, error) {
	if f.fail() {
		return nil, errors.New("the link is cut")
	}
	return f.Node.Call(ctx, mod, fun, args...)
}

// A supervisor that does not answer would have release_handler restart the BEAM. It is found before.
func TestInstall_BusySupervisor(t *testing.T) {
	t.Parallel()
	i := begin(t, nodetest.WantAny(t), sampletest.HotErlang, "0.1.0")
	if _, err := i.call("hot_busy_sup", "busy", int64(600_000)); err != nil {
		t.Fatal(err)
	}
	i.eventually("the supervisor is busy", func() bool {
		return strings.Contains(i.eval("erlang", "process_info", mustCall(t, i, "erlang", "whereis", etf.Atom("hot_busy_sup")), etf.Atom("current_stacktrace")), "sleep")
	})
	j := i.job("0.1.0", "0.2.0")
	p := i.prepare(j)
	if len(p.Unresponsive) != 1 || p.Unresponsive[0].Name != "hot_busy_sup" || p.Unresponsive[0].App != "hot_erlang" || !p.Unresponsive[0].Fatal {
		t.Errorf("Prepare found %+v", p.Unresponsive)
	}
	err := j.Install(limited(t), upgrade.Options{})
	if got := kinds(err); got != "transient" || !strings.Contains(err.Error(), "hot_busy_sup") {
		t.Errorf("Install = %v (%s)", err, got)
	}
	live, err := upgrade.Facts(limited(t), i)
	if err != nil || len(live.Unresponsive) != 1 {
		t.Errorf("Facts = %+v, %v", live, err)
	}
	i.want("0", "hot_counter", "state")
	if err := j.Clean(limited(t)); err != nil {
		t.Error(err)
	}
}

// A process that does not answer system messages would never be suspended.
func TestPrepare_SuspendedProcess(t *testing.T) {
	t.Parallel()
	i := begin(t, nodetest.WantAny(t), sampletest.HotErlang, "0.1.0")
	if _, err := i.call("sys", "suspend", etf.Atom("hot_counter")); err != nil {
		t.Fatal(err)
	}
	j := i.job("0.1.0", "0.2.0")
	p := i.prepare(j)
	if len(p.Unresponsive) != 1 || p.Unresponsive[0].Name != "hot_counter" {
		t.Errorf("Prepare found %+v", p.Unresponsive)
	}
}

func mustCall(t *testing.T, i *instance, mod, fun etf.Atom, args ...etf.Term) etf.Term {
	t.Helper()
	v, err := i.call(mod, fun, args...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A process that stays in old code is listed before a commit and before the third version, and is killed only when that is
// asked for.
func TestCommit_Lingering(t *testing.T) {
	t.Parallel()
	i := begin(t, nodetest.WantAny(t), sampletest.HotErlang, "0.1.0")
	first := mustCall(t, i, "hot_counter", "linger")
	alive := func() bool { return i.eval("erlang", "is_process_alive", first) == "true" }
	j := i.job("0.1.0", "0.2.0")
	p := i.prepare(j)
	if len(p.Lingering) != 0 {
		t.Errorf("before any upgrade: %+v", p.Lingering)
	}
	i.install(j)
	list, err := j.Lingering(limited(t))
	if err != nil || len(list) != 1 || !slices.Equal(list[0].Modules, []string{"hot_counter"}) || list[0].Pid == "" {
		t.Errorf("Lingering = %+v, %v", list, err)
	}
	err = j.Commit(limited(t), false)
	var l *upgrade.LingeringError
	if got := kinds(err); got != "lingering, transient" || !errors.As(err, &l) || len(l.Processes) != 1 || !alive() {
		t.Errorf("Commit = %v (%s), alive %v", err, got, alive())
	}
	if s := i.look(j); s.Permanent != "0.1.0" {
		t.Errorf("it was committed: %+v", s)
	}
	// On from there, without a commit in between.

	next := i.job("0.2.0", "0.3.0")
	if p = i.prepare(next); len(p.Lingering) != 1 {
		t.Errorf("before the third version: %+v", p.Lingering)
	}
	err = next.Install(limited(t), upgrade.Options{})
	if got := kinds(err); got != "lingering, transient" || !alive() {
		t.Errorf("Install = %v (%s), alive %v", err, got, alive())
	}
	second := mustCall(t, i, "hot_counter", "linger")
	if err := next.Install(limited(t), upgrade.Options{Kill: true}); err != nil {
		t.Fatal(err)
	}
	if alive() {
		t.Error("the process in the oldest code lives on")
	}
	if i.eval("erlang", "is_process_alive", second) != "true" {
		t.Error("the process in the code before was killed at once")
	}
	i.want("{3,0}", "hot_counter", "state")
	if err := next.Commit(limited(t), true); err != nil {
		t.Fatal(err)
	}
	if i.eval("erlang", "is_process_alive", second) != "false" {
		t.Error("Commit with kill left the process in old code")
	}
}

// After a commit the way back is still open: while the BEAM runs, and after a cold start.
func TestRevert_AfterCommit(t *testing.T) {
	each(t, []string{"25", "29"}, func(t *testing.T, otp nodetest.OTP, app string) {
		i := begin(t, otp, app, "0.1.0")
		script := filepath.Join(i.root(), "bin", app)
		old, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		j := i.job("0.1.0", "0.2.0")
		i.prepare(j)
		i.install(j)
		i.commit(j)
		i.commit(j) // again is no error
		i.kill()
		i.start()
		i.eval(counter(app), "bump")
		i.want("{2,1}", counter(app), "state")
		if err := j.Clean(limited(t)); kinds(err) != "not possible" {
			t.Errorf("Clean of what runs = %v", err)
		}
		for range 2 {
			if err := j.Revert(limited(t), upgrade.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		i.want("1", counter(app), "state")
		if now, err := os.ReadFile(script); err != nil || string(now) != string(old) {
			t.Errorf("bin/%s is not the old one: %v", app, err)
		}
		i.kill()
		i.start()
		i.want("0", counter(app), "state")
		if s := i.look(j); !s.Committed("0.1.0") {
			t.Errorf("%+v", s)
		}
		if err := j.Clean(limited(t)); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(i.root(), "lib", app+"-0.2.0")); err == nil {
			t.Error("Clean left the new version's library")
		}
	})
}

// The BEAM ended after make_permanent and before the scripts were changed, and relx's old script started it again.
func TestLook_BootedByAnotherScript(t *testing.T) {
	t.Parallel()
	i := begin(t, nodetest.WantAny(t), sampletest.HotErlang, "0.1.0")
	j := i.job("0.1.0", "0.2.0")
	i.prepare(j)
	i.install(j)
	halfway := j
	halfway.New = "" // leaves the scripts
	i.commit(halfway)
	if s := i.look(j); !s.Committed("0.2.0") {
		t.Errorf("%+v", s)
	}
	i.kill()
	i.start()
	if s := i.look(j); s.Running != "0.1.0" || s.Permanent != "0.2.0" || s.Committed("0.2.0") {
		t.Errorf("%+v", s)
	}
	err := j.Commit(limited(t), false)
	if got := kinds(err); got != "broken" {
		t.Errorf("Commit = %v (%s)", err, got)
	}
}

// A BEAM without SASL tells its facts, and that it cannot be upgraded.
func TestFacts_WithoutSASL(t *testing.T) {
	t.Parallel()
	otp := nodetest.WantAny(t)
	port := nodetest.StartEPMD(t)
	erl := nodetest.StartErl(t, otp, fmt.Sprintf("bare%d", os.Getpid()), "s3cret", port)
	self, err := node.ParseName("asks@localhost")
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.New(node.Config{Name: self, Cookie: "s3cret", Listen: "none", NoEPMD: true, EPMDAddr: "127.0.0.1:" + strconv.Itoa(port)})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(limited(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	i := &instance{t: t, node: n}
	if i.peer, err = node.ParseName(erl.Name); err != nil {
		t.Fatal(err)
	}
	live, err := upgrade.Facts(limited(t), i)
	if err != nil || live.ReleaseHandler || !live.Systools || live.OTP != otp.Release || live.Memory == 0 {
		t.Errorf("Facts = %+v, %v", live, err)
	}
	j := upgrade.Job{Node: i, Root: t.TempDir(), Name: "shop", From: "1", To: "2", Language: release.Erlang}
	if _, err := j.Look(limited(t)); kinds(err) != "not possible" || !strings.Contains(err.Error(), "extra_applications") {
		t.Errorf("Look = %v", err)
	}
	erl.Kill()
	if _, err := upgrade.Facts(limited(t), i); kinds(err) != "transient" {
		t.Errorf("Facts of a BEAM that is gone = %v", err)
	}
	if _, err := j.Prepare(limited(t)); kinds(err) != "transient" {
		t.Errorf("Prepare of a BEAM that is gone = %v", err)
	}
}

// What a killed Prepare has left of another archive with the same version is not what the next one installs.
func TestPrepare_OverWhatWasLeft(t *testing.T) {
	t.Parallel()
	i := begin(t, nodetest.WantAny(t), sampletest.HotErlang, "0.1.0")
	j := i.job("0.1.0", "0.2.0")
	left := filepath.Join(i.root(), "lib", "hot_erlang-0.2.0", "ebin")
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, "hot_counter.beam"), []byte("no beam"), 0o644); err != nil {
		t.Fatal(err)
	}
	i.prepare(j)
	i.install(j)
	i.want("{2,0}", "hot_counter", "state")
}

// A relup without a way down can be installed, and says so; there is no Revert then.
func TestRevert_WithoutInstructions(t *testing.T) {
	t.Parallel()
	i := begin(t, nodetest.WantAny(t), sampletest.HotErlang, "0.1.0")
	j := i.job("0.1.0", "0.2.0")
	// the same release with an appup that only leads up
	j.New = copyTree(t, j.New)
	appup := filepath.Join(j.New, "lib/hot_erlang-0.2.0/ebin/hot_erlang.appup")
	os.Remove(appup)
	if err := os.WriteFile(appup, []byte(`{"0.2.0", [{"0.1.0", [{update, hot_counter, {advanced, []}}]}], []}.`), 0o644); err != nil {
		t.Fatal(err)
	}
	p := i.prepare(j)
	if p.CanRevert || p.WhyNot == "" {
		t.Errorf("Prepare = %+v", p)
	}
	i.install(j)
	err := j.Revert(limited(t), upgrade.Options{})
	if got := kinds(err); got != "no way back, not possible" {
		t.Errorf("Revert = %v (%s)", err, got)
	}
	i.want("{2,0}", "hot_counter", "state")
}

func copyTree(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "tree")
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	return to
}

// A node without systools has its relup made by an erl of the host.
func TestPrepare_Offline(t *testing.T) {
	t.Parallel()
	otp := nodetest.WantAny(t)
	i := begin(t, otp, sampletest.HotErlang, "0.1.0")
	beams, _ := filepath.Glob(filepath.Join(i.root(), "lib", "sasl-*", "ebin", "systools*.beam"))
	if len(beams) == 0 {
		t.Fatal("no systools in the release")
	}
	for _, beam := range beams {
		if err := os.Remove(beam); err != nil {
			t.Fatal(err)
		}
		module := etf.Atom(strings.TrimSuffix(filepath.Base(beam), ".beam"))
		i.eval("code", "delete", module)
		i.eval("code", "purge", module)
	}
	j := i.job("0.1.0", "0.2.0")
	if _, err := j.Prepare(limited(t)); kinds(err) != "not possible" {
		t.Errorf("without any = %v", err)
	}
	j.Erl = filepath.Join(otp.Bin, "erl")
	if p := i.prepare(j); p.Relup != "appups, offline" || !p.CanRevert {
		t.Errorf("Prepare = %+v", p)
	}
	i.install(j)
	i.want("{2,0}", "hot_counter", "state")
	if live, err := upgrade.Facts(limited(t), i); err != nil || live.Systools || !live.ReleaseHandler || live.Version != "0.2.0" ||
		live.Name != "hot_erlang" || live.DiskFree <= 0 || live.Processes == 0 || live.ERTS == "" || len(live.Applications) < 5 {
		t.Errorf("Facts = %+v, %v", live, err)
	}
}

// The instance runs as somebody who may not write into the release: what release_handler writes, it can.
func TestJob_AsAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for _, app := range []string{sampletest.HotErlang, sampletest.HotElixir} {
		t.Run(app, func(t *testing.T) {
			t.Parallel()
			i := begin(t, nodetest.WantAny(t), app, "0.1.0", asUser("nobody", 65534, 65534))
			j := i.job("0.1.0", "0.2.0")
			i.prepare(j)
			i.install(j)
			i.want("{2,0}", counter(app), "state")
			i.commit(j)
			if s := i.look(j); !s.Committed("0.2.0") {
				t.Errorf("%+v", s)
			}
			for name, want := range map[string]bool{
				"releases/RELEASES": true, "releases": false, "lib": false, "releases/0.2.0": false, "releases/0.2.0/relup": false,
				"lib/" + app + "-0.2.0/ebin": false, "bin/" + app: false,
			} {
				cmd := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "test", "-w", filepath.Join(i.root(), name))
				if got := cmd.Run() == nil; got != want {
					t.Errorf("%s can be written by its user: %v, want %v", name, got, want)
				}
			}
			i.kill()
			i.start()
			i.want("{2,0}", counter(app), "state")
			if err := j.Revert(limited(t), upgrade.Options{}); err != nil {
				t.Fatal(err)
			}
			if err := j.Clean(limited(t)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Every step broken off anywhere, by the loss of the link, and begun again, comes to its end.
func TestJob_BrokenOff(t *testing.T) {
	t.Parallel()
	i := begin(t, nodetest.WantAny(t), sampletest.HotErlang, "0.1.0")
	j := i.job("0.1.0", "0.2.0")
	for _, step := range []struct {
		name string
		run  func(context.Context, upgrade.Job) error
		ends string // state of the counter
	}{
		{"prepare", func(ctx context.Context, j upgrade.Job) error { _, err := j.Prepare(ctx); return err }, "0"},
		{"install", func(ctx context.Context, j upgrade.Job) error { return j.Install(ctx, upgrade.Options{}) }, "{2,0}"},
		{"commit", func(ctx context.Context, j upgrade.Job) error { return j.Commit(ctx, false) }, "{2,0}"},
		{"revert", func(ctx context.Context, j upgrade.Job) error { return j.Revert(ctx, upgrade.Options{}) }, "0"},
		{"clean", func(ctx context.Context, j upgrade.Job) error { return j.Clean(ctx) }, "0"},
	} {
		for n := int64(0); ; n++ {
			if n == 30 {
				t.Fatalf("%s has no end", step.name)
			}
			ctx, cancel := context.WithCancel(limited(t))
			var calls atomic.Int64
			broken := j
			broken.Node = &flaky{Node: i, fail: func() bool {
				if calls.Add(1) <= n {
					return false
				}
				cancel() // nor does the daemon go on
				return true
			}}
			err := step.run(ctx, broken)
			cancel()
			if calls.Load() <= n {
				if err != nil {
					t.Fatalf("%s: %v", step.name, err)
				}
				break
			}
			if got := kinds(err); err != nil && got != "transient" {
				t.Errorf("%s broken off at call %d: %v (%s)", step.name, n, err, got)
			}
			if step.name == "prepare" || step.name == "clean" {
				i.want("0", "hot_counter", "state")
			}
		}
		i.want(step.ends, "hot_counter", "state")
	}
	if s := i.look(j); !s.Committed("0.1.0") || len(s.Releases) != 1 {
		t.Errorf("%+v", s)
	}
}
