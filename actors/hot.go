package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/release"
)

// Steps of a hot deployment, besides those of any: of the deployment as a whole, then of one instance.
const (
	stepPlan     = "plan"     // what the archives say
	stepConfirm  = "confirm"  // the operator's word is waited for
	stepFallback = "fallback" // it goes on as a full one, once all is as it was

	stepInstall = "install"
	stepSoak    = "soak"
	stepCommit  = "commit"
	stepRevert  = "revert"
)

// kindRevert is the Kind of an app whose wish is what its instances ran before they were upgraded hot.
const kindRevert = "revert"

// A hot deployment, after what every deployment begins with:
//
//	all instances    prepare          an error: cleaned, the deployment falls back
//	the first        install, soak    with the strategy canary
//	the others       install, soak    one after the other
//	all instances    commit           at once, or when an operator says so
//
// What goes wrong is written into the deployment (Error) and into the instances (Upgrade.Back). From then on each is taken
// back; when all are, the deployment has failed, or goes on as a full one. A deployment that is ended by somebody leaves
// instances with Back behind, which are taken back before another one is opened.

// notHot says why a deployment to rel is not even tried hot; empty: it is.
func (m *manager) notHot(p picture, rel state.Release) string {
	switch {
	case m.sys.cfg.Upgrader == nil || m.spec.Hot == nil:
		return "hot_upgrade is not enabled"
	case p.app.Kind == api.KindFull:
		return "a full deployment was asked for"
	case p.app.Failed != "" || p.app.Settled.Version == "":
		return "nothing runs that could be upgraded"
	case rel.Version == p.app.Settled.Version:
		return "it is the same version in another archive"
	case p.app.Source == state.SourceRollback || m.trigger == triggerRollback:
		return "it is a way back"
	}
	n := 0
	for _, rec := range p.instances {
		runs := state.Release{Version: rec.Version, SHA256: rec.SHA256}
		switch {
		case rec.Leaving || rec.Stopped:
			continue
		case !same(runs, p.app.Settled):
			return fmt.Sprintf("%s runs version %s, not %s", rec.Name, rec.Version, p.app.Settled.Version)
		case !rec.Ready || rec.Restarting || rec.Failed: // one that is only being taken over is waited for
			return rec.Name + " is not ready"
		case rec.Restart < p.app.Restart || m.rolling(p.app) && outdated(m.spec, rec):
			return rec.Name + " is to be started again anyway"
		}
		n++
	}
	if n == 0 {
		return "no instance runs"
	}
	return ""
}

// revertible says whether all instances can be asked to go back to rel by what they were upgraded with.
func revertible(p picture, rel state.Release) bool {
	n := 0
	for _, rec := range p.instances {
		if rec.Leaving || rec.Stopped {
			continue
		}
		u := rec.Upgrade
		if u == nil || u.Phase != state.UpgradeCommitted || !same(u.From, rel) || !rec.Ready || rec.Restarting || rec.Failed {
			return false
		}
		n++
	}
	return n > 0
}

// reverting says whether a hot deployment goes back to what ran before.
func reverting(d *api.Deployment) bool { return d.Kind == api.KindHot && d.Trigger == triggerRollback }

// beginRevert has all instances go back, in the transaction that opens the deployment.
func beginRevert(tx *state.Tx, p picture, d *api.Deployment) error {
	for _, rec := range bySlot(p.instances) {
		if rec.Leaving || rec.Stopped || rec.Upgrade == nil {
			continue
		}
		u := *rec.Upgrade
		u.Deployment, u.Back = d.ID, true
		rec.Upgrade = &u
		d.Instances = append(d.Instances, api.DeploymentInstance{Name: rec.Name, Slot: rec.Slot, Steps: []api.DeploymentStep{}})
		if err := tx.PutInstance(rec); err != nil {
			return err
		}
	}
	return nil
}

func bySlot(list []state.Instance) []state.Instance {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b state.Instance) int { return a.Slot - b.Slot })
	return list
}

