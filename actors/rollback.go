package actors

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/release"
)

// Rollback implements api.Versions. What it goes back to stays until current.json changes, or, in an app that is pinned,
// until it is unpinned.
func (s *System) Rollback(ctx context.Context, app string, r api.VersionRequest) (api.Deployment, error) {
	return command(ctx, s, app, func(m *manager) (d api.Deployment, err error) {
		p, err := m.look()
		if err != nil {
			return d, err
		}
		good, err := m.good(p, r.Version)
		if err != nil {
			return d, err
		}
		return m.move(moving{rel: good.Release, force: r.Force, trigger: triggerRollback})
	})
}

// good is the release to go back to: the last good one, or the one of a version.
func (m *manager) good(p picture, version string) (state.Good, error) {
	now := p.app.Settled
	if p.dep != nil && p.app.Failed == "" {
		now = p.app.Wish
	}
	for _, g := range p.app.Good {
		if version != "" && g.Version == version {
			return g, nil
		}
	}
	if g, ok := p.app.LastGood(now); ok && version == "" {
		return g, nil
	}
	e := api.Errorf(api.CodeRefused, "%s has had no good version before %s", m.spec.Name, firstOf(now.Version, "the first"))
	if version != "" {
		e = api.Errorf(api.CodeNotFound, "version %s of %s is none that was good", version, m.spec.Name)
	}
	e.Hint = fmt.Sprintf("beamkeeper history %s; any version that the bucket has can be had with beamkeeper deploy %s VERSION", m.spec.Name, m.spec.Name)
	return state.Good{}, e
}

// fallBack looks for an instance that has crashed too often soon after its version was brought. The last good version is
// then wished for all replicas, and that one is a ghost.
func (m *manager) fallBack(p picture) (bool, error) {
	if p.app.Frozen || p.app.Halted != "" || len(p.app.Good) == 0 || !p.app.Good[0].Is(p.app.Settled) {
		return false, nil
	}
	if _, ghost := p.app.Ghost(p.app.Settled); ghost || p.app.Failed == "" && !same(p.app.Wish, p.app.Settled) {
		return false, nil // it was gone back from in vain, or another version is about to be deployed
	}
	i := slices.IndexFunc(p.instances, func(rec state.Instance) bool {
		if !rec.Failed || rec.Leaving || rec.Stopped || len(rec.Crashes) == 0 {
			return false
		}
		ran := state.Release{Version: rec.Version, Hash: rec.Hash, SHA256: rec.SHA256}
		return ran.Is(p.app.Settled) && rec.Crashes[len(rec.Crashes)-1].Sub(p.app.Good[0].At) < m.spec.RollbackTimeout
	})
	if i < 0 {
		return false, nil
	}
	good, ok := p.app.LastGood(p.app.Settled)
	if !ok {
		return false, nil
	}
	rec := p.instances[i]
	log := tailOf(m.sys.logFiles(rec.App, rec.Name))
	return true, m.sys.recordApp(m.spec.Name, func(a *state.App, say func(api.Event)) {
		bad := a.Settled
		why := fmt.Errorf("%s crashed %d times, the last time %s after its deployment: %s",
			rec.Name, len(rec.Crashes), rec.Crashes[len(rec.Crashes)-1].Sub(a.Good[0].At).Round(time.Second), rec.LastError)
		haunt(a, *ghostOf(bad, rec, p.views[i], a.Good[0].Deployment, why, log), say)
		a.Wish, a.Source, a.At, a.By = good.Release, state.SourceRollback, time.Now().UTC(), ""
		a.Failed, a.Halted = "", ""
		say(api.Event{
			Type: api.EventRollback, Level: "error", App: a.Name, Instance: rec.Name, Version: good.Version,
			Message: fmt.Sprintf("%s goes back from version %s to %s: %v", a.Name, bad.Version, good.Version, why),
			Data:    map[string]any{"from": bad.Version, "to": good.Version},
		})
	})
}

// brought notes what a deployment that succeeded has brought.
func brought(a *state.App, d api.Deployment, now time.Time) {
	a.Brought(state.Good{Release: a.Settled, At: now.UTC(), Deployment: d.ID}, d.Trigger == triggerRollback)
}

// keepers are the IDs of the releases that stay on disk beside those that are kept for being the newest: the one that runs
// and the one to go back to.
func (m *manager) keepers() (ids []string) {
	p, err := m.look()
	if err != nil || m.spec.Keep == 0 {
		return nil
	}
	good := []state.Good{{Release: p.app.Settled}}
	if g, ok := p.app.LastGood(p.app.Settled); ok {
		good = append(good, g)
	}
	for _, g := range good {
		if g.SHA256 != "" {
			ids = append(ids, release.Release{Version: g.Version, SHA256: g.SHA256}.ID())
		}
	}
	return ids
}
