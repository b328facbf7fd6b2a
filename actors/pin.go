package actors

import (
	"context"
	"fmt"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/release"
)

// moving is an operator's wish for a version.
type moving struct {
	rel     state.Release
	force   bool   // a ghost too
	pin     bool   // and keep it, whatever current.json says
	kind    string // api.KindHot or api.KindFull; empty: as the plan says
	trigger string // of the deployment
}

// move moves the app to a version that an operator asked for.
func (m *manager) move(mv moving) (api.Deployment, error) {
	none := api.Deployment{}
	if err := m.sys.heldBack(m.spec.Name); err != nil {
		return none, err
	}
	p, err := m.look()
	if err != nil {
		return none, err
	}
	if err := m.mayMove(p.app, mv); err != nil {
		return none, err
	}
	pinned := p.app.Pinned
	if p.dep != nil && p.app.Failed == "" && same(mv.rel, p.app.Wish) && (pinned || !mv.pin) {
		return m.authored(*p.dep)
	}
	token := "" // what the bucket says now has been heard; this is later
	if c, ok := m.sys.board.change(m.spec.Name); ok && c.Err == nil {
		token = c.Current.Token
	}
	err = m.wish(p, mv.rel, state.SourceOperator, token, func(a *state.App, say func(api.Event)) {
		if _, ghost := a.Ghost(mv.rel); ghost {
			m.clear(a, mv.rel.Version, say)
		}
		a.Kind = mv.kind
		if a.Held = token; mv.pin && !pinned {
			a.Pinned = true
			say(api.Event{
				Type: api.EventVersionPinned, App: a.Name, Version: mv.rel.Version,
				Message: fmt.Sprintf("%s is pinned to version %s, as %s asked: current.json is not followed", a.Name, mv.rel.Version, m.asker()),
				Data:    withAsker(nil, m.by),
			})
		}
	})
	if err != nil {
		return none, err
	}
	m.trigger = mv.trigger
	if err := m.pass(); err != nil {
		return none, err
	}
	m.trigger = ""
	if p, err = m.look(); err != nil {
		return none, err
	}
	if p.dep != nil {
		return *p.dep, nil
	}
	return m.lastTo(mv.rel.Version)
}

// authored notes who asked for a deployment that is under way already, when nobody else did: whoever has published it.
func (m *manager) authored(d api.Deployment) (api.Deployment, error) {
	if d.Author != "" || m.author == "" {
		return d, nil
	}
	d.Author = m.author
	return d, m.sys.cfg.State.Update(func(tx *state.Tx) error {
		now, ok, err := tx.Deployment(d.ID)
		if err != nil || !ok {
			return err
		}
		now.Author = d.Author
		return tx.PutDeployment(now)
	})
}

// mayMove says why an app may not be moved to a version by an operator.
func (m *manager) mayMove(a state.App, mv moving) error {
	refuse := func(hint, format string, args ...any) error {
		e := api.Errorf(api.CodeRefused, format, args...)
		e.Hint = hint
		return e
	}
	name := m.spec.Name
	g, ghost := a.Ghost(mv.rel)
	under := a.Deployment != "" && a.Failed == "" && same(mv.rel, a.Wish)
	switch {
	case a.Stopped:
		return refuse("beamkeeper start "+name, "%s is stopped", name)
	case a.Frozen && !same(mv.rel, a.Settled):
		return refuse("beamkeeper unfreeze "+name, "%s is frozen: no other version is deployed", name)
	case a.Pinned && mv.trigger != triggerRollback && !mv.pin && !same(mv.rel, a.Wish):
		return refuse(fmt.Sprintf("beamkeeper pin %s %s, or beamkeeper unpin %s", name, mv.rel.Version, name), "%s is pinned to version %s", name, a.Wish.Version)
	case ghost && !mv.force:
		return isGhost(name, g)
	case !mv.force && mv.trigger != triggerRollback && !same(mv.rel, a.Settled) && !under && m.windowClosed() != nil:
		return m.windowClosed()
	case !ghost:
		m.sayCandidate(a, mv.rel)
	}
	return nil
}

