package node

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/beamkeeper/beamkeeper/etf"
)

const (
	readStep        = 1 << 20 // a long frame is read in such steps, so that memory grows with what has arrived
	fragmentHeader  = 18      // 131, tag, sequence u64, fragment u64
	maxFragmentLeft = 1 << 32
)

// receiver is the reading half of a link: frames, distribution headers and fragments. One goroutine owns it.
type receiver struct {
	link      *link
	buf       *wireReader
	max       int // bytes of a message
	decoder   *etf.Decoder
	cache     etf.AtomCacheIn
	refs      etf.AtomRefs
	fragments map[uint64]*assembly
	assembled int    // bytes in fragments
	base      []byte // buffer that the frame being handled has to itself, nil when it is in buf
	storage   storagePool
	batch     bool
	idle      bool // nothing but ticks since the last one
}

// assembly is a message of which fragments are still to come.
type assembly struct {
	left uint64 // fragments
	refs etf.AtomRefs
	b    []byte // control message and payload so far
	base []byte // the buffer that b is a part of
}

func (r *receiver) init(l *link) {
	r.link = l
	r.buf = newWireReader(l.conn)
	r.max = l.node.config.MaxMessageBytes
	r.decoder = etf.NewDecoder(etf.Limits{MaxBytes: r.max})
	r.decoder.RefuseRecords = true
	r.fragments = map[uint64]*assembly{}
}

// loop reads until the connection ends or a message is malformed.
func (r *receiver) loop() error {
	for {
		head, err := r.buf.peek(4)
		if err != nil {
			return readError(err)
		}
		n := int(binary.BigEndian.Uint32(head))
		if n > r.max {
			return fmt.Errorf("%w: %d bytes", ErrProtocol, n)
		}
		if n == 0 { // a tick; it is not answered
			r.buf.discard(4)
			r.link.bytesIn.Add(4)
			r.ticked()
			continue
		}
		r.idle = false
		if !r.batch && r.buf.buffered() > 4 {
			r.batch = true
			r.link.out.beginBatch()
		}
		if n+4 <= readBufferBytes {
			err = r.small(n)
		} else {
			r.buf.discard(4)
			err = r.large(n)
		}
		r.link.bytesIn.Add(uint64(n) + 4)
		if err != nil {
			return err
		}
		if r.batch && !r.wholeFrameBuffered() {
			r.batch = false
			r.link.out.endBatch()
		}
	}
}

// ticked gives up what is only kept for speed when two ticks come with nothing between.
func (r *receiver) ticked() {
	if r.idle {
		r.decoder.Release()
		r.storage.release()
		r.refs = etf.AtomRefs{}
		r.buf.rest()
	}
	r.idle = true
}

// wholeFrameBuffered tells whether the next frame can be handled without reading.
func (r *receiver) wholeFrameBuffered() bool {
	if r.buf.buffered() < 4 {
		return false
	}
	head, _ := r.buf.peek(4) // buffered
	n := int(binary.BigEndian.Uint32(head))
	return r.buf.buffered() >= n+4
}

// small handles a frame where it is in the read buffer.
func (r *receiver) small(n int) error {
	b, err := r.buf.peek(n + 4)
	if err != nil {
		return readError(err)
	}
	err = r.frame(b[4:])
	r.buf.discard(n + 4)
	return err
}

// large reads a frame that the read buffer cannot hold. A fragment goes straight into its assembly.
func (r *receiver) large(n int) error {
	head, err := r.buf.peek(fragmentHeader)
	if err != nil {
		return readError(err)
	}
	if head[0] == versionMagic && head[1] == tagFragment {
		seq, left := binary.BigEndian.Uint64(head[2:]), binary.BigEndian.Uint64(head[10:])
		r.buf.discard(fragmentHeader)
		a, err := r.nextFragment(seq, left, n-fragmentHeader)
		if err != nil {
			return err
		}
		before := cap(a.b)
		if a.b, err = readInto(r.buf, a.b, n-fragmentHeader); err != nil {
			return readError(err)
		}
		if cap(a.b) != before {
			a.base = a.b
		}
		return r.finishFragment(seq, a)
	}
	guess := min(n, readStep)
	if head[0] == versionMagic && head[1] == tagFirstFragment {
		// Fragments of one message are of one size, but the count is the peer's word: reserve little of it.
		left := binary.BigEndian.Uint64(head[10:])
		guess = int(min(max(left, 1)*uint64(n), uint64(readStep+n)))
	}
	b, err := readInto(r.buf, r.storage.take(guess), n)
	if err != nil {
		return readError(err)
	}
	r.base = b
	err = r.frame(b)
	r.base = nil
	return err
}

// readInto appends n bytes to b, growing it as they come.
func readInto(src *wireReader, b []byte, n int) ([]byte, error) {
	for n > 0 {
		step := min(n, readStep)
		at := len(b)
		if cap(b)-at < step {
			grown := make([]byte, at, max(2*cap(b), at+step))
			copy(grown, b)
			b = grown
		}
		b = b[:at+step]
		if err := src.readFull(b[at:]); err != nil {
			return nil, err
		}
		n -= step
	}
	return b, nil
}

