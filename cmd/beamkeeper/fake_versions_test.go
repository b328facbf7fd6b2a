package main

import (
	"context"
	"slices"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func (f *fakeControl) Ghosts(_ context.Context, app string) ([]api.Ghost, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.find(api.Target{App: app}); err != nil {
		return nil, err
	}
	var list []api.Ghost
	for _, v := range f.app.Ghosted {
		list = append(list, api.Ghost{Version: v, SHA256: "0123456789abcdef", At: fakeTime, Reason: "sample-new111 was not ready within 1m0s: node is missing", Deployment: "d0000009",
			Instance: "sample-new111", LastError: "exit code 1", LogTail: []string{"crash: \x1b[31mno database"}, Readiness: []api.Step{{Name: "process", State: "passed"}, {Name: "node", State: "waiting", Detail: "name not registered"}}})
	}
	return list, nil
}

func (f *fakeControl) ClearGhosts(ctx context.Context, app, version string) ([]api.Ghost, error) {
	list, err := f.Ghosts(ctx, app)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if version != "" && !slices.Contains(f.app.Ghosted, version) {
		return nil, api.Errorf(api.CodeNotFound, "version %s of %s is no ghost", version, app)
	}
	f.app.Ghosted = slices.DeleteFunc(slices.Clone(f.app.Ghosted), func(v string) bool { return version == "" || v == version })
	return slices.DeleteFunc(list, func(g api.Ghost) bool { return version != "" && g.Version != version }), nil
}

func (f *fakeControl) Pin(ctx context.Context, app string, r api.VersionRequest) (api.Deployment, error) {
	f.mu.Lock()
	ghost := slices.Contains(f.app.Ghosted, r.Version) && !r.Force
	f.mu.Unlock()
	if ghost {
		return api.Deployment{}, &api.Error{Code: api.CodeRefused, Message: "version " + r.Version + " of sample is a ghost", Hint: "--force"}
	}
	d, err := f.Deploy(ctx, api.DeployRequest{App: app, Version: r.Version})
	if err == nil {
		err = f.mode(app, "pinned")
	}
	return d, err
}

func (f *fakeControl) Rollback(ctx context.Context, app string, r api.VersionRequest) (api.Deployment, error) {
	return f.Deploy(ctx, api.DeployRequest{App: app, Version: or(r.Version, "0.0.9")})
}

func (f *fakeControl) mode(app, mode string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.find(api.Target{App: app})
	if err == nil {
		f.app.Mode = mode
	}
	return err
}

func (f *fakeControl) Unpin(_ context.Context, app string) error    { return f.mode(app, "automatic") }
func (f *fakeControl) Freeze(_ context.Context, app string) error   { return f.mode(app, "frozen") }
func (f *fakeControl) Unfreeze(_ context.Context, app string) error { return f.mode(app, "automatic") }

// CommitDeployment succeeds with the next look; a process lingers in old code.
func (f *fakeControl) CommitDeployment(_ context.Context, id string, kill bool) (api.Deployment, error) {
	if !kill {
		return api.Deployment{}, &api.Error{Code: api.CodeRefused, Message: "<0.99.0> of sample-abc123 still runs old code of counter", Hint: "--kill-lingering ends it"}
	}
	return f.ends(id, api.DeploymentSucceeded)
}

func (f *fakeControl) RevertDeployment(_ context.Context, id string) (api.Deployment, error) {
	return f.ends(id, api.DeploymentReverted)
}

func (f *fakeControl) ends(id, outcome string) (api.Deployment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, ok := f.deployments[id]
	if !ok {
		return api.Deployment{}, api.Errorf(api.CodeNotFound, "there is no deployment %q", id)
	}
	d.Outcome, d.EndedAt = outcome, later(2500)
	return d.Deployment, nil
}

// Plan is about version: 0.1.0 is there already, hot can be taken hot, refused cannot run, held waits for its window.
func (f *fakeControl) Plan(_ context.Context, r api.PlanRequest) (api.Plan, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.find(api.Target{App: r.App}); err != nil {
		return api.Plan{}, err
	}
	p := api.Plan{App: r.App, From: "0.1.0", To: or(r.Version, "0.2.0"), Verdict: "FULL", Kind: api.KindFull, Reasons: []api.PlanReason{}, Holds: []api.PlanHold{}, Steps: []api.PlanStep{}}
	p.Instances = []api.PlanInstance{
		{Name: "sample-abc123", State: api.StateRunning, Version: "0.1.0", Live: &api.PlanLive{Version: "0.1.0", ReleaseHandler: true, Processes: 99, MemoryBytes: 5 << 20, DiskFreeBytes: 3 << 30,
			Releases: []api.PlanRelease{{Name: "sample", Version: "0.1.0", Status: "permanent"}}, OldCode: []api.PlanProcess{{Pid: "<0.99.0>", Name: "counter", App: "sample", Modules: []string{"sample_counter"}}},
			Unresponsive: []api.PlanProcess{{Pid: "<0.98.0>", Why: "does not answer system messages\x1b[31m"}}}},
		{Name: "sample-def456", State: api.StateRunning, Version: "0.1.0", Error: "it is not connected"},
	}
	if r.File != nil {
		p.File, p.To = r.File.Name, "9.0.0"
		if r.File.Broken != "" {
			p.Verdict, p.Kind, p.Reasons = "REFUSED", "", []api.PlanReason{{What: r.File.Broken}}
		}
		return p, nil
	}
	switch r.Version {
	case "0.1.0":
		p.Verdict, p.Kind = "SAME", ""
	case "hot":
		p.Verdict, p.Kind = "HOT", or(r.Kind, api.KindHot)
		p.Steps = []api.PlanStep{{Name: "install", Instance: "sample-abc123", Detail: "release_handler installs hot in it"}}
	case "refused":
		p.Verdict, p.Kind, p.Reasons = "REFUSED", "", []api.PlanReason{{What: "erts/bin/beam.smp is for s390x, this host is amd64"}}
	case "held":
		p.Holds = []api.PlanHold{{What: "it is outside of the deploy window, until Mon 2026-11-23 09:00 CET", Automatic: true, Manual: true, Forcible: true}}
		fallthrough
	default:
		p.Reasons = []api.PlanReason{{What: "sample 0.1.0 → 0.2.0 has no appup", Remedy: "an appup of sample that leads from 0.1.0"}}
	}
	return p, nil
}
