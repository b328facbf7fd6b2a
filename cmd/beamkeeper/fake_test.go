package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// fakeControl is a daemon for tests of the command line: one app "sample" with two instances. A deployment goes one
// step further each time it is looked at. To version "bad" it fails, to "slow" it never ends.
type fakeControl struct {
	mu          sync.Mutex
	app         api.App
	deployments map[string]*fakeDeployment
	events      []api.Event
	added       chan struct{}
}

type fakeDeployment struct {
	api.Deployment
	looks int
}

var fakeTime = api.Time{Time: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)}

func newFakeControl() *fakeControl {
	f := &fakeControl{deployments: make(map[string]*fakeDeployment), added: make(chan struct{})}
	instance := func(name string, slot int) api.Instance {
		return api.Instance{Name: name, Node: name + "@host", State: api.StateRunning, Version: "0.1.0", OSPID: 1234 + slot, OTPConnected: true,
			OTPRelease: "27", LastDeployment: "full", StartedAt: fakeTime, Ports: map[string]int{"PORT": 4000 + slot}, Slot: slot}
	}
	f.app = api.App{Name: "sample", Language: "erlang", Mode: "automatic", DesiredVersion: "0.1.0", Ghosted: []string{}, Replicas: 2,
		Instances: []api.Instance{instance("sample-abc123", 0), instance("sample-def456", 1)},
		Problems:  []api.Problem{{Since: fakeTime, What: "/b/current.json:3: no key \"version\"", Remedy: "mend the file"}}}
	f.emit(api.EventDaemonStarted, "", "the daemon has started")
	f.emit(api.EventApplicationReady, "sample-abc123", "ready")
	f.emit(api.EventApplicationReady, "sample-def456", "ready \x1b[31mred")
	return f
}

// emit is called with mu held, or before anybody else knows f.
func (f *fakeControl) emit(kind, instance, message string) {
	e := api.Event{ID: uint64(len(f.events) + 1), Time: fakeTime, Type: kind, Level: "info", Message: message}
	if instance != "" {
		e.App, e.Instance = "sample", instance
	}
	f.events = append(f.events, e)
	close(f.added)
	f.added = make(chan struct{})
}

func (f *fakeControl) find(t api.Target) (int, error) {
	if t.App != "sample" {
		return 0, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("there is no app %q", t.App), Hint: "the apps are sample"}
	}
	for i, inst := range f.app.Instances {
		if t.Instance == "" || t.Instance == inst.Name {
			return i, nil
		}
	}
	return 0, api.Errorf(api.CodeNotFound, "%s has no instance %q", t.App, t.Instance)
}

// act changes the instances that t names.
func (f *fakeControl) act(t api.Target, kind, message string, change func(*api.Instance)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.find(t); err != nil {
		return err
	}
	f.app.Instances = slices.Clone(f.app.Instances) // whoever asked for the status has the old ones
	for n := range f.app.Instances {
		if i := &f.app.Instances[n]; t.Instance == "" || t.Instance == i.Name {
			change(i)
		}
	}
	f.emit(kind, or(t.Instance, "sample-abc123"), message)
	return nil
}

func (f *fakeControl) Status(context.Context) (api.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return api.Status{Node: "beamkeeper@host", Version: "1.2.0", StartedAt: fakeTime, Apps: []api.App{f.app}}, nil
}

func (f *fakeControl) Deploy(_ context.Context, r api.DeployRequest) (api.Deployment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.find(api.Target{App: r.App}); err != nil {
		return api.Deployment{}, err
	}
	if r.Version == "missing" {
		return api.Deployment{}, &api.Error{Code: api.CodeRefused, Message: "the bucket has no sample-missing.tar.gz", Hint: "publish it first"}
	}
	if r.Version == "0.1.0" {
		return api.Deployment{ID: "d0000000", App: "sample", To: "0.1.0", Outcome: api.DeploymentSucceeded, StartedAt: fakeTime, EndedAt: later(1500)}, nil
	}
	d := &fakeDeployment{Deployment: api.Deployment{ID: fmt.Sprintf("d%07d", len(f.deployments)+1), App: "sample", From: "0.1.0", To: or(r.Version, "0.2.0"),
		Kind: or(r.Kind, "full"), Trigger: "operator", Outcome: api.DeploymentRunning, StartedAt: fakeTime}}
	f.deployments[d.ID] = d
	return d.Deployment, nil
}

func later(ms int) api.Time {
	return api.Time{Time: fakeTime.Add(time.Duration(ms) * time.Millisecond)}
}

