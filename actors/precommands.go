package actors

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/launch"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// stepPreCommand is the step of a deployment that is one of its release's pre_commands.
const stepPreCommand = "pre_command"

// defaultPreCommandsTimeout is how long one of them may take.
const defaultPreCommandsTimeout = 10 * time.Minute

// preCommandsSuffix makes the name that pre_commands run under. It is like an instance's, and one of those is never called so.
const preCommandsSuffix = "-before"

// onceKey names a pre_command of a release: the archive, its place in the list and what it says.
func onceKey(version, sha string, i int, command string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%s", version, sha, i, command))
	return hex.EncodeToString(sum[:12])
}

// beforehand says whether something is to be run before the deployment moves anything.
func (m *manager) beforehand(p picture, rel state.Release) bool {
	return len(p.dep.Instances) == 0 && (m.hooked(p.dep) && m.sys.hasHooks(m.spec, stepBeforeDeploy) ||
		p.dep.Kind == api.KindHot && m.sys.hasHooks(m.spec, stepBeforeUpgrade) ||
		len(rel.PreCommands) > 0 && !same(rel, p.app.Settled))
}

// hooked says whether a deployment has the hooks of deployments. Nothing that can say no stands before a way back.
func (m *manager) hooked(d *api.Deployment) bool { return d.Kind != "scale" && !goesBack(d) }

// goesBack says whether a deployment undoes another.
func goesBack(d *api.Deployment) bool {
	return d.Kind != "scale" && (d.Trigger == triggerRestore || d.Trigger == triggerRollback)
}

// errandsDone says whether all that is to be run in a phase of the deployment has been, and otherwise has it run.
func (m *manager) errandsDone(p picture, phase string, run func(context.Context) error) bool {
	id := p.dep.ID + " " + phase
	switch {
	case m.errandDone == id:
		return true
	case m.errand.id != 0 && m.errand.kind == id:
		return false
	}
	m.errand.end()
	ctx, cancel := context.WithCancel(m.sys.ctx)
	m.errand = work{kind: id, cancel: cancel}
	m.errand.id = m.sys.job(ctx, m.self, func(ctx context.Context) any {
		if err := run(ctx); err != nil {
			return err
		}
		return nil
	})
	return false
}

// before runs what is to be run before the deployment moves anything.
func (m *manager) before(p picture, rel state.Release, sha string, plan plan) bool {
	s, spec, d, hooked := m.sys, m.spec, *p.dep, m.hooked(p.dep)
	rec := state.Instance{Name: spec.Name + preCommandsSuffix, App: spec.Name, Version: rel.Version, Hash: rel.Hash, SHA256: sha, Deployment: d.ID}
	if len(plan.start) > 0 {
		rec.Slot = plan.start[0].slot // nobody else has its ports
	}
	commands := rel.PreCommands
	if same(rel, p.app.Settled) {
		commands = nil
	}
	return m.errandsDone(p, "before", func(ctx context.Context) error {
		release, err := s.begunAlone(ctx, d, stepBeforeDeploy, stepPreCommand, stepBeforeUpgrade)
		if err != nil {
			return err
		}
		defer release()
		if hooked {
			if err := s.runHooks(ctx, spec, stepBeforeDeploy, d.ID, nil); err != nil {
				return err
			}
		}
		if err := s.preCommands(ctx, spec, rec, commands); err != nil || d.Kind != api.KindHot {
			return err
		}
		return s.runHooks(ctx, spec, stepBeforeUpgrade, d.ID, nil)
	})
}

