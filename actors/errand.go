package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/node"
)

// What an errand leaves in the records at most.
const (
	errandLines = 50
	errandLine  = 1000    // bytes of a line
	errandTail  = 1 << 16 // bytes of output that are looked at
)

// errand is something that is run for a deployment: a hook, or a command of its release.
type errand struct {
	step    string // the hook's, or stepPreCommand
	title   string // what is run, for people
	timeout time.Duration
	run     func(context.Context, *outputTail) (code *int, err error)

	app, version, deployment, instance string

	once string // key under which its success is kept for the app; empty: it is not
}

// errandError is an errand that failed.
type errandError struct {
	step, title string
	output      []string
	err         error
}

func (e *errandError) Error() string { return fmt.Sprintf("%s %s: %v", e.step, e.title, e.err) }
func (e *errandError) Unwrap() error { return e.err }

// do runs an errand. That it begins and how it ends is noted in its deployment and told as an event. What ctx ends is not
// noted: it is run again by whoever goes on with the deployment.
func (s *System) do(ctx context.Context, e errand) error {
	st := api.DeploymentStep{Name: e.step, Command: e.title, StartedAt: api.Time{Time: time.Now().UTC().Truncate(time.Millisecond)}}
	if err := s.cfg.State.Update(func(tx *state.Tx) error { return putErrand(tx, e.deployment, st) }); err != nil {
		return err
	}
	out := &outputTail{max: errandTail}
	run, cancel := context.WithTimeout(ctx, e.timeout)
	code, err := e.run(run, out)
	late := run.Err() != nil
	cancel()
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil && late:
		err = fmt.Errorf("it took longer than %s and was killed", e.timeout)
	case err == nil && code != nil && *code != 0:
		err = fmt.Errorf("exit code %d", *code)
	}
	st.EndedAt, st.ExitCode, st.Output = api.Time{Time: time.Now().UTC()}, code, out.lines()
	if err != nil {
		st.Error = err.Error()
	}
	note := func() error {
		return s.record(func(tx *state.Tx, say func(api.Event)) error {
			say(errandEvent(e, st))
			if e.once != "" && err == nil {
				app, _, err := tx.App(e.app)
				if err != nil {
					return err
				}
				app.Name = e.app
				app.RunOnce(e.once)
				if err := tx.PutApp(app); err != nil {
					return err
				}
			}
			return putErrand(tx, e.deployment, st)
		})
	}
	failed := note()
	for unwritable(failed) { // what has been done must not be done again
		if e := sleep(ctx, retryWrite); e != nil {
			return e
		}
		failed = note()
	}
	if failed != nil {
		return failed
	}
	if err != nil {
		return &errandError{step: e.step, title: e.title, output: st.Output, err: err}
	}
	return nil
}

// putErrand writes the step of an errand into its deployment: anew, or in place of the one that began then.
func putErrand(tx *state.Tx, deployment string, st api.DeploymentStep) error {
	d, ok, err := tx.Deployment(deployment)
	if err != nil || !ok {
		return err
	}
	same := func(o api.DeploymentStep) bool {
		return o.Name == st.Name && o.Command == st.Command && o.StartedAt.Equal(st.StartedAt.Time)
	}
	if i := slices.IndexFunc(d.Steps, same); i >= 0 {
		d.Steps[i] = st
	} else {
		d.Steps = append(d.Steps, st)
	}
	return tx.PutDeployment(d)
}

func errandEvent(e errand, st api.DeploymentStep) api.Event {
	took := st.EndedAt.Sub(st.StartedAt.Time).Milliseconds()
	ev := api.Event{
		Type: api.EventCommandEnded, App: e.app, Instance: e.instance, Version: e.version, Deployment: e.deployment,
		Message: fmt.Sprintf("%s %s ended well after %d ms", e.step, e.title, took),
		Data:    map[string]any{"step": e.step, "command": e.title, "took_ms": took, "output": st.Output},
	}
	if st.ExitCode != nil {
		ev.Data["exit_code"] = *st.ExitCode
	}
	if st.Error != "" {
		ev.Level = "warning"
		ev.Message = fmt.Sprintf("%s %s failed after %d ms: %s", e.step, e.title, took, st.Error)
		ev.Data["error"] = st.Error
	}
	return ev
}

