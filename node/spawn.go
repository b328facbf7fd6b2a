package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/beamkeeper/beamkeeper/etf"
)

// Flags of SPAWN_REPLY.
const (
	spawnLinked    = 1
	spawnMonitored = 2
)

// spawnRequest is SPAWN_REQUEST {29, ReqId, From, GroupLeader, {M, F, Arity}, OptList}, payload the arguments. Each
// request that is granted becomes a process with a goroutine that runs the function, unless the reader may run it:
//
//	erpc:execute_call/4  exits with {Res, return, Value}, {Res, throw, Reason}, {Res, exit, Reason} or {Res, error, Reason, Stack}
//	erpc:execute_cast/3  exits with normal
//	others               exit with normal, or with what the function raised
//
// SPAWN_REPLY goes out before the DOWN: without it, erpc would take the DOWN for a lost connection.
func (m *control) spawnRequest(token bool) error {
	ref, from, leader := m.cur.Ref(), m.theirs(), m.cur.Pid()
	mfa := m.cur.Tuple()
	mod, fun := m.cur.Atom(), m.cur.Atom()
	arity := m.cur.Int()
	opts := m.cur.Term()
	args, err := m.term(token)
	if err != nil {
		return err
	}
	list, ok := etfList(args)
	if mfa != 3 || !ok || int64(len(list)) != arity {
		return errBadSpawn
	}
	l, n := m.link, m.link.node
	refuse := func(reason etf.Atom) error {
		l.sendSpawnReply(0, ref, from, 0, reason)
		return nil
	}
	flags, ok := spawnFlags(opts)
	switch {
	case !ok:
		return refuse("badopt")
	case mod == "erlang" && fun == "apply" && arity == 2: // a fun, or an apply: there is no code to run it
		if _, isFun := list[0].(*etf.Fun); isFun {
			return refuse("notsup")
		}
	default:
		if reason := n.funcs.refusal(mod, fun, len(list)); reason != "" {
			n.warnings.log(n.config.Log, slog.LevelWarn, "spawn refused", "function", fmt.Sprintf("%s:%s/%d", mod, fun, arity), "peer", l.peer.String())
			return refuse(reason)
		}
	}

	if !l.beginCall(m.size) {
		return refuse("system_limit")
	}
	call := &call{link: l, size: m.size, info: CallInfo{Peer: l.peer, Caller: from, GroupLeader: leader, Module: mod, Function: fun}, args: list}
	quick := call.quick()
	if quick {
		call.ctx, call.cancel = l.ctx, func() {}
	} else {
		call.ctx, call.cancel = context.WithCancel(l.ctx)
	}
	call.process = n.Spawn(call)
	call.info.Process, call.info.Inbox = call.process, &call.inbox
	if flags&spawnMonitored != 0 {
		call.process.watchedBy(from, call.process.pid, ref, l)
	}
	if flags&spawnLinked != 0 {
		call.process.linkedBy(from, l)
	}
	l.sendSpawnReply(call.process.key(), ref, from, flags, call.process.pid)
	if quick {
		call.run()
	} else {
		n.wg.Go(call.run)
	}
	return nil
}

// spawnFlags reads the options that matter to the flags of the reply, and refuses those that a BEAM would.
func spawnFlags(opts etf.Term) (flags int, ok bool) {
	list, ok := etfList(opts)
	if !ok {
		return 0, false
	}
	for _, o := range list {
		var value etf.Term
		if t, isTuple := o.(etf.Tuple); isTuple {
			if len(t) != 2 {
				return 0, false
			}
			o, value = t[0], t[1]
		}
		name, _ := o.(etf.Atom)
		switch name {
		case "link":
			flags |= spawnLinked
		case "monitor":
			flags |= spawnMonitored
		default:
			if value == nil || !spawnOption(name, value) {
				return 0, false
			}
		}
	}
	return flags, true
}

// spawnOption tells whether an option of spawn_opt exists and may have the value. None of them means anything here.
func spawnOption(name etf.Atom, value etf.Term) bool {
	word, _ := value.(etf.Atom)
	n, isInt := value.(int64)
	switch name {
	case "priority":
		return slices.Contains([]etf.Atom{"low", "normal", "high", "max"}, word)
	case "message_queue_data":
		return word == "on_heap" || word == "off_heap"
	case "async_dist":
		return word == "true" || word == "false"
	case "fullsweep_after", "min_heap_size", "min_bin_vheap_size", "scheduler":
		return isInt && n >= 0
	case "max_heap_size":
		_, isMap := value.(etf.Map)
		return isMap || isInt && n >= 0
	case "reply", "reply_tag": // the requester's own affair
		return true
	}
	return false
}

