package confine

import (
	"context"
	"errors"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/cgroup"
	"github.com/beamkeeper/beamkeeper/internal/systemd"
)

// scopes are places that systemd makes.
type scopes struct{ manager *systemd.Manager }

func (s *scopes) open(ctx context.Context, name string, p Placement) error {
	return s.join(ctx, systemd.Scope{Name: name, Slice: slice, Description: describe(p), PIDs: []int{p.Process.OSPID}, Limits: p.Limits})
}

// join makes a scope, or joins the one that is there. That may be one just ending, of the instance's last OS process: the
// manager hears a little later than we do that it is empty.
func (s *scopes) join(ctx context.Context, scope systemd.Scope) error {
	for {
		err := s.manager.StartScope(ctx, scope)
		if !errors.Is(err, systemd.ErrExists) {
			return err
		}
		if err = s.manager.Attach(ctx, scope.Name, scope.PIDs...); err == nil {
			return s.manager.SetLimits(ctx, scope.Name, scope.Limits)
		}
		if !errors.Is(err, systemd.ErrNoUnit) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(gonePoll):
		}
	}
}

func (s *scopes) move(ctx context.Context, name string, pids []int) error {
	return s.manager.Attach(ctx, name, pids...)
}

func (s *scopes) limit(ctx context.Context, name string, l cgroup.Limits) error {
	return s.manager.SetLimits(ctx, name, l)
}

func (s *scopes) spare(ctx context.Context, pids []int) error {
	return s.join(ctx, systemd.Scope{Name: epmdUnit, Slice: slice, Description: "Erlang port mapper started for Beamkeeper", PIDs: pids})
}

func (s *scopes) dir(ctx context.Context, name string) string {
	return s.manager.ControlGroup(ctx, name)
}

// remove waits for the manager to see that the scope is empty; one that is not is ended with what is in it.
func (s *scopes) remove(ctx context.Context, name, dir string) error {
	if awaitGone(ctx, dir, gonePatience) {
		return nil
	}
	return s.manager.StopScope(ctx, name)
}

func (s *scopes) close() { s.manager.Close() }
