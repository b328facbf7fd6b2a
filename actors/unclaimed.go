package actors

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// unclaimed are the instances that run under our node's name and that the state store does not know: the state folder was
// lost or an older one was restored, or another daemon has our name. They are left alone and offered for adoption. While
// one of an app runs, nothing of the app is started or stopped: it would be in the way, and it serves.
type unclaimed struct {
	mu   sync.Mutex
	list map[string]*stray // by instance
}

// stray is one of them.
type stray struct {
	process.Found
	proc *process.Process
}

// of says whether an app has any.
func (u *unclaimed) of(app string) bool { return len(u.ofApp(app)) > 0 }

// ofApp lists those of an app, or all with an empty app, by name.
func (u *unclaimed) ofApp(app string) []*stray {
	u.mu.Lock()
	defer u.mu.Unlock()
	var list []*stray
	for _, name := range slices.Sorted(maps.Keys(u.list)) {
		if s := u.list[name]; app == "" || s.App == app {
			list = append(list, s)
		}
	}
	return list
}

func (u *unclaimed) add(s *stray) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.list == nil {
		u.list = make(map[string]*stray)
	}
	u.list[s.Instance] = s
}

func (u *unclaimed) remove(s *stray) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.list[s.Instance] == s {
		delete(u.list, s.Instance)
	}
}

// foundUnclaimed notes a running instance that has no record, and forgets it when it ends.
func (s *System) foundUnclaimed(f process.Found) {
	p, err := process.Adopt(f.Identity)
	if err != nil {
		return // it has just ended
	}
	one := &stray{Found: f, proc: p}
	s.unclaimed.add(one)
	s.log.Warn("an instance runs that the state store does not know", "app", f.App, "instance", f.Instance, "os_pid", f.OSPID)
	s.jobs.Go(func() {
		select {
		case <-p.Done():
			s.unclaimed.remove(one)
			s.wakeApp(f.App)
		case <-s.ctx.Done():
		}
		p.Close()
	})
}

// wakeApp has the manager of an app and its instances look again.
func (s *System) wakeApp(app string) {
	s.send(managerActor(app), msgWake{})
	for _, name := range s.board.names() {
		if of, ok := AppOf(name); ok && of == app {
			s.send(instanceActor(name), msgWake{})
		}
	}
}

// heldBack is the answer to what would start or stop instances of an app that has unclaimed ones; nil when it has none.
func (s *System) heldBack(app string) error {
	n := len(s.unclaimed.ofApp(app))
	if n == 0 {
		return nil
	}
	e := api.Errorf(api.CodeRefused, "%d instances of %s run that are not adopted; nothing of it is started or stopped before", n, app)
	e.Hint = "beamkeeper adopt " + app
	return e
}

// unclaimedProblems is one problem for each app that has unclaimed instances.
func (s *System) unclaimedProblems() []api.Problem {
	apps := make(map[string][]*stray)
	for _, one := range s.unclaimed.ofApp("") {
		apps[one.App] = append(apps[one.App], one)
	}
	var list []api.Problem
	for _, app := range slices.Sorted(maps.Keys(apps)) {
		var names, pids []string
		for _, one := range apps[app] {
			names = append(names, fmt.Sprintf("%s (OS pid %d)", one.Instance, one.OSPID))
			pids = append(pids, strconv.Itoa(one.OSPID))
		}
		p := api.Problem{Since: api.Time{Time: s.started.UTC()}}
		p.What = fmt.Sprintf("instances of %s run that the state store does not know: %s. It was lost, or another daemon has this node name. "+
			"They are left alone, and nothing of %s is started or stopped", app, strings.Join(names, ", "), app)
		p.Remedy = fmt.Sprintf("beamkeeper adopt %s; if another daemon runs, give each a node.name of its own; to be rid of them: kill %s",
			app, strings.Join(pids, " "))
		if _, ok := s.configured(app); !ok {
			p.What = fmt.Sprintf("instances of %s run, which neither the configuration nor the state store has: %s. They are left alone", app, strings.Join(names, ", "))
			p.Remedy = fmt.Sprintf("add the app to the configuration, then beamkeeper adopt %s; to be rid of them: kill %s", app, strings.Join(pids, " "))
		}
		list = append(list, p)
	}
	return list
}

