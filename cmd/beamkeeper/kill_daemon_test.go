package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The test binary, started with this variable set to a folder, is the program, and looks there for what is to be done at
// the steps of its journal:
//
//	arm     "NAME COUNT": it kills itself at the COUNTth time of step NAME, and renames the file to killed
//	record  it appends the names of its steps to this file while that is there
const faultsEnv = "BEAMKEEPER_TEST_FAULTS"

// runAsProgram does not return when this process is to be the program.
func runAsProgram() {
	dir := os.Getenv(faultsEnv)
	if dir == "" {
		return
	}
	f := &faultPoints{dir: dir, seen: make(map[string]int)}
	faults.commit = func(done bool) error {
		when := " before"
		if done {
			when = " after"
		}
		name := committer()
		f.at("commit " + name + when)
		if f.asks && !done {
			return askCommit(dir, name)
		}
		return nil
	}
	faults.step = func(step string) { f.at("release " + strings.ReplaceAll(step, " ", "_") + " before") }
	if _, err := os.Stat(filepath.Join(dir, trapFile)); err == nil && slices.Contains(os.Args, "run") {
		f.asks = true
		faults.room = 20 * time.Millisecond
		if err := trapWrites(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(mainCode())
}

type faultPoints struct {
	dir  string
	asks bool // before it writes, see trapWrites

	mu    sync.Mutex
	armed string
	seen  map[string]int // since armed
}

func (f *faultPoints) at(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, err := os.OpenFile(filepath.Join(f.dir, "record"), os.O_WRONLY|os.O_APPEND, 0); err == nil {
		fmt.Fprintln(r, name)
		r.Close()
	}
	arm := filepath.Join(f.dir, "arm")
	b, err := os.ReadFile(arm)
	if err != nil {
		f.armed = ""
		return
	}
	if f.armed != string(b) {
		f.armed = string(b)
		clear(f.seen)
	}
	f.seen[name]++
	if fmt.Sprintf("%s %d", name, f.seen[name]) == f.armed && os.Rename(arm, filepath.Join(f.dir, "killed")) == nil {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until it takes effect
	}
}

// committer names who commits: the functions of package actors below those that all commits go through, the last two.
func committer() string {
	pcs := make([]uintptr, 40)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	var names []string
	for more := true; more && len(names) < 2; {
		var f runtime.Frame
		f, more = frames.Next()
		name, ours := strings.CutPrefix(f.Function, "github.com/beamkeeper/beamkeeper/actors.")
		if !ours {
			continue
		}
		name = strings.NewReplacer("(*", "", ")", "").Replace(name)
		for i := 0; i < 3; i++ { // the method, without closures in it
			if at := strings.LastIndex(name, ".func"); at > 0 {
				name = name[:at]
			}
		}
		_, method, _ := strings.Cut(name, ".")
		switch method {
		case "record", "recordInstance", "editInstance", "recordApp", "editApp", "edit", "job", "guard", "HandleMessage":
			continue
		}
		if len(names) == 0 || names[len(names)-1] != name {
			names = append(names, name)
		}
	}
	return strings.Join(names, "<")
}

// faulty is a rig whose daemon can be killed at any step.
type faulty struct {
	*rig
	faults string
	daemon *runningDaemon
}

func newFaulty(t *testing.T) *faulty {
	t.Helper()
	r := newRig(t, "erlang")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{rig: r, faults: filepath.Join(r.dir, "faults")}
	if err := os.Mkdir(f.faults, 0o700); err != nil {
		t.Fatal(err)
	}
	r.bin = exe
	r.env = append(r.env, faultsEnv+"="+f.faults, "GOGC=100")
	r.edit("# probe: {http: \"http://127.0.0.1:${PORT}/health\"}", "probe: {http: \"http://127.0.0.1:${PORT}/health\", interval_ms: 50}")
	r.edit("keep_releases: 3", "keep_releases: 0") // so that each deployment unpacks
	r.edit("timeout_ms: 15000", "timeout_ms: 5000")
	return f
}

// path is a file of the faults' folder.
func (f *faulty) path(name string) string { return filepath.Join(f.faults, name) }

func (f *faulty) arm(point string) {
	f.t.Helper()
	_ = os.Remove(f.path("killed")) // of the kill before this one
	if err := os.WriteFile(f.path("new"), []byte(point), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(f.path("new"), f.path("arm")); err != nil {
		f.t.Fatal(err)
	}
}

// killed says whether the armed step was come to.
func (f *faulty) killed() bool { _, err := os.Stat(f.path("killed")); return err == nil }

// record has f do something, and returns the steps that the daemon went through, each with how often it had been.
func (f *faulty) record(do func()) []string {
	f.t.Helper()
	if err := os.WriteFile(f.path("record"), nil, 0o600); err != nil {
		f.t.Fatal(err)
	}
	do()
	b, err := os.ReadFile(f.path("record"))
	if err != nil {
		f.t.Fatal(err)
	}
	if err := os.Remove(f.path("record")); err != nil {
		f.t.Fatal(err)
	}
	seen := make(map[string]int)
	var points []string
	for line := range strings.Lines(string(b)) {
		name := strings.TrimSpace(line)
		seen[name]++
		points = append(points, fmt.Sprintf("%s %d", name, seen[name]))
	}
	return points
}

// start starts the daemon, which may have been killed, and returns how long it took to be ready.
func (f *faulty) start() time.Duration {
	f.t.Helper()
	began := time.Now()
	f.daemon = f.run()
	return time.Since(began)
}
