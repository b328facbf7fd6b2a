package actors

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/node"
)

// instance is the actor of one instance. It brings the OS process to what the instance's record wishes:
//
//	record                    OS process   what it does              status
//	Leaving                   runs         stops it                  stopping
//	                          none         removes all traces, ends  (gone)
//	Restarting                runs         stops it                  stopping
//	                          none         clears Restarting         starting
//	Stopped, Failed           runs         stops it                  stopping
//	                          none         nothing                   stopped, failed
//	none of these             none         starts it, after RetryAt  starting, backoff
//	                          runs         gets it ready, watches    starting, running
//
// It keeps nothing that the record, the registry and the OS do not know, so an actor that is started again goes on.
type instance struct {
	act.Actor
	sys  *System
	spec AppSpec
	name string
	self gen.Atom
	peer node.Name
	ctx  context.Context // ends when this actor's successor begins, or the tree goes down

	rec   state.Instance
	proc  *process.Process // nil: none runs
	chain chain

	main      work      // start, crash, stop or cleanup: one at a time
	attention work      // readying or reconnecting, while the OS process runs
	pause     pause     // the state store cannot be written
	retry     retry     // of a backoff
	hold      time.Time // main work failed: none before then
	rest      time.Time // attention failed: none before then
	note      string
	drained   *bool       // of the stop under way: the instance's ports are free
	pending   *time.Timer // of the timer that ends a backoff
}

// work is a job that is under way; the zero work is none.
type work struct {
	id     uint64
	kind   string
	cancel context.CancelFunc
}

func (w *work) end() {
	if w.cancel != nil {
		w.cancel()
	}
	*w = work{}
}

// Kinds of main work.
const (
	workStart   = "start"
	workCrash   = "crash"
	workStop    = "stop"
	workCleanup = "cleanup"
)

func (a *instance) Init(args ...any) error {
	a.name = args[0].(string)
	a.self = instanceActor(a.name)
	a.sys.dir.claim(a.self, a.PID())
	a.peer = a.sys.nodeName(a.name)
	return nil
}

func (a *instance) Terminate(error) { a.sys.dir.leave(a.self, a.PID()) }

func (a *instance) HandleMessage(_ gen.PID, message any) error {
	if answered(message) {
		return nil
	}
	return a.sys.guard(a.self, func() error {
		if _, resume := message.(msgResume); resume {
			a.reset()
		} else if a.pause.on {
			return nil // what it says is seen when it begins anew
		}
		return a.pause.after(a.handle(message), func(d time.Duration) {
			a.note = "the state cannot be written"
			a.show()
			a.sys.after(d, a.self, msgResume{})
		})
	})
}

func (a *instance) handle(message any) error {
	if spec, ok := a.sys.spec(a.spec.Name); ok {
		limited := spec.Limits != a.spec.Limits
		if a.spec = spec; limited && a.proc != nil {
			a.confine()
		}
	}
	switch m := message.(type) {
	case msgBegin:
		a.sys.begin(a.self, a.spec.Name, a.name)
		if err := a.begin(); err != nil {
			return err
		}
	case msgResume:
		if err := a.begin(); err != nil {
			return err
		}
	case msgWake:
		if err := a.reload(); err != nil {
			return err
		}
	case msgExit:
		a.exited(m.id)
	case msgChain:
		if m.job == a.attention.id {
			a.chain = m.chain
		}
	case msgNode:
		a.reconnect()
	case msgDrained:
		*m.stop = true
	case msgLate:
		if a.proc != nil && a.proc.Identity() == m.id && !a.rec.Ready && !a.rec.Leaving {
			a.late()
		}
	case jobDone:
		switch {
		case m.id == a.main.id:
			kind := a.main.kind
			a.main.end()
			if gone := a.finished(kind, m.result); gone {
				return gen.TerminateReasonNormal
			}
		case m.id == a.attention.id:
			a.attention.end()
			if err := a.attended(m.result); err != nil {
				return err
			}
		default:
			return nil // of an actor before this one, or one that was called off
		}
	default:
		panic(fmt.Sprintf("message %T to %s", message, a.self))
	}
	return a.drive()
}

// reset has the actor know no more than one that was just started. What it had under way ends when it begins.
func (a *instance) reset() {
	a.pause.on = false
	a.proc, a.chain, a.drained, a.note = nil, chain{}, nil, ""
	a.main, a.attention, a.hold, a.rest = work{}, work{}, time.Time{}, time.Time{}
}

// retry is until when an instance waits to be started again.
type retry struct {
	noted time.Time // as its record says
	until time.Time // by the clock that nobody sets
}

