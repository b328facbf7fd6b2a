package distcheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/tlsdist"
)

// warnBefore is how long before its end a certificate is worth a word.
const warnBefore = 24 * time.Hour

// recorder remembers what the peer showed.
type recorder struct {
	node.Transport
	mu    sync.Mutex
	state *tls.ConnectionState
}

// Dial is the transport's.
func (r *recorder) Dial(ctx context.Context, addr string, peer node.Name) (net.Conn, error) {
	conn, err := r.Transport.Dial(ctx, addr, peer)
	if t, ok := conn.(*tlsdist.Conn); ok && err == nil {
		s := t.ConnectionState()
		r.mu.Lock()
		r.state = &s
		r.mu.Unlock()
	}
	return conn, err
}

// tlsOK tells of the certificate of a peer that was taken.
func (c *checker) tlsOK(seen *recorder) {
	seen.mu.Lock()
	defer seen.mu.Unlock()
	switch {
	case seen.state == nil && c.o.Transport == nil:
		c.ok(StepTLS, "plain TCP")
	case seen.state == nil || len(seen.state.PeerCertificates) == 0:
	default:
		cert := seen.state.PeerCertificates[0]
		if left := cert.NotAfter.Sub(c.o.Now()); left < warnBefore {
			c.warn(StepTLS, "beamkeeper cert rotate "+c.peer.String()+", or put a new one in its place", "%s; the peer's certificate is for %s and expires in %s", tls.VersionName(seen.state.Version), namesOf(cert), left.Round(time.Minute))
			return
		}
		c.ok(StepTLS, "%s; the peer's certificate is for %s, until %s", tls.VersionName(seen.state.Version), namesOf(cert), cert.NotAfter.UTC().Format(time.RFC3339))
	}
}

// tlsRefused says which side refused the other's certificate, and which check it failed.
func (c *checker) tlsRefused(ctx context.Context, err error) bool {
	if errors.Is(err, tlsdist.ErrRefused) {
		return c.alert(err)
	}
	if errors.Is(err, tlsdist.ErrPlainTCP) {
		return c.fail(StepTLS, "start the peer with -proto_dist inet_tls (an instance gets it when node.tls was set before it started: restart it; else beamkeeper cert export), or set node.tls.mode: off",
			"we speak TLS, and the peer speaks plain TCP")
	}
	shown, from, until := "another name", "later", "earlier"
	if cert := peek(ctx, c.addr, c.peer.Host, c.o.Timeout); cert != nil {
		shown = namesOf(cert)
		from, until = cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339)
	}
	now := c.o.Now().UTC().Format(time.RFC3339)
	switch {
	case errors.Is(err, tlsdist.ErrExpired):
		return c.fail(StepTLS, "beamkeeper cert rotate "+c.peer.String()+", or put a new one in its place; if our clock is ahead, mend that", "we refuse the peer's certificate: it expired at %s (it is %s here)", until, now)
	case errors.Is(err, tlsdist.ErrNotYetValid):
		return c.fail(StepTLS, "set the clocks of both hosts (timedatectl, chrony), then issue it anew", "we refuse the peer's certificate: it is valid from %s on, and it is %s here; one of the clocks is wrong", from, now)
	case errors.Is(err, tlsdist.ErrNameMismatch):
		return c.fail(StepTLS, "give the peer a certificate for "+c.peer.Host+" (beamkeeper cert issue "+c.peer.String()+")", "we refuse the peer's certificate: it is for %s, not for %s", shown, c.peer)
	case errors.Is(err, tlsdist.ErrForeignCA):
		return c.fail(StepTLS, "both sides need certificates of one authority: beamkeeper cert export, or node.tls.ca_file", "we refuse the peer's certificate: its authority is not trusted here")
	case errors.Is(err, tlsdist.ErrRetired):
		return c.fail(StepTLS, "beamkeeper cert issue "+c.peer.String()+", if it may come back", "we refuse the peer's certificate: it is no longer on record")
	case errors.Is(err, tlsdist.ErrBadUse):
		return c.fail(StepTLS, "issue one for both uses, serverAuth and clientAuth", "we refuse the peer's certificate: it is not meant for a server")
	case errors.Is(err, tlsdist.ErrNoCertificate):
		return c.fail(StepTLS, "name its certificate in its ssl_dist_optfile", "the peer shows no certificate")
	}
	return c.fail(StepTLS, "see the log of both sides", "no TLS: %v", err)
}

// alerts are what a peer may say about our certificate or settings, as crypto/tls words the alerts of RFC 8446, 6.2.
var alerts = []struct{ text, check, remedy string }{
	{"expired certificate", "our certificate has expired by the peer's clock", "beamkeeper cert rotate of this daemon's name, or put a new one in its place; compare the clocks of both hosts"},
	{"unknown certificate authority", "it does not trust the authority of our certificate", "give it our authority (cacertfile in its ssl_dist_optfile; beamkeeper cert export)"},
	{"revoked certificate", "our certificate is revoked", "issue a new one"},
	{"certificate required", "it wants a certificate of ours and got none", "name one in node.tls"},
	{"access denied", "our certificate is in order but may not connect", "see its ssl_dist_optfile (verify_fun)"},
	{"protocol version not supported", "no TLS version is common", "allow TLS 1.2 and 1.3 in its ssl_dist_optfile (versions)"},
	{"handshake failure", "no cipher, curve or kind of certificate is common, or it wants a certificate and got none", "see ciphers and verify in its ssl_dist_optfile"},
	{"insufficient security level", "our settings are too weak for it", "see ciphers in its ssl_dist_optfile"},
	{"unsupported certificate", "our certificate is not meant for a client, or of a kind that it does not know", "issue one for clientAuth as well"},
	{"unknown certificate", "our certificate does not pass its check", "see its log, and verify_fun in its ssl_dist_optfile"},
	{"bad certificate", "our certificate does not pass its check (chain, name, or clock)", "see its log; compare the clocks of both hosts; are both of one authority?"},
}

// alert explains a refusal by the peer.
func (c *checker) alert(err error) bool {
	text := err.Error()
	for _, a := range alerts {
		if strings.Contains(text, a.text) {
			return c.fail(StepTLS, a.remedy, "the peer refuses us: %s (alert: %s)", a.check, a.text)
		}
	}
	return c.fail(StepTLS, "see the peer's log", "the peer refuses our certificate or settings: %v", err)
}

// peek gives the certificate that a TLS server shows, nil when nobody speaks TLS there. Nothing is sent to it.
func peek(ctx context.Context, addr, host string, timeout time.Duration) *x509.Certificate {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil
	}
	defer raw.Close()
	var cert *x509.Certificate
	conn := tls.Client(raw, &tls.Config{
		ServerName:         host,
		InsecureSkipVerify: true, // it is looked at, not trusted
		VerifyPeerCertificate: func(certs [][]byte, _ [][]*x509.Certificate) error {
			if len(certs) > 0 {
				cert, _ = x509.ParseCertificate(certs[0]) // nil: told as no certificate
			}
			return nil
		},
	})
	_ = conn.HandshakeContext(ctx) // the server may refuse us, having shown its certificate
	return cert
}

// namesOf are the names that a certificate is for.
func namesOf(cert *x509.Certificate) string {
	names := cert.DNSNames
	if cn := cert.Subject.CommonName; cn != "" {
		names = append([]string{cn}, names...)
	}
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}
