package confine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/cgroup"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/systemd"
)

const (
	slice    = "beamkeeper.slice"
	epmdUnit = "beamkeeper-epmd" + process.ScopeSuffix

	gatherTries  = 20              // of moving what an instance has started meanwhile
	gonePatience = 2 * time.Second // for an empty scope to be removed
	gonePoll     = 2 * time.Millisecond
)

// Placement is an instance whose OS process runs.
type Placement struct {
	App, Instance, Version string
	Process                process.Identity
	Limits                 cgroup.Limits
}

// Problem is a limit that has no effect, or that nothing can be limited.
type Problem struct {
	Since  time.Time
	What   string
	Remedy string
}

// keeper makes and removes the places.
type keeper interface {
	// open makes the place of an instance, with its main process in it. The place may exist.
	open(ctx context.Context, name string, p Placement) error
	// move puts further processes there.
	move(ctx context.Context, name string, pids []int) error
	// limit changes the limits of a place that is there.
	limit(ctx context.Context, name string, l cgroup.Limits) error
	// spare puts port mappers where they outlive all instances.
	spare(ctx context.Context, pids []int) error
	// dir is the group of a place, "" when there is none.
	dir(ctx context.Context, name string) string
	// remove ends a place without processes of ours, if it does not end by itself.
	remove(ctx context.Context, name, dir string) error
	close()
}

// Placer places instances. Its methods may be called by any goroutine.
type Placer struct {
	keeper keeper // nil: instances stay where they are
	why    string // there is none
	log    *slog.Logger
	oom    *cgroup.OOMWatch // nil: killed processes are not counted

	mu       sync.Mutex
	places   map[string]*place  // by instance
	problems map[string]Problem // by app or instance
}

type place struct {
	busy   sync.Mutex // held by the one call that is at work on it
	dir    string     // its group; "" before the first Place
	limits *cgroup.Limits
}

// New finds out what the host offers: systemd, or a group that may be divided. It never fails; Problems tells.
func New(ctx context.Context, log *slog.Logger) *Placer {
	p := &Placer{log: log, places: make(map[string]*place), problems: make(map[string]Problem)}
	if oom, err := cgroup.NewOOMWatch(); err == nil {
		p.oom = oom
	}
	m, err := systemd.Connect(ctx)
	if err == nil {
		p.keeper = &scopes{manager: m}
		return p
	}
	if dir, ok := cgroup.Delegated(systemd.Running()); ok {
		g := &groups{base: dir}
		g.sweep()
		p.keeper = g
		return p
	}
	p.why = err.Error()
	return p
}

// Systemd is the manager that makes the scopes, nil when it is another way.
func (p *Placer) Systemd() *systemd.Manager {
	if s, ok := p.keeper.(*scopes); ok {
		return s.manager
	}
	return nil
}

// Place moves all processes of an instance to its place and sets its limits; what is right already is left as it is. It
// may be called again at any time. Error: process.ErrGone when the instance has ended meanwhile.
func (p *Placer) Place(ctx context.Context, pl Placement) error {
	if p.keeper == nil {
		if c := pl.Limits.Controllers(); len(c) > 0 {
			p.note(pl.App, fmt.Sprintf("the limits of %s have no effect: %s, and there is no control group that the daemon may divide", pl.App, p.why),
				"run the daemon as a service of systemd, or give it a delegated cgroup v2")
		}
		return nil
	}
	name := process.ScopeName(pl.Instance)
	at := p.of(pl.Instance)
	at.busy.Lock()
	defer at.busy.Unlock()
	err := p.settle(ctx, name, at, pl)
	if err != nil && ended(pl.Process) {
		return fmt.Errorf("confine: %q: %w", pl.Instance, process.ErrGone)
	}
	if err != nil {
		p.note(pl.Instance, fmt.Sprintf("%s is not in a place of its own, so that its limits may have no effect: %v", pl.Instance, err), "it is tried again with its next start")
		return err
	}
	p.clear(pl.Instance)
	if missing := pl.Limits.Missing(at.dir); len(missing) > 0 {
		p.note(pl.App, fmt.Sprintf("limits of %s have no effect: the controllers %s are missing in cgroup v2", pl.App, strings.Join(missing, ", ")),
			"enable them (systemd.unified_cgroup_hierarchy=1, cgroup_enable=memory on the kernel's command line; delegation, where there is no systemd)")
	} else {
		p.clear(pl.App)
	}
	return nil
}

