package actors

import (
	"context"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/launch"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/sandbox"
	"github.com/beamkeeper/beamkeeper/release"
)

// Surroundings is what an app's instances find besides their release.
type Surroundings struct {
	Group    string // primary OS group; empty: the user's
	Umask    *int   // nil: the daemon's
	ReadOnly bool   // the unpacked release stays the daemon's
	EnvFiles []string
	Dirs     []launch.Dir
	Files    []launch.Placement
	VMArgs   string
	Sandbox  sandbox.Options
}

// describe adds them to what package launch is told.
func (e Surroundings) describe(s *launch.Spec) {
	s.Group, s.Umask, s.ReadOnly, s.EnvFiles, s.Dirs, s.Place = e.Group, e.Umask, e.ReadOnly, e.EnvFiles, e.Dirs, e.Files
	s.VMArgs, s.Sandbox = e.VMArgs, e.Sandbox
}

// describe tells templates of limits that are less than the machine has.
func (l Limits) describe(s *launch.Spec) {
	if cores := (l.CPUQuota + 99) / 100; cores > 0 && cores < runtime.NumCPU() {
		s.CPUs = cores
	}
	memory := l.MemoryMax
	if l.MemoryHigh > 0 && (memory == 0 || l.MemoryHigh < memory) {
		memory = l.MemoryHigh
	}
	s.Memory = int64(memory)
}

// ownerOf looks up whom an instance's files belong to; nil is the daemon's own user.
func ownerOf(spec AppSpec) (*release.Owner, error) {
	if os.Geteuid() != 0 || spec.User == "" && spec.Surroundings.Group == "" {
		return nil, nil // that another user needs root is said when the instance starts
	}
	owner := release.Owner{UID: os.Geteuid(), GID: os.Getegid(), ReadOnly: spec.Surroundings.ReadOnly}
	if spec.User != "" {
		account, err := process.LookupAccount(spec.User)
		if err != nil {
			return nil, err
		}
		owner.UID, owner.GID = int(account.UID), int(account.GID)
	}
	if spec.Surroundings.Group != "" {
		gid, err := process.LookupGroup(spec.Surroundings.Group)
		if err != nil {
			return nil, err
		}
		owner.GID = gid
	}
	return &owner, nil
}

// confinement remembers what of each app's sandbox this machine does not give.
type confinement struct {
	mu      sync.Mutex
	missing map[string]api.Problem // by app
}

// try finds out, at each start, what the sandbox of an instance lacks here.
func (c *confinement) try(ctx context.Context, app string, entry *sandbox.Entry) error {
	var missing []string
	if entry != nil && entry.Any() {
		trial := *entry
		trial.Dir = "" // the start itself goes there
		var err error
		if missing, err = sandbox.Try(ctx, trial); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(missing) == 0 {
		delete(c.missing, app)
		return nil
	}
	if c.missing == nil {
		c.missing = make(map[string]api.Problem)
	}
	p := api.Problem{Since: api.Time{Time: time.Now().UTC()}, What: "the sandbox lacks what this machine does not give: " + strings.Join(missing, "; ")}
	p.Remedy = "take it out of the app's sandbox, or run the daemon where it can be had"
	if old, ok := c.missing[app]; ok && old.What == p.What {
		p.Since = old.Since
	}
	c.missing[app] = p
	return nil
}

// problems is what is lacking for an app.
func (c *confinement) problems(app string) []api.Problem {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.missing[app]; ok {
		return []api.Problem{p}
	}
	return nil
}
