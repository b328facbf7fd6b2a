package bridge

import (
	"context"
	"errors"
	"net"
	"time"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/node"
)

// version names the network stack in Ergo's tables.
func version(part string) gen.Version {
	return gen.Version{Name: "beamkeeper-" + part, Release: "1"}
}

var (
	handshakeVersion = version("handshake")
	protoVersion     = version("proto")
)

// registrar is asked by Ergo for a route to a node it has no connection with. It knows one only for nodes that
// package node has a link with, and that route ends in this process: Ergo's locks never wait for the network.
type registrar struct{ sys *System }

var (
	_ gen.Registrar = registrar{}
	_ gen.Resolver  = registrar{}
)

func (r registrar) Register(gen.NodeRegistrar, gen.RegisterRoutes) (gen.StaticRoutes, error) {
	return gen.StaticRoutes{}, nil
}
func (r registrar) Resolver() gen.Resolver                            { return r }
func (registrar) RegisterProxy(gen.Atom) error                        { return gen.ErrUnsupported }
func (registrar) UnregisterProxy(gen.Atom) error                      { return gen.ErrUnsupported }
func (registrar) RegisterApplicationRoute(gen.ApplicationRoute) error { return nil }
func (registrar) UnregisterApplicationRoute(gen.Atom) error           { return nil }
func (registrar) Config(...string) (map[string]any, error)            { return nil, gen.ErrUnsupported }
func (registrar) ConfigItem(string) (any, error)                      { return nil, gen.ErrUnsupported }
func (registrar) Event() (gen.Event, error)                           { return gen.Event{}, gen.ErrUnsupported }
func (registrar) Info() gen.RegistrarInfo                             { return gen.RegistrarInfo{Version: version("registrar")} }
func (registrar) Terminate()                                          {}
func (registrar) Version() gen.Version                                { return version("registrar") }
func (registrar) ResolveProxy(gen.Atom) ([]gen.ProxyRoute, error)     { return nil, gen.ErrNoRoute }
func (registrar) ResolveApplication(gen.Atom) ([]gen.ApplicationRoute, error) {
	return nil, gen.ErrNoRoute
}

func (r registrar) Nodes() ([]gen.Atom, error) {
	var names []gen.Atom
	for _, p := range r.sys.node.Peers() {
		names = append(names, gen.Atom(p.Name.String()))
	}
	return names, nil
}

// Resolve gives the rendezvous with a linked node. For others it has package node dial in the background, so that a
// later attempt finds the link.
func (r registrar) Resolve(name gen.Atom) ([]gen.Route, error) {
	if name == r.sys.localPeer {
		return nil, gen.ErrNoRoute // it is there from the start to the end
	}
	peer, err := node.ParseName(string(name))
	if err != nil {
		return nil, err
	}
	if !r.sys.node.Connected(peer) {
		r.sys.dial(peer)
		return nil, gen.ErrNoRoute
	}
	route, err := r.sys.rendezvous(name)
	if err != nil {
		return nil, err
	}
	return []gen.Route{route}, nil
}

// A rendezvous is the way a finished link gets into Ergo's tables. Ergo insists on dialing TCP itself, so it gets a
// listening socket on the loopback that nobody accepts from and that is closed at once. The port tells the handshake
// which peer Ergo meant.
type rendezvous struct {
	peer gen.Atom
	l    net.Listener
}

// rendezvousTimeout closes the socket of a rendezvous Ergo did not come to.
const rendezvousTimeout = 5 * time.Second

func (s *System) rendezvous(peer gen.Atom) (gen.Route, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return gen.Route{}, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	s.mu.Lock()
	s.meetings[port] = rendezvous{peer: peer, l: l}
	s.mu.Unlock()
	time.AfterFunc(rendezvousTimeout, func() { s.meet(port) })
	return gen.Route{
		Host: "127.0.0.1", Port: uint16(port),
		HandshakeVersion: handshakeVersion, ProtoVersion: protoVersion,
	}, nil
}

// meet ends the rendezvous at a port and tells the peer, "" if there is none.
func (s *System) meet(port int) gen.Atom {
	s.mu.Lock()
	m := s.meetings[port]
	delete(s.meetings, port)
	s.mu.Unlock()
	if m.l != nil {
		m.l.Close()
	}
	return m.peer
}