// etfList gives the elements of a proper list, which the sender may have written as a string.
func etfList(t etf.Term) (etf.List, bool) {
	switch t := t.(type) {
	case etf.List:
		return t, true
	case etf.Charlist:
		list := make(etf.List, len(t))
		for i := range len(t) {
			list[i] = int64(t[i])
		}
		return list, true
	}
	return nil, false
}

// call is a function being run for a peer.
type call struct {
	link    *link
	process *Process
	info    CallInfo
	args    etf.List
	ctx     context.Context
	cancel  context.CancelFunc
	inbox   Mailbox
	size    int // bytes of args on the wire
}

const maxInbox = 1024 // signals that a function has not asked for; their bytes are bounded by MaxMessageBytes

// Receive ends the function when its process is told to exit; other signals wait until it asks for them.
func (c *call) Receive(p *Process, s Signal) {
	if e, ok := s.(Exit); ok && e.Reason != etf.Term(atomNormal) {
		p.Exit(e.Reason)
		c.cancel()
		return
	}
	if signals, bytes := c.inbox.held(); signals < maxInbox && bytes <= c.link.node.config.MaxMessageBytes {
		c.inbox.Receive(p, s)
	}
}

// quick tells whether the function has been registered with HandleQuick.
func (c *call) quick() bool {
	mod, fun, args, ok := c.info.Module, c.info.Function, c.args, true
	if mod == "erpc" && (fun == "execute_call" && len(args) == 4 || fun == "execute_cast" && len(args) == 3) {
		mod, fun, args, ok = mfa(args[len(args)-3:])
	}
	return ok && c.link.node.funcs.find(mod, fun, len(args)).quick
}

func (c *call) run() {
	defer c.link.endCall(c.size)
	defer c.cancel()
	n := c.link.node
	info := c.info
	switch {
	case info.Module == "erpc" && info.Function == "execute_call" && len(c.args) == 4:
		mod, fun, args, ok := mfa(c.args[1:])
		if !ok {
			c.process.Exit(etf.Tuple{c.args[0], atomError, etf.Tuple{etf.Atom("erpc"), etf.Atom("badarg")}})
			return
		}
		info.Module, info.Function = mod, fun
		v, err := n.apply(c.ctx, info, args)
		c.process.Exit(erpcReason(c.args[0], info, v, err))
	case info.Module == "erpc" && info.Function == "execute_cast" && len(c.args) == 3:
		if mod, fun, args, ok := mfa(c.args); ok {
			info.Module, info.Function = mod, fun
			n.apply(c.ctx, info, args) // nobody hears of an error, as in Erlang
		}
		c.process.Exit(atomNormal)
	default:
		_, err := n.apply(c.ctx, info, c.args)
		if err == nil {
			c.process.Exit(atomNormal)
			return
		}
		c.process.Exit(exitReason(asCallError(info, err)))
	}
}

// mfa reads [M, F, Args].
func mfa(l etf.List) (mod, fun etf.Atom, args etf.List, ok bool) {
	mod, ok1 := l[0].(etf.Atom)
	fun, ok2 := l[1].(etf.Atom)
	args, ok3 := etfList(l[2])
	return mod, fun, args, ok1 && ok2 && ok3
}

// erpcReason is the exit reason that carries the outcome of erpc:execute_call/4.
func erpcReason(res etf.Term, info CallInfo, v etf.Term, err error) etf.Term {
	if err == nil {
		return etf.Tuple{res, etf.Atom("return"), v}
	}
	ce := asCallError(info, err)
	if ce.Class == ClassError {
		return etf.Tuple{res, atomError, ce.Reason, stackOf(ce)}
	}
	return etf.Tuple{res, etf.Atom(ce.Class.String()), ce.Reason}
}

// exitReason is what a process that does not catch the exception exits with.
func exitReason(ce *CallError) etf.Term {
	switch ce.Class {
	case ClassExit:
		return ce.Reason
	case ClassThrow:
		return etf.Tuple{etf.Tuple{etf.Atom("nocatch"), ce.Reason}, stackOf(ce)}
	}
	return etf.Tuple{ce.Reason, stackOf(ce)}
}

func stackOf(ce *CallError) etf.Term {
	if ce.Stack == nil {
		return etf.List{}
	}
	return ce.Stack
}
