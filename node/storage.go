package node

import (
	"sync"
	"sync/atomic"
)

const (
	storageSlots = 2
	storageBytes = 4 << 20 // buffers that grew beyond are not kept
)

// storagePool keeps buffers of large messages that have been released, for the next ones of the link.
type storagePool struct {
	mu   sync.Mutex
	free [][]byte
}

// take gives an empty buffer of at least n bytes.
func (p *storagePool) take(n int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, b := range p.free {
		if cap(b) >= n {
			last := len(p.free) - 1
			p.free[i] = p.free[last]
			p.free = p.free[:last]
			return b[:0]
		}
	}
	return make([]byte, 0, n)
}

func (p *storagePool) put(b []byte) {
	if cap(b) > storageBytes || cap(b) < readBufferBytes {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < storageSlots {
		p.free = append(p.free, b)
		return
	}
	for i, f := range p.free { // better the larger ones
		if cap(f) < cap(b) {
			p.free[i] = b
			return
		}
	}
}

// release gives up what is kept.
func (p *storagePool) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = nil
}

// storage is the buffer that the binaries of a large message lie in.
type storage struct {
	pool     *storagePool
	b        []byte
	released atomic.Bool
}

// Release tells that neither Term nor any binary of it is used any more. The memory of a large message then
// serves for the next one, which spares the garbage collector work. It is never needed.
func (m Message) Release() {
	if s := m.storage; s != nil && !s.released.Swap(true) {
		s.pool.put(s.b)
		s.b = nil
	}
}
