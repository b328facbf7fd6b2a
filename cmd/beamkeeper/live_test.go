package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/actors"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/node"
)

// fakeTree notes what is asked of it.
type fakeTree struct {
	mu       sync.Mutex
	specs    []actors.AppSpec
	options  actors.ApplyOptions
	applies  int
	fails    error
	behind   map[string][]string
	leftover []string
	restarts []string
	mode     string
	events   []api.Event
}

func (f *fakeTree) Apply(_ context.Context, specs []actors.AppSpec, o actors.ApplyOptions) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails != nil {
		return f.fails
	}
	f.specs, f.options = specs, o
	f.applies++
	return nil
}

func (f *fakeTree) Behind(context.Context) (map[string][]string, error) { return f.behind, nil }

func (f *fakeTree) Instances(context.Context) (map[string][]string, error) {
	return map[string][]string{"shop": {"shop-abc123"}}, nil
}

func (f *fakeTree) Outdated(instance string) bool {
	return slices.Contains(f.behind["shop"], instance)
}

func (f *fakeTree) Leftovers(context.Context) ([]string, error) { return f.leftover, nil }

func (f *fakeTree) Emit(e api.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
}

func (f *fakeTree) Restart(_ context.Context, t api.Target) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails != nil {
		return f.fails
	}
	f.restarts = append(f.restarts, t.App)
	return nil
}

func (f *fakeTree) Status(context.Context) (api.Status, error) {
	return api.Status{Apps: []api.App{{Name: "shop", Mode: f.mode}}}, nil
}

// of lists the events of a type.
func (f *fakeTree) of(kind string) (list []api.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if e.Type == kind {
			list = append(list, e)
		}
	}
	return list
}

const twoApps = "account_name: prod\napplications:\n  - name: shop\n    replicas: 2\n    replica_ports: [{key: PORT, base: 4000}]\n  - name: cart\n"

