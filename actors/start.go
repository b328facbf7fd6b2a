package actors

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/applog"
	"github.com/beamkeeper/beamkeeper/internal/launch"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/release"
)

// Steps of a deployment for one instance, besides those of the readiness chain.
const (
	stepPrepare = "prepare"
	stepStart   = "start"
	stepStopOld = "stop_old" // of the instance that this one replaces
	stepStop    = "stop"     // of this one, which nothing replaces
)

// started is the result of start work.
type started struct {
	rec  state.Instance
	proc *process.Process
}

// start begins to make the instance's folder, if need be, and its OS process.
func (a *instance) start() work {
	ctx, cancel := context.WithCancel(a.ctx)
	a.chain = newChain(time.Now())
	rec, spec := a.rec, a.spec
	id := a.sys.job(ctx, a.self, func(ctx context.Context) any {
		r, err := a.sys.startInstance(ctx, spec, rec)
		if err != nil {
			return err
		}
		return r
	})
	return work{id: id, kind: workStart, cancel: cancel}
}

func (s *System) startInstance(ctx context.Context, spec AppSpec, rec state.Instance) (started, error) {
	if !rec.InHistory {
		if err := s.journal(rec, stepPrepare); err != nil {
			return started{}, err
		}
	}
	sha, err := s.prepareFolder(ctx, spec, rec)
	if err != nil {
		return started{}, err
	}
	described := s.launchSpec(spec, rec)
	if described.SSLOptions, err = s.encryptionArgs(spec, rec); err != nil {
		return started{}, err
	}
	if described, err = s.secretly(ctx, described); err != nil {
		return started{}, err
	}
	plan, err := launch.Build(described)
	if err == nil {
		err = plan.Prepare()
	}
	if err == nil {
		err = s.confinement.try(ctx, rec.App, plan.Enter)
	}
	if err != nil {
		return started{}, err
	}
	if !rec.InHistory {
		if err := s.journal(rec, stepStart); err != nil {
			return started{}, err
		}
	}
	stdout, stderr := s.logFiles(rec.App, rec.Name)
	at, marks := time.Now(), []applog.Mark{applog.End(stdout), applog.End(stderr)}
	p, err := s.reg.start(ctx, rec.Name, func() (*process.Process, error) {
		command := plan.Command(stdout, stderr)
		if spec.LogTarget == targetJournal {
			s.toJournal(&command, rec)
		}
		return process.Start(command)
	})
	if err != nil {
		return started{}, err
	}
	// From here on the record must know the process, whatever ctx says.
	var now state.Instance
	note := func() error {
		return s.record(func(tx *state.Tx, say func(api.Event)) error {
			r, ok, err := tx.Instance(rec.Name)
			if err != nil || !ok {
				return errors.Join(err, missing(ok, rec.Name))
			}
			r.Process, r.StartedAt, r.Ready, r.RetryAt = p.Identity(), at.UTC(), false, time.Time{}
			r.Ports, r.SHA256, r.OTPRelease = plan.Ports, sha, ""
			r.Settings = spec.settings()
			r.Logs, r.CrashDump, r.OwnDump = marks, plan.CrashDump, plan.OwnDump
			now = r
			say(startOf(r))
			return tx.PutInstance(r)
		})
	}
	err = note()
	for unwritable(err) { // it serves meanwhile, and the next daemon would find it by its environment
		if e := sleep(ctx, retryWrite); e != nil {
			return started{}, e
		}
		err = note()
	}
	if err != nil {
		kill, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, process.KillAll(kill, p.Identity()))
		s.reg.drop(rec.Name, p)
		return started{}, fmt.Errorf("note the OS process: %w", err)
	}
	s.place(ctx, now, spec.Limits)
	return started{rec: now, proc: p}, nil
}

// startOf is the event of an instance's start.
func startOf(rec state.Instance) api.Event {
	return api.Event{
		Type: api.EventInstanceStarted, App: rec.App, Instance: rec.Name, Version: rec.Version, Deployment: rec.Deployment,
		Message: fmt.Sprintf("%s started, OS pid %d", rec.Name, rec.Process.OSPID),
		Data:    map[string]any{"os_pid": rec.Process.OSPID, "slot": rec.Slot},
	}
}

func missing(ok bool, name string) error {
	if ok {
		return nil
	}
	return fmt.Errorf("actors: no record of instance %q", name)
}

// prepareFolder makes the folder that the instance runs from, unless it is there, and returns its archive's sha256.
func (s *System) prepareFolder(ctx context.Context, spec AppSpec, rec state.Instance) (sha string, err error) {
	wish := releaseID{rec.Version, rec.SHA256}
	f, err := s.cfg.Releases.Instance(rec.App, rec.Name)
	switch {
	case errors.Is(err, release.ErrNotFound):
	case err != nil:
		return "", err
	case f.Current != nil && wish.same(releaseID{f.Current.Version, f.Current.SHA256}):
		return f.Current.SHA256, nil
	}
	rel, err := s.cfg.Releases.Fetch(ctx, rec.App, release.Current{Version: rec.Version, Hash: rec.Hash, SHA256: rec.SHA256})
	if err != nil {
		return "", err
	}
	owner, err := ownerOf(spec)
	if err != nil {
		return "", err
	}
	if err := s.cfg.Releases.Prepare(ctx, rec.App, rec.Name, rel, owner); err != nil {
		return "", err
	}
	return rel.SHA256, s.cfg.Releases.Switch(rec.App, rec.Name)
}

// launchSpec describes the instance to package launch.
func (s *System) launchSpec(spec AppSpec, rec state.Instance) launch.Spec {
	dir := s.cfg.Releases.InstanceDir(rec.App, rec.Name)
	described := launch.Spec{
		App: rec.App, Instance: rec.Name, Language: spec.Language,
		Root: filepath.Join(dir, "current"), RunDir: filepath.Join(dir, "run"),
		Host: s.cfg.Cluster.Name().Host, Cookie: string(spec.Cookie), Daemon: s.cfg.Cluster.Name().String(),
		Slot: rec.Slot, Ports: spec.Ports, Env: spec.Env,
		BaseEnv: s.cfg.BaseEnv, OmitPath: s.cfg.OmitPath, User: spec.User, Erl: s.cfg.Erl, Version: rec.Version,
		Dump: spec.Dump,
	}
	spec.Surroundings.describe(&described)
	spec.Limits.describe(&described)
	return described
}

// journal notes in the deployment that made the instance that a step begins.
func (s *System) journal(rec state.Instance, name string) error {
	return s.cfg.State.Update(func(tx *state.Tx) error {
		return step(tx, rec.Deployment, rec.Name, func(d *api.DeploymentInstance) {
			if n := len(d.Steps); n > 0 && d.Steps[n-1].Name == name && d.Steps[n-1].EndedAt.IsZero() {
				return // begun before; it is safe to repeat
			}
			d.Steps = beginStep(d.Steps, name, time.Now())
		})
	})
}
