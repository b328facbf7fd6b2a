package node

import (
	"context"
	"fmt"

	"github.com/beamkeeper/beamkeeper/etf"
)

var errBadSpawn = fmt.Errorf("%w: malformed spawn request", ErrProtocol)

// spawnServices makes the processes that every node has, before it is on the network, so that they answer from the first moment
// of a link: net_adm:ping waits for net_kernel for ever, and takes a node without one for dead.
func (n *Node) spawnServices() {
	n.client = &client{pending: map[etf.Ref]chan outcome{}}
	n.client.process = n.Spawn(n.client)
	n.io = n.Spawn(&ioServer{node: n})
	for _, s := range []struct {
		name etf.Atom
		f    ReceiverFunc
	}{{"net_kernel", netKernel}, {"rex", rex}} {
		if err := n.Spawn(s.f).Register(s.name); err != nil {
			panic(err) // the table is empty
		}
	}
	n.handleBuiltins()
}

// netKernel answers net_adm:ping/1.
func netKernel(p *Process, s Signal) {
	m, ok := s.(Message)
	if !ok {
		return
	}
	call, ok := ParseGenCall(m.Term)
	if !ok {
		return
	}
	if t, ok := call.Request.(etf.Tuple); ok && len(t) == 2 && t[0] == etf.Term(etf.Atom("is_auth")) {
		p.reply(context.Background(), call, etf.Atom("yes"), false) // fails only with the link
	}
	// Anything else gets no reply from net_kernel of OTP either.
}

// rex answers rpc:block_call, rpc:call of OTP 22 and of nodes without spawn requests, and the question that visible
// nodes ask at nodeup.
func rex(p *Process, s Signal) {
	m, ok := s.(Message)
	if !ok {
		return
	}
	if call, ok := ParseGenCall(m.Term); ok {
		if t, ok := call.Request.(etf.Tuple); ok {
			rexCall(p, m, t, func(v etf.Term) {
				p.reply(context.Background(), call, v, false) // fails only with the link
			})
		}
		return
	}
	if req, ok := ParseGenCast(m.Term); ok {
		if t, ok := req.(etf.Tuple); ok {
			rexCall(p, m, t, func(etf.Term) {})
		}
		return
	}
	t, ok := m.Term.(etf.Tuple)
	if !ok || len(t) != 2 {
		return
	}
	if from, ok := t[0].(etf.Pid); ok && from == m.From {
		if req, ok := t[1].(etf.Tuple); ok { // {Pid, {call, M, F, Args, GroupLeader}} of ei_rpc: erl_call and other C nodes
			rexCall(p, m, req, func(v etf.Term) {
				if l := p.node.linkUp(peerName(from.Node)); l != nil {
					p.sendOn(context.Background(), l, ToPid(from), etf.Tuple{etf.Atom("rex"), v}, false) // fails only with the link
				}
			})
			return
		}
	}
	if t[1] == etf.Term(etf.Atom("features_request")) {
		if from, ok := t[0].(etf.Pid); ok {
			reply := etf.Tuple{etf.Atom("features_reply"), p.node.self, etf.List{etf.Atom("erpc")}}
			if l := p.node.linkUp(peerName(from.Node)); l != nil {
				p.sendOn(context.Background(), l, ToPid(from), reply, false) // fails only with the link
			}
		}
	}
}

// rexCall runs {call | block_call | cast, M, F, Args, GroupLeader}.
func rexCall(p *Process, m Message, t etf.Tuple, reply func(etf.Term)) {
	if len(t) != 5 {
		return
	}
	kind, _ := t[0].(etf.Atom)
	mod, fun, args, ok := mfa(etf.List(t[1:4]))
	if !ok || kind != "call" && kind != "block_call" && kind != "cast" {
		return
	}
	n := p.node
	leader, _ := t[4].(etf.Pid)
	l := m.link // not that of m.From, which is only the peer's word
	if l == nil {
		return
	}
	if !l.beginCall(m.size) {
		reply(badrpc(&CallError{Class: ClassError, Reason: etf.Atom("system_limit")}))
		return
	}
	info := CallInfo{Peer: l.peer, Caller: m.From, GroupLeader: leader, Module: mod, Function: fun}
	n.soon(func() {
		defer l.endCall(m.size)
		v, err := n.apply(l.ctx, info, args)
		if err != nil {
			v = badrpc(asCallError(info, err))
		}
		reply(v)
	})
}

// badrpc is what rpc:call/4 returns of an exception; a throw is a value to it.
func badrpc(ce *CallError) etf.Term {
	if ce.Class == ClassThrow {
		return ce.Reason
	}
	return etf.Tuple{etf.Atom("badrpc"), etf.Tuple{etf.Atom("EXIT"), exitReason(ce)}}
}
