package node

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
)

// ioServer is a group leader: it answers the I/O requests of what Call runs on a peer, which would wait for an answer
// for ever. Output goes to a writer, input is at its end.
//
// Spec: https://www.erlang.org/doc/apps/stdlib/io_protocol.html
type ioServer struct {
	node *Node
	mu   sync.Mutex
	w    io.Writer // nil: nowhere
}

// formatTimeout bounds a question to the peer for text that it wants to have formatted.
const formatTimeout = 5 * time.Second

type outputKey struct{}

// WithOutput has what Call runs print to w. w is written to by one goroutine at a time, until Call has returned.
func WithOutput(ctx context.Context, w io.Writer) context.Context {
	return context.WithValue(ctx, outputKey{}, w)
}

// groupLeader gives the group leader for a call; done ends it.
func (n *Node) groupLeader(ctx context.Context) (leader etf.Pid, done func()) {
	w, _ := ctx.Value(outputKey{}).(io.Writer)
	if w == nil {
		return n.io.pid, func() {}
	}
	s := &ioServer{node: n, w: w}
	p := n.Spawn(s)
	return p.pid, func() {
		p.Exit(atomNormal)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.w = nil
	}
}

// Receive answers {io_request, From, ReplyAs, Request}.
func (s *ioServer) Receive(p *Process, sig Signal) {
	m, ok := sig.(Message)
	if !ok {
		return
	}
	t, ok := m.Term.(etf.Tuple)
	if !ok || len(t) != 4 || t[0] != etf.Term(etf.Atom("io_request")) {
		return
	}
	from, ok := t[1].(etf.Pid)
	if !ok {
		return
	}
	answer := func(v etf.Term) {
		if l := p.node.linkUp(peerName(from.Node)); l != nil {
			p.sendOn(context.Background(), l, ToPid(from), etf.Tuple{etf.Atom("io_reply"), t[2], v}, false) // fails only with the link
		}
	}
	peer := m.Peer() // not the node of from, which is only the peer's word
	switch l := m.link; {
	case l == nil || !s.remote(t[3]): // processes of this node have no functions that make text
		answer(s.request(peer, t[3]))
	case !l.beginCall(m.size):
		answer(etf.Tuple{atomError, etf.Atom("system_limit")})
	default:
		// The text is made by a function of the peer. The asking process waits, so that the order is kept.
		s.node.soon(func() {
			defer l.endCall(m.size)
			answer(s.request(peer, t[3]))
		})
	}
}

// silent tells whether nobody listens.
func (s *ioServer) silent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w == nil
}

// remote tells whether a request names a function that makes the text.
func (s *ioServer) remote(req etf.Term) bool {
	t, ok := req.(etf.Tuple)
	if !ok || len(t) == 0 || s.silent() {
		return false
	}
	if t[0] == etf.Term(etf.Atom("requests")) {
		return true
	}
	return t[0] == etf.Term(etf.Atom("put_chars")) && len(t) >= 4
}

func (s *ioServer) request(peer Name, req etf.Term) etf.Term {
	enotsup := etf.Tuple{atomError, etf.Atom("enotsup")}
	t, ok := req.(etf.Tuple)
	if !ok {
		if req == etf.Term(etf.Atom("getopts")) {
			return etf.List{}
		}
		return enotsup
	}
	if len(t) == 0 {
		return enotsup
	}
	kind, _ := t[0].(etf.Atom)
	switch kind {
	case "put_chars":
		s.put(peer, t[1:])
		return atomOK
	case "requests":
		if len(t) != 2 {
			return enotsup
		}
		list, _ := etfList(t[1])
		var v etf.Term = atomOK
		for _, r := range list {
			v = s.request(peer, r)
		}
		return v
	case "setopts":
		return atomOK
	case "get_chars", "get_line", "get_until", "get_password":
		return etf.Atom("eof")
	}
	return enotsup
}

// put writes {put_chars, Encoding, Chars}, {put_chars, Encoding, M, F, Args} and their old forms without encoding.
func (s *ioServer) put(peer Name, t []etf.Term) {
	if len(t) == 0 || s.silent() {
		return
	}
	if enc, ok := t[0].(etf.Atom); ok && (enc == "unicode" || enc == "latin1") && (len(t) == 2 || len(t) == 4) {
		t = t[1:]
	}
	chars := t[0]
	if len(t) == 3 {
		if peer == (Name{}) {
			return
		}
		mod, fun, args, ok := mfa(etf.List(t))
		if !ok {
			return
		}
		ctx, cancel := context.WithTimeout(s.node.ctx, formatTimeout)
		defer cancel()
		var err error
		if chars, err = s.node.Call(ctx, peer, mod, fun, args...); err != nil {
			return
		}
	}
	text, ok := etf.Text(chars)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.w != nil {
		io.WriteString(s.w, text) // it is the caller's writer
	}
}
