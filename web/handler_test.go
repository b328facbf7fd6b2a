package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/web"
)

func do(h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandler_Errors(t *testing.T) {
	t.Parallel()
	h := web.New(newFake(), web.Options{}).Handler()
	tests := []struct {
		name, method, path, body string
		status                   int
		code                     api.Code
		message                  string
	}{
		{"unknown path", "GET", "/v1/nope", "", 404, api.CodeNotFound, "/v1/nope"},
		{"wrong method", "DELETE", "/v1/status", "", 404, api.CodeNotFound, "DELETE"},
		{"no action on GET", "GET", "/v1/apps/sample/stop", "", 404, api.CodeNotFound, "stop"},
		{"unknown app", "POST", "/v1/apps/x/stop", "", 404, api.CodeNotFound, `"x"`},
		{"refused", "POST", "/v1/deployments", `{"app":"sample","version":"ghost"}`, 409, api.CodeRefused, "ghost"},
		{"broken JSON", "POST", "/v1/deployments", `{"app":`, 400, api.CodeUsage, "JSON"},
		{"unknown key", "POST", "/v1/deployments", `{"app":"sample","versoin":"1"}`, 400, api.CodeUsage, "versoin"},
		{"two values", "POST", "/v1/deployments", `{"app":"sample"}{}`, 400, api.CodeUsage, "more than one"},
		{"no app", "POST", "/v1/deployments", ``, 400, api.CodeUsage, "app"},
		{"no replicas", "POST", "/v1/apps/sample/scale", `{}`, 400, api.CodeUsage, "replicas"},
		{"negative replicas", "POST", "/v1/apps/sample/scale", `{"replicas":-1}`, 400, api.CodeUsage, "replicas"},
		{"too many replicas", "POST", "/v1/apps/sample/scale", `{"replicas":1001}`, 400, api.CodeUsage, "0 to 1000"},
		{"bad limit", "GET", "/v1/deployments?limit=x", "", 400, api.CodeUsage, "limit"},
		{"bad since", "GET", "/v1/events?since=-1", "", 400, api.CodeUsage, "since"},
		{"bad follow", "GET", "/v1/events?follow=perhaps", "", 400, api.CodeUsage, "follow"},
		{"logs without app", "GET", "/v1/logs", "", 400, api.CodeUsage, "app"},
		{"bad grep", "GET", "/v1/logs?app=sample&grep=(", "", 400, api.CodeUsage, "grep"},
		{"bad stream", "GET", "/v1/logs?app=sample&stream=x", "", 400, api.CodeUsage, "stream"},
		{"bad lines", "GET", "/v1/logs?app=sample&lines=-2", "", 400, api.CodeUsage, "lines"},
		{"bad since_ms", "GET", "/v1/logs?app=sample&since_ms=99999999999999999", "", 400, api.CodeUsage, "since_ms"},
		{"rpc without call", "POST", "/v1/rpc", `{"app":"sample"}`, 400, api.CodeUsage, "call"},
		{"rpc for ever", "POST", "/v1/rpc", `{"app":"sample","call":"a:b()","timeout_ms":99999999}`, 400, api.CodeUsage, "timeout_ms"},
		{"too large", "POST", "/v1/rpc", `{"call":"` + strings.Repeat("x", 2<<20) + `"}`, 400, api.CodeUsage, "larger"},
		{"panic", "POST", "/v1/rpc", `{"app":"sample","call":"panic:x()"}`, 500, api.CodeFailed, "internal error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := do(h, tt.method, tt.path, tt.body)
			var e api.Error
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
				t.Fatalf("%d %q: %v", w.Code, w.Body, err)
			}
			if w.Code != tt.status || e.Code != tt.code || !strings.Contains(e.Message, tt.message) {
				t.Errorf("%d %+v, want %d %s …%s…", w.Code, e, tt.status, tt.code, tt.message)
			}
		})
	}
}

func TestHandler_RefusesPagesOfOtherOrigins(t *testing.T) {
	t.Parallel()
	h := web.New(newFake(), web.Options{}).Handler()
	w := do(h, "POST", "/v1/apps/sample/stop", "", "Sec-Fetch-Site", "cross-site")
	var e api.Error
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != 403 || e.Code != api.CodeDenied {
		t.Errorf("%d %q, %v", w.Code, w.Body, err)
	}
}

func TestReadOnly_ShowsAndChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFake()
	h := web.New(f, web.Options{Hosts: []string{"host.example"}}).ReadOnly()
	for path, want := range map[string]int{
		"http://127.0.0.1:5001/health": 200, "http://[::1]:5001/v1/status": 200, "http://localhost/v1/nodes": 200,
		"http://host.example/v1/events": 200, "http://evil.example/v1/status": 403, "http://localhost/v1/logs?app=sample": 403,
	} {
		if w := do(h, "GET", path, ""); w.Code != want {
			t.Errorf("GET %s = %d, want %d", path, w.Code, want)
		}
	}
	for _, path := range []string{"/v1/apps/sample/stop", "/v1/deployments", "/v1/rpc", "/v1/apps/sample/scale", "/v1/deployments/d1/abort"} {
		if w := do(h, "POST", "http://localhost"+path, `{"app":"sample","call":"a:b()"}`); w.Code != 403 {
			t.Errorf("POST %s = %d, want 403", path, w.Code)
		}
	}
	if f.app.Instances[0].State != api.StateRunning || len(f.deployments) != 0 {
		t.Error("something changed")
	}
}

