package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/beamkeeper/beamkeeper/actors"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/cgroup"
	"github.com/beamkeeper/beamkeeper/internal/confine"
	"github.com/beamkeeper/beamkeeper/internal/systemd"
	"github.com/beamkeeper/beamkeeper/web"
)

// Names of the listeners that the service manager keeps for us, and of the socket units that may open them.
const (
	keptControl      = "control"
	keptWeb          = "web"
	keptDistribution = "distribution"

	unitControl = "beamkeeper.socket"
	unitWeb     = "beamkeeper-web.socket"
)

const (
	managerTimeout = 5 * time.Second // for the service manager to answer
	statusInterval = time.Second
)

// service is the daemon among the services of the host: what it tells the service manager and has from it. Without a
// service manager it does nothing.
type service struct {
	notifier  *systemd.Notifier
	listeners *systemd.Listeners
	placer    *confine.Placer
	log       *slog.Logger
}

// openService takes over what the service manager has passed to this process. It is called once, before anything listens.
func openService(ctx context.Context, log *slog.Logger) *service {
	n, err := systemd.NewNotifier()
	if err != nil {
		log.Warn("the service manager's word is not understood", "err", err)
	}
	connect, cancel := context.WithTimeout(ctx, managerTimeout)
	defer cancel()
	return &service{
		notifier: n, listeners: systemd.Inherit(n, log), log: log,
		placer: confine.New(connect, log.With("part", "confine")),
	}
}

// control is the listener of the control socket.
func (s *service) control(path string) (net.Listener, error) {
	return s.listeners.Socket(keptControl, unitControl, "unix", path, func() (net.Listener, error) { return web.ListenUnix(path) })
}

// tcp is that of the control API over TCP.
func (s *service) tcp(addr string) (net.Listener, error) {
	return s.listeners.Socket(keptWeb, unitWeb, "tcp", addr, func() (net.Listener, error) { return net.Listen("tcp", addr) })
}

// distribution is that of the node, or one of them: it may listen on several addresses.
func (s *service) distribution(ctx context.Context, addr string) (net.Listener, error) {
	return s.listeners.Socket(keptDistribution, "", "tcp", addr, func() (net.Listener, error) {
		var lc net.ListenConfig
		return lc.Listen(ctx, "tcp", addr)
	})
}

// placeEPMD moves the port mapper that the daemon has started out of the daemon's own group.
func (s *service) placeEPMD(ctx context.Context, pid int) {
	ctx, cancel := context.WithTimeout(ctx, managerTimeout)
	defer cancel()
	if err := s.placer.PlaceEPMD(ctx, pid); err != nil {
		s.log.Warn("the port mapper has no place of its own", "os_pid", pid, "err", err)
	}
}

// ready tells that the daemon is up. counts gives the line that it then shows, healthy whether the daemon works; both are
// asked until ctx ends.
func (s *service) ready(ctx context.Context, counts func() string, healthy func(context.Context) error) {
	s.tell(errors.Join(s.listeners.Settle(), s.notifier.Status(counts()), s.notifier.Ready()))
	if !s.notifier.Listening() {
		return
	}
	go s.notifier.Watch(ctx, s.log, healthy)
	go func() {
		tick := time.NewTicker(statusInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = s.notifier.Status(counts()) // it is told again when it changes
			}
		}
	}()
}

// reload has the service manager know that the configuration is being read again, until f has done so.
func (s *service) reload(f func() error) error {
	s.tell(s.notifier.Reloading())
	err := f()
	s.tell(s.notifier.Ready())
	return err
}

// stopping tells that the daemon ends, and says whether the whole machine does: then the instances are to end in good
// order before the service manager kills them.
func (s *service) stopping() (withInstances bool) {
	s.tell(s.notifier.Stopping())
	m := s.placer.Systemd()
	if m == nil || m.Unit() == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), managerTimeout)
	defer cancel()
	return m.GoingDown(ctx)
}

func (s *service) tell(err error) {
	if err != nil {
		s.log.Warn("the service manager is not told", "err", err)
	}
}

// problems are those of limits and places.
func (s *service) problems() []api.Problem {
	var list []api.Problem
	for _, p := range s.placer.Problems() {
		list = append(list, api.Problem{Since: api.Time{Time: p.Since}, What: p.What, Remedy: p.Remedy})
	}
	return list
}

func (s *service) close() error { return s.placer.Close() }

// confinement is a confine.Placer as the actors call it.
type confinement struct{ *confine.Placer }

func (c confinement) Place(ctx context.Context, p actors.Placement) error {
	return c.Placer.Place(ctx, confine.Placement{
		App: p.App, Instance: p.Instance, Version: p.Version, Process: p.Process, Limits: cgroup.Limits(p.Limits),
	})
}

// healthy says whether the daemon does what it is there for: its actors answer, and its node accepts links.
func (d *daemon) healthy(ctx context.Context) error {
	return errors.Join(d.tree.Alive(ctx), d.node.Accepts(ctx))
}

// counts is the daemon in one line.
func (d *daemon) counts() string {
	apps, instances, running := d.tree.Counts()
	return fmt.Sprintf("%s, %d of %s running", plural(apps, "app"), running, plural(instances, "instance"))
}
