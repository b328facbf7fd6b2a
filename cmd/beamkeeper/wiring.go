package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/beamkeeper/beamkeeper/actors"
	"github.com/beamkeeper/beamkeeper/actors/bridge"
	"github.com/beamkeeper/beamkeeper/actors/erlapi"
	"github.com/beamkeeper/beamkeeper/actors/observer"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/applog"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/secrets"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/release"
	"github.com/beamkeeper/beamkeeper/web"
)

// closeTimeout bounds what ends when the daemon ends, apart from the instances.
const closeTimeout = 10 * time.Second

// killAfter is how long an instance may take beyond its stop timeout.
const killAfter = 10 * time.Second

// daemon is all that runs behind `beamkeeper run`.
type daemon struct {
	cfg   *config.Config
	node  *node.Node
	erl   *erlapi.API
	ergo  *bridge.System // what the actors run on; the tree stops it
	tls   *encryption
	tree  *actors.System
	store *release.Store
	state *state.Store
	trust trust

	secrets *secretKeeper

	web *web.Server

	backups      backups
	disks        disks
	observer     *observer.Observer
	registration *registration
	service      *service

	live    *live // the configuration as it is now; cfg is as it was at the start
	flags   *flags
	control config.Control // of which the socket has its mode and group; take's alone

	end     context.CancelCauseFunc // ends the daemon; context.Canceled is a usual end
	serving sync.WaitGroup
	unserve context.CancelFunc // ends what runs beside the servers as long as they do
}

// startDaemon wires the parts together and starts them. What was started is taken down again when a later one fails.
// fail is called when a part dies while the daemon runs.
func startDaemon(ctx context.Context, cfg *config.Config, log *slog.Logger, getenv func(string) string, fail context.CancelCauseFunc) (_ *daemon, err error) {
	d := &daemon{cfg: cfg, end: fail, service: openService(ctx, log.With("part", "service"))}
	defer func() {
		if err != nil {
			_ = d.stop(false) // the first error is the one to tell
		}
	}()
	for _, dir := range []string{cfg.VarPath, cfg.MonitoredAppLogPath} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, startError(err)
		}
	}
	if d.state, err = state.Open(filepath.Join(cfg.VarPath, "state")); err != nil {
		return nil, startError(err)
	}
	d.state.OnCommit(faults.commit)
	cookies, err := loadCookies(cfg, getenv)
	if err != nil {
		return nil, startError(err)
	}
	d.live = newLive(cfg, cookies, log.With("part", "config"))
	store, err := secrets.Open(storeOptions(cfg, getenv))
	if err != nil {
		return nil, startError(err)
	}
	d.secrets = &secretKeeper{store: store, config: d.live.config, log: log.With("part", "secrets")}
	d.trust.state = d.state
	if err := d.trust.set(cfg); err != nil {
		log.Error("keys that releases are signed with cannot be read", "err", err)
	}
	bucket, err := openBucket(cfg)
	if err != nil {
		return nil, startError(err)
	}
	source := release.Source{Bucket: bucket, Account: cfg.AccountName, Trust: d.trust.get}
	d.store, err = release.OpenStore(release.StoreConfig{Dir: cfg.VarPath, Source: source, Limits: limits(cfg), MaxDownloadRate: int64(cfg.Release.MaxDownloadRate), Step: faults.step, Log: log.With("part", "release")})
	if err != nil {
		return nil, startError(err)
	}
	if err := d.startNode(ctx, cookies, getenv, log); err != nil {
		return nil, err
	}
	if plainOutside(cfg) {
		log.Warn("the distribution listens for other hosts without encryption", "listen", cfg.Node.Listen, "remedy", "node.tls: {mode: own_ca}")
	}
	listeners, err := d.listen()
	if err != nil {
		return nil, startError(err)
	}
	d.tree, err = actors.Start(ctx, actors.Config{
		Apps: appSpecs(cfg, cookies), State: d.state, Secrets: d.secrets, Cluster: d.node, Releases: d.store, Archives: d.store, Source: source, Upgrader: newUpgrader(d.store),
		LogDir: cfg.MonitoredAppLogPath, LogSpace: func() applog.Space { return logSpace(d.live.config()) }, OwnLog: ownLog(cfg), OwnLogPolicy: func() applog.Policy { return ownLogPolicy(d.live.config()) },
		HooksDir: hooksDir(cfg), RoomRetry: faults.room, BaseEnv: baseEnv(cfg, getenv), OmitPath: omitPath(cfg),
		Ergo: d.ergo, Encryption: d.tls.instances, Problems: d.problems, Confinement: confinement{d.service.placer},
		Version: version, Log: log.With("part", "actors"),
	})
	if err != nil {
		for _, l := range listeners {
			_ = l.ln.Close() // the error of the tree is the one to tell
		}
		return nil, err
	}
	d.live.tree, d.live.then = d.tree, d.take
	d.control = cfg.Control
	d.flags = newFlags(ctx, d.tree, log.With("part", "flags"))
	d.erl.Serve(d.tree)
	d.observer.SetLabel(d.tree.ActorName)
	d.serve(listeners, log, fail)
	if err := d.live.settle(ctx); err != nil {
		return nil, err
	}
	d.flags.set(cfg)
	if w := d.live.watchFile(); w != nil {
		d.serving.Go(func() { d.live.watch(ctx, w) })
	}
	d.serving.Go(func() {
		d.state.KeepBackups(ctx, state.BackupEvery, log.With("part", "state"), d.backups.tell)
	})
	d.serving.Go(func() { d.secrets.run(ctx, d.tree) })
	d.serving.Go(func() { d.tls.keepFresh(ctx, log.With("part", "tls"), d.tree.Emit) })
	return d, nil
}

