package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/host"
	"github.com/beamkeeper/beamkeeper/internal/secrets"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/release"
)

// Below these, doctor warns.
const (
	lowDisk      = 1 << 30
	lowMemory    = 256 << 20
	lowOpenFiles = 4096
	lowInotify   = 16
)

// checkTimeout bounds each question to something that may not answer.
const checkTimeout = 3 * time.Second

func (d *doctor) checkConfig() {
	cfg, path, err := d.cli.mustConfig()
	var bad *config.Error
	var e *api.Error
	switch {
	case errors.As(err, &bad):
		d.fail(areaConfig, "file", "mend the lines named", "%s", bad)
		return
	case errors.As(err, &e):
		d.fail(areaConfig, "file", e.Hint, "%s", e.Message)
		return
	case err != nil:
		d.fail(areaConfig, "file", "", "%v", err)
		return
	}
	d.cfg = cfg
	d.ok(areaConfig, "file", "%s, %s", path, plural(len(cfg.Applications), "app"))
	for _, n := range cfg.NotYet() {
		d.warn(areaConfig, "setting", "", "%s:%s", path, n)
	}
}

func (d *doctor) checkDaemon(ctx context.Context) {
	control, err := d.cli.daemon()
	if err != nil {
		d.fail(areaDaemon, "socket", "", "%v", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	s, err := control.Status(ctx)
	var e *api.Error
	switch {
	case err == nil:
	case errors.As(err, &e) && e.Code == api.CodeUnreachable:
		d.warn(areaDaemon, "socket", e.Hint, "%s", e.Message)
		return
	case errors.As(err, &e):
		d.fail(areaDaemon, "socket", e.Hint, "%s", e.Message)
		return
	default:
		d.fail(areaDaemon, "socket", "", "%v", err)
		return
	}
	d.status = &s
	d.ok(areaDaemon, "socket", "%s %s answers on %s, up %s", s.Node, s.Version, control.Socket(), since(s.StartedAt))
	for _, p := range s.Problems {
		d.fail(areaDaemon, "problem", p.Remedy, "%s", p.What)
	}
}

func (d *doctor) checkDist(ctx context.Context) {
	d.checkTLS()
	n := d.cfg.Node
	if _, err := secrets.Load(secrets.Options{CookieFile: n.CookieFile, Adapter: string(d.cfg.SecretsAdapter), Generated: d.existingCookie(), Getenv: d.cli.getenv}); err != nil {
		d.fail(areaDist, "cookie", "mend the file, or run the doctor as the daemon's user", "%v", err)
	} else {
		d.ok(areaDist, "cookie", "it can be read")
	}
	d.checkHostName(ctx)

	addr := n.EPMDAddress(d.cli.getenv)
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	names, err := (&node.EPMDClient{Addr: addr}).Names(ctx, "")
	if err != nil {
		d.warn(areaDist, "epmd", "the first instance starts one; to start one now: epmd -daemon; to have the daemon start one: node.start_epmd: true", "no port mapper answers at %s: %v", addr, err)
		return
	}
	registered := make([]string, len(names))
	for i, e := range names {
		registered[i] = fmt.Sprintf("%s (port %d)", e.Alive, e.Port)
	}
	d.ok(areaDist, "epmd", "answers at %s; registered: %s", addr, or(strings.Join(registered, ", "), "nobody"))
	i := slices.IndexFunc(names, func(e node.EPMDNode) bool { return e.Alive == n.Name })
	switch {
	case i < 0 && d.status != nil:
		d.fail(areaDist, "name", "it registers again by itself within seconds; see the daemon's log", "the daemon runs, but its name %q is not registered", n.Name)
	case i >= 0 && d.status == nil:
		d.warn(areaDist, "name", "end the other node, or choose another node.name", "the name %q is registered, but no daemon answers", n.Name)
	case i >= 0:
		d.checkReach(names[i], addr)
	}
}

// existingCookie is the generated cookie's file if it exists: doctor makes none.
func (d *doctor) existingCookie() string {
	p := d.cfg.CookiePath()
	if _, err := os.Lstat(p); err != nil {
		return os.DevNull + "/" + p // reported as missing
	}
	return p
}

func (d *doctor) checkHostName(ctx context.Context) {
	h := d.cfg.Node.Host
	if h == "" {
		name, err := os.Hostname()
		if err != nil {
			d.fail(areaDist, "host", "set node.host", "the machine's name is not known: %v", err)
			return
		}
		h, _, _ = strings.Cut(name, ".")
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupHost(ctx, h)
	if err != nil {
		d.warn(areaDist, "host", "add it to /etc/hosts, or set node.host", "the host name %q does not resolve; other nodes cannot reach instance@%s: %v", h, h, err)
		return
	}
	d.ok(areaDist, "host", "%s is %s", h, strings.Join(addrs, ", "))
}

// checkReach connects to where epmd says that the daemon listens.
func (d *doctor) checkReach(e node.EPMDNode, epmd string) {
	h, _, err := net.SplitHostPort(epmd)
	if err != nil {
		return
	}
	addr := net.JoinHostPort(h, strconv.Itoa(e.Port))
	c, err := net.DialTimeout("tcp", addr, checkTimeout)
	if err != nil {
		d.fail(areaDist, "listen", "is node.listen the address that others use?", "nothing accepts at %s, which epmd names for %q: %v", addr, e.Alive, err)
		return
	}
	_ = c.Close() // it was only asked whether it accepts
	d.ok(areaDist, "listen", "%s accepts at %s", e.Alive, addr)
}

func (d *doctor) checkSource(ctx context.Context) {
	if d.cfg.ReleaseAdapter != config.ReleaseLocal {
		d.checkCloud(ctx)
		return
	}
	dir := d.cfg.ReleaseBucket
	fi, err := os.Stat(dir)
	switch {
	case err != nil:
		d.fail(areaSource, "bucket", "make the folder, or set release_bucket", "%v", err)
		return
	case !fi.IsDir():
		d.fail(areaSource, "bucket", "set release_bucket", "%s is not a folder", dir)
		return
	}
	d.ok(areaSource, "bucket", "%s", dir)
	src := release.Source{Bucket: release.NewLocalBucket(dir), Account: d.cfg.AccountName}
	for _, a := range d.apps {
		d.checkCurrent(ctx, src, a.Name)
	}
}

func (d *doctor) checkCurrent(ctx context.Context, src release.Source, app string) {
	cur, err := src.Current(ctx, app)
	if errors.Is(err, release.ErrNotFound) {
		d.warn(areaSource, app, fmt.Sprintf("beamkeeper publish %s FILE", app), "nothing is published: no %s", src.Bucket.Location(release.CurrentKey(app, src.Account)))
		return
	}
	if err != nil {
		d.fail(areaSource, app, "mend the file; the daemon takes it at once", "%v", err)
		return
	}
	key := release.ArchiveKey(app, cur.Version)
	o, err := src.Bucket.Open(ctx, key, 0)
	if err != nil {
		d.fail(areaSource, app, fmt.Sprintf("beamkeeper publish %s FILE", app), "current.json names %s, but its archive cannot be read: %v", cur.Version, err)
		return
	}
	_ = o.Body.Close() // it was only asked whether it can be read
	d.ok(areaSource, app, "%s, %s", cur.Version, size(o.Size))
}

func (d *doctor) checkHost(ctx context.Context) {
	for _, p := range []struct{ name, path string }{{"var_path", d.cfg.VarPath}, {"logs", d.cfg.MonitoredAppLogPath}} {
		dk, err := host.ReadDisk(ctx, p.path)
		switch {
		case err != nil:
			d.fail(areaHost, "disk", "", "%v", err)
		case dk.Free < lowDisk:
			d.warn(areaHost, "disk", "make room: remove old archives and logs", "%s (%s) has %s left of %s", p.name, dk.Path, size(int64(dk.Free)), size(int64(dk.Total)))
		case dk.Inodes > 0 && dk.InodesFree < dk.Inodes/100:
			d.warn(areaHost, "disk", "remove small files", "%s (%s) has %d inodes left", p.name, dk.Path, dk.InodesFree)
		default:
			d.ok(areaHost, "disk", "%s (%s) has %s left", p.name, dk.Path, size(int64(dk.Free)))
		}
		if err := unix.Access(dk.Path, unix.W_OK); err != nil {
			d.warn(areaHost, "disk", "the daemon's user needs it", "you may not write to %s", dk.Path)
		}
	}
	switch m, err := host.ReadMemory(ctx); {
	case err != nil:
		d.fail(areaHost, "memory", "", "%v", err)
	case m.Available < lowMemory:
		d.warn(areaHost, "memory", "run fewer instances, or get more memory", "%s available of %s", size(int64(m.Available)), size(int64(m.Total)))
	default:
		d.ok(areaHost, "memory", "%s available of %s", size(int64(m.Available)), size(int64(m.Total)))
	}
	switch n, err := host.ReadInotify(); {
	case err != nil:
		d.warn(areaHost, "inotify", "without it the bucket is polled", "%v", err)
	case n.Instances < lowInotify || n.Watches < 64:
		d.warn(areaHost, "inotify", "sysctl fs.inotify.max_user_instances=128 fs.inotify.max_user_watches=65536; without it the bucket is polled", "%d instances and %d watches for each user", n.Instances, n.Watches)
	default:
		d.ok(areaHost, "inotify", "%d instances, %d watches", n.Instances, n.Watches)
	}
	switch n, err := host.OpenFiles(); {
	case err != nil:
		d.fail(areaHost, "files", "", "%v", err)
	case n < lowOpenFiles:
		d.warn(areaHost, "files", "ulimit -n 65536, or LimitNOFILE=65536 in the unit: instances inherit it", "a process may have only %d files open", n)
	default:
		d.ok(areaHost, "files", "a process may have %d open", n)
	}
}

// checkApps looks at what an app needs of the machine, and at its instances.
func (d *doctor) checkApps() {
	for _, a := range d.apps {
		if a.Language == config.Gleam {
			if erl, err := exec.LookPath("erl"); err != nil {
				d.fail(a.Name, "erl", "install Erlang/OTP (Debian: erlang-base): a shipment of Gleam brings none", "there is no erl on PATH")
			} else {
				d.ok(a.Name, "erl", "%s", erl)
			}
		}
		d.checkPorts(a)
		d.checkPortRange(a, portRangeFile, reservedPortsFile)
		d.checkInstances(a.Name)
	}
}

func (d *doctor) instanceHas(port int) bool {
	if d.status == nil {
		return false
	}
	for _, a := range d.status.Apps {
		for _, i := range a.Instances {
			for _, p := range i.Ports {
				if p == port {
					return true
				}
			}
		}
	}
	return false
}

func (d *doctor) checkInstances(app string) {
	if d.status == nil {
		return
	}
	for _, a := range d.status.Apps {
		if a.Name != app {
			continue
		}
		for _, p := range a.Problems {
			d.fail(app, "problem", p.Remedy, "%s", p.What)
		}
		for _, i := range a.Instances {
			switch i.State {
			case api.StateRunning:
				d.ok(app, i.Name, "running %s for %s", i.Version, since(i.StartedAt))
			case api.StateFailed, api.StateBackoff:
				d.fail(app, i.Name, fmt.Sprintf("beamkeeper logs %s/%s", app, i.Name), "%s: %s", i.State, remarks(i))
			default:
				d.warn(app, i.Name, "", "%s %s", i.State, remarks(i))
			}
		}
	}
}
