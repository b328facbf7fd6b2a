package actors

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/probe"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/internal/upgrade"
	"github.com/beamkeeper/beamkeeper/release"
)

const (
	preparing    = 4 // instances that are prepared at a time
	upgradeTries = 6 // of what can be tried again
	commitTries  = 20
	lingeringMax = 5 * time.Second // between two looks whether processes are still in old code
)

// upgradeWork is what is being done to one instance, or was done last.
type upgradeWork struct {
	work
	tries int       // of this kind that failed in a row
	again time.Time // not tried before
	text  string    // what the step was last said to wait for
}

// upgraded is the result of upgrade work.
type upgraded struct {
	instance string
	process  process.Identity // that it was done to
	err      error

	prepared  upgrade.Prepared
	lingering []upgrade.Lingerer
	retry     bool // err is no failure: it is tried again until it is over
	cold      bool // the OS process had restarted with the old version
}

// upgradeDelay is how long to wait after so many failures.
func upgradeDelay(tries int) time.Duration {
	return min(time.Second<<max(tries-1, 0), 30*time.Second)
}

// workOn has something be done to an instance, unless it is being done, or is to be waited for.
func (m *manager) workOn(rec state.Instance, kind string, do func(context.Context, AppSpec, state.Instance) upgraded) error {
	w := m.upgrades[rec.Name]
	switch {
	case w == nil || w.kind != kind && w.id == 0:
		tries := &upgradeWork{}
		m.upgrades[rec.Name] = tries
		w = tries
	case w.id != 0 && w.kind == kind:
		return nil
	case w.id != 0:
		w.end() // it was doing something else
		*w = upgradeWork{}
	case time.Now().Before(w.again):
		return nil
	}
	s, spec := m.sys, m.spec
	ctx, cancel := context.WithCancel(s.ctx)
	w.work = work{kind: kind, cancel: cancel}
	w.id = s.job(ctx, m.self, func(ctx context.Context) any {
		release, err := s.alone(ctx, "upgrade of "+rec.Name) // one that was called off may still be at it
		if err != nil {
			return upgraded{instance: rec.Name, process: rec.Process, err: err}
		}
		defer release()
		u := do(ctx, spec, rec)
		u.instance, u.process = rec.Name, rec.Process
		return u
	})
	return nil
}

// endUpgrades calls off what is being done to instances.
func (m *manager) endUpgrades() {
	for name, w := range m.upgrades {
		w.end()
		delete(m.upgrades, name)
	}
	clear(m.unready)
}

// upgradeOf finds the work that a job was.
func (m *manager) upgradeOf(job uint64) *upgradeWork {
	for _, w := range m.upgrades {
		if w.id == job && job != 0 {
			return w
		}
	}
	return nil
}

// putPhase writes the phase of an instance's upgrade, and that the step which belongs to it begins.
func (m *manager) putPhase(rec state.Instance, phase state.UpgradePhase, also func(*state.Instance, *api.DeploymentInstance)) error {
	id := rec.Upgrade.Deployment
	return m.sys.cfg.State.Update(func(tx *state.Tx) error { return putPhase(tx, id, rec.Name, phase, also) })
}

func putPhase(tx *state.Tx, deployment, instance string, phase state.UpgradePhase, also func(*state.Instance, *api.DeploymentInstance)) error {
	r, ok, err := tx.Instance(instance)
	if err != nil || !ok || !r.Under(deployment) {
		return err
	}
	u := *r.Upgrade
	if u.Phase != phase {
		u.Phase, u.Since = phase, time.Now().UTC()
	}
	r.Upgrade = &u
	err = step(tx, deployment, instance, func(d *api.DeploymentInstance) {
		if also != nil {
			also(&r, d)
		}
	})
	return errors.Join(err, tx.PutInstance(r))
}

