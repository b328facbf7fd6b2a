package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
)

// peer is what the node knows of another one: the pending table of the handshake and the link. It is guarded by Node.mu.
//
//	link  dial  accept   an inbound handshake gets       a Connect
//	-     -     -        ok                              dials
//	-     yes   -        own name greater: nok           waits for the dial
//	                     else: dial ends, ok_simultaneous
//	-     -     yes      ok, the older one ends          waits for the handshake
//	yes   -     -        alive; if it goes on, its link  is done
//	                     replaces ours once it is up
//
// as net_kernel does (accept_pending).
type peer struct {
	link    *link
	dial    *attempt
	accept  *attempt
	changed chan struct{} // closed when an attempt ends or a link comes up; nil when nobody waits
}

// attempt is one handshake under way.
type attempt struct {
	cancel context.CancelCauseFunc
	ended  <-chan struct{} // closed by cancel; nil: never
	done   chan struct{}   // of a dial: closed when it is over
	err    error           // of a dial: valid after done
}

// peerOf gives the entry, made if need be. n.mu is held.
func (n *Node) peerOf(name Name) *peer {
	p := n.peers[name]
	if p == nil {
		p = &peer{}
		n.peers[name] = p
	}
	return p
}

// tell wakes those who wait for a change and forgets an empty entry. n.mu is held.
func (n *Node) tell(name Name, p *peer) {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
	if p.link == nil && p.dial == nil && p.accept == nil && n.peers[name] == p {
		delete(n.peers, name)
	}
}

func (p *peer) wait() <-chan struct{} {
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}

// Connect makes sure that there is a link to the peer: it returns at once when there is one, else dials, or
// waits for an attempt under way of either side. A dial goes on after ctx has ended.
// Errors: *HandshakeError (a failed look-up or dial is one, with phase dial), ctx.Err(), ErrClosed, ErrNotStarted.
func (n *Node) Connect(ctx context.Context, peer Name) error {
	_, err := n.linkTo(ctx, peer)
	return err
}

