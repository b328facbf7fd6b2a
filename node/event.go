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
}

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
		}
	}
}

// announce queues an event.
func (n *Node) announce(e NodeEvent) {
	q := &n.events
	q.mu.Lock()
	if len(q.subs) > 0 {
		q.queue = append(q.queue, e)
	}
	q.mu.Unlock()
	select {
	case q.kick <- struct{}{}:
	default:
	}
}

// Subscribe has f called for each nodeup and nodedown from now on, in order, one at a time, by a goroutine of the
// node. For one peer, up and down alternate. A slow f delays other subscribers, not the links; messages of a
// peer may arrive before f has heard of its nodeup. cancel ends it; a call under way is not waited for.
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
