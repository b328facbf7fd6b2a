package actors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/launch"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// Steps of hooks, which are also the names of the folders of their scripts.
const (
	stepBeforeDeploy = "before_deploy"
	stepAfterDeploy  = "after_deploy"
	stepBeforeStop   = "before_stop"
	stepAfterStop    = "after_stop"
	stepOnRollback   = "on_rollback"

	stepBeforeUpgrade = "before_upgrade"
	stepAfterUpgrade  = "after_upgrade"
)

// defaultHookTimeout is that of scripts, and of hooks that say none.
const defaultHookTimeout = time.Minute

// Hooks are what is run around the deployments of an app.
type Hooks struct {
	BeforeDeploy []Hook
	AfterDeploy  []Hook
	BeforeStop   []Hook
	AfterStop    []Hook
	OnRollback   []Hook // after replicas were moved back

	BeforeUpgrade []Hook // before a hot upgrade touches anything
	AfterUpgrade  []Hook // when it is permanent everywhere
}

// Hook is one thing that is run; Run or RPC is set.
type Hook struct {
	Run     []string      // program and arguments; run as the daemon's user
	RPC     string        // m:f(Args)
	Timeout time.Duration // 0: 1 min
	Ignore  bool          // of before_deploy and before_upgrade: the deployment goes on when it fails
}

func (h Hooks) of(step string) []Hook {
	switch step {
	case stepBeforeDeploy:
		return h.BeforeDeploy
	case stepAfterDeploy:
		return h.AfterDeploy
	case stepBeforeStop:
		return h.BeforeStop
	case stepOnRollback:
		return h.OnRollback
	case stepBeforeUpgrade:
		return h.BeforeUpgrade
	case stepAfterUpgrade:
		return h.AfterUpgrade
	}
	return h.AfterStop
}

// title is what a hook is called in records. Arguments may be secret.
func (h Hook) title() string {
	if h.RPC != "" {
		return h.RPC
	}
	return h.Run[0]
}

// hookInput is what a hook reads.
type hookInput struct {
	Hook       string          `json:"hook"`
	App        string          `json:"app"`
	Version    string          `json:"version"`
	Deployment *api.Deployment `json:"deployment,omitempty"` // the one under way
	Instance   *hookInstance   `json:"instance,omitempty"`   // the one that is stopped
}

type hookInstance struct {
	Name    string         `json:"name"`
	Node    string         `json:"node"`
	Version string         `json:"version"`
	Slot    int            `json:"slot"`
	Ports   map[string]int `json:"ports"`
	OSPID   int            `json:"os_pid,omitempty"`
}

// hasHooks says whether there are any of a step.
func (s *System) hasHooks(spec AppSpec, step string) bool {
	if len(spec.Hooks.of(step)) > 0 {
		return true
	}
	entries, err := os.ReadDir(filepath.Join(s.cfg.HooksDir, step))
	return s.cfg.HooksDir != "" && err == nil && len(entries) > 0
}

// runHooks runs the hooks of a step, those of the configuration first, then the scripts by their names. rec is the
// instance that is stopped, nil for a deployment. What a deployment has run before is not run again.
//
// The error is that of the first that failed and is not to be ignored; those after it are not run.
func (s *System) runHooks(ctx context.Context, spec AppSpec, step string, deployment string, rec *state.Instance) error {
	hooks := append(append([]Hook(nil), spec.Hooks.of(step)...), s.scripts(spec.Name, step)...)
	if len(hooks) == 0 {
		return nil
	}
	in, err := s.hookInput(spec.Name, step, deployment, rec)
	if err != nil {
		return err
	}
	passed := make(map[string]int)
	for _, h := range hooks {
		abort := (step == stepBeforeDeploy || step == stepBeforeUpgrade) && !h.Ignore
		if rec == nil && in.Deployment != nil && timesEnded(*in.Deployment, step, h.title(), !abort) > passed[h.title()] {
			passed[h.title()]++
			continue
		}
		e := errand{step: step, title: h.title(), timeout: firstOf2(h.Timeout, defaultHookTimeout), app: spec.Name, version: in.Version}
		if in.Deployment != nil {
			e.deployment = in.Deployment.ID
		}
		if rec != nil {
			e.instance = rec.Name
		}
		if e.run, err = s.hookRun(h, in); err != nil {
			failed := err
			e.run = func(context.Context, *outputTail) (*int, error) { return nil, failed }
		}
		err = s.do(ctx, e)
		var failed *errandError
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case abort || !errors.As(err, &failed):
			return err
		}
	}
	return nil
}

func firstOf2(a, b time.Duration) time.Duration {
	if a != 0 {
		return a
	}
	return b
}

