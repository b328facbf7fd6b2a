package actors

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/release"
)

// lookAgain is how often a manager looks at its app even if nothing tells it to.
const lookAgain = 5 * time.Second

// Triggers of a deployment.
const (
	triggerAPI     = "api" // an operator's wish, but asked for by a node
	triggerStart   = "start"
	triggerScale   = "scale"
	triggerRestart = "restart"
	triggerConfig  = "config"  // the configuration was changed
	triggerRestore = "restore" // replicas that a failed deployment took are given back

	triggerRollback = state.SourceRollback // an operator's wish, or ours
)

// manager is the actor of one app: it compares what is wished with what is there and moves the difference, in
// deployments. All it knows is in the state store and on the board.
//
//	wished        deployment under way   what it does
//	stopped       yes                    aborts it
//	              no                     nothing
//	a difference  no                     opens one
//	              yes                    goes on with it: fetches, starts, waits, stops
//	another       yes                    ends it as superseded, opens another
//	no difference yes                    ends it as succeeded, once its instances are ready
//	(not ready in time, given up)        ends it as failed; its instances that are not ready go
type manager struct {
	act.Actor
	sys  *System
	spec AppSpec
	self gen.Atom

	seen       map[seenKey]time.Time // of the deployment under way
	fetched    map[string]string     // deployment → the archive's sha256, once it is there
	fetch      work
	errand     work   // what is run before or after all moves of a deployment
	errandDone string // the kind of the last errand that ended well
	pause      pause  // the state store cannot be written
	judged     string // the deployment whose archives were compared

	upgrades map[string]*upgradeWork // by instance
	unready  map[string]time.Time    // since when an instance that is upgraded is not ready
	settling settling
	back     wayBack // that failed

	short   shortSince  // what failed for want of room
	trigger string      // of the next deployment, when an operator's wish makes it
	by      string      // who asked for it by the Erlang API
	next    *time.Timer // looks again
	waits   bool        // what current.json says waits for a deploy window
	author  string      // who asked for the next deployment, for records
}

// seenKey is an instance of a deployment, before and after the start of its first OS process.
type seenKey struct {
	deployment, instance string
	started              bool
}

func (m *manager) Init(...any) error {
	m.self = managerActor(m.spec.Name)
	m.seen, m.fetched = make(map[seenKey]time.Time), make(map[string]string)
	m.upgrades, m.unready = make(map[string]*upgradeWork), make(map[string]time.Time)
	m.sys.dir.claim(m.self, m.PID())
	return nil
}

func (m *manager) Terminate(error) {
	m.sys.dir.leave(m.self, m.PID())
	m.fetch.end()
	m.errand.end()
	m.endUpgrades()
	m.settling.work.end()
	if m.next != nil {
		m.next.Stop()
	}
}

func (m *manager) HandleMessage(_ gen.PID, message any) error {
	if answered(message) {
		return nil
	}
	return m.sys.guard(m.self, func() error {
		if _, resume := message.(msgResume); resume {
			m.pause.on = false
		} else if m.pause.on {
			if c, ok := message.(*msgCommand); ok && c.taken.CompareAndSwap(false, true) {
				_, err := m.sys.cfg.State.Trouble()
				c.reply <- reply{err: fmt.Errorf("nothing is begun while the state cannot be written: %w", err)}
			}
			return nil // what else it says is seen when it goes on
		}
		return m.pause.after(m.handle(message), func(d time.Duration) { m.sys.after(d, m.self, msgResume{}) })
	})
}

func (m *manager) handle(message any) error {
	if spec, ok := m.sys.spec(m.spec.Name); ok {
		m.spec = spec
	}
	if m.sys.closing.Load() {
		if c, ok := message.(*msgCommand); ok && c.taken.CompareAndSwap(false, true) {
			c.reply <- reply{err: api.Errorf(api.CodeRefused, "the daemon is stopping")}
		}
		p, err := m.look()
		m.haveActors(p) // which stop the instances
		return err
	}
	switch c := message.(type) {
	case msgWake:
		if err := m.windowOpens(); err != nil {
			return err
		}
	case msgApps:
		if err := m.windowOpens(); err != nil {
			return err
		}
		m.trigger, m.by, m.author = triggerConfig, "", ""
		defer func() { m.trigger = "" }()
	case msgBegin:
		m.sys.begin(m.self, m.spec.Name, "")
		if err := m.currentChanged(); err != nil {
			return err
		}
		if err := m.pass(); err != nil {
			return err
		}
		// A daemon that ended right after a deployment did not come to it.
		if p, err := m.look(); err != nil || p.dep == nil && p.app.Settled.Version != "" {
			m.prune()
			return err
		}
	case msgChanged, msgResume:
		if err := m.currentChanged(); err != nil {
			return err
		}
	case *msgCommand:
		m.command(c)
	case jobDone:
		ended := m.fetchEnded
		w := m.upgradeOf(c.id)
		switch {
		case w != nil:
			ended = func(result any) error { return m.upgradeEnded(w, result) }
		case c.id == m.fetch.id:
		case c.id == m.settling.id:
			ended = m.settleEnded
		case c.id == m.errand.id && strings.HasSuffix(m.errand.kind, " "+stepPlan):
			ended = m.judgeEnded
		case c.id == m.errand.id:
			ended = m.errandEnded
		default:
			return nil
		}
		if err := ended(c.result); err != nil {
			return err
		}
	default:
		panic(fmt.Sprintf("message %T to %s", message, m.self))
	}
	return m.pass()
}

