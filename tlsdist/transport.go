package tlsdist

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"time"

	"github.com/beamkeeper/beamkeeper/node"
)

// Role is the side of a connection.
type Role uint8

// The two sides.
const (
	Server Role = iota // it accepted the connection
	Client             // it dialed
)

// String is server or client.
func (r Role) String() string {
	if r == Client {
		return "client"
	}
	return "server"
}

// Identity is what a node shows and whom it trusts.
type Identity struct {
	Certificate tls.Certificate // with Leaf
	Roots       *x509.CertPool
	MinVersion  uint16 // 0: TLS 1.2
	MaxVersion  uint16 // 0: TLS 1.3
}

// Source knows the certificates. Its methods are called in every handshake, by several goroutines.
type Source interface {
	// Identity gives the present state of the own certificate and of the trusted authorities.
	Identity(Role) (*Identity, error)
	// Check decides about the certificate of a peer, whose chain is in order already. peer is zero as long as the
	// peer has not told its name. The error is one of this package's sentinels, with more words.
	Check(leaf *x509.Certificate, peer node.Name) error
}

// Transport makes links over TLS. It satisfies node.Transport.
type Transport struct {
	Source Source
	Time   func() time.Time // nil: time.Now

	// ListenTCP opens the socket below; nil: net.ListenConfig.
	ListenTCP func(ctx context.Context, addr string) (net.Listener, error)
}

// HandshakeHeader is 4, see inet_tls_dist.
func (t *Transport) HandshakeHeader() int { return 4 }

// curves are those that OTP 23 to 29 know as well.
var curves = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384}

// Dial connects, shakes hands and checks the peer's certificate for its name. Errors: *PeerError, ctx.Err(), or
// those of the network.
func (t *Transport) Dial(ctx context.Context, addr string, peer node.Name) (net.Conn, error) {
	id, err := t.Source.Identity(Client)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &Conn{peer: peer, wire: newWire(raw)}
	config := t.config(id)
	config.ServerName = peer.Host
	config.InsecureSkipVerify = true // VerifyConnection does it, with errors that have a type
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &id.Certificate, nil }
	config.VerifyConnection = func(s tls.ConnectionState) error { return t.check(s, id, x509.ExtKeyUsageServerAuth, addr, peer) }
	c.Conn = tls.Client(c.wire, config)
	if err := c.HandshakeContext(ctx); err != nil {
		raw.Close() // the other error is the one to tell
		return nil, c.explain(err)
	}
	c.up.Store(true)
	return c, nil
}

// Listen listens on TCP. Accepted connections shake hands with their first Read, so that nobody waits for a slow one.
func (t *Transport) Listen(ctx context.Context, addr string) (net.Listener, error) {
	l, err := node.TCP{ListenTCP: t.ListenTCP}.Listen(ctx, addr)
	if err != nil {
		return nil, err
	}
	return &listener{Listener: l, transport: t}, nil
}

type listener struct {
	net.Listener
	transport *Transport
}

func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w := newWire(raw)
	return &Conn{Conn: tls.Server(w, &tls.Config{GetConfigForClient: l.transport.serverConfig}), wire: w}, nil
}

func (t *Transport) serverConfig(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	id, err := t.Source.Identity(Server)
	if err != nil {
		return nil, err
	}
	config := t.config(id)
	config.ClientAuth = tls.RequestClientCert // VerifyConnection insists, with errors that have a type
	addr := hello.Conn.RemoteAddr().String()
	config.VerifyConnection = func(s tls.ConnectionState) error {
		return t.check(s, id, x509.ExtKeyUsageClientAuth, addr, node.Name{})
	}
	return config, nil
}

func (t *Transport) config(id *Identity) *tls.Config {
	c := &tls.Config{
		Certificates: []tls.Certificate{id.Certificate}, CurvePreferences: curves, Time: t.Time,
		MinVersion: id.MinVersion, MaxVersion: id.MaxVersion,
		SessionTicketsDisabled:      true, // every link shows its certificate
		DynamicRecordSizingDisabled: true,
	}
	if c.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS12
	}
	return c
}

// check judges the certificate of the other side.
func (t *Transport) check(s tls.ConnectionState, id *Identity, use x509.ExtKeyUsage, addr string, peer node.Name) error {
	err := verifyChain(s.PeerCertificates, id.Roots, use, t.now())
	if err == nil {
		err = t.Source.Check(s.PeerCertificates[0], peer)
	}
	if err != nil {
		return &PeerError{Addr: addr, Name: peer, Err: err}
	}
	return nil
}

func (t *Transport) now() time.Time {
	if t.Time != nil {
		return t.Time()
	}
	return time.Now()
}

// Verify checks, once a peer has told its name, that its certificate is for that name. Error: *PeerError.
func (t *Transport) Verify(conn net.Conn, peer node.Name) error {
	c, ok := conn.(*Conn)
	if !ok {
		return &PeerError{Addr: conn.RemoteAddr().String(), Name: peer, Err: ErrPlainTCP}
	}
	certs := c.ConnectionState().PeerCertificates
	err := ErrNoCertificate
	if len(certs) > 0 {
		err = t.Source.Check(certs[0], peer)
	}
	if err != nil {
		return &PeerError{Addr: conn.RemoteAddr().String(), Name: peer, Err: err}
	}
	return nil
}

// explain says which side refuses what.
func (c *Conn) explain(err error) error {
	var known *PeerError
	var plain tls.RecordHeaderError
	var alert *net.OpError
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.As(err, &plain):
		return c.peerError(ErrPlainTCP)
	case errors.As(err, &alert) && alert.Op == "remote error":
		return c.peerError(refusedError{alert.Err})
	case isTimeout(err) && !c.ConnectionState().HandshakeComplete && c.peer != (node.Name{}):
		return c.peerError(errors.Join(ErrPlainTCP, err)) // a BEAM without TLS waits for the rest of what it takes for a name
	}
	return err
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

func (c *Conn) peerError(err error) error {
	return &PeerError{Addr: c.RemoteAddr().String(), Name: c.peer, Err: err}
}

// refusedError is ErrRefused with the TLS alert that the peer sent.
type refusedError struct{ alert error }

func (e refusedError) Error() string   { return ErrRefused.Error() + ": alert " + e.alert.Error() }
func (e refusedError) Unwrap() []error { return []error{ErrRefused, e.alert} }
