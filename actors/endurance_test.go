package actors

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// endurance is how many deployments TestEndurance makes, with a crash after each. `make endurance` makes 5,000.
var endurance = flag.Int("endurance", 60, "deployments of TestEndurance, each followed by a crash")

// footprint is what a daemon may leak.
type footprint struct {
	heap       uint64 // bytes
	goroutines int
	fds        int
	files      int   // besides logs, which are kept by age and size
	state      int64 // bytes of the database
}

func (w *world) footprint() (f footprint) {
	w.t.Helper()
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f.heap, f.goroutines = m.HeapAlloc, runtime.NumGoroutine()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		w.t.Fatal(err)
	}
	f.fds = len(fds)
	_ = filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasPrefix(path, w.cfg.LogDir) {
			f.files++
		}
		return nil
	})
	st, err := os.Stat(w.store.Path())
	if err != nil {
		w.t.Fatal(err)
	}
	f.state = st.Size()
	return f
}

func (f footprint) String() string {
	return fmt.Sprintf("%.1f MiB heap, %d goroutines, %d descriptors, %d files, %.1f MiB of state",
		float64(f.heap)/(1<<20), f.goroutines, f.fds, f.files, float64(f.state)/(1<<20))
}

// However often it deploys and sees an instance crash, the daemon needs no more memory, goroutines, descriptors and files
// than before; what it keeps of the past is bounded. It is not parallel: the numbers are those of the whole process.
func TestEndurance(t *testing.T) {
	w := newWorld(t, app("shop", 1))
	w.cfg.Log = slog.New(slog.DiscardHandler)
	w.up()
	cycle := func(n int) {
		version := fmt.Sprintf("1.0.%d", n)
		w.run("shop", version)
		i := w.running("shop", version, 1)[0]
		w.killInstance(i)
		w.until("another OS process", func() bool {
			now := w.app("shop").Instances
			return len(now) == 1 && now[0].OSPID != i.OSPID && now[0].State == api.StateRunning
		})
	}
	warm := *endurance / 4
	for n := range warm {
		cycle(n)
	}
	w.until("the jobs to end", func() bool { return len(w.app("shop").Instances) == 1 })
	before, began := w.footprint(), time.Now()
	for n := warm; n < *endurance; n++ {
		cycle(n)
	}
	var after footprint
	w.until("what is under way to end", func() bool {
		after = w.footprint()
		return after.goroutines <= before.goroutines+5 && after.fds <= before.fds+3
	})
	t.Logf("after %d deployments and crashes: %s", warm, before)
	t.Logf("after %d: %s; %.1f ms each", *endurance, after, float64(time.Since(began).Milliseconds())/float64(*endurance-warm))
	if after.heap > before.heap+6<<20 || after.files > before.files+2 || after.state > 64<<20 {
		t.Errorf("grew from %s to %s", before, after)
	}
	if n := len(w.sys.board.names()); n != 1 {
		t.Errorf("the board has %d instances", n)
	}
	if n := len(w.sys.reg.held); n != 1 {
		t.Errorf("the registry has %d instances", n)
	}
}

// One daemon looks after 500 instances of 20 apps, takes them over again, and sees to those that crash.
func TestMany(t *testing.T) {
	const apps, each = 20, 25
	var specs []AppSpec
	for n := range apps {
		spec := app(fmt.Sprintf("shop%d", n), each)
		spec.Ports, spec.Strategy.MaxParallel = nil, each
		spec.Readiness.Timeout = 5 * time.Minute // of a loaded machine
		specs = append(specs, spec)
	}
	w := newWorld(t, specs...).up()
	// all waits until every instance runs, and returns their OS pids.
	all := func(what string) []int {
		t.Helper()
		began := time.Now()
		var pids []int
		for end := began.Add(5 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
			st, err := w.sys.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			pids = nil
			for _, a := range st.Apps {
				for _, i := range a.Instances {
					if i.State == api.StateRunning && i.OSPID != 0 {
						pids = append(pids, i.OSPID)
					}
				}
			}
			if len(pids) == apps*each {
				t.Logf("%d instances %s in %s", len(pids), what, time.Since(began))
				return pids
			}
			if time.Now().After(end) {
				t.Fatalf("only %d instances %s", len(pids), what)
			}
		}
	}
	for _, spec := range specs {
		w.deploy(spec.Name, "1.0.0")
	}
	before := all("started")
	w.down(false)
	w.up()
	now := all("taken over")
	if !slices.Equal(before, now) {
		t.Error("other OS processes run now")
	}
	for _, pid := range now[:50] {
		w.killInstance(api.Instance{OSPID: pid})
	}
	w.until("50 crashes to be noted", func() bool {
		st, err := w.sys.Status(t.Context())
		n := 0
		for _, a := range st.Apps {
			for _, i := range a.Instances {
				n += i.CrashRestarts
			}
		}
		return err == nil && n == 50
	})
	all("with 50 of them crashed")
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := w.sys.Close(ctx, true); err != nil {
		t.Error(err)
	}
	if err := w.store.Close(); err != nil {
		t.Error(err)
	}
	w.sys = nil
	t.Logf("stopped in %s", time.Since(began))
}
