package distcheck

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/tlsdist"
)

// connect shakes hands as a node of its own and asks the peer about itself.
func (c *checker) connect(ctx context.Context) bool {
	seen := &recorder{Transport: c.o.Transport}
	if seen.Transport == nil {
		seen.Transport = node.TCP{}
	}
	n, err := node.New(node.Config{
		Name: c.throwAway(), Cookie: c.o.Cookie, Listen: "none", NoEPMD: true, EPMDAddr: c.o.EPMDAddr, Resolve: c.o.Lookup,
		Transport: seen, NetTickTime: c.o.NetTickTime, HandshakeTimeout: c.o.Timeout,
	})
	if err == nil {
		err = n.Start(ctx)
	}
	if err != nil {
		return c.fail(StepHandshake, "", "%v", err)
	}
	defer n.Close() // nothing is left to do when it is over
	if err := n.Connect(ctx, c.peer); err != nil {
		return c.refused(ctx, err, seen)
	}
	c.tlsOK(seen)
	c.handshakeOK()
	c.linked(ctx, n)
	return true
}

func quoted(name string) string { return fmt.Sprintf("%.256q", name) }

func (c *checker) handshakeOK() {
	c.ok(StepHandshake, "it is %s, and it lets a node of this host in", c.peer)
}

// refused says why there is no link.
func (c *checker) refused(ctx context.Context, err error, seen *recorder) bool {
	phase := ""
	var h *node.HandshakeError
	if errors.As(err, &h) {
		phase, err = h.Phase, h.Err
	}
	var t *tlsdist.PeerError
	if errors.As(err, &t) {
		return c.tlsRefused(ctx, err)
	}
	if c.o.Transport == nil && (phase == "name" || phase == "status") && !errors.Is(err, node.ErrNotAllowed) && !errors.Is(err, node.ErrDuplicate) {
		if cert := peek(ctx, c.addr, c.peer.Host, c.o.Timeout); cert != nil {
			return c.fail(StepTLS, "set node.tls (mode own_ca, or files with the peer's authority), or start the peer without -proto_dist inet_tls",
				"the peer speaks TLS (certificate for %s), and we speak plain TCP", namesOf(cert))
		}
	}
	if phase == "dial" && !isTimeout(err) && !closed(err) {
		return c.fail(StepTLS, `see "beamkeeper cert list" and the files of node.tls`, "no connection can be made: %v", err)
	}
	c.tlsOK(seen)
	var other *node.PeerNameError
	switch {
	case errors.Is(err, node.ErrNotAllowed):
		return c.fail(StepHandshake, "on a BEAM: net_kernel:allow/1 names who may connect; on a Beamkeeper: add a pattern to node.allow, and over TLS our certificate must be for the name that connects. The peer's log says which. This was asked under a throw-away name: the daemon's own may be let in",
			"refused by name: the peer does not let a node of %s in (not_allowed)", c.o.Self.Host)
	case errors.Is(err, node.ErrDuplicate):
		return c.fail(StepHandshake, "a node may exist once: end the other one of that name, or wait for net_ticktime until the peer has noticed that it is gone",
			"the peer says that it is connected, or is connecting, with a node of our name already")
	case errors.As(err, &other):
		return c.otherName(other.Name)
	case errors.Is(err, node.ErrFlags):
		return c.missingFlags(err)
	case errors.Is(err, node.ErrVersion):
		return c.fail(StepFlags, "run it on OTP 23 or later", "the peer shakes hands as before OTP 23: %v", err)
	case errors.Is(err, node.ErrBadCookie):
		c.handshakeOK()
		c.ok(StepFlags, "nothing is missing")
		return c.fail(StepCookie, "give both the same cookie: node.cookie_file, or the app's cookie_file, here; -setcookie, RELEASE_COOKIE or ~/.erlang.cookie there (erlang:get_cookie() shows it)",
			"the peer has another cookie than this one")
	case isTimeout(err):
		return c.fail(StepHandshake, "the peer accepts connections but does not answer: is it stopped (SIGSTOP, a debugger) or overloaded? Then restart it", "no answer within %v (%s)", c.o.Timeout, phase)
	case closed(err):
		return c.fail(StepHandshake, "see the peer's log; something else than an Erlang node may listen there", "the peer hung up (%s)", phase)
	}
	return c.fail(StepHandshake, "something else than an Erlang node may listen there: see ss -ltnp on its host", "the peer does not shake hands as an Erlang node does: %v", err)
}

// otherName explains that somebody else was reached than was asked for.
func (c *checker) otherName(name string) bool {
	alive, host, _ := strings.Cut(name, "@")
	actual := node.Name{Alive: alive, Host: host}
	switch {
	case actual.Domain() != c.peer.Domain():
		return c.fail(StepName, "start it with the other kind of name (-sname, -name), or give node.host the same kind and ask for "+quoted(name),
			"the node there is called %.256q and uses %s; %s uses %s", name, actual.Domain(), c.peer, c.peer.Domain())
	case alive == c.peer.Alive:
		return c.fail(StepHandshake, "ask for "+quoted(name)+", or start it as "+c.peer.String()+"; a node is reached only by the name that it has",
			"host name mismatch: the node there is called %.256q, not %s", name, c.peer)
	}
	return c.fail(StepHandshake, "the port mapper is out of date: restart the node that you want", "the node there is called %.256q, not %s", name, c.peer)
}
