package web_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// fakeControl is a small api.Control: one app "sample" with one instance, kept in memory.
type fakeControl struct {
	mu          sync.Mutex
	app         api.App
	deployments []api.Deployment
	kept        []api.Event
	added       chan struct{} // closed and replaced when an event is added
	logs        []api.LogLine
	caller      api.Caller // of the last change
}

func newFake() *fakeControl {
	at := api.Time{Time: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)}
	f := &fakeControl{added: make(chan struct{})}
	f.app = api.App{Name: "sample", Language: "erlang", Mode: "automatic", DesiredVersion: "0.1.0", Ghosted: []string{}, Replicas: 1,
		Instances: []api.Instance{{Name: "sample-abc123", Node: "sample-abc123@host", State: api.StateRunning, Version: "0.1.0",
			OSPID: 1234, OTPConnected: true, OTPRelease: "27", LastDeployment: "full", StartedAt: at, Ports: map[string]int{"PORT": 4000}}}}
	for i := range 3 {
		f.addEvent(fmt.Sprintf("event %d", i+1))
	}
	f.logs = []api.LogLine{
		{Instance: "sample-abc123", Stream: "stdout", Text: "one <&> \u2028 two"},
		{Instance: "sample-abc123", Stream: "stderr", Text: "bad \xff byte"},
	}
	return f
}

func (f *fakeControl) addEvent(message string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := uint64(len(f.kept) + 1)
	f.kept = append(f.kept, api.Event{ID: id, Type: api.EventNodeUp, Level: "info", App: "sample", Message: message})
	close(f.added)
	f.added = make(chan struct{})
}

func (f *fakeControl) addLog(l api.LogLine) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logs = append(f.logs, l)
	close(f.added)
	f.added = make(chan struct{})
}

func (f *fakeControl) find(t api.Target) error {
	if t.App != f.app.Name {
		return &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no app %q", t.App), Hint: "there is sample"}
	}
	if t.Instance != "" && t.Instance != f.app.Instances[0].Name {
		return api.Errorf(api.CodeNotFound, "no instance %q of %q", t.Instance, t.App)
	}
	return nil
}

func (f *fakeControl) change(ctx context.Context, t api.Target, do func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.find(t); err != nil {
		return err
	}
	f.caller, _ = api.CallerFrom(ctx)
	do()
	return nil
}

func (f *fakeControl) Status(context.Context) (api.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return api.Status{Node: "beamkeeper@host", Version: "1.2.0", Apps: []api.App{f.app}}, nil
}

func (f *fakeControl) Deploy(ctx context.Context, r api.DeployRequest) (d api.Deployment, err error) {
	if r.Version == "ghost" {
		return d, &api.Error{Code: api.CodeRefused, Message: `"ghost" is ghosted`, Hint: "clear it first"}
	}
	return d, f.change(ctx, api.Target{App: r.App}, func() {
		d = api.Deployment{ID: fmt.Sprintf("d%d", len(f.deployments)+1), App: r.App, From: "0.1.0", To: r.Version, Outcome: api.DeploymentRunning}
		f.deployments = append(f.deployments, d)
	})
}

func (f *fakeControl) Deployments(_ context.Context, app string, limit int) ([]api.Deployment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ds := f.deployments
	if limit > 0 && len(ds) > limit {
		ds = ds[len(ds)-limit:]
	}
	return append([]api.Deployment{}, ds...), nil
}

func (f *fakeControl) Deployment(_ context.Context, id string) (api.Deployment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.deployments {
		if d.ID == id {
			return d, nil
		}
	}
	return api.Deployment{}, api.Errorf(api.CodeNotFound, "no deployment %q", id)
}

func (f *fakeControl) AbortDeployment(ctx context.Context, id string) error {
	if _, err := f.Deployment(ctx, id); err != nil {
		return err
	}
	return f.change(ctx, api.Target{App: "sample"}, func() {
		for i := range f.deployments {
			if f.deployments[i].ID == id {
				f.deployments[i].Outcome = api.DeploymentAborted
			}
		}
	})
}

