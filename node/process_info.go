package node

import (
	"fmt"
	"slices"

	"github.com/beamkeeper/beamkeeper/etf"
)

// ProcessInfo is what a Process is about at one moment.
type ProcessInfo struct {
	Names     []etf.Atom // registered
	Receiver  string     // the Go type behind the pid
	Links     []etf.Pid
	Monitors  []Dest    // what it watches
	MonitorBy []etf.Pid // who watches it
}

// Info describes the process.
func (p *Process) Info() ProcessInfo {
	info := ProcessInfo{Receiver: fmt.Sprintf("%T", p.recv)}
	if s, ok := p.recv.(fmt.Stringer); ok {
		info.Receiver = s.String()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	info.Names = slices.Clone(p.names)
	for pid, k := range p.links {
		if k.unlinking == 0 {
			info.Links = append(info.Links, pid)
		}
	}
	for _, m := range p.monitors {
		info.Monitors = append(info.Monitors, m.target)
	}
	for _, w := range p.watchers {
		info.MonitorBy = append(info.MonitorBy, w.from)
	}
	return info
}

// Processes lists the processes of the node, in no order. Those that only the Router knows are not among them.
func (n *Node) Processes() []*Process { return n.procs.all() }

// Shield makes the process deaf to exit/2 of others, kill included; a refusal is logged. Links still bring exit signals.
func (p *Process) Shield() { p.ShieldUnless(func(etf.Pid) bool { return false }) }

// ShieldUnless is Shield that lets the exit signals of some through. may is called by any goroutine.
func (p *Process) ShieldUnless(may func(from etf.Pid) bool) { p.shield.Store(&may) }