func TestMetrics_AreShownWhereThereAreSome(t *testing.T) {
	t.Parallel()
	numbers := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("up 1\n")) })
	s := web.New(newFake(), web.Options{Metrics: numbers})
	for _, h := range []http.Handler{s.Handler(), s.ReadOnly()} {
		if w := do(h, "GET", "http://localhost/metrics", ""); w.Code != 200 || w.Body.String() != "up 1\n" {
			t.Errorf("%d %q", w.Code, w.Body)
		}
		if w := do(h, "POST", "http://localhost/metrics", ""); w.Code != 404 {
			t.Errorf("POST: %d", w.Code)
		}
	}
	if w := do(web.New(newFake(), web.Options{}).Handler(), "GET", "/metrics", ""); w.Code != 404 {
		t.Errorf("without any: %d", w.Code)
	}
}

// The ends of logs that deployments and crashes carry are logs too.
func TestReadOnly_KeepsLogsBack(t *testing.T) {
	t.Parallel()
	f := newFake()
	failed := api.Deployment{ID: "d1", App: "sample", Outcome: api.DeploymentFailed, LogTail: []string{"password=hunter2"}}
	f.deployments, f.app.Deployment = []api.Deployment{failed}, &failed
	f.kept[0].Data = map[string]any{"log": []string{"password=hunter2"}, "signal": 9}
	s := web.New(f, web.Options{})
	for _, path := range []string{"/v1/status", "/v1/deployments", "/v1/deployments/d1", "/v1/events"} {
		if w := do(s.ReadOnly(), "GET", "http://localhost"+path, ""); w.Code != 200 || strings.Contains(w.Body.String(), "hunter2") {
			t.Errorf("read-only %s = %d %s", path, w.Code, w.Body)
		}
		if w := do(s.Handler(), "GET", "http://localhost"+path, ""); !strings.Contains(w.Body.String(), "hunter2") {
			t.Errorf("%s = %d %s", path, w.Code, w.Body)
		}
	}
	if w := do(s.ReadOnly(), "GET", "http://localhost/v1/events", ""); !strings.Contains(w.Body.String(), `"signal":9`) {
		t.Errorf("events are %s", w.Body)
	}
}

type wedged struct{ *fakeControl }

func (wedged) Status(ctx context.Context) (api.Status, error) {
	return api.Status{}, api.Errorf(api.CodeFailed, "the tree does not answer")
}

func TestHealth(t *testing.T) {
	t.Parallel()
	w := do(web.New(newFake(), web.Options{}).Handler(), "GET", "/health", "")
	var h api.Health
	if err := json.Unmarshal(w.Body.Bytes(), &h); err != nil || w.Code != 200 || h.Status != "ok" || h.Timestamp.IsZero() {
		t.Errorf("%d %q, %v", w.Code, w.Body, err)
	}
	w = do(web.New(wedged{newFake()}, web.Options{}).Handler(), "GET", "/health", "")
	if w.Code != 503 || !strings.Contains(w.Body.String(), "unavailable") {
		t.Errorf("wedged: %d %q", w.Code, w.Body)
	}
}

func TestStatus_Shape(t *testing.T) {
	t.Parallel()
	w := do(web.New(newFake(), web.Options{}).Handler(), "GET", "/v1/status", "")
	// The shape that the documentation promises; more keys may stand beside these.
	const want = `"instances":[{"name":"sample-abc123","node":"sample-abc123@host","state":"running","version":"0.1.0",` +
		`"os_pid":1234,"otp_connected":true,"otp_release":"27","crash_restarts":0,"forced_restarts":0,` +
		`"last_deployment":"full","started_at":"2026-01-02T03:04:05.678Z","ports":{"PORT":4000}`
	if !strings.Contains(w.Body.String(), want) {
		t.Errorf("got %s\nwant %s", w.Body, want)
	}
}

// lockedBuffer is a buffer that several goroutines write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestRequestLog_NamesTheCaller(t *testing.T) {
	t.Parallel()
	var out lockedBuffer
	socket, s := serve(t, newFake(), web.Options{Log: slog.New(slog.NewJSONHandler(&out, nil))})
	c := newClient(t, socket)
	if _, err := c.Status(t.Context()); err != nil { // a read: Debug, not shown
		t.Fatal(err)
	}
	if err := c.Restart(t.Context(), api.Target{App: "sample"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil { // waits for the line to be written
		t.Fatal(err)
	}
	var line struct {
		Level, Method, Path string
		Status              int
		Caller              struct{ UID, PID int }
	}
	if err := json.Unmarshal([]byte(out.String()), &line); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if line.Level != "INFO" || line.Method != "POST" || line.Path != "/v1/apps/sample/restart" || line.Status != 200 ||
		line.Caller.UID != os.Getuid() || line.Caller.PID != os.Getpid() {
		t.Errorf("logged %s", out.String())
	}
}
