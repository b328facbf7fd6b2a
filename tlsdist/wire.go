package tlsdist

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/socket"
)

// maxNow is how much WriteNow takes at once: enough for what gathers while a reply is made, little enough to be kept
// in memory when the socket is full.
const maxNow = 64 << 10

// maxRecord is the largest TLS record (RFC 8446, 5.1).
const maxRecord = 16 << 10

// buffers are what links write through, so that an idle one holds none.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, maxRecord+maxRecord/16); return &b }}

func releaseBuffer(b *[]byte) {
	if cap(*b) <= 2*maxNow {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// wire is the socket under a TLS connection. While it is corked, what TLS writes is kept, in order, for WriteNow.
type wire struct {
	net.Conn
	raw  syscall.RawConn // nil when it is not a socket
	sock *socket.Reader  // as well

	mu     sync.Mutex
	corked bool
	held   *[]byte // what buf is in; nil: none
	buf    []byte  // corked records; those that TLS sends by itself, as for a key update, queue up as well
	err    error   // of a drain
}

func newWire(conn net.Conn) *wire {
	w := &wire{Conn: conn, sock: socket.NewReader(conn)}
	if s, ok := conn.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			w.raw = raw
		}
	}
	return w
}

// Read is called by TLS, by one goroutine at a time.
func (w *wire) Read(b []byte) (int, error) {
	if w.sock == nil {
		return w.Conn.Read(b)
	}
	return w.sock.Read(b)
}

// Write is called by TLS, one record at a time.
func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	if w.err != nil {
		defer w.mu.Unlock()
		return 0, w.err
	}
	if w.corked {
		defer w.mu.Unlock()
		w.buf = append(w.buf, b...)
		return len(b), nil
	}
	w.mu.Unlock()
	return w.Conn.Write(b)
}

// SetWriteDeadline has no effect while the wire is corked: nothing waits then.
func (w *wire) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.corked {
		return nil
	}
	return w.Conn.SetWriteDeadline(t)
}

func (w *wire) cork() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.corked = true
	if w.held == nil {
		w.held = buffers.Get().(*[]byte)
		w.buf = *w.held
	}
}

// uncork opens the wire. w.mu is held, buf is empty.
func (w *wire) uncork() {
	w.corked = false
	if w.held != nil {
		*w.held = w.buf
		releaseBuffer(w.held)
	}
	w.held, w.buf = nil, nil
}

// flush writes what the socket takes at once. When that is all, the wire is open again.
func (w *wire) flush() (all bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.buf) > 0 {
		var n int
		outer := w.raw.Write(func(fd uintptr) bool {
			n, err = syscall.Write(int(fd), w.buf)
			return true // never wait
		})
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return false, nil
		case err == nil:
			err = outer
		}
		if err != nil {
			w.err = err
			return false, err
		}
		w.buf = append(w.buf[:0], w.buf[n:]...)
	}
	w.uncork()
	return true, nil
}

// drain writes the rest, however long that takes.
func (w *wire) drain() {
	for {
		w.mu.Lock()
		if len(w.buf) == 0 {
			w.uncork()
			w.mu.Unlock()
			return
		}
		b := w.buf
		w.held, w.buf = nil, nil
		w.mu.Unlock()
		if _, err := w.Conn.Write(b); err != nil {
			w.mu.Lock()
			w.err = err
			w.uncork()
			w.mu.Unlock()
			return
		}
	}
}