func (s *System) hookInput(app, step, deployment string, rec *state.Instance) (in hookInput, err error) {
	in = hookInput{Hook: step, App: app}
	err = s.cfg.State.View(func(tx *state.Tx) error {
		if deployment == "" {
			a, _, err := tx.App(app)
			if err != nil {
				return err
			}
			deployment = a.Deployment
		}
		d, ok, err := tx.Deployment(deployment)
		if ok {
			in.Deployment, in.Version = &d, d.To
		}
		return err
	})
	if rec != nil {
		in.Version = rec.Version
		in.Instance = &hookInstance{
			Name: rec.Name, Node: s.nodeName(rec.Name).String(), Version: rec.Version, Slot: rec.Slot, Ports: rec.Ports, OSPID: rec.Process.OSPID,
		}
	}
	return in, err
}

// hookRun prepares a hook.
func (s *System) hookRun(h Hook, in hookInput) (func(context.Context, *outputTail) (*int, error), error) {
	if h.RPC != "" {
		name := ""
		if in.Hook == stepBeforeStop {
			name = in.Instance.Name
		} else if ready := s.board.ready(in.App); len(ready) > 0 {
			name = ready[0]
		}
		if name == "" {
			return nil, fmt.Errorf("no instance of %s is ready", in.App)
		}
		return s.remoteCall(s.nodeName(name), h.RPC), nil
	}
	path := h.Run[0]
	base := filepath.Dir(s.cfg.HooksDir)
	if s.cfg.HooksDir == "" {
		base = "/"
	}
	switch found, err := exec.LookPath(path); {
	case filepath.IsAbs(path):
	case strings.Contains(path, "/"):
		path = filepath.Join(base, path)
	case err != nil:
		return nil, err
	default:
		path = found
	}
	stdin, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	return program(process.Command{Path: path, Args: h.Run[1:], Env: s.hookEnv(in), Dir: base}, append(stdin, '\n')), nil
}

// hookEnv is a hook's environment. The names are not those that mark an instance's processes.
func (s *System) hookEnv(in hookInput) []string {
	env := launch.Inherited(s.cfg.BaseEnv)
	set := func(key, value string) {
		if value != "" {
			env = append(env, "BEAMKEEPER_HOOK"+key+"="+value)
		}
	}
	set("", in.Hook)
	set("_APP", in.App)
	set("_VERSION", in.Version)
	if in.Deployment != nil {
		set("_DEPLOYMENT", in.Deployment.ID)
		set("_FROM", in.Deployment.From)
		set("_TO", in.Deployment.To)
		set("_TRIGGER", in.Deployment.Trigger)
	}
	kind := "deployment"
	if i := in.Instance; i != nil {
		kind = i.Name
		set("_INSTANCE", i.Name)
		set("_NODE", i.Node)
		set("_SLOT", fmt.Sprint(i.Slot))
		if i.OSPID != 0 {
			set("_OS_PID", fmt.Sprint(i.OSPID))
		}
		for key, port := range i.Ports {
			set("_PORT_"+key, fmt.Sprint(port))
		}
	}
	return append(env, process.EnvRun+"="+s.errandMark(in.App, kind))
}

// scripts are the programs in the folder of a step. One that others may write is passed over, and told.
func (s *System) scripts(app, step string) (list []Hook) {
	if s.cfg.HooksDir == "" {
		return nil
	}
	dir := filepath.Join(s.cfg.HooksDir, step)
	entries, err := os.ReadDir(dir) // by name
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			s.tellHook(app, step, err)
		}
		return nil
	}
	for _, d := range []string{s.cfg.HooksDir, dir} {
		st, err := os.Stat(d)
		if err == nil {
			err = onlyOurs(d, st)
		}
		if err != nil {
			s.tellHook(app, step, err)
			return nil
		}
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		st, err := os.Stat(path)
		switch {
		case strings.HasPrefix(e.Name(), ".") || strings.HasSuffix(e.Name(), "~"):
		case err != nil:
			s.tellHook(app, step, err)
		case !st.Mode().IsRegular() || st.Mode()&0o111 == 0:
		default:
			if err := onlyOurs(path, st); err != nil {
				s.tellHook(app, step, err)
				continue
			}
			list = append(list, Hook{Run: []string{path}})
		}
	}
	return list
}

// onlyOurs refuses what somebody besides root and us may have written.
func onlyOurs(path string, st os.FileInfo) error {
	sys, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case st.Mode()&0o022 != 0:
		return fmt.Errorf("%s can be written by others (mode %#o): not run; chmod go-w it", path, st.Mode().Perm())
	case ok && sys.Uid != 0 && int(sys.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to uid %d: not run; it must be root's or the daemon's", path, sys.Uid)
	}
	return nil
}

func (s *System) tellHook(app, step string, err error) {
	s.emit(api.Event{Type: api.EventHookSkipped, Level: "warning", App: app, Message: step + ": " + err.Error(), Data: map[string]any{"step": step}})
}

// stopHooks runs the hooks of an instance that is stopped. What is to stop stops, however they end.
func (s *System) stopHooks(ctx context.Context, spec AppSpec, step string, rec state.Instance) {
	if err := s.runHooks(ctx, spec, step, "", &rec); err != nil && ctx.Err() == nil {
		s.log.Warn("hooks", "app", rec.App, "instance", rec.Name, "step", step, "err", err)
	}
}