// moveOn does the next thing to instances that are being upgraded; moving is false when all are done.
func (m *manager) moveOn(p picture, list []state.Instance) (moving bool, err error) {
	count := make(map[state.UpgradePhase]int)
	for _, rec := range list {
		count[rec.Upgrade.Phase]++
	}
	if count[state.UpgradeCommitted] == len(list) {
		return false, nil
	}
	if count[state.UpgradePrepare] > 0 {
		return true, m.prepareAll(p, list)
	}
	installing := count[state.UpgradeInstall] > 0
	for i, rec := range list {
		switch rec.Upgrade.Phase {
		case state.UpgradeSoak:
			err = m.workOn(rec, stepSoak, m.soakWork)
		case state.UpgradeInstall:
			err = m.workOn(rec, stepInstall, m.installWork)
		case state.UpgradePrepared:
			first := list[0].Upgrade.Phase
			if installing || i > 0 && !m.spec.Hot.All && first != state.UpgradeSoaked {
				continue
			}
			installing = true
			err = m.putPhase(rec, state.UpgradeInstall, func(_ *state.Instance, d *api.DeploymentInstance) { d.Steps = onceStep(d.Steps, stepInstall, "") })
			if err == nil {
				rec.Upgrade.Phase = state.UpgradeInstall
				err = m.workOn(rec, stepInstall, m.installWork)
			}
		}
		if err != nil {
			return true, err
		}
	}
	if count[state.UpgradeSoaked]+count[state.UpgradeCommit]+count[state.UpgradeCommitted] < len(list) {
		return true, nil
	}
	if count[state.UpgradeSoaked] == len(list) {
		if m.spec.Hot.Manual {
			return true, m.awaitWord(p)
		}
		return true, m.beginCommit(p, m.spec.Hot.KillLingering)
	}
	for _, rec := range list { // one after the other
		if rec.Upgrade.Phase != state.UpgradeCommitted {
			if m.view(p, rec.Name).phase != phaseReady {
				return true, nil
			}
			return true, m.workOn(rec, stepCommit, m.commitWork)
		}
	}
	return true, nil
}

// prepareAll prepares the instances that are not, some at a time.
func (m *manager) prepareAll(p picture, list []state.Instance) error {
	n := 0
	for _, rec := range list {
		if rec.Upgrade.Phase != state.UpgradePrepare || m.view(p, rec.Name).phase != phaseReady {
			continue
		}
		if n++; n > preparing {
			break
		}
		if rec.Upgrade.Process != rec.Process {
			err := m.putPhase(rec, state.UpgradePrepare, func(r *state.Instance, d *api.DeploymentInstance) {
				r.Upgrade.Process = r.Process
				d.Steps = onceStep(d.Steps, stepPrepare, "")
			})
			if err != nil {
				return err
			}
			m.sys.send(m.self, msgWake{})
			continue // with what is written
		}
		if err := m.workOn(rec, stepPrepare, m.prepareWork); err != nil {
			return err
		}
	}
	return nil
}

// awaitWord notes, once, that an operator is to say whether the new version becomes permanent.
func (m *manager) awaitWord(p picture) error {
	if n := len(p.dep.Steps); n > 0 && p.dep.Steps[n-1].Name == stepConfirm {
		return nil
	}
	return m.sys.record(func(tx *state.Tx, say func(api.Event)) error {
		d, ok, err := tx.Deployment(p.dep.ID)
		if err != nil || !ok {
			return err
		}
		d.Steps = onceStep(d.Steps, stepConfirm, "waits for an operator: beamkeeper deployment commit "+d.ID)
		say(api.Event{
			Type: api.EventUpgradeWaits, App: d.App, Deployment: d.ID, Version: d.To,
			Message: fmt.Sprintf("version %s of %s runs in all replicas and waits to be made permanent", d.To, d.App),
			Data:    map[string]any{"remedy": "beamkeeper deployment commit " + d.ID + ", or revert"},
		})
		return tx.PutDeployment(d)
	})
}