// untilRetry is how long the instance still waits to be started again.
func (a *instance) untilRetry() time.Duration {
	now := time.Now()
	if !a.retry.noted.Equal(a.rec.RetryAt) {
		a.retry = retry{noted: a.rec.RetryAt, until: now.Add(remaining(a.rec.RetryAt, now, a.rec.CrashRow))}
	}
	return a.retry.until.Sub(now)
}

// begin finds out where the instance is.
func (a *instance) begin() error {
	a.ctx = a.sys.reg.take(a.sys.ctx, a.name)
	if err := a.reload(); err != nil {
		return err
	}
	a.chain = newChain(time.Now())
	if p := a.sys.reg.process(a.name); p != nil {
		a.proc = p
		a.chain.pass(time.Now(), "")
		if _, ended := p.Exit(); !ended && a.rec.Process != p.Identity() {
			return a.noteUnnoted(p.Identity())
		}
		a.exited(p.Identity())
		return nil
	}
	id := a.rec.Process
	if id.OSPID == 0 {
		return nil
	}
	p, err := process.Adopt(id)
	switch {
	case err == nil:
	case !errors.Is(err, process.ErrGone) && !errors.Is(err, process.ErrNotOurs):
		return err // for want of file descriptors, say: that does not make the instance a dead one
	default:
		a.main = a.crash(id, process.Exit{Code: -1, At: time.Now()}, true)
		return nil
	}
	a.sys.reg.put(a.name, p)
	a.proc = p
	a.chain.pass(time.Now(), "adopted")
	a.sys.log.Info("instance adopted", "app", a.spec.Name, "instance", a.name, "os_pid", id.OSPID)
	a.confine()
	return nil
}

// noteUnnoted notes an OS process that was started when the state could not be written.
func (a *instance) noteUnnoted(id process.Identity) error {
	rec, ok, err := a.sys.recordInstance(a.name, func(r *state.Instance, say func(api.Event)) bool {
		return adoptUnnoted(r, id, say)
	})
	if err == nil && ok {
		a.rec = rec
	}
	return err
}

// adoptUnnoted is the change of a record whose OS process was started and could not be noted then.
func adoptUnnoted(r *state.Instance, id process.Identity, say func(api.Event)) bool {
	r.Process, r.Ready, r.StartedAt = id, false, time.Now().UTC()
	if at, err := id.StartedAt(); err == nil {
		r.StartedAt = at.UTC()
	}
	say(startOf(*r))
	return true
}

// reload reads the record. Its end is the actor's.
func (a *instance) reload() error {
	var ok bool
	err := a.sys.cfg.State.View(func(tx *state.Tx) (err error) {
		a.rec, ok, err = tx.Instance(a.name)
		return err
	})
	if err != nil {
		return err
	}
	if !ok {
		a.forget()
		return gen.TerminateReasonNormal
	}
	return nil
}

// edit changes the record.
func (a *instance) edit(f func(*state.Instance) bool) error {
	rec, ok, err := a.sys.editInstance(a.name, f)
	if err == nil && ok {
		a.rec = rec
	}
	return err
}

// drive begins what there is to do next, and shows where the instance is.
func (a *instance) drive() error {
	if a.proc != nil && a.main.kind == "" && !time.Now().Before(a.hold) {
		if e, ended := a.proc.Exit(); ended {
			a.main = a.crash(a.proc.Identity(), e, false)
		}
	}
	down := a.rec.Leaving || a.rec.Restarting || a.rec.Stopped || a.rec.Failed || a.sys.stoppingAll.Load()
	switch {
	case a.main.kind == workStart && down:
		a.main.cancel() // its end comes back here
	case a.main.kind != "", time.Now().Before(a.hold):
	case down && a.proc != nil:
		a.attention.end()
		a.main = a.stop()
	case a.rec.Leaving:
		a.main = a.cleanup()
	case a.sys.stoppingAll.Load():
	case a.rec.Restarting:
		if err := a.edit(func(r *state.Instance) bool { r.Restarting = false; return true }); err != nil {
			return err
		}
		if !a.rec.Stopped && !a.rec.Failed {
			a.main = a.start()
		}
	case down:
	case a.proc != nil:
		if a.attention.kind == "" && !a.chain.ready() && !time.Now().Before(a.rest) {
			a.attention = a.ready()
		}
	default:
		if a.pending != nil {
			a.pending.Stop()
			a.pending = nil
		}
		if wait := a.untilRetry(); wait > 0 {
			a.pending = a.sys.after(wait, a.self, msgWake{})
			break
		}
		if a.sys.unclaimed.of(a.spec.Name) {
			break // it might have the ports
		}
		a.main = a.start()
	}
	a.show()
	return nil
}

