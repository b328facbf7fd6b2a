// Package distcheck connects to an Erlang node step by step and says in words what is wrong and what to do about it.
//
// It does so under a throw-away name, so that no link that is up is disturbed. The peer sees one more hidden node for
// less than a second, which leaves two atoms there.
package distcheck

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/beamkeeper/beamkeeper/node"
)

// State is the outcome of a step.
type State string

// The states. What comes after a step that failed is not tried.
const (
	OK   State = "ok"
	Warn State = "warn"
	Fail State = "fail"
)

// The steps, in their order.
const (
	StepName       = "name"       // short or long names
	StepHost       = "host"       // the host's address
	StepEPMD       = "epmd"       // the port mapper answers
	StepRegistered = "registered" // and knows the node
	StepPort       = "port"       // where it says that the node is, somebody accepts
	StepTLS        = "tls"        // both sides speak TLS and take the other's certificate, or neither does
	StepHandshake  = "handshake"  // the peer is the one that was asked for, and lets us in
	StepFlags      = "flags"      // it can do what is needed
	StepCookie     = "cookie"
	StepHidden     = "hidden" // a remark
	StepTick       = "tick"   // net_ticktime is the same
	StepClock      = "clock"
	StepLink       = "link" // to the node that Options.Self names
)

// Finding is what one step found.
type Finding struct {
	Step   string
	State  State
	Detail string // what is so
	Remedy string // what to do about it; empty when there is nothing to do
}

// Options say who asks. Self, Cookie and NetTickTime are required.
type Options struct {
	Self        node.Name      // the node on whose behalf it is asked; the throw-away one takes its host
	Cookie      node.Cookie    // for the peer
	EPMDAddr    string         // port mapper of this host, host:port; default node.DefaultEPMDAddr
	Transport   node.Transport // nil: TCP
	NetTickTime time.Duration  // of Self
	Running     bool           // Self runs, so that a missing link is worth a word

	Timeout time.Duration // of each step; default 5 s
	// Lookup gives the addresses of another host; nil: the system's.
	Lookup func(ctx context.Context, host string) ([]string, error)
	Now    func() time.Time // nil: time.Now
}

const defaultTimeout = 5 * time.Second

// checker is one run.
type checker struct {
	o        Options
	peer     node.Name
	epmd     *node.EPMDClient
	addr     string // where the peer listens
	findings []Finding
}

