package actors

import (
	"context"
	"errors"
	"fmt"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// CommitDeployment implements api.Upgrades.
func (s *System) CommitDeployment(ctx context.Context, id string, kill bool) (api.Deployment, error) {
	return s.onDeployment(ctx, id, func(m *manager, d api.Deployment) (api.Deployment, error) { return m.commit(d, kill) })
}

// RevertDeployment implements api.Upgrades.
func (s *System) RevertDeployment(ctx context.Context, id string) (api.Deployment, error) {
	return s.onDeployment(ctx, id, func(m *manager, d api.Deployment) (api.Deployment, error) { return m.revert(d) })
}

// onDeployment has the manager of a deployment's app do something about it.
func (s *System) onDeployment(ctx context.Context, id string, do func(*manager, api.Deployment) (api.Deployment, error)) (api.Deployment, error) {
	d, err := s.Deployment(ctx, id)
	if err != nil {
		return d, err
	}
	return command(ctx, s, d.App, func(m *manager) (api.Deployment, error) { return do(m, d) })
}

func (m *manager) commit(d api.Deployment, kill bool) (api.Deployment, error) {
	refuse := func(hint, format string, args ...any) (api.Deployment, error) {
		e := api.Errorf(api.CodeRefused, format, args...)
		e.Hint = hint
		return d, e
	}
	if d.Kind != api.KindHot {
		return refuse("", "deployment %s is %s: only a hot one can be committed", d.ID, d.Kind)
	}
	p, err := m.look()
	switch {
	case err != nil:
		return d, err
	case p.dep == nil || p.dep.ID != d.ID:
		return refuse("beamkeeper deployment show "+d.ID, "deployment %s is not under way: it is %s", d.ID, d.Outcome)
	case p.dep.Error != "":
		return refuse("beamkeeper deployment show "+d.ID, "deployment %s has failed and is taken back: %s", d.ID, p.dep.Error)
	}
	n, all := 0, upgrading(p)
	for _, rec := range all {
		switch rec.Upgrade.Phase {
		case state.UpgradeSoaked, state.UpgradeCommit, state.UpgradeCommitted:
			n++
		}
	}
	if n < len(all) || n == 0 {
		return refuse("beamkeeper deployment watch "+d.ID, "deployment %s is not so far: %d of %d instances have got through their soak", d.ID, n, len(all))
	}
	if err := m.beginCommit(p, kill); err != nil {
		return d, err
	}
	for _, w := range m.upgrades { // at once
		w.again = w.again.Truncate(0)
		if w.id == 0 {
			w.tries, w.text = 0, ""
			w.again = w.again.AddDate(-1, 0, 0)
		}
	}
	return d, nil
}

func (m *manager) revert(d api.Deployment) (api.Deployment, error) {
	if d.Kind != api.KindHot {
		return d, api.Errorf(api.CodeRefused, "deployment %s is %s: only a hot one can be reverted; beamkeeper rollback %s goes back from any", d.ID, d.Kind, d.App)
	}
	p, err := m.look()
	if err != nil {
		return d, err
	}
	if p.dep != nil && p.dep.ID == d.ID {
		if p.dep.Error == "" {
			err = m.end(p, api.DeploymentReverted, errors.New("taken back by "+m.asker()), nil)
		}
		return *p.dep, err
	}
	if p.dep != nil {
		return d, api.Errorf(api.CodeRefused, "deployment %s of %s is under way", p.dep.ID, d.App)
	}
	var from state.Release
	for _, rec := range p.instances {
		if rec.Under(d.ID) && rec.Upgrade.Phase == state.UpgradeCommitted {
			from = rec.Upgrade.From
		}
	}
	if from.Version == "" || p.app.Settled.Version != d.To {
		e := api.Errorf(api.CodeRefused, "deployment %s is not what the instances of %s run", d.ID, d.App)
		e.Hint = fmt.Sprintf("beamkeeper rollback %s %s", d.App, d.From)
		return d, e
	}
	return m.move(moving{rel: from, kind: kindRevert, trigger: triggerRollback})
}
