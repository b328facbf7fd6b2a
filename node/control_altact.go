package node

import (
	"context"
	"fmt"

	"github.com/beamkeeper/beamkeeper/etf"
)

// ALTACT_SIG carries what the older operations cannot: priority, and exit signals to aliases. A node sends it to peers
// that have DFLAG_ALTACT_SIG, and only for signals to aliases or with priority.
//
// Spec: https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html#protocol-between-connected-nodes (OTP 28)

// Flags of ALTACT_SIG. Others are for later versions and ignored.
const (
	altactPriority = 1 << 0
	altactToken    = 1 << 1 // a trace token follows the destination
	altactAlias    = 1 << 2 // the destination is an alias
	altactName     = 1 << 3 // the destination is a registered name; neither: a pid
	altactExit     = 1 << 4 // an exit signal, else a message
)

// altactSig is ALTACT_SIG {37, Flags, From, To} or {37, Flags, From, To, Token}, payload the message or the exit reason.
// Later versions may add elements, which are ignored.
func (m *control) altactSig(arity int) error {
	flags := m.altactFlags()
	from := m.cur.Pid()
	var to Dest
	switch flags & (altactAlias | altactName) {
	case 0:
		to.pid = m.cur.Pid()
	case altactAlias:
		to.alias = m.cur.Ref()
	case altactName:
		to.name = m.cur.Atom()
	default:
		return fmt.Errorf("%w: ALTACT_SIG to an alias that is a name", ErrProtocol)
	}
	if flags&altactToken != 0 && arity < 5 {
		return fmt.Errorf("%w: ALTACT_SIG without the token that it promises", ErrProtocol)
	}
	for range arity - 4 {
		m.cur.Skip()
	}
	b, err := m.payload(false)
	if err != nil {
		return err
	}
	exit := flags&altactExit != 0
	p, priority := m.altactTarget(to, !exit)
	if p == nil {
		m.link.in.storage.put(m.base)
		return nil
	}
	t, err := m.decode(b)
	if err != nil {
		return err
	}
	priority = priority && flags&altactPriority != 0
	if exit {
		p.exitSignal(m.deliver, Exit{From: from, Reason: t, Priority: priority})
		return nil
	}
	m.deliver(p, Message{link: m.link, From: from, Name: to.name, Alias: to.alias, Term: t, Priority: priority, size: m.size, storage: m.store()})
	return nil
}

// altactFlags reads the flags: an integer of any size from 0 up, of which this version knows the lowest bits.
func (m *control) altactFlags() byte {
	start := m.cur
	if v := m.cur.Int(); m.cur.Err() == nil && v >= 0 {
		return byte(v)
	}
	m.cur = start
	v := m.cur.BigInt()
	if v == nil {
		return 0 // the cursor has the error
	}
	if v.Sign() < 0 {
		m.cur = start
		m.cur.Uint() // has the error
		return 0
	}
	return byte(v.Bits()[0])
}

// altactTarget finds the process and tells whether its destination has the right to priority. use is for a message,
// which uses a reply alias up; an exit signal does not.
func (m *control) altactTarget(to Dest, use bool) (p *Process, priority bool) {
	n := m.link.node
	switch {
	case to.alias.Len > 0 && use:
		a := n.useAlias(to.alias)
		return a.process, a.priority
	case to.alias.Len > 0:
		a := n.procs.alias(to.alias)
		return a.process, a.priority
	case to.name != "":
		return n.findName(to.name), false
	}
	return n.findPid(to.pid), false
}

// altact begins an ALTACT_SIG; the destination is to follow.
func (l *link) altact(p *Process, flags byte) encoder {
	e := l.encode(4, opAltactSig)
	e.b = append(e.b, 97, flags)
	e.raw(p.encoded)
	return e
}

// altact gives the flag that tells of what kind the destination is.
func (d Dest) altact() byte {
	switch {
	case d.alias.Len > 0:
		return altactAlias
	case d.name != "":
		return altactName
	}
	return 0
}

// altactTerm is how ALTACT_SIG names the destination.
func (d Dest) altactTerm() etf.Term {
	if d.alias.Len > 0 {
		return d.alias
	}
	return d.term()
}

// sendAltactExit sends an exit signal to an alias or with priority.
func (l *link) sendAltactExit(p *Process, to Dest, reason etf.Term, priority bool) error {
	flags := altactExit | to.altact()
	if priority {
		flags |= altactPriority
	}
	return withReason(reason, func(reason etf.Term) error {
		e := l.altact(p, flags)
		e.term(to.altactTerm())
		e.payload(reason)
		return l.post(context.Background(), &e, p.key(), false)
	})
}