// interrupted ends the errands of a step that an earlier daemon, or an earlier actor, began and did not end.
func (s *System) interrupted(deployment string, steps ...string) error {
	return s.cfg.State.Update(func(tx *state.Tx) error {
		d, ok, err := tx.Deployment(deployment)
		if err != nil || !ok {
			return err
		}
		for i := range d.Steps {
			if st := &d.Steps[i]; st.EndedAt.IsZero() && slices.Contains(steps, st.Name) {
				st.EndedAt, st.Error = api.Time{Time: time.Now().UTC()}, errInterrupted
			}
		}
		return tx.PutDeployment(d)
	})
}

// errInterrupted is what became of an errand that nobody saw the end of.
const errInterrupted = "interrupted: its daemon ended; it is run again"

// timesEnded counts how often an errand has come to its end in a deployment, well or, with failed, in any way.
func timesEnded(d api.Deployment, step, title string, failed bool) (n int) {
	for _, st := range d.Steps {
		if st.Name == step && st.Command == title && !st.EndedAt.IsZero() && (st.Error == "" || failed && st.Error != errInterrupted) {
			n++
		}
	}
	return n
}

// program makes an errand of a program.
func program(c process.Command, stdin []byte) func(context.Context, *outputTail) (*int, error) {
	return func(ctx context.Context, out *outputTail) (*int, error) {
		e, err := process.Run(ctx, c, strings.NewReader(string(stdin)), out)
		switch {
		case err != nil:
			return nil, err
		case e.Signal != 0:
			return nil, errors.New(e.String())
		}
		return &e.Code, nil
	}
}

// remoteCall makes an errand of a call in an instance.
func (s *System) remoteCall(peer node.Name, call string) func(context.Context, *outputTail) (*int, error) {
	return func(ctx context.Context, out *outputTail) (*int, error) {
		mod, fun, args, err := etf.ParseCall(call)
		if err != nil {
			return nil, err
		}
		value, err := s.cfg.Cluster.Call(ctx, peer, mod, fun, args...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", peer, err)
		}
		fmt.Fprintln(out, etf.Format(value))
		return nil, nil
	}
}

// errandMark is what all programs of an app's errands of a kind carry, so that the next daemon can end them.
func (s *System) errandMark(app, kind string) string {
	return s.cfg.Cluster.Name().String() + "/" + app + "/" + kind
}

// alone waits until nobody else runs errands of a deployment of the app: one that was called off still cleans up.
func (s *System) alone(ctx context.Context, app string) (release func(), err error) {
	s.errands.mu.Lock()
	if s.errands.apps == nil {
		s.errands.apps = make(map[string]chan struct{})
	}
	turn, ok := s.errands.apps[app]
	if !ok {
		turn = make(chan struct{}, 1)
		s.errands.apps[app] = turn
	}
	s.errands.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// outputTail keeps the end of what is written to it.
type outputTail struct {
	kept []byte
	max  int
}

func (t *outputTail) Write(b []byte) (int, error) {
	n := len(b)
	b = b[max(0, len(b)-t.max):]
	if over := len(t.kept) + len(b) - t.max; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	t.kept = append(t.kept, b...)
	return n, nil
}

// lines are the last of them.
func (t *outputTail) lines() []string {
	text := strings.TrimRight(strings.ToValidUTF8(string(t.kept), "�"), "\r\n")
	if text == "" {
		return nil
	}
	list := strings.Split(text, "\n")
	list = slices.Clone(list[max(0, len(list)-errandLines):])
	for i, l := range list {
		l = strings.TrimRight(l, "\r")
		if len(l) > errandLine {
			l = strings.ToValidUTF8(l[:errandLine], "") + "…"
		}
		list[i] = l
	}
	return list
}
