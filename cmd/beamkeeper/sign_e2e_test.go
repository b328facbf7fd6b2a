package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
)

// A daemon that demands signatures runs what is signed and nothing else; what it refuses stops nothing and is told once.
func TestEndToEnd_SignaturesRequired(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	v1, v2 := sampletest.Build(t, "erlang", "0.1.0"), sampletest.Build(t, "erlang", "0.2.0")
	r.must("keygen", "old.key", "--no-password")
	r.must("keygen", "new.key", "--no-password")
	r.must("keygen", "stranger.key", "--no-password")
	r.edit("replicas: 2", "replicas: 1")
	r.edit("release:\n", "release:\n  verify: required\n  public_keys: [old.key.pub, new.key.pub]\n")
	d := r.run()
	current := filepath.Join(r.dir, "bucket", "versions", r.app, "local", "current.json")
	problem := func(words string) api.App {
		t.Helper()
		return r.await("a problem with "+words, func(a api.App) bool {
			for _, p := range a.Problems {
				if strings.Contains(p.What, words) && strings.Contains(p.What, "is refused") && p.Remedy != "" {
					return true
				}
			}
			return false
		})
	}
	refusals := func() (n int) {
		t.Helper()
		for line := range strings.Lines(r.must("events", "--json")) {
			var e api.Event
			if err := json.Unmarshal([]byte(line), &e); err == nil && e.Type == api.EventReleaseRefused && e.Deployment == "" { // not of a deployment
				n++
			}
		}
		return n
	}
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(current+".new", b, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(current+".new", current); err != nil {
			t.Fatal(err)
		}
	}
	content := func() []byte {
		t.Helper()
		b, err := os.ReadFile(current)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}

	r.must("publish", r.app, v1)
	if a := problem("it is not signed"); len(a.Instances) > 0 {
		t.Errorf("an unsigned release has instances: %+v", a.Instances)
	}
	if _, stderr, code := r.command("deploy", r.app, "0.1.0"); code == 0 {
		t.Errorf("an unsigned version was deployed by its name: %s", stderr)
	}
	r.must("publish", r.app, v1, "--sign", "old.key")
	was := r.await("the signed one running", running(1, "0.1.0"))
	first := content()

	// Each refused, with the reason, and the instance goes on.
	write([]byte(strings.Replace(string(first), `"version": "0.1.0"`, `"version": "0.2.0"`, 1)))
	problem("does not fit")
	r.must("publish", r.app, v2, "--sign", "stranger.key")
	problem("none of release.public_keys")
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // whole seconds are signed
	r.must("publish", r.app, v2, "--sign", "new.key")
	r.await("the one signed with the other key running", running(1, "0.2.0"))
	before := r.status()
	write(first)
	problem("an older one was put back")
	now := r.status()
	if osPIDs(now)[now.Instances[0].Name] != osPIDs(before)[before.Instances[0].Name] || !running(1, "0.2.0")(now) {
		t.Errorf("what was put back changed the instances: %v, before %v", now.Instances, before.Instances)
	}
	if len(was.Instances) != 1 {
		t.Errorf("there were %+v", was.Instances)
	}
	if n := refusals(); n != 4 {
		t.Errorf("%d refusals were told, want 4:\n%s", n, r.must("events"))
	}

	// It is remembered over a restart of the daemon, and an operator goes back all the same.
	d.end(syscall.SIGTERM, 0)
	r.run()
	problem("an older one was put back")
	r.must("rollback", r.app, "0.1.0")
	r.await("the version from before running", running(1, "0.1.0"))
}
