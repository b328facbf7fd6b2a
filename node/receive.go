package node

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

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
	buf       *bufio.Reader
	max       int // bytes of a message
	decoder   *etf.Decoder
	cache     etf.AtomCacheIn
	refs      etf.AtomRefs
	fragments map[uint64]*assembly
	assembled int // bytes in fragments
	batch     bool
}

// assembly is a message of which fragments are still to come.
type assembly struct {
	left uint64 // fragments
	refs etf.AtomRefs
	b    []byte // control message and payload so far
}

func (r *receiver) init(l *link) {
	r.link = l
	r.buf = bufio.NewReaderSize(l.conn, readBufferBytes)
	r.max = l.node.config.MaxMessageBytes
	r.decoder = etf.NewDecoder(etf.Limits{MaxBytes: r.max})
	r.fragments = map[uint64]*assembly{}
}

// loop reads until the connection ends or a message is malformed.
func (r *receiver) loop() error {
	for {
		head, err := r.buf.Peek(4)
		if err != nil {
			return readError(err)
		}
		n := int(binary.BigEndian.Uint32(head))
		if n > r.max {
			return fmt.Errorf("%w: %d bytes", ErrProtocol, n)
		}
		if n == 0 { // a tick; it is not answered
			r.buf.Discard(4) // cannot fail: it was peeked
			r.link.bytesIn.Add(4)
			continue
		}
		if !r.batch && r.buf.Buffered() > 4 {
			r.batch = true
			r.link.out.beginBatch()
		}
		if n+4 <= readBufferBytes {
			err = r.small(n)
		} else {
			r.buf.Discard(4)
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

// wholeFrameBuffered tells whether the next frame can be handled without reading.
func (r *receiver) wholeFrameBuffered() bool {
	if r.buf.Buffered() < 4 {
		return false
	}
	head, _ := r.buf.Peek(4) // buffered
	n := int(binary.BigEndian.Uint32(head))
	return r.buf.Buffered() >= n+4
}

// small handles a frame where it is in the read buffer.
func (r *receiver) small(n int) error {
	b, err := r.buf.Peek(n + 4)
	if err != nil {
		return readError(err)
	}
	err = r.frame(b[4:], false)
	r.buf.Discard(n + 4) // cannot fail: it was peeked
	return err
}

// large reads a frame that the read buffer cannot hold. A fragment goes straight into its assembly.
func (r *receiver) large(n int) error {
	head, err := r.buf.Peek(fragmentHeader)
	if err != nil {
		return readError(err)
	}
	if head[0] == versionMagic && head[1] == tagFragment {
		seq, left := binary.BigEndian.Uint64(head[2:]), binary.BigEndian.Uint64(head[10:])
		r.buf.Discard(fragmentHeader) // cannot fail: it was peeked
		a, err := r.nextFragment(seq, left, n-fragmentHeader)
		if err != nil {
			return err
		}
		if a.b, err = readInto(r.buf, a.b, n-fragmentHeader); err != nil {
			return readError(err)
		}
		return r.finishFragment(seq, a)
	}
	b, err := readInto(r.buf, nil, n)
	if err != nil {
		return readError(err)
	}
	return r.frame(b, true)
}

// readInto appends n bytes to b, growing it as they come.
func readInto(src io.Reader, b []byte, n int) ([]byte, error) {
	for n > 0 {
		step := min(n, readStep)
		at := len(b)
		if cap(b)-at < step {
			grown := make([]byte, at, max(2*cap(b), at+step))
			copy(grown, b)
			b = grown
		}
		b = b[:at+step]
		if _, err := io.ReadFull(src, b[at:]); err != nil {
			return nil, err
		}
		n -= step
	}
	return b, nil
}

// frame handles one frame. own says that b is not used again.
func (r *receiver) frame(b []byte, own bool) error {
	r.decoder.CopyBinaries = !own
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
		return r.firstFragment(seq, left, b[fragmentHeader:], own)
	case tagFragment:
		a, err := r.nextFragment(seq, left, len(b)-fragmentHeader)
		if err != nil {
			return err
		}
		a.b = append(a.b, b[fragmentHeader:]...)
		return r.finishFragment(seq, a)
	}
	return fmt.Errorf("%w: distribution header %d", ErrProtocol, b[1])
}

// firstFragment begins an assembly. Its atom cache references are read at once, for later headers may change the cache.
func (r *receiver) firstFragment(seq, left uint64, b []byte, own bool) error {
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
	// Fragments of one message are of one size, but the count is the peer's word: reserve little of it.
	guess := min(left*uint64(len(rest)), readStep+uint64(len(rest)))
	a.b = append(make([]byte, 0, guess), rest...)
	r.assembled += len(rest)
	r.fragments[seq] = a
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
	r.assembled -= len(a.b)
	r.decoder.SetAtomRefs(&a.refs)
	r.decoder.CopyBinaries = false
	return r.message(a.b, false)
}

// message handles a control message and its payload. With plain set the payload has a version byte of its own.
func (r *receiver) message(b []byte, plain bool) error {
	m := control{link: r.link, decoder: r.decoder, plain: plain}
	if err := m.handle(b); err != nil {
		if !errors.Is(err, ErrProtocol) {
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
