package bridge

import (
	"context"
	"sync"
	"sync/atomic"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// process is an actor as the cluster sees it: a node.Process with the actor's own number. It carries the actor's
// links, monitors and calls, and turns what arrives for its pid into what Ergo's mailbox takes.
//
// Actors that embed Actor have one from their start. Others get one when they first send over distribution or are
// first asked for by a peer.
type process struct {
	sys  *System
	pid  gen.PID // the actor
	proc *node.Process

	managed atomic.Bool // belongs to an Actor, which ends it itself
	trap    atomic.Bool // what Actor.SetTrapExit said
	intake  intake

	mu       sync.Mutex
	refs     map[etf.Ref]outcome // monitors and calls under way
	arming   int                 // Monitor calls that have not returned yet
	early    map[etf.Ref]etf.Term
	monitors map[node.Dest]etf.Ref     // of an Actor
	named    map[etf.Pid]gen.ProcessID // links made by name
}

// outcome is told how a monitor or call ended: by a reply, or by a Down with its reason. It is called once, by a
// goroutine that reads a link.
type outcome func(t etf.Term, down bool)

// newProcess gives the actor pid its place in the node. With managed, the caller ends it; otherwise it ends with the
// actor.
func (s *System) newProcess(pid gen.PID, managed bool) (*process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.procs[pid.ID]; ok {
		// Found by its name before it was initialized.
		p.managed.Store(p.managed.Load() || managed)
		return p, nil
	}
	p := &process{sys: s, pid: pid}
	p.managed.Store(managed)
	proc, err := s.node.SpawnAs(pid.ID, p)
	if err != nil {
		return nil, err
	}
	p.proc = proc
	if s.shield {
		proc.ShieldUnless(s.ends)
	}
	s.procs[pid.ID] = p
	return p, nil
}

// ends tells whether a process may end actors.
func (s *System) ends(from etf.Pid) bool {
	if s.mayEnd == nil {
		return false
	}
	peer, err := node.ParseName(string(from.Node))
	return err == nil && s.mayEnd(peer)
}

// processOf is the process of an actor of this node, made if there is none yet. nil: no such actor.
func (s *System) processOf(pid gen.PID) *process {
	s.mu.Lock()
	p := s.procs[pid.ID]
	s.mu.Unlock()
	if p != nil || pid.Node != s.name {
		return p
	}
	if _, err := s.ergo.ProcessState(pid); err != nil {
		return nil
	}
	p, err := s.newProcess(pid, false)
	if err != nil {
		return nil
	}
	// Ergo tells the connection of localPeer when the actor ends. s.mu must not be held: the target manager calls us
	// with its lock held.
	if err := s.core.RouteMonitorPID(s.watcher, pid); err != nil {
		p.end(err)
		return nil
	}
	return p
}

// sender is the process that what an actor sends comes from; that of the Ergo node's core when the actor has ended.
func (s *System) sender(pid gen.PID) *process {
	if p := s.processOf(pid); p != nil {
		return p
	}
	return s.corep
}

// end fires the actor's links and monitors. It does not wait for peers.
func (p *process) end(reason error) {
	p.sys.mu.Lock()
	if p.sys.procs[p.pid.ID] == p {
		delete(p.sys.procs, p.pid.ID)
	}
	p.sys.mu.Unlock()
	p.proc.Exit(ReasonTerm(reason))
}

// Receive takes what arrives for the pid. It runs on the goroutine that reads a link and only hands over.
func (p *process) Receive(_ *node.Process, sig node.Signal) {
	switch m := sig.(type) {
	case node.Message:
		p.message(m)
	case node.Exit:
		p.exit(m)
	case node.Down:
		if f := p.take(m.Ref, m.Reason); f != nil {
			f(m.Reason, true)
		}
	}
}

func (p *process) message(m node.Message) {
	t, isTuple := m.Term.(etf.Tuple)
	if isTuple && len(t) == 2 && p.reply(t) {
		return
	}
	if p.answered(m) {
		return
	}
	if !p.admit(m.Size()) {
		return
	}
	if isTuple && len(t) == 2 {
		if req, ok := node.ParseGenCast(t); ok {
			p.deliver(p.sys.PID(m.From), m.Name, Cast{Request: req})
			return
		}
	}
	if call, ok := node.ParseGenCall(m.Term); ok {
		p.call(m.Name, call)
		return
	}
	p.deliver(p.sys.PID(m.From), m.Name, m.Term)
}

// deliver puts a message in the actor's mailbox. An actor that has just ended gets it no more, as in Erlang.
func (p *process) deliver(from gen.PID, name etf.Atom, msg any) {
	core := p.sys.core
	var err error
	if name != "" {
		err = core.RouteSendProcessID(from, gen.ProcessID{Name: gen.Atom(name), Node: p.sys.name}, gen.MessageOptions{}, msg)
	} else {
		err = core.RouteSendPID(from, p.pid, gen.MessageOptions{}, msg)
	}
	if err == gen.ErrProcessMailboxFull {
		p.sys.log.Warn("actor's mailbox is full, message dropped", "pid", p.pid.String())
	}
}

// call hands a gen_server:call to the actor under a reference of ours, which SendResponse turns back into the tag.
func (p *process) call(name etf.Atom, c node.GenCall) {
	tag, ok := keptTag(c.Tag)
	if !ok {
		p.sys.log.Debug("call with a strange tag dropped", "pid", p.pid.String(), "from", etf.Format(c.From))
		return
	}
	c.Tag = tag
	ref := p.sys.tags.put(c)
	opts := gen.MessageOptions{Ref: ref}
	from := p.sys.PID(c.From)
	core := p.sys.core
	var err error
	if name != "" {
		err = core.RouteCallProcessID(from, gen.ProcessID{Name: gen.Atom(name), Node: p.sys.name}, opts, c.Request)
	} else {
		err = core.RouteCallPID(from, p.pid, opts, c.Request)
	}
	if err != nil {
		// An actor that ends tells the caller by its monitor.
		p.sys.tags.take(ref)
		if err == gen.ErrProcessMailboxFull {
			p.sys.log.Warn("actor's mailbox is full, call dropped", "pid", p.pid.String())
		}
	}
}

// respond answers an inbound call. Error: gen.ErrResponseIgnored when nobody waits for it any more.
func (p *process) respond(ctx context.Context, ref gen.Ref, reply any) error {
	c, ok := p.sys.tags.take(ref)
	if !ok {
		return gen.ErrResponseIgnored
	}
	return goError(p.proc.Reply(ctx, c, p.sys.term(reply)))
}

// reply completes a call of the actor if the message answers one. Answers to calls given up are swallowed: their tag
// is [alias|Ref] with a reference of ours, which nothing else has.
func (p *process) reply(t etf.Tuple) bool {
	var ref etf.Ref
	aliased := false
	switch tag := t[0].(type) {
	case etf.Ref:
		ref = tag
	case etf.ImproperList:
		r, ok := tag.Tail.(etf.Ref)
		if !ok || len(tag.Elems) != 1 || tag.Elems[0] != etf.Term(etf.Atom("alias")) {
			return false
		}
		ref, aliased = r, true
	default:
		return false
	}
	if ref.Node != etf.Atom(p.sys.name) {
		return false
	}
	p.mu.Lock()
	f := p.refs[ref]
	delete(p.refs, ref)
	p.mu.Unlock()
	if f == nil {
		return aliased
	}
	p.proc.Demonitor(ref)
	f(t[1], false)
	return true
}

// exit passes on an exit signal as Erlang does: one that the actor traps is a message in its place among the others,
// normal is ignored otherwise, and any other reason ends the actor.
func (p *process) exit(m node.Exit) {
	s := p.sys
	if m.Killed {
		_ = s.ergo.Kill(p.pid) // it has ended already
		return
	}
	from := s.PID(m.From)
	if p.deaf() {
		s.log.Debug("exit signal to an actor dropped", "pid", p.pid.String(), "from", from.String())
		return
	}
	var name gen.ProcessID
	byName := false
	if m.Linked {
		p.mu.Lock()
		name, byName = p.named[m.From]
		delete(p.named, m.From)
		p.mu.Unlock()
	}
	reason := Reason(m.Reason)
	if p.managed.Load() && p.trap.Load() {
		var msg any = gen.MessageExitPID{PID: from, Reason: reason}
		if byName {
			msg = gen.MessageExitProcessID{ProcessID: name, Reason: reason}
		}
		p.deliver(from, "", msg)
		return
	}
	if reason == gen.TerminateReasonNormal {
		return
	}
	_ = s.core.RouteSendExit(from, p.pid, reason) // it has ended already
}

// watch monitors a destination, as an alias too for calls, and has f told of the end.
func (p *process) watch(ctx context.Context, to node.Dest, alias bool, f outcome) (etf.Ref, error) {
	p.mu.Lock()
	p.arming++
	p.mu.Unlock()
	monitor := p.proc.Monitor
	if alias {
		monitor = p.proc.MonitorAlias
	}
	ref, err := monitor(ctx, to)

	p.mu.Lock()
	p.arming--
	reason, gone := p.early[ref]
	delete(p.early, ref)
	if p.arming == 0 {
		p.early = nil
	}
	if err == nil && !gone {
		if p.refs == nil {
			p.refs = make(map[etf.Ref]outcome)
		}
		p.refs[ref] = f
	}
	p.mu.Unlock()

	if err != nil {
		return etf.Ref{}, goError(err)
	}
	if gone {
		f(reason, true)
	}
	return ref, nil
}

// take removes and gives who waits for a Down. One that comes before Monitor has told its reference is kept for watch.
func (p *process) take(ref etf.Ref, reason etf.Term) outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, ok := p.refs[ref]
	if ok {
		delete(p.refs, ref)
		return f
	}
	if p.arming > 0 {
		if p.early == nil {
			p.early = make(map[etf.Ref]etf.Term)
		}
		p.early[ref] = reason
	}
	return nil
}

// forget ends a monitor or call without telling its outcome. It reports whether it was under way.
func (p *process) forget(ref etf.Ref) bool {
	p.mu.Lock()
	_, ok := p.refs[ref]
	delete(p.refs, ref)
	p.mu.Unlock()
	p.proc.Demonitor(ref)
	return ok
}

// request sends a gen_server:call; f is told the reply, or the reason why there will be none.
func (p *process) request(ctx context.Context, to node.Dest, req any, f outcome) (etf.Ref, error) {
	ref, err := p.watch(ctx, to, true, f)
	if err != nil {
		return etf.Ref{}, err
	}
	tag := etf.ImproperList{Elems: []etf.Term{etf.Atom("alias")}, Tail: ref}
	msg := etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{p.proc.Pid(), tag}, p.sys.term(req)}
	if err := p.proc.Send(ctx, to, msg); err != nil {
		if p.forget(ref) {
			return etf.Ref{}, goError(err)
		}
	}
	return ref, nil
}
