package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
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
	})
}

// FuzzHandshake: whatever the other side says, each side of a handshake ends, without a panic; and only one that knows
// the cookie gets to the end.
func FuzzHandshake(f *testing.F) {
	for _, file := range flowFiles(f, "handshake") {
		var in []byte
		flow := readFlow(f, file)
		for _, s := range flow.steps {
			if s.kind == '<' {
				in = append(in, s.data...)
			}
		}
		f.Add(flow.fields["side"] == "connect", flow.fields["status"], in)
	}
	f.Fuzz(func(t *testing.T, connect bool, status string, in []byte) {
		rw := struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(in), io.Discard}
		h := &handshaker{
			header: 2, self: Name{Alive: "keeper", Host: "localhost"}, flags: flagsOurs, creation: flowCreation,
			cookie: func(Name) Cookie { return flowCookie }, verify: func(Name) error { return nil },
			challenge: func() uint32 { return flowChallenge },
		}
		var res handshakeResult
		var err error
		if connect {
			res, err = h.connect(rw, Name{Alive: "beam", Host: "localhost"}, func() bool { return len(in)%2 == 0 })
		} else {
			res, err = h.accept(rw, func(peer Name, flags Flags) verdict {
				if flags.Has(FlagNameMe) {
					name := Name{Alive: "given", Host: peer.Host}
					if !name.valid() { // as nameHim
						return verdict{status: statusNotAllowed, err: ErrNotAllowed}
					}
					return verdict{status: statusNamed, name: name, creation: 77}
				}
				switch status {
				case statusAlive, statusOKSimultaneous:
					return verdict{status: status}
				case statusNok:
					return verdict{status: status, err: ErrDuplicate}
				}
				return verdict{status: statusOK}
			})
		}
		var he *HandshakeError
		switch {
		case err != nil && !errors.As(err, &he):
			t.Errorf("%v is not a *HandshakeError", err)
		case err != nil:
		case !res.peer.valid():
			t.Errorf("a link with %q", res.peer.String())
		default:
			digest := Cookie(flowCookie).digest(flowChallenge)
			if !bytes.Contains(in, digest[:]) {
				t.Error("a link with somebody who does not know the cookie")
			}
		}
	})
}

// FuzzEPMDClient: whatever a port mapper answers, the client takes it or fails, and keeps no more than it was sent.
func FuzzEPMDClient(f *testing.F) {
	for _, file := range flowFiles(f, "epmd") {
		for _, s := range readFlow(f, file).steps {
			f.Add(s.data)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := readPort2Resp(bytes.NewReader(b)); err == nil && (n.Port > math.MaxUint16 || len(n.Alive) > len(b)) {
			t.Errorf("%x gives %+v", b, n)
		}
		readAlive2Resp(bytes.NewReader(b))
		if nodes, err := readNamesResp(bytes.NewReader(b)); err == nil && len(nodes) > len(b)/10 {
			t.Errorf("%x gives %d nodes", b, len(nodes))
		}
	})
}

// FuzzControl: whatever a control message says, its handling ends, and the reason of a refusal is that of a malformed
// message. The links and monitors that it made are gone with the link.
func FuzzControl(f *testing.F) {
	n, err := newNode(Config{Name: Name{Alive: "keeper", Host: "localhost"}, Cookie: flowCookie, Listen: listenNone}, flowCreation, [12]byte{})
	if err != nil {
		f.Fatal(err)
	}
	box := n.Spawn(ReceiverFunc(func(*Process, Signal) {}))
	box.Register("box")
	f.Cleanup(func() { n.Close() })
	pid, ref := beamPid, etf.Ref{Node: "beam@localhost", Creation: 7, Len: 3, ID: [5]uint32{1, 2, 3}}
	for op, arity := range arities {
		ctl := etf.Tuple{op}
		for _, t := range []etf.Term{pid, box.pid, ref, etf.Atom("box"), etf.Tuple{etf.Atom("m"), etf.Atom("f"), 1}, etf.List{}, 5}[:max(arity-1, 0)] {
			ctl = append(ctl, t)
		}
		f.Add(controlOf(ctl)[3:])
		f.Add(controlOf(ctl, etf.List{1})[3:])
	}
	for _, b := range [][]byte{
		controlOf(etf.Tuple{opRegSend, pid, etf.Atom(""), etf.Atom("box")}, etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{pid, ref}, 1}),
		controlOf(etf.Tuple{opMonitorP, pid, etf.Atom("box"), ref}), controlOf(etf.Tuple{opMonitorP, pid, box.pid, ref}),
		controlOf(etf.Tuple{opDemonitorP, pid, etf.Atom("box"), ref}), controlOf(etf.Tuple{opLink, pid, box.pid}),
		controlOf(etf.Tuple{opUnlinkID, 1 << 40, pid, box.pid}), controlOf(etf.Tuple{opUnlinkIDAck, 3, pid, box.pid}),
		controlOf(etf.Tuple{opPayloadExit2, pid, box.pid}, etf.Atom("kill")), controlOf(etf.Tuple{opExit, pid, box.pid, etf.Atom("x")}),
		controlOf(etf.Tuple{opSpawnRequest, ref, pid, pid, etf.Tuple{etf.Atom("m"), etf.Atom("f"), 1}, etf.List{etf.Atom("monitor")}}, etf.List{1}),
		controlOf(etf.Tuple{opSpawnReply, ref, box.pid, 1, pid}), controlOf(etf.Tuple{opAltactSig, 1 << 40, pid, box.pid}, etf.Atom("x")),
	} {
		f.Add(b[3:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l := n.newLink(&bytesConn{r: bytes.NewReader(nil)}, handshakeResult{peer: Name{Alive: "beam", Host: "localhost"}, flags: flagsOurs}, true)
		err := l.in.message(b, len(b)%2 == 0)
		if err != nil && !errors.Is(err, ErrProtocol) {
			t.Errorf("%x: %v", b, err)
		}
		if got := box.heldBy(l); got > 1 {
			t.Errorf("%d links and monitors of one message", got)
		}
		l.fail(ErrClosed)
		for _, p := range n.procs.all() {
			p.linkLost(l)
		}
		if got := box.heldBy(l); got != 0 {
			t.Errorf("%d links and monitors are left", got)
		}
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
