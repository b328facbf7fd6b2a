package web

import (
	"context"
	"maps"
	"slices"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// withoutLogs is a control that keeps back what applications wrote: it may hold anything, and a TCP port knows nobody.
type withoutLogs struct{ api.Control }

func (c withoutLogs) Status(ctx context.Context) (api.Status, error) {
	s, err := c.Control.Status(ctx)
	s.Apps = slices.Clone(s.Apps)
	for i, a := range s.Apps {
		if a.Deployment != nil {
			d := withoutTail(*a.Deployment)
			s.Apps[i].Deployment = &d
		}
	}
	return s, err
}

func (c withoutLogs) Deployments(ctx context.Context, app string, limit int) ([]api.Deployment, error) {
	list, err := c.Control.Deployments(ctx, app, limit)
	list = slices.Clone(list)
	for i, d := range list {
		list[i] = withoutTail(d)
	}
	return list, err
}

func (c withoutLogs) Deployment(ctx context.Context, id string) (api.Deployment, error) {
	d, err := c.Control.Deployment(ctx, id)
	return withoutTail(d), err
}

func (c withoutLogs) Events(ctx context.Context, since uint64, follow bool, yield func(api.Event) bool) error {
	return c.Control.Events(ctx, since, follow, func(e api.Event) bool {
		if _, ok := e.Data["log"]; ok {
			e.Data = maps.Clone(e.Data)
			delete(e.Data, "log")
		}
		return yield(e)
	})
}

func withoutTail(d api.Deployment) api.Deployment {
	d.LogTail = nil
	return d
}
