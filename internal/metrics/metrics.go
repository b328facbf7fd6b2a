// Package metrics shows what the daemon knows to Prometheus, in its text format.
//
// What is now (apps, instances, certificates) is taken from the status at each scrape; what has happened (deployments,
// crashes) is counted from the events since the daemon began. Labels have few values: a replica is told by its slot, and
// only beamkeeper_instance_info carries names and versions.
package metrics

import (
	"context"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// scrapeTimeout is how long the daemon may take to tell its status.
const scrapeTimeout = 10 * time.Second

// Keeper is what is asked about the daemon. api.Control satisfies it.
type Keeper interface {
	Status(ctx context.Context) (api.Status, error)
	Events(ctx context.Context, since uint64, follow bool, yield func(api.Event) bool) error
}

// Metrics are those of one daemon.
type Metrics struct {
	keeper   Keeper
	links    func() int
	registry *prometheus.Registry

	deployments *prometheus.CounterVec
	durations   *prometheus.HistogramVec
	crashes     *prometheus.CounterVec
	events      *prometheus.CounterVec
}

// New makes the metrics of a daemon. links is how many nodes it is connected to; nil: that is not shown.
func New(keeper Keeper, version string, links func() int) *Metrics {
	m := &Metrics{keeper: keeper, links: links, registry: prometheus.NewRegistry()}
	m.deployments = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "beamkeeper_deployments_total", Help: "Deployments that have ended since the daemon began.",
	}, []string{"app", "kind", "outcome"})
	m.durations = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "beamkeeper_deployment_duration_seconds", Help: "How long deployments took that succeeded.",
		Buckets: []float64{0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800},
	}, []string{"app", "kind"})
	m.crashes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "beamkeeper_crash_restarts_total", Help: "Instances that ended by themselves and were started again, since the daemon began.",
	}, []string{"app"})
	m.events = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "beamkeeper_events_total", Help: "Events since the daemon began.",
	}, []string{"type", "level"})
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "beamkeeper_build_info", Help: "1; the daemon's version and the Go that built it.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.deployments, m.durations, m.crashes, m.events, build, (*now)(m),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler answers a scrape.
func (m *Metrics) Handler() http.Handler {
	return promhttp.InstrumentMetricHandler(m.registry, promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: scrapeTimeout + 5*time.Second,
	}))
}

// Count counts the events after since, until ctx ends.
func (m *Metrics) Count(ctx context.Context, since uint64) error {
	return m.keeper.Events(ctx, since, true, func(e api.Event) bool {
		m.count(e)
		return true
	})
}

func (m *Metrics) count(e api.Event) {
	level := e.Level
	if level == "" {
		level = "info"
	}
	m.events.WithLabelValues(e.Type, level).Inc()
	switch e.Type {
	case api.EventCrashRestart:
		m.crashes.WithLabelValues(e.App).Inc()
	case api.EventDeploymentComplete, api.EventDeploymentFailed:
		kind, _ := e.Data["kind"].(string)
		outcome, _ := e.Data["outcome"].(string)
		m.deployments.WithLabelValues(e.App, kind, outcome).Inc()
		if took, ok := e.Data["took_ms"].(float64); ok && outcome == api.DeploymentSucceeded {
			m.durations.WithLabelValues(e.App, kind).Observe(took / 1000)
		}
	}
}

// now collects what is so at the moment.
type now Metrics

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("beamkeeper_"+name, help, labels, nil)
}

