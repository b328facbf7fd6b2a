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
	rec, count := a.rec, func(started time.Time, why string) func(*state.Instance) bool { return countCrash(loop, started, why) }
	jobID := a.sys.job(ctx, a.self, func(ctx context.Context) any {
		c, err := a.sys.instanceCrashed(ctx, rec, id, e, away, count)
		if err != nil {
			return err
		}
		return c
	})
	return work{id: jobID, kind: workCrash, cancel: cancel}
}

// countCrash returns the change of the record that a crash makes. The zero started is for an OS process that could not
// even be started.
func countCrash(loop CrashLoop, started time.Time, why string) func(*state.Instance) bool {
	return func(r *state.Instance) bool {
		now := time.Now()
		var ran time.Duration
		if !started.IsZero() {
			ran = now.Sub(started)
		}
		r.CrashRow = crashRow(r.CrashRow, ran)
		r.Crashes = withinWindow(r.Crashes, now.UTC(), loop.Window)
		r.LastError, r.RetryAt = why, time.Time{}
		if looping(r.Crashes, loop.Limit) {
			r.Failed = true
		} else if delay := restartDelay(r.CrashRow, jitter); delay > 0 {
			r.RetryAt = now.Add(delay).UTC()
		}
		return true
	}
}

func (s *System) instanceCrashed(ctx context.Context, rec state.Instance, id process.Identity, e process.Exit, away bool,
	count func(time.Time, string) func(*state.Instance) bool,
) (crashed, error) {
	stdout, stderr := s.logFiles(rec.App, rec.Name)
	slogan := applog.CrashSlogan(rec.StartedAt, s.dumpPath(rec), rec.Logs...)
	dump, dumped := s.collectDump(rec)
	tail := tailOf(stdout, stderr)
	why := e.String()
	if away {
		why = "ended while the daemon was down"
	}
	oom := s.oomKills(rec.Name)
	if oom > 0 {
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
	counted := false
	now, ok, err := s.editInstance(rec.Name, func(r *state.Instance) bool {
		if r.Process != id {
			return false // dealt with by an actor before this one
		}
		r.Process, r.Ready = process.Identity{}, false
		if r.Leaving || r.Stopped {
			return true
		}
		counted = true
		r.CrashRestarts++
		return count(r.StartedAt, why)(r)
	})
	if err != nil {
		return crashed{}, err
	}
	if !ok || !counted {
		return crashed{now}, nil
	}
	data := map[string]any{"ran_ms": time.Since(rec.StartedAt).Milliseconds(), "log": tail, "os_pid": id.OSPID}
	if e.Known && e.Signal != 0 {
		data["signal"] = int(e.Signal)
	} else if e.Known {
		data["exit_code"] = e.Code
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
	next := "starting it again at once"
	switch {
	case now.Failed:
		next = "not starting it again"
	case !now.RetryAt.IsZero():
		wait := time.Until(now.RetryAt)
		data["restart_in_ms"] = wait.Milliseconds()
		next = fmt.Sprintf("starting it again in %.1f s", wait.Seconds())
	}
	s.emit(api.Event{
		Type: api.EventCrashRestart, Level: "warning", App: rec.App, Instance: rec.Name, Version: rec.Version,
		Message: fmt.Sprintf("%s crashed: %s; %s", rec.Name, why, next), Data: data,
	})
	if now.Failed {
		spec, _ := s.spec(rec.App)
		s.emit(api.Event{
			Type: api.EventInstanceFailed, Level: "error", App: rec.App, Instance: rec.Name, Version: rec.Version,
			Message: fmt.Sprintf("%s crashed %d times within %s and is given up", rec.Name, len(now.Crashes), spec.CrashLoop.Window),
			Data:    map[string]any{"crashes": len(now.Crashes), "remedy": "beamkeeper start " + rec.App + "/" + rec.Name},
		})
	}
	return crashed{now}, nil
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