// settle does what there is to do for one instance. at.busy is held.
func (p *Placer) settle(ctx context.Context, name string, at *place, pl Placement) error {
	dir, err := cgroup.Of(pl.Process.OSPID)
	if err != nil {
		return err
	}
	if filepath.Base(dir) != name {
		if err := p.keeper.open(ctx, name, pl); err != nil {
			return err
		}
		at.limits = &pl.Limits
		if dir, err = cgroup.Of(pl.Process.OSPID); err != nil {
			return err
		}
	}
	if filepath.Base(dir) != name {
		return fmt.Errorf("confine: OS pid %d is in %s, not in %s", pl.Process.OSPID, dir, name)
	}
	if at.dir = dir; p.oom != nil {
		p.oom.Add(dir)
	}
	if at.limits == nil || *at.limits != pl.Limits {
		if err := p.keeper.limit(ctx, name, pl.Limits); err != nil {
			return err
		}
		at.limits = &pl.Limits
	}
	if err := p.gather(ctx, name, dir, pl.Process); err != nil {
		return err
	}
	return p.spare(ctx, dir)
}

// gather moves what the main process had started before it was moved itself, until there is nothing left outside.
func (p *Placer) gather(ctx context.Context, name, dir string, id process.Identity) error {
	for range gatherTries {
		members, err := process.Members(id)
		if err != nil {
			return err
		}
		var outside []int
		for _, m := range members {
			if at, err := cgroup.Of(m.OSPID); err == nil && at != dir && !strings.HasPrefix(at, dir+"/") {
				outside = append(outside, m.OSPID)
			}
		}
		if len(outside) == 0 {
			return nil
		}
		if err := p.keeper.move(ctx, name, outside); err != nil {
			return err
		}
	}
	return fmt.Errorf("confine: %q starts processes faster than they are moved to %s", id.Instance, dir)
}

// spare moves port mappers out of a place.
func (p *Placer) spare(ctx context.Context, dir string) error {
	pids, err := cgroup.PIDs(dir)
	if err != nil {
		return err
	}
	pids = slices.DeleteFunc(pids, func(pid int) bool { return !process.IsEPMD(pid) })
	if len(pids) == 0 {
		return nil
	}
	p.log.Info("a port mapper that an instance has started is moved to a place of its own", "os_pids", pids, "from", filepath.Base(dir))
	return p.keeper.spare(ctx, pids)
}

// PlaceEPMD puts a port mapper that the daemon has started where it outlives all.
func (p *Placer) PlaceEPMD(ctx context.Context, pid int) error {
	if p.keeper == nil {
		return nil
	}
	return p.keeper.spare(ctx, []int{pid})
}

// OOMKills is how many processes of an instance the kernel has killed for want of memory since it was placed.
func (p *Placer) OOMKills(instance string) int {
	p.mu.Lock()
	at := p.places[instance]
	p.mu.Unlock()
	if at == nil || p.oom == nil {
		return 0
	}
	at.busy.Lock()
	defer at.busy.Unlock()
	if at.dir == "" {
		return 0
	}
	return p.oom.Kills(at.dir)
}

// Leave removes the place of an instance whose processes have ended.
func (p *Placer) Leave(ctx context.Context, instance string) error {
	if p.keeper == nil {
		return nil
	}
	at := p.of(instance)
	at.busy.Lock()
	defer at.busy.Unlock()
	name, dir := process.ScopeName(instance), at.dir
	if dir == "" { // of a daemon before this one
		dir = p.keeper.dir(ctx, name)
	}
	if dir != "" {
		if err := p.spare(ctx, dir); err != nil {
			return err
		}
		if err := p.keeper.remove(ctx, name, dir); err != nil {
			return err
		}
	}
	at.dir, at.limits = "", nil
	p.clear(instance)
	if p.oom != nil {
		p.oom.Remove(dir)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.places[instance] == at {
		delete(p.places, instance)
	}
	return nil
}

func (p *Placer) of(instance string) *place {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.places[instance]
	if at == nil {
		at = &place{}
		p.places[instance] = at
	}
	return at
}

// note keeps a problem of an app or an instance, with the time it was first seen.
func (p *Placer) note(of, what, remedy string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old, known := p.problems[of]
	if known && old.What == what {
		return
	}
	p.problems[of] = Problem{Since: time.Now().UTC(), What: what, Remedy: remedy}
	p.log.Warn(what, "remedy", remedy)
}

func (p *Placer) clear(of string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.problems, of)
}

// Problems lists what is wrong, in the order of the names.
func (p *Placer) Problems() []Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []Problem
	for _, of := range slices.Sorted(maps.Keys(p.problems)) {
		list = append(list, p.problems[of])
	}
	return list
}

// Close ends what the placer has under way. The places stay.
func (p *Placer) Close() error {
	if p.keeper != nil {
		p.keeper.close()
	}
	if p.oom != nil {
		return p.oom.Close()
	}
	return nil
}

// ended says whether the instance's main process is gone.
func ended(id process.Identity) bool {
	p, err := process.Adopt(id)
	if err == nil {
		p.Close()
		return false
	}
	return errors.Is(err, process.ErrGone)
}

// awaitGone waits until a group is removed.
func awaitGone(ctx context.Context, dir string, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(gonePoll):
		}
	}
}

func describe(p Placement) string {
	return fmt.Sprintf("%s %s, instance %s of Beamkeeper", p.App, cmp.Or(p.Version, "of unknown version"), strconv.Quote(p.Instance))
}