// known is a release by its version, as current.json names it or as it was brought before.
func (m *manager) known(a state.App, version string) (state.Release, error) {
	if err := release.CheckVersion(version); err != nil {
		return state.Release{}, api.Errorf(api.CodeUsage, "%v", err)
	}
	if c, ok := m.sys.board.change(m.spec.Name); ok && c.Err == nil && c.Current.Version == version {
		return published(c), nil
	}
	for _, g := range a.Good {
		if g.Version == version {
			return g.Release, nil
		}
	}
	return state.Release{Version: version}, nil
}

// published is the release that current.json names.
func published(c change) state.Release {
	return state.Release{
		Version: c.Current.Version, Hash: c.Current.Hash, SHA256: c.Current.SHA256, PreCommands: c.Current.PreCommands,
		Signature: c.Current.Signature, PublishedAt: c.Current.PublishedAt,
	}
}

// Pin implements api.Versions.
func (s *System) Pin(ctx context.Context, app string, r api.VersionRequest) (api.Deployment, error) {
	return command(ctx, s, app, func(m *manager) (d api.Deployment, err error) {
		p, err := m.look()
		if err != nil {
			return d, err
		}
		rel, err := m.known(p.app, r.Version)
		if err != nil {
			return d, err
		}
		return m.move(moving{rel: rel, force: r.Force, pin: true, trigger: m.asked()})
	})
}

// asked is the trigger of what an operator or a node asks.
func (m *manager) asked() string {
	if m.by != "" {
		return triggerAPI
	}
	return state.SourceOperator
}

// Unpin implements api.Versions: the version that current.json names is deployed.
func (s *System) Unpin(ctx context.Context, app string) error {
	return s.setHold(ctx, app, func(a *state.App) (bool, api.Event) {
		was := a.Pinned
		a.Pinned, a.Held, a.Current = false, "", ""
		return was, api.Event{Type: api.EventVersionFree, Message: app + " is not pinned any more: current.json counts"}
	})
}

// Freeze implements api.Versions. What is under way goes on.
func (s *System) Freeze(ctx context.Context, app string) error {
	return s.setHold(ctx, app, func(a *state.App) (bool, api.Event) {
		was := a.Frozen
		a.Frozen = true
		return !was, api.Event{Type: api.EventAppFrozen, Message: app + " is frozen: no other version is deployed"}
	})
}

// Unfreeze implements api.Versions. What current.json has said meanwhile is done.
func (s *System) Unfreeze(ctx context.Context, app string) error {
	return s.setHold(ctx, app, func(a *state.App) (bool, api.Event) {
		was := a.Frozen
		a.Frozen, a.Held = false, ""
		return was, api.Event{Type: api.EventAppUnfrozen, Message: app + " is not frozen any more"}
	})
}

func (s *System) setHold(ctx context.Context, app string, f func(*state.App) (bool, api.Event)) error {
	_, err := command(ctx, s, app, func(m *manager) (any, error) {
		err := m.sys.recordApp(app, func(a *state.App, say func(api.Event)) {
			was := *a
			changed, e := f(a)
			if !changed {
				*a = was
				return
			}
			e.App, e.Version, e.Data = app, a.Wish.Version, withAsker(nil, m.by)
			say(e)
		})
		if err == nil {
			err = m.currentChanged()
		}
		return nil, err
	})
	return err
}

// holds deals with a current.json that is not followed, as the app is pinned or frozen: it is told once.
func (m *manager) holds(p picture, c change) (bool, error) {
	how := "pinned to version " + p.app.Wish.Version
	switch {
	case p.app.Frozen:
		how = "frozen"
	case !p.app.Pinned:
		return false, nil
	}
	if p.app.Held == c.Current.Token {
		return true, nil
	}
	return true, m.sys.recordApp(m.spec.Name, func(a *state.App, say func(api.Event)) {
		if a.Held = c.Current.Token; c.Current.Version == a.Wish.Version {
			return
		}
		say(api.Event{
			Type: api.EventVersionSkipped, App: a.Name, Version: c.Current.Version,
			Message: fmt.Sprintf("current.json names version %s of %s, which is not deployed: %s is %s", c.Current.Version, a.Name, a.Name, how),
		})
	})
}