// advance lets one more step be seen.
func (d *fakeDeployment) advance() {
	if d.Outcome != api.DeploymentRunning {
		return
	}
	d.looks++
	step := func(name string, from, to int) api.DeploymentStep {
		return api.DeploymentStep{Name: name, StartedAt: later(from), EndedAt: later(to)}
	}
	switch d.looks {
	case 1:
		d.Steps = []api.DeploymentStep{{Name: "fetch", StartedAt: later(0)}}
	case 2:
		d.Steps = []api.DeploymentStep{step("fetch", 0, 100), step("unpack", 100, 300)}
		d.Instances = []api.DeploymentInstance{{Name: "sample-new111", Replaces: "sample-abc123", Steps: []api.DeploymentStep{{Name: "start", StartedAt: later(300)}}}}
	case 3:
		d.Instances = []api.DeploymentInstance{{Name: "sample-new111", Replaces: "sample-abc123", Steps: []api.DeploymentStep{
			step("start", 300, 400), step("node", 400, 900), {Name: "application", StartedAt: later(900)}}}}
	case 4:
		d.end()
	}
}

func (d *fakeDeployment) end() {
	last := &d.Instances[0].Steps[2]
	switch d.To {
	case "slow":
		return
	case "bad":
		last.EndedAt, last.Error = later(60900), "not started within 60 s"
		d.Outcome, d.Error = api.DeploymentFailed, "sample-new111 did not get ready"
		d.LogTail = []string{"crash: \x1b[31mno database", "Runtime terminating"}
	default:
		last.EndedAt, d.Outcome = later(1500), api.DeploymentSucceeded
	}
	d.EndedAt = last.EndedAt
}

func (f *fakeControl) Deployments(_ context.Context, _ string, limit int) ([]api.Deployment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ds []api.Deployment
	for n := len(f.deployments); n > 0 && (limit == 0 || len(ds) < limit); n-- {
		ds = append(ds, f.deployments[fmt.Sprintf("d%07d", n)].Deployment)
	}
	return ds, nil
}

func (f *fakeControl) Deployment(_ context.Context, id string) (api.Deployment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, ok := f.deployments[id]
	if !ok {
		return api.Deployment{}, api.Errorf(api.CodeNotFound, "there is no deployment %q", id)
	}
	d.advance()
	return d.Deployment, nil
}

func (f *fakeControl) AbortDeployment(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, ok := f.deployments[id]
	if !ok {
		return api.Errorf(api.CodeNotFound, "there is no deployment %q", id)
	}
	d.Outcome, d.EndedAt = api.DeploymentAborted, later(2000)
	return nil
}

func (f *fakeControl) Start(_ context.Context, t api.Target) error {
	return f.act(t, api.EventInstanceStarted, "started", func(i *api.Instance) { i.State = api.StateRunning })
}

func (f *fakeControl) Stop(_ context.Context, t api.Target) error {
	return f.act(t, api.EventInstanceStopped, "stopped", func(i *api.Instance) { i.State = api.StateStopped })
}

func (f *fakeControl) Restart(_ context.Context, t api.Target) error {
	if t.Instance == "sample-def456" { // this one does not come back
		return f.act(t, api.EventDeploymentShutdown, "restarted", func(i *api.Instance) { i.State, i.LastError = api.StateFailed, "exit code 1" })
	}
	return f.act(t, api.EventDeploymentShutdown, "restarted", func(i *api.Instance) { i.OSPID += 1000 })
}

func (f *fakeControl) Purge(_ context.Context, app string) error {
	if app == "sample" {
		return api.Errorf(api.CodeRefused, "app %s is in the configuration", app)
	}
	return nil
}

func (f *fakeControl) Unclaimed(context.Context) ([]api.Unclaimed, error) {
	return []api.Unclaimed{{App: "sample", Instance: "sample-lost01", OSPID: 77, StartedAt: fakeTime}, {App: "sample", Instance: "sample-lost02", OSPID: 78, StartedAt: fakeTime}}, nil
}

func (f *fakeControl) Adopt(_ context.Context, t api.Target) ([]api.Adopted, error) {
	list := []api.Adopted{{App: "sample", Instance: "sample-lost01", OSPID: 77, Version: "0.1.0"}}
	switch {
	case t.App != "" && t.App != "sample" || t.Instance != "" && t.Instance != "sample-lost01":
		return nil, &api.Error{Code: api.CodeNotFound, Message: "nothing is offered for adoption by the name " + t.String()}
	case t.Instance == "":
		list = append(list, api.Adopted{App: "sample", Instance: "sample-lost02", OSPID: 78, Error: "its version is not known"})
	}
	return list, nil
}

