package client

import "context"

// Poll implements web.Poller.
func (c *Client) Poll(ctx context.Context, app string) error {
	return c.post(ctx, path("apps", app, "poll"), struct{}{}, nil)
}
