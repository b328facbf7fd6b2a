package node

import (
	"context"
	"errors"
	"sync"

	"github.com/beamkeeper/beamkeeper/etf"
)

// client makes calls to other nodes. All calls of a node come from its one process; replies are told apart by reference.
type client struct {
	process *Process

	mu      sync.Mutex
	pending map[etf.Ref]chan outcome
}

// outcome is the answer to a call: a reply, or the reason of a Down.
type outcome struct {
	term etf.Term
	down bool
}

func (c *client) begin(ref etf.Ref) <-chan outcome {
	ch := make(chan outcome, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending[ref] = ch
	return ch
}

func (c *client) end(ref etf.Ref, o outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch := c.pending[ref]; ch != nil {
		delete(c.pending, ref)
		ch <- o // has room for the one
	}
}

// Receive takes replies and Downs.
func (c *client) Receive(_ *Process, s Signal) {
	switch s := s.(type) {
	case Down:
		c.end(s.Ref, outcome{term: s.Reason, down: true})
	case Message:
		t, ok := s.Term.(etf.Tuple)
		if !ok || len(t) != 2 {
			return
		}
		ref, ok := t[0].(etf.Ref)
		if !ok {
			if ref, ok = aliasTag(t[0]); !ok {
				return
			}
		}
		if s.Alias.Len == 0 { // a reply by alias has ended the monitor already
			c.process.Demonitor(ref)
		}
		c.end(ref, outcome{term: t[1]})
	}
}

// wait waits for the answer to a call that has been sent.
func (c *client) wait(ctx context.Context, ref etf.Ref, ch <-chan outcome) (outcome, error) {
	select {
	case o := <-ch:
		return o, nil
	case <-ctx.Done():
		c.give(ref)
		return outcome{}, ctx.Err()
	}
}

// give gives a call up.
func (c *client) give(ref etf.Ref) {
	c.process.Demonitor(ref)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, ref)
}

// Call runs mod:fun(args...) on the peer, as erpc:call/5 does, and returns its value, connecting first if need be. The own name is
// a peer too: then a function of HandleFunc runs.
//
// The deadline is that of ctx; without one, Call waits until the peer answers or goes down. After ctx has ended the function may
// still run. What the function prints goes to the writer of WithOutput, or nowhere.
//
// Errors: *CallError if the code raised or does not exist (class error, reason undef), *DownError if the link was lost
// or could not be made, ctx.Err() if ctx ended first.
//
// Spec: https://www.erlang.org/doc/apps/kernel/erpc.html#call/5
func (n *Node) Call(ctx context.Context, peer Name, mod, fun etf.Atom, args ...etf.Term) (etf.Term, error) {
	if peer == n.config.Name {
		info := CallInfo{Peer: peer, Caller: n.client.process.pid, GroupLeader: n.io.pid, Module: mod, Function: fun}
		return n.apply(ctx, info, args)
	}
	l, err := n.reach(ctx, peer)
	if err != nil {
		return nil, err
	}
	leader, done := n.groupLeader(ctx)
	defer done()
	if !l.flags.Has(FlagSpawn) {
		return n.callRex(ctx, peer, leader, mod, fun, args)
	}
	ref := n.MakeRef()
	ch := n.client.begin(ref)
	err = n.client.process.spawnRequest(ctx, l, ref, leader, "erpc", "execute_call", etf.List{ref, mod, fun, etf.List(args)})
	if err != nil {
		n.client.give(ref)
		return nil, err
	}
	o, err := n.client.wait(ctx, ref, ch)
	if err != nil {
		return nil, err
	}
	return n.erpcResult(l, ref, o.term)
}

// spawnRequest asks for a monitored process on a peer:
// SPAWN_REQUEST {29, ReqId, From, GroupLeader, {M, F, Arity}, [monitor]}, payload the arguments.
func (p *Process) spawnRequest(ctx context.Context, l *link, ref etf.Ref, leader etf.Pid, mod, fun etf.Atom, args etf.List) error {
	if err := p.addMonitor(ref, monitor{link: l, spawn: true}); err != nil {
		return err
	}
	e := l.encode(6, opSpawnRequest)
	e.term(ref)
	e.raw(p.encoded)
	e.term(leader)
	e.term(etf.Tuple{mod, fun, len(args)})
	e.term(etf.List{etf.Atom("monitor")})
	e.payload(args)
	return p.settle(ref, l.post(ctx, &e, p.key(), true))
}

// erpcResult reads the exit reason of a process that ran erpc:execute_call/4.
func (n *Node) erpcResult(l *link, ref etf.Ref, reason etf.Term) (etf.Term, error) {
	switch r := reason.(type) {
	case spawnFailed:
		return nil, &CallError{Class: ClassError, Reason: etf.Tuple{etf.Atom("erpc"), r.reason}}
	case etf.Atom:
		if r == atomNoconnection {
			return nil, n.lost(l)
		}
	case etf.Tuple:
		if len(r) < 3 || r[0] != etf.Term(ref) {
			break
		}
		class, _ := r[1].(etf.Atom)
		switch {
		case class == "return" && len(r) == 3:
			return r[2], nil
		case class == "throw" && len(r) == 3:
			return nil, &CallError{Class: ClassThrow, Reason: r[2]}
		case class == "exit" && len(r) == 3:
			return nil, &CallError{Class: ClassExit, Reason: r[2]}
		case class == "error" && len(r) == 3:
			return nil, &CallError{Class: ClassError, Reason: r[2]}
		case class == "error" && len(r) == 4:
			return nil, &CallError{Class: ClassError, Reason: r[2], Stack: r[3]}
		}
	}
	return nil, &CallError{Class: ClassExit, Reason: etf.Tuple{etf.Atom("signal"), reason}}
}

