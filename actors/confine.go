package actors

import (
	"context"
	"errors"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// placeTimeout bounds one call of a Confinement, so that a service manager that hangs delays an instance and no more.
const placeTimeout = 10 * time.Second

// Limits are what an instance may use. 0: no limit.
type Limits struct {
	MemoryMax  uint64 // bytes; above it the kernel kills
	MemoryHigh uint64 // bytes; above it the kernel slows down and reclaims
	CPUQuota   int    // percent of one core
	TasksMax   uint64 // processes and threads
}

// told is the limits for people; nil: there are none.
func (l Limits) told() *api.Limits {
	if l == (Limits{}) {
		return nil
	}
	return &api.Limits{MemoryMaxBytes: l.MemoryMax, MemoryHighBytes: l.MemoryHigh, CPUQuotaPercent: l.CPUQuota, TasksMax: l.TasksMax}
}

// Placement is an instance whose OS process runs.
type Placement struct {
	App, Instance, Version string
	Process                process.Identity
	Limits                 Limits
}

// Confinement gives the processes of each instance a place of their own (a scope of systemd, a cgroup), where its limits
// hold. Its methods are called by several goroutines, for one instance by one at a time.
type Confinement interface {
	// Place moves all processes of an instance there and sets its limits. It is called right after the start of the OS
	// process, when the instance has been adopted and when it is ready: what is right already is left as it is.
	// An error is logged; the instance runs on where it is.
	Place(ctx context.Context, p Placement) error
	// OOMKills is how many processes of the instance the kernel has killed for want of memory since it was placed.
	OOMKills(instance string) int
	// Leave is called when the instance's processes have ended: nothing of its place is left behind.
	Leave(ctx context.Context, instance string) error
}

// place puts a running instance where it belongs.
func (s *System) place(ctx context.Context, rec state.Instance, limits Limits) {
	if s.cfg.Confinement == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, placeTimeout)
	defer cancel()
	err := s.cfg.Confinement.Place(ctx, Placement{App: rec.App, Instance: rec.Name, Version: rec.Version, Process: rec.Process, Limits: limits})
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, process.ErrGone) {
		s.log.Warn("the instance has no place of its own", "app", rec.App, "instance", rec.Name, "err", err)
	}
}

// confine is place, beside what the actor does.
func (a *instance) confine() {
	ctx, s, rec, limits := a.ctx, a.sys, a.rec, a.spec.Limits
	s.jobs.Go(func() {
		s.confining.Lock() // one after the other: it reads all of /proc, and many may be taken over at once
		defer s.confining.Unlock()
		if spec, ok := s.spec(rec.App); ok {
			limits = spec.Limits // they may have been changed while others were at it
		}
		s.place(ctx, rec, limits)
	})
}

// leavePlace removes the place of an instance whose processes have ended.
func (s *System) leavePlace(ctx context.Context, app, instance string) {
	if s.cfg.Confinement == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, placeTimeout)
	defer cancel()
	if err := s.cfg.Confinement.Leave(ctx, instance); err != nil && !errors.Is(err, context.Canceled) {
		s.log.Warn("the place of the instance is not removed", "app", app, "instance", instance, "err", err)
	}
}

// oomKills is how many processes of the instance the kernel has killed for want of memory.
func (s *System) oomKills(instance string) int {
	if s.cfg.Confinement == nil {
		return 0
	}
	return s.cfg.Confinement.OOMKills(instance)
}
