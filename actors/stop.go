package actors

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/node"
)

const (
	initStopTimeout = 3 * time.Second // of the call of init:stop/0, which returns at once
	termTimeout     = 5 * time.Second // from SIGTERM to SIGKILL
	killTimeout     = 10 * time.Second
)

// stopping ends one OS process: init:stop by rpc, SIGTERM, then SIGKILL of everything that belongs to the instance. It
// knows no actor and no state store.
type stopping struct {
	cluster interface {
		caller
		Connected(peer node.Name) bool
	}
	peer    node.Name
	timeout time.Duration // how long init:stop may take
	done    <-chan struct{}
	signal  func(syscall.Signal) error
	killAll func(context.Context) error // ends what is left, the process included
	asked   func()                      // told that the node has taken init:stop
	dumping func() bool                 // the process writes its crash dump, then ends by itself; nil: never
	grace   time.Duration               // how long that may take
	report  func(stopStep)
}

// stopStep is one step of stopping.
type stopStep struct {
	Name  string    `json:"name"` // init_stop, sigterm, sigkill
	At    time.Time `json:"at"`
	Took  int64     `json:"took_ms"`
	Error string    `json:"error,omitempty"`
}

// run returns when nothing of the instance is left, or with the reason why something is.
func (s stopping) run(ctx context.Context) error {
	ended := s.try(ctx, "init_stop", s.timeout, func(ctx context.Context) error {
		if !s.cluster.Connected(s.peer) {
			return errors.New("not connected")
		}
		call, cancel := context.WithTimeout(ctx, min(initStopTimeout, s.timeout))
		defer cancel()
		_, err := s.cluster.Call(call, s.peer, "init", "stop")
		switch {
		case err == nil:
			s.asked()
		case call.Err() != nil && ctx.Err() == nil:
			return nil // it was sent: a busy node may still hear it
		}
		return err
	}) || s.try(ctx, "sigterm", termTimeout, func(context.Context) error { return s.signal(syscall.SIGTERM) })
	if err := ctx.Err(); err != nil && !ended {
		return err
	}
	begun := time.Now()
	kill, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	err := s.killAll(kill) // also after a stop that went well: port programs may be left
	if !ended || err != nil {
		s.note("sigkill", begun, err)
	}
	return err
}

// try does one step and waits for the process to end. What could not even be done is not waited for.
func (s stopping) try(ctx context.Context, name string, timeout time.Duration, do func(context.Context) error) (ended bool) {
	if ctx.Err() != nil {
		return false
	}
	begun := time.Now()
	err := do(ctx)
	rest := timeout - time.Since(begun)
	if err != nil {
		// The link may go down with the node before the answer is here.
		rest = min(timeout, 200*time.Millisecond)
	}
	if s.wait(ctx, rest) || s.dumping != nil && ctx.Err() == nil && s.waitDump(ctx) {
		s.note(name, begun, nil)
		return true
	}
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case err == nil:
		err = fmt.Errorf("still running after %s", timeout)
	}
	s.note(name, begun, err)
	return false
}

