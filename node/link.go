package node

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
)

const (
	ticksPerTickTime = 4
	slowReceiver     = 5 * time.Second // a Receiver that takes that long is named in the log
)

// link is the connection to a peer after the handshake. One goroutine reads, see reader loop in receive.go; writing
// is the outbox's. The link is over when run returns: then its loss has been told to every process concerned.
type link struct {
	// constant
	node     *Node
	peer     Name
	self     etf.Atom // the peer's name as it is in pids
	conn     net.Conn
	flags    Flags
	creation uint32
	inbound  bool
	since    time.Time
	out      outbox
	ctx      context.Context // of functions run for the peer
	cancel   context.CancelFunc
	finished chan struct{} // closed when run is over

	bytesIn   atomic.Uint64
	calls     atomic.Int32  // functions running for the peer
	callBytes atomic.Int64  // of their arguments on the wire
	delivered atomic.Uint64 // signals, for the watch over slow receivers
	receiving atomic.Pointer[Process]

	once sync.Once
	done chan struct{} // closed by fail
	err  error         // why, valid after done

	in      receiver // the reader's own
	watches int      // the reader's own, see watch
}

func (n *Node) newLink(conn net.Conn, res handshakeResult, inbound bool) *link {
	l := &link{
		node: n, peer: res.peer, self: res.peer.Atom(), conn: conn, flags: res.flags, creation: res.creation, inbound: inbound,
		since: time.Now(), finished: make(chan struct{}), done: make(chan struct{}),
	}
	l.ctx, l.cancel = context.WithCancel(n.ctx)
	l.out = outbox{
		limit: n.config.OutboxBytes, hard: n.config.MaxOutboxBytes,
		fragment: l.flags.Has(FlagDistHdrAtomCache | FlagFragments),
		conn:     conn, direct: newDirectWriter(conn),
		nextSeq: func() uint64 { return n.sequences.Add(1) },
		kick:    make(chan struct{}, 1), fail: l.fail,
	}
	l.in.init(l)
	return l
}

func (l *link) hidden() bool { return !l.flags.Has(FlagPublished) }

func (l *link) closed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// fail ends the link. The first reason counts.
func (l *link) fail(err error) {
	l.once.Do(func() {
		l.err = err
		close(l.done)
		l.out.close(&DownError{Peer: l.peer, Err: err})
		l.cancel()
		l.conn.Close()
	})
}

// run is the life of the link.
func (l *link) run() {
	var helpers sync.WaitGroup
	helpers.Go(func() { l.out.writeLoop(l.done) })
	helpers.Go(l.tickLoop)
	l.fail(l.in.loop())
	helpers.Wait()
	l.node.linkDown(l)
}

// linkDown tells everybody of the loss, and forgets the link last, so that a new one comes up only afterwards.
func (n *Node) linkDown(l *link) {
	for _, p := range n.procs.all() {
		p.linkLost(l)
	}
	n.mu.Lock()
	if p := n.peers[l.peer]; p != nil && p.link == l {
		p.link = nil
		n.links--
		n.tell(l.peer, p)
	}
	n.announce(NodeEvent{Peer: l.peer, Hidden: l.hidden(), Inbound: l.inbound, Creation: l.creation, Err: l.err, Time: time.Now()})
	n.mu.Unlock()
	n.flaps.log(n.config.Log, slog.LevelInfo, "node down", "peer", l.peer.String(), "err", l.err)
	close(l.finished)
}

// tickLoop sends ticks when there is nothing else to send, sees to it that the peer is heard of, and watches over
// receivers that hold up the reader.
func (l *link) tickLoop() {
	period := l.node.config.NetTickTime / ticksPerTickTime
	tick := time.NewTicker(period)
	defer tick.Stop()
	watch := time.NewTicker(slowReceiver)
	defer watch.Stop()
	var seenIn, seenOut, lastOut, seenDelivered uint64
	var quiet, stuck int
	var warned *Process
	for {
		select {
		case <-l.done:
			return
		case <-watch.C:
			p, delivered := l.receiving.Load(), l.delivered.Load()
			if p != nil && delivered == seenDelivered && p != warned {
				warned = p
				l.node.config.Log.Warn("receiver holds up the link", "peer", l.peer.String(), "pid", etf.Format(p.pid))
			}
			seenDelivered = delivered
			l.out.endSlowBatch()
		case <-tick.C:
			if in := l.bytesIn.Load(); in != seenIn || l.receiving.Load() != nil {
				seenIn, quiet = in, 0
			} else if quiet++; quiet >= ticksPerTickTime {
				l.fail(ErrTickTimeout)
				return
			}
			out, queued := l.out.stats()
			if out != lastOut || queued == 0 {
				stuck = 0
			} else if stuck++; stuck >= ticksPerTickTime { // the peer takes nothing
				l.fail(ErrTickTimeout)
				return
			}
			lastOut = out
			seenOut = l.out.tick(seenOut)
		}
	}
}
