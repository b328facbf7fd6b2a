package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/actors"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/release"
	"github.com/beamkeeper/beamkeeper/tlsdist"
)

// renewEvery is how often the daemon looks for certificates to renew. It is a small part of their life.
const renewEvery = 15 * time.Minute

// Modes of node.tls.
const (
	tlsOff   = "off"
	tlsOwnCA = "own_ca"
	tlsFiles = "files"
)

// encryption is what node.tls asks for. The zero value is mode off.
type encryption struct {
	transport *tlsdist.Transport
	instances actors.Encryption
	authority *tlsdist.Authority // mode own_ca
	files     *tlsdist.Files     // mode files
	self      node.Name

	mu      sync.Mutex
	problem error // of the last renewal
	since   time.Time
}

// tlsDir is where the authority keeps its files.
func tlsDir(cfg *config.Config) string { return filepath.Join(cfg.VarPath, "tls") }

// openEncryption reads or makes the daemon's certificate.
func openEncryption(cfg *config.Config, self node.Name) (*encryption, error) {
	e := &encryption{self: self}
	switch cfg.Node.TLS.Mode {
	case tlsOwnCA:
		return e, e.openAuthority(cfg)
	case tlsFiles:
		return e, e.openFiles(cfg)
	}
	return e, nil
}

func (e *encryption) openAuthority(cfg *config.Config) error {
	if err := tlsdist.CheckHost(e.self.Host); err != nil {
		return tlsError(err)
	}
	if _, err := tlsdist.ErlArgs(filepath.Join(tlsDir(cfg), "x")); err != nil {
		return tlsError(err)
	}
	a, err := tlsdist.OpenAuthority(tlsDir(cfg), tlsdist.Options{})
	if err != nil {
		return tlsError(err)
	}
	if _, err := a.Ensure(e.self, nil); err != nil {
		return tlsError(err)
	}
	e.authority, e.instances = a, issuer{a}
	e.transport = &tlsdist.Transport{Source: a.Source(e.self)}
	return nil
}

func (e *encryption) openFiles(cfg *config.Config) error {
	t := cfg.Node.TLS
	f, err := tlsdist.OpenFiles(filesSpec(cfg))
	if err != nil {
		return tlsError(err)
	}
	id, err := f.Identity(tlsdist.Server)
	if err != nil {
		return tlsError(err)
	}
	if err := f.Check(id.Certificate.Leaf, e.self); err != nil {
		return tlsError(fmt.Errorf("node.tls: the certificate does not fit the node %s: %w", e.self, err))
	}
	e.files = f
	e.instances = handedOver{files: f, optFile: t.OptFile, spec: filesSpec(cfg), dir: filepath.Join(tlsDir(cfg), "files")}
	e.transport = &tlsdist.Transport{Source: f}
	return nil
}

func filesSpec(cfg *config.Config) tlsdist.FilesSpec {
	t := cfg.Node.TLS
	if t.OptFile != "" {
		return tlsdist.FilesSpec{OptFile: t.OptFile, PasswordFile: t.PasswordFile}
	}
	return tlsdist.FilesSpec{CAFile: t.CAFile, CertFile: t.CertFile, KeyFile: t.KeyFile, PasswordFile: t.PasswordFile}
}

// tlsError tells people about errors that they can mend.
func tlsError(err error) error {
	e := &api.Error{Code: api.CodeFailed, Message: err.Error(), Err: err}
	switch {
	case errors.Is(err, tlsdist.ErrKeyMode):
		e.Code, e.Hint = api.CodeRefused, "chmod 0400 the file"
	case errors.Is(err, tlsdist.ErrHost):
		e.Code, e.Hint = api.CodeRefused, "set node.host to a name, or node.tls.mode to off"
	case errors.Is(err, tlsdist.ErrPath):
		e.Code, e.Hint = api.CodeRefused, "move var_path, or the optfile, to a path without spaces and quotes"
	case errors.Is(err, tlsdist.ErrKeyPassword):
		e.Code, e.Hint = api.CodeRefused, "name the file with the password in node.tls.password_file"
	case errors.Is(err, tlsdist.ErrNameMismatch):
		e.Code, e.Hint = api.CodeRefused, "set node.host to a name that is in the certificate"
	case errors.Is(err, tlsdist.ErrUnknownNode):
		e.Code, e.Hint = api.CodeNotFound, `see "beamkeeper cert list"`
	case errors.Is(err, fs.ErrPermission):
		e.Code, e.Hint = api.CodeDenied, "run it as the daemon's user or as root"
	}
	return e
}

// nodeTransport is the transport of the node, whose sockets listen opens.
func (e *encryption) nodeTransport(listen func(context.Context, string) (net.Listener, error)) node.Transport {
	if e.transport == nil {
		return node.TCP{ListenTCP: listen}
	}
	e.transport.ListenTCP = listen
	return e.transport
}

