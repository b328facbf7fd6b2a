package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/release"
)

// Commit makes To what a cold start boots: release_handler's make_permanent, start_erl.data, RELEASES and the scripts in
// bin. With kill, processes in old code end; without it they are an error (ErrLingering) and nothing is changed.
//
// Afterwards call Store.Upgraded, so that the instance's folder says so too.
//
// Errors: *Error. ErrTransient: call it again. ErrBroken: the folder could not be written; a full deployment helps.
func (j Job) Commit(ctx context.Context, kill bool) error {
	if err := j.checkNames(); err != nil {
		return j.fault("commit", ErrNotPossible, "name", err)
	}
	f, err := openFolder(j.Root)
	if err != nil {
		return j.filed("commit", err)
	}
	err = j.commit(ctx, f, kill)
	return j.asError("commit", errors.Join(err, f.close()))
}

func (j Job) commit(ctx context.Context, f *folder, kill bool) error {
	state, _, err := j.look(ctx, 0)
	if err != nil {
		return err
	}
	if state.Installing != nil {
		return j.fault("commit", ErrTransient, "busy", errors.New("the installation is under way"))
	}
	if state.Running != j.To {
		return j.fault("commit", ErrBroken, "running", fmt.Errorf("it runs %q, not %q", state.Running, j.To))
	}
	if err := j.leaveOldCode(ctx, kill); err != nil {
		return err
	}
	if err := j.keepScripts(f, j.From); err != nil {
		return err
	}
	if err := j.makePermanent(ctx, f, "commit", j.To, state); err != nil {
		return err
	}
	if j.New == "" {
		return f.sync()
	}
	return errors.Join(j.bringScripts(ctx, f, j.New, "bin"), f.sync())
}

// leaveOldCode sees to it that no process is in old code.
func (j Job) leaveOldCode(ctx context.Context, kill bool) error {
	if kill {
		_, modules, _, err := lingering(ctx, j.Node, factsWait)
		if err == nil {
			err = j.purge(ctx, modules)
		}
		if err != nil {
			return j.called("commit", "purge", err)
		}
		return nil
	}
	old, err := inOldCode(ctx, j.Node)
	if err != nil {
		return j.called("commit", "processes", err)
	}
	if len(old) > 0 {
		return j.fault("commit", ErrTransient, "lingering", &LingeringError{Processes: old})
	}
	return nil
}

// makePermanent has release_handler do so, and sees to it that start_erl.data agrees.
func (j Job) makePermanent(ctx context.Context, f *folder, op, version string, state State) error {
	if state.Permanent != version {
		v, err := j.Node.Call(ctx, "release_handler", "make_permanent", erlangString(version))
		if err != nil {
			return j.called(op, "make_permanent", err)
		}
		if v != etf.Term(etf.Atom("ok")) {
			return j.fault(op, ErrBroken, "make_permanent", fmt.Errorf("make_permanent: %s", brief(v)))
		}
	}
	boots, err := j.boots()
	if err != nil || boots == version {
		return err
	}
	rel, err := j.relIn(f, version)
	if err != nil {
		return err
	}
	return f.overwrite("releases/start_erl.data", []byte(rel.ERTS+" "+version))
}

// scriptsOf is where the scripts of a version are kept while another one's are in bin: relx writes the version that it
// starts into its script.
func scriptsOf(version string) string { return versionDir(version) + "/.scripts" }

// keepScripts puts a copy of bin aside.
func (j Job) keepScripts(f *folder, version string) error {
	if f.exists(scriptsOf(version)) {
		return nil
	}
	names, err := f.names("bin")
	if err != nil {
		return err
	}
	stage, err := f.workshop()
	if err != nil {
		return err
	}
	dir := filepath.Join(stage, "scripts")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range names {
		info, err := f.root.Stat("bin/" + name)
		if err != nil || !info.Mode().IsRegular() {
			continue // a link to nowhere: no script
		}
		b, err := f.read("bin/" + name)
		if err != nil {
			return err
		}
		if err := j.put(filepath.Join(dir, name), b, info.Mode().Perm()); err != nil {
			return err
		}
	}
	if j.Owner != nil {
		uid := j.Owner.UID
		if j.Owner.ReadOnly {
			uid = -1
		}
		if err := os.Lchown(dir, uid, j.Owner.GID); err != nil {
			return err
		}
	}
	return f.moveIn(dir, scriptsOf(version))
}

// bringScripts puts the scripts of a tree's folder into bin, each in one step.
func (j Job) bringScripts(ctx context.Context, f *folder, tree, part string) error {
	stage, err := f.workshop()
	if err != nil {
		return err
	}
	dir := filepath.Join(stage, "bin")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := release.CopyPart(ctx, tree, part, dir, j.Owner); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if err := f.replace(filepath.Join(dir, e.Name()), "bin/"+e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// restoreScripts puts the scripts of a version back that keepScripts put aside; none were: they are in bin.
func (j Job) restoreScripts(f *folder, version string) error {
	names, err := f.names(scriptsOf(version))
	if err != nil {
		return err
	}
	stage, err := f.workshop()
	if err != nil {
		return err
	}
	for _, name := range names {
		from := scriptsOf(version) + "/" + name
		info, err := f.root.Stat(from)
		if err != nil {
			return err
		}
		b, err := f.read(from)
		if err != nil {
			return err
		}
		part := filepath.Join(stage, "script")
		if err := j.put(part, b, info.Mode().Perm()); err != nil {
			return err
		}
		if err := f.replace(part, "bin/"+name); err != nil {
			return err
		}
	}
	if err := f.remove(scriptsOf(version)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Revert takes the instance back to From by the downgrade instructions of To, and makes From what boots. It works before
// Commit and after, as long as the files of both are in Root. That From runs already is no error.
//
// After Commit, call Store.Upgraded with From's release.
//
// Errors: as of Install; ErrNoWayBack.
func (j Job) Revert(ctx context.Context, o Options) error {
	if err := j.checkNames(); err != nil {
		return j.fault("revert", ErrNotPossible, "name", err)
	}
	f, err := openFolder(j.Root)
	if err != nil {
		return j.filed("revert", err)
	}
	err = j.revert(ctx, f, o)
	return j.asError("revert", errors.Join(err, f.close()))
}

func (j Job) revert(ctx context.Context, f *folder, o Options) error {
	if err := j.install(ctx, "revert", j.To, j.From, o); err != nil {
		return err
	}
	state, _, err := j.look(ctx, 0)
	if err != nil {
		return err
	}
	if state.Running != j.From {
		return j.fault("revert", ErrBroken, "running", fmt.Errorf("it runs %q, not %q", state.Running, j.From))
	}
	if err := j.makePermanent(ctx, f, "revert", j.From, state); err != nil {
		return err
	}
	return errors.Join(j.restoreScripts(f, j.From), f.sync())
}
