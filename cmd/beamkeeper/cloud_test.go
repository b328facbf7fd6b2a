package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/emulator"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// isolate keeps the SDKs from what they might find elsewhere: nothing in these tests leaves the machine.
func (r *rig) isolate() {
	r.env = append(r.env, "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
		"AWS_PROFILE=", "AWS_REGION=", "AWS_DEFAULT_REGION=", "AWS_SESSION_TOKEN=", "AWS_ENDPOINT_URL=", "GCE_METADATA_HOST=127.0.0.1:1",
		"HTTP_PROXY=", "HTTPS_PROXY=", "http_proxy=", "https_proxy=")
}

// inS3 moves the rig's bucket to an emulator.
func (r *rig) inS3(s *emulator.S3) {
	r.isolate()
	r.env = append(r.env, "AWS_ACCESS_KEY_ID="+s.Access, "AWS_SECRET_ACCESS_KEY="+s.Secret)
	r.elsewhere("s3\naws_region: "+emulator.Region, fmt.Sprintf("s3: {endpoint: %q, path_style: true}", s.URL))
}

func (r *rig) inGCS(g *emulator.GCS) {
	r.isolate()
	r.elsewhere("gcp-storage", fmt.Sprintf("gcs: {endpoint: %q}", g.URL))
}

func (r *rig) elsewhere(adapter, settings string) {
	r.t.Helper()
	file := filepath.Join(r.dir, configName)
	b, err := os.ReadFile(file)
	if err != nil {
		r.t.Fatal(err)
	}
	var lines []string
	for l := range strings.Lines(string(b)) {
		switch {
		case strings.HasPrefix(l, "release_adapter:"):
			l = "release_adapter: " + adapter + "\n"
		case strings.HasPrefix(l, "release:"):
			l += "  " + settings + "\n"
		case strings.HasPrefix(l, "release_bucket:"):
			l = "release_bucket: " + emulator.Bucket + "\n"
		}
		lines = append(lines, l)
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o640); err != nil {
		r.t.Fatal(err)
	}
}

