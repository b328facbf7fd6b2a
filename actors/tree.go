package actors

import (
	"fmt"
	"time"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// A supervisor gives up, and leaves the rest to its own, after so many restarts within so many seconds.
const (
	restartIntensity = 20
	restartPeriod    = 10
)

var permanent = act.SupervisorRestart{Strategy: act.SupervisorStrategyPermanent, Intensity: restartIntensity, Period: restartPeriod}

func (s *System) spawnRoot() error {
	_, err := s.ergo.Ergo().SpawnRegister(rootActor, s.supervisor(rootActor, "", s.rootSpec), gen.ProcessOptions{})
	return err
}

func (s *System) rootSpec() act.SupervisorSpec {
	spec := act.SupervisorSpec{Type: act.SupervisorTypeOneForOne, Restart: permanent, Children: []act.SupervisorChildSpec{
		{Name: eventsActor, Factory: func() gen.ProcessBehavior { return &events{sys: s} }},
		{Name: releasesActor, Factory: func() gen.ProcessBehavior { return &releases{sys: s} }},
	}}
	for _, a := range s.apps() {
		spec.Children = append(spec.Children, act.SupervisorChildSpec{
			Name:    appActor(a.Name),
			Factory: s.supervisor(appActor(a.Name), a.Name, func() act.SupervisorSpec { return s.appSpec(a) }),
		})
	}
	return spec
}

func (s *System) appSpec(a AppSpec) act.SupervisorSpec {
	return act.SupervisorSpec{Type: act.SupervisorTypeOneForOne, Restart: permanent, Children: []act.SupervisorChildSpec{
		{Name: instancesActor(a.Name), Factory: s.supervisor(instancesActor(a.Name), a.Name, func() act.SupervisorSpec { return s.instancesSpec(a) })},
		{Name: managerActor(a.Name), Factory: func() gen.ProcessBehavior { return &manager{sys: s, spec: a} }},
	}}
}

func (s *System) instancesSpec(a AppSpec) act.SupervisorSpec {
	return act.SupervisorSpec{
		Type:     act.SupervisorTypeSimpleOneForOne,
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
	v.sys.begin(v.name, v.app, "")
	if v.name == instancesActor(v.app) {
		v.sys.send(managerActor(v.app), msgWake{}) // which has the actors started that are missing
	}
	return v.spec(), nil
}

func (v *supervisor) HandleMessage(_ gen.PID, message any) error {
	return v.sys.guard(v.name, func() error {
		m, ok := message.(msgStartActor)
		if !ok {
			panic(fmt.Sprintf("message %T to %s", message, v.name))
		}
		if _, err := v.sys.ergo.Ergo().ProcessPID(instanceActor(m.instance)); err == nil {
			return nil
		}
		if err := v.StartChild("instance", m.instance); err != nil {
			v.sys.log.Error("start an actor", "instance", m.instance, "err", err)
		}
		return nil
	})
}

func (v *supervisor) Terminate(reason error) {
	if v.name == rootActor && !v.sys.closing.Load() {
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
	e.sys.begin(eventsActor, "", "")
	e.sys.send(eventsActor, msgFlush{})
	return nil
}

func (e *events) HandleMessage(_ gen.PID, message any) error {
	return e.sys.guard(eventsActor, func() error {
		if _, ok := message.(msgFlush); !ok {
			panic(fmt.Sprintf("message %T to %s", message, eventsActor))
		}
		if err := e.sys.bus.flush(); err != nil {
			e.sys.log.Error("keep events", "err", err)
			e.SendAfter(eventsActor, msgFlush{}, time.Second)
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
	r.sys.begin(releasesActor, "", "")
	r.sys.send(releasesActor, msgChanged{})
	return nil
}

func (r *releases) HandleMessage(_ gen.PID, message any) error {
	return r.sys.guard(releasesActor, func() error {
		if _, ok := message.(msgChanged); !ok {
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
	case c.Err != nil && isBroken(c.Err):
		r.sys.emit(api.Event{Type: api.EventReleaseBroken, Level: "error", App: c.App, Message: c.Err.Error()})
	case c.Err != nil:
		r.sys.log.Info("current.json", "app", c.App, "err", c.Err)
	case c.Mended:
		r.sys.emit(api.Event{Type: api.EventReleaseMended, App: c.App, Version: c.Current.Version,
			Message: c.Current.File + " is whole again"})
	}
	if c.Err != nil || c.ArchiveChanged {
		return
	}
	var seen string
	err := r.sys.cfg.State.View(func(tx *state.Tx) error {
		app, _, err := tx.App(c.App)
		seen = app.Current
		return err
	})
	if err == nil && seen != c.Current.Token {
		r.sys.emit(api.Event{Type: api.EventReleasePublished, App: c.App, Version: c.Current.Version,
			Message: fmt.Sprintf("%s names version %s", c.Current.File, c.Current.Version)})
	}
}
