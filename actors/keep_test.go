package actors

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/applog"
	"github.com/beamkeeper/beamkeeper/internal/launch"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// dumpsCore is a release whose BEAM crashes with a dump, each time after it was ready.
const dumpsCore = `n=0; while [ ! -e "$BEAMKEEPER_TEST_GO" ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done
rm -f "$BEAMKEEPER_TEST_GO"
printf '=erl_crash_dump:0.5\nFri\nSlogan: eheap_alloc: Cannot allocate\nx\n=end\n' > "$ERL_CRASH_DUMP"; exit 1`

func TestCrashDump_IsCollected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	spec := app("shop", 1)
	trigger := filepath.Join(w.dir, "go")
	spec.Dump = &launch.DumpLimits{Seconds: 7, Bytes: 1 << 20}
	w.cfg.Apps = []AppSpec{spec}
	w.shelf.scripts["1.0.0"] = "BEAMKEEPER_TEST_GO=" + trigger + "; echo limits $ERL_CRASH_DUMP_SECONDS $ERL_CRASH_DUMP_BYTES; " + dumpsCore
	w.up()
	w.run("shop", "1.0.0")
	name := w.running("shop", "1.0.0", 1)[0].Name
	if err := os.WriteFile(trigger, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	w.until("the crash", func() bool { return len(w.eventsOf(api.EventCrashRestart)) == 1 })
	e := w.eventsOf(api.EventCrashRestart)[0]
	path, _ := e.Data["dump"].(string)
	if filepath.Dir(path) != applog.DumpDir(w.cfg.LogDir, "shop") || !strings.HasPrefix(filepath.Base(path), name+".") {
		t.Errorf("the dump is %q", path)
	}
	if e.Data["dump_slogan"] != "eheap_alloc: Cannot allocate" || e.Data["dump_whole"] != true || e.Data["slogan"] != "eheap_alloc: Cannot allocate" {
		t.Errorf("event data %+v", e.Data)
	}
	if b, err := os.ReadFile(path); err != nil || !strings.Contains(string(b), "=end") {
		t.Errorf("the dump holds %q, %v", b, err)
	}
	err := w.store.View(func(tx *state.Tx) error {
		c, err := tx.Counters()
		if c["crash_dumps/shop"] != 1 {
			t.Errorf("counters %v", c)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	if err := w.sys.Logs(t.Context(), api.LogRequest{Target: api.Target{App: "shop"}, Grep: "^limits 7 1048576$"}, func(api.LogLine) bool { found = true; return true }); err != nil || !found {
		t.Errorf("the limits are not in its environment: %v", err)
	}
}

// A place that the configuration names stays: the dump is only told of.
func TestCrashDump_OfOnesOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	spec := app("shop", 1)
	own := filepath.Join(w.dir, "own.dump")
	trigger := filepath.Join(w.dir, "go")
	spec.Env = []launch.Var{{Key: "ERL_CRASH_DUMP", Value: own}, {Key: "ERL_CRASH_DUMP_SECONDS", Value: "3"}}
	spec.Dump = &launch.DumpLimits{Seconds: 7}
	w.cfg.Apps = []AppSpec{spec}
	w.shelf.scripts["1.0.0"] = "BEAMKEEPER_TEST_GO=" + trigger + "; echo seconds $ERL_CRASH_DUMP_SECONDS; " + dumpsCore
	w.up()
	w.run("shop", "1.0.0")
	if err := os.WriteFile(trigger, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	w.until("the crash", func() bool { return len(w.eventsOf(api.EventCrashRestart)) == 1 })
	if e := w.eventsOf(api.EventCrashRestart)[0]; e.Data["dump"] != own {
		t.Errorf("the dump is %v, want %s", e.Data["dump"], own)
	}
	if _, err := os.Stat(own); err != nil {
		t.Error(err)
	}
}

// A BEAM that writes its dump while it is stopped is given the time for it.
func TestStop_WaitsForACrashDump(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	spec := app("shop", 1)
	spec.Stop = 50 * time.Millisecond
	spec.Dump = &launch.DumpLimits{Seconds: 30}
	w.cfg.Apps = []AppSpec{spec}
	w.cluster.deaf = true
	// It does not hear SIGTERM, and is at its dump for longer than a stop takes.
	w.shelf.scripts["1.0.0"] = `trap '' TERM; exec 5>"$ERL_CRASH_DUMP"; n=0; while [ $n -lt 70 ]; do sleep 0.1; n=$((n+1)); done
printf '=erl_crash_dump:0.5\nFri\nSlogan: slow\nx\n=end\n' >&5; exit 1`
	w.up()
	w.run("shop", "1.0.0")
	target := api.Target{App: "shop", Instance: w.running("shop", "1.0.0", 1)[0].Name}
	w.cluster.set(func() { w.cluster.refuse[""] = errors.New("it says nothing") })
	w.cluster.Disconnect(w.sys.nodeName(target.Instance))
	w.until("the status to say so", func() bool {
		return strings.Contains(w.instance("shop", target.Instance).LastError, "writes its crash dump")
	})
	if err := w.sys.Stop(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	w.until("the stop", func() bool { return len(w.eventsOf(api.EventInstanceStopped)) == 1 })
	e := w.eventsOf(api.EventInstanceStopped)[0]
	if e.Data["dump_slogan"] != "slow" || e.Data["dump_whole"] != true {
		t.Errorf("stopped with %+v", e.Data)
	}
	if strings.Contains(e.Message, "sigkill") {
		t.Errorf("killed at its dump: %s", e.Message)
	}
}

// Logs of an app are rotated, and those of its gone instances removed, as its spec says; problems are in the status.
func TestLogs_AreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	spec := app("shop", 1)
	spec.Logs = applog.Policy{MaxBytes: 64 << 10, Archives: 2, GoneInstances: 1}
	w.cfg.Apps = []AppSpec{spec}
	w.shelf.scripts["1.0.0"] = `n=0; while [ $n -lt 6000 ]; do echo "line $n of an instance that writes more than one file may hold"; n=$((n+1)); done; exec sleep 1000`
	for _, gone := range []string{"shop-gone01", "shop-gone02"} {
		stdout := filepath.Join(w.cfg.LogDir, "shop", gone+"-stdout.log")
		if err := os.MkdirAll(filepath.Dir(stdout), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(stdout, []byte("x\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.up()
	w.run("shop", "1.0.0")
	name := w.running("shop", "1.0.0", 1)[0].Name
	w.until("a rotation", func() bool {
		list, err := filepath.Glob(filepath.Join(w.cfg.LogDir, "shop", name+"-stdout.log.*.gz"))
		return err == nil && len(list) > 0
	})
	w.until("one of the gone to be left", func() bool {
		list, err := filepath.Glob(filepath.Join(w.cfg.LogDir, "shop", "shop-gone*"))
		return err == nil && len(list) == 1
	})
	if _, err := os.Stat(filepath.Join(w.cfg.LogDir, "shop", name+"-stdout.log")); err != nil {
		t.Error(err)
	}
	seen := ""
	if err := w.sys.Logs(t.Context(), api.LogRequest{Target: api.Target{App: "shop"}, Lines: 1}, func(l api.LogLine) bool { seen = l.Text; return true }); err != nil {
		t.Error(err)
	}
	if seen == "" || strings.HasPrefix(seen, "---") {
		t.Errorf("the last line is %q", seen)
	}
}
