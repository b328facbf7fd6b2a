package actors

import (
	"context"
	"path/filepath"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/internal/upgrade"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/release"
)

// Upgrader takes running instances from one version to another. The methods with a job are the steps of package upgrade.
type Upgrader interface {
	// Judge says how one release of an app can follow another. Both are in the store.
	Judge(ctx context.Context, app string, from, to release.Release) (release.Verdict, error)

	Prepare(ctx context.Context, j upgrade.Job) (upgrade.Prepared, error)
	Install(ctx context.Context, j upgrade.Job, o upgrade.Options) error
	Look(ctx context.Context, j upgrade.Job) (upgrade.State, error)
	Lingering(ctx context.Context, j upgrade.Job) ([]upgrade.Lingerer, error)
	Commit(ctx context.Context, j upgrade.Job, kill bool) error
	Revert(ctx context.Context, j upgrade.Job, o upgrade.Options) error
	Clean(ctx context.Context, j upgrade.Job) error

	// Upgraded has the folder of an instance say which release it holds.
	Upgraded(app, instance string, rel release.Release) error
}

// peerNode is an instance as package upgrade calls it.
type peerNode struct {
	cluster Cluster
	name    node.Name
}

func (p peerNode) Call(ctx context.Context, mod, fun etf.Atom, args ...etf.Term) (etf.Term, error) {
	return p.cluster.Call(ctx, p.name, mod, fun, args...)
}

// upgradeJob describes the upgrade of an instance to package upgrade. It needs the new release in the store for what
// copies from it.
func (s *System) upgradeJob(ctx context.Context, spec AppSpec, rec state.Instance, withTree bool) (upgrade.Job, release.Release, error) {
	u := rec.Upgrade
	j := upgrade.Job{
		Node: peerNode{s.cfg.Cluster, s.nodeName(rec.Name)}, Root: filepath.Join(s.cfg.Releases.InstanceDir(rec.App, rec.Name), "current"),
		Name: rec.App, From: u.From.Version, To: u.To.Version, Language: string(spec.Language), Erl: s.cfg.Erl,
	}
	var err error
	if j.Owner, err = ownerOf(spec); err != nil || !withTree {
		return j, release.Release{}, err
	}
	rel, err := s.cfg.Releases.Fetch(ctx, rec.App, release.Current{Version: u.To.Version, Hash: u.To.Hash, SHA256: u.To.SHA256})
	j.New = rel.Tree
	return j, rel, err
}