// frame handles one frame.
func (r *receiver) frame(b []byte) error {
	r.decoder.CopyBinaries = r.base == nil
	switch {
	case b[0] == passThrough:
		r.decoder.SetAtomRefs(nil)
		if len(b) < 2 || b[1] != versionMagic {
			return fmt.Errorf("%w: control message without version", ErrProtocol)
		}
		return r.message(b[2:], true)
	case len(b) < 2 || b[0] != versionMagic:
		return fmt.Errorf("%w: message type %d", ErrProtocol, b[0])
	case b[1] == tagDistHeader:
		rest, err := r.cache.ReadHeader(b[2:], &r.refs)
		if err != nil {
			return fmt.Errorf("%w: distribution header: %w", ErrProtocol, err)
		}
		r.decoder.SetAtomRefs(&r.refs)
		return r.message(rest, false)
	case len(b) < fragmentHeader:
		return fmt.Errorf("%w: fragment of %d bytes", ErrProtocol, len(b))
	}
	seq, left := binary.BigEndian.Uint64(b[2:]), binary.BigEndian.Uint64(b[10:])
	switch b[1] {
	case tagFirstFragment:
		return r.firstFragment(seq, left, b[fragmentHeader:])
	case tagFragment:
		a, err := r.nextFragment(seq, left, len(b)-fragmentHeader)
		if err != nil {
			return err
		}
		before := cap(a.b)
		a.b = append(a.b, b[fragmentHeader:]...)
		if cap(a.b) != before {
			a.base = a.b
		}
		return r.finishFragment(seq, a)
	}
	return fmt.Errorf("%w: distribution header %d", ErrProtocol, b[1])
}

// firstFragment begins an assembly. Its atom cache references are read at once, for later headers may change the cache.
func (r *receiver) firstFragment(seq, left uint64, b []byte) error {
	if left == 0 || left > maxFragmentLeft || r.fragments[seq] != nil {
		return fmt.Errorf("%w: first fragment %d of sequence %d", ErrProtocol, left, seq)
	}
	if left == 1 {
		rest, err := r.cache.ReadHeader(b, &r.refs)
		if err != nil {
			return fmt.Errorf("%w: distribution header: %w", ErrProtocol, err)
		}
		r.decoder.SetAtomRefs(&r.refs)
		return r.message(rest, false)
	}
	if len(r.fragments) >= r.link.node.config.MaxFragments {
		return fmt.Errorf("%w: more than %d fragmented messages at one time", ErrProtocol, len(r.fragments))
	}
	a := &assembly{left: left - 1}
	rest, err := r.cache.ReadHeader(b, &a.refs)
	if err != nil {
		return fmt.Errorf("%w: distribution header: %w", ErrProtocol, err)
	}
	a.b, a.base = rest, r.base
	if r.base == nil {
		a.b = append([]byte(nil), rest...)
		a.base = a.b
	}
	r.assembled += len(rest)
	r.fragments[seq] = a
	r.buf.expectBulk()
	return r.withinLimit(a)
}

// nextFragment checks the fragment that is to be appended to an assembly.
func (r *receiver) nextFragment(seq, left uint64, n int) (*assembly, error) {
	a := r.fragments[seq]
	if a == nil || left != a.left {
		return nil, fmt.Errorf("%w: fragment %d of sequence %d", ErrProtocol, left, seq)
	}
	a.left--
	r.assembled += n
	if len(a.b)+n > r.max {
		return nil, fmt.Errorf("%w: fragments of more than %d bytes", ErrProtocol, r.max)
	}
	return a, r.withinLimit(a)
}

func (r *receiver) withinLimit(a *assembly) error {
	if r.assembled > 2*r.max {
		return fmt.Errorf("%w: fragments of %d bytes in all", ErrProtocol, r.assembled)
	}
	return nil
}

// finishFragment handles the message when its last fragment has been appended.
func (r *receiver) finishFragment(seq uint64, a *assembly) error {
	if a.left > 0 {
		return nil
	}
	delete(r.fragments, seq)
	r.buf.bulk = len(r.fragments) > 0
	r.assembled -= len(a.b)
	r.decoder.SetAtomRefs(&a.refs)
	r.decoder.CopyBinaries = false
	r.base = a.base
	err := r.message(a.b, false)
	r.base = nil
	return err
}

// message handles a control message and its payload. With plain set the payload has a version byte of its own.
func (r *receiver) message(b []byte, plain bool) error {
	m := control{link: r.link, decoder: r.decoder, plain: plain, base: r.base}
	if err := m.handle(b); err != nil {
		if errors.Is(err, etf.ErrRecord) {
			err = fmt.Errorf("%w (DFLAG_NATIVE_RECORDS was not offered)", err)
		}
		if !errors.Is(err, ErrProtocol) && !errors.Is(err, ErrMaxWatches) {
			err = fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		return err
	}
	return nil
}

// readError gives the reason of a link whose connection ended.
func readError(err error) error {
	if closedByPeer(err) {
		return ErrNodeDown
	}
	return fmt.Errorf("%w: %w", ErrNodeDown, err)
}
