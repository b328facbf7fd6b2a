package confine

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/beamkeeper/beamkeeper/internal/cgroup"
	"github.com/beamkeeper/beamkeeper/internal/process"
)

// groups are places that the daemon makes by itself, below a group that it may divide.
type groups struct{ base string }

func (g *groups) path(name string) string { return filepath.Join(g.base, slice, name) }

func (g *groups) dir(_ context.Context, name string) string {
	if _, err := os.Stat(g.path(name)); err != nil {
		return ""
	}
	return g.path(name)
}

func (g *groups) open(_ context.Context, name string, p Placement) error {
	for tries := 3; ; tries-- {
		dir, err := cgroup.Make(g.base, slice+"/"+name, p.Limits.Controllers())
		if err == nil {
			err = errors.Join(p.Limits.Set(dir), cgroup.Move(dir, p.Process.OSPID))
		}
		if !errors.Is(err, fs.ErrNotExist) || tries == 0 {
			return err
		} // else another daemon's sweep was quicker than our move
	}
}

// sweep removes what instances have left behind that ended while no daemon ran. A group with processes stays.
func (g *groups) sweep() {
	left, _ := filepath.Glob(filepath.Join(g.base, slice, "beamkeeper-*"+process.ScopeSuffix)) // the pattern is a good one
	for _, dir := range append(left, filepath.Join(g.base, slice)) {
		_ = cgroup.Remove(dir)
	}
}

func (g *groups) move(_ context.Context, name string, pids []int) error {
	return g.moveTo(g.path(name), pids)
}

func (g *groups) limit(_ context.Context, name string, l cgroup.Limits) error {
	dir, err := cgroup.Make(g.base, slice+"/"+name, l.Controllers())
	if err != nil {
		return err
	}
	return l.Set(dir)
}

func (g *groups) spare(_ context.Context, pids []int) error {
	dir, err := cgroup.Make(g.base, slice+"/"+epmdUnit, nil)
	if err != nil {
		return err
	}
	return g.moveTo(dir, pids)
}

func (g *groups) moveTo(dir string, pids []int) error {
	var errs []error
	for _, pid := range pids {
		errs = append(errs, cgroup.Move(dir, pid))
	}
	return errors.Join(errs...)
}

// remove also removes what is above when this was the last.
func (g *groups) remove(_ context.Context, _, dir string) error {
	if err := cgroup.Remove(dir); err != nil {
		return err
	}
	for _, up := range []string{filepath.Join(filepath.Dir(dir), epmdUnit), filepath.Dir(dir)} {
		if err := cgroup.Remove(up); err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) {
			return err
		}
	}
	return nil
}

func (g *groups) close() {}
