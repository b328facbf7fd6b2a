package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/beamkeeper/beamkeeper/actors"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/filewatch"
	"github.com/beamkeeper/beamkeeper/node"
)

// brokenLasts is how long a file must be broken before that is told: one that is written in place is for a moment.
const brokenLasts = time.Second

// inForce is a configuration with the cookies that belong to it. It is never changed.
type inForce struct {
	cfg     *config.Config
	cookies cookies
	older   map[string]node.Cookie // by instance: the cookie that it was started with, if that is another one by now
}

// live is the configuration while the daemon runs: what is in force, what the file says, and what of that waits.
type live struct {
	// constant
	file string // its path; empty: the configuration came from DEPLOYEX_* variables
	log  *slog.Logger
	tree liveTree
	then func(*config.Config) error // takes over what the tree does not, once it is in force

	now atomic.Pointer[inForce]

	applying sync.Mutex // held by whoever puts something in force, or looks at the file
	kept     string     // sum of the copy that was kept; guarded by applying

	mu      sync.Mutex
	sum     string // of the file's content when it was last looked at
	broken  *config.Error
	unread  error // the file cannot be read
	since   time.Time
	pending []config.Change // what the file has and is not in force
	told    string          // of which pending changes were told, by their sum
}

// liveTree is what is needed of *actors.System.
type liveTree interface {
	Apply(ctx context.Context, specs []actors.AppSpec, o actors.ApplyOptions) error
	Behind(ctx context.Context) (map[string][]string, error)
	Leftovers(ctx context.Context) ([]string, error)
	Outdated(instance string) bool
	Instances(ctx context.Context) (map[string][]string, error)
	Emit(e api.Event)
}

func newLive(cfg *config.Config, c cookies, log *slog.Logger) *live {
	l := &live{log: log}
	if cfg.FromFile {
		l.file = cfg.File
		if abs, err := filepath.Abs(cfg.File); err == nil {
			l.file = abs
		}
	}
	l.now.Store(&inForce{cfg: cfg, cookies: c})
	return l
}

// config is what is in force.
func (l *live) config() *config.Config { return l.now.Load().cfg }

// cookieOf gives the cookie of a peer. An instance that was not started again since its app's cookie changed has the older
// one; a daemon that was started meanwhile does not know that.
func (l *live) cookieOf(peer node.Name) node.Cookie {
	now := l.now.Load()
	if c, ok := now.older[peer.Alive]; ok && l.tree.Outdated(peer.Alive) {
		return c
	}
	return now.cookies.of(peer)
}

// read reads the file. What was read is given also when it is no configuration.
func (l *live) read() (cfg *config.Config, b []byte, err error) {
	if l.file == "" {
		return nil, nil, api.Errorf(api.CodeRefused, "this daemon runs with DEPLOYEX_* variables and has no configuration file")
	}
	f, err := os.Open(l.file)
	if err != nil {
		return nil, nil, fmt.Errorf("the configuration cannot be read: %w", err)
	}
	defer f.Close()
	if b, err = io.ReadAll(io.LimitReader(f, config.MaxFileBytes+1)); err != nil {
		return nil, nil, fmt.Errorf("the configuration cannot be read: %w", err)
	}
	cfg, err = config.Parse(l.file, b)
	return cfg, b, err
}

func sumOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// watch looks at the file whenever it may have changed, until ctx ends. The first look is before anything has changed.
func (l *live) watch(ctx context.Context, w *filewatch.Watch) {
	changes := make(chan struct{}, 1)
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() {
		w.Run(ctx, func() {
			select {
			case changes <- struct{}{}:
			default: // one look is enough
			}
		})
	})
	again := time.NewTimer(0)
	defer again.Stop()
	sure := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
			sure = false
		case <-again.C:
		}
		if l.look(ctx, sure) {
			sure = false
			continue
		}
		sure = true
		again.Reset(brokenLasts)
	}
}

// look compares the file with what is in force, and tells of what is new. settled is false when the file is broken and
// that has not lasted, as sure says it has.
func (l *live) look(ctx context.Context, sure bool) (settled bool) {
	l.applying.Lock()
	cfg, b, err := l.read()
	sum := sumOf(b)
	if err != nil && !sure && !l.knownBroken(err) {
		l.applying.Unlock()
		return false
	}
	news := l.note(cfg, sum, err)
	if err == nil && len(l.waiting()) == 0 {
		l.keep(b, sum)
	}
	l.applying.Unlock()
	if !news {
		return true
	}
	if cfg == nil || l.config().Live.AutoApply != "immediate" {
		return true
	}
	if _, err := l.apply(ctx, api.ConfigApplyRequest{SHA256: sum}, "config.auto_apply"); err != nil && ctx.Err() == nil {
		l.log.Error("a changed configuration could not be applied", "file", l.file, "err", err)
	}
	return true
}

