package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/beamkeeper/beamkeeper/actors"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/secrets"
	"github.com/beamkeeper/beamkeeper/node"
)

// ConfigDiff implements api.Configuration.
func (l *live) ConfigDiff(ctx context.Context, r api.ConfigDiffRequest) (api.ConfigDiff, error) {
	d := api.ConfigDiff{File: l.file, Changes: []api.ConfigChange{}, Removals: []string{}, Restarts: []api.ConfigRestart{}, AutoApply: l.config().Live.AutoApply}
	var cfg *config.Config
	var err error
	if r.Content != "" {
		d.SHA256 = sumOf([]byte(r.Content))
		cfg, err = config.Parse(l.file, []byte(r.Content)) // as if it were the daemon's file
	} else {
		var b []byte
		cfg, b, err = l.read()
		d.SHA256 = sumOf(b)
	}
	var bad *config.Error
	switch {
	case errors.As(err, &bad):
		d.Broken = strings.Split(bad.Error(), "\n")
		return d, nil
	case err != nil:
		return d, err
	}
	d.Changes = apiChanges(config.Diff(l.config(), cfg))
	if d.Removals, err = l.removals(ctx, cfg); err != nil {
		return d, err
	}
	behind, err := l.tree.Behind(ctx)
	if err != nil {
		return d, err
	}
	for _, app := range slices.Sorted(maps.Keys(behind)) {
		d.Restarts = append(d.Restarts, api.ConfigRestart{App: app, Instances: behind[app]})
	}
	return d, nil
}

func apiChanges(list []config.Change) []api.ConfigChange {
	all := make([]api.ConfigChange, len(list))
	for i, c := range list {
		all[i] = api.ConfigChange{Path: c.Path, App: c.App, Op: c.Op, Old: c.Old, New: c.New, Class: string(c.Class)}
	}
	return all
}

