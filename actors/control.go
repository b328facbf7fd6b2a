package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/release"
)

const (
	commandTimeout    = 10 * time.Second // for a manager to answer
	defaultRPCTimeout = 5 * time.Second
)

// command has an app's manager do what an operator asks.
func command[T any](ctx context.Context, s *System, app string, do func(*manager) (T, error)) (value T, err error) {
	switch e, ok := s.roster.find(app); {
	case !ok:
		return value, s.unknownApp(app)
	case e.leaving:
		return value, api.Errorf(api.CodeRefused, "app %s is being removed", app)
	}
	if s.closing.Load() {
		return value, api.Errorf(api.CodeRefused, "the daemon is stopping")
	}
	answer := make(chan reply, 1)
	caller, _ := api.CallerFrom(ctx)
	msg := &msgCommand{reply: answer, by: caller.Name(), author: caller.Author(), do: func(m *manager) (any, error) { return do(m) }}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	var sent gen.PID
	for {
		// Sent again to a manager that was started in place of the one that had it.
		if now, ok := s.dir.pid(managerActor(app)); ok && now != sent && !msg.taken.Load() {
			if s.ergo.Ergo().Send(now, msg) == nil {
				sent = now
			}
		}
		select {
		case r := <-answer:
			if r.err != nil {
				return value, asAPI(r.err)
			}
			value, _ = r.value.(T)
			return value, nil
		case <-look.C:
		case <-ctx.Done():
			return value, timedOut(ctx.Err(), "the manager of %s has not answered", app)
		}
	}
}

func timedOut(err error, format string, args ...any) error {
	e := api.Errorf(api.CodeTimeout, format, args...)
	e.Err = err
	return e
}

// asAPI makes any error one for people.
func asAPI(err error) error {
	var e *api.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return &api.Error{Code: api.CodeFailed, Message: err.Error(), Err: err}
}

func (s *System) unknownApp(name string) error {
	var names []string
	for _, a := range s.apps() {
		names = append(names, a.Name)
	}
	e := api.Errorf(api.CodeNotFound, "there is no app %q", name)
	if len(names) > 0 {
		e.Hint = "the apps are " + strings.Join(names, ", ")
	} else {
		e.Hint = "the configuration has no applications"
	}
	return e
}

func unknownInstance(t api.Target) error {
	e := api.Errorf(api.CodeNotFound, "app %s has no instance %q", t.App, t.Instance)
	e.Hint = "beamkeeper status " + t.App
	return e
}

// Deploy implements api.Control. Asked for what is under way already, or what runs already, it returns the deployment
// that does or did it.
func (s *System) Deploy(ctx context.Context, r api.DeployRequest) (api.Deployment, error) {
	if r.Kind == api.KindHot {
		if err := s.foresee(ctx, r); err != nil {
			return api.Deployment{}, err
		}
	}
	return command(ctx, s, r.App, func(m *manager) (api.Deployment, error) { return m.deploy(r) })
}

func (m *manager) deploy(r api.DeployRequest) (api.Deployment, error) {
	rel, err := m.requested(r)
	if err != nil {
		return api.Deployment{}, err
	}
	return m.move(moving{rel: rel, force: r.Force, kind: r.Kind, trigger: m.asked()})
}

// requested is the release that an operator asks for.
func (m *manager) requested(r api.DeployRequest) (state.Release, error) {
	version := r.Version
	rel := state.Release{Version: version}
	c, published := m.sys.board.change(m.spec.Name)
	published = published && c.Err == nil
	switch {
	case version == "" && !published:
		e := api.Errorf(api.CodeNotFound, "the bucket names no version of %s", m.spec.Name)
		if c.Err != nil {
			e.Message += ": " + c.Err.Error()
		}
		e.Hint = fmt.Sprintf("publish one (beamkeeper publish %s FILE) or name a version", m.spec.Name)
		return rel, e
	case version == "":
		rel.Version = c.Current.Version
	}
	if err := release.CheckVersion(rel.Version); err != nil {
		return rel, api.Errorf(api.CodeUsage, "%v", err)
	}
	if published && c.Current.Version == rel.Version {
		rel.Hash, rel.SHA256, rel.PreCommands = c.Current.Hash, c.Current.SHA256, c.Current.PreCommands
		rel.Signature, rel.PublishedAt = c.Current.Signature, c.Current.PublishedAt
	}
	p, err := m.look()
	if err != nil {
		return rel, err
	}
	if p.app.Settled.Version == rel.Version && rel.SHA256 == "" {
		rel.Hash = p.app.Settled.Hash
	}
	return rel, nil
}