// faults are set by tests, which end the daemon in the middle of what it does. Nothing sets them in the program.
var faults struct {
	commit func(done bool) error // see state.Store.OnCommit
	step   func(string)          // see release.StoreConfig.Step
	room   time.Duration         // see actors.Config.RoomRetry
}

// problems are those of the daemon as a whole.
func (d *daemon) problems() []api.Problem {
	return slices.Concat(d.tls.problems(), d.registration.problems(), d.service.problems(), d.backups.problems(), descriptorProblems(), d.disks.problems(d.live.config()), d.live.problems(), d.trust.problems(), d.secrets.problems())
}

// startError tells people about errors that they can mend.
func startError(err error) error {
	e := &api.Error{Code: api.CodeFailed, Message: err.Error(), Err: err}
	switch {
	case errors.Is(err, state.ErrHeld), errors.Is(err, release.ErrLocked):
		e.Code, e.Hint = api.CodeRefused, "one daemon at a time; stop the other one, or give this one a var_path of its own"
	case errors.Is(err, web.ErrSocketInUse):
		e.Code, e.Hint = api.CodeRefused, "another daemon has this control.socket; stop it, or give this one another"
	case errors.Is(err, state.ErrDamaged):
		var damaged *state.DamagedError
		errors.As(err, &damaged)
		e.Hint = restoreHint(len(damaged.Backups))
	case errors.Is(err, state.ErrSchema):
		e.Code, e.Hint = api.CodeRefused, "run the newer version again"
	case errors.Is(err, syscall.EROFS):
		e.Hint = "the file system is read-only (an error of the disk can do that: see dmesg); the running instances are left alone"
	case errors.Is(err, os.ErrPermission):
		e.Code, e.Hint = api.CodeDenied, "run the daemon as a user who may write there, or move the paths in the configuration"
	}
	return e
}

func (d *daemon) startNode(ctx context.Context, cookies cookies, getenv func(string) string, log *slog.Logger) error {
	name, err := nodeName(d.cfg)
	if err != nil {
		return err
	}
	if d.tls, err = openEncryption(d.cfg, name); err != nil {
		return err
	}
	n := d.cfg.Node
	d.node, err = node.New(node.Config{
		Name: name, Cookie: cookies.node, CookieFor: d.live.cookieOf,
		Allow:  func(peer node.Name) bool { return allowed(d.live.config(), name, peer) },
		Listen: n.Listen, EPMDAddr: n.EPMDAddress(getenv),
		Transport:   d.tls.nodeTransport(d.service.distribution),
		NetTickTime: n.NetTickTime, HandshakeTimeout: n.ConnectTimeout, OutboxBytes: int(n.SendBufferBytes), MaxMessageBytes: int(n.MaxMessageBytes),
		MaxOutboxBytes: int(max(n.MaxSendBuffer, n.SendBufferBytes)), MaxLinks: n.MaxLinks, MaxCalls: n.MaxCalls,
		Log: log.With("part", "node"),
	})
	if err != nil {
		return err
	}
	d.registration = &registration{node: d.node, name: name}
	if d.erl, err = startErlangAPI(d.node, d.cfg, log); err != nil {
		return err
	}
	if err := d.startActorSystem(ctx, log); err != nil {
		return err
	}
	if pid := ensureEPMD(ctx, d.cfg, getenv, log); pid > 0 {
		d.service.placeEPMD(ctx, pid)
	}
	if err := d.node.Start(ctx); err != nil {
		return fmt.Errorf("the node %s cannot start: %w", name, err)
	}
	return nil
}

