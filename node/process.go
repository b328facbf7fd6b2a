package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/beamkeeper/beamkeeper/etf"
)

// Process is a pid of this node. Its methods may be called by any goroutine; what is sent by one goroutine arrives in order.
//
// Sending to a process of the own node calls its Receiver at once, in the caller's goroutine.
type Process struct {
	// constant
	node    *Node
	pid     etf.Pid
	encoded []byte // the pid
	recv    Receiver
	done    chan struct{}
	shield  atomic.Pointer[func(from etf.Pid) bool] // whose exit signals get through; nil: everybody's

	mu       sync.Mutex
	over     bool
	links    map[etf.Pid]procLink
	monitors map[etf.Ref]monitor // what this process watches
	watchers map[etf.Ref]watcher // who watches it
	aliases  []etf.Ref
	names    []etf.Atom
}

// Pid is the process identifier.
func (p *Process) Pid() etf.Pid { return p.pid }

// Node is the node of the process.
func (p *Process) Node() *Node { return p.node }

// Done is closed when the process is over.
func (p *Process) Done() <-chan struct{} { return p.done }

// key is the number of the process in its node, the sender of outbox packets.
func (p *Process) key() uint64 { return uint64(p.pid.ID) | uint64(p.pid.Serial)<<32 }

// peerName gives the node that an atom of a pid names. It does not check it; an unknown name has no link.
func peerName(node etf.Atom) Name {
	alive, host, _ := strings.Cut(string(node), "@")
	return Name{Alive: alive, Host: host}
}

// destNode gives the node of a destination.
func (n *Node) destNode(d Dest) (name Name, local bool, err error) {
	switch {
	case d.pid != (etf.Pid{}):
		return peerName(d.pid.Node), d.pid.Node == n.self, nil
	case d.name != "":
		return d.node, d.node == (Name{}) || d.node == n.config.Name, nil
	case d.alias.Len > 0:
		return peerName(d.alias.Node), d.alias.Node == n.self, nil
	}
	return Name{}, false, ErrBadDest
}

// reach gives the link to a peer, connecting if need be. Error: *DownError or that of ctx.
func (n *Node) reach(ctx context.Context, name Name) (*link, error) {
	l, err := n.linkTo(ctx, name)
	if err == nil {
		return l, nil
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil, err
	}
	return nil, &DownError{Peer: name, Err: err}
}

// Send sends msg to a pid, name or alias, connecting first if need be, and waits while the outbox of the peer is full.
// A message to a process that does not exist vanishes, as in Erlang. Errors: *DownError, ctx.Err(),
// ErrProcessExited, and those of etf for what has no Erlang form.
func (p *Process) Send(ctx context.Context, to Dest, msg etf.Term) error {
	if p.isOver() {
		return ErrProcessExited
	}
	name, local, err := p.node.destNode(to)
	if err != nil {
		return err
	}
	if local {
		p.node.deliverLocal(p.pid, to, msg, false)
		return nil
	}
	l, err := p.node.reach(ctx, name)
	if err != nil {
		return err
	}
	return p.sendOn(ctx, l, to, msg, true)
}

// sendOn sends a message over a link.
func (p *Process) sendOn(ctx context.Context, l *link, to Dest, msg etf.Term, wait bool) error {
	var e encoder
	switch {
	case to.alias.Len > 0 && l.flags.Has(FlagAltactSig):
		e = l.altact(p, altactAlias)
		e.term(to.alias)
	case to.pid != (etf.Pid{}):
		if l.flags.Has(FlagSendSender) {
			e = l.encode(3, opSendSender)
			e.raw(p.encoded)
		} else {
			e = l.encode(3, opSend)
			e.emptyAtom()
		}
		e.term(to.pid)
	case to.name != "":
		e = l.encode(4, opRegSend)
		e.raw(p.encoded)
		e.emptyAtom()
		e.term(to.name)
	default:
		e = l.encode(3, opAliasSend)
		e.raw(p.encoded)
		e.term(to.alias)
	}
	e.payload(msg)
	return l.post(ctx, &e, p.key(), wait)
}

// deliverLocal hands a message to a process of this node.
func (n *Node) deliverLocal(from etf.Pid, to Dest, msg etf.Term, priority bool) {
	var q *Process
	m := Message{From: from, Term: msg}
	switch {
	case to.pid != (etf.Pid{}):
		q = n.findPid(to.pid)
	case to.name != "":
		q, m.Name = n.findName(to.name), to.name
	default:
		a := n.useAlias(to.alias)
		q, m.Alias, m.Priority = a.process, to.alias, priority && a.priority
	}
	if q != nil {
		q.recv.Receive(q, m)
	}
}

