package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
)

// forAnotherMachine copies a release with the machine of its BEAM changed in the ELF header.
func forAnotherMachine(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	zw, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	tw, changed := tar.NewWriter(zw), false
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(h.Name, "/bin/beam.smp") {
			body[18], body[19] = 22, 0 // e_machine: EM_S390
			changed = true
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(body); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), zw.Close(), os.WriteFile(to, b.Bytes(), 0o600)); err != nil || !changed {
		t.Fatalf("changed: %v, %v", changed, err)
	}
}

// closedWindow is an hour of the week that is half a week away.
func closedWindow() string {
	day := time.Now().UTC().AddDate(0, 0, 3).Weekday().String()[:3]
	return day + " 12:00-13:00 UTC"
}

// A real release for another machine, plans of running BEAMs, and a deploy window that is closed.
func TestEndToEnd_PlanAndRefuse(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	v1, v2 := sampletest.Build(t, "erlang", "0.1.0"), sampletest.Build(t, "erlang", "0.2.0")
	other := filepath.Join(r.dir, "other.tar.gz")
	forAnotherMachine(t, v2, other)
	r.run()
	r.must("publish", r.app, v1)
	was := osPIDs(r.await("two instances", running(2, "0.1.0")))

	plan := func(code int, args ...string) (p api.Plan) {
		t.Helper()
		stdout, stderr, got := r.command(append([]string{"plan", r.app, "--json"}, args...)...)
		if err := json.Unmarshal([]byte(stdout), &p); err != nil || got != code {
			t.Fatalf("plan %v: exit code %d, %v\n%s%s", args, got, err, stdout, stderr)
		}
		return p
	}
	if p := plan(exitOK); p.Verdict != "SAME" || len(p.Instances) != 2 || p.Instances[0].Live == nil || p.Instances[0].Live.Version != "0.1.0" || p.Instances[0].Live.Processes < 30 {
		t.Errorf("plan of what runs: %+v", p)
	}
	if p := plan(exitUsage, v2); p.Verdict != "FULL" || p.Kind != "full" || p.From != "0.1.0" || p.To != "0.2.0" || p.Reasons[0].Remedy == "" || p.Steps[0].Name != "publish" {
		t.Errorf("plan of a file: %+v", p)
	}
	if p := plan(exitRefused, other); p.Verdict != "REFUSED" || !strings.Contains(p.Reasons[0].What, "beam.smp is for s390x, this host is ") {
		t.Errorf("plan of a file for another machine: %+v", p)
	}

	// Published, it is refused once, by whichever comes first; deploy says so each time.
	_, stderr, code := r.command("deploy", r.app, other)
	if code != exitRefused || !strings.Contains(stderr, "beam.smp is for s390x") {
		t.Errorf("deploy: exit code %d\n%s", code, stderr)
	}
	a := r.status()
	if a.Deployment == nil || a.Deployment.Outcome != api.DeploymentRefused || len(a.Ghosted) != 0 {
		t.Errorf("status %+v", a)
	}
	for name, pid := range osPIDs(a) {
		if was[name] != pid {
			t.Errorf("%s was restarted", name)
		}
	}
	if n := strings.Count(r.must("events", "--json", "-n", "1000"), `"type":"release_refused"`); n != 1 {
		t.Errorf("told %d times:\n%s", n, r.must("events"))
	}
	if list := r.must("deployment", "list", r.app); !strings.Contains(list, "refused") {
		t.Errorf("deployments:\n%s", list)
	}

	// A window of one hour in the week, which is not now.
	r.edit("    strategy:\n", "    allow_deploys: "+closedWindow()+"\n    strategy:\n")
	r.must("config", "apply", "--yes")
	if p := plan(exitRefused, v2); len(p.Holds) != 1 || !p.Holds[0].Forcible || p.Holds[0].Until.IsZero() {
		t.Errorf("plan outside of the window: %+v", p.Holds)
	}
	r.must("publish", r.app, v2, "--replace")
	if a := r.await("the version that waits", func(a api.App) bool { return a.Waiting != nil }); a.Waiting.Version != "0.2.0" || !running(2, "0.1.0")(a) {
		t.Errorf("status %+v, %+v", a, a.Waiting)
	}
	if text := r.must("status"); !strings.Contains(text, "0.2.0 waits until") {
		t.Errorf("status:\n%s", text)
	}
	if _, stderr, code := r.command("deploy", r.app, "0.2.0"); code != exitRefused || !strings.Contains(stderr, "--force") {
		t.Errorf("deploy outside of the window: exit code %d\n%s", code, stderr)
	}
	r.must("deploy", r.app, "0.2.0", "--force")
	r.await("the new version", running(2, "0.2.0"))
	if text := r.must("history", r.app); !strings.Contains(text, "succeeded") {
		t.Errorf("history:\n%s", text)
	}
}