// beginCommit has the new version be made permanent in all instances.
func (m *manager) beginCommit(p picture, kill bool) error {
	m.sys.send(m.self, msgWake{})
	return m.sys.cfg.State.Update(func(tx *state.Tx) error {
		for _, rec := range upgrading(p) {
			if rec.Upgrade.Phase == state.UpgradeCommitted {
				continue
			}
			err := putPhase(tx, p.dep.ID, rec.Name, state.UpgradeCommit, func(r *state.Instance, d *api.DeploymentInstance) {
				r.Upgrade.Kill = r.Upgrade.Kill || kill
				d.Steps = onceStep(d.Steps, stepCommit, "")
			})
			if err != nil {
				return err
			}
		}
		d, ok, err := tx.Deployment(p.dep.ID)
		if err != nil || !ok {
			return err
		}
		if n := len(d.Steps); n > 0 && d.Steps[n-1].Name == stepConfirm {
			d.Steps = endStep(d.Steps, "", "", time.Now())
		}
		return tx.PutDeployment(d)
	})
}

func (m *manager) prepareWork(ctx context.Context, spec AppSpec, rec state.Instance) (r upgraded) {
	j, _, err := m.sys.upgradeJob(ctx, spec, rec, true)
	if err == nil {
		r.prepared, err = m.sys.cfg.Upgrader.Prepare(ctx, j)
	}
	r.err = err
	return r
}

func (m *manager) installWork(ctx context.Context, spec AppSpec, rec state.Instance) (r upgraded) {
	s := m.sys
	j, _, err := s.upgradeJob(ctx, spec, rec, true)
	if err != nil {
		return upgraded{err: err}
	}
	if spec.Hot != nil && spec.Hot.Soak > 0 {
		call, cancel := context.WithTimeout(ctx, attemptTimeout)
		if v, err := s.vitals.take(call, s.cfg.Cluster, s.nodeName(rec.Name), false); err == nil {
			s.pulse.put(rec.Name, v)
		}
		cancel()
	}
	defer s.installing.remove(rec.Name)
	return upgraded{err: s.cfg.Upgrader.Install(ctx, j, s.installOptions(spec, rec.Name))}
}

func (s *System) installOptions(spec AppSpec, instance string) (o upgrade.Options) {
	o.Progress = func(p upgrade.Progress) { s.installing.put(instance, progressText(p)) }
	if spec.Hot != nil {
		o.Ceiling, o.Kill = spec.Hot.InstallTimeout, spec.Hot.KillLingering
	}
	return o
}

// soakWork watches an instance with the new version in it.
func (m *manager) soakWork(ctx context.Context, spec AppSpec, rec state.Instance) upgraded {
	s := m.sys
	j, _, err := s.upgradeJob(ctx, spec, rec, false)
	if err != nil {
		return upgraded{err: err}
	}
	w, err := s.soaking(spec, rec)
	if err != nil {
		return upgraded{err: err}
	}
	if spec.Hot != nil {
		w.length = spec.Hot.Soak
	}
	w.before = s.pulse.of(rec.Name)
	peer := s.nodeName(rec.Name)
	w.sample = func(ctx context.Context) (vitals, error) { return s.vitals.take(ctx, s.cfg.Cluster, peer, true) }
	w.errors = func(from, to time.Time) int { return s.loggedErrors(ctx, rec.App, rec.Name, from, to) }
	w.holds = func(ctx context.Context) error {
		st, err := s.cfg.Upgrader.Look(ctx, j)
		if err == nil && !st.Installed(j.To) {
			err = fmt.Errorf("%w: %s runs", errNotAlive, st.Running)
		}
		return err
	}
	return upgraded{err: w.run(ctx)}
}

// soaking is what watches an instance: that it answers, its application runs and its probe passes.
func (s *System) soaking(spec AppSpec, rec state.Instance) (soaking, error) {
	asked, err := s.prober(spec, rec)
	if err != nil {
		return soaking{}, err
	}
	r := readiness{cluster: s.cfg.Cluster, peer: s.nodeName(rec.Name), application: spec.Readiness.Application}
	return soaking{
		ready: spec.Readiness.Timeout, probe: asked,
		alive: func(ctx context.Context) error {
			if err := r.cluster.Connect(ctx, r.peer); err != nil {
				return err
			}
			return r.applicationStarted(ctx)
		},
	}, nil
}