// show puts the instance where others see it, and tells the manager when that matters.
func (a *instance) show() {
	v := instanceView{app: a.spec.Name, chain: a.chain, note: a.note}
	if a.proc == nil && a.main.kind != workStart {
		v.chain = chain{}
	}
	switch {
	case a.main.kind == workStop:
		v.phase, v.state = phaseStarting, api.StateStopping
		v.drained = a.drained != nil && *a.drained
	case a.rec.Failed && a.proc == nil:
		v.phase, v.state = phaseFailed, api.StateFailed
	case (a.rec.Stopped || a.rec.Leaving || a.sys.stoppingAll.Load()) && a.proc == nil:
		v.phase, v.state = phaseStopped, api.StateStopped
	case a.proc != nil && a.rec.Ready && !a.ended():
		v.phase, v.state = phaseReady, api.StateRunning
	case a.proc == nil && a.main.kind == "" && a.untilRetry() > 0:
		v.phase, v.state, v.retry = phaseStarting, api.StateBackoff, a.retry.until
	default:
		v.phase, v.state = phaseStarting, api.StateStarting
	}
	if a.sys.board.show(a.name, v) {
		a.sys.send(managerActor(a.spec.Name), msgWake{})
		a.sys.wakeMesh(a.spec.Name)
	}
}

// finished deals with the end of main work. gone says that nothing is left of the instance.
func (a *instance) finished(kind string, result any) (gone bool) {
	if err, failed := result.(error); failed {
		return a.failed(kind, err)
	}
	switch r := result.(type) {
	case started:
		a.rec, a.proc, a.note = r.rec, r.proc, ""
		a.chain = newChain(r.rec.StartedAt)
		a.chain.pass(time.Now(), "")
		a.sys.after(a.spec.Readiness.Timeout, a.self, msgLate{r.proc.Identity()})
	case crashed:
		a.rec = r.rec
		a.lost()
	case stopped:
		a.rec, a.note = r.rec, ""
		a.lost()
	case cleaned:
		a.forget()
		return true
	}
	return false
}

// lost forgets the OS process, whose end has been dealt with.
func (a *instance) lost() {
	a.attention.end()
	if a.proc != nil {
		a.sys.reg.drop(a.name, a.proc)
		a.proc = nil
	}
	a.chain, a.drained = chain{}, nil
}

// failed deals with main work that could not be done.
func (a *instance) failed(kind string, err error) (gone bool) {
	if a.ctx.Err() != nil {
		return false
	}
	called := errors.Is(err, context.Canceled)
	if !called {
		a.note = err.Error()
		a.sys.log.Error("instance", "app", a.spec.Name, "instance", a.name, "doing", kind, "err", err)
	}
	switch {
	case kind == workStart && !called && ofHost(err):
		a.hold = time.Now().Add(retryWrite)
		a.sys.after(retryWrite, a.self, msgWake{})
	case kind == workStart && !called:
		// What cannot be started is tried again as what crashes at once.
		crash := countCrash(a.spec.CrashLoop, 0, err.Error(), causeOf(err))
		if err := a.edit(crash); err != nil {
			a.sys.log.Error("state", "instance", a.name, "err", err)
		}
		if a.rec.Failed {
			a.giveUp()
		}
	case kind != workStart:
		a.hold = time.Now().Add(time.Second)
		a.sys.after(time.Second, a.self, msgWake{})
	}
	return false
}

// ended says whether the OS process has ended, even if that could not be dealt with yet.
func (a *instance) ended() bool {
	_, ended := a.proc.Exit()
	return ended
}

// forget removes what others see of an instance that is gone.
func (a *instance) forget() {
	a.attention.end()
	a.sys.board.removeInstance(a.name)
	a.sys.board.ended(string(a.self))
	a.sys.reg.forget(a.name)
	a.sys.send(managerActor(a.spec.Name), msgWake{})
	a.sys.wakeMesh(a.spec.Name)
}

// exited is told of the end of an OS process.
func (a *instance) exited(id process.Identity) {
	if a.proc == nil || a.proc.Identity() != id || a.main.kind != "" {
		return // dealt with, or by the work under way
	}
	if e, ended := a.proc.Exit(); ended {
		a.attention.end()
		a.main = a.crash(id, e, false)
	}
}

// log paths of the instance.
func (s *System) logFiles(app, instance string) (stdout, stderr string) {
	base := strings.TrimSuffix(s.cfg.LogDir, "/") + "/" + app + "/" + instance
	return base + "-stdout.log", base + "-stderr.log"
}
