package node

import (
	"encoding/binary"
	"fmt"
	"io"
)

// maxHandshakeFrame bounds a message before the peer is known: the longest is a name message of some 270 bytes.
const maxHandshakeFrame = 1024

// readFrame reads one handshake message whose length takes header (2 or 4) bytes.
func readFrame(r io.Reader, header int) ([]byte, error) {
	var h [4]byte
	if _, err := io.ReadFull(r, h[4-header:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(h[:])
	if n > maxHandshakeFrame {
		return nil, fmt.Errorf("%w: %d bytes", ErrHandshake, n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	return b, nil
}

// writeFrame writes one handshake message in one write.
func writeFrame(w io.Writer, header int, msg []byte) error {
	if len(msg) > maxHandshakeFrame {
		return fmt.Errorf("%w: %d bytes", ErrHandshake, len(msg))
	}
	b := make([]byte, 4, 4+len(msg))
	binary.BigEndian.PutUint32(b, uint32(len(msg)))
	_, err := w.Write(append(b, msg...)[4-header:])
	return err
}
