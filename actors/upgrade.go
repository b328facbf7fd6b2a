package actors

import (
	"context"

	"github.com/beamkeeper/beamkeeper/internal/api"
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
	_ = kill
	return d, api.Errorf(api.CodeRefused, "deployment %s is %s: only a hot one can be committed", d.ID, d.Kind)
}

func (m *manager) revert(d api.Deployment) (api.Deployment, error) {
	return d, api.Errorf(api.CodeRefused, "deployment %s is %s: only a hot one can be reverted; beamkeeper rollback %s goes back from any", d.ID, d.Kind, d.App)
}
