package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/release"
)

// Clean takes the files of To out of Root and out of release_handler's list, unless To runs or boots: then it is
// an error of kind ErrNotPossible. Libraries that a known release names stay.
//
// The node need not run: without a link, only the files are looked at.
//
// Errors: *Error.
func (j Job) Clean(ctx context.Context) error {
	if err := j.checkNames(); err != nil {
		return j.fault("clean", ErrNotPossible, "name", err)
	}
	f, err := openFolder(j.Root)
	if err != nil {
		return j.filed("clean", err)
	}
	err = j.clean(ctx, f)
	return j.asError("clean", errors.Join(err, f.close()))
}

func (j Job) clean(ctx context.Context, f *folder) error {
	keep := []string{j.From}
	state, _, err := j.look(ctx, 0)
	switch {
	case err == nil && state.Installing != nil:
		return j.fault("clean", ErrTransient, "busy", errors.New("an installation is under way"))
	case err == nil:
		if state.Running == j.To || state.Permanent == j.To || state.Boots == j.To {
			return j.fault("clean", ErrNotPossible, "running", fmt.Errorf("%s runs or boots", j.To))
		}
		keep = append(keep, state.Running, state.Permanent, state.Boots)
		for _, r := range state.Releases {
			if r.Version == j.To {
				if err := j.setRemoved(ctx, j.To); err != nil {
					return err
				}
			} else {
				keep = append(keep, r.Version)
			}
		}
		_, _ = j.Node.Call(ctx, "erlang", "send", etf.Atom(keeper), etf.Atom("stop")) // badarg: it does not run
	case errors.Is(err, ErrTransient):
		boots, err := j.boots()
		if err != nil {
			return err
		}
		if boots == j.To {
			return j.fault("clean", ErrNotPossible, "running", fmt.Errorf("%s boots", j.To))
		}
		keep = append(keep, boots)
		if err := j.forgetOffline(f); err != nil {
			return err
		}
	}
	return errors.Join(j.removeRelease(f, j.To, keep), f.sync())
}

// removeRelease removes the files of a release that none of those to keep has.
func (j Job) removeRelease(f *folder, version string, keep []string) error {
	if slices.Contains(keep, version) {
		return fmt.Errorf("release %s is in use", version)
	}
	rel, err := j.relIn(f, version)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	kept, err := j.librariesOf(f, keep)
	if err != nil {
		return err
	}
	for _, a := range rel.Applications {
		if name := libDir(a.Name, a.Version); !kept[name] && path.Dir(name) == "lib" {
			if err := f.remove(name); err != nil {
				return err
			}
		}
	}
	if err := f.remove("releases/" + j.Name + "-" + version + ".rel"); err != nil {
		return err
	}
	return f.remove(versionDir(version))
}

// librariesOf is the folders of the applications of releases in Root.
func (j Job) librariesOf(f *folder, versions []string) (map[string]bool, error) {
	names := make(map[string]bool)
	for _, v := range versions {
		if v == "" {
			continue
		}
		rel, err := j.relIn(f, v)
		if errors.Is(err, fs.ErrNotExist) && !f.exists(versionDir(v)) {
			continue
		}
		if err != nil {
			return nil, err // what it needs is not known: nothing is removed
		}
		for _, a := range rel.Applications {
			names[libDir(a.Name, a.Version)] = true
		}
	}
	return names, nil
}

func (j Job) relIn(f *folder, version string) (release.Package, error) {
	name := path.Join(versionDir(version), j.Name+".rel")
	b, err := f.read(name)
	if err != nil {
		return release.Package{}, err
	}
	return release.ReadRel(name, b)
}

// forgetOffline takes To out of the file RELEASES of a BEAM that does not run, unless it is permanent.
func (j Job) forgetOffline(f *folder) error {
	const name = "releases/RELEASES"
	b, err := f.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	terms, err := etf.Consult(name, b)
	if err != nil || len(terms) != 1 {
		return nil // release_handler does not read it either
	}
	list, _ := terms[0].(etf.List)
	left := slices.DeleteFunc(slices.Clone(list), func(t etf.Term) bool {
		r, ok := t.(etf.Tuple)
		return ok && len(r) == 6 && text(r[2]) == j.To && r[5] != etf.Term(etf.Atom("permanent"))
	})
	if len(left) == len(list) {
		return nil
	}
	return f.overwrite(name, fmt.Appendf(nil, "%%%% coding: utf-8\n%s.\n", strings.TrimSpace(etf.Format(left))))
}