var _ probe.Probe = wordProbe{}

// commitWork makes the new version permanent in an instance, once no process is in old code any more.
func (m *manager) commitWork(ctx context.Context, spec AppSpec, rec state.Instance) (r upgraded) {
	s, up := m.sys, m.sys.cfg.Upgrader
	j, rel, err := s.upgradeJob(ctx, spec, rec, true)
	if err != nil {
		return upgraded{err: err}
	}
	if rec.Process != rec.Upgrade.Process { // it was started again meanwhile: with which version?
		st, err := up.Look(ctx, j)
		if err != nil {
			return upgraded{err: err}
		}
		if st.Running != j.To {
			return upgraded{cold: true, err: fmt.Errorf("%w: %s", upgrade.ErrBroken, rec.LastError)}
		}
	}
	if r.lingering, err = up.Lingering(ctx, j); err != nil {
		return upgraded{err: err}
	}
	if len(r.lingering) > 0 && !rec.Upgrade.Kill {
		r.retry, r.err = true, &upgrade.LingeringError{Processes: r.lingering}
		return r
	}
	if err := up.Commit(ctx, j, rec.Upgrade.Kill); err != nil {
		r.err, r.retry = err, errors.Is(err, upgrade.ErrLingering)
		return r
	}
	r.err = up.Upgraded(rec.App, rec.Name, rel)
	return r
}

// backWork takes an instance back to what it ran before.
func (m *manager) backWork(ctx context.Context, spec AppSpec, rec state.Instance) upgraded {
	s, up, u := m.sys, m.sys.cfg.Upgrader, rec.Upgrade
	j, _, err := s.upgradeJob(ctx, spec, rec, false)
	if err != nil {
		return upgraded{err: err}
	}
	permanent := u.Phase == state.UpgradeCommitted || u.Phase == state.UpgradeCommit
	if u.Runs() && (permanent || rec.Process == u.Process) {
		defer s.installing.remove(rec.Name)
		if err := up.Revert(ctx, j, s.installOptions(spec, rec.Name)); err != nil {
			return upgraded{err: err}
		}
		if permanent {
			from, err := s.cfg.Releases.Fetch(ctx, rec.App, release.Current{Version: u.From.Version, Hash: u.From.Hash, SHA256: u.From.SHA256})
			if err != nil { // it runs all the same
				from = release.Release{App: rec.App, Version: u.From.Version, SHA256: u.From.SHA256}
			}
			if err := up.Upgraded(rec.App, rec.Name, from); err != nil {
				return upgraded{err: err}
			}
		}
	}
	return upgraded{err: up.Clean(ctx, j)}
}

// takeBack has all instances with Back be taken back; busy is false when there are none.
func (m *manager) takeBack(p picture) (busy bool, err error) {
	for i, rec := range p.instances {
		u := rec.Upgrade
		if u == nil || !u.Back || u.Phase == state.UpgradeBroken || rec.Leaving {
			continue
		}
		busy = true
		switch v := p.views[i]; {
		case rec.Stopped && rec.Process == (process.Identity{}): // what it boots is what its record says
			err = m.isBack(upgraded{instance: rec.Name})
		case rec.Failed:
			err = m.isBroken(rec.Name, "it crashes again and again")
		case v.phase != phaseReady:
			if _, ok := m.unready[rec.Name]; !ok {
				m.unready[rec.Name] = time.Now()
			}
			if time.Since(m.unready[rec.Name]) > m.spec.Readiness.Timeout && !rec.Stopped {
				err = m.isBroken(rec.Name, fmt.Sprintf("it was not ready for %s", m.spec.Readiness.Timeout))
			}
		default:
			delete(m.unready, rec.Name)
			if w := m.upgrades[rec.Name]; w == nil || w.kind != stepRevert || w.id == 0 && !time.Now().Before(w.again) {
				err = m.putPhase(rec, u.Phase, func(_ *state.Instance, d *api.DeploymentInstance) { d.Steps = onceStep(d.Steps, stepRevert, "") })
				if err == nil {
					err = m.workOn(rec, stepRevert, m.backWork)
				}
			}
		}
		if err != nil {
			return true, err
		}
	}
	return busy, nil
}

