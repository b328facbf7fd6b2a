package main

import (
	"errors"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/tlsdist"
)

// checkTLS looks at node.tls and its certificates. It makes none.
func (d *doctor) checkTLS() {
	const name = "tls"
	switch d.cfg.Node.TLS.Mode {
	case tlsOff:
		if plainOutside(d.cfg) {
			d.warn(areaDist, name, "node.tls: {mode: own_ca}", "links from other hosts to %s are not encrypted", d.cfg.Node.Listen)
		}
		return
	case tlsOwnCA:
		if !tlsdist.AuthorityExists(tlsDir(d.cfg)) {
			d.ok(areaDist, name, "own authority, to be made in %s when the daemon starts", tlsDir(d.cfg))
			return
		}
	case tlsFiles:
		self, err := nodeName(d.cfg)
		if err != nil {
			return // told by the check of the host name
		}
		if _, err := openEncryption(d.cfg, self); err != nil {
			d.tlsFailed(name, err)
			return
		}
	}
	list, err := d.cli.certificates()
	if err != nil {
		d.tlsFailed(name, err)
		return
	}
	healthy := true
	for _, c := range list {
		who := or(c.Node, c.File)
		switch left := time.Until(c.ExpiresAt.Time); {
		case left <= 0:
			healthy = false
			d.fail(areaDist, name, renewRemedy(c), "the certificate of %s expired %s ago", who, duration(-left))
		case !c.RenewAt.IsZero() && time.Since(c.RenewAt.Time) > 2*renewEvery, c.RenewAt.IsZero() && left < warnBefore:
			healthy = false
			d.warn(areaDist, name, renewRemedy(c), "the certificate of %s expires in %s", who, duration(left))
		}
	}
	if healthy {
		d.ok(areaDist, name, "%s, %s", d.cfg.Node.TLS.Mode, plural(len(list), "certificate"))
	}
}

func renewRemedy(c certificateJSON) string {
	if c.RenewAt.IsZero() {
		return "put a new one in its place; it is picked up at once"
	}
	return "beamkeeper cert rotate " + c.Node + ", or start the daemon, which renews it"
}

func (d *doctor) tlsFailed(name string, err error) {
	var e *api.Error
	if errors.As(err, &e) {
		d.fail(areaDist, name, e.Hint, "%s", e.Message)
		return
	}
	d.fail(areaDist, name, "", "%v", err)
}