// after runs what is to be run when the deployment has moved all.
func (m *manager) after(p picture) bool {
	s, spec, d := m.sys, m.spec, *p.dep
	steps := []string{stepAfterDeploy}
	switch {
	case goesBack(p.dep):
		steps = []string{stepOnRollback}
	case p.dep.Kind == api.KindHot:
		steps = []string{stepAfterUpgrade, stepAfterDeploy}
	}
	steps = slices.DeleteFunc(steps, func(step string) bool { return !s.hasHooks(spec, step) })
	if p.dep.Kind == api.KindScale || len(steps) == 0 {
		return true
	}
	return m.errandsDone(p, "after", func(ctx context.Context) error {
		release, err := s.begunAlone(ctx, d, steps...)
		if err != nil {
			return err
		}
		defer release()
		for _, step := range steps {
			if err := s.runHooks(ctx, spec, step, d.ID, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// begunAlone begins to run errands of a deployment: what an earlier daemon left running of them is ended.
func (s *System) begunAlone(ctx context.Context, d api.Deployment, steps ...string) (release func(), err error) {
	if release, err = s.alone(ctx, d.App); err != nil {
		return nil, err
	}
	for _, kind := range []string{"deployment", stepPreCommand} {
		kill, cancel := context.WithTimeout(ctx, killTimeout)
		err = process.KillRun(kill, s.errandMark(d.App, kind))
		cancel()
		if err != nil {
			break
		}
	}
	if err == nil {
		err = s.interrupted(d.ID, steps...)
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// preCommands runs those of a release's pre_commands that have not succeeded yet, in order. rec is the instance that they
// are run in the environment of.
func (s *System) preCommands(ctx context.Context, spec AppSpec, rec state.Instance, commands []string) error {
	if len(commands) == 0 {
		return nil
	}
	var app state.App
	err := s.cfg.State.View(func(tx *state.Tx) (err error) {
		app, _, err = tx.App(spec.Name)
		return err
	})
	if err != nil {
		return err
	}
	unpacked := false
	defer func() { _ = s.cfg.Releases.RemoveInstance(rec.App, rec.Name) }() // what stays is in nobody's way
	for i, command := range commands {
		e := errand{
			step: stepPreCommand, title: command, timeout: firstOf2(spec.PreCommandsTimeout, defaultPreCommandsTimeout),
			app: spec.Name, version: rec.Version, deployment: rec.Deployment, once: onceKey(rec.Version, rec.SHA256, i, command),
		}
		if slices.Contains(app.Once, e.once) {
			continue
		}
		if _, _, _, err := etf.ParseCall(command); err == nil {
			if ready := s.board.ready(spec.Name); len(ready) > 0 {
				e.run = s.remoteCall(s.nodeName(ready[0]), command)
			} else {
				command = launch.EvalOf(spec.Language, command)
			}
		}
		if e.run == nil {
			if !unpacked {
				if err := s.cfg.Releases.RemoveInstance(rec.App, rec.Name); err != nil {
					return err
				}
				if _, err := s.prepareFolder(ctx, spec, rec); err != nil {
					return err
				}
				unpacked = true
			}
			e.run = s.inRelease(spec, rec, command)
		}
		if err := s.do(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// inRelease makes an errand of a command of the release.
func (s *System) inRelease(spec AppSpec, rec state.Instance, command string) func(context.Context, *outputTail) (*int, error) {
	return func(ctx context.Context, out *outputTail) (*int, error) {
		described, err := s.secretly(ctx, s.launchSpec(spec, rec))
		if err != nil {
			return nil, err
		}
		plan, err := launch.BuildRun(described, command, s.errandMark(rec.App, stepPreCommand))
		if err == nil {
			err = plan.Prepare()
		}
		if err == nil {
			err = s.confinement.try(ctx, rec.App, plan.Enter)
		}
		if err != nil {
			return nil, err
		}
		return program(plan.Command("", ""), nil)(ctx, out)
	}
}

// errandEnded goes on with the deployment, or ends it.
func (m *manager) errandEnded(result any) error {
	id := m.errand.kind
	m.errand.end()
	failure, failed := result.(error)
	if !failed {
		m.errandDone = id
		return nil
	}
	p, err := m.look()
	if err != nil {
		return err
	}
	if p.dep == nil || m.sys.ctx.Err() != nil || id != p.dep.ID+" before" && id != p.dep.ID+" after" {
		return nil
	}
	var output []string
	if e, ok := failure.(*errandError); ok {
		output = e.output
	}
	if e := (*errandError)(nil); m.spec.PreCommandsGhost && errors.As(failure, &e) && e.step == stepPreCommand && !ofHost(failure) {
		rel := p.app.Wish
		p.ghost = &api.Ghost{
			Version: rel.Version, SHA256: firstOf(m.fetched[p.dep.ID], rel.SHA256), Hash: rel.Hash, At: api.Time{Time: time.Now().UTC()}, Reason: failure.Error(),
			Deployment: p.dep.ID, LogTail: output[max(0, len(output)-ghostLog):],
		}
	}
	return m.end(p, api.DeploymentFailed, failure, output)
}