func (l *live) knownBroken(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unread != nil && l.unread.Error() == err.Error() || l.broken != nil && l.broken.Error() == err.Error()
}

// note takes down how the file is, and tells of it if that is new. worth says that there is something to apply.
func (l *live) note(cfg *config.Config, sum string, err error) (worth bool) {
	before := l.wrong()
	l.mu.Lock()
	l.sum = sum
	l.broken, l.unread = nil, nil
	if err != nil && !errors.As(err, &l.broken) {
		l.unread = err
	}
	if err == nil {
		l.pending = config.Diff(l.config(), cfg)
	}
	pending := slices.Clone(l.pending)
	news := err == nil && len(pending) > 0 && l.told != sum
	switch {
	case err == nil && len(pending) == 0:
		l.since, l.told = time.Time{}, ""
	case l.since.IsZero() || news:
		l.since = time.Now()
	}
	if news {
		l.told = sum
	}
	l.mu.Unlock()

	switch now := l.wrong(); {
	case now != "" && now != before:
		l.log.Error("the configuration is broken; nothing changes until it is mended", "file", l.file, "err", now)
		l.tree.Emit(api.Event{Type: api.EventConfigBroken, Level: "error",
			Message: "the configuration is broken; nothing changes until it is mended: " + now, Data: map[string]any{"file": l.file}})
	case now == "" && before != "":
		l.log.Info("the configuration is whole again", "file", l.file)
		l.tree.Emit(api.Event{Type: api.EventConfigMended, Message: l.file + " is whole again", Data: map[string]any{"file": l.file}})
	}
	if news {
		l.log.Info("the configuration has changed", "file", l.file, "changes", firstChanges(pending))
		l.tree.Emit(api.Event{Type: api.EventConfigChanged, Message: fmt.Sprintf("%s has %s that are not in force: %s", l.file, plural(len(pending), "change"), firstChanges(pending)),
			Data: map[string]any{"file": l.file, "changes": len(pending), "sha256": sum}})
	}
	return news
}

// waiting are the changes of the file that are not in force.
func (l *live) waiting() []config.Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pending
}

// wrong says what is wrong with the file, a line for each problem; empty: nothing.
func (l *live) wrong() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.broken != nil:
		return l.broken.Error()
	case l.unread != nil:
		return l.unread.Error()
	}
	return ""
}

// firstChanges names the first of the changes.
func firstChanges(changes []config.Change) string {
	const most = 3
	var words []string
	for _, c := range changes[:min(most, len(changes))] {
		word := c.Path
		if c.Op != config.OpChanged {
			word += " " + c.Op
		}
		words = append(words, word)
	}
	if len(changes) > most {
		words = append(words, fmt.Sprintf("and %d more", len(changes)-most))
	}
	return strings.Join(words, ", ")
}

// problems are those that the status of the daemon shows.
func (l *live) problems() []api.Problem {
	wrong := l.wrong()
	l.mu.Lock()
	defer l.mu.Unlock()
	since := api.Time{Time: l.since.UTC()}
	var list []api.Problem
	if wrong != "" {
		list = append(list, api.Problem{Since: since, What: "the configuration is broken, and what was in force before stays so: " + wrong, Remedy: "mend it; it is read again at once"})
	}
	var waiting, restart []config.Change
	for _, c := range l.pending {
		switch {
		case removal(c):
			list = append(list, api.Problem{Since: since, What: fmt.Sprintf("app %s is not in the configuration any more; it runs on until its removal is confirmed", c.App),
				Remedy: "beamkeeper config apply --confirm-removal " + c.App + ", or put it back into the file"})
		case c.Class == config.ClassDaemonRestart:
			restart = append(restart, c)
		case c.Class != config.ClassNone:
			waiting = append(waiting, c)
		}
	}
	if len(waiting) > 0 {
		list = append(list, api.Problem{Since: since, What: fmt.Sprintf("the configuration has %s that are not in force: %s", plural(len(waiting), "change"), firstChanges(waiting)),
			Remedy: "beamkeeper config diff shows them, beamkeeper config apply puts them in force"})
	}
	if len(restart) > 0 {
		list = append(list, api.Problem{Since: since, What: fmt.Sprintf("%s of the configuration count only after a restart of the daemon: %s", plural(len(restart), "change"), firstChanges(restart)),
			Remedy: "restart the daemon; the instances run on"})
	}
	return list
}

// removal says whether a change takes an app away.
func removal(c config.Change) bool {
	return c.Op == config.OpRemoved && c.App != "" && c.Path == "applications["+c.App+"]"
}

// watchFile is the watch of the file, nil when there is none.
func (l *live) watchFile() *filewatch.Watch {
	if l.file == "" {
		return nil
	}
	return filewatch.New(l.file, filewatch.Options{Log: l.log})
}
