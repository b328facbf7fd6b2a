package actors

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// A supervisor gives up, and leaves the rest to its own, after so many restarts within so many seconds.
const (
	restartIntensity = 20
	restartPeriod    = 10
)

var permanent = act.SupervisorRestart{Strategy: act.SupervisorStrategyPermanent, Intensity: restartIntensity, Period: restartPeriod}

func (s *System) spawnRoot() error {
	pid, err := s.ergo.Ergo().Spawn(s.supervisor(rootActor, "", s.rootSpec), gen.ProcessOptions{})
	if err == nil {
		s.opened(pid)
	}
	return err
}

// opened makes an actor known whose spawn is done, and has it begin.
func (s *System) opened(pid gen.PID) {
	if name, ok := s.dir.open(pid); ok {
		s.send(name, msgBegin{})
	}
}

func (s *System) rootSpec() act.SupervisorSpec {
	spec := act.SupervisorSpec{Type: act.SupervisorTypeOneForOne, Restart: permanent, EnableHandleChild: true, Children: []act.SupervisorChildSpec{
		{Name: eventsActor, Factory: func() gen.ProcessBehavior { return &events{sys: s} }},
		{Name: releasesActor, Factory: func() gen.ProcessBehavior { return &releases{sys: s} }},
	}}
	for _, a := range s.apps() {
		spec.Children = append(spec.Children, s.appChild(a))
	}
	return spec
}

// haveApps starts the supervisors of apps that have come and ends those of apps that are gone.
func (v *supervisor) haveApps() {
	s := v.sys
	disabled := make(map[gen.Atom]bool)
	for _, c := range v.Children() {
		disabled[c.Spec] = c.Disabled
	}
	later := func(name gen.Atom, err error) {
		s.log.Debug("the tree is busy", "actor", string(name), "err", err)
		s.after(20*time.Millisecond, rootActor, msgApps{})
	}
	there := make(map[gen.Atom]bool)
	for _, a := range s.apps() {
		name := appActor(a.Name)
		there[name] = true
		off, known := disabled[name]
		var err error
		switch {
		case known && !off:
		case s.dir.taken(name) || s.dir.taken(managerActor(a.Name)) || s.dir.taken(instancesActor(a.Name)):
			err = errors.New("the actors of the app that was removed have not all ended")
		case known:
			err = v.EnableChild(name)
		default:
			err = v.AddChild(s.appChild(a))
		}
		if err != nil {
			later(name, err)
		}
	}
	for name, off := range disabled {
		app, isApp := strings.CutPrefix(string(name), string(appActor("")))
		if !isApp || off || there[name] {
			continue
		}
		if err := v.DisableChild(name); err != nil {
			later(name, err)
			continue
		}
		for _, actor := range []gen.Atom{name, managerActor(app), instancesActor(app)} {
			s.board.ended(string(actor))
		}
	}
}

func (s *System) appChild(a AppSpec) act.SupervisorChildSpec {
	return act.SupervisorChildSpec{
		Name:    appActor(a.Name),
		Factory: s.supervisor(appActor(a.Name), a.Name, func() act.SupervisorSpec { return s.appSpec(a) }),
	}
}

func (s *System) appSpec(a AppSpec) act.SupervisorSpec {
	return act.SupervisorSpec{Type: act.SupervisorTypeOneForOne, Restart: permanent, EnableHandleChild: true, Children: []act.SupervisorChildSpec{
		{Name: instancesActor(a.Name), Factory: s.supervisor(instancesActor(a.Name), a.Name, func() act.SupervisorSpec { return s.instancesSpec(a) })},
		{Name: managerActor(a.Name), Factory: func() gen.ProcessBehavior { return &manager{sys: s, spec: a} }},
	}}
}

func (s *System) instancesSpec(a AppSpec) act.SupervisorSpec {
	return act.SupervisorSpec{
		Type: act.SupervisorTypeSimpleOneForOne, EnableHandleChild: true,
		Restart:  act.SupervisorRestart{Strategy: act.SupervisorStrategyTransient, Intensity: restartIntensity, Period: restartPeriod},
		Children: []act.SupervisorChildSpec{{Name: "instance", Factory: func() gen.ProcessBehavior { return &instance{sys: s, spec: a} }}},
	}
}

// supervisor is a supervisor of the tree. The one of an app's instances starts actors on request.
type supervisor struct {
	act.Supervisor
	sys  *System
	name gen.Atom
	app  string
	spec func() act.SupervisorSpec
}