func (f *fakeControl) Scale(_ context.Context, app string, n int) error {
	err := f.act(api.Target{App: app}, api.EventScaled, fmt.Sprint(n), func(*api.Instance) {})
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil && n < 10 { // more are never there
		f.app.Replicas, f.app.Instances = n, f.app.Instances[:min(n, len(f.app.Instances))]
		for len(f.app.Instances) < n {
			f.app.Instances = append(f.app.Instances, api.Instance{Name: fmt.Sprintf("sample-more%02d", len(f.app.Instances)), State: api.StateRunning, Version: "0.1.0"})
		}
	} else if err == nil {
		f.app.Replicas = n
	}
	return err
}

func (f *fakeControl) History(_ context.Context, app string) ([]api.HistoryEntry, error) {
	if _, err := f.find(api.Target{App: app}); err != nil {
		return nil, err
	}
	return []api.HistoryEntry{{At: fakeTime, Version: "0.1.0", Instance: "sample-abc123", Kind: "full", Deployment: "d0000000"}}, nil
}

func (f *fakeControl) Nodes(context.Context) ([]api.NodeInfo, error) {
	return []api.NodeInfo{{Name: "sample-abc123@host", State: "up", App: "sample", OTPRelease: "27", Since: fakeTime, BytesIn: 2048, BytesOut: 100}}, nil
}

func (f *fakeControl) RPC(_ context.Context, r api.RPCRequest) (api.RPCReply, error) {
	if _, err := f.find(r.Target); err != nil {
		return api.RPCReply{}, err
	}
	if strings.HasPrefix(r.Call, "erlang:error") {
		return api.RPCReply{Node: "sample-abc123@host", Class: "error", Text: "badarg"}, nil
	}
	return api.RPCReply{Node: "sample-abc123@host", Text: "{ok,[1,2,3]}"}, nil
}

func (f *fakeControl) Events(ctx context.Context, since uint64, follow bool, yield func(api.Event) bool) error {
	for {
		f.mu.Lock()
		batch, added := f.events[min(since, uint64(len(f.events))):], f.added
		f.mu.Unlock()
		for _, e := range batch {
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
	f.mu.Lock()
	_, err := f.find(r.Target)
	f.mu.Unlock()
	if err != nil {
		return err
	}
	for _, l := range []api.LogLine{
		{Instance: "sample-abc123", Stream: "stdout", Text: "counter is at 1"},
		{Instance: "sample-abc123", Stream: "stderr", Text: "warning: disk"},
		{Instance: "sample-def456", Stream: "stdout", Text: "counter is at 2"},
	} {
		if r.Instance != "" && l.Instance != r.Instance || r.Stream != "" && l.Stream != r.Stream || !strings.Contains(l.Text, r.Grep) {
			continue
		}
		if !yield(l) {
			return nil
		}
	}
	if r.Follow {
		<-ctx.Done()
	}
	return nil
}

// writeTarball makes the archive of a release that is whole as far as its files tell, and could not be started.
func writeTarball(file, language, name, version string) error {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	add := func(path, content string) error {
		if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg, ModTime: fakeTime.Time}); err != nil {
			return err
		}
		_, err := w.Write([]byte(content))
		return err
	}
	files := map[string]string{
		"bin/" + name:                                  "#!/bin/sh\n",
		"releases/start_erl.data":                      "13.1 " + version + "\n",
		"releases/" + version + "/" + name + ".rel":    fmt.Sprintf("{release,{%q,%q},{erts,\"13.1\"},[{kernel,\"8.5\"},{stdlib,\"4.1\"},{%s,%q}]}.\n", name, version, name, version),
		"releases/" + version + "/start.boot":          "",
		"releases/" + version + "/vm.args":             "",
		"lib/" + name + "-" + version + "/ebin/x.beam": "",
		"erts-13.1/bin/erl":                            "",
	}
	if language == "elixir" {
		files["releases/"+version+"/elixir"] = ""
		files["releases/"+version+"/env.sh"] = ""
	}
	if language == "gleam" {
		files = map[string]string{
			"erlang-shipment/" + name + "/ebin/" + name + "@@main.beam": "",
			"erlang-shipment/" + name + "/ebin/" + name + ".app":        fmt.Sprintf("{application,%s,[{vsn,%q}]}.\n", name, version),
		}
	}
	for path, content := range files {
		if err := add(path, content); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}