// From an empty bucket to a deployment: waiting, publishing, the webhook, a cut in the middle, an outage.
func TestEndToEnd_S3(t *testing.T) {
	t.Parallel()
	s := emulator.StartS3(t)
	r := newRig(t, "erlang")
	r.inS3(s)
	tcp := fmt.Sprintf("127.0.0.1:%d", nodetest.FreePorts(t, 1))
	const token = "0123456789abcdef0123456789abcdef"
	tokenFile := filepath.Join(r.dir, "poll-token")
	if err := os.WriteFile(tokenFile, []byte(token+"\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	// Polled once a day: what is seen is seen because somebody asked for it.
	r.edit("applications:", fmt.Sprintf("web: {listen: %q, poll_token_file: %q}\napplications:", tcp, tokenFile))
	r.edit("language: erlang", "language: erlang\n    deploy_schedule_interval_ms: 86400000")
	d := r.run()

	// Nothing there is no failure.
	waiting := r.await("the empty bucket told of", func(a api.App) bool { return len(a.Problems) > 0 })
	if what := waiting.Problems[0].What; !strings.Contains(what, "names no version") || !strings.Contains(what, "s3://releases/versions/") {
		t.Errorf("an empty bucket is the problem %q", what)
	}
	out := r.must("doctor", "source")
	for _, want := range []string{"ok    source  identity: credentials from EnvConfigCredentials", "in eu-central-1", "nothing is published: no s3://releases/versions/sample"} {
		if !strings.Contains(out, want) {
			t.Errorf("doctor source says nothing of %q:\n%s", want, out)
		}
	}

	// The first byte of the archive is cut off again and again, until it is through.
	var cuts atomic.Int32
	s.Trouble(func(w http.ResponseWriter, q *http.Request, forward http.Handler) {
		if q.Method == http.MethodGet && strings.Contains(q.URL.Path, "/dist/") && cuts.Add(1) <= 2 {
			emulator.CutBody(w, q, forward, 1<<20)
			return
		}
		forward.ServeHTTP(w, q)
	})
	r.must("publish", r.app, sampletest.Build(t, "erlang", "0.1.0"))
	if out := r.must("poll", r.app); !strings.Contains(out, "looked at") {
		t.Errorf("poll says %q", out)
	}
	r.await("two instances of 0.1.0", running(2, "0.1.0"))
	var dep api.Deployment
	if err := json.Unmarshal([]byte(r.must("deployment", "show", "--json", "d0000001")), &dep); err != nil {
		t.Fatal(err)
	}
	if len(dep.Steps) == 0 || dep.Steps[0].Name != "fetch" || !strings.Contains(dep.Steps[0].Detail, "MiB in") || !strings.Contains(dep.Steps[0].Detail, "after a cut 2 times") {
		t.Errorf("the deployment's steps: %+v", dep.Steps)
	}
	if out := r.must("events"); !strings.Contains(out, "waiting: s3://releases/dist/sample/sample-0.1.0.tar.gz") {
		t.Errorf("no event tells of the cuts:\n%s", out)
	}
	if out := r.must("doctor", "source"); !strings.Contains(out, "source  sample: 0.1.0,") {
		t.Errorf("doctor source:\n%s", out)
	}
	s.Trouble(nil)

	// The webhook.
	r.must("publish", r.app, sampletest.Build(t, "erlang", "0.2.0"))
	if got := webhook(t, tcp, "wrong"); got != http.StatusUnauthorized {
		t.Errorf("a wrong token: %d", got)
	}
	if got := webhook(t, tcp, token); got != http.StatusAccepted {
		t.Errorf("the webhook: %d", got)
	}
	app := r.await("two instances of 0.2.0", running(2, "0.2.0"))

	// An outage touches nothing that runs, not even over a restart of the daemon.
	s.Trouble(emulator.Answer(503, nil, emulator.S3Error("SlowDown", "Please reduce your request rate.")))
	d.end(syscall.SIGTERM, exitOK)
	d = r.run()
	after := r.await("the outage told of", func(a api.App) bool { return running(2, "0.2.0")(a) && len(a.Problems) > 0 })
	if what := after.Problems[0].What; !strings.Contains(what, "too many requests") {
		t.Errorf("the outage is the problem %q", what)
	}
	for name, pid := range osPIDs(app) {
		if osPIDs(after)[name] != pid {
			t.Errorf("%s was replaced", name)
		}
	}
	if out, _, code := r.command("doctor", "source"); code != exitFailed || !strings.Contains(out, "too many requests") {
		t.Errorf("doctor source in the outage: code %d\n%s", code, out)
	}
	d.end(syscall.SIGTERM, exitOK)
}

func webhook(t *testing.T, addr, token string) int {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/v1/apps/sample/poll", strings.NewReader(`{"ref":"refs/tags/0.2.0"}`))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

func TestEndToEnd_GCS(t *testing.T) {
	t.Parallel()
	g := emulator.StartGCS(t)
	r := newRig(t, "erlang")
	r.inGCS(g)
	r.edit("language: erlang", "language: erlang\n    deploy_schedule_interval_ms: 500")
	d := r.run()
	r.must("publish", r.app, sampletest.Build(t, "erlang", "0.1.0"))
	r.await("two instances of 0.1.0", running(2, "0.1.0"))
	out := r.must("doctor", "source")
	if !strings.Contains(out, "identity: none: the endpoint is plain http asks gs://releases") || !strings.Contains(out, "source  sample: 0.1.0,") {
		t.Errorf("doctor source:\n%s", out)
	}
	d.end(syscall.SIGTERM, exitOK)
}

// A host without credentials starts at once: the metadata service of a cloud is not waited for.
func TestRun_DoesNotWaitForMetadata(t *testing.T) {
	t.Parallel()
	// It takes connections and never answers: worse than one that is not there.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s := emulator.StartS3(t)
	r := newRig(t, "erlang")
	r.inS3(s)
	r.env = append(r.env, "AWS_EC2_METADATA_DISABLED=false", "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://"+ln.Addr().String(),
		"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=")
	began := time.Now()
	d := r.run()
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the daemon took %v to start", took)
	}
	a := r.await("that there are no credentials", func(a api.App) bool { return len(a.Problems) > 0 })
	if what := a.Problems[0].What; !strings.Contains(what, "no credentials") || !strings.Contains(what, "AWS_ACCESS_KEY_ID") {
		t.Errorf("the problem is %q", what)
	}
	d.end(syscall.SIGTERM, exitOK)
}

// What the doctor says of an identity that may not do what is needed.
func TestDoctor_SaysWhichPermissionIsMissing(t *testing.T) {
	t.Parallel()
	s := emulator.StartS3(t)
	r := newRig(t, "erlang")
	r.inS3(s)
	r.must("publish", r.app, sampletest.Build(t, "erlang", "0.1.0"))
	s.AddUser(t, "AKIASTRANGER00000000", "stranger-secret")
	r.env = append(r.env, "AWS_ACCESS_KEY_ID=AKIASTRANGER00000000", "AWS_SECRET_ACCESS_KEY=stranger-secret")
	out, _, code := r.command("doctor", "source")
	for _, want := range []string{
		"fail  source  sample: current.json may not be read", "grant s3:GetObject on arn:aws:s3:::releases/versions/sample/",
		"archives may not be read", "arn:aws:s3:::releases/dist/sample/", "the bucket may not be listed; the daemon does not need that",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("doctor source says nothing of %q:\n%s", want, out)
		}
	}
	if code != exitFailed {
		t.Errorf("code %d", code)
	}
	r.env = append(r.env, "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=")
	if out, _, _ := r.command("doctor", "source"); !strings.Contains(out, "fail  source  identity: no credentials") {
		t.Errorf("doctor source without credentials:\n%s", out)
	}
}
