package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/filewatch"
	"github.com/beamkeeper/beamkeeper/internal/process"
)

// restartFlag is the file that asks for a restart.
const restartFlag = "restart.flag"

// flagAgain is how long it takes until what could not be done is tried again: a deployment is under way, say.
const flagAgain = 2 * time.Second

// flags watches each app's folder for a file restart.flag. Whoever may write there, and nothing else on the host, can have
// the app restarted with it.
type flags struct {
	ctx  context.Context
	log  *slog.Logger
	tree flagTree

	mu      sync.Mutex
	watched map[string]flagWatch // by app
	running sync.WaitGroup
}

// flagTree is what is needed of *actors.System.
type flagTree interface {
	Restart(ctx context.Context, t api.Target) error
	Status(ctx context.Context) (api.Status, error)
	Emit(e api.Event)
}

type flagWatch struct {
	dir  string
	stop context.CancelFunc
}

// newFlags watches nothing yet. What it starts ends with ctx.
func newFlags(ctx context.Context, tree flagTree, log *slog.Logger) *flags {
	return &flags{ctx: ctx, log: log, tree: tree, watched: make(map[string]flagWatch)}
}

// flagsDir is where an app's flag is looked for.
func flagsDir(cfg *config.Config, a config.App) string {
	if a.FlagsDir != "" {
		return a.FlagsDir
	}
	return filepath.Join(cfg.VarPath, "flags", a.Name)
}

// set watches for the apps of cfg, and no others.
func (f *flags) set(cfg *config.Config) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return
	}
	wanted := make(map[string]bool)
	for _, a := range cfg.Applications {
		dir := flagsDir(cfg, a)
		wanted[a.Name] = true
		if err := makeFlagsDir(dir, cfg.Control.Group); err != nil {
			f.log.Warn("nobody can ask for a restart by "+restartFlag, "app", a.Name, "dir", dir, "err", err)
		}
		old, there := f.watched[a.Name]
		if there && old.dir == dir {
			continue
		}
		if there {
			old.stop()
		}
		ctx, cancel := context.WithCancel(f.ctx)
		f.watched[a.Name] = flagWatch{dir: dir, stop: cancel}
		f.running.Go(func() { f.watch(ctx, a.Name, dir) })
	}
	for app, w := range f.watched {
		if !wanted[app] {
			w.stop()
			delete(f.watched, app)
		}
	}
}

// wait returns when nothing is watched any more, after the end of the context.
func (f *flags) wait() {
	f.mu.Lock()   // so that set has begun nothing new
	f.mu.Unlock() //nolint:staticcheck // it was only waited for
	f.running.Wait()
}

// makeFlagsDir makes the folder where it is missing, for its group to write to.
func makeFlagsDir(dir, group string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil // as its owner has it
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o770); err != nil {
		return err
	}
	if group != "" {
		gid, err := process.LookupGroup(group)
		if err == nil {
			err = os.Chown(dir, -1, int(gid))
		}
		if err != nil {
			return err
		}
	}
	return os.Chmod(dir, 0o770)
}

// watch restarts the app for each flag until ctx ends, for one that is there already too.
func (f *flags) watch(ctx context.Context, app, dir string) {
	w := filewatch.New(filepath.Join(dir, restartFlag), filewatch.Options{Log: f.log})
	changes := make(chan struct{}, 1)
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() {
		w.Run(ctx, func() {
			select {
			case changes <- struct{}{}:
			default:
			}
		})
	})
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
		case <-again.C:
		}
		if err := f.consume(ctx, app, dir); err != nil && ctx.Err() == nil {
			f.log.Info(restartFlag+" waits", "app", app, "err", err)
			again.Reset(flagAgain)
		}
	}
}

// consume does what a flag asks for and removes it. That there is none is no error.
func (f *flags) consume(ctx context.Context, app, dir string) error {
	root, err := os.OpenRoot(dir) // so that a link in the folder leads nowhere
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	info, err := root.Lstat(restartFlag)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	who := ownerName(info)
	event := api.Event{Type: api.EventRestartFlag, Level: "warning", App: app, Data: map[string]any{"file": filepath.Join(dir, restartFlag), "owner": who}}
	switch {
	case !info.Mode().IsRegular():
		event.Message = fmt.Sprintf("%s of %s is no plain file (its owner is %s): nothing is done", restartFlag, app, who)
	case f.stopped(ctx, app):
		event.Message = fmt.Sprintf("%s asked for a restart of %s by %s, but the app is stopped: nothing is done", who, app, restartFlag)
	default:
		// The restart is in the state store before the flag is gone: a daemon that is killed between restarts once more.
		if err := f.tree.Restart(ctx, api.Target{App: app}); err != nil {
			return err
		}
		event.Level, event.Message = "info", fmt.Sprintf("%s asked for a restart of %s by %s", who, app, restartFlag)
	}
	if err := root.RemoveAll(restartFlag); err != nil {
		return err
	}
	f.tree.Emit(event)
	return nil
}

func (f *flags) stopped(ctx context.Context, app string) bool {
	st, err := f.tree.Status(ctx)
	if err != nil {
		return false
	}
	for _, a := range st.Apps {
		if a.Name == app {
			return a.Mode == modeStopped
		}
	}
	return false
}

// ownerName is the name of a file's owner, or its number.
func ownerName(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "somebody"
	}
	uid := strconv.Itoa(int(st.Uid))
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return "uid " + uid
}
