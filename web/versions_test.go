package web_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func (f *fakeControl) Ghosts(_ context.Context, app string) ([]api.Ghost, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.find(api.Target{App: app}); err != nil {
		return nil, err
	}
	var list []api.Ghost
	for _, v := range f.app.Ghosted {
		list = append(list, api.Ghost{Version: v, Reason: "it was not ready", LogTail: []string{"a line"}})
	}
	return list, nil
}

func (f *fakeControl) ClearGhosts(ctx context.Context, app, version string) (gone []api.Ghost, err error) {
	return gone, f.change(ctx, api.Target{App: app}, func() {
		var left []string
		for _, v := range f.app.Ghosted {
			if version == "" || v == version {
				gone = append(gone, api.Ghost{Version: v})
			} else {
				left = append(left, v)
			}
		}
		f.app.Ghosted = left
	})
}

func (f *fakeControl) Pin(ctx context.Context, app string, r api.VersionRequest) (d api.Deployment, err error) {
	if r.Version == "ghost" && !r.Force {
		return d, &api.Error{Code: api.CodeRefused, Message: `"ghost" is ghosted`, Hint: "clear it first"}
	}
	return d, f.change(ctx, api.Target{App: app}, func() {
		f.app.Mode = "pinned"
		d = api.Deployment{ID: "d7", App: app, To: r.Version, Outcome: api.DeploymentRunning}
	})
}

func (f *fakeControl) Unpin(ctx context.Context, app string) error {
	return f.mode(ctx, app, "automatic")
}

func (f *fakeControl) Rollback(ctx context.Context, app string, r api.VersionRequest) (api.Deployment, error) {
	return f.Pin(ctx, app, r)
}

func (f *fakeControl) Freeze(ctx context.Context, app string) error {
	return f.mode(ctx, app, "frozen")
}

func (f *fakeControl) Unfreeze(ctx context.Context, app string) error {
	return f.mode(ctx, app, "automatic")
}

func (f *fakeControl) CommitDeployment(ctx context.Context, id string, kill bool) (d api.Deployment, err error) {
	return f.ends(ctx, id, kill, api.DeploymentSucceeded)
}

func (f *fakeControl) RevertDeployment(ctx context.Context, id string) (d api.Deployment, err error) {
	return f.ends(ctx, id, true, api.DeploymentReverted)
}

// ends ends a deployment. Without kill it is refused: there is always a process in old code.
func (f *fakeControl) ends(ctx context.Context, id string, kill bool, outcome string) (d api.Deployment, err error) {
	if d, err = f.Deployment(ctx, id); err != nil {
		return d, err
	}
	if !kill {
		return d, api.Errorf(api.CodeRefused, "processes run old code")
	}
	d.Outcome = outcome
	return d, f.change(ctx, api.Target{App: "sample"}, func() {})
}

func (f *fakeControl) Plan(_ context.Context, r api.PlanRequest) (api.Plan, error) {
	if err := f.find(api.Target{App: r.App}); err != nil {
		return api.Plan{}, err
	}
	p := api.Plan{App: r.App, From: "0.1.0", To: r.Version, Verdict: "FULL", Kind: r.Kind}
	if r.File != nil {
		p.File, p.Changes = r.File.Name, r.File.Contents
	}
	return p, nil
}

func (f *fakeControl) mode(ctx context.Context, app, mode string) error {
	return f.change(ctx, api.Target{App: app}, func() { f.app.Mode = mode })
}

func contractVersions(ctx context.Context, t *testing.T, c api.Control) {
	mode := func() string {
		s, err := c.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return s.Apps[0].Mode
	}
	if list, err := c.Ghosts(ctx, "sample"); err != nil || len(list) != 0 {
		t.Errorf("Ghosts = %+v, %v", list, err)
	}
	if list, err := c.ClearGhosts(ctx, "sample", "0.9.0"); err != nil || len(list) != 0 {
		t.Errorf("ClearGhosts = %+v, %v", list, err)
	}
	if d, err := c.Pin(ctx, "sample", api.VersionRequest{Version: "0.1.0"}); err != nil || d.To != "0.1.0" || mode() != "pinned" {
		t.Errorf("Pin = %+v, %v, mode %s", d, err, mode())
	}
	var refused *api.Error
	if _, err := c.Pin(ctx, "sample", api.VersionRequest{Version: "ghost"}); !errors.As(err, &refused) || refused.Code != api.CodeRefused {
		t.Errorf("Pin to a ghost: %v", err)
	}
	if d, err := c.Rollback(ctx, "sample", api.VersionRequest{Version: "ghost", Force: true}); err != nil || d.To != "ghost" {
		t.Errorf("Rollback = %+v, %v", d, err)
	}
	for want, do := range map[string]func(context.Context, string) error{"frozen": c.Freeze, "automatic": c.Unfreeze} {
		if err := do(ctx, "sample"); err != nil || mode() != want {
			t.Errorf("mode %s, %v, want %s", mode(), err, want)
		}
	}
	if _, err := c.CommitDeployment(ctx, "d2", false); !errors.As(err, &refused) || refused.Code != api.CodeRefused {
		t.Errorf("CommitDeployment with processes in old code: %v", err)
	}
	if d, err := c.CommitDeployment(ctx, "d2", true); err != nil || d.ID != "d2" || d.Outcome != api.DeploymentSucceeded {
		t.Errorf("CommitDeployment = %+v, %v", d, err)
	}
	if d, err := c.RevertDeployment(ctx, "d2"); err != nil || d.Outcome != api.DeploymentReverted {
		t.Errorf("RevertDeployment = %+v, %v", d, err)
	}
	if p, err := c.Plan(ctx, api.PlanRequest{App: "sample", Version: "0.2.0", Kind: api.KindFull}); err != nil || p.To != "0.2.0" || p.Kind != "full" {
		t.Errorf("Plan = %+v, %v", p, err)
	}
	large := &api.PlanFile{Name: "shop.tar.gz", Contents: []byte(`"` + strings.Repeat("x", 2<<20) + `"`)}
	if p, err := c.Plan(ctx, api.PlanRequest{App: "sample", File: large}); err != nil || p.File != "shop.tar.gz" || len(p.Changes) != len(large.Contents) {
		t.Errorf("Plan of a file = %s, %d bytes, %v", p.File, len(p.Changes), err)
	}
	var missing *api.Error
	if _, err := c.Plan(ctx, api.PlanRequest{App: "nope"}); !errors.As(err, &missing) || missing.Code != api.CodeNotFound {
		t.Errorf("Plan of an unknown app: %v", err)
	}
	if err := c.Unpin(ctx, "sample"); err != nil || mode() != "automatic" {
		t.Errorf("Unpin: %v, mode %s", err, mode())
	}
}