// upgrading are the instances that the deployment upgrades, by slot.
func upgrading(p picture) (list []state.Instance) {
	for _, rec := range bySlot(p.instances) {
		if rec.Under(p.dep.ID) && !rec.Leaving && !rec.Stopped && rec.Upgrade.Phase != state.UpgradeBroken {
			list = append(list, rec)
		}
	}
	return list
}

// advanceHot goes on with a hot deployment.
func (m *manager) advanceHot(p picture, rel state.Release, plan plan) error {
	d := p.dep
	switch {
	case d.Error != "":
		if busy, err := m.takeBack(p); busy || err != nil {
			return err
		}
		return m.conclude(p)
	case reverting(d):
		if busy, err := m.takeBack(p); busy || err != nil {
			return err
		}
		if anyBroken(p, d.ID) {
			return m.turnFull(p, "some could not go back by instructions and are replaced")
		}
		if !m.after(p) {
			return nil
		}
		return m.succeed(p, rel, "")
	case len(d.Instances) == 0:
		return m.leadIn(p, rel, plan)
	}
	list := upgrading(p)
	if failed, err := m.lookFor(p, rel, list); failed || err != nil {
		return err
	}
	if log, why := m.failure(&p, rel); why != nil {
		return m.failHot(p, why, failing{ghost: p.ghost, log: log})
	}
	if !plan.idle() { // replicas come or go
		if err := m.act(p, rel, shaOf(list), plan); err != nil {
			return err
		}
	}
	if moving, err := m.moveOn(p, list); moving || err != nil {
		return err
	}
	if anyBroken(p, d.ID) {
		return m.turnFull(p, "what could not be made permanent is replaced")
	}
	if plan.idle() && plan.complete && len(plan.waiting) == 0 && m.after(p) {
		return m.succeed(p, rel, shaOf(list))
	}
	return nil
}

func shaOf(list []state.Instance) string {
	for _, rec := range list {
		if rec.Upgrade != nil && rec.Upgrade.To.SHA256 != "" {
			return rec.Upgrade.To.SHA256
		}
	}
	return ""
}

func anyBroken(p picture, deployment string) bool {
	return slices.ContainsFunc(p.instances, func(i state.Instance) bool {
		return i.Under(deployment) && i.Upgrade.Phase == state.UpgradeBroken && !i.Leaving
	})
}

// leadIn does what comes before any instance is touched.
func (m *manager) leadIn(p picture, rel state.Release, plan plan) error {
	d := p.dep
	sha, here := m.fetched[d.ID]
	switch {
	case !here:
		if m.fetch.id == 0 || m.fetch.kind != d.ID {
			return m.startFetch(d, rel)
		}
		return nil
	case m.judged != d.ID:
		return m.judge(p, rel, sha)
	case m.beforehand(p, rel) && !m.before(p, rel, sha, plan):
		return nil
	}
	return m.beginHot(p, rel, sha)
}

// foresee says why what is asked for cannot be installed hot, before anything is begun.
func (s *System) foresee(ctx context.Context, r api.DeployRequest) error {
	type asked struct {
		rel, settled state.Release
		known        bool
	}
	a, err := command(ctx, s, r.App, func(m *manager) (a asked, err error) {
		if a.rel, err = m.requested(r); err != nil {
			return a, err
		}
		p, err := m.look()
		if err != nil {
			return a, err
		}
		a.settled = p.app.Settled
		if a.known = same(a.rel, a.settled); a.known {
			return a, nil
		}
		p.app.Kind, p.app.Failed, p.app.Source, m.trigger = api.KindHot, "", "", ""
		if why := m.notHot(p, a.rel); why != "" {
			return a, refusedHot(a.rel.Version, why)
		}
		return a, nil
	})
	if err != nil || a.known {
		return err
	}
	rel, err := s.cfg.Releases.Fetch(ctx, r.App, release.Current{Version: a.rel.Version, Hash: a.rel.Hash, SHA256: a.rel.SHA256})
	if err != nil {
		return asAPI(err)
	}
	v, err := s.cfg.Upgrader.Judge(ctx, r.App, release.Release{App: r.App, Version: a.settled.Version, SHA256: a.settled.SHA256}, rel)
	if err == nil && v.Verdict != release.Hot {
		err = refusedHot(a.rel.Version, reasons(v))
	}
	return asAPI(err)
}

