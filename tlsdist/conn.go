package tlsdist

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"

	"github.com/beamkeeper/beamkeeper/node"
)

// Conn is a TLS connection whose errors say what is wrong. Any goroutine may call its methods.
type Conn struct {
	*tls.Conn
	wire *wire
	peer node.Name // whom we dialed

	up      atomic.Bool // the handshake is over
	writing sync.Mutex  // held by Write, WriteNow, and until the wire is drained
	drains  sync.WaitGroup
}

// Read reads, after the handshake. Errors: *PeerError when the peer is or was refused by either side.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.up.Load() {
		c.up.Store(true)
	}
	return n, c.explain(err)
}

// Write writes, after the handshake. Errors as Read's.
func (c *Conn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	n, err := c.Conn.Write(b)
	return n, c.explain(err)
}

// WriteNow writes as much as it can without waiting, and returns how much that is: none while somebody else writes, or
// what was taken before has not left yet. What it takes is sent, in its own time, with no further call. Errors as
// Write's.
func (c *Conn) WriteNow(b net.Buffers) (int, error) {
	if c.wire.raw == nil || !c.up.Load() || !c.writing.TryLock() {
		return 0, nil
	}
	c.wire.cork()
	n, err := c.encrypt(b)
	all, flushed := c.wire.flush()
	if err == nil {
		err = flushed
	}
	if all || err != nil {
		c.writing.Unlock()
		return n, c.explain(err)
	}
	c.drains.Go(func() {
		defer c.writing.Unlock()
		c.wire.drain()
	})
	return n, nil
}

// encrypt writes up to maxNow bytes in few records.
func (c *Conn) encrypt(b net.Buffers) (n int, err error) {
	var scratch *[]byte
	for len(b) > 0 && n < maxNow {
		part := b[0]
		if len(part) < maxRecord && len(b) > 1 { // small ones share a record
			if scratch == nil {
				scratch = buffers.Get().(*[]byte)
				defer releaseBuffer(scratch)
			}
			part = (*scratch)[:0]
			for len(b) > 0 && len(part)+len(b[0]) <= maxRecord {
				part = append(part, b[0]...)
				b = b[1:]
			}
			*scratch = part
		} else {
			b = b[1:]
		}
		if len(part) > maxNow-n {
			part = part[:maxNow-n]
			b = nil
		}
		k, err := c.Conn.Write(part)
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Close closes the connection, whatever is under way. It says goodbye to the peer, but waits for nobody.
func (c *Conn) Close() error {
	if c.writing.TryLock() {
		if c.wire.raw != nil && c.up.Load() {
			c.wire.cork()
			c.CloseWrite() // the socket may be full or broken; it is about to be closed
			c.wire.flush()
		}
		c.writing.Unlock()
	}
	err := c.wire.Conn.Close() // whoever waits for the socket ends
	c.Conn.Close()             // it is closed; this marks it so
	c.drains.Wait()
	return err
}
