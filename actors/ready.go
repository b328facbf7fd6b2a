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
	"github.com/beamkeeper/beamkeeper/internal/launch"
	"github.com/beamkeeper/beamkeeper/internal/probe"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/node"
)

const (
	attemptTimeout = 5 * time.Second // of one dial or one call on the way to ready
	reconnectFirst = 100 * time.Millisecond
	reconnectMax   = 10 * time.Second
)

// attemptDelay is how long to wait before trying again what has been tried for so long: often at first, as every
// millisecond of a boot counts, then less.
func attemptDelay(since time.Duration) time.Duration {
	switch {
	case since < 5*time.Second:
		return 20 * time.Millisecond
	case since < 30*time.Second:
		return 100 * time.Millisecond
	}
	return 500 * time.Millisecond
}

// readiness waits for one OS process to get through the chain. It knows no actor and no state store.
type readiness struct {
	cluster     caller
	peer        node.Name
	application string
	probe       probe.Probe // nil: none
	options     probe.Options
	report      func(chain) // told of every change
}

// caller is what readiness needs of the cluster.
type caller interface {
	Connect(ctx context.Context, peer node.Name) error
	Call(ctx context.Context, peer node.Name, mod, fun etf.Atom, args ...etf.Term) (etf.Term, error)
}

// await goes on from c until every step has passed, or ctx ends. It returns the OTP release that the node runs.
func (r readiness) await(ctx context.Context, c chain) (otp string, err error) {
	told := ""
	wait := func(why error) {
		if text := short(why.Error()); text != told {
			told = text
			c.wait(text, causeOf(why))
			r.report(c)
		}
	}
	pass := func(detail string) {
		c.pass(time.Now(), detail)
		told = ""
		r.report(c)
	}
	if c.n == 1 {
		if err := r.until(ctx, wait, func(ctx context.Context) error { return r.cluster.Connect(ctx, r.peer) }); err != nil {
			return "", err
		}
		pass("")
	}
	if c.n == 2 {
		if err := r.until(ctx, wait, r.applicationStarted); err != nil {
			return "", err
		}
		pass("")
	}
	otp, err = r.otpRelease(ctx)
	if err != nil {
		return "", err
	}
	if c.n == 3 {
		if r.probe == nil {
			c.skip(time.Now())
			r.report(c)
			return otp, nil
		}
		o := r.options
		o.Report = func(a probe.Attempt) {
			if a.Err != nil {
				wait(a.Err)
			}
		}
		if err := probe.Wait(ctx, r.probe, o); err != nil {
			return "", err
		}
		pass(r.probe.String())
	}
	return otp, nil
}

