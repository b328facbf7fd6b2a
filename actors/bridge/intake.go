package bridge

import (
	"sync"
	"time"
)

// Bounds of what peers may have waiting in the mailbox of an actor, which is without bound otherwise. docs/limits.md.
const (
	maxWaiting      = 50_000
	maxWaitingBytes = 32 << 20 // as on the wire
	lookEvery       = 64       // messages, or
	lookBytes       = 1 << 20
	warnEvery       = time.Second
)

// intake counts what peers have sent to an actor and may still wait in its mailbox. The zero value is ready.
type intake struct {
	mu     sync.Mutex
	sizes  []int // of the messages that may wait, in order
	bytes  int
	fresh  int // messages since the last look
	heavy  int // and their bytes
	warned time.Time
	lost   int // messages refused since then
}

// admit tells whether a message may go into the mailbox; waiting gives how many messages are there. A message that
// may not is told once in a while, with the number of those refused.
func (i *intake) admit(size int, waiting func() int) (ok bool, warn int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fresh++
	i.heavy += size
	full := len(i.sizes) >= maxWaiting || i.bytes+size > maxWaitingBytes
	if full || i.fresh >= lookEvery || i.heavy >= lookBytes {
		// Mailboxes are read in order, so those that wait are the last ones. Actors write into them too: then the
		// count is too high, never too low.
		i.fresh, i.heavy = 0, 0
		gone := max(len(i.sizes)-waiting(), 0)
		for _, n := range i.sizes[:gone] {
			i.bytes -= n
		}
		if i.sizes = i.sizes[gone:]; len(i.sizes) == 0 {
			i.sizes = nil
		}
	}
	if len(i.sizes) >= maxWaiting || len(i.sizes) > 0 && i.bytes+size > maxWaitingBytes {
		i.lost++
		if time.Since(i.warned) < warnEvery {
			return false, 0
		}
		warn, i.lost, i.warned = i.lost, 0, time.Now()
		return false, warn
	}
	i.sizes = append(i.sizes, size)
	i.bytes += size
	return true, 0
}

// admit tells whether the actor's mailbox has room for a message of a peer.
func (p *process) admit(size int) bool {
	ok, lost := p.intake.admit(size, func() int { return waiting(p.sys.ergo, p.pid) })
	if lost > 0 {
		p.sys.log.Warn("peers send more to an actor than it handles, messages dropped", "pid", p.pid.String(), "dropped", lost)
	}
	return ok
}
