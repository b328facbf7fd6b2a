package node

import (
	"context"

	"github.com/beamkeeper/beamkeeper/etf"
)

// monitor is what a process watches.
type monitor struct {
	target Dest // a spawned process: zero until the reply
	link   *link
	alias  bool // the reference is an alias too
	spawn  bool // of a SPAWN_REQUEST
}

// watcher is who watches a process.
type watcher struct {
	from   etf.Pid
	target etf.Term // the pid or name, as it was given
	link   *link    // nil: a process of this node
}

// Monitor watches a pid or a registered name; exactly one Down with the reference follows, unless Demonitor comes first.
// Errors as of Send; then no Down follows. The Down may arrive before Monitor returns: who needs the reference before
// uses MonitorAs.
func (p *Process) Monitor(ctx context.Context, to Dest) (etf.Ref, error) {
	ref := p.node.MakeRef()
	return ref, p.MonitorAs(ctx, ref, to, false)
}

// MonitorAlias is Monitor with a reference that is an alias too, until its first use, the Down or Demonitor: what a gen_server:call
// sends as [alias|Ref]. A message to the alias ends the monitor.
func (p *Process) MonitorAlias(ctx context.Context, to Dest) (etf.Ref, error) {
	ref := p.node.MakeRef()
	return ref, p.MonitorAs(ctx, ref, to, true)
}

// MonitorAs is Monitor, or with alias set MonitorAlias, with a reference that MakeRef made.
func (p *Process) MonitorAs(ctx context.Context, ref etf.Ref, to Dest, alias bool) error {
	name, local, err := p.node.destNode(to)
	if err != nil {
		return err
	}
	if to.alias.Len > 0 {
		return ErrBadDest
	}
	var l *link
	if !local {
		if l, err = p.node.reach(ctx, name); err != nil {
			return err
		}
	}
	if err := p.addMonitor(ref, monitor{target: to, link: l, alias: alias}); err != nil {
		return err
	}
	if local {
		p.monitorLocal(ref, to)
		return nil
	}
	return p.settle(ref, l.sendMonitor(ctx, p.key(), opMonitorP, p.pid, to.term(), ref, true))
}

// settle removes a monitor whose request could not be sent. When its Down has been delivered already, all is well.
func (p *Process) settle(ref etf.Ref, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := p.monitorOver(ref); !ok {
		return nil
	}
	return err
}

// term is how the wire names what is monitored.
func (d Dest) term() etf.Term {
	if d.name != "" {
		return d.name
	}
	return d.pid
}

func (p *Process) addMonitor(ref etf.Ref, m monitor) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return ErrProcessExited
	}
	if p.monitors == nil {
		p.monitors = map[etf.Ref]monitor{}
	}
	p.monitors[ref] = m
	if m.alias {
		p.node.procs.addAlias(ref, alias{process: p, reply: true})
	}
	return nil
}

func (p *Process) monitorLocal(ref etf.Ref, to Dest) {
	var q *Process
	if to.name != "" {
		q = p.node.findName(to.name)
	} else {
		q = p.node.findPid(to.pid)
	}
	if q == nil || !q.watchedBy(p.pid, to.term(), ref, nil) {
		p.node.soon(func() { p.fireMonitor(ref, atomNoproc) }) // not before Monitor has returned, as from a remote one
	}
}

// fireMonitor delivers the Down of a monitor that is still there.
func (p *Process) fireMonitor(ref etf.Ref, reason etf.Term) {
	if target, ok := p.monitorOver(ref); ok {
		p.recv.Receive(p, Down{Ref: ref, Target: target, Reason: reason})
	}
}

// Demonitor ends a monitor. No Down of it is delivered once Demonitor has returned, except one being delivered at that
// moment. It reports whether the monitor was there.
func (p *Process) Demonitor(ref etf.Ref) bool {
	m, ok := p.removeMonitor(ref)
	if ok {
		p.sendDemonitor(ref, m)
	}
	return ok
}

// sendDemonitor tells whom a removed monitor watched.
func (p *Process) sendDemonitor(ref etf.Ref, m monitor) {
	switch {
	case m.target == (Dest{}): // the spawn has not been answered; see spawned
	case m.link != nil:
		m.link.sendMonitor(context.Background(), p.key(), opDemonitorP, p.pid, m.target.term(), ref, false) // fails only with the link
	default:
		if q := p.node.procs.watched(ref); q != nil {
			q.unwatchedBy(ref)
		}
	}
}

func (p *Process) removeMonitor(ref etf.Ref) (monitor, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.monitors[ref]
	if ok {
		delete(p.monitors, ref)
		if m.alias {
			p.node.procs.dropAlias(ref)
		}
	}
	return m, ok
}

// monitorOver removes a monitor whose Down is about to be delivered, and gives what it watched.
func (p *Process) monitorOver(ref etf.Ref) (Dest, bool) {
	m, ok := p.removeMonitor(ref)
	return m.target, ok
}

// spawned tells the pid of a SPAWN_REQUEST. A request that was given up meanwhile is answered with DEMONITOR_P.
func (p *Process) spawned(l *link, ref etf.Ref, pid etf.Pid) {
	p.mu.Lock()
	m, ok := p.monitors[ref]
	if ok {
		m.target = ToPid(pid)
		p.monitors[ref] = m
	}
	p.mu.Unlock()
	if !ok {
		p.sendDemonitor(ref, monitor{target: ToPid(pid), link: l})
	}
}

// watchedBy enters the monitor of another process. It is false when this one is over.
func (p *Process) watchedBy(from etf.Pid, target etf.Term, ref etf.Ref, l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return false
	}
	if p.watchers == nil {
		p.watchers = map[etf.Ref]watcher{}
	}
	p.watchers[ref] = watcher{from: from, target: target, link: l}
	return true
}

// unwatchedBy removes the monitor of another process and tells whether it was there.
func (p *Process) unwatchedBy(ref etf.Ref) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.watchers[ref]
	delete(p.watchers, ref)
	return ok
}

func (p *Process) isWatched(ref etf.Ref) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.watchers[ref]
	return ok
}
