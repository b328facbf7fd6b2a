package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"github.com/beamkeeper/beamkeeper/internal/sampletest"
)

// buildVersion builds the program as another version.
func buildVersion(t *testing.T, path, version string) {
	t.Helper()
	args := append(append([]string{"build"}, buildFlags...), "-ldflags", "-X main.version="+version, "-o", path, ".")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

// The daemon's program is replaced while an instance runs on; programs that are no good are refused, or taken back.
func TestEndToEnd_SelfUpgrade(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	good := filepath.Join(r.dir, "beamkeeper-2.0.0")
	buildVersion(t, good, "2.0.0")
	program, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(path string, content []byte) {
		t.Helper()
		if err := os.WriteFile(path+signatureSuffix, minisign.Sign(private, content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// The daemon runs from a file of its own, which can be replaced.
	installed := filepath.Join(r.dir, "installed")
	own, err := os.ReadFile(r.bin)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(installed, own, 0o755); err != nil {
		t.Fatal(err)
	}
	r.bin = installed
	r.edit("replicas: 2", "replicas: 1")
	r.must("publish", r.app, sampletest.Build(t, "erlang", "0.1.0"))
	r.run()
	pid := r.await("one instance", running(1, "0.1.0")).Instances[0].OSPID
	unchanged := func(what string) {
		t.Helper()
		if a := r.status(); len(a.Instances) != 1 || a.Instances[0].OSPID != pid || !alive(pid) {
			t.Errorf("%s: the instance is %+v, OS pid %d before", what, a.Instances, pid)
		}
		if b, err := os.ReadFile(installed); err != nil || string(b) != string(own) {
			t.Errorf("%s: the program has changed (%v)", what, err)
		}
	}

	// Refused, with nothing changed.
	refuse := func(want string, args ...string) {
		t.Helper()
		_, stderr, code := r.command(append([]string{"self", "upgrade"}, args...)...)
		if code != exitRefused || !strings.Contains(stderr, want) {
			t.Errorf("self upgrade %v: exit %d, %s; want %q", args, code, stderr, want)
		}
		unchanged(want)
	}
	refuse("no key is known", good)
	key, err := public.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	r.edit("control:\n", fmt.Sprintf("self_upgrade: {public_keys: [%s]}\ncontrol:\n", lastLine(string(key))))
	refuse("is not signed", good)
	sign(good, append([]byte("x"), program...))
	refuse("fits none of the keys", good)
	sign(good, program)
	for name, text := range map[string]string{
		"does not run here":         "#!/bin/sh\nexit 3\n",
		"does not take the config":  "#!/bin/sh\n[ $1 = config ] && { echo unknown key; exit 1; }\nexec " + good + " \"$@\"\n",
		"knows state schema 0, the": "#!/bin/sh\n[ $1 = version ] && { echo '{\"version\":\"0.1\"}'; exit; }\nexec " + good + " \"$@\"\n",
		"which the old program can": "#!/bin/sh\n[ $1 = version ] && { echo '{\"version\":\"3\",\"state_schema\":99}'; exit; }\nexec " + good + " \"$@\"\n",
	} {
		bad := filepath.Join(r.dir, "bad")
		if err := os.WriteFile(bad, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		refuse(name, bad, "--unsigned")
	}

	// A program that answers for itself and then does not run, or hangs: the old one is put back.
	for name, text := range map[string]string{
		"ends at once": "exit 1",
		"hangs":        "exec sleep 60",
	} {
		bad := filepath.Join(r.dir, "worse")
		if err := os.WriteFile(bad, []byte("#!/bin/sh\nif [ $1 = run ]; then "+text+"; fi\nexec "+good+" \"$@\"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		_, stderr, code := r.command("self", "upgrade", bad, "--unsigned", "--timeout", "3s", "--soak", "1s")
		if code != exitFailed || !strings.Contains(stderr, "2.0.0 is not up") || !strings.Contains(stderr, "runs again, with every instance") {
			t.Errorf("%s: exit %d, %s", name, code, stderr)
		}
		unchanged(name)
	}

	// And the good one, signed, by its version from the bucket.
	shelf := filepath.Join(r.dir, "bucket", "dist", "beamkeeper", "beamkeeper-2.0.0-linux-"+runtime.GOARCH)
	if err := os.MkdirAll(filepath.Dir(shelf), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", signatureSuffix} {
		if err := os.Rename(good+suffix, shelf+suffix); err != nil {
			t.Fatal(err)
		}
	}
	if _, stderr, code := r.command("self", "upgrade", "2.0.1"); code != exitNotFound {
		t.Errorf("a version that is not there: exit %d, %s", code, stderr)
	}
	out, stderr, code := r.command("self", "upgrade", "2.0.0", "--soak", "1s")
	if code != 0 || !strings.Contains(out, "upgraded to 2.0.0") {
		t.Fatalf("exit %d, %s %s", code, out, stderr)
	}
	if a := r.status(); a.Instances[0].OSPID != pid || !alive(pid) {
		t.Errorf("the instance is %+v, OS pid %d before", a.Instances, pid)
	}
	if out := r.must("status", "--json"); !strings.Contains(out, `"version":"2.0.0"`) && !strings.Contains(out, `"version": "2.0.0"`) {
		t.Errorf("status: %s", out)
	}
	// It is still somebody's who reaps it.
	r.must("stop", r.app)
	for deadline := time.Now().Add(patience); alive(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("OS pid %d is a zombie, or runs", pid)
		}
	}
	d, err := findDaemon(filepath.Join(r.dir, "beamkeeper.sock"))
	if err != nil {
		t.Fatal(err)
	}
	endDaemon(t, d.pid)
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// endDaemon ends a daemon that is no child of ours any more.
func endDaemon(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
}
