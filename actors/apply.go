package actors

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// ApplyOptions say what Apply does beyond taking the new specs.
type ApplyOptions struct {
	// Restart has instances replaced that were started with other settings than those of their app's spec now: one after
	// the other, as Strategy says, so that the app serves all the time. Without it they run on as they are until their
	// next start.
	Restart bool

	// Remove names apps that the roster does not have, but of which there are records: a configuration without them was
	// there when the daemon started. Their instances are stopped too.
	Remove []string
}

// Apply makes specs what the configuration says about the apps from now on. Apps that are new are watched and deployed.
// Those that specs do not have are removed: their instances are stopped as `stop` does it, and their records, history,
// releases and logs stay until Purge. All else is a difference in what is wished, which the reconciler moves as ever.
//
// It returns once that is in the state store, so a daemon that is killed goes on with it. Instances keep what they were
// started with until their next start.
//
// Errors: *api.Error with CodeRefused while the daemon is stopping, CodeNotFound for a name in o.Remove that nothing is
// known of; anything wrong with specs or the state store. Nothing has changed then.
func (s *System) Apply(ctx context.Context, specs []AppSpec, o ApplyOptions) error {
	if err := checkSpecs(specs); err != nil {
		return err
	}
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.closing.Load() {
		return api.Errorf(api.CodeRefused, "the daemon is stopping")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	next, err := s.nextRoster(specs, o.Remove)
	if err != nil {
		return err
	}
	changed, added := make(map[string]bool), []string{}
	err = s.cfg.State.Update(func(tx *state.Tx) error {
		for _, e := range next {
			old, there := s.roster.find(e.spec.Name)
			changed[e.spec.Name] = !there || old.leaving != e.leaving || !reflect.DeepEqual(old.spec, e.spec)
			if !e.leaving && (!there || old.leaving) {
				added = append(added, e.spec.Name)
			}
			if err := s.note(tx, e, changed[e.spec.Name], o.Restart); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("actors: apply: %w", err)
	}
	for i := range next {
		next[i] = s.withMesh(next[i])
		if changed[next[i].spec.Name] {
			next[i].since = time.Now()
		}
	}
	s.roster.set(next)
	for _, name := range added {
		s.emit(api.Event{Type: api.EventAppAdded, App: name, Message: name + " was added to the configuration"})
	}
	s.spread(next, changed)
	return nil
}

// nextRoster is the roster with specs in place of those that are there.
func (s *System) nextRoster(specs []AppSpec, remove []string) ([]entry, error) {
	var next []entry
	has := func(name string) bool {
		return slices.ContainsFunc(next, func(e entry) bool { return e.spec.Name == name })
	}
	for _, spec := range specs {
		e, _ := s.roster.find(spec.Name) // for its mesh
		e.spec, e.leaving = spec.withDefaults(), false
		next = append(next, e)
	}
	for _, e := range s.roster.all() {
		if !has(e.spec.Name) {
			e.leaving = true
			next = append(next, e)
		}
	}
	for _, name := range remove {
		if has(name) {
			continue
		}
		known := false
		err := s.cfg.State.View(func(tx *state.Tx) (err error) {
			_, known, err = tx.App(name)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("actors: apply: %w", err)
		}
		if !known {
			return nil, s.unknownApp(name)
		}
		next = append(next, entry{spec: AppSpec{Name: name}.withDefaults(), leaving: true})
	}
	return next, nil
}

// note writes into the state store what an entry of the roster means.
func (s *System) note(tx *state.Tx, e entry, changed, restart bool) error {
	name := e.spec.Name
	if e.leaving {
		app, _, err := tx.App(name)
		if err != nil {
			return err
		}
		app.Name = name
		if app.Removed.IsZero() {
			app.Removed = time.Now().UTC()
		}
		return errors.Join(tx.PutApp(app), s.claimStrangers(tx, name))
	}
	if err := s.enlist(tx, e.spec); err != nil {
		return err
	}
	app, _, err := tx.App(name)
	if err != nil {
		return err
	}
	if changed {
		app.Halted = "" // what failed may be mended by it
	}
	if restart {
		app.Settings = e.spec.settings()
	}
	return tx.PutApp(app)
}

// claimStrangers notes the OS processes of an app's instances that nobody cared for, as the app was not configured.
func (s *System) claimStrangers(tx *state.Tx, app string) error {
	for _, f := range s.strangers {
		rec, ok, err := tx.Instance(f.Instance)
		if err != nil {
			return err
		}
		if !ok || rec.App != app || rec.Process.OSPID != 0 {
			continue
		}
		rec.Process, rec.Ready = f.Identity, false
		if err := tx.PutInstance(rec); err != nil {
			return err
		}
	}
	return nil
}

// enlist makes the record of an app that the configuration has. A changed replicas there wins over `scale`.
func (s *System) enlist(tx *state.Tx, spec AppSpec) error {
	app, _, err := tx.App(spec.Name)
	if err != nil {
		return err
	}
	if id := firstOf(app.Halted, app.Failed); id != "" && !app.Removed.IsZero() { // what its removal ended is begun anew
		d, _, err := tx.Deployment(id)
		if err != nil {
			return err
		}
		if d.Outcome == api.DeploymentAborted {
			app.Failed, app.Halted = "", ""
		}
	}
	app.Name, app.Removed = spec.Name, time.Time{}
	if app.Replicas != nil && app.ScaledFrom != spec.Replicas {
		app.Replicas = nil
	}
	return tx.PutApp(app)
}

// enlistLeaving adds to the roster the apps whose removal an earlier daemon began and did not end.
func (s *System) enlistLeaving(tx *state.Tx) error {
	apps, err := tx.Apps()
	if err != nil {
		return err
	}
	for _, app := range apps {
		if app.Removed.IsZero() || s.has(app.Name) {
			continue
		}
		left, err := tx.Instances(app.Name)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			s.roster.set(append(s.roster.all(), entry{spec: AppSpec{Name: app.Name}.withDefaults(), leaving: true}))
		}
	}
	return nil
}

// spread tells everybody whom it concerns that the roster has changed.
func (s *System) spread(next []entry, changed map[string]bool) {
	for _, e := range next {
		switch name := e.spec.Name; {
		case s.watch == nil:
		case e.leaving:
			s.watch.Remove(name)
			s.board.removeChange(name)
		case changed[name]:
			s.watch.Add(name, e.spec.Poll)
		}
	}
	s.send(rootActor, msgApps{})
	for _, e := range next {
		s.send(managerActor(e.spec.Name), msgApps{})
	}
	for _, name := range s.board.names() {
		s.send(instanceActor(name), msgWake{})
	}
}

// leave moves an app that is being removed on: its instances are stopped, and when they are gone, so is the app.
func (m *manager) leave(p picture) error {
	if p.dep != nil {
		return m.end(p, api.DeploymentAborted, errors.New("the app was removed from the configuration"), nil)
	}
	if len(p.instances) == 0 {
		m.sys.dropped(m.spec.Name)
		return nil
	}
	var leaving []state.Instance
	err := m.sys.cfg.State.Update(func(tx *state.Tx) error {
		for _, old := range p.instances {
			rec, ok, err := tx.Instance(old.Name)
			if err != nil {
				return err
			}
			if !ok || rec.Leaving {
				continue
			}
			rec.Leaving = true
			if err := tx.PutInstance(rec); err != nil {
				return err
			}
			leaving = append(leaving, rec)
		}
		return nil
	})
	m.wake(leaving)
	return err
}

// dropped takes an app off the roster whose instances are gone, unless it has come back.
func (s *System) dropped(app string) {
	// Not in the actor: Apply, which holds the lock for as long as the state store takes, must not hold up actors.
	s.jobs.Go(func() {
		s.applying.Lock()
		defer s.applying.Unlock()
		e, ok := s.roster.find(app)
		if !ok || !e.leaving {
			return
		}
		s.roster.set(slices.DeleteFunc(s.roster.all(), func(e entry) bool { return e.spec.Name == app }))
		s.emit(api.Event{Type: api.EventAppRemoved, App: app,
			Message: fmt.Sprintf("%s is removed: its instances have stopped; its state, history, releases and logs stay until `beamkeeper purge %s`", app, app)})
		s.send(rootActor, msgApps{})
	})
}

// Purge implements api.Control: all that is left of an app that was removed from the configuration goes.
func (s *System) Purge(_ context.Context, app string) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	if e, ok := s.roster.find(app); ok {
		err := api.Errorf(api.CodeRefused, "app %s is in the configuration", app)
		err.Hint = "take it out there, then: beamkeeper config apply --confirm-removal " + app
		if e.leaving {
			err = api.Errorf(api.CodeRefused, "app %s is being removed: its instances are not all gone yet", app)
			err.Hint = "beamkeeper status " + app
		}
		return err
	}
	known, left := false, 0
	err := s.cfg.State.View(func(tx *state.Tx) (err error) {
		if _, known, err = tx.App(app); err != nil {
			return err
		}
		list, err := tx.Instances(app)
		left = len(list)
		return err
	})
	switch {
	case err != nil:
		return asAPI(err)
	case !known:
		return s.unknownApp(app)
	case left > 0:
		e := api.Errorf(api.CodeRefused, "app %s still has %d instances", app, left)
		e.Hint = "beamkeeper config apply --confirm-removal " + app
		return e
	}
	// The records last: what is left half way can be purged again.
	if err := errors.Join(s.cfg.Releases.RemoveApp(app), s.removeLogs(app)); err != nil {
		return asAPI(err)
	}
	if err := s.cfg.State.Update(func(tx *state.Tx) error { return tx.PurgeApp(app) }); err != nil {
		return asAPI(err)
	}
	s.emit(api.Event{Type: api.EventAppPurged, App: app, Message: "all that was left of " + app + " is gone"})
	return nil
}
