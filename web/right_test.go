package web_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/web"
)

// fakeConfiguration answers everything.
type fakeConfiguration struct{ applied api.ConfigApplyRequest }

func (*fakeConfiguration) ConfigDiff(_ context.Context, r api.ConfigDiffRequest) (api.ConfigDiff, error) {
	return api.ConfigDiff{File: "/f", SHA256: r.Content, Changes: []api.ConfigChange{{Path: "a", Op: "added", New: "1", Class: "immediate"}}}, nil
}

func (f *fakeConfiguration) ConfigApply(_ context.Context, r api.ConfigApplyRequest) (api.ConfigApplied, error) {
	f.applied = r
	return api.ConfigApplied{File: "/f", Removing: r.ConfirmRemoval}, nil
}

// TestRights_OverTheSocket: what each right lets do, changed while the server runs.
func TestRights_OverTheSocket(t *testing.T) {
	t.Parallel()
	var right atomic.Int64
	var seen atomic.Pointer[api.Caller]
	f := newFake()
	socket, _ := serve(t, f, web.Options{Configuration: &fakeConfiguration{}, Right: func(c api.Caller) web.Right {
		seen.Store(&c)
		return web.Right(right.Load())
	}})
	c := newClient(t, socket)
	ctx := t.Context()
	requests := []struct {
		what string
		need web.Right
		do   func() error
	}{
		{"status", web.RightRead, func() error { _, err := c.Status(ctx); return err }},
		{"events", web.RightRead, func() error { return c.Events(ctx, 0, false, func(api.Event) bool { return true }) }},
		{"config diff", web.RightRead, func() error { _, err := c.ConfigDiff(ctx, api.ConfigDiffRequest{}); return err }},
		{"logs", web.RightDeploy, func() error {
			return c.Logs(ctx, api.LogRequest{Target: api.Target{App: "sample"}}, func(api.LogLine) bool { return true })
		}},
		{"deploy", web.RightDeploy, func() error { _, err := c.Deploy(ctx, api.DeployRequest{App: "sample", Version: "1"}); return err }},
		{"restart", web.RightDeploy, func() error { return c.Restart(ctx, api.Target{App: "sample"}) }},
		{"ghosts", web.RightRead, func() error { _, err := c.Ghosts(ctx, "sample"); return err }},
		{"pin", web.RightDeploy, func() error { _, err := c.Pin(ctx, "sample", api.VersionRequest{Version: "1"}); return err }},
		{"freeze", web.RightDeploy, func() error { return c.Freeze(ctx, "sample") }},
		{"scale", web.RightDeploy, func() error { return c.Scale(ctx, "sample", 1) }},
		{"rpc", web.RightAdmin, func() error {
			_, err := c.RPC(ctx, api.RPCRequest{Target: api.Target{App: "sample"}, Call: "a:b()"})
			return err
		}},
		{"purge", web.RightAdmin, func() error { return c.Purge(ctx, "sample") }},
		{"config apply", web.RightAdmin, func() error { _, err := c.ConfigApply(ctx, api.ConfigApplyRequest{}); return err }},
	}
	for has := web.RightNone; has <= web.RightAdmin; has++ {
		right.Store(int64(has))
		for _, r := range requests {
			err := r.do()
			var e *api.Error
			denied := errors.As(err, &e) && e.Code == api.CodeDenied
			if denied != (has < r.need) {
				t.Errorf("%s with the right %s: %v", r.what, has, err)
			}
			if denied && e.Hint == "" {
				t.Errorf("%s: no hint what to do", r.what)
			}
		}
	}
	if _, err := c.Health(ctx); err != nil {
		t.Errorf("Health takes no right: %v", err)
	}
	caller := seen.Load()
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(groups)
	got := slices.Sorted(slices.Values(caller.Groups))
	if caller.UID != os.Getuid() || !slices.Equal(got, groups) {
		t.Errorf("caller %+v, want uid %d and the groups %v", *caller, os.Getuid(), groups)
	}
}

func TestConfiguration_OverTheSocket(t *testing.T) {
	t.Parallel()
	f := &fakeConfiguration{}
	socket, _ := serve(t, newFake(), web.Options{Configuration: f})
	c := newClient(t, socket)
	d, err := c.ConfigDiff(t.Context(), api.ConfigDiffRequest{Content: "x"})
	if err != nil || d.SHA256 != "x" || len(d.Changes) != 1 || d.Changes[0].New != "1" {
		t.Errorf("ConfigDiff = %+v, %v", d, err)
	}
	a, err := c.ConfigApply(t.Context(), api.ConfigApplyRequest{ConfirmRemoval: []string{"cart"}, NoRestart: true})
	if err != nil || !slices.Equal(a.Removing, []string{"cart"}) || !f.applied.NoRestart {
		t.Errorf("ConfigApply = %+v, %v", a, err)
	}
	none, _ := serve(t, newFake(), web.Options{})
	var e *api.Error
	if _, err := newClient(t, none).ConfigDiff(t.Context(), api.ConfigDiffRequest{}); !errors.As(err, &e) || e.Code != api.CodeRefused {
		t.Errorf("ConfigDiff without a file: %v", err)
	}
}