// SendName is Send to a registered name.
func (p *Process) SendName(ctx context.Context, name etf.Atom, peer Name, msg etf.Term) error {
	return p.Send(ctx, ToName(name, peer), msg)
}

// Reply answers a call. It does not connect: a caller whose node is gone is past caring (*DownError).
func (p *Process) Reply(ctx context.Context, call GenCall, reply etf.Term) error {
	return p.reply(ctx, call, reply, true)
}

func (p *Process) reply(ctx context.Context, call GenCall, reply etf.Term, wait bool) error {
	to, msg := ToPid(call.From), etf.Tuple{call.Tag, reply}
	if call.From.Node == p.node.self {
		if ref, ok := aliasTag(call.Tag); ok {
			to = ToAlias(ref)
		}
		p.node.deliverLocal(p.pid, to, msg, false)
		return nil
	}
	name := peerName(call.From.Node)
	l := p.node.linkUp(name)
	if l == nil {
		return &DownError{Peer: name, Err: ErrNoConnection}
	}
	if ref, ok := aliasTag(call.Tag); ok && l.flags.Has(FlagAlias) {
		to = ToAlias(ref)
	}
	return p.sendOn(ctx, l, to, msg, wait)
}

// aliasTag gives the reference of a tag [alias|Ref].
func aliasTag(tag etf.Term) (etf.Ref, bool) {
	l, ok := tag.(etf.ImproperList)
	if !ok || len(l.Elems) != 1 || l.Elems[0] != etf.Term(etf.Atom("alias")) {
		return etf.Ref{}, false
	}
	ref, ok := l.Tail.(etf.Ref)
	return ref, ok
}

// Register gives the process a name. Error: ErrNameTaken, ErrProcessExited.
func (p *Process) Register(name etf.Atom) error {
	t := &p.node.procs
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, taken := t.names[name]; taken {
		return ErrNameTaken
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return ErrProcessExited
	}
	t.names[name] = p
	p.names = append(p.names, name)
	return nil
}

// Unregister takes the name away and reports whether the process had it.
func (p *Process) Unregister(name etf.Atom) bool {
	t := &p.node.procs
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.names[name] != p {
		return false
	}
	delete(t.names, name)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names = slices.DeleteFunc(p.names, func(x etf.Atom) bool { return x == name })
	return true
}

func (p *Process) isOver() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Exit ends the process: linked processes get the exit signal, monitors their DOWN, names and aliases are given up.
// A second Exit does nothing. It never waits for a peer.
func (p *Process) Exit(reason etf.Term) {
	p.mu.Lock()
	if p.over {
		p.mu.Unlock()
		return
	}
	p.over = true
	close(p.done)
	links, monitors, watchers := p.links, p.monitors, p.watchers
	names, aliases := p.names, p.aliases
	p.links, p.monitors, p.watchers, p.names, p.aliases = nil, nil, nil, nil, nil
	p.mu.Unlock()

	for ref, m := range monitors {
		if m.alias {
			aliases = append(aliases, ref)
		}
	}
	p.node.procs.drop(p, names, aliases)
	for ref, m := range monitors {
		p.sendDemonitor(ref, m)
	}
	for pid, k := range links {
		switch {
		case k.unlinking != 0:
		case k.link != nil:
			k.link.sendExit(p.key(), opPayloadExit, p.pid, pid, reason)
		default:
			if q := p.node.Process(pid); q != nil && q.unlinkedBy(p.pid, nil) {
				q.recv.Receive(q, Exit{From: p.pid, Reason: reason, Linked: true})
			}
		}
	}
	for ref, w := range watchers {
		if w.link != nil {
			w.link.sendMonitorExit(p.key(), w.target, w.from, ref, reason)
		} else if q := p.node.Process(w.from); q != nil {
			q.fireMonitor(ref, reason)
		}
	}
}

// linkLost tells the process that the connection to a peer is gone.
func (p *Process) linkLost(l *link) {
	var signals []Signal
	p.mu.Lock()
	for pid, k := range p.links {
		if k.link == l {
			delete(p.links, pid)
			if k.unlinking == 0 {
				signals = append(signals, Exit{From: pid, Reason: atomNoconnection, Linked: true})
			}
		}
	}
	for ref, m := range p.monitors {
		if m.link == l {
			delete(p.monitors, ref)
			if m.alias {
				p.node.procs.dropAlias(ref)
			}
			signals = append(signals, Down{Ref: ref, Target: m.target, Reason: atomNoconnection})
		}
	}
	for ref, w := range p.watchers {
		if w.link == l {
			delete(p.watchers, ref)
		}
	}
	p.mu.Unlock()
	for _, s := range signals {
		p.recv.Receive(p, s)
	}
}