func refusedHot(version, why string) error {
	e := api.Errorf(api.CodeRefused, "version %s cannot be installed hot: %s", version, why)
	e.Hint = "beamkeeper plan says what would have to change; --full deploys it fully"
	return e
}

// judge begins to compare the two releases.
func (m *manager) judge(p picture, rel state.Release, sha string) error {
	id := p.dep.ID + " " + stepPlan
	if m.errand.id != 0 && m.errand.kind == id {
		return nil
	}
	if err := m.deploymentStep(p.dep.ID, func(d *api.Deployment) { d.Steps = onceStep(d.Steps, stepPlan, "") }); err != nil {
		return err
	}
	m.errand.end()
	ctx, cancel := context.WithCancel(m.sys.ctx)
	m.errand = work{kind: id, cancel: cancel}
	s, app, settled := m.sys, m.spec.Name, p.app.Settled
	m.errand.id = s.job(ctx, m.self, func(ctx context.Context) any {
		from := release.Release{App: app, Version: settled.Version, SHA256: settled.SHA256}
		to := release.Release{App: app, Version: rel.Version, SHA256: sha}
		v, err := s.cfg.Upgrader.Judge(ctx, app, from, to)
		if err != nil {
			return err
		}
		return v
	})
	return nil
}

// judgeEnded goes on with the deployment: hot, or as a full one.
func (m *manager) judgeEnded(result any) error {
	p, err := m.look()
	if err != nil || p.dep == nil || m.errand.kind != p.dep.ID+" "+stepPlan {
		return err
	}
	m.errand.end()
	if m.sys.ctx.Err() != nil {
		return nil
	}
	verdict := release.Verdict{Verdict: release.Full}
	switch r := result.(type) {
	case error:
		verdict.Reasons = []release.Reason{{What: r.Error()}}
	case release.Verdict:
		verdict = r
	}
	why := reasons(verdict)
	switch {
	case verdict.Verdict == release.Hot:
		m.judged = p.dep.ID
		return m.deploymentStep(p.dep.ID, func(d *api.Deployment) { d.Steps = endStep(d.Steps, "", release.Hot, time.Now()) })
	case verdict.Verdict == release.Refused:
		return m.end(p, api.DeploymentFailed, fmt.Errorf("version %s is refused: %s", p.dep.To, why), nil)
	case p.app.Kind == api.KindHot:
		return m.end(p, api.DeploymentFailed, refusedHot(p.dep.To, why), nil)
	}
	return m.deploymentStep(p.dep.ID, func(d *api.Deployment) {
		d.Kind, d.Steps = api.KindFull, endStep(d.Steps, "", release.Full+": "+why, time.Now())
	})
}

// reasons are those of a verdict, numbered.
func reasons(v release.Verdict) string {
	list := make([]string, len(v.Reasons))
	for i, r := range v.Reasons {
		if list[i] = r.What; len(v.Reasons) > 1 {
			list[i] = fmt.Sprintf("%d. %s", i+1, r.What)
		}
	}
	return short(strings.Join(list, "; "))
}

// deploymentStep changes the record of a deployment.
func (m *manager) deploymentStep(id string, f func(*api.Deployment)) error {
	return m.sys.cfg.State.Update(func(tx *state.Tx) error {
		d, ok, err := tx.Deployment(id)
		if err != nil || !ok {
			return err
		}
		f(&d)
		return tx.PutDeployment(d)
	})
}

// onceStep begins a step unless it is under way.
func onceStep(steps []api.DeploymentStep, name, detail string) []api.DeploymentStep {
	if n := len(steps); n == 0 || steps[n-1].Name != name || !steps[n-1].EndedAt.IsZero() {
		steps = beginStep(steps, name, time.Now())
	}
	steps[len(steps)-1].Detail = detail
	return steps
}