// lost is the error of a call whose link went down.
func (n *Node) lost(l *link) error {
	err := ErrNodeDown
	if l.closed() {
		err = l.err
	}
	return &DownError{Peer: l.peer, Err: err}
}

// callRex calls through the peer's rex, as rpc:call did before OTP 23, for peers that cannot spawn for us.
func (n *Node) callRex(ctx context.Context, peer Name, leader etf.Pid, mod, fun etf.Atom, args []etf.Term) (etf.Term, error) {
	v, err := n.GenCall(ctx, ToName("rex", peer), etf.Tuple{etf.Atom("call"), mod, fun, etf.List(args), leader})
	if err != nil {
		return nil, err
	}
	if t, ok := v.(etf.Tuple); ok && len(t) == 2 && t[0] == etf.Term(etf.Atom("badrpc")) {
		if x, ok := t[1].(etf.Tuple); ok && len(x) == 2 && x[0] == etf.Term(etf.Atom("EXIT")) {
			return nil, &CallError{Class: ClassExit, Reason: x[1]}
		}
		return nil, &CallError{Class: ClassExit, Reason: v}
	}
	return v, nil
}

// Cast runs mod:fun(args...) on the peer and does not wait for it, as erpc:cast/4 does.
func (n *Node) Cast(ctx context.Context, peer Name, mod, fun etf.Atom, args ...etf.Term) error {
	if peer == n.config.Name {
		info := CallInfo{Peer: peer, Caller: n.client.process.pid, GroupLeader: n.io.pid, Module: mod, Function: fun}
		n.soon(func() { n.apply(n.ctx, info, args) }) // nobody hears of an error, as in Erlang
		return nil
	}
	l, err := n.reach(ctx, peer)
	if err != nil {
		return err
	}
	if !l.flags.Has(FlagSpawn) {
		return n.GenCast(ctx, ToName("rex", peer), etf.Tuple{etf.Atom("cast"), mod, fun, etf.List(args), n.io.pid})
	}
	e := l.encode(6, opSpawnRequest)
	e.term(n.MakeRef())
	e.raw(n.client.process.encoded)
	e.term(n.io.pid)
	e.term(etf.Tuple{etf.Atom("erpc"), etf.Atom("execute_cast"), 3})
	e.term(etf.List{})
	e.payload(etf.List{mod, fun, etf.List(args)})
	return l.post(ctx, &e, n.client.process.key(), true)
}

// GenCall is gen_server:call/3 to a pid or a registered name, local or remote. A server that is not there fails at once
// with a *CallError of class exit and reason noproc, one that dies in the call with its exit reason. Otherwise errors as of Call.
func (n *Node) GenCall(ctx context.Context, to Dest, request etf.Term) (etf.Term, error) {
	name, local, err := n.destNode(to)
	if err != nil {
		return nil, err
	}
	p := n.client.process
	aliases := true
	var l *link
	if !local {
		if l, err = n.reach(ctx, name); err != nil {
			return nil, err
		}
		aliases = l.flags.Has(FlagAlias)
	}
	ref := n.MakeRef()
	ch := n.client.begin(ref)
	var tag etf.Term = ref
	if aliases {
		tag = etf.ImproperList{Elems: []etf.Term{etf.Atom("alias")}, Tail: ref}
	}
	err = p.MonitorAs(ctx, ref, to, aliases)
	if err == nil {
		msg := etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{p.pid, tag}, request}
		if local {
			n.deliverLocal(p.pid, to, msg, false)
		} else {
			err = p.sendOn(ctx, l, to, msg, true)
		}
	}
	if err != nil {
		n.client.give(ref)
		return nil, err
	}
	o, err := n.client.wait(ctx, ref, ch)
	switch {
	case err != nil:
		return nil, err
	case !o.down:
		return o.term, nil
	case o.term == etf.Term(atomNoconnection) && l != nil:
		return nil, n.lost(l)
	}
	return nil, &CallError{Class: ClassExit, Reason: o.term}
}

// GenCast is gen_server:cast/2.
func (n *Node) GenCast(ctx context.Context, to Dest, request etf.Term) error {
	return n.client.process.Send(ctx, to, etf.Tuple{etf.Atom("$gen_cast"), request})
}

// asCallError gives any error of a function the form of an Erlang exception.
func asCallError(info CallInfo, err error) *CallError {
	var ce *CallError
	if errors.As(err, &ce) {
		return ce
	}
	return &CallError{
		Class:  ClassError,
		Reason: etf.Tuple{info.Module, info.Function, etf.Binary(err.Error())},
		Stack:  etf.List{},
	}
}