// configured is what the configuration says about an app.
func (s *System) configured(app string) (AppSpec, bool) {
	e, ok := s.roster.find(app)
	return e.spec, ok && !e.leaving
}

// Unclaimed implements api.Control.
func (s *System) Unclaimed(context.Context) ([]api.Unclaimed, error) {
	list := []api.Unclaimed{}
	for _, one := range s.unclaimed.ofApp("") {
		u := api.Unclaimed{App: one.App, Instance: one.Instance, OSPID: one.OSPID}
		if at, err := one.StartedAt(); err == nil {
			u.StartedAt = api.Time{Time: at.UTC()}
		}
		list = append(list, u)
	}
	return list, nil
}

// Adopt implements api.Control. It returns what became of each; an error when t names none.
func (s *System) Adopt(ctx context.Context, t api.Target) ([]api.Adopted, error) {
	var wanted []*stray
	for _, one := range s.unclaimed.ofApp(t.App) {
		if t.Instance == "" || one.Instance == t.Instance {
			wanted = append(wanted, one)
		}
	}
	if len(wanted) == 0 {
		e := api.Errorf(api.CodeNotFound, "nothing is offered for adoption")
		if t.App != "" {
			e.Message += " by the name " + t.String()
		}
		e.Hint = "beamkeeper adopt shows what is"
		return nil, e
	}
	recs, errs := make([]state.Instance, len(wanted)), make([]error, len(wanted))
	versions := make(map[string][]string) // by app
	for n, one := range wanted {
		if recs[n], errs[n] = s.describe(ctx, one); errs[n] == nil {
			versions[one.App] = append(versions[one.App], recs[n].Version)
		}
	}
	outcome := make([]api.Adopted, len(wanted))
	for n, one := range wanted {
		err := errs[n]
		if err == nil {
			_, err = command(ctx, s, one.App, func(m *manager) (any, error) { return nil, m.adopt(one, recs[n], versions[one.App]) })
		}
		outcome[n] = api.Adopted{App: one.App, Instance: one.Instance, OSPID: one.OSPID, Version: recs[n].Version}
		if err != nil {
			outcome[n].Error = err.Error()
		}
	}
	return outcome, nil
}

// describe makes the record of one unclaimed instance, from what runs and from its folder.
func (s *System) describe(ctx context.Context, one *stray) (rec state.Instance, err error) {
	spec, ok := s.configured(one.App)
	if !ok {
		return rec, s.unknownApp(one.App)
	}
	if app, ok := AppOf(one.Instance); !ok || app != one.App {
		return rec, fmt.Errorf("its name is not one of an instance of %s", one.App)
	}
	rec = state.Instance{
		Name: one.Instance, App: one.App, Process: one.Identity, Kind: kindAdopted, InHistory: true, CreatedAt: time.Now().UTC(),
	}
	if rec.StartedAt, err = one.StartedAt(); err != nil {
		return rec, err
	}
	rec.StartedAt = rec.StartedAt.UTC()
	if f, err := s.cfg.Releases.Instance(one.App, one.Instance); err == nil && f.Current != nil {
		rec.Version, rec.SHA256 = f.Current.Version, f.Current.SHA256
	} else if rec.Version, err = s.askVersion(ctx, one.Instance); err != nil {
		return rec, fmt.Errorf("its version is not known: its folder %s is gone, and its node does not tell: %w",
			s.cfg.Releases.InstanceDir(one.App, one.Instance), err)
	}
	rec.Ports, err = portsOf(spec, one.Identity)
	return rec, err
}

