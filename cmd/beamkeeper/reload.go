package main

import (
	"context"
	"errors"
	"log/slog"
)

// reloads reads the configuration again with each SIGHUP, and has the service manager know.
func (d *daemon) reloads(ctx context.Context, hangups <-chan struct{}, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			if err := d.service.reload(func() error { return d.reload(ctx) }); err != nil {
				log.Error("the configuration is not read again", "err", err)
			}
		}
	}
}

// reload reads the configuration again.
func (d *daemon) reload(context.Context) error {
	return errors.New("this version cannot; restart the daemon, the instances run on")
}
