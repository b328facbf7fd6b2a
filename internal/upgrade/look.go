package upgrade

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
)

// Look says where the instance is.
//
// Errors: *Error of kind ErrTransient when the node cannot be asked, ErrNotPossible when it has no release_handler.
func (j Job) Look(ctx context.Context) (State, error) {
	s, _, err := j.look(ctx, 0)
	if err != nil {
		return State{}, j.asError("look", err)
	}
	return s, nil
}

// errNoSASL is what to do about a release without release_handler.
var errNoSASL = errors.New("the release does not run SASL, whose release_handler does upgrades: add sasl to its applications " +
	"(mix: extra_applications: [:sasl])")

var errUnsettled = errors.New("the BEAM is just starting or stopping")

// look waits for the end of a job of ours for a time, and says where the node is then.
func (j Job) look(ctx context.Context, hold time.Duration) (State, jobRow, error) {
	v, err := askState(ctx, j.Node, hold)
	if err != nil {
		return State{}, jobRow{}, j.called("look", "look", err)
	}
	s, job, err := readState(v)
	if errors.Is(err, errUnsettled) {
		return State{}, jobRow{}, j.fault("look", ErrTransient, "unsettled", err)
	}
	if err != nil {
		return State{}, jobRow{}, j.fault("look", ErrNotPossible, "no_sasl", err)
	}
	s.Boots, err = j.boots()
	return s, job, err
}

func askState(ctx context.Context, n Node, hold time.Duration) (etf.Term, error) {
	return evaluate(ctx, n, "look", binding{"Wait", time.Second.Milliseconds()}, binding{"Hold", hold.Milliseconds()})
}

// boots is the version that start_erl.data names, "" if it names none.
func (j Job) boots() (string, error) {
	f, err := openFolder(j.Root)
	if err != nil {
		return "", j.filed("look", err)
	}
	defer f.close()
	b, err := f.read("releases/start_erl.data")
	if err != nil {
		return "", j.filed("look", err)
	}
	if fields := strings.Fields(string(b)); len(fields) == 2 {
		return fields[1], nil
	}
	return "", nil
}

// readState reads what look.erl answers: {Releases, Job, Doing, Up}.
func readState(v etf.Term) (State, jobRow, error) {
	t, ok := v.(etf.Tuple)
	if !ok || len(t) != 4 {
		return State{}, jobRow{}, fmt.Errorf("an answer that is not understood: %s", brief(v))
	}
	var s State
	up, _ := t[3].(int64)
	s.Up = time.Duration(up) * time.Millisecond
	job := readJob(t[1])
	s.Failed = job.failed
	switch t[0] {
	case etf.Term(etf.Atom("noproc")):
		return State{}, jobRow{}, errNoSASL
	case etf.Term(etf.Atom("starting")), etf.Term(etf.Atom("stopping")):
		return State{}, jobRow{}, errUnsettled
	case etf.Term(etf.Atom("busy")):
		s.Installing = &Progress{For: job.since}
	}
	if job.running {
		s.Installing = readProgress(t[2])
		s.Installing.For = job.since
	}
	list, _ := t[0].(etf.List)
	runs := make(map[string]bool) // versions whose applications are the ones that are loaded
	for _, e := range list {
		if r, ok := e.(etf.Tuple); ok && len(r) == 4 {
			status, _ := r[2].(etf.Atom)
			s.Releases = append(s.Releases, Known{Name: text(r[0]), Version: text(r[1]), Status: string(status)})
			runs[text(r[1])] = r[3] == etf.Term(etf.Atom("true"))
		}
	}
	s.findRunning(runs)
	return s, job, nil
}

// findRunning sets Running and Permanent. What release_handler has as current, else as permanent, runs; unless the BEAM
// was booted by a script that names another version than RELEASES does: then the applications that are loaded tell.
func (s *State) findRunning(runs map[string]bool) {
	for _, r := range s.Releases {
		switch r.Status {
		case "permanent":
			s.Permanent = r.Version
			if s.Running == "" {
				s.Running = r.Version
			}
		case "current":
			s.Running = r.Version
		}
	}
	if s.Running == "" || runs[s.Running] {
		return
	}
	for _, r := range s.Releases {
		if runs[r.Version] {
			s.Running = r.Version
		}
	}
}

// jobRow is what the table on the node says of the last installation.
type jobRow struct {
	version string
	running bool
	since   time.Duration
	outcome etf.Atom // ok, refused, restarting, continue_after_restart; empty while it runs
	failed  string
}

func readJob(v etf.Term) jobRow {
	t, ok := v.(etf.Tuple)
	if !ok || len(t) != 4 {
		return jobRow{}
	}
	since, _ := t[2].(int64)
	r := jobRow{version: text(t[0]), since: time.Duration(since) * time.Millisecond}
	switch t[1] {
	case etf.Term(etf.Atom("running")):
		r.running = true
	case etf.Term(etf.Atom("dead")):
		r.failed = "the process that installed it was killed"
	default:
		if e, ok := t[3].(etf.Tuple); ok && len(e) == 2 {
			r.outcome, _ = e[0].(etf.Atom)
			r.failed = text(e[1])
		}
	}
	return r
}

// readProgress reads {Stack, [{Pid, Name, InitialCall}], Suspended}.
func readProgress(v etf.Term) *Progress {
	p := new(Progress)
	t, ok := v.(etf.Tuple)
	if !ok || len(t) != 3 {
		return p
	}
	suspended, _ := t[2].(int64)
	p.Suspended = int(suspended)
	p.Doing = doing(t[0])
	if list, _ := t[1].(etf.List); len(list) > 0 {
		if w, ok := list[0].(etf.Tuple); ok && len(w) == 3 {
			p.Waiting = &Process{Pid: text(w[0]), Name: text(w[1]), Call: text(w[2])}
			if p.Doing == "code_change" {
				p.Suspended++ // it is, though it executes just now
			}
		}
	}
	return p
}

// doing reads from release_handler's stack what it is at.
func doing(stack etf.Term) string {
	list, _ := stack.(etf.List)
	var calls []string
	for _, e := range list {
		if f, ok := e.(etf.Tuple); ok && len(f) == 2 {
			calls = append(calls, text(f[0])+":"+text(f[1]))
		}
	}
	all := strings.Join(calls, " ")
	for _, w := range []struct{ in, is string }{
		{"change_code", "code_change"}, {"sys_suspend", "suspend"}, {"suspend", "suspend"}, {"resume", "resume"},
		{"get_supervised_procs", "supervisors"}, {"which_children", "supervisors"}, {"load_binary", "load"}, {"purge", "purge"},
		{"terminate_child", "stop"}, {"restart_child", "start"}, {"config_change", "config_change"},
		{"erl_eval", "apply"}, {"eval_script", "instructions"},
	} {
		if strings.Contains(all, w.in) {
			return w.is
		}
	}
	return ""
}
