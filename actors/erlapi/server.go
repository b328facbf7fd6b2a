package erlapi

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// callTimeout bounds a gen_server call on our side. Those who ask wait for 5 s unless they say otherwise.
const callTimeout = time.Minute

// Receive answers gen_server:call. Everything else that is sent to the name is ignored.
func (a *API) Receive(p *node.Process, s node.Signal) {
	m, ok := s.(node.Message)
	if !ok {
		return
	}
	req, ok := node.ParseGenCall(m.Term)
	if !ok {
		return
	}
	peer := m.Peer()
	if peer == (node.Name{}) {
		peer = p.Node().Name()
	}
	if req.From.Node != peer.Atom() {
		a.c.Log.Warn("call of the Erlang API that wants its answer sent elsewhere", "peer", peer.String(), "to", string(req.From.Node))
		return
	}
	select {
	case a.running <- struct{}{}:
	default:
		a.c.Log.Warn("too many calls of the Erlang API at one time; one is not answered", "peer", peer.String(), "limit", cap(a.running))
		return
	}
	if !a.soon(func() { a.serve(p, peer, req) }) {
		<-a.running
	}
}

// serve answers one gen_server call.
func (a *API) serve(p *node.Process, peer node.Name, req node.GenCall) {
	defer func() { <-a.running }()
	ctx, cancel := context.WithTimeout(a.ctx, callTimeout)
	defer cancel()
	// The link or its node may be gone meanwhile, and so is then whoever waits.
	_ = p.Reply(ctx, req, a.request(ctx, peer, req))
}

// request is the answer to a Request: Name, or {Name, Argument...}.
func (a *API) request(ctx context.Context, peer node.Name, req node.GenCall) (answer etf.Term) {
	k, args := parseRequest(req.Request)
	f, known := functions[k]
	if !known {
		return etf.Tuple{etf.Atom("error"), etf.Atom("undef")}
	}
	c := call{api: a, function: k, peer: peer, pid: req.From, args: args}
	defer func() {
		if x := recover(); x != nil {
			answer = a.errorTerm(&c, fmt.Errorf("panic: %v\n%s", x, debug.Stack()))
		}
	}()
	return a.answer(ctx, f, c)
}

// parseRequest gives the function that a Request names, the zero one if it names none.
func parseRequest(t etf.Term) (functionKey, []etf.Term) {
	switch t := t.(type) {
	case etf.Atom:
		return functionKey{name: t}, nil
	case etf.Tuple:
		if len(t) > 0 {
			if name, ok := t[0].(etf.Atom); ok {
				return functionKey{name, len(t) - 1}, t[1:]
			}
		}
	}
	return functionKey{}, nil
}
