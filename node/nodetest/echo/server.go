// Package echo has the process that tests and benchmarks have BEAMs call.
package echo

import (
	"context"
	"sync/atomic"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// Server answers calls with their request, and count with the number of other
// messages since the last count.
type Server struct{ seen atomic.Int64 }

// Receive is called by the node.
func (e *Server) Receive(p *node.Process, s node.Signal) {
	m, ok := s.(node.Message)
	if !ok {
		return
	}
	call, ok := node.ParseGenCall(m.Term)
	switch {
	case !ok:
		m.Release()
		e.seen.Add(1)
	case call.Request == etf.Term(etf.Atom("count")):
		p.Reply(context.Background(), call, e.seen.Swap(0)) // fails only when the link is gone
	default:
		p.Reply(context.Background(), call, call.Request) // as above
	}
}
