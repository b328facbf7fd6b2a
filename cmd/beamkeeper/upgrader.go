package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/beamkeeper/beamkeeper/actors"
	"github.com/beamkeeper/beamkeeper/internal/upgrade"
	"github.com/beamkeeper/beamkeeper/release"
)

// upgrader takes running instances to other versions, by package upgrade and the releases in the store.
type upgrader struct {
	store *release.Store
	host  func() release.Host // looked at once
}

var _ actors.Upgrader = upgrader{}

func newUpgrader(store *release.Store) upgrader {
	return upgrader{store: store, host: sync.OnceValue(release.ThisHost)}
}

func (u upgrader) Judge(ctx context.Context, app string, from, to release.Release) (release.Verdict, error) {
	var both [2]release.Contents
	for i, rel := range []release.Release{from, to} {
		known, err := u.store.Find(app, rel.Version, rel.SHA256)
		if err == nil {
			both[i], err = u.store.Contents(ctx, known)
		}
		if err != nil {
			return release.Verdict{}, fmt.Errorf("what is in %s %s is not known here: %w", app, rel.Version, err)
		}
	}
	return release.Judge(&both[0], both[1], u.host()), nil
}

func (u upgrader) Prepare(ctx context.Context, j upgrade.Job) (upgrade.Prepared, error) {
	return j.Prepare(ctx)
}

func (u upgrader) Install(ctx context.Context, j upgrade.Job, o upgrade.Options) error {
	return j.Install(ctx, o)
}

func (u upgrader) Look(ctx context.Context, j upgrade.Job) (upgrade.State, error) { return j.Look(ctx) }

func (u upgrader) Lingering(ctx context.Context, j upgrade.Job) ([]upgrade.Lingerer, error) {
	return j.Lingering(ctx)
}

func (u upgrader) Commit(ctx context.Context, j upgrade.Job, kill bool) error {
	return j.Commit(ctx, kill)
}

func (u upgrader) Revert(ctx context.Context, j upgrade.Job, o upgrade.Options) error {
	return j.Revert(ctx, o)
}

func (u upgrader) Clean(ctx context.Context, j upgrade.Job) error { return j.Clean(ctx) }

func (u upgrader) Upgraded(app, instance string, rel release.Release) error {
	return u.store.Upgraded(app, instance, rel)
}
