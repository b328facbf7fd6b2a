package node

import (
	"context"
	"log/slog"

	"github.com/beamkeeper/beamkeeper/etf"
)

// SendPriority is Send as erlang:send/3 of OTP 28 does it with priority: a message to an alias that its process made with
// the right to priority overtakes what waits in the mailbox. To peers before OTP 28, and to other destinations, it is
// an ordinary message.
func (p *Process) SendPriority(ctx context.Context, to Dest, msg etf.Term) error {
	if p.isOver() {
		return ErrProcessExited
	}
	name, local, err := p.node.destNode(to)
	if err != nil {
		return err
	}
	if local {
		p.node.deliverLocal(p.pid, to, msg, true)
		return nil
	}
	l, err := p.node.reach(ctx, name)
	if err != nil {
		return err
	}
	if !l.flags.Has(FlagAltactSig) {
		return p.sendOn(ctx, l, to, msg, true)
	}
	e := l.altact(p, altactPriority|to.altact())
	e.term(to.altactTerm())
	e.payload(msg)
	return l.post(ctx, &e, p.key(), true)
}

// SendExit is exit/2: it asks a process to exit.
func (p *Process) SendExit(ctx context.Context, pid etf.Pid, reason etf.Term) error {
	return p.SendExitTo(ctx, ToPid(pid), reason, false)
}

// SendExitTo is exit/3: it asks the process of a pid or an alias to exit, if need be with priority. A peer before OTP 28
// knows neither: priority is then left out, and a signal to an alias vanishes, as it does in Erlang.
// Errors as of Send; ErrBadDest for a name.
func (p *Process) SendExitTo(ctx context.Context, to Dest, reason etf.Term, priority bool) error {
	if p.isOver() {
		return ErrProcessExited
	}
	name, local, err := p.node.destNode(to)
	if err != nil {
		return err
	}
	if to.name != "" {
		return ErrBadDest
	}
	if local {
		x := Exit{From: p.pid, Reason: reason}
		q := p.node.findPid(to.pid)
		if to.alias.Len > 0 {
			a := p.node.procs.alias(to.alias)
			q, x.Priority = a.process, priority && a.priority
		}
		if q != nil {
			q.exitSignal(deliverDirect, x)
		}
		return nil
	}
	l, err := p.node.reach(ctx, name)
	if err != nil {
		return err
	}
	switch {
	case l.flags.Has(FlagAltactSig) && (priority || to.alias.Len > 0):
		return l.sendAltactExit(p, to, reason, priority)
	case to.alias.Len > 0:
		return nil
	}
	return l.sendExit(p.key(), opPayloadExit2, p.pid, to.pid, reason)
}

func deliverDirect(p *Process, s Signal) { p.recv.Receive(p, s) }

// exitSignal delivers an exit signal that did not come through a link.
func (p *Process) exitSignal(deliver func(*Process, Signal), x Exit) {
	if may := p.shield.Load(); may != nil && !(*may)(x.From) {
		p.node.warnings.log(p.node.config.Log, slog.LevelWarn, "exit signal refused", "from", etf.Format(x.From), "to", etf.Format(p.pid), "names", p.Info().Names)
		return
	}
	x.Killed = x.Reason == etf.Term(atomKill)
	if x.Killed {
		p.Exit(atomKilled)
	}
	deliver(p, x)
}
