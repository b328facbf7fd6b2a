package erlapi_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/actors/erlapi"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

const cookie = "sesame"

// The nodes of these tests and of docs/erlang-api.md.
const (
	keeper  = "beamkeeper@localhost"
	shop    = "shop-4f9a2c@localhost" // an instance of shop
	counter = "counter-b07d1e@localhost"
	panel   = "panel@localhost" // no instance
)

// fakeControl is a daemon with the apps shop and counter that does nothing but remember what it was asked for, and
// tell in events.
type fakeControl struct {
	mu      sync.Mutex
	status  api.Status
	asked   []string
	events  []api.Event
	changed chan struct{}
	stops   chan struct{} // Stop waits for its end, unless nil
}

func newFake() *fakeControl {
	started := api.Time{Time: time.Date(2026, 11, 20, 10, 0, 0, 123e6, time.UTC)}
	one := func(name, version string, slot, pid int) api.Instance {
		return api.Instance{
			Name: name, Node: name + "@localhost", State: api.StateRunning, Version: version, OSPID: pid, OTPConnected: true, OTPRelease: "27",
			LastDeployment: "full", StartedAt: started, Ports: map[string]int{"PORT": 4000 + slot}, Slot: slot,
			Readiness: []api.Step{{Name: "process", State: "passed", AgeMS: 3}},
		}
	}
	return &fakeControl{
		changed: make(chan struct{}),
		status: api.Status{
			Node: keeper, Version: "0.3.0", StartedAt: started, Problems: []api.Problem{{Since: started, What: "of the daemon"}},
			Apps: []api.App{
				{
					Name: "shop", Language: "elixir", Mode: "automatic", DesiredVersion: "1.4.0", Ghosted: []string{}, Replicas: 2,
					Instances: []api.Instance{one("shop-4f9a2c", "1.4.0", 0, 4711), one("shop-9k2m4x", "1.4.0", 1, 4712)},
				},
				{
					Name: "counter", Language: "erlang", Mode: "automatic", DesiredVersion: "2.0.0", Ghosted: []string{}, Replicas: 1,
					Instances: []api.Instance{one("counter-b07d1e", "2.0.0", 0, 4713)},
				},
			},
		},
	}
}

func (f *fakeControl) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
}

// took gives what was asked for since the last time.
func (f *fakeControl) took() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

// emit makes an event; its ID is the place in the row.
func (f *fakeControl) emit(e api.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e.ID, e.Time = uint64(len(f.events)+1), api.Time{Time: time.Now().UTC()}
	f.events = append(f.events, e)
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeControl) Status(context.Context) (api.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status, nil
}

// edit changes the status.
func (f *fakeControl) edit(change func(*api.Status)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	apps := slices.Clone(f.status.Apps) // others may be reading the old ones
	for i := range apps {
		apps[i].Instances = slices.Clone(apps[i].Instances)
	}
	f.status.Apps = apps
	change(&f.status)
}

func (f *fakeControl) Deploy(ctx context.Context, r api.DeployRequest) (api.Deployment, error) {
	switch {
	case r.App == "panics":
		panic("on purpose")
	case r.App == "breaks":
		return api.Deployment{}, fmt.Errorf("secret detail")
	case r.App != "shop" && r.App != "counter":
		return api.Deployment{}, api.Errorf(api.CodeNotFound, "there is no app %q", r.App)
	case r.Version == "9.9.9":
		return api.Deployment{}, &api.Error{Code: api.CodeRefused, Message: "no release 9.9.9", Hint: "publish it"}
	}
	f.note("deploy %s %q for %s", r.App, r.Version, asker(ctx))
	d := api.Deployment{ID: "d-17", App: r.App, From: "1.4.0", To: r.Version, Kind: "full", Trigger: "operator", Outcome: api.DeploymentRunning}
	f.emit(api.Event{Type: api.EventDeploymentStarted, Level: "info", App: r.App, Deployment: d.ID, Version: r.Version, Message: "deployment d-17 of " + r.App})
	return d, nil
}

// asker is who asks, as deployments and events tell it.
func asker(ctx context.Context) string {
	c, _ := api.CallerFrom(ctx)
	return c.Name()
}