// asker is who asked, for people.
func (m *manager) asker() string { return firstOf(m.by, "an operator") }

// withAsker adds who asked, when it was a node, to the data of an event.
func withAsker(data map[string]any, by string) map[string]any {
	if by == "" {
		return data
	}
	if data == nil {
		data = make(map[string]any, 1)
	}
	data["by"] = by
	return data
}

// command does what an operator asks, then looks at what follows from it before it answers.
func (m *manager) command(c *msgCommand) {
	if !c.taken.CompareAndSwap(false, true) {
		return
	}
	m.by, m.author = c.by, c.author
	answered := false
	defer func() {
		if !answered { // it panicked
			c.reply <- reply{err: api.Errorf(api.CodeFailed, "internal error; see the daemon's log")}
		}
	}()
	value, err := c.do(m)
	answered = true
	c.reply <- reply{value, err}
}

// picture is an app as the state store and the board have it.
type picture struct {
	app       state.App
	dep       *api.Deployment // under way; nil: none
	instances []state.Instance
	views     []instanceView // of the instances; the zero view is phaseStarting
	ghost     *api.Ghost     // what the version wished is from the end of the deployment on; nil: nothing
}

func (m *manager) look() (p picture, err error) {
	err = m.sys.cfg.State.View(func(tx *state.Tx) error {
		if p.app, _, err = tx.App(m.spec.Name); err != nil {
			return err
		}
		if p.app.Deployment != "" {
			d, ok, err := tx.Deployment(p.app.Deployment)
			if err != nil {
				return err
			}
			if ok {
				p.dep = &d
			}
		}
		p.instances, err = tx.Instances(m.spec.Name)
		return err
	})
	p.views = make([]instanceView, len(p.instances))
	for i, rec := range p.instances {
		p.views[i], _ = m.sys.board.instance(rec.Name)
	}
	return p, err
}

// wanted is what the app should be; ok is false when that is not known, or nothing.
func (m *manager) wanted(app state.App) (w wanted, rel state.Release, ok bool) {
	rel = app.Wish
	if app.Failed != "" {
		rel = app.Settled // the wish is not tried again; what it has reached goes back
		if _, ghost := app.Ghost(rel); ghost {
			return w, rel, false
		}
	}
	n := replicas(m.spec, app)
	w = wanted{
		release: releaseID{rel.Version, rel.SHA256}, restart: app.Restart, replicas: n,
		maxParallel: m.spec.Strategy.MaxParallel, maxUnavailable: m.spec.Strategy.MaxUnavailable,
		surge: 1, slots: n + 1,
	}
	if len(m.spec.Ports) == 0 {
		w.surge = max(1, w.maxParallel)
		w.slots = n + w.surge
	}
	return w, rel, rel.Version != ""
}

// rolling says whether instances that were started with other settings are to be replaced.
func (m *manager) rolling(app state.App) bool { return app.Settings == m.spec.settings() }

func (m *manager) observed(p picture, slots int) []observed {
	list := make([]observed, len(p.instances))
	rolling := m.rolling(p.app)
	for i, rec := range p.instances {
		o := observed{
			name: rec.Name, slot: rec.Slot, release: releaseID{rec.Version, rec.SHA256}, restart: rec.Restart,
			phase: p.views[i].phase, leaving: rec.Leaving, drained: p.views[i].drained,
			outdated: rolling && outdated(m.spec, rec), blocks: m.blocks(rec, slots),
		}
		switch {
		case rec.Failed:
			o.phase = phaseFailed
		case rec.Stopped:
			o.phase = phaseStopped
		case o.phase == phaseFailed || o.phase == phaseStopped || rec.Restarting || rec.Process.OSPID == 0 && o.phase == phaseReady:
			o.phase = phaseStarting // the actor has not caught up with its record
		}
		switch u := rec.Upgrade; {
		case u == nil || u.Back:
		case u.Phase == state.UpgradeBroken:
			o.outdated = true
		case p.dep != nil && p.dep.Kind == api.KindHot && rec.Under(p.dep.ID): // it is on its way
			o.release, o.restart, o.outdated = releaseID{u.To.Version, u.To.SHA256}, p.app.Restart, false
		}
		if p.dep != nil {
			for _, d := range p.dep.Instances {
				if d.Name == rec.Name {
					o.replaces = d.Replaces
				}
			}
		}
		list[i] = o
	}
	return list
}