// issuer gives each instance a certificate of our own authority.
type issuer struct{ authority *tlsdist.Authority }

func (i issuer) Prepare(peer node.Name, owner *release.Owner) (string, error) {
	var o *tlsdist.Owner
	if owner != nil {
		o = &tlsdist.Owner{UID: owner.UID, GID: owner.GID}
	}
	c, err := i.authority.Ensure(peer, o)
	if err != nil {
		return "", err
	}
	return tlsdist.ErlArgs(c.OptFile)
}

func (i issuer) Retire(peer node.Name) error { return i.authority.Retire(peer) }

func (i issuer) Expires(peer node.Name) time.Time {
	c, err := i.authority.Find(peer)
	if err != nil {
		return time.Time{} // it has none yet, or its files cannot be read, which renewal tells
	}
	return c.NotAfter
}

// handedOver starts instances with the certificate of the configuration.
type handedOver struct {
	files   *tlsdist.Files
	optFile string // of the configuration; empty: one is written
	spec    tlsdist.FilesSpec
	dir     string
}

func (h handedOver) Prepare(peer node.Name, owner *release.Owner) (string, error) {
	if h.optFile != "" {
		return tlsdist.ErlArgs(h.optFile)
	}
	o := tlsdist.Owner{UID: os.Geteuid(), GID: os.Getegid()}
	if owner != nil {
		o = tlsdist.Owner{UID: owner.UID, GID: owner.GID}
	}
	file := filepath.Join(h.dir, fmt.Sprintf("inet_tls.%d.conf", o.UID)) // it may hold a password, and so is one for each user
	if err := tlsdist.WriteOptFile(file, h.spec, o); err != nil {
		return "", err
	}
	return tlsdist.ErlArgs(file)
}

func (handedOver) Retire(node.Name) error { return nil }

func (h handedOver) Expires(node.Name) time.Time {
	id, err := h.files.Identity(tlsdist.Server)
	if err != nil {
		return time.Time{}
	}
	return id.Certificate.Leaf.NotAfter
}

// keepFresh renews certificates until ctx ends. emit adds to the events.
func (e *encryption) keepFresh(ctx context.Context, log *slog.Logger, emit func(api.Event)) {
	if e.authority == nil && e.files == nil {
		return
	}
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		e.renew(log, emit)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (e *encryption) renew(log *slog.Logger, emit func(api.Event)) {
	var renewed []tlsdist.Certificate
	var err error
	if e.authority != nil {
		renewed, err = e.authority.Renew()
	} else {
		err = e.files.Problem()
	}
	for _, c := range renewed {
		log.Info("certificate renewed", "peer", c.Node.String(), "until", c.NotAfter)
		emit(api.Event{
			Type: api.EventCertificateRenewed, Message: fmt.Sprintf("certificate of %s renewed until %s", c.Node, c.NotAfter.UTC().Format(time.RFC3339)),
			Data: map[string]any{"node": c.Node.String(), "serial": c.Serial, "expires_at": api.Time{Time: c.NotAfter}},
		})
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		e.problem = nil
		return
	}
	if e.problem == nil || e.problem.Error() != err.Error() {
		log.Error("certificates", "err", err)
		emit(api.Event{Type: api.EventCertificateProblem, Level: "error", Message: err.Error()})
		e.since = time.Now()
	}
	e.problem = err
}

// warnBefore is how long before its end a certificate from files becomes a problem in the status.
const warnBefore = 14 * 24 * time.Hour

// problems are those that the status of the daemon shows.
func (e *encryption) problems() []api.Problem {
	var list []api.Problem
	e.mu.Lock()
	if e.problem != nil {
		list = append(list, api.Problem{Since: api.Time{Time: e.since.UTC()}, What: "certificates: " + e.problem.Error(), Remedy: `see "beamkeeper cert list"`})
	}
	e.mu.Unlock()
	if e.files == nil {
		return list
	}
	id, err := e.files.Identity(tlsdist.Server)
	if err != nil {
		return list // the problem above
	}
	leaf := id.Certificate.Leaf
	if end := leaf.NotAfter; time.Until(end) < warnBefore {
		since := end.Add(-warnBefore)
		if since.Before(leaf.NotBefore) {
			since = leaf.NotBefore
		}
		list = append(list, api.Problem{
			Since: api.Time{Time: since.UTC()}, What: fmt.Sprintf("the certificate of node.tls expires at %s", end.UTC().Format(time.RFC3339)),
			Remedy: "put a new one in its place; it is picked up at once",
		})
	}
	return list
}

// plainOutside tells whether the distribution listens for others than this host without encryption.
func plainOutside(cfg *config.Config) bool {
	host, _, err := net.SplitHostPort(cfg.Node.Listen)
	if err != nil || cfg.Node.TLS.Mode != tlsOff {
		return false
	}
	ip := net.ParseIP(host)
	return host != "localhost" && (ip == nil || !ip.IsLoopback())
}