// Check connects to the peer and gives what it found, up to the first step that failed. ctx bounds the whole.
func Check(ctx context.Context, o Options, peer node.Name) []Finding {
	if o.EPMDAddr == "" {
		o.EPMDAddr = node.DefaultEPMDAddr
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Lookup == nil {
		o.Lookup = net.DefaultResolver.LookupHost
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &checker{o: o, peer: peer}
	c.epmd = &node.EPMDClient{Addr: o.EPMDAddr, Self: o.Self.Host, Resolve: o.Lookup}
	for _, step := range []func(context.Context) bool{c.name, c.host, c.mapper, c.registered, c.port, c.connect} {
		if !step(ctx) {
			break
		}
	}
	return c.findings
}

func (c *checker) ok(step, format string, args ...any) bool {
	c.findings = append(c.findings, Finding{Step: step, State: OK, Detail: fmt.Sprintf(format, args...)})
	return true
}

func (c *checker) warn(step, remedy, format string, args ...any) {
	c.findings = append(c.findings, Finding{Step: step, State: Warn, Detail: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (c *checker) fail(step, remedy, format string, args ...any) bool {
	c.findings = append(c.findings, Finding{Step: step, State: Fail, Detail: fmt.Sprintf(format, args...), Remedy: remedy})
	return false
}

func (c *checker) name(context.Context) bool {
	theirs, ours := c.peer.Domain(), c.o.Self.Domain()
	if theirs != ours {
		return c.fail(StepName, "give both a host name of the same kind: -sname with a host without a dot, or -name with a full one (node.host here)",
			"%s uses %s and %s uses %s; nodes of the two kinds never connect", c.peer, theirs, c.o.Self, ours)
	}
	return c.ok(StepName, "%s, %s on both sides", c.peer, theirs)
}

func (c *checker) local() bool { return c.peer.Host == c.o.Self.Host }

func (c *checker) host(ctx context.Context) bool {
	if c.local() {
		return c.ok(StepHost, "%s is this host", c.peer.Host)
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	addrs, err := c.o.Lookup(ctx, c.peer.Host)
	if err == nil && len(addrs) == 0 {
		err = errors.New("no addresses")
	}
	if err != nil {
		return c.fail(StepHost, "add it to /etc/hosts of this host or mend its DNS; Erlang's name of a host must be one that others can look up",
			"the host name %q does not resolve: %v", c.peer.Host, err)
	}
	return c.ok(StepHost, "%s is %s", c.peer.Host, strings.Join(addrs, ", "))
}

// mapper asks the port mapper for all names.
func (c *checker) mapper(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	names, err := c.epmd.Names(ctx, c.peer.Host)
	if err == nil {
		return c.ok(StepEPMD, "the port mapper of %s answers; nodes registered: %d", c.peer.Host, len(names))
	}
	remedy := "start the node, which starts one, or: epmd -daemon (beamkeeper epmd); is it the same ERL_EPMD_PORT on both sides?"
	switch {
	case isTimeout(err):
		remedy = "let TCP to that port through the firewall, or see whether the host is up"
	case !errors.Is(err, syscall.ECONNREFUSED) && closed(err):
		remedy = "something else listens on that port: see ss -ltnp there, and ERL_EPMD_PORT"
	case errors.Is(err, syscall.ECONNREFUSED) && !c.local():
		remedy += " An epmd that listens on loopback only (ERL_EPMD_ADDRESS) is not reached from here"
	}
	return c.fail(StepEPMD, remedy, "no port mapper can be asked: %v", err)
}

// registered asks the port mapper for the peer.
func (c *checker) registered(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	at, err := c.epmd.PortPlease(ctx, c.peer)
	switch {
	case err == nil:
		c.addr = net.JoinHostPort(at.Addr, strconv.Itoa(at.Port))
		kind := "a visible"
		if at.Hidden {
			kind = "a hidden"
		}
		return c.ok(StepRegistered, "%q is %s node at port %d", c.peer.Alive, kind, at.Port)
	case errors.Is(err, node.ErrVersion):
		return c.fail(StepRegistered, "run it on OTP 23 or later", "%q speaks distribution versions %d to %d; version 6, of OTP 23, is needed", c.peer.Alive, at.Low, at.High)
	case !errors.Is(err, node.ErrNameUnknown):
		return c.fail(StepRegistered, "", "the port mapper does not say where %q is: %v", c.peer.Alive, err)
	}
	names, err := c.epmd.Names(ctx, c.peer.Host)
	if err != nil || len(names) == 0 {
		return c.fail(StepRegistered, "start the node; is it running, and is it distributed (-sname, -name)?", "%q is not registered at %s, and nobody else is", c.peer.Alive, c.peer.Host)
	}
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = n.Alive
	}
	if near := nearest(c.peer.Alive, all); near != "" {
		return c.fail(StepRegistered, fmt.Sprintf("start the node, or did you mean %s@%s?", near, c.peer.Host), "%q is not registered at %s; nearest is %q", c.peer.Alive, c.peer.Host, near)
	}
	return c.fail(StepRegistered, "start the node; is it running, and is it distributed (-sname, -name)?", "%q is not registered at %s; registered are %s", c.peer.Alive, c.peer.Host, strings.Join(all, ", "))
}

// port connects without a word.
func (c *checker) port(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", c.addr)
	switch {
	case err == nil:
		conn.Close() // it was only asked whether somebody accepts
		return c.ok(StepPort, "%s accepts connections", c.addr)
	case isTimeout(err):
		return c.fail(StepPort, "let TCP to it through the firewall; inet_dist_listen_min and inet_dist_listen_max of kernel narrow the ports down", "nothing answers at %s, where %q is registered", c.addr, c.peer.Alive)
	}
	return c.fail(StepPort, "does the node listen on another address (inet_dist_use_interface of kernel, node.listen), or is it frozen or gone? Then restart it",
		"the port is closed: nothing accepts at %s, where %q is registered: %v", c.addr, c.peer.Alive, err)
}

// throwAway is a name that nobody has. It has no hyphen, and so is no instance's.
func (c *checker) throwAway() node.Name {
	return node.Name{Alive: "doctor_" + strings.ToLower(rand.Text()[:8]), Host: c.o.Self.Host}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, net.ErrClosed) || // our own timer was quicker than the deadline
		errors.As(err, &t) && t.Timeout()
}

// closed tells whether the other side hung up.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