func (f *fakeControl) setState(ctx context.Context, t api.Target, s api.InstanceState) error {
	return f.change(ctx, t, func() { f.app.Instances[0].State = s })
}

func (f *fakeControl) Start(ctx context.Context, t api.Target) error {
	return f.setState(ctx, t, api.StateRunning)
}

func (f *fakeControl) Stop(ctx context.Context, t api.Target) error {
	return f.setState(ctx, t, api.StateStopped)
}

func (f *fakeControl) Restart(ctx context.Context, t api.Target) error {
	return f.change(ctx, t, func() { f.app.Instances[0].ForcedRestarts++ })
}

func (f *fakeControl) Purge(_ context.Context, app string) error {
	return api.Errorf(api.CodeRefused, "app %s is in the configuration", app)
}

func (f *fakeControl) Scale(ctx context.Context, app string, n int) error {
	return f.change(ctx, api.Target{App: app}, func() { f.app.Replicas = n })
}

func (f *fakeControl) Unclaimed(context.Context) ([]api.Unclaimed, error) {
	return []api.Unclaimed{{App: "sample", Instance: "sample-lost01", OSPID: 77}}, nil
}

func (f *fakeControl) Adopt(_ context.Context, t api.Target) ([]api.Adopted, error) {
	if t.Instance != "" && t.Instance != "sample-lost01" {
		return nil, api.Errorf(api.CodeNotFound, "nothing is offered for adoption by the name %s", t)
	}
	return []api.Adopted{{App: "sample", Instance: "sample-lost01", OSPID: 77, Version: "0.1.0"}}, nil
}

func (f *fakeControl) History(_ context.Context, app string) ([]api.HistoryEntry, error) {
	if err := f.find(api.Target{App: app}); err != nil {
		return nil, err
	}
	return []api.HistoryEntry{{Version: "0.1.0", Instance: "sample-abc123", Kind: "full", Deployment: "d0"}}, nil
}

func (f *fakeControl) Nodes(context.Context) ([]api.NodeInfo, error) {
	return []api.NodeInfo{{Name: "sample-abc123@host", State: "up", App: "sample", BytesIn: 1 << 40}}, nil
}

func (f *fakeControl) RPC(ctx context.Context, r api.RPCRequest) (api.RPCReply, error) {
	if err := f.find(r.Target); err != nil {
		return api.RPCReply{}, err
	}
	switch {
	case strings.HasPrefix(r.Call, "panic:"):
		panic("on purpose")
	case r.TimeoutMS == 1:
		<-ctx.Done()
		return api.RPCReply{}, ctx.Err()
	case strings.HasPrefix(r.Call, "erlang:error"):
		return api.RPCReply{Node: "n@h", Class: "error", Text: "badarg"}, nil
	}
	return api.RPCReply{Node: "n@h", Text: "[1,2,3]"}, nil
}

func (f *fakeControl) Events(ctx context.Context, since uint64, follow bool, yield func(api.Event) bool) error {
	if since > 1000 {
		return api.Errorf(api.CodeFailed, "the store is broken")
	}
	for {
		f.mu.Lock()
		batch, added := f.kept[min(since, uint64(len(f.kept))):], f.added
		f.mu.Unlock()
		for _, e := range batch {
			if e.Message == "fail now" {
				return api.Errorf(api.CodeFailed, "the store broke")
			}
			if since = e.ID; !yield(e) {
				return nil
			}
		}
		if !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-added:
		}
	}
}

func (f *fakeControl) Logs(ctx context.Context, r api.LogRequest, yield func(api.LogLine) bool) error {
	if err := f.find(r.Target); err != nil {
		return err
	}
	next := 0
	for {
		f.mu.Lock()
		batch, added := f.logs[next:], f.added
		f.mu.Unlock()
		next += len(batch)
		for _, l := range batch {
			if r.Stream != "" && l.Stream != r.Stream {
				continue
			}
			if !yield(l) {
				return nil
			}
		}
		if !r.Follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-added:
		}
	}
}

// Health lets the contract run against the fake itself.
func (f *fakeControl) Health(context.Context) (api.Health, error) {
	return api.Health{Status: "ok", Timestamp: api.Time{Time: time.Now()}}, nil
}
