package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
)

// Install runs the upgrade and returns when it has ended. It needs a Prepare, whoever called it; an installation of To
// that is under way is waited for, one that is done is no error. When ctx ends, or the link is lost, the installation
// goes on without us; a lost link is tried again until the ceiling.
//
// Where release_handler cannot go on behind the point of no return (a code_change that crashes), it ends the BEAM: its
// OS process exits, and the next start boots From. That is ErrRestarted, found by the BEAM's age or because it does
// not come back.
//
// Errors: *Error. ErrTransient: nothing has begun, or ctx ended: Look says more. ErrNotPossible: release_handler
// refused and From runs on, its environment as it was. ErrBroken: with ErrRestarted or ErrCeiling, or neither.
func (j Job) Install(ctx context.Context, o Options) error {
	if err := j.checkNames(); err != nil {
		return j.fault("install", ErrNotPossible, "name", err)
	}
	return j.asError("install", j.install(ctx, "install", j.From, j.To, o))
}

func (o Options) withDefaults() Options {
	if o.Ceiling <= 0 {
		o.Ceiling = DefaultCeiling
	}
	if o.Every <= 0 {
		o.Every = 500 * time.Millisecond
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	return o
}

// install has release_handler take the node from one version to the other, either way.
func (j Job) install(ctx context.Context, op, from, to string, o Options) error {
	o = o.withDefaults()
	state, job, err := j.look(ctx, 0)
	if err != nil {
		return err
	}
	if state.Installed(to) {
		return nil
	}
	begun := time.Now()
	if state.Installing != nil && job.running && job.version == to {
		begun = begun.Add(-state.Installing.For)
	} else if state.Installing != nil {
		return j.fault(op, ErrTransient, "busy", errors.New("another installation is under way"))
	} else if err := j.begin(ctx, op, state, from, to, o); err != nil {
		return err
	}
	return j.follow(ctx, op, to, begun, o)
}

// begin looks once more at what could stop it and starts the job.
func (j Job) begin(ctx context.Context, op string, state State, from, to string, o Options) error {
	if state.Running != from {
		return j.fault(op, ErrNotPossible, "running", fmt.Errorf("it runs %q, not %q", state.Running, from))
	}
	if !slices.ContainsFunc(state.Releases, func(r Known) bool { return r.Version == to }) {
		return j.fault(op, ErrNotPossible, "unprepared", fmt.Errorf("release_handler does not know %s: it was not prepared", to))
	}
	f, err := openFolder(j.Root)
	if err != nil {
		return err
	}
	defer f.close()
	r, err := j.installedRelup(f, to)
	if err != nil {
		return err
	}
	suspended, touched := r.modules()
	if err := j.inTheWay(ctx, op, suspended, touched, o.Kill); err != nil {
		return err
	}
	if _, err := j.resolve(ctx, f, from, to); err != nil {
		return err
	}
	// What is not answered in time is passed over by release_handler, and the process keeps old state for new code:
	// no timeout but the ceiling's.
	options := etf.List{
		etf.Tuple{etf.Atom("suspend_timeout"), etf.Atom("infinity")},
		etf.Tuple{etf.Atom("code_change_timeout"), etf.Atom("infinity")},
		etf.Tuple{etf.Atom("error_action"), etf.Atom("reboot")},
	}
	v, err := evaluate(ctx, j.Node, "install", binding{"Vsn", erlangString(to)}, binding{"Options", options})
	if err != nil {
		return j.called(op, "job", err)
	}
	if t, ok := v.(etf.Tuple); !ok || len(t) != 2 || t[0] == etf.Term(etf.Atom("error")) {
		return j.fault(op, ErrTransient, "job", fmt.Errorf("the job did not start: %s", brief(v)))
	}
	return nil
}

// installedRelup reads the instructions that lead to a version from the relup that Prepare wrote.
func (j Job) installedRelup(f *folder, to string) (relup, error) {
	b, err := f.read(versionDir(j.To) + "/relup")
	if err != nil {
		return relup{}, err
	}
	terms, err := etf.Consult("relup", b)
	if err != nil || len(terms) != 1 {
		return relup{}, j.fault("", ErrNotPossible, "relup", errors.Join(errors.New("the relup cannot be read"), err))
	}
	r, ok := j.readRelup(terms[0])
	if to == j.From {
		if r.down == nil {
			return relup{}, j.fault("", ErrNotPossible, "no_way_back", fmt.Errorf("%w: %s", ErrNoWayBack, r.whyNotDown))
		}
		return relup{up: r.down}, nil
	}
	if !ok {
		return relup{}, j.fault("", ErrNotPossible, "relup", fmt.Errorf("the relup does not lead from %s to %s", j.From, j.To))
	}
	return r, nil
}

// inTheWay finds the processes that would be killed or waited for. With kill, the ones in old code end here.
func (j Job) inTheWay(ctx context.Context, op string, suspended, touched []string, kill bool) error {
	old, err := killed(ctx, j.Node, touched)
	if err != nil {
		return j.called(op, "processes", err)
	}
	if len(old) > 0 {
		if !kill {
			return j.fault(op, ErrTransient, "lingering", &LingeringError{Processes: old})
		}
		if err := j.purge(ctx, touched); err != nil {
			return j.called(op, "purge", err)
		}
	}
	stuck, err := probe(ctx, j.Node, suspended, probeWait)
	if err != nil {
		return j.called(op, "processes", err)
	}
	if len(stuck) > 0 && !kill {
		p := stuck[0]
		more := ""
		if len(stuck) > 1 {
			more = fmt.Sprintf(", and %d more", len(stuck)-1)
		}
		return j.fault(op, ErrTransient, "unresponsive", fmt.Errorf("%s %s%s: %s", p.Pid, p.Name, more, p.Why))
	}
	return nil
}

// purge ends the processes in old code of modules.
func (j Job) purge(ctx context.Context, modules []string) error {
	for _, m := range modules {
		if _, err := j.Node.Call(ctx, "code", "purge", etf.Atom(m)); err != nil {
			return err
		}
	}
	return nil
}

// reach is how long one look may take while an installation is followed.
const reach = 15 * time.Second

// follow waits for the end of the job. Whether it has ended, and how, is looked at, never guessed: a lost link is a
// reason to look again.
func (j Job) follow(ctx context.Context, op, to string, begun time.Time, o Options) error {
	lost := error(nil)
	for {
		left := o.Ceiling - time.Since(begun)
		if left <= 0 {
			return j.ceiling(op, o, lost)
		}
		look, cancel := context.WithTimeout(ctx, min(reach, left+time.Second))
		state, job, err := j.look(look, min(o.Every, left))
		cancel()
		switch {
		case ctx.Err() != nil:
			return j.fault(op, ErrTransient, "context", fmt.Errorf("it goes on without us: %w", ctx.Err()))
		case errors.Is(err, ErrTransient):
			lost = err
			o.Progress(Progress{For: time.Since(begun), Link: err})
			if err := pause(ctx, min(o.Every, left)); err != nil {
				return j.fault(op, ErrTransient, "context", fmt.Errorf("it goes on without us: %w", err))
			}
			continue
		case err != nil:
			return err
		case state.Installing != nil:
			lost = nil
			o.Progress(*state.Installing)
			if !job.running { // somebody else's, or ours was killed; release_handler is still at it
				if err := pause(ctx, min(o.Every, left)); err != nil {
					return j.fault(op, ErrTransient, "context", err)
				}
			}
			continue
		}
		return j.ended(op, to, state, job, time.Since(begun))
	}
}

// ended says what an installation came to.
func (j Job) ended(op, to string, state State, job jobRow, since time.Duration) error {
	switch {
	case job.version == to && job.outcome == "restarting", state.Up < since && state.Running != to:
		why := job.failed
		if why == "" {
			why = "its log says why"
		}
		return j.fault(op, ErrBroken, "restarted", fmt.Errorf("%w: %s", ErrRestarted, why))
	case state.Running == to:
		return nil
	case job.version == to && job.outcome == "refused":
		return j.fault(op, ErrNotPossible, "refused", fmt.Errorf("release_handler refused it and %s runs on: %s", state.Running, job.failed))
	case job.version == to && job.failed != "":
		return j.fault(op, ErrBroken, "job", errors.New(job.failed))
	}
	return j.fault(op, ErrBroken, "job", fmt.Errorf("the installation is gone and %s runs", state.Running))
}

func (j Job) ceiling(op string, o Options, lost error) error {
	if lost != nil {
		return j.fault(op, ErrBroken, "link", fmt.Errorf("no link to the BEAM within %v: %w", o.Ceiling, lost))
	}
	return j.fault(op, ErrBroken, "ceiling", fmt.Errorf("after %v it is %w", o.Ceiling, ErrCeiling))
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