var (
	descUp       = desc("up", "1 if the daemon could tell its status.")
	descStarted  = desc("start_time_seconds", "When the daemon began, in seconds since 1970.")
	descProblems = desc("problems", "Problems of the daemon as a whole; those of apps are in beamkeeper_app_problems.")
	descLinks    = desc("distribution_links", "Nodes that are connected.")
	descCert     = desc("certificate_expiry_timestamp_seconds", "When a certificate of the distribution expires, in seconds since 1970: the daemon's, with app and slot empty, and those of the instances.", "app", "slot")

	descAppReplicas   = desc("app_replicas", "Replicas that an app should have.", "app")
	descAppInstances  = desc("app_instances", "Instances of an app by their state.", "app", "state")
	descAppProblems   = desc("app_problems", "Problems of an app, such as a broken current.json.", "app")
	descAppGhosts     = desc("app_ghosts", "Versions of an app that are ghosts.", "app")
	descAppDeploying  = desc("app_deployment_running", "1 while a deployment of an app is under way.", "app")
	descAppInfo       = desc("app_info", "1; the version that is wished for an app, and who decides on it (mode).", "app", "language", "mode", "version")
	descInstance      = desc("instance_info", "1; what fills a replica.", "app", "slot", "instance", "version", "otp_release")
	descInstanceUp    = desc("instance_running", "1 if an instance is ready.", "app", "slot")
	descInstanceConn  = desc("instance_connected", "1 if an instance is connected over the distribution.", "app", "slot")
	descInstanceStart = desc("instance_start_time_seconds", "When the OS process of an instance was started, in seconds since 1970.", "app", "slot")
)

var states = []api.InstanceState{
	api.StateStarting, api.StatePreCommands, api.StateRunning, api.StateStopping, api.StateBackoff, api.StateStopped, api.StateFailed,
}

func (n *now) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descUp, descStarted, descProblems, descLinks, descCert, descAppReplicas, descAppInstances, descAppProblems, descAppGhosts,
		descAppDeploying, descAppInfo, descInstance, descInstanceUp, descInstanceConn, descInstanceStart,
	} {
		ch <- d
	}
}

func (n *now) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if n.links != nil {
		gauge(descLinks, float64(n.links()))
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	st, err := n.keeper.Status(ctx)
	if err != nil {
		gauge(descUp, 0)
		return
	}
	gauge(descUp, 1)
	gauge(descStarted, seconds(st.StartedAt))
	gauge(descProblems, float64(len(st.Problems)))
	if !st.CertificateExpiresAt.IsZero() {
		gauge(descCert, seconds(st.CertificateExpiresAt), "", "")
	}
	for _, a := range st.Apps {
		gauge(descAppReplicas, float64(a.Replicas), a.Name)
		gauge(descAppProblems, float64(len(a.Problems)), a.Name)
		gauge(descAppGhosts, float64(len(a.Ghosted)), a.Name)
		gauge(descAppDeploying, truth(a.Deployment != nil && a.Deployment.Outcome == api.DeploymentRunning), a.Name)
		gauge(descAppInfo, 1, a.Name, a.Language, a.Mode, a.DesiredVersion)
		count := make(map[api.InstanceState]int)
		for _, i := range a.Instances {
			count[i.State]++
		}
		for _, s := range states {
			gauge(descAppInstances, float64(count[s]), a.Name, string(s))
		}
		for slot, i := range holders(a.Instances) {
			slot := strconv.Itoa(slot)
			gauge(descInstance, 1, a.Name, slot, i.Name, i.Version, i.OTPRelease)
			gauge(descInstanceUp, truth(i.State == api.StateRunning), a.Name, slot)
			gauge(descInstanceConn, truth(i.OTPConnected), a.Name, slot)
			if !i.StartedAt.IsZero() {
				gauge(descInstanceStart, seconds(i.StartedAt), a.Name, slot)
			}
			if !i.CertificateExpiresAt.IsZero() {
				gauge(descCert, seconds(i.CertificateExpiresAt), a.Name, slot)
			}
		}
	}
}

// holders are the instances that hold the slots. Beside one that is stopping there may be its successor already.
func holders(list []api.Instance) map[int]api.Instance {
	m := make(map[int]api.Instance, len(list))
	for _, i := range list {
		if before, ok := m[i.Slot]; !ok || before.State == api.StateStopping {
			m[i.Slot] = i
		}
	}
	return m
}

func seconds(t api.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
