package actors

import (
	"context"
	"errors"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/probe"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// SaidReady notes that the instance says it is ready, for the probe that waits for its word. It is kept over restarts
// of the daemon and counts for the OS process that runs now. Error: CodeNotFound.
func (s *System) SaidReady(_ context.Context, t api.Target) error {
	if !s.has(t.App) {
		return s.unknownApp(t.App)
	}
	known := false
	_, _, err := s.editInstance(t.Instance, func(r *state.Instance) bool {
		known = r.App == t.App && r.Process != (process.Identity{})
		if !known || r.SaidReady == r.Process {
			return false
		}
		r.SaidReady = r.Process
		return true
	})
	if err == nil && !known {
		return unknownInstance(t)
	}
	return asAPI(err)
}

// LastEvent is the highest ID that an event has been given.
func (s *System) LastEvent() uint64 {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	return s.bus.last
}

// wordProbe passes when the instance has said that it is ready.
type wordProbe struct {
	sys      *System
	instance string
}

var _ probe.Probe = wordProbe{}

func (p wordProbe) String() string { return "api beamkeeper:ready/0" }

// Probe implements probe.Probe.
func (p wordProbe) Probe(context.Context) error {
	said := false
	err := p.sys.cfg.State.View(func(tx *state.Tx) error {
		rec, _, err := tx.Instance(p.instance)
		said = rec.Process != (process.Identity{}) && rec.SaidReady == rec.Process
		return err
	})
	if err == nil && !said {
		err = errors.New("it has not called beamkeeper:ready/0 yet")
	}
	return err
}