// linkTo gives the link to a peer, connecting if need be.
func (n *Node) linkTo(ctx context.Context, name Name) (*link, error) {
	if l := n.linkUp(name); l != nil {
		return l, nil
	}
	if !name.valid() {
		return nil, &HandshakeError{Peer: name, Phase: "dial", Err: ErrBadName}
	}
	if name == n.config.Name {
		return nil, &HandshakeError{Peer: name, Phase: "dial", Err: ErrPeerName}
	}
	duplicate := false // the peer said nok: its own attempt is under way
	var patience <-chan struct{}
	for {
		n.mu.Lock()
		if n.state != running {
			err := n.stateErr()
			n.mu.Unlock()
			return nil, err
		}
		p := n.peerOf(name)
		var l *link
		var dial *attempt
		var changed, finished <-chan struct{}
		switch {
		case p.link != nil && !p.link.closed():
			l = p.link
		case p.link != nil: // going down: its noconnection signals come first
			finished = p.link.finished
		case p.dial != nil:
			dial = p.dial
		case p.accept != nil, duplicate:
			changed = p.wait()
		default:
			dial = n.startDial(name, p)
		}
		n.mu.Unlock()
		if l != nil {
			return l, nil
		}
		var dialDone <-chan struct{}
		if dial != nil {
			dialDone = dial.done
		}
		select {
		case <-dialDone:
			if err := dial.err; errors.Is(err, ErrDuplicate) && !duplicate {
				duplicate = true
				timeout, cancel := context.WithTimeoutCause(ctx, n.config.HandshakeTimeout, err)
				defer cancel()
				patience = timeout.Done()
			} else if err != nil && n.linkUp(name) == nil {
				return nil, err
			}
		case <-changed:
		case <-finished:
		case <-patience:
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, &HandshakeError{Peer: name, Phase: "status", Err: ErrDuplicate}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// linkUp gives the link to a peer when there is one.
func (n *Node) linkUp(name Name) *link {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if p := n.peers[name]; p != nil && p.link != nil && !p.link.closed() {
		return p.link
	}
	return nil
}

// startDial begins an outgoing attempt. n.mu is held.
func (n *Node) startDial(name Name, p *peer) *attempt {
	ctx, cancel := context.WithCancelCause(n.ctx)
	a := &attempt{cancel: cancel, ended: ctx.Done(), done: make(chan struct{})}
	p.dial = a
	n.wg.Go(func() {
		l, err := n.dial(ctx, name)
		if err == nil {
			err = n.adopt(l, a)
		}
		n.mu.Lock()
		if p.dial == a {
			p.dial = nil
		}
		n.tell(name, p)
		if err != nil {
			// Of several reasons, the one that ended the attempt from outside counts.
			if cause := context.Cause(ctx); cause != nil {
				err = &HandshakeError{Peer: name, Phase: "dial", Err: cause}
			}
			n.config.Log.Debug("connect failed", "peer", name.String(), "err", err)
		}
		a.err = err
		n.mu.Unlock()
		cancel(nil)
		close(a.done)
	})
	return a
}

// dial looks the peer up, connects and shakes hands.
func (n *Node) dial(ctx context.Context, name Name) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, n.config.HandshakeTimeout)
	defer cancel()
	fail := func(err error) (*link, error) {
		return nil, &HandshakeError{Peer: name, Phase: "dial", Err: err}
	}
	if name.Domain() != n.config.Name.Domain() {
		return fail(ErrPeerName)
	}
	at, err := n.epmd.PortPlease(ctx, name)
	if err != nil {
		return fail(err)
	}
	conn, err := n.config.Transport.Dial(ctx, net.JoinHostPort(at.Addr, strconv.Itoa(at.Port)), name)
	if err != nil {
		return fail(err)
	}
	release := guard(ctx, conn, n.config.HandshakeTimeout)
	res, err := n.handshaker(conn).connect(conn, name, func() bool { return n.linkUp(name) == nil })
	release()
	if err != nil {
		conn.Close()
		return nil, err
	}
	return n.newLink(conn, res, false), nil
}

func (n *Node) handshaker(conn net.Conn) *handshaker {
	return &handshaker{
		header: n.config.Transport.HandshakeHeader(),
		self:   n.config.Name, flags: flagsOurs, creation: n.creation,
		cookie:    n.cookieFor,
		verify:    func(peer Name) error { return n.config.Transport.Verify(conn, peer) },
		challenge: randomChallenge,
	}
}

func (n *Node) cookieFor(peer Name) Cookie {
	if n.config.CookieFor != nil {
		if c := n.config.CookieFor(peer); c != "" {
			return c
		}
	}
	return n.config.Cookie
}

// acceptConn shakes hands with whoever connected.
func (n *Node) acceptConn(conn net.Conn) {
	ctx, cancel := context.WithCancelCause(n.ctx)
	defer cancel(nil)
	release := guard(ctx, conn, n.config.HandshakeTimeout)
	a := &attempt{cancel: cancel, ended: ctx.Done()}
	if n.inbound.enter(a) {
		n.warnings.log(n.config.Log, slog.LevelWarn, "many connections do not finish their handshake, the oldest is closed", "limit", maxAccepting)
	}
	defer n.inbound.leave(a)
	var marked Name
	res, err := n.handshaker(conn).accept(conn, func(peer Name, flags Flags) verdict {
		v := n.markPending(peer, flags, a)
		if v.err == nil {
			marked = peer
			if v.status == statusNamed {
				marked = v.name
			}
		}
		return v
	})
	release()
	n.inbound.leave(a)
	if err == nil {
		err = n.events.room(ctx)
	}
	if err == nil {
		err = n.adopt(n.newLink(conn, res, true), a) // closes it when it fails
	} else {
		conn.Close()
	}
	if marked != (Name{}) {
		n.mu.Lock()
		p := n.peerOf(marked)
		if p.accept == a {
			p.accept = nil
		}
		n.tell(marked, p)
		n.mu.Unlock()
	}
	if err == nil || n.ctx.Err() != nil {
		return
	}
	if errors.Is(err, ErrDuplicate) || closedByPeer(err) || context.Cause(ctx) != nil {
		// A race that sorts itself out, or somebody who only looked.
		n.config.Log.Debug("connection refused", "addr", conn.RemoteAddr().String(), "err", err)
		return
	}
	n.warnings.log(n.config.Log, slog.LevelWarn, "connection refused", "addr", conn.RemoteAddr().String(), "err", err)
}

// markPending decides about an inbound handshake, see peer.
func (n *Node) markPending(name Name, flags Flags, a *attempt) verdict {
	if flags.Has(FlagNameMe) {
		return n.nameHim(name.Host, a)
	}
	if n.config.Allow != nil && !n.config.Allow(name) {
		return verdict{status: statusNotAllowed, err: ErrNotAllowed}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.peers[name]; (p == nil || p.link == nil) && n.links >= n.config.MaxLinks {
		return verdict{status: statusNotAllowed, err: ErrMaxLinks}
	}
	p := n.peerOf(name)
	v := verdict{status: statusOK}
	switch {
	case p.link != nil && !p.link.closed():
		v.status = statusAlive
	case p.dial != nil && n.config.Name.String() > name.String():
		return verdict{status: statusNok, err: ErrDuplicate}
	case p.dial != nil:
		v.status = statusOKSimultaneous
		p.dial.cancel(ErrDuplicate)
		p.dial = nil
	}
	if p.accept != nil {
		p.accept.cancel(ErrDuplicate)
	}
	p.accept = a
	return v
}

// nameHim gives a name to a peer that asked for one (erl -sname undefined): random, with a creation of its own.
func (n *Node) nameHim(host string, a *attempt) verdict {
	for {
		name := Name{Alive: randomAlive(), Host: host}
		if !name.valid() || n.config.Allow != nil && !n.config.Allow(name) {
			return verdict{status: statusNotAllowed, err: ErrNotAllowed}
		}
		n.mu.Lock()
		if n.links >= n.config.MaxLinks {
			n.mu.Unlock()
			return verdict{status: statusNotAllowed, err: ErrMaxLinks}
		}
		if n.peers[name] == nil {
			n.peerOf(name).accept = a
			n.mu.Unlock()
			return verdict{status: statusNamed, name: name, creation: randomCreation()}
		}
		n.mu.Unlock()
	}
}

// adopt makes the link of a finished handshake the peer's link, after an older one has gone down entirely. It starts
// the link. A link whose attempt was overtaken is closed.
func (n *Node) adopt(l *link, a *attempt) error {
	for {
		n.mu.Lock()
		p := n.peerOf(l.peer)
		if n.state != running || (p.dial != a && p.accept != a) {
			err := n.stateErr()
			if err == nil {
				err = ErrDuplicate
			}
			n.tell(l.peer, p)
			n.mu.Unlock()
			l.conn.Close()
			return &HandshakeError{Peer: l.peer, Phase: "ack", Err: err}
		}
		old := p.link
		if old == nil {
			p.link = l
			n.links++
			if p.dial == a {
				p.dial = nil
			} else {
				p.accept = nil
			}
			n.wg.Go(l.run)
			n.announce(NodeEvent{Peer: l.peer, Up: true, Hidden: l.hidden(), Inbound: l.inbound, Creation: l.creation, Time: l.since})
			n.tell(l.peer, p)
			n.mu.Unlock()
			n.flaps.log(n.config.Log, slog.LevelInfo, "node up", "peer", l.peer.String(), "creation", l.creation, "inbound", l.inbound, "hidden", l.hidden())
			return nil
		}
		n.mu.Unlock()
		old.fail(ErrReplaced)
		select {
		case <-old.finished:
		case <-a.ended: // a newer one waits in its place
			l.conn.Close()
			return &HandshakeError{Peer: l.peer, Phase: "ack", Err: ErrDuplicate}
		}
	}
}

// Connected tells whether there is a link to the peer.
func (n *Node) Connected(peer Name) bool { return n.linkUp(peer) != nil }

// Disconnect drops the link to the peer, which sees nodedown, and returns when the signals of its loss have been delivered here too.
// It reports whether there was one.
func (n *Node) Disconnect(peer Name) bool {
	l := n.linkUp(peer)
	if l == nil {
		return false
	}
	l.fail(ErrDisconnected)
	<-l.finished
	return true
}
