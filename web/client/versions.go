package client

import (
	"context"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/web"
)

// Ghosts implements api.Versions.
func (c *Client) Ghosts(ctx context.Context, app string) (list []api.Ghost, err error) {
	return list, c.get(ctx, path("apps", app, "ghosts"), &list)
}

// ClearGhosts implements api.Versions.
func (c *Client) ClearGhosts(ctx context.Context, app, version string) (list []api.Ghost, err error) {
	return list, c.post(ctx, path("apps", app, "ghosts", "clear"), web.ClearRequest{Version: version}, &list)
}

// Pin implements api.Versions.
func (c *Client) Pin(ctx context.Context, app string, r api.VersionRequest) (d api.Deployment, err error) {
	return d, c.post(ctx, path("apps", app, "pin"), r, &d)
}

// Unpin implements api.Versions.
func (c *Client) Unpin(ctx context.Context, app string) error {
	return c.post(ctx, path("apps", app, "unpin"), struct{}{}, nil)
}

// Rollback implements api.Versions.
func (c *Client) Rollback(ctx context.Context, app string, r api.VersionRequest) (d api.Deployment, err error) {
	return d, c.post(ctx, path("apps", app, "rollback"), r, &d)
}

// Freeze implements api.Versions.
func (c *Client) Freeze(ctx context.Context, app string) error {
	return c.post(ctx, path("apps", app, "freeze"), struct{}{}, nil)
}

// Unfreeze implements api.Versions.
func (c *Client) Unfreeze(ctx context.Context, app string) error {
	return c.post(ctx, path("apps", app, "unfreeze"), struct{}{}, nil)
}
