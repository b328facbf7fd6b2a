package node

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// handshaker is what both sides of a handshake know. It is apart from the Node so that recorded flows can be replayed.
type handshaker struct {
	header    int // size of the length before a message
	self      Name
	flags     Flags
	creation  uint32
	cookie    func(peer Name) Cookie
	verify    func(peer Name) error // that the connection is the peer's
	challenge func() uint32
}

// handshakeResult is what a finished handshake tells about the peer.
type handshakeResult struct {
	peer     Name
	flags    Flags // what both sides can do, and the peer's PUBLISHED
	creation uint32
}

func (h *handshaker) result(peer Name, theirs Flags, creation uint32) handshakeResult {
	return handshakeResult{peer: peer, flags: h.flags&theirs&^FlagPublished | theirs&FlagPublished, creation: creation}
}

func (h *handshaker) recv(r io.Reader, msg interface{ parse([]byte) error }) error {
	b, err := readFrame(r, h.header)
	if err != nil {
		return err
	}
	return msg.parse(b)
}

func (h *handshaker) send(w io.Writer, msg interface{ append([]byte) []byte }) error {
	return writeFrame(w, h.header, msg.append(nil))
}

func randomChallenge() uint32 {
	var b [4]byte
	rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint32(b[:])
}

// sameDigest compares in constant time.
func sameDigest(a, b [md5.Size]byte) bool { return hmac.Equal(a[:], b[:]) }

// closedByPeer tells whether err says that the other side hung up, which is how a BEAM refuses a cookie.
func closedByPeer(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// guard bounds a handshake in time and ends it when ctx does. Call the returned function when it is over.
func guard(ctx context.Context, conn net.Conn, timeout time.Duration) (release func()) {
	conn.SetDeadline(time.Now().Add(timeout))
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	return func() {
		if stop() {
			conn.SetDeadline(time.Time{})
		}
	}
}
