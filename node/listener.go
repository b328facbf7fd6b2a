package node

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	acceptPause   = 100 * time.Millisecond // after a failed accept, such as for want of file descriptors
	maxAccepting  = 128                    // inbound handshakes at one time; beyond, the oldest gives way
	resolveOwnMax = 5 * time.Second
)

// listen opens the socket for inbound links and serves it. n.mu is held.
func (n *Node) listen(ctx context.Context) (port int, err error) {
	l, err := n.config.Transport.Listen(ctx, n.config.Listen)
	if err != nil {
		return 0, err
	}
	n.listeners = append(n.listeners, l)
	n.wg.Go(func() { n.serveListener(l) })
	at, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, nil
	}
	if at.IP.IsLoopback() {
		n.wg.Go(func() { n.listenBeside(at) })
	}
	return at.Port, nil
}

// listenBeside listens on the loopback address that the own host name stands for, when it is another one than the
// configured: Debian gives the host name 127.0.1.1, which is where the host's BEAMs will look for us.
func (n *Node) listenBeside(at *net.TCPAddr) {
	ctx, cancel := context.WithTimeout(n.ctx, resolveOwnMax)
	defer cancel()
	resolve := n.config.Resolve
	if resolve == nil {
		resolve = net.DefaultResolver.LookupHost
	}
	addrs, err := resolve(ctx, n.config.Name.Host)
	if err != nil {
		return // nobody can look us up by that name either
	}
	for _, addr := range addrs {
		ip := net.ParseIP(addr)
		if ip == nil || !ip.IsLoopback() || ip.Equal(at.IP) {
			continue
		}
		l, err := n.config.Transport.Listen(ctx, net.JoinHostPort(addr, strconv.Itoa(at.Port)))
		if err != nil {
			n.config.Log.Debug("not listening on the address of the own host name", "addr", addr, "err", err)
			continue
		}
		n.mu.Lock()
		if n.state == over {
			n.mu.Unlock()
			l.Close() // as Close would have
			return
		}
		n.listeners = append(n.listeners, l)
		n.wg.Go(func() { n.serveListener(l) })
		n.mu.Unlock()
	}
}

// serveListener accepts connections until the listener is closed. A handshake never delays the next.
func (n *Node) serveListener(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			n.config.Log.Warn("accept failed", "err", err)
			if !n.pause(acceptPause) {
				return
			}
			continue
		}
		select {
		case n.accepting <- struct{}{}:
		default: // as many again have been told to end and have not yet
			conn.Close()
			continue
		}
		n.wg.Go(func() {
			defer func() { <-n.accepting }()
			if n.probes.own(conn) {
				conn.Close() // which is the answer
				return
			}
			n.acceptConn(conn)
		})
	}
}

// handshakes are the inbound ones under way, the oldest first. Whoever holds many open without going on cannot keep out
// those who do: a new one takes the place of the oldest.
type handshakes struct {
	mu   sync.Mutex
	line []*attempt
}

// enter notes an attempt and tells whether another one had to give way.
func (h *handshakes) enter(a *attempt) (crowded bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.line = append(h.line, a)
	if len(h.line) <= maxAccepting {
		return false
	}
	h.line[0].cancel(ErrCrowded)
	h.line = h.line[1:]
	return true
}

func (h *handshakes) leave(a *attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.line = slices.DeleteFunc(h.line, func(x *attempt) bool { return x == a })
}