// until repeats f until it gives nil, or ctx ends.
func (r readiness) until(ctx context.Context, wait func(error), f func(context.Context) error) error {
	begun := time.Now()
	for {
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		err := f(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait(err)
		if err := sleep(ctx, attemptDelay(time.Since(begun))); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// applicationStarted asks which applications are started. application:which_applications/0 lists one only when its
// start function has returned.
func (r readiness) applicationStarted(ctx context.Context) error {
	t, err := r.cluster.Call(ctx, r.peer, "application", "which_applications")
	if err != nil {
		return err
	}
	names := startedApplications(t)
	if slices.Contains(names, r.application) {
		return nil
	}
	return fmt.Errorf("%s is not started; started are %s", r.application, strings.Join(names, ", "))
}

// startedApplications are the names in [{Application, Description, Vsn}].
func startedApplications(t etf.Term) []string {
	list, _ := t.(etf.List)
	var names []string
	for _, e := range list {
		if tuple, ok := e.(etf.Tuple); ok && len(tuple) == 3 {
			if name, ok := tuple[0].(etf.Atom); ok {
				names = append(names, string(name))
			}
		}
	}
	slices.Sort(names)
	return names
}

func (r readiness) otpRelease(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	t, err := r.cluster.Call(ctx, r.peer, "erlang", "system_info", etf.Atom("otp_release"))
	if err != nil {
		return "", err
	}
	text, ok := etf.Text(t)
	if !ok {
		return "", fmt.Errorf("otp_release is %s", short(etf.Format(t)))
	}
	return text, nil
}

// short cuts what came from outside to a length that a status line bears.
func short(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// prober makes the probe of an instance.
func (s *System) prober(spec AppSpec, rec state.Instance) (probe.Probe, error) {
	c := spec.Readiness.Probe
	if c == nil {
		return nil, nil
	}
	plan, err := launch.Build(s.launchSpec(spec, rec))
	if err != nil {
		return nil, err
	}
	expand := func(text string) string {
		if err != nil {
			return ""
		}
		text, err = plan.Expand(text)
		return text
	}
	var p probe.Probe
	switch {
	case c.HTTP != "":
		p = probe.HTTP{URL: expand(c.HTTP), Timeout: c.Timeout}
	case c.TCP != "":
		p = probe.TCP{Address: expand(c.TCP), Timeout: c.Timeout}
	case c.RPC != "":
		text := expand(c.RPC)
		mod, fun, args, perr := etf.ParseCall(text)
		if perr != nil {
			return nil, fmt.Errorf("probe %q: %w", text, perr)
		}
		peer := s.nodeName(rec.Name)
		p = probe.RPC{Name: text, Timeout: c.Timeout, Call: func(ctx context.Context) (string, error) {
			t, err := s.cfg.Cluster.Call(ctx, peer, mod, fun, args...)
			if err != nil {
				return "", err
			}
			return etf.Format(t), nil
		}}
	case len(c.Exec) > 0:
		argv := make([]string, len(c.Exec))
		for i, arg := range c.Exec {
			argv[i] = expand(arg)
		}
		p = probe.Exec{Argv: argv, Env: plan.Env, Dir: plan.Dir, User: plan.User, Timeout: c.Timeout}
	case c.API:
		p = wordProbe{sys: s, instance: rec.Name}
	}
	return p, err
}

// readied is the result of readying.
type readied struct{ otp string }

// Kinds of attention.
const (
	attentionReady     = "ready"
	attentionReconnect = "reconnect"
)

// ready begins to wait for the OS process to get ready.
func (a *instance) ready() work {
	ctx, cancel := context.WithCancel(a.ctx)
	rec, spec, c, s := a.rec, a.spec, a.chain, a.sys
	var id uint64
	known := make(chan struct{}) // closed when id is set
	id = s.job(ctx, a.self, func(ctx context.Context) any {
		<-known
		p, err := s.prober(spec, rec)
		if err != nil {
			return err
		}
		o := probe.Options{Successes: spec.Readiness.Successes}
		if spec.Readiness.Probe != nil {
			o.Interval = spec.Readiness.Probe.Interval
		}
		steps := c.n
		r := readiness{
			cluster: s.cfg.Cluster, peer: a.peer, application: spec.Readiness.Application, probe: p, options: o,
			report: func(c chain) {
				if c.n > steps && c.n < len(c.steps) {
					steps = c.n
					s.journalChain(rec, c)
				}
				s.send(a.self, msgChain{job: id, chain: c})
			},
		}
		s.journalChain(rec, c)
		otp, err := r.await(ctx, c)
		if err != nil {
			return err
		}
		return readied{otp}
	})
	close(known)
	return work{id: id, kind: attentionReady, cancel: cancel}
}

// journalChain notes in the deployment that made the instance which step of the chain it waits for.
func (s *System) journalChain(rec state.Instance, c chain) {
	if rec.InHistory || c.n >= len(c.steps) {
		return
	}
	if err := s.journal(rec, c.steps[c.n].name); err != nil {
		s.log.Error("state", "instance", rec.Name, "err", err)
	}
}

// attended deals with the end of attention.
func (a *instance) attended(result any) error {
	switch r := result.(type) {
	case error:
		if a.ctx.Err() == nil && !errors.Is(r, context.Canceled) {
			a.chain.wait(short(r.Error()), causeOf(r))
			a.note = r.Error()
			a.rest = time.Now().Add(time.Second)
			a.sys.after(time.Second, a.self, msgWake{})
		}
	case readied:
		if _, ended := a.proc.Exit(); ended {
			return nil // drive deals with it
		}
		if err := a.passed(r.otp); err != nil {
			return err
		}
	}
	a.reconnect() // what came between
	return nil
}

// passed is called when the chain has been passed.
func (a *instance) passed(otp string) error {
	again := a.rec.Ready // an adopted one, or one whose actor was started again
	first := !a.rec.InHistory
	now := time.Now()
	if again && !first && a.rec.OTPRelease == otp && a.rec.LastError == "" {
		a.note = ""
		return nil // it is all known: many are taken over at once, and each commit waits for the disk
	}
	err := a.sys.record(func(tx *state.Tx, say func(api.Event)) error {
		rec, ok, err := tx.Instance(a.name)
		if err != nil || !ok {
			return errors.Join(err, missing(ok, a.name))
		}
		rec.Ready, rec.OTPRelease, rec.InHistory, rec.LastError, rec.Cause = true, otp, true, "", ""
		a.rec = rec
		if !again {
			took := now.Sub(rec.StartedAt)
			say(api.Event{
				Type: api.EventApplicationReady, App: rec.App, Instance: a.name, Version: rec.Version, Deployment: rec.Deployment,
				Message: fmt.Sprintf("%s is ready after %d ms", a.name, took.Milliseconds()),
				Data:    map[string]any{"ready_after_ms": took.Milliseconds(), "otp_release": otp},
			})
		}
		if err := tx.PutInstance(rec); err != nil || !first {
			return err
		}
		d, _, err := tx.Deployment(rec.Deployment)
		if err != nil {
			return err
		}
		err = tx.AddHistory(rec.App, api.HistoryEntry{
			At: api.Time{Time: now.UTC()}, Version: rec.Version, Hash: rec.Hash, Instance: rec.Name, Kind: rec.Kind, Deployment: rec.Deployment,
			By: firstOf(d.By, d.Trigger),
		})
		if err != nil {
			return err
		}
		return step(tx, rec.Deployment, rec.Name, func(d *api.DeploymentInstance) { d.Steps = endStep(d.Steps, "", "", now) })
	})
	if err != nil {
		return err
	}
	a.note = ""
	if !again {
		a.confine() // what it has started meanwhile, an epmd perhaps
	}
	return nil
}

// late is called when the OS process has not got ready in time. In a deployment the manager deals with that; any other
// time the instance runs on, as a slow boot is better than none, and its status says so.
func (a *instance) late() {
	step, detail := a.chain.missing()
	a.note = fmt.Sprintf("not ready within %s, waiting for %s: %s", a.spec.Readiness.Timeout, step, detail)
	a.sys.log.Warn("instance is late", "app", a.rec.App, "instance", a.name, "step", step, "detail", detail)
}

// reconnect sees to it that an instance which is ready and not connected is dialed again and again.
func (a *instance) reconnect() {
	if a.proc == nil || !a.chain.ready() || a.attention.kind != "" || a.main.kind != "" || a.sys.cfg.Cluster.Connected(a.peer) {
		return
	}
	ctx, cancel := context.WithCancel(a.ctx)
	cluster, peer := a.sys.cfg.Cluster, a.peer
	id := a.sys.job(ctx, a.self, func(ctx context.Context) any {
		for delay := reconnectFirst; ; delay = min(2*delay, reconnectMax) {
			if err := sleep(ctx, delay); err != nil {
				return err
			}
			attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
			err := cluster.Connect(attempt, peer)
			cancel()
			if err == nil {
				return nil
			}
		}
	})
	a.attention = work{id: id, kind: attentionReconnect, cancel: cancel}
}
