package web

import (
	"net"
	"net/http"
	"slices"
	"sync"
)

// maxConns is how many connections one listener has at one time.
const maxConns = 256

// crowd bounds the connections of one http.Server, by its ConnState. One that comes when there are limit takes the place of
// the one that has been without a request for longest, so that those who hold connections open and ask nothing, or
// send a request byte by byte, keep nobody out. When every other is being answered, the new one is closed.
type crowd struct {
	limit int

	mu      sync.Mutex
	waiting []net.Conn // for a whole request head, the longest first
	busy    map[net.Conn]struct{}
}

func newCrowd(limit int) *crowd { return &crowd{limit: limit, busy: map[net.Conn]struct{}{}} }

// changed is http.Server.ConnState.
func (c *crowd) changed(conn net.Conn, to http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, conn)
	c.waiting = slices.DeleteFunc(c.waiting, func(x net.Conn) bool { return x == conn })
	switch to {
	case http.StateNew, http.StateIdle:
		c.waiting = append(c.waiting, conn)
	case http.StateActive:
		c.busy[conn] = struct{}{}
	}
	if len(c.busy)+len(c.waiting) > c.limit && len(c.waiting) > 0 {
		_ = c.waiting[0].Close() // its goroutine sees that, and ends
		c.waiting = c.waiting[1:]
	}
}
