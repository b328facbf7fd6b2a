package node

import (
	"context"
	"encoding/binary"
	"net"
	"runtime"
	"sync"
	"time"
)

const (
	fragmentBytes = 64 << 10         // payload of a fragment, as OTP's
	chunkBytes    = 64 << 10         // small packets are gathered in buffers of that size
	spareChunks   = 2                // written buffers kept for reuse
	directRounds  = 8                // writes that a sender does itself before the writer goroutine takes over
	batchPatience = time.Millisecond // for that long a batch holds back what is sent
)

// packet is one encoded message on its way out. Both parts lack the length before the frame.
type packet struct {
	sender uint64   // process whose packets stay in order, see Process.key; 0: the node
	head   []byte   // prefix, control message, and the payload up to the first big binary; copied by put if at most chunkBytes
	tail   [][]byte // the rest; big binaries are the sender's own memory
	size   int      // bytes of head and tail
	lazy   bool     // may wait a little for what its sender is about to say next
	// payloadAt is the offset in head where the control message ends. A fragmented packet is cut only behind it.
	payloadAt int
}

// outbox is the writing half of a link. Packets of one sender leave in order; a big one is cut into fragments, which
// take turns with what others send. Whoever finds nobody writing writes itself without waiting; what the socket does
// not take at once is left to the writer goroutine.
//
// Senders wait while limit bytes or more are queued, so what waits for the peer is at most that and the one message that went
// over it. Answers of the node cannot wait: when they bring the rest beyond hard, the link is closed. So the memory behind a
// peer that reads nothing is at most hard and two messages, that one and the last answer.
type outbox struct {
	limit, hard int  // bytes
	fragment    bool // the peer takes fragments
	conn        net.Conn
	direct      directWriter // nil: only the writer goroutine writes
	nextSeq     func() uint64
	kick        chan struct{} // for the writer goroutine, one place
	fail        func(error)   // called without mu

	mu      sync.Mutex
	queue   [][]byte // to be written, in order
	gather  bool     // the last buffer of queue is a chunk of ours with room
	room    []byte   // what is left of the last chunk, when the last buffer of queue is another
	spare   [][]byte
	owned   [][]byte // chunks of ours in queue
	flying  [][]byte // chunks of ours being written
	bigs    []*bigPacket
	turn    int         // of bigs
	bytes   int         // in queue, bigs and being written
	over    int         // size of the message with which a sender that waits went over limit, until bytes is below again
	written uint64      // since the beginning
	rest    net.Buffers // what a direct write left over
	writing bool        // somebody writes, or rest waits for the writer goroutine
	batch   bool        // the reader is at work and flushes at the end
	began   time.Time   // when batch was set, or something written in it since
	lazy    bool        // all that is queued may wait a little
	err     error
	space   chan struct{} // closed when bytes falls below limit; nil when nobody waits
}

// bigPacket is a packet being cut into fragments, and what its sender sent after it.
type bigPacket struct {
	sender uint64
	seq    uint64
	left   uint64 // fragments
	first  bool
	head   []byte // control message with the prefix's two bytes stripped
	body   [][]byte
	behind []packet
}

// put queues a packet. When wait is set it waits while the outbox is full.
func (o *outbox) put(ctx context.Context, p packet, wait bool) error {
	o.mu.Lock()
	for o.err == nil && wait && o.bytes >= o.limit {
		if o.space == nil {
			o.space = make(chan struct{})
		}
		space := o.space
		o.mu.Unlock()
		o.flush()
		select {
		case <-space:
		case <-ctx.Done():
			return ctx.Err()
		}
		o.mu.Lock()
	}
	if o.err != nil {
		defer o.mu.Unlock()
		return o.err
	}
	if !wait && o.bytes > o.hard+o.over {
		o.mu.Unlock()
		o.fail(ErrOverload)
		return ErrOverload
	}
	first := o.bytes == 0
	o.lazy = p.lazy && (first || o.lazy)
	if o.bytes += p.size; wait && o.bytes >= o.limit {
		o.over = p.size
	}
	o.enqueue(p)
	if o.batch && o.bytes < chunkBytes {
		if time.Since(o.began) < batchPatience {
			o.mu.Unlock()
			return nil
		}
		o.began = time.Now()
	}
	o.mu.Unlock()
	o.flush()
	return nil
}

// enqueue sorts a packet in. o.mu is held.
func (o *outbox) enqueue(p packet) {
	for _, b := range o.bigs {
		if b.sender == p.sender {
			if len(p.head) <= chunkBytes {
				p.head = append([]byte(nil), p.head...) // the sender uses its buffer again
			}
			b.behind = append(b.behind, p)
			return
		}
	}
	if o.fragment && p.size > p.payloadAt+fragmentBytes && p.payloadAt > 0 {
		o.enqueueBig(p)
		return
	}
	o.bytes += 4
	o.gatherBytes(binary.BigEndian.AppendUint32(make([]byte, 0, 4), uint32(p.size)))
	o.gatherBytes(p.head)
	for _, b := range p.tail {
		if len(b) < bigBinary {
			o.gatherBytes(b)
			continue
		}
		o.appendBuffer(b)
	}
}

