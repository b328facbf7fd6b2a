package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strconv"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/process"
)

// reloads reads the configuration again with each SIGHUP, and has the service manager know.
func (d *daemon) reloads(ctx context.Context, hangups <-chan struct{}, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			if err := d.service.reload(func() error { return d.reload(ctx) }); err != nil {
				log.Error("the configuration was read again and is not in force", "err", err)
			}
		}
	}
}

// reload reads the configuration again and puts it in force, as `config apply` does: instances are replaced where that is
// needed. It confirms no removal.
func (d *daemon) reload(ctx context.Context) error {
	_, err := d.live.apply(ctx, api.ConfigApplyRequest{}, "reload")
	return err
}

// take has the parts other than the tree take over what is in force now.
func (d *daemon) take(cfg *config.Config) error {
	grants, err := erlangGrants(cfg)
	if err == nil {
		err = d.erl.SetGrants(grants)
	}
	err = errors.Join(err, d.trust.set(cfg))
	d.flags.set(cfg)
	for _, p := range d.node.Peers() {
		if !allowed(cfg, d.node.Name(), p.Name) && !d.tree.Knows(p.Name) {
			d.node.Disconnect(p.Name) // it may not connect any more
		}
	}
	if was := d.control; was.Group == cfg.Control.Group && socketMode(was) == socketMode(cfg.Control) {
		return err // as who opened the socket, a unit of the service manager perhaps, has it
	}
	if serr := setSocket(cfg.Control); serr != nil {
		return errors.Join(err, serr)
	}
	d.control = cfg.Control
	return err
}

// setSocket gives the control socket its mode and group.
func setSocket(c config.Control) error {
	gid := os.Getegid()
	if c.Group != "" {
		g, err := process.LookupGroup(c.Group)
		if err != nil {
			return &api.Error{Code: api.CodeFailed, Message: "control.group: " + err.Error(), Err: err}
		}
		gid = int(g)
	}
	if err := os.Chown(c.Socket, -1, gid); err != nil {
		return &api.Error{Code: api.CodeDenied, Message: "control.group: " + err.Error(), Err: err,
			Hint: "the daemon must be root, or a member of the group"}
	}
	return os.Chmod(c.Socket, socketMode(c))
}

// socketMode is control.mode, or its default.
func socketMode(c config.Control) os.FileMode {
	if m, err := strconv.ParseUint(c.Mode, 8, 12); err == nil { // the configuration has checked it
		return os.FileMode(m)
	}
	if len(c.Grant) > 0 {
		return 0o666 // each request is looked at
	}
	return 0o660
}
