package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
)

// Who follows the logs sees every line once: over rotations, a daemon that is killed, a restart of the instance and its
// replacement by another one. What is gone can still be searched.
func TestEndToEnd_LogsAreFollowedOverEverything(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	v1, v2 := sampletest.Build(t, "erlang", "0.1.0"), sampletest.Build(t, "erlang", "0.2.0")
	r.edit("replicas: 2", "replicas: 1")
	r.edit("max_bytes: 20MiB\n  archives: 7", "max_bytes: 64KiB\n  archives: 100")
	r.edit("control:\n", "control:\n  grant: [{user: nobody, rights: deploy}]\n")
	d := r.run()
	r.must("deploy", r.app, v1)
	r.await("an instance", running(1, "0.1.0"))

	next := 0
	write := func(calls int) {
		t.Helper()
		for range calls {
			var b strings.Builder
			for range 150 {
				fmt.Fprintf(&b, "numbered line %d %s~n", next, strings.Repeat("x", 60))
				next++
			}
			if got := r.must("rpc", r.app, fmt.Sprintf("io:format(user, %q, []).", b.String())); got != "ok\n" {
				t.Fatalf("io:format = %q", got)
			}
		}
	}
	write(1)
	seen := next
	follower := r.follow("logs", r.app, "-f", "--json", "-n", "1", "--grep", "numbered line")
	archives := func() int {
		list, err := filepath.Glob(filepath.Join(r.dir, "log", "apps", r.app, "*.gz"))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	rotated := func(more int) {
		t.Helper()
		for begin, deadline := archives(), time.Now().Add(patience); archives() < begin+more; {
			if time.Now().After(deadline) {
				t.Fatalf("not rotated: %d archives", archives())
			}
			write(8)
		}
	}
	rotated(2)
	d.end(syscall.SIGKILL, -1)
	r.run()
	r.await("the instance again", running(1, "0.1.0"))
	rotated(2)
	r.must("restart", r.app+"/"+r.status().Instances[0].Name)
	r.await("the instance after its restart", running(1, "0.1.0"))
	rotated(1)
	first := r.status().Instances[0].Name
	r.must("deploy", r.app, v2)
	r.await("the next version", running(1, "0.2.0"))
	rotated(1)

	for deadline := time.After(patience); seen < next; {
		select {
		case line, ok := <-follower.lines:
			if !ok {
				t.Fatal("following ended")
			}
			var l api.LogLine
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(l.Text, fmt.Sprintf("numbered line %d ", seen)) || l.Stream != "stdout" {
				t.Fatalf("line %d is %.60q", seen, l.Text)
			}
			seen++
		case <-deadline:
			t.Fatalf("%d of %d lines", seen, next)
		}
	}
	count := func(args ...string) int {
		return strings.Count(r.must(append([]string{"logs", "-n", "0", "--grep", "numbered line"}, args...)...), "\n")
	}
	old, all := count(r.app+"/"+first), count(r.app, "--all")
	if now := count(r.app); old == 0 || all != next || old+now != next {
		t.Errorf("%d lines of the instance that is gone, %d of that which is there, %d of all, want %d", old, now, all, next)
	}
	if os.Geteuid() == 0 { // somebody with a right to the socket, and none to the files
		if err := os.Chmod(r.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		out, code := r.asNobody("--socket", filepath.Join(r.dir, "beamkeeper.sock"), "logs", r.app, "--all", "-n", "0", "--grep", "numbered line")
		if n := strings.Count(out, "numbered line"); code != exitOK || n != next {
			t.Errorf("as nobody: code %d, %d lines of %d\n%.300s", code, n, next, out)
		}
	}
	if n := count(r.app, "--until", "1h"); n != 0 {
		t.Errorf("%d lines from an hour ago", n)
	}
	if n := strings.Count(r.must("logs", r.app, "-n", "0", "--grep", "numbered line", "-v"), "numbered"); n != 0 {
		t.Errorf("%d lines that were not wanted", n)
	}
}

// With log_path the daemon writes its log there.
func TestEndToEnd_OwnLog(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	r.edit("# log_path: ", "log_path: ")
	file := filepath.Join(r.dir, "log", "beamkeeper.log")
	cmd := exec.Command(r.bin, "run")
	cmd.Dir, cmd.Env = r.dir, r.env
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, if all went well
	var b []byte
	for deadline := time.Now().Add(patience); !strings.Contains(string(b), `"msg":"ready"`); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the daemon's log: %q", b)
		}
		b, _ = os.ReadFile(file) // not there yet
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
	if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), `"msg":"stopped"`) {
		t.Errorf("the daemon's log: %q, %v", b, err)
	}
}