// lastTo is the last deployment that brought a version; one that did not counts only when none did.
func (m *manager) lastTo(version string) (last api.Deployment, err error) {
	found := false
	err = m.sys.cfg.State.View(func(tx *state.Tx) error {
		all, err := tx.Deployments(m.spec.Name, 0)
		for _, d := range all {
			if d.To != version || d.Outcome == api.DeploymentSuperseded {
				continue
			}
			if !found || d.Outcome == api.DeploymentSucceeded {
				last, found = d, true
			}
			if d.Outcome == api.DeploymentSucceeded {
				return nil
			}
		}
		return err
	})
	if err == nil && !found {
		return last, api.Errorf(api.CodeRefused, "there is nothing to deploy: %s is to have no instances", m.spec.Name)
	}
	return last, err
}

// AbortDeployment implements api.Control. Instances that the deployment started and that are not ready yet are stopped.
func (s *System) AbortDeployment(ctx context.Context, id string) error {
	d, err := s.Deployment(ctx, id)
	if err != nil {
		return err
	}
	_, err = command(ctx, s, d.App, func(m *manager) (any, error) {
		p, err := m.look()
		if err != nil {
			return nil, err
		}
		if p.dep == nil || p.dep.ID != id {
			return nil, api.Errorf(api.CodeRefused, "deployment %s is not under way", id)
		}
		return nil, m.end(p, api.DeploymentAborted, errors.New("aborted by an operator"), nil)
	})
	return err
}

// Start implements api.Control: what was stopped, or given up, is started. It returns once that is accepted.
func (s *System) Start(ctx context.Context, t api.Target) error {
	_, err := command(ctx, s, t.App, func(m *manager) (any, error) { return nil, m.startTarget(t) })
	return err
}

func (m *manager) startTarget(t api.Target) error {
	p, err := m.look()
	if err != nil {
		return err
	}
	w, _, wished := m.wanted(p.app)
	names, err := p.targets(t)
	if err != nil {
		return err
	}
	if t.Instance != "" && p.app.Stopped {
		e := api.Errorf(api.CodeRefused, "app %s is stopped", t.App)
		e.Hint = "beamkeeper start " + t.App
		return e
	}
	err = m.sys.cfg.State.Update(func(tx *state.Tx) error {
		for _, rec := range names {
			rec, ok, err := tx.Instance(rec.Name)
			if err != nil || !ok {
				return err
			}
			if (rec.Stopped || rec.Failed) && wished && !(releaseID{rec.Version, rec.SHA256}).same(w.release) {
				rec.Leaving = true // it was stopped before a newer version came: that is started in its place
			}
			rec.Stopped, rec.Failed = false, false
			rec.Crashes, rec.CrashRow, rec.RetryAt = nil, 0, time.Time{}
			if err := tx.PutInstance(rec); err != nil {
				return err
			}
		}
		app, _, err := tx.App(t.App)
		if err != nil {
			return err
		}
		if t.Instance == "" {
			app.Stopped, app.Halted = false, ""
			if _, ghost := app.Ghost(app.Wish); !ghost {
				app.Failed = ""
			}
		}
		return tx.PutApp(app)
	})
	if err != nil {
		return err
	}
	m.wake(names)
	m.trigger = triggerStart
	return nil
}

// targets are the instances that t names.
func (p picture) targets(t api.Target) ([]state.Instance, error) {
	if t.Instance == "" {
		return p.instances, nil
	}
	for _, rec := range p.instances {
		if rec.Name == t.Instance && !rec.Leaving {
			return []state.Instance{rec}, nil
		}
	}
	return nil, unknownInstance(t)
}

func (m *manager) wake(names []state.Instance) {
	for _, rec := range names {
		m.sys.send(instanceActor(rec.Name), msgWake{})
	}
}

// Stop implements api.Control. It returns when the instances have stopped, or with CodeTimeout when ctx ends before.
// They stay stopped, over restarts of the daemon too, until Start.
func (s *System) Stop(ctx context.Context, t api.Target) error {
	names, err := command(ctx, s, t.App, func(m *manager) ([]state.Instance, error) { return m.stopTarget(t) })
	if err != nil {
		return err
	}
	for {
		running := 0
		for _, rec := range names {
			if v, ok := s.board.instance(rec.Name); ok && v.state != api.StateStopped && v.state != api.StateFailed {
				running++
			}
		}
		if running == 0 {
			return nil
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return timedOut(err, "%s: %d instances are still stopping", t, running)
		}
	}
}

func (m *manager) stopTarget(t api.Target) ([]state.Instance, error) {
	p, err := m.look()
	if err != nil {
		return nil, err
	}
	names, err := p.targets(t)
	if err != nil {
		return nil, err
	}
	err = m.sys.cfg.State.Update(func(tx *state.Tx) error {
		for _, rec := range names {
			rec, ok, err := tx.Instance(rec.Name)
			if err != nil || !ok {
				return err
			}
			rec.Stopped, rec.Restarting = true, false
			if err := tx.PutInstance(rec); err != nil {
				return err
			}
		}
		app, _, err := tx.App(t.App)
		if err != nil || t.Instance != "" {
			return err
		}
		app.Stopped = true
		return tx.PutApp(app)
	})
	if err != nil {
		return nil, err
	}
	m.wake(names)
	return names, nil
}

