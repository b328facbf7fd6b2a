package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// ghostLog is how many lines of log go with a ghost. Its deployment has more.
const ghostLog = 20

// blame says of the instance that failed a deployment whether its version is to blame, and with what evidence.
func (m *manager) blame(p picture, rel state.Release, rec state.Instance, v instanceView, why error, log []string) *api.Ghost {
	_, trouble := m.sys.cfg.State.Trouble()
	if trouble != nil || p.app.Failed != "" || p.dep.Trigger == triggerRollback || same(rel, p.app.Settled) {
		return nil // what was good before, or what is beside the point
	}
	if rec.Process.OSPID == 0 && rec.CrashRestarts == 0 {
		return nil // it never ran
	}
	if rec.Cause == state.CauseHost || !rec.Failed && v.chain.cause() == state.CauseHost {
		return nil
	}
	rel.SHA256 = firstOf(rec.SHA256, rel.SHA256)
	return ghostOf(rel, rec, v, p.dep.ID, why, log)
}

func ghostOf(rel state.Release, rec state.Instance, v instanceView, deployment string, why error, log []string) *api.Ghost {
	now := time.Now()
	return &api.Ghost{
		Version: rel.Version, SHA256: rel.SHA256, Hash: rel.Hash, At: api.Time{Time: now.UTC()}, Reason: why.Error(),
		Deployment: deployment, Instance: rec.Name, Readiness: v.chain.view(now), LastError: rec.LastError, Crashes: len(rec.Crashes),
		LogTail: log[max(0, len(log)-ghostLog):],
	}
}

// haunt makes a version a ghost.
func haunt(a *state.App, g api.Ghost, say func(api.Event)) {
	a.Haunt(g)
	say(api.Event{
		Type: api.EventVersionGhosted, Level: "error", App: a.Name, Instance: g.Instance, Deployment: g.Deployment, Version: g.Version,
		Message: fmt.Sprintf("version %s of %s is a ghost now and is not deployed by itself: %s", g.Version, a.Name, g.Reason),
		Data:    map[string]any{"sha256": g.SHA256, "remedy": fmt.Sprintf("publish another, or beamkeeper ghosts %s clear %s", a.Name, g.Version)},
	})
}

// isGhost is the error of a version that is not deployed as it is a ghost.
func isGhost(app string, g api.Ghost) error {
	e := api.Errorf(api.CodeRefused, "version %s of %s is a ghost since %s: %s", g.Version, app, clock(g.At.Time), g.Reason)
	e.Hint = fmt.Sprintf("beamkeeper ghosts %s has the evidence; --force tries it again all the same", app)
	return e
}

// skipsGhost deals with a current.json that names a ghost: it is told and left.
func (m *manager) skipsGhost(p picture, c change, rel state.Release) (bool, error) {
	g, ghost := p.app.Ghost(rel)
	if !ghost {
		m.sayCandidate(p.app, rel)
		return false, nil
	}
	return true, m.sys.recordApp(m.spec.Name, func(a *state.App, say func(api.Event)) {
		a.Current = c.Current.Token
		say(api.Event{
			Type: api.EventVersionSkipped, Level: "warning", App: a.Name, Version: rel.Version, Deployment: g.Deployment,
			Message: fmt.Sprintf("current.json names version %s of %s, which is a ghost: %s", rel.Version, a.Name, g.Reason),
			Data:    map[string]any{"remedy": fmt.Sprintf("beamkeeper ghosts %s clear %s", a.Name, rel.Version)},
		})
	})
}

// sayCandidate tells that a version has a ghost, but that this is another archive.
func (m *manager) sayCandidate(app state.App, rel state.Release) {
	for _, g := range app.Ghosts {
		if g.Version == rel.Version {
			m.sys.emit(api.Event{
				Type: api.EventNewCandidate, App: m.spec.Name, Version: rel.Version,
				Message: fmt.Sprintf("version %s of %s is a ghost, but this is another archive of it: it is a new candidate", rel.Version, m.spec.Name),
				Data:    map[string]any{"sha256": rel.SHA256, "ghost_sha256": g.SHA256},
			})
			return
		}
	}
}

// fetchedGhost says whether the archive that was fetched for the deployment turns out to be a ghost's.
func (m *manager) fetchedGhost(p picture, sha string) error {
	if p.app.Failed != "" || p.app.Wish.Version != p.dep.To {
		return nil
	}
	rel := p.app.Wish
	rel.SHA256 = sha
	g, ghost := p.app.Ghost(rel)
	if ghost && g.SHA256 == sha {
		return errors.New("it is a ghost: " + g.Reason)
	}
	return nil
}

// Ghosts implements api.Versions.
func (s *System) Ghosts(_ context.Context, app string) ([]api.Ghost, error) {
	if !s.has(app) {
		return nil, s.unknownApp(app)
	}
	var a state.App
	err := s.cfg.State.View(func(tx *state.Tx) (err error) {
		a, _, err = tx.App(app)
		return err
	})
	return a.Ghosts, asAPI(err)
}

// ClearGhosts implements api.Versions. What current.json names is deployed again if it was left for being a ghost.
func (s *System) ClearGhosts(ctx context.Context, app, version string) ([]api.Ghost, error) {
	return command(ctx, s, app, func(m *manager) (gone []api.Ghost, err error) {
		err = m.sys.recordApp(app, func(a *state.App, say func(api.Event)) {
			if gone = m.clear(a, version, say); len(gone) > 0 && a.Source != state.SourceOperator {
				a.Current = "" // its word is heard again
			}
		})
		if err == nil && len(gone) == 0 && version != "" {
			e := api.Errorf(api.CodeNotFound, "version %s of %s is no ghost", version, app)
			e.Hint = "beamkeeper ghosts " + app
			return nil, e
		}
		if err == nil && len(gone) > 0 {
			err = m.currentChanged()
		}
		return gone, err
	})
}

// ghosted are the versions that have ghosts, the newest first.
func ghosted(a state.App) []string {
	list := []string{}
	for _, g := range a.Ghosts {
		if !slices.Contains(list, g.Version) {
			list = append(list, g.Version)
		}
	}
	return list
}

// clear takes the ghosts of a version, or of all with an empty one, off the list.
func (m *manager) clear(a *state.App, version string, say func(api.Event)) []api.Ghost {
	gone := a.Clear(version)
	for _, g := range gone {
		say(api.Event{
			Type: api.EventGhostCleared, App: a.Name, Version: g.Version,
			Message: fmt.Sprintf("version %s of %s is no ghost any more, as %s asked", g.Version, a.Name, m.asker()), Data: withAsker(nil, m.by),
		})
	}
	return gone
}
