package bridge

import (
	"net"
	"sync"
	"time"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// connection is a peer as Ergo's core sees it. It serves plain act.Actors, supervisors, pools and calls made on the
// Ergo node; an Actor does without it. It keeps no link: what it is asked goes to package node by the peer's name.
//
// Ergo calls the methods for links, monitors and terminations with the lock of its target manager held. They only put
// their work in a queue.
type connection struct {
	sys   *System
	peer  gen.Atom
	name  node.Name // zero for localPeer
	since time.Time

	down     chan struct{} // closed when the link is down
	downOnce sync.Once
	gone     chan struct{} // closed when Ergo has forgotten the connection
	goneOnce sync.Once

	queue workQueue
}

var _ gen.Connection = (*connection)(nil)

func newConnection(s *System, peer gen.Atom) (*connection, error) {
	name, err := s.peerName(peer)
	if err != nil {
		return nil, err
	}
	return &connection{
		sys: s, peer: peer, name: name, since: time.Now(),
		down: make(chan struct{}), gone: make(chan struct{}),
	}, nil
}

// up tells whether the link is there still.
func (c *connection) up() bool { return c.peer == c.sys.localPeer || c.sys.node.Connected(c.name) }

func (c *connection) hangUp() { c.downOnce.Do(func() { close(c.down) }) }

// Join is called once Ergo has registered the connection; of two made at the same time it registers one.
func (c *connection) Join(conn net.Conn, _ string, _ gen.NetworkDial, _ []byte) error {
	conn.Close()
	c.sys.mu.Lock()
	c.sys.conns[c.peer] = c
	c.sys.mu.Unlock()
	c.sys.workers.Go(func() { c.queue.run(c.down) })
	return nil
}

// Terminate is called once Ergo has removed the connection, or stops.
func (c *connection) Terminate(error) {
	c.hangUp()
	c.sys.mu.Lock()
	if c.sys.conns[c.peer] == c {
		delete(c.sys.conns, c.peer)
	}
	c.sys.mu.Unlock()
	c.goneOnce.Do(func() { close(c.gone) })
}

func (c *connection) Node() gen.RemoteNode { return remoteNode{c} }

func (c *connection) send(from gen.PID, to any, o gen.MessageOptions, message any) error {
	if o.ImportantDelivery {
		return gen.ErrUnsupported
	}
	d, err := c.sys.dest(to)
	if err != nil {
		return err
	}
	if m, ok := message.(Cast); ok {
		message = etf.Tuple{etf.Atom("$gen_cast"), m.Request}
	}
	return goError(c.sys.sender(from).proc.Send(c.sys.ctx, d, c.sys.term(message)))
}

func (c *connection) SendPID(from gen.PID, to gen.PID, o gen.MessageOptions, message any) error {
	return c.send(from, to, o, message)
}

func (c *connection) SendProcessID(from gen.PID, to gen.ProcessID, o gen.MessageOptions, message any) error {
	return c.send(from, to, o, message)
}

func (c *connection) SendAlias(from gen.PID, to gen.Alias, o gen.MessageOptions, message any) error {
	return c.send(from, to, o, message)
}

func (c *connection) SendEvent(gen.PID, gen.MessageOptions, gen.MessageEvent) error {
	return gen.ErrUnsupported
}

func (c *connection) SendExit(from gen.PID, to gen.PID, reason error) error {
	return goError(c.sys.sender(from).proc.SendExit(c.sys.ctx, c.sys.Pid(to), ReasonTerm(reason)))
}

func (c *connection) SendResponse(from gen.PID, _ gen.PID, o gen.MessageOptions, response any) error {
	return c.sys.sender(from).respond(c.sys.ctx, o.Ref, response)
}

func (c *connection) SendResponseError(from gen.PID, _ gen.PID, o gen.MessageOptions, err error) error {
	return c.sys.sender(from).respond(c.sys.ctx, o.Ref, errorReply(err))
}

// call sends a gen_server:call. Ergo keeps the deadline, in seconds, in the reference, and does not tell when the
// caller gives up.
func (c *connection) call(from gen.PID, to any, o gen.MessageOptions, message any) error {
	d, err := c.sys.dest(to)
	if err != nil {
		return err
	}
	p := c.sys.sender(from)
	peer := gen.PID{Node: c.peer, ID: 1}
	answer := gen.MessageOptions{Ref: o.Ref}
	expired := make(chan func(), 1)
	ref, err := p.request(c.sys.ctx, d, message, func(t etf.Term, down bool) {
		if down {
			_ = c.sys.core.RouteSendResponseError(peer, from, answer, Reason(t)) // the caller may have given up
		} else {
			_ = c.sys.core.RouteSendResponse(peer, from, answer, t)
		}
		select {
		case stop := <-expired:
			stop()
		default:
		}
	})
	if err != nil {
		return err
	}
	left := time.Duration(gen.DefaultRequestTimeout) * time.Second
	if deadline := o.Ref.Deadline(); deadline != 0 {
		left = time.Until(time.Unix(int64(deadline)+1, 0))
	}
	timer := time.AfterFunc(left, func() { p.forget(ref) })
	expired <- func() { timer.Stop() }
	return nil
}

func (c *connection) CallPID(from gen.PID, to gen.PID, o gen.MessageOptions, message any) error {
	return c.call(from, to, o, message)
}

func (c *connection) CallProcessID(from gen.PID, to gen.ProcessID, o gen.MessageOptions, message any) error {
	return c.call(from, to, o, message)
}

func (c *connection) CallAlias(from gen.PID, to gen.Alias, o gen.MessageOptions, message any) error {
	return c.call(from, to, o, message)
}

// SendTerminatePID tells that an actor which peers know has ended. Ergo believes that a process of localPeer monitors
// it, see System.processOf.
func (c *connection) SendTerminatePID(target gen.PID, reason error) error {
	c.queue.push(func() {
		c.sys.mu.Lock()
		p := c.sys.procs[target.ID]
		c.sys.mu.Unlock()
		if p != nil && !p.managed.Load() {
			p.end(reason)
		}
	})
	return nil
}

// Names, aliases and events of actors are not monitored through Ergo.
func (c *connection) SendTerminateProcessID(gen.ProcessID, error) error { return nil }
func (c *connection) SendTerminateAlias(gen.Alias, error) error         { return nil }
func (c *connection) SendTerminateEvent(gen.Event, error) error         { return nil }

// watch serves Ergo's links and monitors, which it asks for once per target, in the name of the node's core: a link
// for some actors serves monitors of others. So both are one monitor of the core, and it is kept until the target or
// the link to its node is gone, since Ergo may ask to give up what others still want.
func (c *connection) watch(target any, ended func(reason error)) error {
	d, err := c.sys.dest(target)
	if err != nil {
		return err
	}
	c.queue.push(func() {
		p := c.sys.corep
		p.mu.Lock()
		_, watched := p.monitors[d]
		if !watched {
			p.monitors[d] = etf.Ref{}
		}
		p.mu.Unlock()
		if watched {
			return
		}
		over := func(reason error) {
			p.mu.Lock()
			delete(p.monitors, d)
			p.mu.Unlock()
			ended(reason)
		}
		if !c.up() {
			over(gen.ErrNoConnection) // and not a reason to connect
			return
		}
		_, err := p.watch(c.sys.ctx, d, false, func(t etf.Term, _ bool) { over(Reason(t)) })
		if err != nil {
			over(gen.ErrNoConnection)
		}
	})
	return nil
}

func (c *connection) watchPID(target gen.PID) error {
	return c.watch(target, func(reason error) { _ = c.sys.core.RouteTerminatePID(target, reason) })
}

func (c *connection) watchProcessID(target gen.ProcessID) error {
	return c.watch(target, func(reason error) { _ = c.sys.core.RouteTerminateProcessID(target, reason) })
}

func (c *connection) LinkPID(_ gen.PID, target gen.PID) error { return c.watchPID(target) }
func (c *connection) UnlinkPID(gen.PID, gen.PID) error        { return nil }
func (c *connection) LinkProcessID(_ gen.PID, target gen.ProcessID) error {
	return c.watchProcessID(target)
}
func (c *connection) UnlinkProcessID(gen.PID, gen.ProcessID) error { return nil }
func (c *connection) LinkAlias(gen.PID, gen.Alias) error           { return gen.ErrUnsupported }
func (c *connection) UnlinkAlias(gen.PID, gen.Alias) error         { return gen.ErrUnsupported }
func (c *connection) LinkEvent(gen.PID, gen.Event) ([]gen.MessageEvent, error) {
	return nil, gen.ErrUnsupported
}
func (c *connection) UnlinkEvent(gen.PID, gen.Event) error       { return gen.ErrUnsupported }
func (c *connection) MonitorPID(_ gen.PID, target gen.PID) error { return c.watchPID(target) }
func (c *connection) DemonitorPID(gen.PID, gen.PID) error        { return nil }
func (c *connection) MonitorProcessID(_ gen.PID, target gen.ProcessID) error {
	return c.watchProcessID(target)
}
func (c *connection) DemonitorProcessID(gen.PID, gen.ProcessID) error { return nil }
func (c *connection) MonitorAlias(gen.PID, gen.Alias) error           { return gen.ErrUnsupported }
func (c *connection) DemonitorAlias(gen.PID, gen.Alias) error         { return gen.ErrUnsupported }
func (c *connection) MonitorEvent(gen.PID, gen.Event) ([]gen.MessageEvent, error) {
	return nil, gen.ErrUnsupported
}
func (c *connection) DemonitorEvent(gen.PID, gen.Event) error { return gen.ErrUnsupported }

func (c *connection) RemoteSpawn(gen.Atom, gen.ProcessOptionsExtra) (gen.PID, error) {
	return gen.PID{}, gen.ErrUnsupported
}

// remoteNode tells about a peer.
type remoteNode struct{ c *connection }

func (r remoteNode) Name() gen.Atom          { return r.c.peer }
func (r remoteNode) Uptime() int64           { return r.ConnectionUptime() }
func (r remoteNode) ConnectionUptime() int64 { return int64(time.Since(r.c.since).Seconds()) }
func (r remoteNode) Version() gen.Version    { return gen.Version{Name: "erlang"} }

func (r remoteNode) Info() gen.RemoteNodeInfo {
	info := gen.RemoteNodeInfo{
		Node: r.c.peer, ConnectionUptime: r.ConnectionUptime(), Version: r.Version(),
		HandshakeVersion: handshakeVersion, ProtoVersion: protoVersion,
	}
	if p, ok := r.peer(); ok {
		info.PoolSize, info.PoolDSN = 1, []string{p.Addr}
		info.BytesIn, info.BytesOut = p.BytesIn, p.BytesOut
	}
	return info
}

func (r remoteNode) peer() (node.PeerInfo, bool) {
	for _, p := range r.c.sys.node.Peers() {
		if p.Name == r.c.name {
			return p, true
		}
	}
	return node.PeerInfo{}, false
}

func (r remoteNode) Creation() int64 {
	p, _ := r.peer()
	return int64(p.Creation)
}

// Disconnect drops the link of package node.
func (r remoteNode) Disconnect() { r.c.sys.node.Disconnect(r.c.name) }

func (r remoteNode) Spawn(gen.Atom, gen.ProcessOptions, ...any) (gen.PID, error) {
	return gen.PID{}, gen.ErrUnsupported
}
func (r remoteNode) SpawnRegister(gen.Atom, gen.Atom, gen.ProcessOptions, ...any) (gen.PID, error) {
	return gen.PID{}, gen.ErrUnsupported
}
func (r remoteNode) ApplicationStart(gen.Atom, gen.ApplicationOptions) error {
	return gen.ErrUnsupported
}
func (r remoteNode) ApplicationStartTemporary(gen.Atom, gen.ApplicationOptions) error {
	return gen.ErrUnsupported
}
func (r remoteNode) ApplicationStartTransient(gen.Atom, gen.ApplicationOptions) error {
	return gen.ErrUnsupported
}
func (r remoteNode) ApplicationStartPermanent(gen.Atom, gen.ApplicationOptions) error {
	return gen.ErrUnsupported
}
func (r remoteNode) ApplicationInfo(gen.Atom) (gen.ApplicationInfo, error) {
	return gen.ApplicationInfo{}, gen.ErrUnsupported
}