// nodeName is node.name@node.host, the host being the machine's short name unless told otherwise.
func nodeName(cfg *config.Config) (node.Name, error) {
	host := cfg.Node.Host
	if host == "" {
		full, err := os.Hostname()
		if err != nil {
			return node.Name{}, &api.Error{Code: api.CodeFailed, Message: "the machine's name is not known: " + err.Error(), Hint: "set node.host", Err: err}
		}
		host, _, _ = strings.Cut(full, ".")
	}
	return node.ParseName(cfg.Node.Name + "@" + host)
}

// cookies are the node's cookie and those of the apps that have their own.
type cookies struct {
	node node.Cookie
	apps map[string]node.Cookie
}

func loadCookies(cfg *config.Config, getenv func(string) string) (cookies, error) {
	return readCookies(cfg, getenv, cfg.CookiePath())
}

// readCookies is loadCookies with another place for the generated cookie.
func readCookies(cfg *config.Config, getenv func(string) string, generated string) (cookies, error) {
	o := secrets.Options{CookieFile: cfg.Node.CookieFile, Adapter: string(cfg.SecretsAdapter), Generated: generated, Getenv: getenv}
	if cfg.SecretsAdapter != config.SecretsNone && cfg.SecretsAdapter != config.SecretsEnv {
		var err error
		if o.Store, err = secrets.Open(storeOptions(cfg, getenv)); err != nil {
			return cookies{}, err
		}
	}
	sec, err := secrets.Load(o)
	if err != nil {
		return cookies{}, err
	}
	c := cookies{node: node.Cookie(sec.Cookie.Reveal()), apps: make(map[string]node.Cookie)}
	for _, a := range cfg.Applications {
		c.apps[a.Name] = c.node
		passed, _, ok, err := secrets.CookieCredential(getenv(secrets.EnvCredentials), secrets.CredentialCookie+"."+a.Name)
		if err != nil {
			return cookies{}, fmt.Errorf("app %q: %w", a.Name, err)
		}
		if ok {
			c.apps[a.Name] = node.Cookie(passed.Reveal())
			continue
		}
		if a.CookieFile == "" {
			continue
		}
		own, err := secrets.LoadCookie(a.CookieFile)
		if err != nil {
			return cookies{}, fmt.Errorf("app %q: %w", a.Name, err)
		}
		c.apps[a.Name] = node.Cookie(own.Reveal())
	}
	return c, nil
}

// of gives the cookie of a peer: that of its app for an instance, else the node's.
func (c cookies) of(peer node.Name) node.Cookie {
	if app, ok := appOf(peer); ok {
		return c.apps[app] // "" for an app that we do not have: the node's
	}
	return ""
}

// appOf gives the app that a node's name makes it an instance of: APP-xxxxxx.
func appOf(peer node.Name) (string, bool) {
	i := len(peer.Alive) - suffixLen - 1
	if i < 1 || peer.Alive[i] != '-' {
		return "", false
	}
	return peer.Alive[:i], true
}

// allowed reports whether peer may connect: instances on this host, and names that node.allow has a pattern for.
func allowed(cfg *config.Config, self, peer node.Name) bool {
	if app, ok := appOf(peer); ok && peer.Host == self.Host {
		for _, a := range cfg.Applications {
			if a.Name == app {
				return true
			}
		}
	}
	for _, pattern := range cfg.Node.Allow {
		if ok, err := path.Match(pattern, peer.String()); err == nil && ok {
			return true
		}
	}
	return false
}