// blocks lists the slots that no other instance can have while this one has its ports: its own, unless the bases of the
// ports have changed since it was started. Nil stands for its own.
func (m *manager) blocks(rec state.Instance, slots int) []int {
	if len(m.spec.Ports) == 0 || len(rec.Ports) == 0 {
		return nil
	}
	list := []int{}
	for slot := range slots {
		for _, port := range m.spec.Ports {
			if slices.Contains(slices.Collect(maps.Values(rec.Ports)), port.Base+slot) {
				list = append(list, slot)
				break
			}
		}
	}
	return list
}

// pass looks at the app once and does the next step.
func (m *manager) pass() error {
	if m.next != nil {
		m.next.Stop()
	}
	m.next = m.sys.after(lookAgain, m.self, msgWake{})
	p, err := m.look()
	if err != nil {
		return err
	}
	m.haveActors(p)
	if !p.app.Removed.IsZero() {
		return m.leave(p)
	}
	if p.app.Stopped {
		if p.dep != nil {
			return m.end(p, api.DeploymentAborted, errors.New("the app was stopped"), nil)
		}
		return nil
	}
	if m.sys.unclaimed.of(m.spec.Name) {
		return nil
	}
	if retried, err := m.again(p); retried || err != nil {
		if err == nil {
			err = m.pass()
		}
		m.trigger, m.by = "", ""
		return err
	}
	w, rel, ok := m.wanted(p.app)
	if !ok {
		if p.dep != nil {
			return m.end(p, api.DeploymentAborted, errors.New("no version is wished any more"), nil)
		}
		return nil
	}
	plan := reconcile(w, m.observed(p, w.slots))
	if p.dep == nil {
		if busy, err := m.takeBack(p); err != nil || busy && m.trigger == "" {
			return err
		}
		if back, err := m.fallBack(p); back || err != nil {
			m.sys.send(m.self, msgWake{})
			return err
		}
		if again, err := m.backAgain(p, plan); again || err != nil {
			if err == nil {
				err = m.pass()
			}
			m.trigger = ""
			return err
		}
		if !plan.differs || p.app.Halted != "" {
			return nil
		}
		return m.open(p, rel, plan)
	}
	return m.advance(p, rel, plan)
}

// haveActors sees to it that each instance has its actor.
func (m *manager) haveActors(p picture) {
	for _, rec := range p.instances {
		if !m.sys.dir.taken(instanceActor(rec.Name)) {
			m.sys.send(instancesActor(m.spec.Name), msgStartActor{rec.Name})
		}
	}
}

// currentChanged takes the word of the bucket: a current.json that was written since the last one acted on.
func (m *manager) currentChanged() error {
	c, ok := m.sys.board.change(m.spec.Name)
	if !ok || c.Err != nil {
		return nil
	}
	p, err := m.look()
	if err != nil {
		return err
	}
	if p.app.Current == c.Current.Token {
		// The same word. What failed for want of its archive is tried again when that has come or was written again.
		if _, ghost := p.app.Ghost(published(c)); ghost && (c.Current.SHA256 != "" || p.app.Pinned || p.app.Frozen) {
			return nil
		}
		if c.ArchiveChanged && p.dep == nil && p.app.Failed != "" && p.app.Wish.Version == c.Current.Version {
			if waits, err := m.waitsForWindow(p, c); waits || err != nil {
				return err
			}
			return m.sys.editApp(m.spec.Name, func(a *state.App) { a.Failed, a.Halted = "", "" })
		}
		return nil
	}
	if held, err := m.holds(p, c); held || err != nil {
		return err
	}
	if ghost, err := m.skipsGhost(p, c, published(c)); ghost || err != nil {
		return err
	}
	if waits, err := m.waitsForWindow(p, c); waits || err != nil {
		return err
	}
	return m.wish(p, published(c), state.SourceCurrent, c.Current.Token)
}