// newTestLive is a live over a file of its own.
func newTestLive(t *testing.T, text string) (*live, *fakeTree, func(string)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "f.yaml")
	write := func(text string) { // whole, or not at all
		t.Helper()
		err := os.WriteFile(file+".new", []byte(text), 0o600)
		if err == nil {
			err = os.Rename(file+".new", file)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(text)
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	tree := &fakeTree{}
	l := newLive(cfg, cookies{node: "n"}, slog.New(slog.DiscardHandler))
	l.tree, l.then = tree, func(*config.Config) error { return nil }
	return l, tree, write
}

func problemsOf(l *live) string {
	var all []string
	for _, p := range l.problems() {
		all = append(all, p.What+" → "+p.Remedy)
	}
	return strings.Join(all, "\n")
}

func codeOf(err error) api.Code {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestLive_WaitsForTheOperator(t *testing.T) {
	t.Parallel()
	l, tree, write := newTestLive(t, twoApps)
	ctx := t.Context()
	write(strings.NewReplacer("replicas: 2", "replicas: 3", "prod", "test").Replace(twoApps))
	l.look(ctx, false)
	l.look(ctx, false)
	if tree.applies != 0 || len(tree.of(api.EventConfigChanged)) != 1 {
		t.Errorf("%d applies, events %+v", tree.applies, tree.events)
	}
	if p := problemsOf(l); !strings.Contains(p, "applications[shop].replicas") || !strings.Contains(p, "after a restart of the daemon: account_name") {
		t.Errorf("problems: %s", p)
	}
	d, err := l.ConfigDiff(ctx, api.ConfigDiffRequest{})
	if err != nil || len(d.Changes) != 2 {
		t.Fatalf("ConfigDiff = %+v, %v", d, err)
	}
	if _, err := l.ConfigApply(ctx, api.ConfigApplyRequest{SHA256: "another"}); codeOf(err) != api.CodeRefused || tree.applies != 0 {
		t.Errorf("applying what was not looked at: %v", err)
	}
	a, err := l.ConfigApply(ctx, api.ConfigApplyRequest{SHA256: d.SHA256})
	if err != nil || len(a.Applied) != 1 || len(a.Pending) != 1 || a.Pending[0].Path != "account_name" {
		t.Errorf("ConfigApply = %+v, %v", a, err)
	}
	if tree.specs[0].Replicas != 3 || !tree.options.Restart || l.config().AccountName != "prod" {
		t.Errorf("the tree got %+v, %+v; account %s", tree.specs, tree.options, l.config().AccountName)
	}
	if p := problemsOf(l); strings.Contains(p, "replicas") || !strings.Contains(p, "account_name") {
		t.Errorf("problems afterwards: %s", p)
	}
	if _, err := l.ConfigApply(ctx, api.ConfigApplyRequest{NoRestart: true}); err != nil || tree.options.Restart {
		t.Errorf("--no-restart: %+v, %v", tree.options, err)
	}
}

func TestLive_AppliesByItself(t *testing.T) {
	t.Parallel()
	l, tree, write := newTestLive(t, "config: {auto_apply: immediate}\n"+twoApps)
	write("config: {auto_apply: immediate}\n" + strings.NewReplacer("replicas: 2", "replicas: 3", "  - name: cart\n", "").Replace(twoApps))
	l.look(t.Context(), false)
	if tree.applies != 1 || len(tree.specs) != 2 || tree.specs[0].Replicas != 3 {
		t.Errorf("%d applies: %+v", tree.applies, tree.specs)
	}
	if p := problemsOf(l); !strings.Contains(p, "--confirm-removal cart") {
		t.Errorf("problems: %s", p)
	}
	l.look(t.Context(), false)
	if tree.applies != 1 {
		t.Errorf("applied %d times", tree.applies)
	}
	// A file that asks for it does not get it unasked.
	l, tree, write = newTestLive(t, twoApps)
	write("config: {auto_apply: immediate}\n" + strings.Replace(twoApps, "replicas: 2", "replicas: 3", 1))
	l.look(t.Context(), false)
	if tree.applies != 0 {
		t.Error("a file switched auto_apply on by itself")
	}
}

func TestLive_BrokenFileChangesNothing(t *testing.T) {
	t.Parallel()
	l, tree, write := newTestLive(t, "config: {auto_apply: immediate}\n"+twoApps)
	write(strings.Replace(twoApps, "replicas: 2", "replicas: two", 1))
	if l.look(t.Context(), false) {
		t.Error("a file that has just broken counts at once: it may be being written")
	}
	if len(tree.events) != 0 || len(l.problems()) != 0 {
		t.Errorf("told too early: %+v", tree.events)
	}
	for range 3 {
		if !l.look(t.Context(), true) {
			t.Error("not settled")
		}
	}
	if broken := tree.of(api.EventConfigBroken); len(broken) != 1 || !strings.Contains(broken[0].Message, ":4:") {
		t.Errorf("events %+v, want one with the line", broken)
	}
	if p := problemsOf(l); !strings.Contains(p, ":4:15: applications[0].replicas: must be a whole number") {
		t.Errorf("problems: %s", p)
	}
	if _, err := l.ConfigApply(t.Context(), api.ConfigApplyRequest{}); codeOf(err) != api.CodeRefused || tree.applies != 0 {
		t.Errorf("ConfigApply = %v", err)
	}
	if d, err := l.ConfigDiff(t.Context(), api.ConfigDiffRequest{}); err != nil || len(d.Broken) != 1 {
		t.Errorf("ConfigDiff = %+v, %v", d, err)
	}
	if err := os.Remove(l.file); err != nil {
		t.Fatal(err)
	}
	l.look(t.Context(), true)
	if p := problemsOf(l); !strings.Contains(p, "cannot be read") {
		t.Errorf("problems without the file: %s", p)
	}
	write("config: {auto_apply: immediate}\n" + twoApps)
	l.look(t.Context(), false)
	if len(l.problems()) != 0 || len(tree.of(api.EventConfigMended)) != 1 || tree.applies != 0 {
		t.Errorf("mended: %s, %+v", problemsOf(l), tree.events)
	}
}

func TestLive_RemovalTakesAWord(t *testing.T) {
	t.Parallel()
	l, tree, write := newTestLive(t, twoApps)
	ctx := t.Context()
	write(strings.Replace(twoApps, "  - name: cart\n", "", 1))
	tree.leftover = []string{"till"}
	for _, name := range []string{"shop", "other"} {
		if _, err := l.ConfigApply(ctx, api.ConfigApplyRequest{ConfirmRemoval: []string{name}}); codeOf(err) != api.CodeUsage || tree.applies != 0 {
			t.Errorf("confirming the removal of %s: %v", name, err)
		}
	}
	a, err := l.ConfigApply(ctx, api.ConfigApplyRequest{})
	if err != nil || !slices.Equal(a.Removals, []string{"cart", "till"}) || len(tree.specs) != 2 {
		t.Errorf("unconfirmed: %+v, %v; specs %d", a, err, len(tree.specs))
	}
	a, err = l.ConfigApply(ctx, api.ConfigApplyRequest{ConfirmRemoval: []string{"cart", "till"}})
	if err != nil || !slices.Equal(a.Removing, []string{"cart", "till"}) || len(tree.specs) != 1 || !slices.Equal(tree.options.Remove, []string{"till"}) {
		t.Errorf("confirmed: %+v, %v; specs %d, %+v", a, err, len(tree.specs), tree.options)
	}
	if hasApp(l.config(), "cart") {
		t.Error("cart is still in force")
	}
}

func TestLive_AKeptAppKeepsItsPorts(t *testing.T) {
	t.Parallel()
	l, tree, write := newTestLive(t, twoApps)
	write("account_name: prod\napplications:\n  - name: till\n    replica_ports: [{key: PORT, base: 4001}]\n  - name: cart\n")
	if _, err := l.ConfigApply(t.Context(), api.ConfigApplyRequest{}); codeOf(err) != api.CodeRefused || tree.applies != 0 || !strings.Contains(err.Error(), "(shop)") {
		t.Errorf("ConfigApply = %v, want the clash with shop", err)
	}
	if _, err := l.ConfigApply(t.Context(), api.ConfigApplyRequest{ConfirmRemoval: []string{"shop"}}); err != nil {
		t.Errorf("with shop gone: %v", err)
	}
}

func TestLive_WhatTheTreeRefusesIsNotInForce(t *testing.T) {
	t.Parallel()
	l, tree, write := newTestLive(t, twoApps)
	write(strings.Replace(twoApps, "replicas: 2", "replicas: 3", 1))
	tree.fails = errors.New("disk full")
	if _, err := l.ConfigApply(t.Context(), api.ConfigApplyRequest{}); codeOf(err) != api.CodeRefused || l.config().Applications[0].Replicas != 2 {
		t.Errorf("ConfigApply = %v, in force: %d replicas", err, l.config().Applications[0].Replicas)
	}
	tree.fails = nil
	if _, err := l.ConfigApply(t.Context(), api.ConfigApplyRequest{}); err != nil || l.config().Applications[0].Replicas != 3 {
		t.Errorf("ConfigApply again = %v", err)
	}
}

func TestLive_InstancesKeepTheirCookieUntilTheirNextStart(t *testing.T) {
	t.Parallel()
	l, tree, write := newTestLive(t, twoApps)
	file := filepath.Join(filepath.Dir(l.file), "cookie")
	if err := os.WriteFile(file, []byte("secret"), 0o400); err != nil {
		t.Fatal(err)
	}
	l.now.Load().cookies.apps = map[string]node.Cookie{"shop": "n", "cart": "n"}
	write(strings.Replace(twoApps, "replicas: 2", "cookie_file: cookie\n    replicas: 2", 1))
	tree.behind = map[string][]string{"shop": {"shop-abc123"}}
	if _, err := l.ConfigApply(t.Context(), api.ConfigApplyRequest{}); err != nil {
		t.Fatal(err)
	}
	old, fresh := node.Name{Alive: "shop-abc123", Host: "h"}, node.Name{Alive: "shop-def456", Host: "h"}
	if a, b := l.cookieOf(old), l.cookieOf(fresh); a != "n" || b != "secret" {
		t.Errorf("cookies %q of the old one, %q of the new one", string(a), string(b))
	}
	tree.behind = nil
	if c := l.cookieOf(old); c != "secret" {
		t.Errorf("cookie %q of one that was started again", string(c))
	}
}

func TestLive_WithoutAFile(t *testing.T) {
	t.Parallel()
	cfg, err := config.FromVariables([]string{"DEPLOYEX_MONITORED_APP_NAME=shop"})
	if err != nil {
		t.Fatal(err)
	}
	l := newLive(cfg, cookies{}, slog.New(slog.DiscardHandler))
	if l.watchFile() != nil {
		t.Error("a file is watched")
	}
	if _, err := l.ConfigApply(t.Context(), api.ConfigApplyRequest{}); codeOf(err) != api.CodeRefused {
		t.Errorf("ConfigApply = %v", err)
	}
}

// TestLive_Watches: the whole way from the kernel's word to the problem and back.
func TestLive_Watches(t *testing.T) {
	t.Parallel()
	l, tree, write := newTestLive(t, twoApps)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { l.watch(ctx, l.watchFile()) })
	t.Cleanup(func() { cancel(); running.Wait() })
	await := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not told of %s: %+v", what, tree.of(api.EventConfigChanged))
			}
		}
	}
	write("applications: [")
	await("a broken file", func() bool { return len(tree.of(api.EventConfigBroken)) == 1 })
	write(strings.Replace(twoApps, "replicas: 2", "replicas: 1", 1))
	await("a changed file", func() bool {
		return len(tree.of(api.EventConfigMended)) == 1 && len(tree.of(api.EventConfigChanged)) == 1
	})
	write(twoApps)
	await("the file as it was", func() bool { return len(l.problems()) == 0 })
}
