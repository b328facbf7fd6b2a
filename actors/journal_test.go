package actors

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// journald speaks both protocols of systemd's journal, as far as we use them.
type journald struct {
	dir string

	mu      sync.Mutex
	entries []map[string]string
	heads   []string // of streams
	lines   []string // of streams
}

func startJournald(t *testing.T) *journald {
	t.Helper()
	dir, err := os.MkdirTemp("", "journal") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	j := &journald{dir: dir}
	native, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "socket"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	streams, err := net.Listen("unix", filepath.Join(dir, "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		b := make([]byte, 1<<20)
		for {
			n, err := native.Read(b)
			if err != nil {
				return
			}
			e := make(map[string]string)
			for line := range strings.Lines(string(b[:n])) {
				key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
				e[key] = value
			}
			j.mu.Lock()
			j.entries = append(j.entries, e)
			j.mu.Unlock()
		}
	})
	wg.Go(func() {
		for {
			c, err := streams.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { j.stream(c) })
		}
	})
	t.Cleanup(func() {
		native.Close()
		streams.Close()
		wg.Wait()
		os.RemoveAll(dir)
	})
	return j
}

func (j *journald) stream(c net.Conn) {
	defer c.Close()
	b, text := make([]byte, 4096), ""
	for {
		n, err := c.Read(b)
		text += string(b[:n])
		if err != nil && err != io.EOF {
			return
		}
		j.mu.Lock()
		if parts := strings.Split(text, "\n"); len(parts) > 7 && n > 0 {
			if !slices.Contains(j.heads, strings.Join(parts[:7], " ")) {
				j.heads = append(j.heads, strings.Join(parts[:7], " "))
			}
			j.lines = append(j.lines, parts[7:len(parts)-1]...)
			text = strings.Join(parts[:7], "\n") + "\n" + parts[len(parts)-1]
		}
		j.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (j *journald) messages() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var list []string
	for _, e := range j.entries {
		list = append(list, e["MESSAGE"])
	}
	return list
}

// Lines go to files and to the journal: each once, with its fields, also over a restart of the daemon.
func TestJournal_Both(t *testing.T) {
	t.Parallel()
	j := startJournald(t)
	w := newWorld(t)
	spec := app("shop", 1)
	spec.LogTarget = "both"
	w.cfg.Apps, w.cfg.JournalDir = []AppSpec{spec}, j.dir
	more := filepath.Join(w.dir, "more")
	w.shelf.scripts["1.0.0"] = `echo "[error] first"; echo second >&2; while [ ! -e ` + more + ` ]; do sleep 0.05; done; echo third; exec sleep 1000`
	w.up()
	w.run("shop", "1.0.0")
	name := w.running("shop", "1.0.0", 1)[0].Name
	w.until("two entries", func() bool { return len(j.messages()) == 2 })
	w.down(false)
	if err := os.WriteFile(more, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	w.up()
	w.until("the third entry", func() bool { return len(j.messages()) >= 3 })
	j.mu.Lock()
	defer j.mu.Unlock()
	got := map[string]map[string]string{}
	for _, e := range j.entries {
		got[e["MESSAGE"]] = e
	}
	if len(j.entries) != 3 || len(got) != 3 {
		t.Fatalf("entries %v", j.entries)
	}
	for message, want := range map[string]string{"[error] first": "3 stdout", "second": "4 stderr", "third": "6 stdout"} {
		e := got[message]
		if message == "third" {
			want = e["PRIORITY"] + " stdout" // it belongs to what came before, or is a new beginning
		}
		if e["PRIORITY"]+" "+e["BEAMKEEPER_STREAM"] != want || e["SYSLOG_IDENTIFIER"] != name || e["BEAMKEEPER_INSTANCE"] != name ||
			e["BEAMKEEPER_APP"] != "shop" || e["BEAMKEEPER_VERSION"] != "1.0.0" {
			t.Errorf("entry %q is %v", message, e)
		}
	}
}

// An instance that writes to the journal does so by itself: the daemon's end changes nothing.
func TestJournal_Alone(t *testing.T) {
	t.Parallel()
	j := startJournald(t)
	w := newWorld(t)
	spec := app("shop", 1)
	spec.LogTarget = "journal"
	w.cfg.Apps, w.cfg.JournalDir = []AppSpec{spec}, j.dir
	more := filepath.Join(w.dir, "more")
	w.shelf.scripts["1.0.0"] = `echo first; while [ ! -e ` + more + ` ]; do sleep 0.05; done; echo second >&2; exec sleep 1000`
	w.up()
	w.run("shop", "1.0.0")
	name := w.running("shop", "1.0.0", 1)[0].Name
	lines := func() []string {
		j.mu.Lock()
		defer j.mu.Unlock()
		return slices.Clone(j.lines)
	}
	w.until("the first line", func() bool { return slices.Equal(lines(), []string{"first"}) })
	w.down(false)
	if err := os.WriteFile(more, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	w.until("the second line", func() bool { return slices.Equal(lines(), []string{"first", "second"}) })
	j.mu.Lock()
	heads := slices.Sorted(slices.Values(j.heads))
	j.mu.Unlock()
	if want := []string{fmt.Sprintf("%s beamkeeper-%s.scope 4 0 0 0 0", name, name), fmt.Sprintf("%s beamkeeper-%s.scope 6 0 0 0 0", name, name)}; !slices.Equal(heads, want) {
		t.Errorf("streams %q, want %q", heads, want)
	}
	if _, err := os.Stat(filepath.Join(w.cfg.LogDir, "shop", name+"-stdout.log")); err == nil {
		t.Error("there is a log file too")
	}
	w.up()
	wantCode(t, w.sys.Logs(t.Context(), api.LogRequest{Target: api.Target{App: "shop"}}, nil), api.CodeRefused)
}

// Without a journal the lines go to the files, and that is told.
func TestJournal_Missing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	spec := app("shop", 1)
	spec.LogTarget = "journal"
	w.cfg.Apps, w.cfg.JournalDir = []AppSpec{spec}, filepath.Join(w.dir, "none")
	w.shelf.scripts["1.0.0"] = "echo first; exec sleep 1000"
	w.up()
	w.run("shop", "1.0.0")
	w.until("the line in the file", func() bool {
		found := false
		err := w.sys.Logs(t.Context(), api.LogRequest{Target: api.Target{App: "shop"}}, func(l api.LogLine) bool { found = l.Text == "first"; return true })
		return err == nil && found
	})
	if e := w.eventsOf(api.EventLogProblem); len(e) == 0 || !strings.Contains(e[0].Message, "journal") {
		t.Errorf("events %+v", e)
	}
}