// Restart implements api.Control. An instance is stopped and started again, under its name; of an app, all replicas are
// replaced by new instances of the same version, as in a deployment, so that it serves all the time. It returns once
// that is accepted.
func (s *System) Restart(ctx context.Context, t api.Target) error {
	_, err := command(ctx, s, t.App, func(m *manager) (any, error) { return nil, m.restartTarget(t) })
	return err
}

func (m *manager) restartTarget(t api.Target) error {
	if err := m.sys.heldBack(m.spec.Name); err != nil {
		return err
	}
	p, err := m.look()
	if err != nil {
		return err
	}
	if p.app.Stopped {
		e := api.Errorf(api.CodeRefused, "app %s is stopped", t.App)
		e.Hint = "beamkeeper start " + t.App
		return e
	}
	if t.Instance != "" {
		return m.restartInstance(p, t)
	}
	if _, _, ok := m.wanted(p.app); !ok {
		return api.Errorf(api.CodeRefused, "app %s has no version that could be started", t.App)
	}
	if p.dep != nil {
		return api.Errorf(api.CodeRefused, "deployment %s of %s is under way", p.dep.ID, t.App)
	}
	m.trigger = triggerRestart
	return m.sys.recordApp(t.App, func(a *state.App, say func(api.Event)) {
		a.Restart++
		a.Halted = ""
		for _, rec := range p.instances {
			say(api.Event{
				Type: api.EventDeploymentShutdown, Level: "warning", App: t.App, Instance: rec.Name, Version: rec.Version,
				Message: rec.Name + " is replaced, as " + m.asker() + " asked for a restart of " + t.App, Data: withAsker(nil, m.by),
			})
		}
	})
}

func (m *manager) restartInstance(p picture, t api.Target) error {
	names, err := p.targets(t)
	if err != nil {
		return err
	}
	if u := names[0].Upgrade; u != nil && (u.Back || u.Phase != state.UpgradeCommitted) {
		e := api.Errorf(api.CodeRefused, "%s is being upgraded by deployment %s, which a restart would undo", t.Instance, u.Deployment)
		e.Hint = "beamkeeper deployment commit " + u.Deployment + ", revert or abort"
		return e
	}
	_, _, err = m.sys.recordInstance(t.Instance, func(r *state.Instance, say func(api.Event)) bool {
		r.Restarting, r.Stopped, r.Failed = true, false, false
		r.Crashes, r.CrashRow, r.RetryAt = nil, 0, time.Time{}
		r.ForcedRestarts++
		say(api.Event{
			Type: api.EventDeploymentShutdown, Level: "warning", App: t.App, Instance: r.Name, Version: r.Version,
			Message: r.Name + " is restarted, as " + m.asker() + " asked",
			Data:    withAsker(map[string]any{"forced_restarts": r.ForcedRestarts}, m.by),
		})
		return true
	})
	if err != nil {
		return err
	}
	m.wake(names)
	return nil
}

// Scale implements api.Control. The number stays until the configuration's is changed. It returns once it is accepted.
func (s *System) Scale(ctx context.Context, app string, n int) error {
	if n < 0 || n > api.MaxReplicas {
		return api.Errorf(api.CodeUsage, "%d replicas cannot be; 0 to %d can", n, api.MaxReplicas)
	}
	_, err := command(ctx, s, app, func(m *manager) (any, error) {
		for _, p := range m.spec.Ports {
			if p.Base+n > 65535 { // n replicas take n + 1 ports
				return nil, api.Errorf(api.CodeRefused, "%d replicas need the ports %d to %d for %s; there are none above 65535", n, p.Base, p.Base+n, p.Key)
			}
		}
		before := 0
		err := m.sys.recordApp(app, func(a *state.App, say func(api.Event)) {
			before = replicas(m.spec, *a)
			a.Replicas, a.ScaledFrom, a.Halted = &n, m.spec.Replicas, ""
			say(api.Event{Type: api.EventScaled, App: app, Message: fmt.Sprintf("%s is to have %d replicas instead of %d", app, n, before),
				Data: map[string]any{"from": before, "to": n}})
		})
		if err != nil {
			return nil, err
		}
		if before != n {
			m.trigger = triggerScale
		}
		return nil, nil
	})
	return err
}

// Deployments implements api.Control.
func (s *System) Deployments(_ context.Context, app string, limit int) (list []api.Deployment, err error) {
	if app != "" && !s.has(app) {
		return nil, s.unknownApp(app)
	}
	err = s.cfg.State.View(func(tx *state.Tx) error {
		list, err = tx.Deployments(app, limit)
		return err
	})
	return list, asAPI(err)
}

