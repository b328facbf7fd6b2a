package node

import (
	"slices"

	"github.com/beamkeeper/beamkeeper/etf"
)

// Alias makes an alias of the process: a reference that can be sent to until Unalias.
func (p *Process) Alias() etf.Ref { return p.newAlias(alias{process: p}) }

// PriorityAlias is Alias with the right to priority, alias([priority]) of OTP 28: messages and exit signals that are sent
// to it with priority have Priority set.
func (p *Process) PriorityAlias() etf.Ref { return p.newAlias(alias{process: p, priority: true}) }

func (p *Process) newAlias(a alias) etf.Ref {
	ref := p.node.MakeRef()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.aliases = append(p.aliases, ref)
		p.node.procs.addAlias(ref, a)
	}
	return ref
}

// Unalias ends an alias and reports whether it was there.
func (p *Process) Unalias(ref etf.Ref) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.aliases, ref)
	if i < 0 {
		return false
	}
	p.aliases = slices.Delete(p.aliases, i, i+1)
	p.node.procs.dropAlias(ref)
	return true
}
