package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Config says what a Node is. It is copied by New and must not be changed afterwards.
type Config struct {
	Name   Name   // required; its host decides between short and long names
	Cookie Cookie // required unless CookieFor knows every peer

	// CookieFor gives the cookie shared with a peer; "" means Cookie. nil: Cookie for all.
	// It is called on connects of either side, after Allow, by several goroutines.
	CookieFor func(peer Name) Cookie

	// Allow decides whether a peer may connect to us; refused ones get not_allowed. nil: all who know the
	// cookie. It is not asked about peers that we connect to.
	Allow func(peer Name) bool

	Listen string // address that accepts distribution links; default "127.0.0.1:0"; "none": accept none

	// EPMDAddr is the port mapper of this host, host:port; default 127.0.0.1:4369. Those of other hosts
	// are asked on the same port.
	EPMDAddr string
	// NoEPMD leaves the node unregistered, so that nobody can look up where it listens.
	NoEPMD bool
	// Resolve gives the addresses of a peer's host, without port, to be tried in turn. nil: for the own
	// host name that of EPMDAddr, for others the host itself.
	Resolve func(ctx context.Context, host string) ([]string, error)

	Transport Transport // how links are made; nil: TCP

	NetTickTime      time.Duration // a peer silent for that long is down; default 60 s; ticks go out four times as often
	HandshakeTimeout time.Duration // for the whole of dialing or accepting; default 7 s, as net_setuptime

	// Limits on what a peer can make this node do or keep; docs/limits.md has all of them. 0 is the default.

	MaxMessageBytes int // largest message received, fragments put together; default 256 MiB
	MaxFragments    int // messages of one link that may be in fragments at one time; default 256
	OutboxBytes     int // senders to a peer wait above that; default 1 MiB
	MaxOutboxBytes  int // what waits for a peer, answers that cannot wait included; more closes the link; default 64 MiB
	MaxLinks        int // links at one time; more peers are refused; default 4096
	MaxCalls        int // inbound calls and spawned functions of one link running at one time; default 4096; of all links: four times as many
	MaxWatches      int // links and monitors that a peer has on processes of this node; more closes the link; default 100,000

	Log *slog.Logger // nil: slog.DiscardHandler
}

// Transport makes and accepts the connections under the links.
type Transport interface {
	// Dial connects to addr (host:port), where EPMD says that the peer listens.
	Dial(ctx context.Context, addr string, peer Name) (net.Conn, error)
	// Listen opens the socket that peers connect to.
	Listen(ctx context.Context, addr string) (net.Listener, error)
	// HandshakeHeader is the size of the length before a handshake message: 2 over TCP, 4 over TLS.
	HandshakeHeader() int
	// Verify checks, once a peer has told its name, that the connection is that peer's (certificates).
	Verify(conn net.Conn, peer Name) error
}

// Defaults of Config.
const (
	DefaultListen           = "127.0.0.1:0"
	DefaultEPMDAddr         = "127.0.0.1:4369"
	DefaultNetTickTime      = 60 * time.Second
	DefaultHandshakeTimeout = 7 * time.Second
	DefaultMaxMessageBytes  = 256 << 20
	DefaultMaxFragments     = 256
	DefaultOutboxBytes      = 1 << 20
	DefaultMaxOutboxBytes   = 64 << 20
	DefaultMaxLinks         = 4096
	DefaultMaxCalls         = 4096
	DefaultMaxWatches       = 100_000
)

// Validate checks the fields and fills in defaults.
func (c *Config) Validate() error {
	if !c.Name.valid() {
		return fmt.Errorf("node: config: Name: %w: %q", ErrBadName, c.Name.String())
	}
	if c.Cookie == "" && c.CookieFor == nil {
		return errors.New("node: config: Cookie or CookieFor is needed")
	}
	if len(c.Cookie) > maxCookieBytes {
		return fmt.Errorf("node: config: Cookie has more than %d bytes", maxCookieBytes)
	}
	for name, v := range map[string]int{
		"MaxMessageBytes": c.MaxMessageBytes, "MaxFragments": c.MaxFragments, "OutboxBytes": c.OutboxBytes, "MaxCalls": c.MaxCalls,
		"MaxOutboxBytes": c.MaxOutboxBytes, "MaxLinks": c.MaxLinks, "MaxWatches": c.MaxWatches,
		"NetTickTime": int(c.NetTickTime), "HandshakeTimeout": int(c.HandshakeTimeout),
	} {
		if v < 0 {
			return fmt.Errorf("node: config: %s is negative", name)
		}
	}
	setDefault(&c.Listen, DefaultListen)
	setDefault(&c.EPMDAddr, DefaultEPMDAddr)
	setDefault(&c.NetTickTime, DefaultNetTickTime)
	setDefault(&c.HandshakeTimeout, DefaultHandshakeTimeout)
	setDefault(&c.MaxMessageBytes, DefaultMaxMessageBytes)
	setDefault(&c.MaxFragments, DefaultMaxFragments)
	setDefault(&c.OutboxBytes, DefaultOutboxBytes)
	setDefault(&c.MaxOutboxBytes, max(DefaultMaxOutboxBytes, c.OutboxBytes))
	setDefault(&c.MaxLinks, DefaultMaxLinks)
	setDefault(&c.MaxCalls, DefaultMaxCalls)
	setDefault(&c.MaxWatches, DefaultMaxWatches)
	if c.MaxOutboxBytes < c.OutboxBytes {
		return fmt.Errorf("node: config: MaxOutboxBytes %d is less than OutboxBytes %d", c.MaxOutboxBytes, c.OutboxBytes)
	}
	if _, _, err := net.SplitHostPort(c.EPMDAddr); err != nil {
		return fmt.Errorf("node: config: EPMDAddr: %w", err)
	}
	if c.Listen != listenNone {
		if _, _, err := net.SplitHostPort(c.Listen); err != nil {
			return fmt.Errorf("node: config: Listen: %w", err)
		}
	}
	if c.Transport == nil {
		c.Transport = TCP{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

const listenNone = "none"

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// TCP is the plain transport.
type TCP struct {
	// ListenTCP opens the socket, for those who have one open already; nil: net.ListenConfig.
	ListenTCP func(ctx context.Context, addr string) (net.Listener, error)
}

// Dial connects over TCP.
func (TCP) Dial(ctx context.Context, addr string, _ Name) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

// Listen listens on TCP.
func (t TCP) Listen(ctx context.Context, addr string) (net.Listener, error) {
	if t.ListenTCP != nil {
		return t.ListenTCP(ctx, addr)
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", addr)
}

// HandshakeHeader is 2.
func (TCP) HandshakeHeader() int { return 2 }

// Verify has nothing to check.
func (TCP) Verify(net.Conn, Name) error { return nil }