func (s *System) supervisor(name gen.Atom, app string, spec func() act.SupervisorSpec) gen.ProcessFactory {
	return func() gen.ProcessBehavior { return &supervisor{sys: s, name: name, app: app, spec: spec} }
}

func (v *supervisor) Init(...any) (act.SupervisorSpec, error) {
	v.sys.dir.claim(v.name, v.PID())
	return v.spec(), nil
}

func (v *supervisor) HandleChildStart(_ gen.Atom, pid gen.PID) error {
	v.sys.opened(pid)
	return nil
}

func (v *supervisor) HandleChildTerminate(gen.Atom, gen.PID, error) error { return nil }

func (v *supervisor) HandleMessage(_ gen.PID, message any) error {
	if answered(message) {
		return nil
	}
	return v.sys.guard(v.name, func() error {
		switch m := message.(type) {
		case msgBegin:
			v.sys.begin(v.name, v.app, "")
			if v.name == instancesActor(v.app) {
				v.sys.send(managerActor(v.app), msgWake{}) // which has the actors started that are missing
			}
			if v.name == rootActor {
				v.haveApps()
			}
		case msgApps:
			v.haveApps()
		case msgStartActor:
			if v.sys.dir.taken(instanceActor(m.instance)) {
				return nil
			}
			if err := v.StartChild("instance", m.instance); err != nil {
				v.sys.log.Error("start an actor", "instance", m.instance, "err", err)
			}
		default:
			panic(fmt.Sprintf("message %T to %s", message, v.name))
		}
		return nil
	})
}

func (v *supervisor) Terminate(error) {
	v.sys.dir.leave(v.name, v.PID())
	if v.name == rootActor && v.sys.ctx.Err() == nil {
		select {
		case v.sys.rootEnded <- struct{}{}:
		default:
		}
	}
}

// events keeps what the bus has queued.
type events struct {
	act.Actor
	sys *System
}

func (e *events) Init(...any) error {
	e.sys.dir.claim(eventsActor, e.PID())
	return nil
}

func (e *events) Terminate(error) { e.sys.dir.leave(eventsActor, e.PID()) }

func (e *events) HandleMessage(_ gen.PID, message any) error {
	if answered(message) {
		return nil
	}
	return e.sys.guard(eventsActor, func() error {
		switch message.(type) {
		case msgBegin:
			e.sys.begin(eventsActor, "", "")
		case msgFlush:
		default:
			panic(fmt.Sprintf("message %T to %s", message, eventsActor))
		}
		if err := e.sys.bus.flush(); err != nil {
			e.sys.log.Error("keep events", "err", err)
			e.sys.after(time.Second, eventsActor, msgFlush{})
		}
		return nil
	})
}

// releases hears of changed current.json files and passes them on to the managers.
type releases struct {
	act.Actor
	sys *System
}

func (r *releases) Init(...any) error {
	r.sys.dir.claim(releasesActor, r.PID())
	return nil
}

func (r *releases) Terminate(error) { r.sys.dir.leave(releasesActor, r.PID()) }

func (r *releases) HandleMessage(_ gen.PID, message any) error {
	if answered(message) {
		return nil
	}
	return r.sys.guard(releasesActor, func() error {
		switch message.(type) {
		case msgBegin:
			r.sys.begin(releasesActor, "", "")
		case msgChanged:
		default:
			panic(fmt.Sprintf("message %T to %s", message, releasesActor))
		}
		for _, c := range r.sys.board.untold() {
			r.tell(c)
			r.sys.send(managerActor(c.App), msgChanged{})
		}
		return nil
	})
}

func (r *releases) tell(c change) {
	switch {
	case c.Err != nil && isRefused(c.Err):
		r.sys.emit(api.Event{Type: api.EventReleaseRefused, Level: "error", App: c.App, Message: c.Err.Error()})
	case c.Err != nil && isBroken(c.Err):
		r.sys.emit(api.Event{Type: api.EventReleaseBroken, Level: "error", App: c.App, Message: c.Err.Error()})
	case c.Err != nil:
		r.sys.log.Info("current.json", "app", c.App, "err", c.Err)
	case c.Mended:
		r.sys.emit(api.Event{Type: api.EventReleaseMended, App: c.App, Version: c.Current.Version,
			Message: c.Current.File + " is whole again"})
	}
}
