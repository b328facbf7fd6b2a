package main

import (
	"path/filepath"

	"github.com/beamkeeper/beamkeeper/actors"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/launch"
	"github.com/beamkeeper/beamkeeper/internal/window"
)

// appSpecs says in the words of package actors what the configuration says about the apps.
func appSpecs(cfg *config.Config, c cookies) []actors.AppSpec {
	specs := make([]actors.AppSpec, len(cfg.Applications))
	for i, a := range cfg.Applications {
		specs[i] = appSpec(a)
		specs[i].Cookie = c.apps[a.Name]
		if specs[i].History = a.History; a.History == 0 {
			specs[i].History = cfg.History
		}
		specs[i].Keep = cfg.Release.KeepReleases
		if specs[i].Keep == 0 {
			specs[i].Keep = -1 // none; 0 is the default there
		}
	}
	return specs
}

func appSpec(a config.App) actors.AppSpec {
	spec := actors.AppSpec{
		Name: a.Name, Language: launch.Language(a.Language), Replicas: a.Replicas, User: a.User, Surroundings: surroundings(a),
		Poll: a.DeployScheduleInterval,
		Readiness: actors.Readiness{
			Timeout: a.Readiness.Timeout, Application: a.Readiness.Application, Successes: a.Readiness.Successes,
			Probe: probeSpec(a.Readiness.Probe),
		},
		Strategy: actors.Strategy{MaxParallel: a.Strategy.MaxParallel, MaxUnavailable: a.Strategy.MaxUnavailable, Soak: a.Strategy.Soak},
		Hot:      hotUpgrade(a.HotUpgrade),
		Stop:     a.Stop.Timeout,
		Hooks:    hookSpecs(a.Hooks), PreCommandsTimeout: a.PreCommandsTimeout, PreCommandsGhost: a.PreCommandsFailure == "ghost",
		Mesh: a.Cluster == "mesh", MeshWith: a.ClusterWith,
		Logs: logPolicy(a), LogTarget: logTarget(a), Dump: dumpLimits(a.CrashDump),
		CrashLoop: actors.CrashLoop{Limit: a.CrashLoop.Limit, Window: a.CrashLoop.Window}, RollbackTimeout: a.DeployRollbackTimeout,
		Limits: actors.Limits{
			MemoryMax: uint64(a.Limits.MemoryMax), MemoryHigh: uint64(a.Limits.MemoryHigh),
			CPUQuota: int(a.Limits.CPUQuota), TasksMax: uint64(a.Limits.TasksMax),
		},
	}
	spec.Windows, _ = window.ParseAll(a.AllowDeploys) // which the configuration has checked
	for _, p := range a.ReplicaPorts {
		spec.Ports = append(spec.Ports, launch.Port{Key: p.Key, Base: p.Base})
	}
	for _, s := range a.Secrets {
		spec.SecretUses = append(spec.SecretUses, s.Key+" "+s.Env+" "+s.File)
	}
	for _, e := range a.Env {
		spec.Env = append(spec.Env, launch.Var{Key: e.Key, Value: e.Value})
	}
	return spec
}

// hooksDir is hooks.d beside the configuration file.
func hooksDir(cfg *config.Config) string {
	path, err := filepath.Abs(cfg.File)
	if err != nil || !cfg.FromFile {
		return ""
	}
	return filepath.Join(filepath.Dir(path), "hooks.d")
}

func hookSpecs(h config.Hooks) actors.Hooks {
	list := func(hooks []config.Hook) (out []actors.Hook) {
		for _, k := range hooks {
			out = append(out, actors.Hook{Run: k.Run, RPC: k.RPC, Timeout: k.Timeout, Ignore: k.OnFailure == "ignore"})
		}
		return out
	}
	return actors.Hooks{
		BeforeDeploy: list(h.BeforeDeploy), AfterDeploy: list(h.AfterDeploy), BeforeStop: list(h.BeforeStop), AfterStop: list(h.AfterStop),
		BeforeUpgrade: list(h.BeforeUpgrade), AfterUpgrade: list(h.AfterUpgrade), OnRollback: list(h.OnRollback),
	}
}

// hotUpgrade says how running instances get new code; nil: they do not.
func hotUpgrade(h config.HotUpgrade) *actors.HotUpgrade {
	if !h.Enabled {
		return nil
	}
	return &actors.HotUpgrade{
		Soak: h.Soak, Manual: h.Commit == "manual", All: h.Strategy == "all", Fallback: h.Fallback == "full",
		InstallTimeout: h.Install, KillLingering: h.Kill,
	}
}

func probeSpec(p *config.Probe) *actors.Probe {
	if p == nil {
		return nil
	}
	return &actors.Probe{HTTP: p.HTTP, TCP: p.TCP, RPC: p.RPC, Exec: p.Exec, API: p.API, Interval: p.Interval, Timeout: p.Timeout}
}