// beginHot has all running instances be upgraded.
func (m *manager) beginHot(p picture, rel state.Release, sha string) error {
	if why := m.notHot(p, rel); why != "" {
		if p.app.Kind == api.KindHot {
			return m.end(p, api.DeploymentFailed, refusedHot(rel.Version, why), nil)
		}
		return m.turnFull(p, why)
	}
	rel.SHA256, rel.PreCommands = sha, nil
	return m.sys.cfg.State.Update(func(tx *state.Tx) error {
		d, ok, err := tx.Deployment(p.dep.ID)
		if err != nil || !ok {
			return err
		}
		for _, rec := range bySlot(p.instances) {
			rec, ok, err := tx.Instance(rec.Name)
			if err != nil {
				return err
			}
			if !ok || rec.Leaving || rec.Stopped {
				continue
			}
			rec.Upgrade = &state.Upgrade{
				Deployment: d.ID, From: state.Release{Version: rec.Version, Hash: rec.Hash, SHA256: rec.SHA256}, To: rel,
				Phase: state.UpgradePrepare, Since: time.Now().UTC(),
			}
			d.Instances = append(d.Instances, api.DeploymentInstance{Name: rec.Name, Slot: rec.Slot, Steps: []api.DeploymentStep{}})
			if err := tx.PutInstance(rec); err != nil {
				return err
			}
		}
		m.sys.send(m.self, msgWake{})
		return tx.PutDeployment(d)
	})
}

// lookFor looks for what must not happen to instances that are being upgraded.
func (m *manager) lookFor(p picture, rel state.Release, list []state.Instance) (failed bool, err error) {
	for _, rec := range list {
		u, v := rec.Upgrade, m.view(p, rec.Name)
		again := rec.Process != u.Process || rec.Process == (process.Identity{})
		ready := v.phase == phaseReady && !again
		switch {
		case rec.Failed:
			return true, m.failHot(p, fmt.Errorf("%s crashed %d times: %s", rec.Name, len(rec.Crashes), rec.LastError), m.evidence(p, rel, rec, u.Runs()))
		case !again || u.Phase == state.UpgradeCommitted:
		case u.Phase == state.UpgradePrepare: // in whichever process
			ready = v.phase == phaseReady
		case u.Phase == state.UpgradePrepared:
			if err := m.putPhase(rec, state.UpgradePrepare, nil); err != nil {
				return false, err
			}
		case u.Phase == state.UpgradeInstall:
			return true, m.failHot(p, fmt.Errorf("%s ended while version %s was installed in it: %s", rec.Name, rel.Version, firstOf(rec.LastError, "it was started again")), failing{fallback: true, log: tailOf(m.sys.logFiles(rec.App, rec.Name))})
		case u.Phase == state.UpgradeSoak, u.Phase == state.UpgradeSoaked:
			why := fmt.Errorf("%s ended with version %s in it, and boots %s: %s", rec.Name, rel.Version, u.From.Version, firstOf(rec.LastError, "it was started again"))
			return true, m.failHot(p, why, m.evidence(p, rel, rec, true))
		default: // its commit finds out
			ready = v.phase == phaseReady
		}
		if ready {
			delete(m.unready, rec.Name)
			continue
		}
		if _, ok := m.unready[rec.Name]; !ok {
			m.unready[rec.Name] = time.Now()
		}
		if time.Since(m.unready[rec.Name]) > m.spec.Readiness.Timeout && u.Phase != state.UpgradeCommitted {
			return true, m.failHot(p, fmt.Errorf("%s was not ready for %s: %s", rec.Name, m.spec.Readiness.Timeout, firstOf(rec.LastError, v.note, "no answer")), failing{fallback: !u.Runs()})
		}
	}
	return false, nil
}

func (m *manager) view(p picture, instance string) instanceView {
	for i, rec := range p.instances {
		if rec.Name == instance {
			return p.views[i]
		}
	}
	return instanceView{}
}

// evidence makes a ghost of a version that failed in an instance, unless the machine is to blame.
func (m *manager) evidence(p picture, rel state.Release, rec state.Instance, ran bool) failing {
	log := tailOf(m.sys.logFiles(rec.App, rec.Name))
	f := failing{log: log, instance: rec.Name}
	if _, trouble := m.sys.cfg.State.Trouble(); ran && trouble == nil && rec.Cause != state.CauseHost {
		rel.SHA256 = firstOf(rec.Upgrade.To.SHA256, rel.SHA256)
		f.ghost = ghostOf(rel, rec, m.view(p, rec.Name), p.dep.ID, errors.New("it failed"), log)
	}
	return f
}