func (f *fakeControl) Restart(ctx context.Context, t api.Target) error {
	f.note("restart %s for %s", t, asker(ctx))
	return nil
}

func (f *fakeControl) Stop(ctx context.Context, t api.Target) error {
	f.note("stop %s for %s", t, asker(ctx))
	if f.stops != nil {
		select {
		case <-f.stops:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (f *fakeControl) SaidReady(_ context.Context, t api.Target) error {
	f.note("ready %s", t)
	return nil
}

func (f *fakeControl) History(_ context.Context, app string) ([]api.HistoryEntry, error) {
	at := api.Time{Time: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)}
	return []api.HistoryEntry{{At: at, Version: "1.4.0", Hash: "abc", Instance: app + "-4f9a2c", Kind: "full", Deployment: "d-16", By: "current.json"}}, nil
}

func (f *fakeControl) LastEvent() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return uint64(len(f.events))
}

func (f *fakeControl) Events(ctx context.Context, since uint64, follow bool, yield func(api.Event) bool) error {
	for {
		f.mu.Lock()
		list, changed := f.events[min(since, uint64(len(f.events))):], f.changed
		f.mu.Unlock()
		for _, e := range list {
			if ctx.Err() != nil || !yield(e) {
				return ctx.Err()
			}
			since = e.ID
		}
		if !follow {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// rig is a node with the API, an EPMD, and what the API logs.
type rig struct {
	t       *testing.T
	epmd    int
	node    *node.Node
	api     *erlapi.API
	control *fakeControl
	log     *logBuffer
}

func newRig(t *testing.T, grants ...erlapi.Grant) *rig {
	t.Helper()
	return startRig(t, true, grants...)
}

// startRig is newRig; without serve the test calls Serve.
func startRig(t *testing.T, serve bool, grants ...erlapi.Grant) *rig {
	t.Helper()
	r := &rig{t: t, epmd: nodetest.StartEPMD(t), control: newFake(), log: &logBuffer{}}
	name, err := node.ParseName(keeper)
	if err != nil {
		t.Fatal(err)
	}
	r.node, err = node.New(node.Config{
		Name: name, Cookie: cookie, EPMDAddr: net.JoinHostPort("127.0.0.1", strconv.Itoa(r.epmd)), OutboxBytes: 64 << 10,
		Resolve: func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.node.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.node.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := r.node.Registered(ctx); err != nil {
		t.Fatal(err)
	}
	r.api, err = erlapi.Start(erlapi.Config{Node: r.node, Grants: grants, MaxSubscriptions: 3, Log: slog.New(slog.NewTextHandler(r.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.api.Close)
	if serve {
		r.api.Serve(r.control)
	}
	return r
}

// beam starts a node and defines its bindings K, the daemon's node, Rpc/2 and Call/1.
func (r *rig) beam(otp nodetest.OTP, name string) *nodetest.Erl {
	r.t.Helper()
	e := nodetest.StartErl(r.t, otp, name, cookie, r.epmd)
	e.Eval(fmt.Sprintf(`K = '%s', Rpc = fun(F, A) -> rpc:call(K, beamkeeper, F, A) end, Call = fun(Q) -> gen_server:call({beamkeeper, K}, Q) end`, keeper))
	return e
}

// eachOTP runs a test for each release.
func eachOTP(t *testing.T, f func(t *testing.T, otp nodetest.OTP)) {
	t.Helper()
	t.Parallel()
	for _, otp := range nodetest.Want(t, "25", "27", "29") {
		t.Run(otp.Release, func(t *testing.T) {
			t.Parallel()
			f(t, otp)
		})
	}
}

// want evaluates expressions and wants the value of another one.
func want(t *testing.T, e *nodetest.Erl, expr, value string) {
	t.Helper()
	got, err := e.TryEval(fmt.Sprintf("(fun(Got) -> case Got =:= (%s) of true -> as_wanted; false -> Got end end)(begin %s end)", value, expr))
	if err != nil {
		got = err.Error()
	}
	if got != "as_wanted" {
		t.Errorf("%s\n gives %s\n want  %s", expr, got, value)
	}
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// has reports whether a line has all of the words.
func (l *logBuffer) has(words ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return true
		}
	}
	return false
}