// kindAdopted is how an instance got its version, as far as is known.
const kindAdopted = "adopted"

// portsOf reads an instance's ports from the environment of its OS process.
func portsOf(spec AppSpec, id process.Identity) (map[string]int, error) {
	value, err := process.Environment(id)
	if err != nil {
		return nil, err
	}
	ports := make(map[string]int)
	for _, p := range spec.Ports {
		if n, err := strconv.Atoi(value(p.Key)); err == nil {
			ports[p.Key] = n
		}
	}
	return ports, nil
}

// askVersion asks a node for the version of the release that it has booted.
//
// Spec: https://www.erlang.org/doc/apps/erts/init.html#script_id/0
func (s *System) askVersion(ctx context.Context, instance string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	peer := s.nodeName(instance)
	if err := s.cfg.Cluster.Connect(ctx, peer); err != nil {
		return "", err
	}
	t, err := s.cfg.Cluster.Call(ctx, peer, "init", "script_id")
	if err != nil {
		return "", err
	}
	id, _ := t.(etf.Tuple)
	if len(id) == 2 {
		if version, ok := etf.Text(id[1]); ok && version != "" {
			return version, nil
		}
	}
	return "", fmt.Errorf("init:script_id() is %s", short(etf.Format(t)))
}

// adopt writes the record of an instance. What runs is not replaced by that: its version becomes the wished one, unless
// the wished one is among the versions that are adopted or runs already. The next current.json is followed again.
func (m *manager) adopt(one *stray, rec state.Instance, versions []string) error {
	now := time.Now()
	err := m.sys.record(func(tx *state.Tx, say func(api.Event)) error {
		if _, there, err := tx.Instance(rec.Name); err != nil || there {
			return err // by a command before this one
		}
		others, err := tx.Instances(rec.App)
		if err != nil {
			return err
		}
		app, _, err := tx.App(rec.App)
		if err != nil {
			return err
		}
		app.Name, rec.Restart = rec.App, app.Restart
		rec.Slot = m.slotOf(rec, others)
		reached := state.Release{Version: rec.Version, SHA256: rec.SHA256}
		if app.Settled.Version == "" {
			app.Settled = reached
		}
		if !slices.Contains(versions, app.Wish.Version) && !slices.ContainsFunc(others, func(o state.Instance) bool {
			return o.Version == app.Wish.Version && o.Process.OSPID != 0 && !o.Leaving
		}) {
			app.Wish, app.Source, app.At = reached, state.SourceOperator, now.UTC()
			app.Settled, app.Failed, app.Halted = reached, "", ""
		}
		say(api.Event{
			Type: api.EventInstanceAdopted, Level: "warning", App: rec.App, Instance: rec.Name, Version: rec.Version,
			Message: fmt.Sprintf("%s, OS pid %d, was adopted, as an operator asked", rec.Name, rec.Process.OSPID),
			Data:    map[string]any{"os_pid": rec.Process.OSPID, "slot": rec.Slot},
		})
		h := api.HistoryEntry{At: api.Time{Time: now.UTC()}, Version: rec.Version, Instance: rec.Name, Kind: kindAdopted}
		for _, err := range []error{tx.PutInstance(rec), tx.PutApp(app), tx.AddHistory(rec.App, h)} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.sys.unclaimed.remove(one)
	m.sys.send(instancesActor(rec.App), msgStartActor{rec.Name})
	m.sys.wakeApp(rec.App)
	return nil
}

// slotOf is the slot whose ports an instance has, or else the lowest one that no other has.
func (m *manager) slotOf(rec state.Instance, others []state.Instance) int {
	for _, p := range m.spec.Ports {
		if slot := rec.Ports[p.Key] - p.Base; slot >= 0 && slot <= api.MaxReplicas {
			return slot
		}
	}
	for slot := 0; ; slot++ {
		if !slices.ContainsFunc(others, func(o state.Instance) bool { return o.Slot == slot }) {
			return slot
		}
	}
}
