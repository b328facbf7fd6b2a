package node

import (
	"context"
	"slices"
	"sync"
)

// Mailbox is a Receiver that keeps signals until they are asked for. The zero value is ready and without bound, as an Erlang mailbox.
type Mailbox struct {
	mu       sync.Mutex
	queue    []Signal
	bytes    int           // that the messages of queue took on the wire
	priority int           // of the queue, that many at its head have priority
	arrived  chan struct{} // closed by Receive; nil when nobody waits
}

// Receive is called by the node.
func (m *Mailbox) Receive(_ *Process, s Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bytes += sizeOf(s)
	if hasPriority(s) {
		m.queue = slices.Insert(m.queue, m.priority, s)
		m.priority++
	} else {
		m.queue = append(m.queue, s)
	}
	if m.arrived != nil {
		close(m.arrived)
		m.arrived = nil
	}
}

func sizeOf(s Signal) int {
	if m, ok := s.(Message); ok {
		return m.size
	}
	return 0
}

func hasPriority(s Signal) bool {
	switch s := s.(type) {
	case Message:
		return s.Priority
	case Exit:
		return s.Priority
	}
	return false
}

// Next waits for the next signal: those with priority first, else in order of arrival. Error: ctx.Err().
func (m *Mailbox) Next(ctx context.Context) (Signal, error) {
	for {
		m.mu.Lock()
		if len(m.queue) > 0 {
			s := m.queue[0]
			m.queue[0] = nil
			m.queue = m.queue[1:]
			m.priority = max(m.priority-1, 0)
			m.bytes -= sizeOf(s)
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

// held is the number of signals waiting, and the bytes that they took on the wire.
func (m *Mailbox) held() (signals, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.queue), m.bytes
}
