package main

import (
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func TestSettling_IsOverWhenTheInstancesAreAsWished(t *testing.T) {
	t.Parallel()
	inst := func(name string, state api.InstanceState, pid int) api.Instance {
		return api.Instance{Name: name, State: state, OSPID: pid}
	}
	app := func(replicas int, d *api.Deployment, instances ...api.Instance) api.App {
		return api.App{Name: "shop", Mode: "automatic", Replicas: replicas, Deployment: d, Instances: instances}
	}
	const run, start, stop, fail = api.StateRunning, api.StateStarting, api.StateStopped, api.StateFailed
	two := app(2, nil, inst("a", run, 1), inst("b", run, 2))
	old := &api.Deployment{ID: "d1", Outcome: api.DeploymentFailed}
	now := func(outcome string) *api.Deployment { return &api.Deployment{ID: "d2", Outcome: outcome} }
	tests := []struct {
		name    string
		s       settling
		now     api.App
		over    bool
		wantErr bool
	}{
		{"all run", settling{}, two, true, false},
		{"one starts", settling{}, app(2, nil, inst("a", run, 1), inst("b", start, 2)), false, false},
		{"one too few", settling{}, app(2, nil, inst("a", run, 1)), false, false},
		{"one too many", settling{}, app(1, nil, inst("a", run, 1), inst("b", run, 2)), false, false},
		{"restart, not begun", settling{before: two, fresh: true}, two, false, false},
		{"restart, half way", settling{before: two, fresh: true}, app(2, nil, inst("c", run, 3), inst("b", run, 2)), false, false},
		{"restart, over", settling{before: two, fresh: true}, app(2, nil, inst("c", run, 3), inst("d", run, 4)), true, false},
		{"restart of one, not begun", settling{before: two, fresh: true, instance: "a"}, two, false, false},
		{"restart of one, over", settling{before: two, fresh: true, instance: "a"}, app(2, nil, inst("a", run, 9), inst("b", start, 2)), true, false},
		{"one has failed", settling{}, app(2, nil, inst("a", run, 1), inst("b", fail, 0)), false, true},
		{"another has failed", settling{instance: "a"}, app(2, nil, inst("a", run, 1), inst("b", fail, 0)), true, false},
		{"a deployment has begun", settling{}, app(2, now(api.DeploymentRunning), inst("a", run, 1), inst("b", run, 2)), false, false},
		{"a deployment has failed", settling{}, app(2, now(api.DeploymentFailed), inst("a", run, 1), inst("b", run, 2)), false, true},
		{"a deployment had failed before", settling{before: app(2, old)}, app(2, old, inst("a", run, 1), inst("b", run, 2)), true, false},
		{"one was stopped by itself", settling{before: app(2, nil, inst("b", stop, 0))}, app(2, nil, inst("a", run, 1), inst("b", stop, 0)), true, false},
		{"the app was stopped", settling{before: api.App{Mode: modeStopped, Instances: []api.Instance{inst("a", stop, 0)}}}, app(1, nil, inst("a", stop, 0)), false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			over, err := tt.s.over(newCLI(nil, nil, nil, nil), tt.now)
			if over != tt.over || (err != nil) != tt.wantErr {
				t.Errorf("over = %t, %v, want %t, error %t", over, err, tt.over, tt.wantErr)
			}
		})
	}
}

func TestLastEvents(t *testing.T) {
	t.Parallel()
	f := newFakeControl()
	for range 20 {
		f.emit(api.EventScaled, "sample-abc123", "again")
	}
	for n, want := range map[int]int{0: 23, 1: 1, 2: 2, 5: 5, 22: 22, 100: 23} {
		got, last, err := lastEvents(t.Context(), f, n, func(api.Event) bool { return true })
		if err != nil || len(got) != want || last != 23 || got[len(got)-1].ID != 23 {
			t.Errorf("lastEvents(%d): %d events, last %d, %v, want %d", n, len(got), last, err, want)
		}
	}
	got, last, err := lastEvents(t.Context(), f, 1, func(e api.Event) bool { return e.App == "" })
	if err != nil || len(got) != 1 || got[0].ID != 1 || last != 23 {
		t.Errorf("one of the daemon's own: %+v, last %d, %v", got, last, err)
	}
}