// handshake is the one package node has done already.
type handshake struct{ sys *System }

var _ gen.NetworkHandshake = handshake{}

func (handshake) NetworkFlags() gen.NetworkFlags { return gen.NetworkFlags{Enable: true} }
func (handshake) Version() gen.Version           { return handshakeVersion }

func (h handshake) Start(_ gen.NodeHandshake, c net.Conn, _ gen.HandshakeOptions) (gen.HandshakeResult, error) {
	defer c.Close()
	addr, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return gen.HandshakeResult{}, gen.ErrUnsupported
	}
	peer := h.sys.meet(addr.Port)
	if peer == "" {
		return gen.HandshakeResult{}, gen.ErrNoRoute
	}
	return gen.HandshakeResult{
		HandshakeVersion: handshakeVersion,
		Peer:             peer,
		PeerFlags:        gen.NetworkFlags{Enable: true},
		NodeFlags:        gen.NetworkFlags{Enable: true},
	}, nil
}

func (handshake) Join(gen.NodeHandshake, net.Conn, string, gen.HandshakeOptions) ([]byte, error) {
	return nil, gen.ErrUnsupported
}

func (handshake) Accept(gen.NodeHandshake, net.Conn, gen.HandshakeOptions) (gen.HandshakeResult, error) {
	return gen.HandshakeResult{}, gen.ErrUnsupported // there is no acceptor
}

// proto makes connections that hand over to package node.
type proto struct{ sys *System }

var _ gen.NetworkProto = proto{}

func (proto) Version() gen.Version { return protoVersion }

func (p proto) NewConnection(_ gen.Core, r gen.HandshakeResult, _ gen.Log) (gen.Connection, error) {
	return newConnection(p.sys, r.Peer)
}

// Serve lasts as long as the connection. When it returns, Ergo removes the connection by its peer's name and tells
// everybody of the node down, then calls Terminate.
func (proto) Serve(c gen.Connection, _ gen.NetworkDial) error {
	<-c.(*connection).down
	return gen.ErrNoConnection
}

// adopt enters a peer into Ergo's tables, unless it is there.
func (s *System) adopt(peer gen.Atom) error {
	network := s.ergo.Network()
	if network == nil {
		return gen.ErrNodeTerminated
	}
	if _, err := network.Node(peer); err == nil {
		return nil
	}
	route, err := s.rendezvous(peer)
	if err != nil {
		return err
	}
	_, err = network.GetNodeWithRoute(peer, gen.NetworkRoute{Route: route})
	return err
}

// nodeEvent follows the links of package node. It is called with one event at a time, in order. A link that went down
// is out of Ergo's tables, and all its links and monitors have fired, before the next one of the same peer is adopted:
// Ergo removes connections by name and would remove the new one.
func (s *System) nodeEvent(ev node.NodeEvent) {
	peer := gen.Atom(ev.Peer.String())
	if ev.Up {
		if err := s.adopt(peer); err != nil && s.ergo.IsAlive() {
			s.log.Error("link not handed to the actor system", "peer", ev.Peer.String(), "err", err)
		}
		return
	}
	s.mu.Lock()
	c := s.conns[peer]
	s.mu.Unlock()
	if c == nil {
		s.core.RouteNodeDown(peer, gen.ErrNoConnection)
		return
	}
	c.hangUp()
	<-c.gone
}

// redial is how long after an attempt Ergo's wish for a connection starts the next one.
const redial = time.Second

// dial connects to a peer in the background, one attempt at a time.
func (s *System) dial(peer node.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil || s.dialing[peer] {
		return
	}
	s.dialing[peer] = true
	s.workers.Go(func() {
		err := s.node.Connect(s.ctx, peer)
		if err != nil && !errors.Is(err, context.Canceled) {
			s.log.Debug("no connection for an actor", "peer", peer.String(), "err", err)
		}
		time.AfterFunc(redial, func() {
			s.mu.Lock()
			delete(s.dialing, peer)
			s.mu.Unlock()
		})
	})
}
