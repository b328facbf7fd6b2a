package actors

import (
	"context"
	"fmt"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/applog"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// logTail is how many lines of an instance's log go with a crash and with a failed deployment.
const logTail = 50

// crashed is the result of crash work.
type crashed struct{ rec state.Instance }

// crash begins to deal with the end of an OS process that nobody asked for. An exit with code 0 is one too. away says
// that it happened while no daemon was there to see it.
func (a *instance) crash(id process.Identity, e process.Exit, away bool) work {
	ctx, cancel := context.WithCancel(a.ctx)
	loop := a.spec.CrashLoop
	rec, count := a.rec, func(ran time.Duration, why string, cause state.Cause) func(*state.Instance) bool {
		return countCrash(loop, ran, why, cause)
	}
	jobID := a.sys.job(ctx, a.self, func(ctx context.Context) any {
		c, err := a.sys.instanceCrashed(ctx, rec, id, e, away, count)
		if err != nil {
			return err
		}
		return c
	})
	return work{id: jobID, kind: workCrash, cancel: cancel}
}

// countCrash returns the change of the record that a crash makes. What ran for no time could not even be started.
func countCrash(loop CrashLoop, ran time.Duration, why string, cause state.Cause) func(*state.Instance) bool {
	return func(r *state.Instance) bool {
		now := time.Now()
		r.CrashRow = crashRow(r.CrashRow, ran)
		r.Crashes = withinWindow(r.Crashes, now.UTC(), loop.Window)
		r.LastError, r.Cause, r.RetryAt = why, cause, time.Time{}
		if looping(r.Crashes, loop.Limit) {
			r.Failed = true
		} else if delay := restartDelay(r.CrashRow, jitter); delay > 0 {
			r.RetryAt = now.Add(delay).UTC()
		}
		return true
	}
}

func (s *System) instanceCrashed(ctx context.Context, rec state.Instance, id process.Identity, e process.Exit, away bool,
	count func(time.Duration, string, state.Cause) func(*state.Instance) bool,
) (crashed, error) {
	stdout, stderr := s.logFiles(rec.App, rec.Name)
	found := examine(rec, id, e, away, stdout, stderr, s.dumpPath(rec))
	slogan := applog.CrashSlogan(found.started, s.dumpPath(rec), rec.Logs...)
	dump, dumped := s.collectDump(rec)
	tail := tailOf(stdout, stderr)
	why := found.String()
	oom := s.oomKills(rec.Name)
	if oom > 0 && !found.oom {
		why += ", killed for want of memory"
	}
	if slogan != "" {
		why += ": " + short(slogan)
	}
	// Port programs outlive a BEAM that was killed; the next one would meet them.
	sweep, cancel := context.WithTimeout(ctx, killTimeout)
	if err := process.KillAll(sweep, id); err != nil && ctx.Err() == nil {
		s.log.Warn("left over from a crash", "app", rec.App, "instance", rec.Name, "err", err)
	}
	cancel()
	s.leavePlace(ctx, rec.App, rec.Name)
	data := map[string]any{"ran_ms": found.ran().Milliseconds(), "log": tail, "os_pid": id.OSPID}
	if found.exit.Known && found.exit.Signal != 0 {
		data["signal"] = int(found.exit.Signal)
	} else if found.exit.Known {
		data["exit_code"] = found.exit.Code
	}
	if !found.last.IsZero() {
		data["last_heard_of"] = found.last.UTC()
	}
	if found.oom {
		data["out_of_memory"] = true
	}
	if slogan != "" {
		data["slogan"] = slogan
	}
	if dumped {
		dumpData(data, dump)
	}
	if oom > 0 {
		data["oom_kills"] = oom
	}
	now, _, err := s.recordInstance(rec.Name, func(r *state.Instance, say func(api.Event)) bool {
		if r.Process != id {
			return false // dealt with by an actor before this one
		}
		r.Process, r.Ready = process.Identity{}, false
		if r.Leaving || r.Stopped || r.Restarting {
			say(api.Event{
				Type: api.EventInstanceStopped, App: r.App, Instance: r.Name, Version: r.Version,
				Message: fmt.Sprintf("%s stopped (%s)", r.Name, why), Data: map[string]any{"os_pid": id.OSPID},
			})
			return true
		}
		r.CrashRestarts++
		cause := state.Cause("")
		if oom > 0 || found.oom {
			cause = state.CauseHost
		}
		count(found.ran(), why, cause)(r)
		s.sayCrash(*r, why, data, say)
		return true
	})
	return crashed{now}, err
}

// sayCrash tells of a crash, and of what follows from it.
func (s *System) sayCrash(now state.Instance, why string, data map[string]any, say func(api.Event)) {
	next := "starting it again at once"
	switch {
	case now.Failed:
		next = "not starting it again"
	case !now.RetryAt.IsZero():
		wait := time.Until(now.RetryAt)
		data["restart_in_ms"] = wait.Milliseconds()
		next = fmt.Sprintf("starting it again in %.1f s", wait.Seconds())
	}
	say(api.Event{
		Type: api.EventCrashRestart, Level: "warning", App: now.App, Instance: now.Name, Version: now.Version,
		Message: fmt.Sprintf("%s crashed: %s; %s", now.Name, why, next), Data: data,
	})
	if now.Failed {
		spec, _ := s.spec(now.App)
		say(api.Event{
			Type: api.EventInstanceFailed, Level: "error", App: now.App, Instance: now.Name, Version: now.Version,
			Message: fmt.Sprintf("%s crashed %d times within %s and is given up", now.Name, len(now.Crashes), spec.CrashLoop.Window),
			Data:    map[string]any{"crashes": len(now.Crashes), "remedy": "beamkeeper start " + now.App + "/" + now.Name},
		})
	}
}

// tailOf returns the last lines of an instance's two log files, those of stderr last: there a BEAM says why it ends.
func tailOf(stdout, stderr string) []string {
	errs, _ := applog.Tail(stderr, logTail/2) // a file that cannot be read has no lines to show
	outs, _ := applog.Tail(stdout, logTail-len(errs))
	return append(outs, errs...)
}

// giveUp tells that an instance which cannot be started will not be tried any more.
func (a *instance) giveUp() {
	a.sys.emit(api.Event{
		Type: api.EventInstanceFailed, Level: "error", App: a.rec.App, Instance: a.name, Version: a.rec.Version,
		Message: fmt.Sprintf("%s could not be started %d times within %s and is given up: %s", a.name, len(a.rec.Crashes), a.spec.CrashLoop.Window, a.rec.LastError),
	})
}
