package metrics_test

import (
	"context"
	"errors"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/metrics"
)

// keeper tells what it was given.
type keeper struct {
	status api.Status
	err    error
	events []api.Event
}

func (k *keeper) Status(context.Context) (api.Status, error) { return k.status, k.err }

func (k *keeper) Events(_ context.Context, since uint64, _ bool, yield func(api.Event) bool) error {
	for _, e := range k.events {
		if e.ID > since && !yield(e) {
			break
		}
	}
	return nil
}

// scrape returns the values of our own metrics by name and labels.
func scrape(t *testing.T, m *metrics.Metrics) map[string]string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	problems, err := promlint.New(strings.NewReader(w.Body.String())).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
	values := make(map[string]string)
	for line := range strings.Lines(w.Body.String()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(name, "beamkeeper_") {
			if i := strings.LastIndexByte(line, '}'); i >= 0 {
				name, value = line[:i+1], strings.TrimSpace(line[i+1:])
			}
			values[name] = value
		}
	}
	return values
}

func at(s int64) api.Time { return api.Time{Time: time.Unix(s, 0)} }

func TestMetrics(t *testing.T) {
	t.Parallel()
	k := &keeper{status: api.Status{
		StartedAt: at(1000), CertificateExpiresAt: at(5000), Problems: []api.Problem{{What: "x"}},
		Apps: []api.App{{
			Name: "shop", Language: "erlang", Mode: "automatic", DesiredVersion: "1.1.0", Replicas: 2, Ghosted: []string{"1.0.9"},
			Problems: []api.Problem{{What: "y"}, {What: "z"}}, Deployment: &api.Deployment{Outcome: api.DeploymentRunning},
			Instances: []api.Instance{
				{Name: "shop-old000", Slot: 0, State: api.StateStopping, Version: "1.0.0"},
				{Name: "shop-aaaaaa", Slot: 0, State: api.StateRunning, Version: "1.1.0", OTPConnected: true, OTPRelease: "27", StartedAt: at(2000), CertificateExpiresAt: at(6000)},
				{Name: "shop-bbbbbb", Slot: 1, State: api.StateBackoff, Version: "1.1.0"},
			},
		}},
	}, events: []api.Event{
		{ID: 1, Type: api.EventCrashRestart, App: "shop"}, // of a daemon before
		{ID: 2, Type: api.EventCrashRestart, App: "shop", Level: "error"},
		{ID: 3, Type: api.EventDeploymentComplete, App: "shop", Data: map[string]any{"kind": "hot", "outcome": "succeeded", "took_ms": 1500.0}},
		{ID: 4, Type: api.EventDeploymentFailed, App: "shop", Level: "error", Data: map[string]any{"kind": "full", "outcome": "failed", "took_ms": 9.0}},
	}}
	m := metrics.New(k, "1.2.3", func() int { return 3 })
	if err := m.Count(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	got := scrape(t, m)
	for name, want := range map[string]string{
		"beamkeeper_up":                 "1",
		"beamkeeper_start_time_seconds": "1000",
		"beamkeeper_problems":           "1",
		"beamkeeper_distribution_links": "3",
		`beamkeeper_certificate_expiry_timestamp_seconds{app="",slot=""}`:                                       "5000",
		`beamkeeper_certificate_expiry_timestamp_seconds{app="shop",slot="0"}`:                                  "6000",
		`beamkeeper_app_replicas{app="shop"}`:                                                                   "2",
		`beamkeeper_app_problems{app="shop"}`:                                                                   "2",
		`beamkeeper_app_ghosts{app="shop"}`:                                                                     "1",
		`beamkeeper_app_deployment_running{app="shop"}`:                                                         "1",
		`beamkeeper_app_info{app="shop",language="erlang",mode="automatic",version="1.1.0"}`:                    "1",
		`beamkeeper_app_instances{app="shop",state="running"}`:                                                  "1",
		`beamkeeper_app_instances{app="shop",state="stopping"}`:                                                 "1",
		`beamkeeper_app_instances{app="shop",state="failed"}`:                                                   "0",
		`beamkeeper_instance_info{app="shop",instance="shop-aaaaaa",otp_release="27",slot="0",version="1.1.0"}`: "1",
		`beamkeeper_instance_running{app="shop",slot="0"}`:                                                      "1",
		`beamkeeper_instance_running{app="shop",slot="1"}`:                                                      "0",
		`beamkeeper_instance_connected{app="shop",slot="0"}`:                                                    "1",
		`beamkeeper_instance_start_time_seconds{app="shop",slot="0"}`:                                           "2000",
		`beamkeeper_crash_restarts_total{app="shop"}`:                                                           "1",
		`beamkeeper_deployments_total{app="shop",kind="hot",outcome="succeeded"}`:                               "1",
		`beamkeeper_deployments_total{app="shop",kind="full",outcome="failed"}`:                                 "1",
		`beamkeeper_deployment_duration_seconds_sum{app="shop",kind="hot"}`:                                     "1.5",
		`beamkeeper_events_total{level="error",type="crash_restart"}`:                                           "1",
		`beamkeeper_events_total{level="info",type="deployment_complete"}`:                                      "1",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if _, ok := got[`beamkeeper_deployment_duration_seconds_sum{app="shop",kind="full"}`]; ok {
		t.Error("a deployment that failed counts among the durations")
	}
	if t.Failed() {
		t.Log(strings.Join(slices.Sorted(maps.Keys(got)), "\n"))
	}
}

func TestMetrics_WithoutStatus(t *testing.T) {
	t.Parallel()
	got := scrape(t, metrics.New(&keeper{err: errors.New("the tree is down")}, "1", nil))
	if got["beamkeeper_up"] != "0" {
		t.Errorf("%v, want beamkeeper_up 0", got)
	}
}