// upgradeEnded deals with the end of what was done to an instance.
func (m *manager) upgradeEnded(w *upgradeWork, result any) error {
	kind := w.kind
	w.cancel()
	w.work = work{kind: kind}
	r, ok := result.(upgraded)
	if !ok { // it panicked
		for name, o := range m.upgrades {
			if o == w {
				r = upgraded{instance: name, err: fmt.Errorf("%w: %v", upgrade.ErrBroken, result)}
			}
		}
	}
	if m.sys.ctx.Err() != nil {
		return nil
	}
	p, err := m.look()
	if err != nil {
		return err
	}
	for _, rec := range p.instances {
		if rec.Name != r.instance || rec.Upgrade == nil || rec.Leaving {
			continue
		}
		if kind == stepRevert {
			return m.backEnded(w, rec, r)
		}
		if p.dep == nil || p.dep.Error != "" || !rec.Under(p.dep.ID) || rec.Upgrade.Back {
			return nil
		}
		if rec.Process != r.process {
			return nil // of an OS process that has ended; lookFor deals with that
		}
		return m.stepEnded(p, w, rec, r)
	}
	return nil
}

// stepEnded deals with the end of one step forwards.
func (m *manager) stepEnded(p picture, w *upgradeWork, rec state.Instance, r upgraded) error {
	rel := p.app.Wish
	if r.err != nil {
		return m.stepFailed(p, w, rec, r)
	}
	w.tries, w.again = 0, time.Time{}
	now := time.Now()
	end := func(detail string) func(*state.Instance, *api.DeploymentInstance) {
		return func(_ *state.Instance, d *api.DeploymentInstance) { d.Steps = endStep(d.Steps, "", detail, now) }
	}
	switch w.kind {
	case stepPrepare:
		return m.putPhase(rec, state.UpgradePrepared, end(describePrepared(r.prepared)))
	case stepInstall:
		m.sys.emit(api.Event{
			Type: api.EventUpgradeInstalled, App: rec.App, Instance: rec.Name, Deployment: p.dep.ID, Version: rel.Version,
			Message: fmt.Sprintf("%s runs version %s; it boots %s until that is permanent", rec.Name, rel.Version, rec.Version),
		})
		return m.putPhase(rec, state.UpgradeSoak, func(_ *state.Instance, d *api.DeploymentInstance) { d.Steps = onceStep(d.Steps, stepSoak, "") })
	case stepSoak:
		return m.putPhase(rec, state.UpgradeSoaked, end(""))
	case stepCommit:
		return m.committed(p, rec, describeLingering(r.lingering))
	}
	return nil
}

