package main

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/beamkeeper/beamkeeper/internal/metrics"
)

// countEvents begins to count events for the metrics, which the handler shows, until the servers end.
func (d *daemon) countEvents(log *slog.Logger) http.Handler {
	m := metrics.New(d.tree, version, func() int { return len(d.node.Peers()) })
	ctx, cancel := context.WithCancel(context.Background())
	d.unserve = cancel
	d.serving.Go(func() {
		if err := m.Count(ctx, d.tree.Began()); err != nil && ctx.Err() == nil {
			log.Warn("events are not counted any more", "err", err)
		}
	})
	return m.Handler()
}
