package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	drainTimeout = time.Second // for what was accepted before the end to be answered
	drainPoll    = time.Millisecond
)

// traffic are the connections of a server that have been accepted and wait for an answer, or for their first request.
type traffic struct {
	mu   sync.Mutex
	open map[net.Conn]struct{}
}

// changed is http.Server.ConnState.
func (t *traffic) changed(conn net.Conn, to http.ConnState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if to == http.StateNew || to == http.StateActive {
		t.open[conn] = struct{}{}
	} else {
		delete(t.open, conn)
	}
}

func (t *traffic) quiet() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open) == 0
}

// serving is one listener with its server.
type serving struct {
	http    *http.Server
	ln      net.Listener
	traffic *traffic
	ended   chan struct{} // closed when nothing is accepted any more
}

// end stops accepting, answers what was accepted, and closes. http.Server.Shutdown alone drops a request that is read after
// it was called, although its connection was accepted before (net/http of Go 1.26, conn.serve); a listener that the service
// manager keeps would have had it wait for the next daemon instead.
func (s *serving) end(ctx context.Context) error {
	s.http.SetKeepAlivesEnabled(false)
	_ = s.ln.Close() // Shutdown does it again
	drain, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	select {
	case <-s.ended: // and what was accepted last is known to traffic
	case <-drain.Done():
	}
	for !s.traffic.quiet() && drain.Err() == nil {
		select {
		case <-drain.Done():
		case <-time.After(drainPoll):
		}
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
