package actors

import (
	"fmt"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// now is the time that deploy windows go by.
func (s *System) now() time.Time {
	if s.cfg.Clock != nil {
		return s.cfg.Clock()
	}
	return time.Now()
}

// opens says in words when the window of an app opens next.
func opens(spec AppSpec, now time.Time) (at time.Time, words string) {
	at, ok := spec.Windows.Opens(now)
	if !ok {
		return time.Time{}, "never, as allow_deploys stands"
	}
	return at, "until " + at.Format("Mon 2006-01-02 15:04 MST")
}

// windowClosed is the error of an app that may not be moved now, nil when it may.
func (m *manager) windowClosed() error {
	now := m.sys.now()
	if m.spec.Windows.Open(now) {
		return nil
	}
	_, until := opens(m.spec, now)
	e := api.Errorf(api.CodeRefused, "%s is not deployed now, outside of its window, %s (allow_deploys: %s)", m.spec.Name, until, m.spec.Windows)
	e.Hint = "--force does it all the same; going back is possible at all times (beamkeeper rollback " + m.spec.Name + ")"
	return e
}

// waitsForWindow deals with a current.json outside of the app's window: it is told once, and done when that opens.
func (m *manager) waitsForWindow(p picture, c change) (bool, error) {
	now := m.sys.now()
	rel := published(c)
	if m.waits = !m.spec.Windows.Open(now) && !(same(rel, p.app.Settled) && p.app.Failed == ""); !m.waits {
		return false, nil
	}
	at, until := opens(m.spec, now)
	if d := at.Sub(now); !at.IsZero() && d < lookAgain {
		m.sys.after(d, m.self, msgWake{}) // later than that it is looked at anyway
	}
	if p.app.Waits == c.Current.Token {
		return true, nil
	}
	return true, m.sys.recordApp(m.spec.Name, func(a *state.App, say func(api.Event)) {
		a.Waits = c.Current.Token
		say(api.Event{
			Type: api.EventVersionWaits, App: a.Name, Version: rel.Version,
			Message: fmt.Sprintf("current.json names version %s of %s, which waits for its deploy window, %s (allow_deploys: %s)", rel.Version, a.Name, until, m.spec.Windows),
			Data:    map[string]any{"until": api.Time{Time: at.UTC()}, "allow_deploys": m.spec.Windows.String()},
		})
	})
}

// windowOpens does what has waited for the window, if that is open.
func (m *manager) windowOpens() error {
	if !m.waits || !m.spec.Windows.Open(m.sys.now()) {
		return nil
	}
	m.waits = false
	return m.currentChanged()
}

// waiting is what an app waits for.
func (s *System) waiting(spec AppSpec, rec state.App) *api.Waiting {
	c, ok := s.board.change(spec.Name)
	now := s.now()
	if !ok || c.Err != nil || rec.Waits != c.Current.Token || rec.Current == c.Current.Token && rec.Failed == "" || spec.Windows.Open(now) {
		return nil
	}
	at, _ := opens(spec, now)
	return &api.Waiting{Version: c.Current.Version, Until: api.Time{Time: at.UTC()}, Windows: spec.Windows.String()}
}
