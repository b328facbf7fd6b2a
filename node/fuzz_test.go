package node

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// message is a handshake message.
type handshakeMessage interface {
	parse([]byte) error
	append([]byte) []byte
}

// FuzzHandshakeMessage: no panic, and what is parsed is written back as it was, up to bytes that are to be ignored.
func FuzzHandshakeMessage(f *testing.F) {
	for _, file := range flowFiles(f, "handshake") {
		for _, s := range readFlow(f, file).steps {
			for b := s.data; len(b) > 2; {
				n := 2 + int(binary.BigEndian.Uint16(b))
				if n > len(b) {
					break
				}
				f.Add(b[2:n])
				b = b[n:]
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, m := range []handshakeMessage{&nameMsg{}, &statusMsg{}, &challengeMsg{}, &replyMsg{}, &ackMsg{}} {
			if m.parse(b) == nil {
				if got := m.append(nil); !bytes.HasPrefix(b, got) {
					t.Errorf("%T: %x parsed and written back as %x", m, b, got)
				}
			}
		}
		reader := bytes.NewReader(b)
		readPort2Resp(reader)
		readAlive2Resp(bytes.NewReader(b))
		readNamesResp(bytes.NewReader(b))
	})
}

// FuzzDistHeader: whatever a peer sends after the handshake, the reader neither panics nor waits, and asks for no
// more memory than has been sent, within reason.
func FuzzDistHeader(f *testing.F) {
	for _, file := range flowFiles(f, "flows") {
		flow := readFlow(f, file)
		var all []byte
		for _, s := range flow.steps {
			if s.kind == '<' && len(s.data) < 4096 {
				f.Add(s.data)
				all = append(all, s.data...)
			}
		}
		f.Add(all)
	}
	f.Add([]byte{0, 0, 0, 26, 131, 69, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 104, 3, 97, 22, 106, 106, 106})
	n, err := newNode(Config{Name: Name{Alive: "keeper", Host: "localhost"}, Cookie: flowCookie, Listen: listenNone}, flowCreation, [12]byte{})
	if err != nil {
		f.Fatal(err)
	}
	box := n.Spawn(&Mailbox{})
	box.Register("box")
	f.Cleanup(func() { n.Close() })
	f.Fuzz(func(t *testing.T, b []byte) {
		l := n.newLink(&bytesConn{r: bytes.NewReader(b)}, handshakeResult{peer: Name{Alive: "beam", Host: "localhost"}, flags: flagsOurs}, true)
		if err := l.in.loop(); err == nil {
			t.Error("the loop ended without a reason")
		}
		l.fail(ErrClosed)
		for _, p := range n.procs.all() {
			p.linkLost(l)
		}
	})
}

// bytesConn is a connection that bytes come out of and that swallows what is written.
type bytesConn struct {
	r io.Reader
}

func (c *bytesConn) Read(b []byte) (int, error)       { return c.r.Read(b) }
func (c *bytesConn) Write(b []byte) (int, error)      { return len(b), nil }
func (c *bytesConn) Close() error                     { return nil }
func (c *bytesConn) LocalAddr() net.Addr              { return nil }
func (c *bytesConn) RemoteAddr() net.Addr             { return nil }
func (c *bytesConn) SetDeadline(time.Time) error      { return nil }
func (c *bytesConn) SetReadDeadline(time.Time) error  { return nil }
func (c *bytesConn) SetWriteDeadline(time.Time) error { return nil }
