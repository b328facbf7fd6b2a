package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// A way back that has failed is tried again after backFirst, then after twice as long each time, up to backLongest, for as
// long as the replicas are not all in one version.
const (
	backFirst   = 10 * time.Second
	backLongest = 10 * time.Minute
)

// settling is the soak of a full deployment. A daemon that is started again begins it anew.
type settling struct {
	work
	deployment string
	done       bool
	crashes    map[string]int // by instance, when it began
}

// settled says whether the replicas of a full deployment's new version have stayed ready for as long as they are to.
func (m *manager) settled(p picture, rel state.Release) (bool, error) {
	d := p.dep
	if m.spec.Strategy.Soak == 0 || d.Kind != api.KindFull || goesBack(d) || same(rel, p.app.Settled) {
		return true, nil
	}
	if m.settling.deployment == d.ID {
		return m.settling.done, nil
	}
	m.settling.end()
	ctx, cancel := context.WithCancel(m.sys.ctx)
	m.settling = settling{deployment: d.ID, crashes: make(map[string]int), work: work{kind: d.ID, cancel: cancel}}
	var list []state.Instance
	for _, rec := range p.instances {
		if !rec.Leaving && !rec.Stopped {
			m.settling.crashes[rec.Name] = rec.CrashRestarts
			list = append(list, rec)
		}
	}
	if err := m.deploymentStep(d.ID, func(d *api.Deployment) { d.Steps = onceStep(d.Steps, stepSoak, "") }); err != nil {
		return false, err
	}
	s, spec := m.sys, m.spec
	m.settling.id = s.job(ctx, m.self, func(ctx context.Context) any { return s.settle(ctx, spec, list) })
	return false, nil
}

// unsettled is what a soak of instances ends with: the first that was not well.
type unsettled struct {
	instance string
	err      error
}

// settle watches instances side by side.
func (s *System) settle(ctx context.Context, spec AppSpec, list []state.Instance) (first unsettled) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ends := make(chan unsettled, len(list))
	for _, rec := range list {
		go func() {
			w, err := s.soaking(spec, rec)
			if err == nil {
				w.length = spec.Strategy.Soak
				err = w.run(ctx)
			}
			ends <- unsettled{rec.Name, err}
		}()
	}
	for range list {
		if e := <-ends; e.err != nil && first.err == nil {
			first = e
			cancel()
		}
	}
	return first
}

// settleEnded takes what the soak has ended with.
func (m *manager) settleEnded(result any) error {
	id := m.settling.deployment
	m.settling.work.end()
	p, err := m.look()
	if err != nil || p.dep == nil || p.dep.ID != id || m.sys.ctx.Err() != nil {
		return err
	}
	r, ok := result.(unsettled)
	if !ok {
		r.err = fmt.Errorf("%v", result)
	}
	switch {
	case errors.Is(r.err, context.Canceled):
		m.settling = settling{}
		return nil
	case r.err != nil:
		return m.unsettle(p, r.instance, fmt.Errorf("soak: %s: %w", r.instance, r.err))
	}
	m.settling.done = true
	return m.deploymentStep(id, func(d *api.Deployment) { d.Steps = endStep(d.Steps, "", "", time.Now()) })
}

// crashedInSoak looks for an instance that has crashed since the soak began.
func (m *manager) crashedInSoak(p picture) (failed bool, err error) {
	if m.settling.deployment != p.dep.ID {
		return false, nil
	}
	for _, rec := range p.instances {
		before, ok := m.settling.crashes[rec.Name]
		switch {
		case !ok || rec.CrashRestarts == before || rec.Leaving || rec.Stopped:
		case rec.Cause == state.CauseHost:
			m.settling.work.end()
			m.settling = settling{} // it begins anew
		default:
			return true, m.unsettle(p, rec.Name, fmt.Errorf("soak: %s crashed: %s", rec.Name, firstOf(rec.LastError, "it was started again")))
		}
	}
	return false, nil
}

// unsettle ends a deployment whose version has not lasted its soak.
func (m *manager) unsettle(p picture, instance string, why error) error {
	m.settling.work.end()
	m.settling = settling{}
	var log []string
	for i, rec := range p.instances {
		if rec.Name == instance {
			log = tailOf(m.sys.logFiles(rec.App, rec.Name))
			p.ghost = m.blame(p, p.app.Wish, rec, p.views[i], why, log)
		}
	}
	return m.end(p, api.DeploymentFailed, why, log)
}

// wayBack is a way back that has failed.
type wayBack struct {
	failed string // the deployment
	at     time.Time
	tries  int
}

// backAgain tries a way back again that failed and left the replicas in more than one version.
func (m *manager) backAgain(p picture, plan plan) (again bool, err error) {
	if p.app.Halted == "" || !plan.differs || p.app.Frozen && !same(p.app.Wish, p.app.Settled) {
		if !plan.differs {
			m.back = wayBack{}
		}
		return false, nil
	}
	if m.back.failed != p.app.Halted {
		m.back = wayBack{failed: p.app.Halted, at: time.Now(), tries: m.back.tries + 1}
	}
	wait := min(firstOf2(m.sys.cfg.BackRetry, backFirst)<<min(m.back.tries-1, 10), backLongest)
	if left := wait - time.Since(m.back.at); left > 0 {
		if left < lookAgain {
			m.next.Stop()
			m.next = m.sys.after(left, m.self, msgWake{})
		}
		return false, nil
	}
	var failed api.Deployment
	err = m.sys.cfg.State.View(func(tx *state.Tx) (err error) {
		failed, _, err = tx.Deployment(p.app.Halted)
		return err
	})
	if err != nil || failed.Outcome != api.DeploymentFailed || !goesBack(&failed) {
		m.back.at = time.Now()
		return false, err
	}
	m.trigger = failed.Trigger
	return true, m.sys.editApp(m.spec.Name, func(a *state.App) { a.Halted = "" })
}
