// Package socket reads TCP sockets that are either idle or busy for long.
package socket

import (
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lookFor is how long a reader looks for more, lookEvery how often: it takes a few microseconds to answer, less than
	// to put a thread to sleep and to wake it.
	lookFor   = 30 * time.Microsecond
	lookEvery = 6 * time.Microsecond
	// soon is how long a sleep may have been for a look to have been worth it; waking up is a part of it.
	soon = 100 * time.Microsecond
	// muteBytes is what must have come for the kernel to wake anybody while a reader looks.
	muteBytes = 16 << 10

	// wideBytes is what the kernel may keep of a socket that large messages come over; net.ipv4.tcp_rmem bounds it.
	wideBytes = 8 << 20

	vainLooks  = 4   // so many in a row, and the reader goes back to sleeping
	leastSoons = 4   // so many short sleeps in a row, and it looks again; doubled when that was in vain
	mostSoons  = 256 // a steady stream of a message every 50 µs costs less than half a percent then
)

// looking tells that a reader looks: one at a time, so that the others' goroutines have the processors.
var looking atomic.Bool

// Reader reads a TCP socket. A goroutine that waits for a socket is woken through epoll, which costs the sender, in whose
// time it is done, more than the sending does. So where data have been coming in short order a Reader does not go to
// sleep at once: it tells the kernel to wake nobody (SO_RCVLOWAT), yields the processor, and looks again a few times.
// With nothing to read it sleeps as any other.
//
// One goroutine at a time may read.
type Reader struct {
	raw     syscall.RawConn
	attempt func(fd uintptr) bool // r.try, made once

	space    Space // where to; nil: one, and then two
	one, two []byte
	n        int
	err      error

	looked bool      // in this read
	parked time.Time // when this read went to sleep; zero: it did not
	muted  bool      // SO_RCVLOWAT is muteBytes
	wide   bool      // Widen was called
	trust  int       // looks that may still be in vain
	soons  int       // short sleeps in a row
	need   int       // so many, and the reader looks
}

// Space is where ReadInto reads to.
type Space interface {
	Space() []byte // asked before each try; not empty
	Rest()         // called before the goroutine sleeps; what Space gave is not used any more
}

// NewReader gives nil for connections that are no TCP sockets.
func NewReader(conn net.Conn) *Reader {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	r := &Reader{raw: raw, need: leastSoons}
	r.attempt = r.try
	return r
}

// Read reads as the connection does: io.EOF when the peer has closed.
func (r *Reader) Read(b []byte) (int, error) { return r.ReadTwo(b, nil) }

// ReadTwo fills a first and then b.
func (r *Reader) ReadTwo(a, b []byte) (int, error) {
	if len(a)+len(b) == 0 {
		return 0, nil
	}
	r.space, r.one, r.two = nil, a, b
	return r.do()
}

// ReadInto is Read for who keeps no buffer while there is nothing to read.
func (r *Reader) ReadInto(s Space) (int, error) {
	r.space, r.one, r.two = s, nil, nil
	return r.do()
}

func (r *Reader) do() (int, error) {
	r.n, r.err = 0, nil
	r.looked, r.parked = false, time.Time{}
	outer := r.raw.Read(r.attempt)
	r.one, r.two = nil, nil
	switch {
	case outer != nil:
		return 0, outer
	case r.err != nil:
		return 0, r.err
	case r.n <= 0:
		return 0, io.EOF
	}
	return r.n, nil
}

// try reads what is there. False has the goroutine sleep until there is something.
func (r *Reader) try(fd uintptr) bool {
	if r.read(fd) {
		r.woke()
		return true
	}
	if !r.looked {
		r.looked = true
		if r.look(fd) {
			return true
		}
	}
	if r.muted {
		r.mute(fd, 1)
		if r.read(fd) { // it came before
			return true
		}
	}
	if r.space != nil {
		r.space.Rest()
	}
	r.parked = time.Now()
	return false
}

// read is false when there is nothing to read.
func (r *Reader) read(fd uintptr) bool {
	if r.space != nil {
		r.one = r.space.Space()
	}
	for {
		if len(r.two) == 0 {
			r.n, r.err = unix.Read(int(fd), r.one)
		} else {
			r.n, r.err = unix.Readv(int(fd), [][]byte{r.one, r.two})
		}
		if !errors.Is(r.err, unix.EINTR) {
			return !errors.Is(r.err, unix.EAGAIN)
		}
	}
}

// look reads again and again for a while, if that is promising.
func (r *Reader) look(fd uintptr) bool {
	if r.trust == 0 || !looking.CompareAndSwap(false, true) {
		return false
	}
	defer looking.Store(false)
	if !r.muted {
		r.mute(fd, muteBytes)
	}
	for began := time.Now(); ; {
		runtime.Gosched() // whoever handles what was read
		yield()
		if r.read(fd) {
			r.trust, r.need = vainLooks, leastSoons
			return true
		}
		now := time.Now()
		if now.Sub(began) > lookFor {
			break
		}
		for time.Since(now) < lookEvery { // reading more often would hold up the sender, whose lock it takes
		}
	}
	if r.trust--; r.trust == 0 {
		r.soons, r.need = 0, min(2*r.need, mostSoons)
	}
	return false
}

// woke learns from how long the reader slept.
func (r *Reader) woke() {
	switch {
	case r.parked.IsZero() || r.trust > 0:
	case time.Since(r.parked) > soon:
		r.soons = 0
	default:
		if r.soons++; r.soons >= r.need {
			r.soons, r.trust = 0, vainLooks
		}
	}
}

// mute sets how many bytes must have come before the kernel wakes anybody. Where it cannot, all is as without.
func (r *Reader) mute(fd uintptr, n int) {
	r.muted = n > 1
	unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, n)
}

// Widen prepares for large messages. A reader that takes everything at once makes the kernel believe that a small buffer
// will do, and the sender stops whenever that is full. SO_RCVLOWAT widens the buffer and leaves it so; SO_RCVBUF would
// end the kernel's own tuning.
func (r *Reader) Widen() {
	if r.wide {
		return
	}
	r.wide = true
	r.raw.Control(func(fd uintptr) { // fails when closed, which the next read tells
		r.mute(fd, wideBytes)
		r.mute(fd, 1)
	})
}
