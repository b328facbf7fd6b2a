package node

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// NodeEvent is a nodeup or nodedown.
type NodeEvent struct {
	Peer     Name
	Up       bool
	Hidden   bool
	Inbound  bool
	Creation uint32
	Err      error // why the link went down
	Time     time.Time
}

// eventQueue hands events to the subscribers in order, by one goroutine, without delaying who announces them.
type eventQueue struct {
	kick chan struct{}

	mu     sync.Mutex
	subs   map[uint64]func(NodeEvent)
	nextID uint64
	queue  []NodeEvent
	untold int           // events in queue and under way to the subscribers
	space  chan struct{} // closed when there is room again; nil when nobody waits
}

// maxUntold is how many nodeups and nodedowns may wait for the subscribers before no link of a peer comes up any more: a peer
// that connects and goes as fast as it can does not fill the memory.
const maxUntold = 1000

func (q *eventQueue) init() {
	q.kick = make(chan struct{}, 1)
	q.subs = map[uint64]func(NodeEvent){}
}

// run delivers until ctx ends, and what is queued then.
func (q *eventQueue) run(ctx context.Context) {
	for {
		select {
		case <-q.kick:
			q.deliver()
		case <-ctx.Done():
			q.deliver()
			return
		}
	}
}

func (q *eventQueue) deliver() {
	for {
		q.mu.Lock()
		queue := q.queue
		q.queue = nil
		q.mu.Unlock()
		if len(queue) == 0 {
			return
		}
		for _, e := range queue {
			q.mu.Lock()
			subs := make([]func(NodeEvent), 0, len(q.subs))
			for _, id := range slices.Sorted(maps.Keys(q.subs)) { // in the order of Subscribe
				subs = append(subs, q.subs[id])
			}
			q.mu.Unlock()
			for _, f := range subs {
				f(e)
			}
			q.told()
		}
	}
}

// announce queues an event.
func (n *Node) announce(e NodeEvent) {
	q := &n.events
	q.mu.Lock()
	if len(q.subs) > 0 {
		q.queue = append(q.queue, e)
		q.untold++
	}
	q.mu.Unlock()
	select {
	case q.kick <- struct{}{}:
	default:
	}
}

// told is called when an event has been delivered.
func (q *eventQueue) told() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.untold--; q.untold < maxUntold && q.space != nil {
		close(q.space)
		q.space = nil
	}
}

// room waits until the subscribers have been told of most events.
func (q *eventQueue) room(ctx context.Context) error {
	for {
		q.mu.Lock()
		if q.untold < maxUntold {
			q.mu.Unlock()
			return nil
		}
		if q.space == nil {
			q.space = make(chan struct{})
		}
		space := q.space
		q.mu.Unlock()
		select {
		case <-space:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Subscribe has f called for each nodeup and nodedown from now on, in order, one at a time, by a goroutine of the
// node. For one peer, up and down alternate. A slow f delays other subscribers, not the links; only when it is 1,000 events
// behind do peers that connect have to wait. Messages of a peer may arrive before f has heard of its nodeup. cancel ends it; a
// call under way is not waited for.
func (n *Node) Subscribe(f func(NodeEvent)) (cancel func()) {
	q := &n.events
	q.mu.Lock()
	defer q.mu.Unlock()
	id := q.nextID
	q.nextID++
	q.subs[id] = f
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.subs, id)
	}
}
