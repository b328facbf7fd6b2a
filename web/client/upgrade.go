package client

import (
	"context"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/web"
)

// CommitDeployment implements api.Upgrades.
func (c *Client) CommitDeployment(ctx context.Context, id string, kill bool) (d api.Deployment, err error) {
	return d, c.post(ctx, path("deployments", id, "commit"), web.CommitRequest{KillLingering: kill}, &d)
}

// RevertDeployment implements api.Upgrades.
func (c *Client) RevertDeployment(ctx context.Context, id string) (d api.Deployment, err error) {
	return d, c.post(ctx, path("deployments", id, "revert"), struct{}{}, &d)
}

// Plan implements api.Planner.
func (c *Client) Plan(ctx context.Context, r api.PlanRequest) (p api.Plan, err error) {
	return p, c.post(ctx, path("apps", r.App, "plan"), r, &p)
}
