package bridge

import (
	"context"
	"time"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

func (r *remote) Link(target any) error {
	d, away, err := r.away(target)
	if !away {
		return r.Process.Link(target)
	}
	if err != nil {
		return err
	}
	if !r.running() {
		return gen.ErrNotAllowed
	}
	if pid := d.Pid(); pid != (etf.Pid{}) {
		return goError(r.proc.proc.Link(r.sys.ctx, pid))
	}
	name, peer := d.Name()
	if name == "" {
		return gen.ErrUnsupported // aliases cannot be linked to
	}
	pid, err := r.whereis(name, peer)
	if err != nil {
		return err
	}
	r.proc.mu.Lock()
	if r.proc.named == nil {
		r.proc.named = make(map[etf.Pid]gen.ProcessID)
	}
	r.proc.named[pid] = r.sys.processID(name, peer)
	r.proc.mu.Unlock()
	if err := r.proc.proc.Link(r.sys.ctx, pid); err != nil {
		r.unname(pid)
		return goError(err)
	}
	return nil
}

// whereis asks the peer which process has the name.
func (r *remote) whereis(name etf.Atom, peer node.Name) (etf.Pid, error) {
	if peer == (node.Name{}) {
		p := r.sys.node.Whereis(name)
		if p == nil {
			return etf.Pid{}, gen.ErrProcessUnknown
		}
		return p.Pid(), nil
	}
	ctx, cancel := context.WithTimeout(r.sys.ctx, time.Duration(gen.DefaultRequestTimeout)*time.Second)
	defer cancel()
	t, err := r.sys.node.Call(ctx, peer, "erlang", "whereis", name)
	if err != nil {
		return etf.Pid{}, callError(goError(err))
	}
	pid, ok := t.(etf.Pid)
	if !ok {
		return etf.Pid{}, gen.ErrProcessUnknown
	}
	return pid, nil
}

func (r *remote) unname(pid etf.Pid) {
	r.proc.mu.Lock()
	delete(r.proc.named, pid)
	r.proc.mu.Unlock()
}

func (r *remote) LinkPID(target gen.PID) error { return r.Link(target) }

func (r *remote) LinkProcessID(target gen.ProcessID) error { return r.Link(target) }

func (r *remote) LinkAlias(target gen.Alias) error { return r.Link(target) }

func (r *remote) Unlink(target any) error {
	d, away, err := r.away(target)
	if !away {
		return r.Process.Unlink(target)
	}
	if err != nil {
		return err
	}
	if pid := d.Pid(); pid != (etf.Pid{}) {
		r.unname(pid)
		r.proc.proc.Unlink(pid)
		return nil
	}
	name, peer := d.Name()
	id := r.sys.processID(name, peer)
	var pids []etf.Pid
	r.proc.mu.Lock()
	for pid, n := range r.proc.named {
		if n == id {
			pids = append(pids, pid)
			delete(r.proc.named, pid)
		}
	}
	r.proc.mu.Unlock()
	if len(pids) == 0 {
		return gen.ErrTargetUnknown
	}
	for _, pid := range pids {
		r.proc.proc.Unlink(pid)
	}
	return nil
}

func (r *remote) UnlinkPID(target gen.PID) error { return r.Unlink(target) }

func (r *remote) UnlinkProcessID(target gen.ProcessID) error { return r.Unlink(target) }

func (r *remote) UnlinkAlias(target gen.Alias) error { return r.Unlink(target) }

func (r *remote) Monitor(target any) error {
	d, away, err := r.away(target)
	if !away {
		return r.Process.Monitor(target)
	}
	if err != nil {
		return err
	}
	if !r.running() {
		return gen.ErrNotAllowed
	}
	if d.Alias().Len != 0 {
		return gen.ErrUnsupported
	}
	p := r.proc
	p.mu.Lock()
	if _, ok := p.monitors[d]; ok {
		p.mu.Unlock()
		return gen.ErrTargetExist // Ergo names a monitor by its target, so there can be but one
	}
	if p.monitors == nil {
		p.monitors = make(map[node.Dest]etf.Ref)
	}
	p.monitors[d] = etf.Ref{}
	p.mu.Unlock()

	ref, err := p.watch(r.sys.ctx, d, false, func(t etf.Term, _ bool) { p.down(d, Reason(t)) })
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.monitors[d]; !ok {
		return nil // it is down already
	}
	if err != nil {
		delete(p.monitors, d)
		return err
	}
	p.monitors[d] = ref
	return nil
}

// down tells the actor that a process it monitored is gone.
func (p *process) down(d node.Dest, reason error) {
	p.mu.Lock()
	delete(p.monitors, d)
	p.mu.Unlock()
	if name, peer := d.Name(); name != "" {
		p.deliver(gen.PID{}, "", gen.MessageDownProcessID{ProcessID: p.sys.processID(name, peer), Reason: reason})
		return
	}
	pid := p.sys.PID(d.Pid())
	p.deliver(pid, "", gen.MessageDownPID{PID: pid, Reason: reason})
}

func (r *remote) MonitorPID(target gen.PID) error { return r.Monitor(target) }

func (r *remote) MonitorProcessID(target gen.ProcessID) error { return r.Monitor(target) }

func (r *remote) MonitorAlias(target gen.Alias) error { return r.Monitor(target) }

// LinkNode and MonitorNode are between the actor and Ergo's table of connections.
func (r *remote) LinkNode(target gen.Atom) error {
	if err := r.connect(target); err != nil {
		return err
	}
	return r.Process.LinkNode(target)
}

func (r *remote) MonitorNode(target gen.Atom) error {
	if err := r.connect(target); err != nil {
		return err
	}
	return r.Process.MonitorNode(target)
}

func (r *remote) connect(peer gen.Atom) error {
	name, err := node.ParseName(string(peer))
	if err != nil {
		return err
	}
	if err := r.sys.node.Connect(r.sys.ctx, name); err != nil {
		return &sameAs{err: err, ergo: gen.ErrNoConnection}
	}
	return nil
}

func (r *remote) Demonitor(target any) error {
	d, away, err := r.away(target)
	if !away {
		return r.Process.Demonitor(target)
	}
	if err != nil {
		return err
	}
	r.proc.mu.Lock()
	ref, ok := r.proc.monitors[d]
	delete(r.proc.monitors, d)
	r.proc.mu.Unlock()
	if !ok {
		return gen.ErrTargetUnknown
	}
	r.proc.forget(ref)
	return nil
}

func (r *remote) DemonitorPID(target gen.PID) error { return r.Demonitor(target) }

func (r *remote) DemonitorProcessID(target gen.ProcessID) error { return r.Demonitor(target) }

func (r *remote) DemonitorAlias(target gen.Alias) error { return r.Demonitor(target) }
