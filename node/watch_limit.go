package node

// watch counts a LINK or MONITOR_P of the peer. Each time that there have been MaxWatches more of them, it looks how many
// are there still. So a peer never has more than twice as many at one moment, and who keeps to the limit pays
// nothing. The link's reader calls it. Error: ErrMaxWatches.
func (l *link) watch() error {
	limit := l.node.config.MaxWatches
	if l.watches++; l.watches <= limit {
		return nil
	}
	l.watches = 0
	held := 0
	for _, p := range l.node.procs.all() {
		held += p.heldBy(l)
	}
	if held > limit {
		return ErrMaxWatches
	}
	return nil
}

// heldBy counts the links and monitors that came by a link, with the links made by this side.
func (p *Process) heldBy(l *link) (held int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.links {
		if k.link == l {
			held++
		}
	}
	for _, w := range p.watchers {
		if w.link == l {
			held++
		}
	}
	return held
}
