package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
)

func TestFlags_Consume(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	flag := filepath.Join(dir, restartFlag)
	tree := &fakeTree{mode: "automatic"}
	f := newFlags(t.Context(), tree, slog.New(slog.DiscardHandler))
	touch := func() {
		t.Helper()
		if err := os.WriteFile(flag, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	there := func() bool { _, err := os.Lstat(flag); return err == nil }

	if err := f.consume(t.Context(), "shop", dir); err != nil || len(tree.restarts) != 0 {
		t.Errorf("without a flag: %v, %v", err, tree.restarts)
	}
	if err := f.consume(t.Context(), "shop", filepath.Join(dir, "none")); err != nil {
		t.Errorf("without the folder: %v", err)
	}
	touch()
	if err := f.consume(t.Context(), "shop", dir); err != nil || len(tree.restarts) != 1 || there() {
		t.Errorf("with a flag: %v, %v, still there: %t", err, tree.restarts, there())
	}
	if e := tree.of(api.EventRestartFlag); len(e) != 1 || e[0].App != "shop" || e[0].Data["owner"] == "" || !strings.Contains(e[0].Message, "restart of shop") {
		t.Errorf("events %+v", e)
	}

	// While a deployment is under way the flag stays.
	touch()
	tree.fails = errors.New("deployment d1 is under way")
	if err := f.consume(t.Context(), "shop", dir); err == nil || !there() {
		t.Errorf("refused: %v, still there: %t", err, there())
	}
	tree.fails = nil

	// Of a stopped app it goes without anything done.
	tree.mode = modeStopped
	if err := f.consume(t.Context(), "shop", dir); err != nil || there() || len(tree.restarts) != 1 {
		t.Errorf("of a stopped app: %v, still there: %t, %v", err, there(), tree.restarts)
	}
	tree.mode = "automatic"

	// A link leads nowhere: it is removed, what it leads to is not.
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, flag); err != nil {
		t.Fatal(err)
	}
	if err := f.consume(t.Context(), "shop", dir); err != nil || there() || len(tree.restarts) != 1 {
		t.Errorf("a link: %v, still there: %t, %v", err, there(), tree.restarts)
	}
	if _, err := os.Stat(victim); err != nil {
		t.Error("what the link leads to is gone")
	}
}

func TestFlags_FollowTheConfiguration(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	tree := &fakeTree{mode: "automatic"}
	ctx, cancel := context.WithCancel(t.Context())
	f := newFlags(ctx, tree, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { cancel(); f.wait() })
	await := func(what string, restarts int) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(2 * time.Millisecond) {
			if n := len(tree.of(api.EventRestartFlag)); n == restarts {
				return
			} else if n > restarts || time.Now().After(deadline) {
				t.Fatalf("%s: %d restarts, want %d", what, n, restarts)
			}
		}
	}
	touch := func(dir string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, restartFlag), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.set(&config.Config{VarPath: base, Applications: []config.App{{Name: "shop"}}})
	dir := filepath.Join(base, "flags", "shop")
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o770 {
		t.Fatalf("the folder: %v, %v, want mode 0770", info, err)
	}
	touch(dir)
	await("a flag", 1)
	moved := filepath.Join(base, "elsewhere")
	if err := os.Mkdir(moved, 0o700); err != nil {
		t.Fatal(err)
	}
	touch(moved)
	f.set(&config.Config{VarPath: base, Applications: []config.App{{Name: "shop", FlagsDir: moved}, {Name: "cart"}}})
	await("a flag that was there before", 2)
	if info, err := os.Stat(moved); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the mode of a folder that was there: %v, %v", info, err)
	}
	touch(moved)
	await("a flag in the other folder", 3)
	tree.mu.Lock()
	tree.fails = errors.New("a deployment is under way")
	tree.mu.Unlock()
	touch(filepath.Join(base, "flags", "cart"))
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		f.mu.Lock()
		waits := f.waiting["cart"]
		f.mu.Unlock()
		if waits {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the flag does not wait")
		}
	}
	tree.mu.Lock()
	tree.fails = nil
	tree.mu.Unlock()
	await("a flag that had to wait", 4)
	f.set(&config.Config{VarPath: base})
	touch(moved)
	f.scan("")
	await("a flag of an app that is gone", 4)
}