// wish sets the version wished. A deployment to another one is superseded.
func (m *manager) wish(p picture, rel state.Release, source, token string, also ...func(*state.App, func(api.Event))) error {
	if p.dep != nil && (p.app.Failed != "" || !same(rel, p.app.Wish)) {
		if err := m.end(p, api.DeploymentSuperseded, fmt.Errorf("version %s is wished now", rel.Version), nil); err != nil {
			return err
		}
	}
	c, _ := m.sys.board.change(m.spec.Name)
	return m.sys.recordApp(m.spec.Name, func(a *state.App, say func(api.Event)) {
		if token != "" && token != a.Current && token == c.Current.Token {
			say(api.Event{Type: api.EventReleasePublished, App: a.Name, Version: c.Current.Version,
				Message: fmt.Sprintf("%s names version %s", c.Current.File, c.Current.Version)})
		}
		a.Kind = ""
		for _, f := range also {
			f(a, say)
		}
		a.Wish, a.Source, a.At, a.By = rel, source, time.Now().UTC(), ""
		if rel.Signature != "" && rel.PublishedAt.After(a.Signed) {
			a.Signed = rel.PublishedAt
		}
		if a.Author = ""; source == state.SourceOperator {
			a.By, a.Author = m.by, m.author
		}
		a.Failed, a.Halted, a.Short = "", "", nil
		if token != "" {
			a.Current = token
		}
	})
}

func same(a, b state.Release) bool {
	return releaseID{a.Version, a.SHA256}.same(releaseID{b.Version, b.SHA256})
}

// editApp changes an app's record.
func (s *System) editApp(name string, f func(*state.App)) error {
	return s.recordApp(name, func(a *state.App, _ func(api.Event)) { f(a) })
}

// recordApp is editApp that keeps the events that f says with the change.
func (s *System) recordApp(name string, f func(a *state.App, say func(api.Event))) error {
	return s.record(func(tx *state.Tx, say func(api.Event)) error {
		a, _, err := tx.App(name)
		if err != nil {
			return err
		}
		a.Name = name
		f(&a, say)
		return tx.PutApp(a)
	})
}

// open begins a deployment.
func (m *manager) open(p picture, rel state.Release, plan plan) error {
	now := time.Now()
	d := api.Deployment{
		App: m.spec.Name, From: p.app.Settled.Version, To: rel.Version, Hash: rel.Hash,
		Kind: "full", Trigger: firstOf(m.trigger, p.app.Source), Outcome: api.DeploymentRunning,
		StartedAt: api.Time{Time: now.UTC()}, Instances: []api.DeploymentInstance{}, Steps: []api.DeploymentStep{},
	}
	if p.app.Settled.Version != "" && same(rel, p.app.Settled) && !slices.ContainsFunc(p.instances, func(i state.Instance) bool {
		return !i.Leaving && (i.Restart < p.app.Restart || m.rolling(p.app) && outdated(m.spec, i) || !same(rel, state.Release{Version: i.Version, SHA256: i.SHA256}))
	}) {
		d.Kind, d.Trigger = "scale", firstOf(m.trigger, triggerStart)
	}
	switch {
	case m.trigger != "":
		d.By, d.Author = m.by, m.author
	case p.app.Failed != "":
		d.Trigger = triggerRestore
	case p.app.Source == state.SourceOperator:
		d.By, d.Author = p.app.By, p.app.Author
	}
	if d.By != "" && d.Trigger == state.SourceOperator {
		d.Trigger = triggerAPI
	}
	if d.Trigger == triggerRestore && d.Kind == "full" {
		d.From = p.app.Wish.Version
	}
	switch {
	case d.Kind != api.KindFull || d.Trigger == triggerRestore:
	case p.app.Kind == kindRevert && !same(rel, p.app.Settled):
		d.Trigger = triggerRollback // also when a daemon was ended in between
		if revertible(p, rel) {
			d.Kind = api.KindHot
		}
	case m.notHot(p, rel) == "":
		d.Kind = api.KindHot
	}
	d.Why = m.whyFull(p, rel, d)
	m.trigger, m.by, m.author = "", "", ""
	err := m.sys.record(func(tx *state.Tx, say func(api.Event)) (err error) {
		if d.ID, err = tx.NextDeployment(); err != nil {
			return err
		}
		app, _, err := tx.App(m.spec.Name)
		if err != nil {
			return err
		}
		app.Deployment = d.ID
		if reverting(&d) {
			if err := beginRevert(tx, p, &d); err != nil {
				return err
			}
		}
		say(api.Event{
			Type: api.EventDeploymentStarted, App: d.App, Deployment: d.ID, Version: d.To,
			Message: fmt.Sprintf("deployment %s: %s %s to %s", d.ID, d.App, firstOf(d.From, "nothing"), d.To),
			Data:    withAsker(map[string]any{"kind": d.Kind, "trigger": d.Trigger, "from": d.From, "author": d.Author, "why": d.Why}, d.By),
		})
		return errors.Join(tx.PutApp(app), tx.PutDeployment(d))
	})
	if err != nil {
		return err
	}
	if reverting(&d) {
		m.sys.send(m.self, msgWake{}) // with what has been written of the instances
		return nil
	}
	p.dep, p.app.Deployment = &d, d.ID
	return m.advance(p, rel, plan)
}

