package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// envSystem is where an Ergo node keeps its System, for the actors on it.
const envSystem gen.Env = "beamkeeper_bridge_system"

// Cast is a gen_server:cast to an actor, as HandleMessage gets it. Sent to an Erlang process, it is one too.
type Cast struct{ Request etf.Term }

// Actor is an act.Actor that is a process of the cluster: embed it instead of act.Actor. On a System without a Node
// it is just that.
//
// Towards Erlang its methods behave as Erlang's own:
//
//   - Send, Call, Link and Monitor take the gen.PID or gen.ProcessID of a peer's process (or an etf.Pid, etf.Ref or
//     node.Dest), connect to its node first if need be, and wait meanwhile: this actor waits, nobody else.
//   - Link and Monitor are this actor's, with its own pid: process_info of the other side shows it, and when the actor
//     ends, for whatever reason, the other side gets EXIT and DOWN. A link made by name is one to the process that has
//     the name now. A process that is not there answers with exit or down and gen.ErrProcessUnknown. Ergo names a
//     monitor by its target, so a second one of the same target is gen.ErrTargetExist. Info lists none of these.
//   - Exits and downs keep their place among the messages of their sender. A trapped exit arrives as
//     gen.MessageExitPID (gen.MessageExitProcessID if linked by name), a down as gen.MessageDownPID or
//     gen.MessageDownProcessID; Reason says how their reasons look. Without SetTrapExit an exit ends the actor, except
//     with reason normal; kill by exit/2 always does.
//   - HandleCall answers gen_server:call. As ever with Ergo, nil means "answered later by SendResponse": the empty list is
//     etf.List{}. HandleMessage gets gen_server:cast as Cast and other messages as they are; from is zero when the peer
//     does not tell who sent.
//
// Errors of the methods: gen.ErrNoConnection when there is no link and none can be made (the reason is in the text and
// the chain), gen.ErrTimeout, gen.ErrUnsupported for what Erlang lacks (events, important delivery, remote spawn), and of
// package etf for what is not a term. A Call also fails with the Reason of a process that is not there or ends.
type Actor struct {
	act.Actor
	remote *remote
}

// ProcessInit is called by Ergo.
func (a *Actor) ProcessInit(p gen.Process, args ...any) error {
	v, _ := p.Node().Env(envSystem)
	s, _ := v.(*System)
	if s == nil || s.node == nil {
		return a.Actor.ProcessInit(p, args...)
	}
	proc, err := s.newProcess(p.PID(), true)
	if err != nil {
		return fmt.Errorf("bridge: actor %s: %w", p.PID(), err)
	}
	a.remote = &remote{Process: p, sys: s, proc: proc}
	return a.Actor.ProcessInit(a.remote, args...)
}

// ProcessTerminate is called by Ergo. Terminate still runs as a living process of the cluster; what it sends arrives
// before EXIT and DOWN.
func (a *Actor) ProcessTerminate(reason error) {
	if a.remote != nil {
		defer a.remote.proc.end(reason)
	}
	a.Actor.ProcessTerminate(reason)
}

// SetTrapExit turns exit signals into messages or back.
func (a *Actor) SetTrapExit(trap bool) {
	a.Actor.SetTrapExit(trap)
	if a.remote != nil {
		a.remote.proc.trap.Store(trap)
	}
}

// remote is the gen.Process of an Actor: Ergo's own, with what concerns other nodes done by package node.
type remote struct {
	gen.Process
	sys  *System
	proc *process
}

// away gives the destination if to is not an actor of this node.
func (r *remote) away(to any) (node.Dest, bool, error) {
	switch t := to.(type) {
	case gen.Atom:
		return node.Dest{}, false, nil
	case gen.PID:
		if t.Node == r.sys.name {
			return node.Dest{}, false, nil
		}
	case gen.ProcessID:
		if t.Node == r.sys.name || t.Node == "" {
			return node.Dest{}, false, nil
		}
	case gen.Alias:
		if t.Node == r.sys.name {
			return node.Dest{}, false, nil
		}
	case etf.Pid, etf.Ref, node.Dest:
	default:
		return node.Dest{}, false, nil
	}
	d, err := r.sys.dest(to)
	return d, true, err
}

// running is true while the actor may link and call, in Init and in its callbacks.
func (r *remote) running() bool {
	switch r.State() {
	case gen.ProcessStateInit, gen.ProcessStateRunning:
		return true
	}
	return false
}

func (r *remote) Send(to any, message any) error {
	d, away, err := r.away(to)
	if !away {
		return r.Process.Send(to, message)
	}
	if err != nil {
		return err
	}
	return r.send(d, message)
}

func (r *remote) send(d node.Dest, message any) error {
	if c, ok := message.(Cast); ok {
		message = etf.Tuple{etf.Atom("$gen_cast"), c.Request}
	}
	return goError(r.proc.proc.Send(r.sys.ctx, d, r.sys.term(message)))
}

func (r *remote) SendPID(to gen.PID, message any) error { return r.Send(to, message) }

func (r *remote) SendProcessID(to gen.ProcessID, message any) error { return r.Send(to, message) }

func (r *remote) SendAlias(to gen.Alias, message any) error { return r.Send(to, message) }

