package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// probes are connections of the node to itself that only ask whether it accepts.
type probes struct {
	mu   sync.Mutex // held from dialing until the address is known: the other end waits for that
	from map[string]bool
}

// own says whether an accepted connection is a probe.
func (p *probes) own(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.from[conn.RemoteAddr().String()]
}

// Accepts connects to the node's own listener and returns nil once the connection has been accepted, by what also accepts
// those of peers. Error: why it was not before ctx ended. A node that does not listen accepts, in that sense.
func (n *Node) Accepts(ctx context.Context) error {
	n.mu.RLock()
	err := n.stateErr()
	var addr net.Addr
	if len(n.listeners) > 0 {
		addr = n.listeners[0].Addr()
	}
	n.mu.RUnlock()
	at, ok := addr.(*net.TCPAddr)
	if err != nil || !ok {
		return err
	}
	to := *at
	if to.IP.IsUnspecified() {
		to.IP = net.IPv4(127, 0, 0, 1) // "::" takes IPv4, too
	}
	conn, err := n.probes.dial(ctx, to.String())
	if err != nil {
		return fmt.Errorf("node: probe: %w", err)
	}
	defer conn.Close()
	defer n.probes.forget(conn)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	switch _, err := conn.Read(make([]byte, 1)); {
	case errors.Is(err, io.EOF), err != nil && ctx.Err() == nil: // closed by the other end: it was accepted
		return nil
	case err == nil:
		return errors.New("node: probe: something else answers on our port")
	}
	return fmt.Errorf("node: probe: not accepted: %w", ctx.Err())
}

func (p *probes) dial(ctx context.Context, addr string) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if p.from == nil {
		p.from = make(map[string]bool)
	}
	p.from[conn.LocalAddr().String()] = true
	return conn, nil
}

func (p *probes) forget(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.from, conn.LocalAddr().String())
}