// gatherBytes copies b into a chunk, unless it is larger than one. o.mu is held.
func (o *outbox) gatherBytes(b []byte) {
	if len(b) > chunkBytes {
		o.appendBuffer(b)
		return
	}
	if n := len(o.queue); o.gather && len(o.queue[n-1])+len(b) <= cap(o.queue[n-1]) {
		o.queue[n-1] = append(o.queue[n-1], b...)
		return
	}
	if !o.gather && len(b) <= cap(o.room) {
		o.queue = append(o.queue, append(o.room, b...))
		o.room, o.gather = nil, true
		return
	}
	var chunk []byte
	if n := len(o.spare); n > 0 {
		chunk = o.spare[n-1]
		o.spare = o.spare[:n-1]
	} else {
		chunk = make([]byte, 0, chunkBytes)
	}
	o.queue = append(o.queue, append(chunk, b...))
	o.owned = append(o.owned, chunk)
	o.room, o.gather = nil, true
}

// appendBuffer queues a buffer that is no chunk. o.mu is held.
func (o *outbox) appendBuffer(b []byte) {
	if o.gather {
		last := o.queue[len(o.queue)-1]
		o.room = last[len(last):]
		o.gather = false
	}
	o.queue = append(o.queue, b)
}

// enqueueBig begins to send a packet in fragments. o.mu is held.
func (o *outbox) enqueueBig(p packet) {
	b := &bigPacket{sender: p.sender, seq: o.nextSeq(), first: true}
	head := p.head
	if len(head) <= chunkBytes {
		head = append([]byte(nil), head...) // the sender uses its buffer again
	}
	b.head = head[2:p.payloadAt] // without 131, 68
	o.bytes -= 2
	b.body = append([][]byte{head[p.payloadAt:]}, p.tail...)
	b.left = uint64((p.size - p.payloadAt + fragmentBytes - 1) / fragmentBytes)
	o.bigs = append(o.bigs, b)
}

// nextFragment cuts one fragment off a big packet and appends its frame. o.mu is held.
//
//	131 | 69 | sequence u64 | fragment u64 | rest of the header, control message, payload      the first
//	131 | 70 | sequence u64 | fragment u64 | payload                                            the others
//
// Fragment numbers count down to 1.
func (o *outbox) nextFragment(dst [][]byte, b *bigPacket) [][]byte {
	var body [][]byte
	room := fragmentBytes
	for room > 0 && len(b.body) > 0 {
		n := min(room, len(b.body[0]))
		if n > 0 {
			body = append(body, b.body[0][:n])
		}
		room -= n
		b.body[0] = b.body[0][n:]
		if len(b.body[0]) == 0 {
			b.body = b.body[1:]
		}
	}
	tag := byte(tagFragment)
	var head []byte
	if b.first {
		tag, head = tagFirstFragment, b.head
	}
	n := 18 + len(head) + fragmentBytes - room
	frame := make([]byte, 0, 22+len(head))
	frame = binary.BigEndian.AppendUint32(frame, uint32(n))
	frame = append(frame, versionMagic, tag)
	frame = binary.BigEndian.AppendUint64(frame, b.seq)
	frame = binary.BigEndian.AppendUint64(frame, b.left)
	frame = append(frame, head...)
	o.bytes += len(frame) - len(head) // the head is counted in the packet
	b.first = false
	b.left--
	return append(append(dst, frame), body...)
}

// take gives what is to be written next: all that is queued and a fragment of one big packet. o.mu is held.
func (o *outbox) take() net.Buffers {
	batch := o.queue
	o.queue, o.gather, o.room, o.lazy = nil, false, nil, false
	o.flying = append(o.flying[:0], o.owned...)
	o.owned = o.owned[:0]
	if len(o.bigs) > 0 {
		o.turn %= len(o.bigs)
		b := o.bigs[o.turn]
		batch = o.nextFragment(batch, b)
		if b.left > 0 {
			o.turn++
		} else {
			o.bigs = append(o.bigs[:o.turn:o.turn], o.bigs[o.turn+1:]...)
			for _, p := range b.behind {
				o.enqueue(p)
			}
		}
	}
	return batch
}