func (r *remote) SendWithPriority(to any, message any, priority gen.MessagePriority) error {
	if _, away, _ := r.away(to); away {
		return r.Send(to, message)
	}
	return r.Process.SendWithPriority(to, message, priority)
}

func (r *remote) SendImportant(to any, message any) error {
	if _, away, _ := r.away(to); away {
		return gen.ErrUnsupported
	}
	return r.Process.SendImportant(to, message)
}

func (r *remote) SendAfter(to any, message any, after time.Duration) (gen.CancelFunc, error) {
	d, away, err := r.away(to)
	if !away {
		return r.Process.SendAfter(to, message, after)
	}
	if err != nil {
		return nil, err
	}
	timer := time.AfterFunc(after, func() {
		if err := r.send(d, message); err != nil {
			r.sys.log.Debug("delayed message not sent", "pid", r.PID().String(), "err", err)
		}
	})
	return timer.Stop, nil
}

func (r *remote) SendExit(to gen.PID, reason error) error {
	if to.Node == r.sys.name {
		return r.Process.SendExit(to, reason)
	}
	if reason == nil {
		return gen.ErrIncorrect
	}
	return goError(r.proc.proc.SendExit(r.sys.ctx, r.sys.Pid(to), ReasonTerm(reason)))
}

func (r *remote) SendResponse(to gen.PID, ref gen.Ref, message any) error {
	if to.Node == r.sys.name {
		return r.Process.SendResponse(to, ref, message)
	}
	return r.proc.respond(r.sys.ctx, ref, message)
}

func (r *remote) SendResponseImportant(to gen.PID, ref gen.Ref, message any) error {
	if to.Node == r.sys.name {
		return r.Process.SendResponseImportant(to, ref, message)
	}
	return r.proc.respond(r.sys.ctx, ref, message)
}

func (r *remote) SendResponseError(to gen.PID, ref gen.Ref, err error) error {
	if to.Node == r.sys.name {
		return r.Process.SendResponseError(to, ref, err)
	}
	return r.proc.respond(r.sys.ctx, ref, errorReply(err))
}

func (r *remote) SendResponseErrorImportant(to gen.PID, ref gen.Ref, err error) error {
	if to.Node == r.sys.name {
		return r.Process.SendResponseErrorImportant(to, ref, err)
	}
	return r.proc.respond(r.sys.ctx, ref, errorReply(err))
}

// errorReply is what an Erlang caller gets for a response error: {error, Reason}.
func errorReply(err error) etf.Term { return etf.Tuple{etf.Atom("error"), ReasonTerm(err)} }

func (r *remote) Call(to any, message any) (any, error) {
	return r.CallWithTimeout(to, message, gen.DefaultRequestTimeout)
}

func (r *remote) CallWithTimeout(to any, message any, timeout int) (any, error) {
	d, away, err := r.away(to)
	if !away {
		return r.Process.CallWithTimeout(to, message, timeout)
	}
	if err != nil {
		return nil, err
	}
	return r.call(d, message, timeout)
}

func (r *remote) CallWithPriority(to any, message any, priority gen.MessagePriority) (any, error) {
	if _, away, _ := r.away(to); away {
		return r.Call(to, message)
	}
	return r.Process.CallWithPriority(to, message, priority)
}

func (r *remote) CallImportant(to any, message any) (any, error) {
	if _, away, _ := r.away(to); away {
		return nil, gen.ErrUnsupported
	}
	return r.Process.CallImportant(to, message)
}

func (r *remote) CallPID(to gen.PID, message any, timeout int) (any, error) {
	return r.CallWithTimeout(to, message, timeout)
}

func (r *remote) CallProcessID(to gen.ProcessID, message any, timeout int) (any, error) {
	return r.CallWithTimeout(to, message, timeout)
}

func (r *remote) CallAlias(to gen.Alias, message any, timeout int) (any, error) {
	return r.CallWithTimeout(to, message, timeout)
}

type callResult struct {
	reply etf.Term
	err   error
}

// call waits for the reply in the actor's goroutine; its mailbox fills meanwhile. timeout is in seconds.
func (r *remote) call(to node.Dest, message any, timeout int) (any, error) {
	if !r.running() {
		return nil, gen.ErrNotAllowed
	}
	if timeout < 1 {
		timeout = gen.DefaultRequestTimeout
	}
	ctx, cancel := context.WithTimeout(r.sys.ctx, time.Duration(timeout)*time.Second)
	defer cancel()
	done := make(chan callResult, 1)
	ref, err := r.proc.request(ctx, to, message, func(t etf.Term, down bool) {
		if down {
			done <- callResult{err: Reason(t)}
		} else {
			done <- callResult{reply: t}
		}
	})
	if err != nil {
		return nil, callError(err)
	}
	select {
	case res := <-done:
		return res.reply, res.err
	case <-ctx.Done():
		if r.proc.forget(ref) {
			return nil, callError(ctx.Err())
		}
		res := <-done // it came just now
		return res.reply, res.err
	}
}

func callError(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return gen.ErrTimeout
	case errors.Is(err, context.Canceled):
		return gen.ErrNodeTerminated
	}
	return err
}