// Deployment implements api.Control.
func (s *System) Deployment(_ context.Context, id string) (d api.Deployment, err error) {
	ok := false
	err = s.cfg.State.View(func(tx *state.Tx) error {
		d, ok, err = tx.Deployment(id)
		return err
	})
	if err == nil && !ok {
		e := api.Errorf(api.CodeNotFound, "there is no deployment %q", id)
		e.Hint = "beamkeeper deployment list"
		err = e
	}
	s.downloads.into(&d)
	s.installing.into(&d)
	return d, asAPI(err)
}

// History implements api.Control: the newest first.
func (s *System) History(_ context.Context, app string) (list []api.HistoryEntry, err error) {
	if !s.has(app) {
		return nil, s.unknownApp(app)
	}
	err = s.cfg.State.View(func(tx *state.Tx) error {
		if list, err = tx.History(app); err != nil {
			return err
		}
		return underWay(tx, list)
	})
	return list, asAPI(err)
}

// underWay fills in what is known of deployments that have not ended.
func underWay(tx *state.Tx, list []api.HistoryEntry) error {
	for i := range list {
		if list[i].Outcome != "" {
			continue
		}
		d, ok, err := tx.Deployment(list[i].Deployment)
		if err != nil {
			return err
		}
		if ok {
			state.Outcome(&list[i], d)
		}
	}
	return nil
}

// Began is the ID of the last event of the daemons before this one.
func (s *System) Began() uint64 { return s.bus.began }

// Events implements api.Control.
func (s *System) Events(ctx context.Context, since uint64, follow bool, yield func(api.Event) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	err := s.bus.read(ctx, since, follow, yield)
	if errors.Is(err, context.Canceled) {
		return nil // the end of ctx ends following; it is no error
	}
	return asAPI(err)
}

// RPC implements api.Control.
func (s *System) RPC(ctx context.Context, r api.RPCRequest) (api.RPCReply, error) {
	mod, fun, args, err := etf.ParseCall(r.Call)
	if err != nil {
		e := api.Errorf(api.CodeUsage, "%v", err)
		e.Hint = "write the call as Erlang would: lists:seq(1,3)"
		return api.RPCReply{}, e
	}
	peer, err := s.rpcPeer(r.Target)
	if err != nil {
		return api.RPCReply{}, err
	}
	timeout := defaultRPCTimeout
	if r.TimeoutMS > 0 {
		timeout = time.Duration(r.TimeoutMS) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	reply := api.RPCReply{Node: peer.String()}
	value, err := s.cfg.Cluster.Call(ctx, peer, mod, fun, args...)
	var raised *node.CallError
	switch {
	case err == nil:
		reply.Text = etf.Format(value)
	case errors.As(err, &raised):
		reply.Class, reply.Text = raised.Class.String(), etf.Format(raised.Reason)
	case ctx.Err() != nil:
		return reply, timedOut(err, "%s has not answered within %s; it may still be at it", peer, timeout)
	default:
		return reply, asAPI(err)
	}
	return reply, nil
}

// rpcPeer is the node of t, of the first ready instance when t names an app.
func (s *System) rpcPeer(t api.Target) (node.Name, error) {
	recs, err := s.records(t)
	if err != nil {
		return node.Name{}, err
	}
	for _, rec := range recs {
		v, ok := s.board.instance(rec.Name)
		if t.Instance != "" && (v.state == api.StateStopped || v.state == api.StateFailed || v.state == api.StateBackoff) {
			e := api.Errorf(api.CodeRefused, "%s does not run: it is in state %s", rec.Name, v.state)
			e.Hint = fmt.Sprintf("beamkeeper start %s/%s", t.App, rec.Name)
			return node.Name{}, e
		}
		if ok && (t.Instance != "" || v.phase == phaseReady) {
			return s.nodeName(rec.Name), nil
		}
	}
	e := api.Errorf(api.CodeRefused, "no instance of %s is ready", t.App)
	e.Hint = "beamkeeper status " + t.App
	return node.Name{}, e
}

// records are the records of the instances that t names, by slot.
func (s *System) records(t api.Target) (recs []state.Instance, err error) {
	if !s.has(t.App) {
		return nil, s.unknownApp(t.App)
	}
	err = s.cfg.State.View(func(tx *state.Tx) error {
		recs, err = tx.Instances(t.App)
		return err
	})
	if err != nil {
		return nil, asAPI(err)
	}
	slices.SortStableFunc(recs, func(a, b state.Instance) int { return a.Slot - b.Slot })
	if t.Instance == "" {
		return recs, nil
	}
	for _, rec := range recs {
		if rec.Name == t.Instance {
			return []state.Instance{rec}, nil
		}
	}
	return nil, unknownInstance(t)
}