// removals are the apps whose instances are there and that cfg does not have: those in force, and those that the file did
// not have when the daemon started.
func (l *live) removals(ctx context.Context, cfg *config.Config) ([]string, error) {
	left, err := l.tree.Leftovers(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range l.config().Applications {
		left = append(left, a.Name)
	}
	list := []string{}
	for _, name := range left {
		if !hasApp(cfg, name) && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list, nil
}

func hasApp(cfg *config.Config, name string) bool {
	return slices.ContainsFunc(cfg.Applications, func(a config.App) bool { return a.Name == name })
}

// ConfigApply implements api.Configuration.
func (l *live) ConfigApply(ctx context.Context, r api.ConfigApplyRequest) (api.ConfigApplied, error) {
	who := "an operator"
	if c, ok := api.CallerFrom(ctx); ok {
		who = fmt.Sprintf("uid %d", c.UID)
	}
	return l.apply(ctx, r, who)
}

// apply puts the file in force, as far as that goes while the daemon runs.
func (l *live) apply(ctx context.Context, r api.ConfigApplyRequest, who string) (api.ConfigApplied, error) {
	l.applying.Lock()
	defer l.applying.Unlock()
	done := api.ConfigApplied{File: l.file, Applied: []api.ConfigChange{}, Pending: []api.ConfigChange{}, Removals: []string{}, Removing: []string{}, Restarting: []string{}}
	cfg, b, err := l.read()
	sum := sumOf(b)
	if l.file != "" {
		l.note(cfg, sum, err)
	}
	if err != nil {
		return done, notApplied(err)
	}
	if r.SHA256 != "" && r.SHA256 != sum {
		e := api.Errorf(api.CodeRefused, "%s has changed since it was shown; nothing was applied", l.file)
		e.Hint = "beamkeeper config diff"
		return done, e
	}
	gone, err := l.removals(ctx, cfg)
	if err != nil {
		return done, err
	}
	var keep, leftovers []string
	for _, name := range r.ConfirmRemoval {
		if !slices.Contains(gone, name) {
			e := api.Errorf(api.CodeUsage, "app %q is not one that is to be removed", name)
			e.Hint = "take it out of " + l.file + " first"
			if len(gone) > 0 {
				e.Hint = "those are " + strings.Join(gone, ", ")
			}
			return done, e
		}
		done.Removing = append(done.Removing, name)
		if !hasApp(l.config(), name) {
			leftovers = append(leftovers, name)
		}
	}
	for _, name := range gone {
		if !slices.Contains(done.Removing, name) {
			keep = append(keep, name)
		}
	}
	before := l.now.Load()
	next, err := config.InForce(before.cfg, cfg, keep)
	if err != nil {
		return done, notApplied(fmt.Errorf("with the apps that are kept until their removal is confirmed (%s): %w", strings.Join(keep, ", "), err))
	}
	c, err := appCookies(next, before.cookies.node)
	if err != nil {
		return done, notApplied(err)
	}
	changes := config.Diff(before.cfg, next)
	older, err := l.olderCookies(ctx, before, c)
	if err != nil {
		return done, err
	}
	l.now.Store(&inForce{cfg: next, cookies: c, older: older}) // first: instances that start with it must be let in
	err = l.tree.Apply(ctx, appSpecs(next, c), actors.ApplyOptions{Restart: !r.NoRestart, Remove: leftovers})
	if err != nil {
		l.now.Store(before)
		return done, notApplied(err)
	}
	err = l.then(next)
	l.keep(b, sum)
	done.Applied, done.Removals = apiChanges(changes), append(done.Removals, keep...)
	if !r.NoRestart {
		behind, err := l.tree.Behind(ctx)
		if err != nil {
			return done, err
		}
		done.Restarting = append(done.Restarting, slices.Sorted(maps.Keys(behind))...)
	}
	l.mu.Lock()
	l.told = sum
	l.mu.Unlock()
	l.note(cfg, sum, nil)
	for _, p := range config.Diff(next, cfg) {
		if !removal(p) {
			done.Pending = append(done.Pending, apiChanges([]config.Change{p})...)
		}
	}
	if len(changes)+len(done.Removing)+len(done.Restarting) > 0 {
		l.log.Info("the configuration was applied", "file", l.file, "by", who, "changes", firstChanges(changes), "removing", done.Removing, "restarting", done.Restarting)
		l.tree.Emit(api.Event{Type: api.EventConfigApplied, Message: fmt.Sprintf("%s was applied (%s): %s", l.file, who, or(firstChanges(changes), "instances get the settings in force")),
			Data: map[string]any{"file": l.file, "sha256": sum, "changes": len(changes), "removing": done.Removing, "restarting": done.Restarting, "by": who}})
	}
	if err != nil {
		return done, &api.Error{Code: api.CodeFailed, Message: "the configuration is in force, but for this: " + err.Error(), Err: err}
	}
	return done, nil
}

// olderCookies gives the cookies of the instances that were started with another one than their app has in c.
func (l *live) olderCookies(ctx context.Context, before *inForce, c cookies) (map[string]node.Cookie, error) {
	older := make(map[string]node.Cookie)
	for instance, cookie := range before.older {
		if l.tree.Outdated(instance) {
			older[instance] = cookie
		}
	}
	running, err := l.tree.Instances(ctx)
	if err != nil {
		return nil, err
	}
	for app, names := range running {
		was, known := before.cookies.apps[app]
		if !known || was == c.apps[app] {
			continue
		}
		for _, name := range names {
			if _, there := older[name]; !there {
				older[name] = was
			}
		}
	}
	return older, nil
}

// notApplied tells people that nothing has changed.
func notApplied(err error) error {
	var e *api.Error
	if errors.As(err, &e) {
		return e
	}
	return &api.Error{Code: api.CodeRefused, Message: "nothing was applied: " + err.Error(), Err: err}
}

// appCookies reads the cookies of the apps that have their own. That of the node cannot change while it runs.
func appCookies(cfg *config.Config, own node.Cookie) (cookies, error) {
	c := cookies{node: own, apps: make(map[string]node.Cookie)}
	for _, a := range cfg.Applications {
		c.apps[a.Name] = own
		if a.CookieFile == "" {
			continue
		}
		read, err := secrets.LoadCookie(a.CookieFile)
		if err != nil {
			return cookies{}, fmt.Errorf("app %q: %w", a.Name, err)
		}
		c.apps[a.Name] = node.Cookie(read.Reveal())
	}
	return c, nil
}

// settle gives the instances that lag behind the settings in force those, if that is to happen by itself. It is for the
// start of the daemon, whose file may have changed while there was none.
func (l *live) settle(ctx context.Context) error {
	if l.config().Live.AutoApply != "immediate" {
		return nil
	}
	l.applying.Lock()
	defer l.applying.Unlock()
	now := l.now.Load()
	return l.tree.Apply(ctx, appSpecs(now.cfg, now.cookies), actors.ApplyOptions{Restart: true})
}