// advance goes on with the deployment under way.
func (m *manager) advance(p picture, rel state.Release, plan plan) error {
	d := p.dep
	if d.Error == "" && !reverting(d) { // what a deployment before has left
		if busy, err := m.takeBack(p); busy || err != nil {
			return err
		}
	}
	if d.Kind == api.KindHot {
		return m.advanceHot(p, rel, plan)
	}
	if err := m.closeStopOld(p); err != nil {
		return err
	}
	if failed, err := m.crashedInSoak(p); failed || err != nil {
		return err
	}
	log, failure := m.failure(&p, rel)
	if failure != nil {
		return m.end(p, api.DeploymentFailed, failure, log)
	}
	sha, here := m.fetched[d.ID]
	first := m.beforehand(p, rel) && !plan.idle()
	switch {
	case (len(plan.start) > 0 || first) && !here:
		if m.fetch.id == 0 || m.fetch.kind != d.ID {
			return m.startFetch(d, rel)
		}
		return nil // nothing is stopped before the release is known to be good
	case first && !m.before(p, rel, sha, plan):
		return nil
	case plan.idle():
		if !plan.complete || slices.ContainsFunc(plan.waiting, func(name string) bool { return m.deployed(d, name) }) {
			return nil
		}
		if done, err := m.settled(p, rel); !done || err != nil || !m.after(p) {
			return err
		}
		return m.succeed(p, rel, sha)
	}
	return m.act(p, rel, sha, plan)
}

// deployed says whether d started the instance.
func (m *manager) deployed(d *api.Deployment, name string) bool {
	return slices.ContainsFunc(d.Instances, func(i api.DeploymentInstance) bool { return i.Name == name })
}

