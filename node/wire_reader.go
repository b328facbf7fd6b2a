package node

import (
	"errors"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	readBufferBytes = 64 << 10
	// readAhead is how much is read into the buffer behind a body that goes elsewhere: the next frame's head, not so
	// much of its body that copying it would cost.
	readAhead = 4 << 10
)

// wireReader buffers a connection. Frames that fit are handled in its buffer; bodies of large ones go from the socket to
// where they belong.
type wireReader struct {
	conn net.Conn
	raw  syscall.RawConn // nil for connections that are more than a socket
	buf  []byte
	r, w int  // buf[r:w] has been read and not used
	bulk bool // more of a large message is expected: read little ahead
}

func newWireReader(conn net.Conn) *wireReader {
	w := &wireReader{conn: conn, buf: make([]byte, readBufferBytes)}
	if tcp, ok := conn.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			w.raw = raw
		}
	}
	return w
}

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
		end := len(w.buf)
		if w.bulk {
			end = min(end, max(w.w+readAhead, w.r+n))
		}
		got, err := w.conn.Read(w.buf[w.w:end])
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
	if w.raw == nil {
		n, err := w.conn.Read(dst)
		if n > 0 {
			err = nil
		}
		return n, err
	}
	var n int
	var err error
	vectors := [][]byte{dst, w.buf[:readAhead]}
	outer := w.raw.Read(func(fd uintptr) bool {
		for {
			n, err = unix.Readv(int(fd), vectors)
			if !errors.Is(err, unix.EINTR) {
				return !errors.Is(err, unix.EAGAIN)
			}
		}
	})
	switch {
	case outer != nil:
		return 0, outer
	case err != nil:
		return 0, err
	case n <= 0:
		return 0, io.ErrUnexpectedEOF
	}
	if n > len(dst) {
		w.r, w.w = 0, n-len(dst)
		n = len(dst)
	}
	return n, nil
}
