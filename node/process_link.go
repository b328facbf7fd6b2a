package node

import (
	"context"

	"github.com/beamkeeper/beamkeeper/etf"
)

// procLink is a link of a process, as its own side sees it.
type procLink struct {
	link *link // nil: the other process is of this node
	// unlinking is the identifier of an UNLINK_ID that has not been acknowledged: until it is, exit and link
	// signals of the other process belong to the former link and are ignored.
	unlinking uint64
	// asking says that LINK is being sent, and unlinked that the peer has given up its former link meanwhile: it may
	// have ignored that LINK.
	asking, unlinked bool
}

// Link links to a remote or local process. Linking twice is as linking once. A process that is not there answers
// with Exit and reason noproc. Errors as of Send.
func (p *Process) Link(ctx context.Context, pid etf.Pid) error {
	if pid == p.pid {
		return nil
	}
	if pid.Node == p.node.self {
		return p.linkLocal(pid)
	}
	l, err := p.node.reach(ctx, peerName(pid.Node))
	if err != nil {
		return err
	}
	p.mu.Lock()
	if p.over {
		p.mu.Unlock()
		return ErrProcessExited
	}
	if k, ok := p.links[pid]; ok && k.link == l && k.unlinking == 0 {
		p.mu.Unlock()
		return nil
	}
	p.setLink(pid, procLink{link: l, asking: true})
	p.mu.Unlock()
	for {
		e := l.encode(3, opLink)
		e.raw(p.encoded)
		e.term(pid)
		err := l.post(ctx, &e, p.key(), true)
		if again, err := p.asked(pid, l, err); !again {
			return err
		}
	}
}

// asked is called when a LINK has been sent, or could not be. It tells whether to send it again.
func (p *Process) asked(pid etf.Pid, l *link, err error) (again bool, _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k, ok := p.links[pid]
	switch {
	case !ok || k.link != l:
		return false, nil // the loss of the link has been signalled
	case err != nil:
		delete(p.links, pid)
		return false, err
	}
	again = k.unlinked
	k.asking, k.unlinked = again, false
	p.links[pid] = k
	return again, nil
}

func (p *Process) linkLocal(pid etf.Pid) error {
	p.mu.Lock()
	if p.over {
		p.mu.Unlock()
		return ErrProcessExited
	}
	p.setLink(pid, procLink{})
	p.mu.Unlock()
	if q := p.node.findPid(pid); q == nil || !q.linkedBy(p.pid, nil) {
		p.node.soon(func() { // not before Link has returned, as from a remote one
			if p.unlinkedBy(pid, nil) {
				p.recv.Receive(p, Exit{From: pid, Reason: atomNoproc, Linked: true})
			}
		})
	}
	return nil
}

// setLink enters a link. p.mu is held.
func (p *Process) setLink(pid etf.Pid, k procLink) {
	if p.links == nil {
		p.links = map[etf.Pid]procLink{}
	}
	p.links[pid] = k
}

// Unlink ends a link. No Exit of it is delivered once Unlink has returned, except one being delivered at that moment.
func (p *Process) Unlink(pid etf.Pid) {
	p.mu.Lock()
	k, ok := p.links[pid]
	if !ok || k.unlinking != 0 {
		p.mu.Unlock()
		return
	}
	if k.link == nil {
		delete(p.links, pid)
		p.mu.Unlock()
		if q := p.node.Process(pid); q != nil {
			q.unlinkedBy(p.pid, nil)
		}
		return
	}
	if !k.link.flags.Has(FlagUnlinkID) { // OTP 22 and older have no acknowledgement
		delete(p.links, pid)
		p.mu.Unlock()
		e := k.link.encode(3, opUnlink)
		e.raw(p.encoded)
		e.term(pid)
		k.link.post(context.Background(), &e, p.key(), false) // fails only with the link
		return
	}
	k.unlinking = p.node.unlinks.Add(1)
	p.links[pid] = k
	p.mu.Unlock()
	k.link.sendUnlink(p.key(), opUnlinkID, k.unlinking, p.pid, pid) // fails only with the link
}

// linkedBy enters the link of another process. It is false when this one is over.
func (p *Process) linkedBy(from etf.Pid, l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return false
	}
	if k, ok := p.links[from]; ok && k.link == l {
		return true // known, or of the former link while an unlink is not acknowledged
	}
	p.setLink(from, procLink{link: l})
	return true
}

// unlinkedBy removes the link of another process, and tells whether it was there and not being removed already.
func (p *Process) unlinkedBy(from etf.Pid, l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	k, ok := p.links[from]
	if !ok || k.link != l || k.unlinking != 0 {
		return false
	}
	delete(p.links, from)
	return true
}

// unlinkedByPeer is unlinkedBy for UNLINK_ID, whose acknowledgement has been sent.
func (p *Process) unlinkedByPeer(from etf.Pid, l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch k, ok := p.links[from]; {
	case !ok || k.link != l || k.unlinking != 0:
	case k.asking:
		k.unlinked = true
		p.links[from] = k
	default:
		delete(p.links, from)
	}
}

// unlinkAcked ends an Unlink.
func (p *Process) unlinkAcked(from etf.Pid, id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k, ok := p.links[from]; ok && k.unlinking == id {
		delete(p.links, from)
	}
}
