package bridge

import (
	"context"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// Request is a question of a peer to an actor that the actor itself is not asked: a message of module sys, or, when the
// actor is shielded (Options.Shield), a gen_server:call.
type Request struct {
	Actor  gen.PID
	System bool // {system, From, Request} rather than {'$gen_call', From, Request}
	Call   node.GenCall

	proc *node.Process
}

// Reply answers. It does not connect; a caller that is gone gets none.
func (r Request) Reply(ctx context.Context, t etf.Term) { _ = r.proc.Reply(ctx, r.Call, t) }

// HandleRequests has f answer Requests. It is called by the goroutine that reads a link and must not block. Without it,
// system messages are messages as any other.
func (s *System) HandleRequests(f func(Request)) { s.requests.Store(&f) }

// deaf tells whether the actor gets nothing from peers.
func (p *process) deaf() bool { return p.sys.shield && !p.managed.Load() }

// answered tells whether a message is not for the actor itself.
func (p *process) answered(m node.Message) bool {
	f := p.sys.requests.Load()
	call, system := systemMessage(m.Term)
	if !system {
		if !p.deaf() {
			return false
		}
		var ok bool
		if call, ok = node.ParseGenCall(m.Term); !ok {
			p.sys.log.Debug("message to an actor dropped", "pid", p.pid.String(), "from", etf.Format(m.From))
			return true
		}
	}
	if f == nil {
		return p.deaf()
	}
	(*f)(Request{Actor: p.pid, System: system, Call: call, proc: p.proc})
	return true
}

// systemMessage reads {system, {From, Tag}, Request}.
func systemMessage(t etf.Term) (node.GenCall, bool) {
	msg, ok := t.(etf.Tuple)
	if !ok || len(msg) != 3 || msg[0] != etf.Term(etf.Atom("system")) {
		return node.GenCall{}, false
	}
	return node.ParseGenCall(etf.Tuple{etf.Atom("$gen_call"), msg[1], msg[2]})
}