// baseEnv is the environment of which instances get a part. They register where the daemon looks for them.
func baseEnv(cfg *config.Config, getenv func(string) string) []string {
	env := os.Environ()
	if _, port, err := net.SplitHostPort(cfg.Node.EPMDAddress(getenv)); err == nil && cfg.Node.EPMD != "" {
		env = append(env, "ERL_EPMD_PORT="+port)
	}
	return env
}

// omitPath are folders that hold the programs of another installation's own runtime.
func omitPath(cfg *config.Config) []string {
	if cfg.InstallPath == "" {
		return nil
	}
	return []string{filepath.Join(cfg.InstallPath, "bin")}
}

// listener is one place where the control API is served.
type listener struct {
	ln       net.Listener
	readOnly bool
}

func (d *daemon) listen() ([]listener, error) {
	ln, err := d.service.control(d.cfg.Control.Socket)
	if err != nil {
		return nil, err
	}
	// A socket kept from the daemon before this one has the mode of that one's configuration, perhaps a wider one.
	if c := d.cfg.Control; c.Mode != "" || c.Group != "" || len(c.Grant) > 0 || d.service.listeners.Kept(keptControl) {
		if err := setSocket(c); err != nil {
			_ = ln.Close() // the other error is the one to tell
			return nil, err
		}
	}
	all := []listener{{ln: ln}}
	if addr := d.cfg.Web.Listen; addr != "" {
		tcp, err := d.service.tcp(addr)
		if err != nil {
			_ = ln.Close() // the other error is the one to tell
			return nil, fmt.Errorf("web.listen: %w", err)
		}
		all = append(all, listener{ln: tcp, readOnly: true})
	}
	return all, nil
}

func (d *daemon) serve(listeners []listener, log *slog.Logger, fail context.CancelCauseFunc) {
	o := web.Options{
		Log: log.With("part", "web"), State: stateKeeper{d.state}, Configuration: d.live,
		Poller: d.tree, PollToken: func() (string, error) { return pollToken(d.live.config()) },
		Metrics: d.countEvents(log.With("part", "metrics")),
		Right:   func(c api.Caller) web.Right { return rightOf(d.live.config().Control.Grant, c) },
	}
	if d.cfg.Hostname != "" {
		o.Hosts = append(o.Hosts, d.cfg.Hostname)
	}
	if host, err := os.Hostname(); err == nil {
		o.Hosts = append(o.Hosts, host)
	}
	d.web = web.New(d.tree, o)
	for _, l := range listeners {
		h := d.web.Handler()
		if l.readOnly {
			h = d.web.ReadOnly()
		}
		d.serving.Go(func() {
			if err := d.web.Serve(l.ln, h); err != nil {
				fail(fmt.Errorf("web: serve %s: %w", l.ln.Addr(), err))
			}
		})
	}
}

// stop takes everything down in the opposite order.
func (d *daemon) stop(withInstances bool) error {
	var errs []error
	if d.tree != nil {
		ctx, cancel := context.WithTimeout(context.Background(), d.stopTimeout(withInstances))
		errs = append(errs, d.tree.Close(ctx, withInstances))
		cancel()
	}
	if d.web != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		errs = append(errs, d.web.Close(ctx))
		cancel()
		d.unserve()
		d.serving.Wait()
	}
	if d.flags != nil {
		d.flags.wait()
	}
	if d.erl != nil {
		d.erl.Close()
	}
	if d.ergo != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		errs = append(errs, d.ergo.Stop(ctx)) // which the tree has done, if there was one
		cancel()
	}
	if d.node != nil {
		errs = append(errs, d.node.Close())
	}
	errs = append(errs, d.service.close())
	if d.store != nil {
		errs = append(errs, d.store.Close())
	}
	if d.state != nil {
		errs = append(errs, d.state.Close())
	}
	return errors.Join(errs...)
}

func (d *daemon) stopTimeout(withInstances bool) time.Duration {
	t := closeTimeout
	if withInstances {
		for _, a := range d.live.config().Applications {
			t = max(t, closeTimeout+a.Stop.Timeout+killAfter)
		}
	}
	return t
}
