package actors

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/applog"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// newKeeper makes what rotates and keeps the log files and crash dumps of all apps, as their specs say now.
func (s *System) newKeeper() *applog.Keeper {
	return &applog.Keeper{
		Dir: s.cfg.LogDir, Own: s.cfg.OwnLog, Space: s.cfg.LogSpace, Log: s.log,
		Policy: func(app string) (applog.Policy, bool) {
			if app == "" {
				if s.cfg.OwnLogPolicy == nil {
					return applog.Policy{}, true
				}
				return s.cfg.OwnLogPolicy(), true
			}
			spec, ok := s.spec(app)
			return spec.Logs, ok
		},
		Here: s.existing,
		Tell: func(a applog.Alarm) {
			e := api.Event{Type: api.EventLogProblem, Level: "warning", App: a.App, Message: a.What, Data: a.Data}
			if a.Grave {
				e.Level = "error"
			}
			if a.Remedy != "" {
				e.Message += "; " + a.Remedy
			}
			s.emit(e)
		},
	}
}

// existing are the instances that there are, and OS processes that say they are one: their logs are not those of the gone.
func (s *System) existing() (map[string]bool, error) {
	here := make(map[string]bool)
	err := s.cfg.State.View(func(tx *state.Tx) error {
		recs, err := tx.Instances("")
		for _, rec := range recs {
			here[rec.Name] = true
		}
		return err
	})
	for _, f := range s.strangers {
		here[f.Instance] = true
	}
	return here, err
}

// logProblems is what is wrong with the log files.
func (s *System) logProblems() []api.Problem {
	var list []api.Problem
	for _, p := range s.keeper.Problems() {
		list = append(list, api.Problem{Since: api.Time{Time: p.Since.UTC()}, What: p.What, Remedy: p.Remedy})
	}
	return list
}

// dumpPath is where the instance's BEAM writes its crash dump.
func (s *System) dumpPath(rec state.Instance) string {
	if rec.CrashDump != "" {
		return rec.CrashDump
	}
	return filepath.Join(s.cfg.Releases.InstanceDir(rec.App, rec.Name), "current", "erl_crash.dump") // of a daemon before this one
}

// collectDump takes in the crash dump that the instance's BEAM has left, if it did. One at a place that the configuration
// names stays there.
func (s *System) collectDump(rec state.Instance) (applog.Dump, bool) {
	keep := rec.CrashDump != "" && !rec.OwnDump
	d, ok, err := applog.CollectDump(s.dumpPath(rec), applog.DumpDir(s.cfg.LogDir, rec.App), rec.Name, rec.StartedAt, keep)
	if err != nil {
		s.log.Warn("crash dump", "app", rec.App, "instance", rec.Name, "err", err)
	}
	if !ok {
		return d, false
	}
	// At once: a crash loop may leave many between two looks of the keeper.
	spec, _ := s.spec(rec.App)
	if err := applog.KeepDumps(applog.DumpDir(s.cfg.LogDir, rec.App), spec.Logs); err != nil {
		s.log.Warn("crash dump", "app", rec.App, "err", err)
	}
	err = s.cfg.State.Update(func(tx *state.Tx) error {
		_, err := tx.Count("crash_dumps/"+rec.App, 1)
		return err
	})
	if err != nil {
		s.log.Error("state", "err", err)
	}
	return d, true
}

// dumpData is what an event says of a crash dump.
func dumpData(data map[string]any, d applog.Dump) {
	data["dump"] = d.Path
	data["dump_bytes"] = d.Bytes
	data["dump_whole"] = d.Whole
	if d.Slogan != "" {
		data["dump_slogan"] = d.Slogan
	}
}

// dumping says whether the OS process is about to end but writes its crash dump first: it answers nobody, and to kill it would
// lose the dump.
func (s *System) dumping(rec state.Instance, id process.Identity) bool {
	return applog.WritingDump(id.OSPID, s.dumpPath(rec))
}

// dumpGrace is how long a stop waits for a dump beyond its own times.
func dumpGrace(spec AppSpec) time.Duration {
	if spec.Dump == nil || spec.Dump.Seconds < 0 {
		return time.Minute
	}
	return time.Duration(spec.Dump.Seconds)*time.Second + 5*time.Second
}

func dumpNote(d applog.Dump) string {
	cut := ""
	if !d.Whole {
		cut = ", cut"
	}
	return fmt.Sprintf("; crash dump of %d bytes%s: %s", d.Bytes, cut, d.Path)
}
