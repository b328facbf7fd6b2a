package node

import (
	"context"
	"sync"
)

// Mailbox is a Receiver that keeps signals until they are asked for. The zero value is ready and without bound, as an Erlang mailbox.
type Mailbox struct {
	mu      sync.Mutex
	queue   []Signal
	arrived chan struct{} // closed by Receive; nil when nobody waits
}

// Receive is called by the node.
func (m *Mailbox) Receive(_ *Process, s Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue = append(m.queue, s)
	if m.arrived != nil {
		close(m.arrived)
		m.arrived = nil
	}
}

// Next waits for the next signal, in order of arrival. Error: ctx.Err().
func (m *Mailbox) Next(ctx context.Context) (Signal, error) {
	for {
		m.mu.Lock()
		if len(m.queue) > 0 {
			s := m.queue[0]
			m.queue[0] = nil
			m.queue = m.queue[1:]
			m.mu.Unlock()
			return s, nil
		}
		if m.arrived == nil {
			m.arrived = make(chan struct{})
		}
		arrived := m.arrived
		m.mu.Unlock()
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Len is the number of signals waiting.
func (m *Mailbox) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.queue)
}