// stepFailed deals with a step forwards that could not be done.
func (m *manager) stepFailed(p picture, w *upgradeWork, rec state.Instance, r upgraded) error {
	if errors.Is(r.err, context.Canceled) {
		return nil // by us; it is begun again if need be
	}
	later := func(tries int) (bool, error) {
		w.tries++
		if w.tries >= tries {
			return false, nil
		}
		return true, m.tryLater(w, rec, r.err)
	}
	transient := errors.Is(r.err, upgrade.ErrTransient) || ofHost(r.err) || errors.Is(r.err, context.DeadlineExceeded)
	switch {
	case r.retry:
		w.tries = min(w.tries+1, 3)
		_, err := true, m.tryLater(w, rec, r.err)
		return err
	case w.kind == stepSoak:
		f := m.evidence(p, p.app.Wish, rec, true)
		return m.failHot(p, fmt.Errorf("soak: %s: %w", rec.Name, r.err), f)
	case w.kind == stepCommit && r.cold && !m.anyCommitted(p):
		return m.failHot(p, fmt.Errorf("%s ended with version %s in it: %s", rec.Name, p.dep.To, rec.LastError), m.evidence(p, p.app.Wish, rec, true))
	case w.kind == stepCommit && transient:
		if again, err := later(commitTries); again || err != nil {
			return err
		}
		return m.isBroken(rec.Name, r.err.Error())
	case w.kind == stepCommit: // from here on there is only the new version
		return m.isBroken(rec.Name, r.err.Error())
	case transient:
		if again, err := later(upgradeTries); again || err != nil {
			return err
		}
	}
	why := fmt.Errorf("%s: %s: %w", w.kind, rec.Name, r.err)
	f := failing{instance: rec.Name, fallback: true, log: tailOf(m.sys.logFiles(rec.App, rec.Name))}
	return m.failHot(p, why, f)
}

func (m *manager) anyCommitted(p picture) bool {
	for _, rec := range p.instances {
		if rec.Under(p.dep.ID) && rec.Upgrade.Phase == state.UpgradeCommitted {
			return true
		}
	}
	return false
}

// tryLater notes why a step waits, and has it tried again.
func (m *manager) tryLater(w *upgradeWork, rec state.Instance, why error) error {
	delay := min(upgradeDelay(w.tries), lingeringMax)
	w.again = time.Now().Add(delay)
	m.sys.after(delay, m.self, msgWake{})
	if text := short(why.Error()); text != w.text {
		w.text = text
		return m.putPhase(rec, rec.Upgrade.Phase, func(_ *state.Instance, d *api.DeploymentInstance) {
			if n := len(d.Steps); n > 0 && d.Steps[n-1].EndedAt.IsZero() {
				d.Steps[n-1].Detail = text
			}
		})
	}
	return nil
}

// committed notes that an instance has the new version for good.
func (m *manager) committed(p picture, rec state.Instance, detail string) error {
	now := time.Now()
	err := m.sys.record(func(tx *state.Tx, say func(api.Event)) error {
		d, _, err := tx.Deployment(p.dep.ID)
		if err != nil {
			return err
		}
		err = putPhase(tx, p.dep.ID, rec.Name, state.UpgradeCommitted, func(r *state.Instance, d *api.DeploymentInstance) {
			to := r.Upgrade.To
			r.Version, r.Hash, r.SHA256, r.Kind, r.InHistory = to.Version, to.Hash, to.SHA256, api.KindHot, true
			r.Upgrade.Process = r.Process
			d.Steps = endStep(d.Steps, "", detail, now)
		})
		if err != nil {
			return err
		}
		say(api.Event{
			Type: api.EventUpgradeCommitted, App: rec.App, Instance: rec.Name, Deployment: d.ID, Version: d.To,
			Message: fmt.Sprintf("version %s is permanent in %s", d.To, rec.Name),
		})
		to := rec.Upgrade.To
		return tx.AddHistory(rec.App, api.HistoryEntry{
			At: api.Time{Time: now.UTC()}, Version: to.Version, Hash: to.Hash, Instance: rec.Name, Kind: api.KindHot, Deployment: d.ID, By: firstOf(d.By, d.Trigger),
		})
	})
	m.sys.send(instanceActor(rec.Name), msgWake{})
	return err
}

// backEnded deals with the end of the way back.
func (m *manager) backEnded(w *upgradeWork, rec state.Instance, r upgraded) error {
	if !rec.Upgrade.Back || errors.Is(r.err, context.Canceled) {
		return nil
	}
	if r.err == nil {
		return m.isBack(r)
	}
	// A BEAM that is going down says strange things: it is asked again, and what it boots is the old version.
	most := upgradeTries
	if errors.Is(r.err, upgrade.ErrNoWayBack) {
		most = 1
	} else if errors.Is(r.err, upgrade.ErrNotPossible) || errors.Is(r.err, upgrade.ErrBroken) {
		most = 3
	}
	if w.tries++; rec.Process != r.process || w.tries < most {
		return m.tryLater(w, rec, r.err)
	}
	return m.isBroken(rec.Name, r.err.Error())
}

