package node

import (
	"io"
	"net"
	"sync"

	"github.com/beamkeeper/beamkeeper/internal/socket"
)

const (
	readBufferBytes = 64 << 10
	// readAhead is how much is read into the buffer behind a body that goes elsewhere: the next frame's head, not so
	// much of its body that copying it would cost.
	readAhead = 4 << 10
	// restBufferBytes is the buffer of an idle connection of TLS: room for ticks.
	restBufferBytes = 256
)

// wireReader buffers a connection. Frames that fit are handled in its buffer; bodies of large ones go from the socket to
// where they belong. It has no buffer while it waits on a socket with nothing in hand, so that links which are only
// there cost little; other connections get a small one when they are idle.
type wireReader struct {
	conn net.Conn
	sock *socket.Reader // of conn; nil for connections that are more than a socket
	buf  []byte         // of the pool when it has readBufferBytes
	r, w int            // buf[r:w] has been read and not used
	bulk bool           // more of a large message is expected: read little ahead
	need int            // bytes at least that buf is to hold after a read from sock
}

// readBuffers are shared by all links.
var readBuffers = sync.Pool{New: func() any { return new([readBufferBytes]byte) }}

func newWireReader(conn net.Conn) *wireReader {
	return &wireReader{conn: conn, sock: socket.NewReader(conn)}
}

// grow sees to a whole buffer.
func (w *wireReader) grow() {
	if len(w.buf) == readBufferBytes {
		return
	}
	big := readBuffers.Get().(*[readBufferBytes]byte)
	copy(big[:], w.buf[w.r:w.w])
	w.buf, w.r, w.w = big[:], 0, w.w-w.r
}

// shrink gives the buffer up when it is empty.
func (w *wireReader) shrink() {
	if w.r < w.w {
		return
	}
	w.r, w.w = 0, 0
	if len(w.buf) == readBufferBytes {
		readBuffers.Put((*[readBufferBytes]byte)(w.buf))
	}
	w.buf = nil
}

// rest is shrink for a connection that has been idle and will be.
func (w *wireReader) rest() {
	if w.shrink(); w.buf == nil && w.sock == nil {
		w.buf = make([]byte, restBufferBytes)
	}
}

// expectBulk is told that more of a large message is to come.
func (w *wireReader) expectBulk() {
	w.bulk = true
	if w.sock != nil {
		w.sock.Widen()
	}
}

// room is the end of what may be read into when n bytes are needed at least.
func (w *wireReader) room(n int) int {
	end := len(w.buf)
	if w.bulk {
		end = min(end, max(w.w+readAhead, w.r+n))
	}
	return end
}

// fill reads once, behind what is there.
func (w *wireReader) fill(n int) (int, error) {
	if w.sock == nil {
		if len(w.buf) < w.r+n || w.w == len(w.buf) {
			w.grow()
		}
		return w.conn.Read(w.buf[w.w:w.room(n)])
	}
	w.need = n
	return w.sock.ReadInto((*wireSpace)(w))
}

// wireSpace is the buffer of a wireReader to its socket.
type wireSpace wireReader

// Space is asked for before each read.
func (s *wireSpace) Space() []byte {
	w := (*wireReader)(s)
	w.grow()
	return w.buf[w.w:w.room(w.need)]
}

// Rest is called when there is nothing to read.
func (s *wireSpace) Rest() { (*wireReader)(s).shrink() }

// buffered is the number of bytes that can be used without reading.
func (w *wireReader) buffered() int { return w.w - w.r }

// peek gives the next n bytes, at most readBufferBytes, which stay valid until the next read.
func (w *wireReader) peek(n int) ([]byte, error) {
	for w.buffered() < n {
		if w.r == w.w {
			w.r, w.w = 0, 0
		} else if w.r+n > len(w.buf) {
			copy(w.buf, w.buf[w.r:w.w])
			w.r, w.w = 0, w.w-w.r
		}
		got, err := w.fill(n)
		w.w += got
		if err != nil && w.buffered() < n {
			if err == io.EOF && w.buffered() > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return w.buf[w.r : w.r+n], nil
}

// discard uses up n bytes that were peeked.
func (w *wireReader) discard(n int) { w.r += n }

// readFull fills dst.
func (w *wireReader) readFull(dst []byte) error {
	n := copy(dst, w.buf[w.r:w.w])
	w.r += n
	for dst = dst[n:]; len(dst) > 0; dst = dst[n:] {
		var err error
		if n, err = w.readPast(dst); err != nil {
			return err
		}
	}
	return nil
}

// readPast reads into dst and, when that is full, some more into the buffer, which is empty.
func (w *wireReader) readPast(dst []byte) (int, error) {
	if w.sock == nil {
		n, err := w.conn.Read(dst)
		if n > 0 {
			err = nil
		}
		return n, err
	}
	n, err := w.sock.ReadTwo(dst, w.buf[:readAhead])
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if n > len(dst) {
		w.r, w.w = 0, n-len(dst)
		n = len(dst)
	}
	return n, err
}