// wait waits for the process to end.
func (s stopping) wait(ctx context.Context, d time.Duration) (ended bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.done:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

// waitDump waits while the process writes its crash dump: it hears nothing meanwhile, and ends when it is done.
func (s stopping) waitDump(ctx context.Context) (ended bool) {
	for begun := time.Now(); s.dumping() && time.Since(begun) < s.grace && ctx.Err() == nil; {
		if s.wait(ctx, 100*time.Millisecond) {
			return true
		}
	}
	return s.wait(ctx, 0)
}

func (s stopping) note(name string, begun time.Time, err error) {
	step := stopStep{Name: name, At: begun.UTC(), Took: time.Since(begun).Milliseconds()}
	if err != nil {
		step.Error = err.Error()
	}
	s.report(step)
}

// stopped is the result of stop work.
type stopped struct{ rec state.Instance }

// stop begins to stop the OS process.
func (a *instance) stop() work {
	ctx, cancel := context.WithCancel(a.ctx)
	s, p, rec, spec := a.sys, a.proc, a.rec, a.spec
	var steps []stopStep
	drained := new(bool)
	a.drained = drained
	w := stopping{
		cluster: s.cfg.Cluster, peer: a.peer, timeout: a.spec.Stop, done: p.Done(), signal: p.Signal,
		killAll: func(ctx context.Context) error { return process.KillAll(ctx, p.Identity()) },
		dumping: func() bool { return s.dumping(rec, p.Identity()) }, grace: dumpGrace(a.spec),
		report: func(st stopStep) {
			steps = append(steps, st)
			s.log.Info("stopping", "app", rec.App, "instance", rec.Name, "step", st.Name, "took_ms", st.Took, "err", st.Error)
		},
	}
	id := s.job(ctx, a.self, func(ctx context.Context) any {
		s.stopHooks(ctx, spec, stepBeforeStop, rec)
		begun := time.Now()
		w.asked = func() {
			s.jobs.Go(func() {
				if portsFree(ctx, rec.Ports) {
					s.send(a.self, msgDrained{drained})
				}
			})
		}
		if err := w.run(ctx); err != nil {
			return err
		}
		s.leavePlace(ctx, rec.App, rec.Name)
		data := map[string]any{"took_ms": time.Since(begun).Milliseconds(), "steps": steps, "os_pid": p.Identity().OSPID}
		note := ""
		if d, ok := s.collectDump(rec); ok {
			dumpData(data, d)
			note = dumpNote(d)
		}
		now, ok, err := s.recordInstance(rec.Name, func(r *state.Instance, say func(api.Event)) bool {
			if r.Process != p.Identity() {
				return false
			}
			say(api.Event{
				Type: api.EventInstanceStopped, App: rec.App, Instance: rec.Name, Version: rec.Version,
				Message: fmt.Sprintf("%s stopped after %d ms (%s)", rec.Name, time.Since(begun).Milliseconds(), describeSteps(steps)) + note,
				Data:    data,
			})
			r.Process, r.Ready, r.CrashRow, r.RetryAt, r.LastError, r.Cause = process.Identity{}, false, 0, time.Time{}, "", ""
			return true
		})
		if err = errors.Join(err, missing(ok, rec.Name)); err != nil {
			return err
		}
		s.stopHooks(ctx, spec, stepAfterStop, rec)
		return stopped{now}
	})
	return work{id: id, kind: workStop, cancel: cancel}
}

// portsFree waits until nobody holds the ports; false when ctx ends before.
//
// kernel, the last application to stop, takes a second for its user process (OTP 25 to 29). Whatever served the
// instance's ports has ended by then, and the next instance need not wait for the rest.
func portsFree(ctx context.Context, ports map[string]int) bool {
	for _, port := range ports {
		for !portFree(port) {
			if sleep(ctx, 20*time.Millisecond) != nil {
				return false
			}
		}
	}
	return true
}

func portFree(port int) bool {
	addr := fmt.Sprintf(":%d", port)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	l.Close()
	p, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	p.Close()
	return true
}

func describeSteps(steps []stopStep) string {
	words := make([]string, len(steps))
	for i, s := range steps {
		words[i] = s.Name
		if s.Error != "" {
			words[i] += ": " + s.Error
		}
	}
	return strings.Join(words, ", then ")
}

// cleaned is the result of cleanup work.
type cleaned struct{}

// cleanup begins to remove what is left of an instance that has left. Its log files stay, as long as the policy of the
// app lets them.
func (a *instance) cleanup() work {
	ctx, cancel := context.WithCancel(a.ctx)
	s, rec, peer := a.sys, a.rec, a.peer
	id := s.job(ctx, a.self, func(ctx context.Context) any {
		s.cfg.Cluster.Disconnect(peer)
		s.leavePlace(ctx, rec.App, rec.Name)
		if err := s.retire(peer); err != nil {
			return err
		}
		if err := s.cfg.Releases.RemoveInstance(rec.App, rec.Name); err != nil {
			return err
		}
		err := s.cfg.State.Update(func(tx *state.Tx) error { return tx.DeleteInstance(rec.Name) })
		if err != nil {
			return err
		}
		return cleaned{}
	})
	return work{id: id, kind: workCleanup, cancel: cancel}
}
