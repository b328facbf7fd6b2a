package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/process"
)

// restartFlag is the file that asks for a restart.
const restartFlag = "restart.flag"

// flagAgain is how often all folders are looked at: for what could not be done, as while a deployment is under way, and for
// what the kernel has not told.
const flagAgain = 2 * time.Second

// flags watches each app's folder for a file restart.flag. Whoever may write there, and nothing else on the host, can have
// the app restarted with it.
type flags struct {
	ctx  context.Context
	log  *slog.Logger
	tree flagTree
	fs   *fsnotify.Watcher // one for all: a user has few of them; nil: the kernel does not tell
	look chan struct{}

	mu      sync.Mutex
	dirs    map[string]string // by app
	busy    map[string]bool   // apps whose flag is being dealt with
	waiting map[string]bool   // apps whose flag could not be dealt with, which was told
	running sync.WaitGroup
}

// flagTree is what is needed of *actors.System.
type flagTree interface {
	Restart(ctx context.Context, t api.Target) error
	Status(ctx context.Context) (api.Status, error)
	Emit(e api.Event)
}

// newFlags watches nothing yet. What it starts ends with ctx.
func newFlags(ctx context.Context, tree flagTree, log *slog.Logger) *flags {
	f := &flags{
		ctx: ctx, log: log, tree: tree, look: make(chan struct{}, 1),
		dirs: make(map[string]string), busy: make(map[string]bool), waiting: make(map[string]bool),
	}
	var err error
	if f.fs, err = fsnotify.NewWatcher(); err != nil {
		log.Warn("the kernel does not tell of "+restartFlag+", looking for it now and then", "err", err)
	}
	f.running.Go(f.run)
	return f
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
	dirs := make(map[string]string)
	for _, a := range cfg.Applications {
		dir := flagsDir(cfg, a)
		dirs[a.Name] = dir
		if err := makeFlagsDir(dir, cfg.Control.Group); err != nil {
			f.log.Warn("nobody can ask for a restart by "+restartFlag, "app", a.Name, "dir", dir, "err", err)
			continue
		}
		if f.fs == nil || slices.Contains(f.fs.WatchList(), dir) {
			continue
		}
		if err := f.fs.Add(dir); err != nil {
			f.log.Warn("a folder cannot be watched, looking at it now and then", "dir", dir, "err", err)
		}
	}
	for _, dir := range f.dirs {
		if f.fs != nil && !slices.Contains(slices.Collect(maps.Values(dirs)), dir) {
			_ = f.fs.Remove(dir) // it may be gone
		}
	}
	f.dirs = dirs
	select {
	case f.look <- struct{}{}:
	default:
	}
}

// wait returns when nothing is watched any more, after the end of the context.
func (f *flags) wait() { f.running.Wait() }

// run deals with flags until the context ends, with those that are there already too.
func (f *flags) run() {
	again := time.NewTicker(flagAgain)
	defer again.Stop()
	var events <-chan fsnotify.Event
	if f.fs != nil {
		events = f.fs.Events
		defer f.fs.Close()
	}
	for {
		select {
		case <-f.ctx.Done():
			return
		case e, ok := <-events:
			if !ok {
				events = nil
			} else if filepath.Base(e.Name) == restartFlag && !e.Has(fsnotify.Remove) {
				f.scan(filepath.Dir(e.Name))
			}
		case <-f.look:
			f.scan("")
		case <-again.C:
			f.scan("")
		}
	}
}

// scan deals with the flag in a folder, or in all with an empty one. Apps do not wait for each other.
func (f *flags) scan(only string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for app, dir := range f.dirs {
		if only != "" && dir != only || f.busy[app] {
			continue
		}
		if _, err := os.Lstat(filepath.Join(dir, restartFlag)); err != nil {
			continue
		}
		f.busy[app] = true
		f.running.Go(func() {
			err := f.consume(f.ctx, app, dir)
			f.mu.Lock()
			defer f.mu.Unlock()
			f.busy[app] = false
			if err != nil && !f.waiting[app] && f.ctx.Err() == nil {
				f.log.Info(restartFlag+" waits", "app", app, "err", err)
			}
			f.waiting[app] = err != nil
		})
	}
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