// closeStopOld ends the step of stopping an instance that is gone.
func (m *manager) closeStopOld(p picture) error {
	var gone []string
	for _, i := range p.dep.Instances {
		n := len(i.Steps)
		if n == 0 || !i.Steps[n-1].EndedAt.IsZero() {
			continue
		}
		leaving := ""
		switch i.Steps[n-1].Name {
		case stepStopOld:
			leaving = i.Replaces
		case stepStop:
			leaving = i.Name
		default:
			continue
		}
		if !slices.ContainsFunc(p.instances, func(rec state.Instance) bool { return rec.Name == leaving }) {
			gone = append(gone, i.Name)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	now := time.Now()
	return m.sys.cfg.State.Update(func(tx *state.Tx) error {
		for _, name := range gone {
			err := step(tx, p.dep.ID, name, func(i *api.DeploymentInstance) { i.Steps = endStep(i.Steps, "", "", now) })
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// failure says whether an instance of the deployment has failed to get ready, and gives the end of its log. It notes in p
// whether the version is to blame.
func (m *manager) failure(p *picture, rel state.Release) (log []string, why error) {
	nearest := time.Duration(-1)
	for i, rec := range p.instances {
		if rec.InHistory && !rec.Failed || rec.Leaving || rec.Stopped || rec.Deployment != p.dep.ID || !m.deployed(p.dep, rec.Name) {
			continue
		}
		left := m.spec.Readiness.Timeout - time.Since(m.begun(*p, rec.Name))
		switch name, detail := p.views[i].chain.missing(); {
		case rec.Failed && rec.InHistory:
			why = fmt.Errorf("%s was ready, but crashed %d times before the deployment was done: %s", rec.Name, len(rec.Crashes), rec.LastError)
		case rec.Failed:
			why = fmt.Errorf("%s crashed %d times before it was ready: %s", rec.Name, len(rec.Crashes), rec.LastError)
		case left > 0:
			if nearest < 0 || left < nearest {
				nearest = left
			}
			continue
		case rec.Process.OSPID == 0:
			why = fmt.Errorf("%s was not ready within %s: %s is missing: %s", rec.Name, m.spec.Readiness.Timeout,
				stepProcess, firstOf(rec.LastError, p.views[i].note, "it was not started"))
		default:
			why = fmt.Errorf("%s was not ready within %s: %s is missing: %s", rec.Name, m.spec.Readiness.Timeout,
				firstOf(name, stepProcess), firstOf(detail, "no answer yet"))
		}
		log = tailOf(m.sys.logFiles(rec.App, rec.Name))
		p.ghost = m.blame(*p, rel, rec, p.views[i], why, log)
		return log, why
	}
	if nearest >= 0 && nearest < lookAgain {
		m.next.Stop()
		m.next = m.sys.after(nearest, m.self, msgWake{})
	}
	return nil, nil
}

// begun is when the first OS process of an instance of the deployment was started, or, while there is none, when the
// instance was made: as this manager saw it, by the clock that nobody sets.
func (m *manager) begun(p picture, instance string) time.Time {
	key := seenKey{deployment: p.dep.ID, instance: instance}
	for _, d := range p.dep.Instances {
		key.started = key.started || d.Name == instance && slices.ContainsFunc(d.Steps, func(s api.DeploymentStep) bool { return s.Name == stepStart })
	}
	for k := range m.seen {
		if k.deployment != p.dep.ID {
			delete(m.seen, k)
		}
	}
	if _, ok := m.seen[key]; !ok {
		m.seen[key] = time.Now()
	}
	return m.seen[key]
}

// startFetch begins to bring the release to this host.
func (m *manager) startFetch(d *api.Deployment, rel state.Release) error {
	m.fetch.end()
	err := m.sys.cfg.State.Update(func(tx *state.Tx) error {
		d, ok, err := tx.Deployment(d.ID)
		if err != nil || !ok {
			return err
		}
		if len(d.Steps) == 0 {
			d.Steps = beginStep(d.Steps, "fetch", time.Now())
		}
		return tx.PutDeployment(d)
	})
	if err != nil {
		return err
	}
	p, err := m.look()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(m.sys.ctx)
	m.fetch = work{kind: d.ID, cancel: cancel}
	app, check := m.spec.Name, !goesBack(d) && !ranBefore(p.app, rel)
	m.fetch.id = m.sys.job(ctx, m.self, func(ctx context.Context) any {
		ctx, done := m.sys.toldDownload(ctx, d.ID, app, rel.Version)
		defer done()
		r, err := m.sys.cfg.Releases.Fetch(ctx, app, release.Current{
			Version: rel.Version, Hash: rel.Hash, SHA256: rel.SHA256, PreCommands: rel.PreCommands, Signature: rel.Signature, PublishedAt: rel.PublishedAt,
		})
		if err == nil && check {
			step := release.FetchStep{Name: stepCheck, StartedAt: time.Now()}
			err = m.sys.mayRun(ctx, r)
			if step.EndedAt = time.Now(); len(r.Steps) > 0 {
				r.Steps = append(r.Steps, step)
			}
		}
		if err != nil {
			return err
		}
		return r
	})
	return nil
}

func (m *manager) fetchEnded(result any) error {
	id := m.fetch.kind
	m.fetch.end()
	p, err := m.look()
	if err != nil {
		return err
	}
	if p.dep == nil || p.dep.ID != id {
		return nil
	}
	if failure, ok := result.(error); ok {
		if m.sys.ctx.Err() != nil {
			return nil
		}
		name, outcome := "fetch", api.DeploymentFailed
		var e *release.Error
		var r *refusedError
		switch {
		case errors.As(failure, &r):
			name = stepCheck
		case errors.As(failure, &e):
			name = e.Op
		}
		if refused(failure) {
			outcome = api.DeploymentRefused
		}
		p.dep.Steps = endStep(p.dep.Steps, failure.Error(), "", time.Now())
		if n := len(p.dep.Steps); n > 0 {
			p.dep.Steps[n-1].Name = name
		}
		return m.end(p, outcome, failure, nil)
	}
	rel := result.(release.Release)
	if err := m.fetchedGhost(p, rel.SHA256); err != nil {
		return m.end(p, api.DeploymentFailed, err, nil)
	}
	m.fetched = map[string]string{id: rel.SHA256}
	return m.sys.cfg.State.Update(func(tx *state.Tx) error {
		d, ok, err := tx.Deployment(id)
		if err != nil || !ok {
			return err
		}
		var run []api.DeploymentStep // of a daemon before this one
		d.Steps = slices.DeleteFunc(d.Steps, func(st api.DeploymentStep) bool {
			if st.Command != "" {
				run = append(run, st)
			}
			return st.Command != ""
		})
		d.Steps = endStep(d.Steps, "", "it was here already", time.Now())
		if len(rel.Steps) > 0 {
			d.Steps = d.Steps[:0]
			for _, st := range rel.Steps {
				d.Steps = append(d.Steps, api.DeploymentStep{Name: st.Name, StartedAt: api.Time{Time: st.StartedAt.UTC()}, EndedAt: api.Time{Time: st.EndedAt.UTC()}, Detail: st.Detail})
			}
		}
		d.Steps = append(d.Steps, run...)
		return tx.PutDeployment(d)
	})
}

// act starts and stops what the plan says. All of it is in the state store before anything is done.
func (m *manager) act(p picture, rel state.Release, sha string, plan plan) error {
	now := time.Now()
	var fresh []string
	err := m.sys.cfg.State.Update(func(tx *state.Tx) error {
		d, _, err := tx.Deployment(p.dep.ID)
		if err != nil {
			return err
		}
		for _, s := range plan.start {
			rec := state.Instance{
				Name: m.newName(p), App: m.spec.Name, Slot: s.slot, Ports: m.ports(s.slot),
				Version: rel.Version, Hash: rel.Hash, SHA256: sha, Restart: p.app.Restart,
				Deployment: d.ID, Kind: "full", CreatedAt: now.UTC(),
			}
			if d.Trigger == triggerRestart {
				for _, old := range p.instances {
					if old.Name == s.replaces {
						rec.ForcedRestarts, rec.CrashRestarts = old.ForcedRestarts+1, old.CrashRestarts
					}
				}
			}
			d.Instances = append(d.Instances, api.DeploymentInstance{Name: rec.Name, Replaces: s.replaces, Slot: s.slot, Steps: []api.DeploymentStep{}})
			if err := tx.PutInstance(rec); err != nil {
				return err
			}
			fresh = append(fresh, rec.Name)
		}
		for _, name := range plan.stop {
			rec, ok, err := tx.Instance(name)
			if err != nil || !ok {
				return err
			}
			rec.Leaving = true
			if err := tx.PutInstance(rec); err != nil {
				return err
			}
			stopOldStep(&d, rec, now)
		}
		return tx.PutDeployment(d)
	})
	if err != nil {
		return err
	}
	for _, name := range fresh {
		m.sys.send(instancesActor(m.spec.Name), msgStartActor{name})
	}
	for _, name := range plan.stop {
		m.sys.send(instanceActor(name), msgWake{})
	}
	return nil
}

// stopOldStep notes that an instance is stopped: with the one that replaces it, or as one that nothing replaces.
func stopOldStep(d *api.Deployment, old state.Instance, now time.Time) {
	for i := range d.Instances {
		if d.Instances[i].Replaces == old.Name {
			d.Instances[i].Steps = beginStep(d.Instances[i].Steps, stepStopOld, now)
			return
		}
	}
	d.Instances = append(d.Instances, api.DeploymentInstance{Name: old.Name, Slot: old.Slot, Steps: beginStep(nil, stepStop, now)})
}

func (m *manager) newName(p picture) string {
	for {
		name := newInstanceName(m.spec.Name)
		if !slices.ContainsFunc(p.instances, func(i state.Instance) bool { return i.Name == name }) {
			return name
		}
	}
}

func (m *manager) ports(slot int) map[string]int {
	ports := make(map[string]int)
	for _, p := range m.spec.Ports {
		ports[p.Key] = p.Base + slot
	}
	return ports
}

// succeed ends the deployment well.
func (m *manager) succeed(p picture, rel state.Release, sha string) error {
	if sha != "" {
		rel.SHA256 = sha
	}
	p.app.Settled = rel
	if err := m.end(p, api.DeploymentSucceeded, nil, nil); err != nil {
		return err
	}
	if len(p.app.Good) == 0 { // the backups that there are know nothing of the app
		m.sys.cfg.State.HurryBackup()
	}
	m.prune()
	return nil
}

// prune begins to remove the releases that nothing needs.
func (m *manager) prune() {
	app, keep, history := m.spec.Name, m.spec.Keep, m.spec.History
	keepers := m.keepers()
	m.sys.job(m.sys.ctx, m.self, func(ctx context.Context) any {
		if release, err := m.sys.alone(ctx, app); err == nil {
			_ = m.sys.cfg.Releases.RemoveInstance(app, app+preCommandsSuffix) // that a killed daemon left
			release()
		}
		err := m.sys.cfg.State.Update(func(tx *state.Tx) error { return tx.TrimDeployments(app, history) })
		if err != nil {
			m.sys.log.Warn("remove old deployments", "app", app, "err", err)
		}
		if _, err := m.sys.cfg.Releases.Prune(app, keep, keepers); err != nil {
			m.sys.log.Warn("prune old releases", "app", app, "err", err)
		}
		return nil
	})
}

// end ends the deployment under way. Instances that it started and that are not ready go.
func (m *manager) end(p picture, outcome string, why error, log []string) error {
	m.fetch.end()
	m.errand.end()
	m.endUpgrades()
	m.settling.work.end()
	now := time.Now()
	d := *p.dep
	var leaving []string
	err := m.sys.record(func(tx *state.Tx, say func(api.Event)) error {
		stored, ok, err := tx.Deployment(d.ID)
		if err != nil || !ok {
			return err
		}
		if n := len(p.dep.Steps); n > 0 && n == len(stored.Steps) && p.dep.Steps[n-1].Error != "" {
			stored.Steps = p.dep.Steps // with how the fetch ended
		}
		d = stored
		app, _, err := tx.App(m.spec.Name)
		if err != nil {
			return err
		}
		d.Outcome, d.EndedAt, d.LogTail = outcome, api.Time{Time: now.UTC()}, log
		failure := ""
		if why != nil {
			d.Error = why.Error()
			failure = outcome
		}
		d.Steps = endStep(d.Steps, failure, "", now)
		for i := range d.Steps { // hooks of instances that are stopped begin side by side
			if st := &d.Steps[i]; st.EndedAt.IsZero() && st.Name != stepBeforeStop && st.Name != stepAfterStop {
				st.EndedAt, st.Error = api.Time{Time: now.UTC()}, failure
			}
		}
		for i := range d.Instances {
			d.Instances[i].Steps = endStep(d.Instances[i].Steps, failure, "", now)
		}
		app.Deployment, app.Settled = "", p.app.Settled
		if outcome == api.DeploymentSucceeded {
			brought(&app, d, now)
		}
		if p.ghost != nil {
			haunt(&app, *p.ghost, say)
		}
		m.sys.short(&app, outcome, why)
		if outcome == api.DeploymentFailed || outcome == api.DeploymentRefused || (outcome == api.DeploymentAborted || outcome == api.DeploymentReverted) && !app.Stopped {
			_, bad := app.Ghost(app.Settled)
			if app.Failed != "" || same(app.Wish, app.Settled) || bad && goesBack(&d) { // there is nothing else to go to
				app.Halted = d.ID
			} else {
				app.Failed = d.ID
			}
		}
		if outcome != api.DeploymentSucceeded {
			if err := sendBack(tx, m.spec.Name, d.ID); err != nil {
				return err
			}
			for _, rec := range p.instances {
				if rec, ok, err := tx.Instance(rec.Name); err != nil {
					return err
				} else if ok && !rec.InHistory && rec.Deployment == d.ID && !rec.Leaving {
					rec.Leaving = true
					leaving = append(leaving, rec.Name)
					if err := tx.PutInstance(rec); err != nil {
						return err
					}
				}
			}
		}
		if outcome == api.DeploymentRefused {
			sayRefused(d, why, say)
		}
		if err := tx.EndHistory(d); err != nil {
			return err
		}
		say(endOf(d, why))
		return errors.Join(tx.PutApp(app), tx.PutDeployment(d))
	})
	if err != nil {
		return err
	}
	for _, name := range leaving {
		m.sys.send(instanceActor(name), msgWake{})
	}
	m.sys.send(m.self, msgWake{})
	return nil
}

// whyFull says why a deployment that could have been a hot one is not; empty where nobody would ask.
func (m *manager) whyFull(p picture, rel state.Release, d api.Deployment) string {
	if d.Kind != api.KindFull || d.From == "" || goesBack(&d) || same(rel, p.app.Settled) {
		return ""
	}
	return m.notHot(p, rel)
}

// endOf is the event of a deployment's end.
func endOf(d api.Deployment, why error) api.Event {
	took := max(d.EndedAt.Sub(d.StartedAt.Time), 0)
	e := api.Event{
		Type: api.EventDeploymentComplete, App: d.App, Deployment: d.ID, Version: d.To,
		Message: fmt.Sprintf("deployment %s of %s %s %s after %d ms", d.ID, d.App, d.To, d.Outcome, took.Milliseconds()),
		Data:    map[string]any{"outcome": d.Outcome, "took_ms": took.Milliseconds(), "kind": d.Kind, "from": d.From},
	}
	if why != nil {
		e.Message += ": " + why.Error()
	}
	if d.Outcome == api.DeploymentFailed || d.Outcome == api.DeploymentRefused {
		e.Type, e.Level = api.EventDeploymentFailed, "error"
		e.Data["log"] = d.LogTail
	}
	return e
}