// isBack notes that an instance runs what it ran before.
func (m *manager) isBack(r upgraded) error {
	now := time.Now()
	err := m.sys.record(func(tx *state.Tx, say func(api.Event)) error {
		rec, ok, err := tx.Instance(r.instance)
		if err != nil || !ok || rec.Upgrade == nil {
			return err
		}
		u := *rec.Upgrade
		d, _, err := tx.Deployment(u.Deployment)
		if err != nil {
			return err
		}
		if rec.Upgrade = nil; u.Phase == state.UpgradeCommitted {
			rec.Version, rec.Hash, rec.SHA256 = u.From.Version, u.From.Hash, u.From.SHA256
			err = tx.AddHistory(rec.App, api.HistoryEntry{
				At: api.Time{Time: now.UTC()}, Version: rec.Version, Hash: rec.Hash, Instance: rec.Name, Kind: api.KindHot, Deployment: d.ID, By: firstOf(d.By, d.Trigger),
			})
		}
		if u.Runs() {
			say(api.Event{
				Type: api.EventUpgradeReverted, Level: "warning", App: rec.App, Instance: rec.Name, Deployment: u.Deployment, Version: u.From.Version,
				Message: fmt.Sprintf("%s runs version %s again", rec.Name, u.From.Version),
			})
		}
		return errors.Join(err, tx.PutInstance(rec), step(tx, u.Deployment, rec.Name, func(d *api.DeploymentInstance) { d.Steps = endStep(d.Steps, "", "", now) }))
	})
	delete(m.upgrades, r.instance)
	m.sys.send(m.self, msgWake{})
	m.sys.send(instanceActor(r.instance), msgWake{})
	return err
}

// isBroken notes that nobody can say what an instance runs: it is replaced.
func (m *manager) isBroken(instance, why string) error {
	delete(m.upgrades, instance)
	m.sys.send(m.self, msgWake{})
	return m.sys.record(func(tx *state.Tx, say func(api.Event)) error {
		rec, ok, err := tx.Instance(instance)
		if err != nil || !ok || rec.Upgrade == nil {
			return err
		}
		say(api.Event{
			Type: api.EventUpgradeBroken, Level: "error", App: rec.App, Instance: instance, Deployment: rec.Upgrade.Deployment, Version: rec.Upgrade.To.Version,
			Message: fmt.Sprintf("%s is between versions %s and %s, and is replaced: %s", instance, rec.Upgrade.From.Version, rec.Upgrade.To.Version, why),
		})
		return putPhase(tx, rec.Upgrade.Deployment, instance, state.UpgradeBroken, func(r *state.Instance, d *api.DeploymentInstance) {
			r.Upgrade.Back, r.Upgrade.Why = false, short(why)
			d.Steps = endStep(d.Steps, short(why), "", time.Now())
		})
	})
}

// describePrepared says in short what was prepared.
func describePrepared(p upgrade.Prepared) string {
	words := []string{"relup: " + firstOf(p.Relup, "none")}
	if !p.CanRevert {
		words = append(words, "no way back by instructions: "+p.WhyNot)
	}
	for _, e := range p.Env {
		words = append(words, fmt.Sprintf("env %s.%s %s", e.App, e.Key, e.Change))
	}
	words = append(words, p.Warnings...)
	return short(strings.Join(words, "; "))
}

func describeLingering(list []upgrade.Lingerer) string {
	if len(list) == 0 {
		return ""
	}
	return "ended for being in old code: " + short((&upgrade.LingeringError{Processes: list}).Error())
}