// failing is what follows from a hot deployment that failed, besides that all are taken back.
type failing struct {
	instance string
	ghost    *api.Ghost // the version; its reason is filled in
	fallback bool       // a full deployment may do what this one could not
	log      []string
}

// failHot notes that the deployment has failed. It ends when all instances have been taken back.
func (m *manager) failHot(p picture, why error, f failing) error {
	m.errand.end()
	m.endUpgrades()
	id := p.dep.ID
	err := m.sys.record(func(tx *state.Tx, say func(api.Event)) error {
		d, ok, err := tx.Deployment(id)
		if err != nil || !ok {
			return err
		}
		now := time.Now()
		d.Error, d.LogTail = why.Error(), f.log
		d.Steps = endStep(d.Steps, "", "", now)
		for i := range d.Instances {
			failure := ""
			if f.instance == "" || d.Instances[i].Name == f.instance {
				failure = why.Error()
			}
			d.Instances[i].Steps = endStep(d.Instances[i].Steps, failure, "", now)
		}
		app, _, err := tx.App(m.spec.Name)
		if err != nil {
			return err
		}
		if f.fallback && m.spec.Hot != nil && m.spec.Hot.Fallback && app.Kind != api.KindHot {
			d.Steps = beginStep(d.Steps, stepFallback, now)
			d.Steps[len(d.Steps)-1].Detail = why.Error()
		}
		if f.ghost != nil {
			g := *f.ghost
			g.Reason = why.Error()
			haunt(&app, g, say)
		}
		say(api.Event{
			Type: api.EventUpgradeFailed, Level: "warning", App: d.App, Instance: f.instance, Deployment: d.ID, Version: d.To,
			Message: fmt.Sprintf("deployment %s of %s %s is taken back: %v", d.ID, d.App, d.To, why), Data: map[string]any{"log": f.log},
		})
		return errors.Join(sendBack(tx, m.spec.Name, id), tx.PutApp(app), tx.PutDeployment(d))
	})
	m.sys.send(m.self, msgWake{})
	return err
}

// sendBack notes that the instances that a deployment upgrades are to be taken back.
func sendBack(tx *state.Tx, app, deployment string) error {
	list, err := tx.Instances(app)
	if err != nil {
		return err
	}
	for _, rec := range list {
		if !rec.Under(deployment) || rec.Upgrade.Back || rec.Upgrade.Phase == state.UpgradeBroken {
			continue
		}
		u := *rec.Upgrade
		u.Back = true
		rec.Upgrade = &u
		if err := tx.PutInstance(rec); err != nil {
			return err
		}
	}
	return nil
}

// conclude ends a hot deployment that has failed and whose instances are as they were, or goes on with it as a full one.
func (m *manager) conclude(p picture) error {
	if n := len(p.dep.Steps); n > 0 && p.dep.Steps[n-1].Name == stepFallback {
		return m.turnFull(p, p.dep.Error)
	}
	return m.end(p, api.DeploymentFailed, errors.New(p.dep.Error), p.dep.LogTail)
}

// turnFull goes on with a hot deployment as a full one.
func (m *manager) turnFull(p picture, why string) error {
	m.endUpgrades()
	m.sys.send(m.self, msgWake{})
	return m.sys.record(func(tx *state.Tx, say func(api.Event)) error {
		d, ok, err := tx.Deployment(p.dep.ID)
		if err != nil || !ok {
			return err
		}
		now := time.Now()
		if n := len(d.Steps); n == 0 || d.Steps[n-1].Name != stepFallback {
			d.Steps = beginStep(d.Steps, stepFallback, now)
		}
		d.Steps = endStep(d.Steps, "", why, now)
		d.Kind, d.Error, d.LogTail = api.KindFull, "", nil
		say(api.Event{
			Type: api.EventUpgradeFallback, Level: "warning", App: d.App, Deployment: d.ID, Version: d.To,
			Message: fmt.Sprintf("deployment %s of %s %s goes on as a full one: %s", d.ID, d.App, d.To, why),
		})
		return tx.PutDeployment(d)
	})
}