// flush writes what is queued unless somebody does already. It never waits for the socket.
func (o *outbox) flush() {
	if o.direct == nil {
		o.wake()
		return
	}
	o.mu.Lock()
	for round := 0; ; round++ {
		if o.writing || o.err != nil || len(o.queue) == 0 && len(o.bigs) == 0 {
			o.mu.Unlock()
			return
		}
		if round == directRounds {
			o.mu.Unlock()
			o.wake()
			return
		}
		batch := o.take()
		o.writing = true
		o.mu.Unlock()
		n, err := o.direct.write(batch)
		o.mu.Lock()
		o.count(n)
		if err != nil {
			o.mu.Unlock()
			o.fail(err)
			return
		}
		if batch = consume(batch, n); len(batch) > 0 {
			o.rest = batch
			o.mu.Unlock()
			o.wake()
			return
		}
		o.writing = false
		o.recycle()
	}
}

// writeLoop is the writer goroutine: it waits for the socket where flush does not. It ends after done is closed.
func (o *outbox) writeLoop(done <-chan struct{}) {
	for {
		select {
		case <-o.kick:
		case <-done:
			return
		}
		o.mu.Lock()
		for o.err == nil {
			var batch net.Buffers
			switch {
			case len(o.rest) > 0:
				batch, o.rest = o.rest, nil
			case o.writing, len(o.queue) == 0 && len(o.bigs) == 0:
			default:
				batch = o.take()
			}
			if len(batch) == 0 {
				break
			}
			o.writing = true
			o.mu.Unlock()
			n, err := batch.WriteTo(o.conn)
			o.mu.Lock()
			o.count(int(n))
			o.writing = false
			if err != nil {
				o.mu.Unlock()
				o.fail(err)
				o.mu.Lock()
				break
			}
			o.recycle()
		}
		o.mu.Unlock()
	}
}

// count books written bytes and lets senders go on. o.mu is held.
func (o *outbox) count(n int) {
	o.bytes -= n
	o.written += uint64(n)
	if o.bytes < o.limit {
		o.over = 0
	}
	if o.space != nil && o.bytes < o.limit {
		close(o.space)
		o.space = nil
	}
}

// recycle keeps some of the chunks that have been written. o.mu is held, nobody writes.
func (o *outbox) recycle() {
	for _, chunk := range o.flying {
		if len(o.spare) < spareChunks {
			o.spare = append(o.spare, chunk[:0])
		}
	}
	o.flying = o.flying[:0]
}

// wake has the writer goroutine look.
func (o *outbox) wake() {
	select {
	case o.kick <- struct{}{}:
	default:
	}
}

// beginBatch tells that the reader is at work and will call endBatch soon: packets are gathered until then.
func (o *outbox) beginBatch() {
	o.mu.Lock()
	o.batch, o.began = true, time.Now()
	o.mu.Unlock()
}

// endBatch writes what has been gathered. When that is lazy only, whoever may add to it gets to run first.
func (o *outbox) endBatch() {
	o.mu.Lock()
	o.batch = false
	lazy := o.lazy
	o.mu.Unlock()
	if lazy {
		runtime.Gosched()
	}
	o.mu.Lock()
	idle := o.writing || len(o.queue) == 0 && len(o.bigs) == 0
	o.mu.Unlock()
	if !idle {
		o.flush()
	}
}

// endSlowBatch writes what a batch has held back for a long time: a Receiver holds up the reader.
func (o *outbox) endSlowBatch() {
	o.mu.Lock()
	slow := o.batch && time.Since(o.began) > batchPatience
	o.mu.Unlock()
	if slow {
		o.wake()
	}
}

// tickFrame is a length of 0.
var tickFrame = make([]byte, 4)

// tick queues a tick when nothing has been written since the count was seen, and nothing waits. It gives the count
// to see next time, in which the tick itself does not appear as something written.
func (o *outbox) tick(seen uint64) uint64 {
	o.mu.Lock()
	idle := o.err == nil && o.written == seen && o.bytes == 0
	seen = o.written
	if idle {
		o.bytes += 4
		o.appendBuffer(tickFrame) // not in a chunk: an idle link keeps none
		o.spare, o.flying = nil, nil
		seen += 4
	}
	o.mu.Unlock()
	if idle {
		o.flush()
	}
	return seen
}

// close fails all that is and will be sent.
func (o *outbox) close(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return
	}
	o.err = err
	o.queue, o.bigs, o.rest, o.owned, o.spare = nil, nil, nil, nil, nil // flying is the writer's
	if o.space != nil {
		close(o.space)
		o.space = nil
	}
}

// stats gives the bytes written so far and those waiting.
func (o *outbox) stats() (written uint64, queued int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.written, max(o.bytes, 0)
}

// consume drops the first n bytes.
func consume(b net.Buffers, n int) net.Buffers {
	for len(b) > 0 && n >= len(b[0]) {
		n -= len(b[0])
		b = b[1:]
	}
	if len(b) > 0 {
		b[0] = b[0][n:]
	}
	return b
}
