package node

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
)

// A peer that is no node at all: a socket on which the handshake was done and whose bytes the test makes.

// dialPeer shakes hands with the node at addr as name.
func dialPeer(tb testing.TB, addr string, name Name, cookie Cookie) net.Conn {
	tb.Helper()
	conn, err := tryPeer(addr, name, cookie)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return conn
}

func tryPeer(addr string, name Name, cookie Cookie) (net.Conn, error) {
	return tryPeerFlags(addr, name, cookie, flagsOurs)
}

func tryPeerFlags(addr string, name Name, cookie Cookie, flags Flags) (net.Conn, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	h := &handshaker{
		header: 2, self: name, flags: flags, creation: 7,
		cookie:    func(Name) Cookie { return cookie },
		verify:    func(Name) error { return nil },
		challenge: randomChallenge,
	}
	if _, err := h.connect(conn, Name{Alive: "keeper", Host: "localhost"}, func() bool { return true }); err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return conn, nil
}

// peerPid is a pid of a peer.
func peerPid(node etf.Atom, id uint32) etf.Pid { return etf.Pid{Node: node, ID: id, Creation: 7} }

// controlOf encodes a control message and its payloads, as they go behind a distribution header.
func controlOf(ctl etf.Tuple, payload ...etf.Term) []byte {
	b, err := tryControlOf(ctl, payload...)
	if err != nil {
		panic(err)
	}
	return b
}

func tryControlOf(ctl etf.Tuple, payload ...etf.Term) ([]byte, error) {
	b, err := etf.AppendTerm([]byte{versionMagic, tagDistHeader, 0}, ctl)
	for _, t := range payload {
		if err == nil {
			b, err = etf.AppendTerm(b, t)
		}
	}
	return b, err
}

// regSend is a message to a registered name.
func regSend(from etf.Pid, name etf.Atom, msg etf.Term) []byte {
	return controlOf(etf.Tuple{opRegSend, from, etf.Atom(""), name}, msg)
}

// frameOf puts the length before a frame.
func frameOf(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// readControl reads one frame, not a tick, and gives the control message and the payload, nil if there is none.
// Fragments are not put together.
func readControl(conn net.Conn) (ctl etf.Tuple, payload etf.Term, err error) {
	for {
		var head [4]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return nil, nil, err
		}
		b := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(conn, b); err != nil {
			return nil, nil, err
		}
		if len(b) == 0 {
			continue
		}
		if len(b) < 3 || b[0] != versionMagic || b[1] != tagDistHeader || b[2] != 0 {
			return nil, nil, fmt.Errorf("frame %x", b[:min(len(b), 32)])
		}
		d := etf.NewDecoder(etf.Limits{})
		t, rest, err := d.DecodeTerm(b[3:])
		if err != nil {
			return nil, nil, err
		}
		if len(rest) > 0 {
			if payload, rest, err = d.DecodeTerm(rest); err != nil || len(rest) > 0 {
				return nil, nil, fmt.Errorf("payload of %x: %w", b, err)
			}
		}
		ctl, ok := t.(etf.Tuple)
		if !ok {
			return nil, nil, fmt.Errorf("control message %s", etf.Format(t))
		}
		return ctl, payload, nil
	}
}

// friend is a peer that behaves, and calls the process echo of the node.
type friend struct {
	conn  net.Conn
	pid   etf.Pid
	calls uint32
}

func newFriend(tb testing.TB, n *Node, name string) *friend {
	tb.Helper()
	conn := dialPeer(tb, peerAddr(n), Name{Alive: name, Host: "localhost"}, n.config.Cookie)
	return &friend{conn: conn, pid: peerPid(etf.Atom(name+"@localhost"), 1)}
}

func peerAddr(n *Node) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.Port())) }

// call has calls under way and checks that the answers come, in order.
func (f *friend) call(tb testing.TB, calls int) {
	tb.Helper()
	f.conn.SetDeadline(time.Now().Add(60 * time.Second))
	first := f.calls
	var b []byte
	for range calls {
		f.calls++
		tag := etf.Ref{Node: f.pid.Node, Creation: 7, Len: 3, ID: [5]uint32{f.calls}}
		b = append(b, frameOf(regSend(f.pid, "echo", etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{f.pid, tag}, int64(f.calls)}))...)
	}
	if _, err := f.conn.Write(b); err != nil {
		tb.Fatalf("the friend's link: %v", err)
	}
	for i := first + 1; i <= f.calls; i++ {
		_, payload, err := readControl(f.conn)
		if err != nil {
			tb.Fatalf("the friend's answer %d: %v", i, err)
		}
		reply, ok := payload.(etf.Tuple)
		if !ok || len(reply) != 2 || reply[1] != etf.Term(int64(i)) {
			tb.Fatalf("the friend's answer %d is %s", i, etf.Format(payload))
		}
	}
}

// hostNode is a node that peers connect to. It has the processes echo, which answers calls, and sink, which takes everything
// and keeps nothing, and the function m:wait/_, which returns when it is told to or its caller is gone.
func hostNode(tb testing.TB, change func(*Config)) (n *Node, release func()) {
	tb.Helper()
	c := Config{Name: Name{Alive: "keeper", Host: "localhost"}, Cookie: flowCookie, NoEPMD: true, NetTickTime: time.Hour}
	if change != nil {
		change(&c)
	}
	n, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	for name, f := range map[etf.Atom]ReceiverFunc{
		"echo": func(p *Process, s Signal) {
			if m, ok := s.(Message); ok {
				if call, ok := ParseGenCall(m.Term); ok {
					p.reply(context.Background(), call, call.Request, false)
				}
			}
		},
		"sink": func(*Process, Signal) {},
	} {
		if err := n.Spawn(f).Register(name); err != nil {
			tb.Fatal(err)
		}
	}
	goOn := make(chan struct{})
	n.HandleFunc("m", "wait", AnyArity, func(ctx context.Context, _ CallInfo, _ []etf.Term) (etf.Term, error) {
		select {
		case <-goOn:
		case <-ctx.Done():
		}
		return atomOK, nil
	})
	if err := n.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { n.Close() })
	return n, sync.OnceFunc(func() { close(goOn) })
}

// spawnRequestOf is a SPAWN_REQUEST of mod:fun(args...), monitored.
func spawnRequestOf(from etf.Pid, id uint32, mod, fun etf.Atom, args ...etf.Term) []byte {
	ref := etf.Ref{Node: from.Node, Creation: 7, Len: 3, ID: [5]uint32{id}}
	return frameOf(controlOf(etf.Tuple{opSpawnRequest, ref, from, from, etf.Tuple{mod, fun, len(args)}, etf.List{etf.Atom("monitor")}}, etf.List(args)))
}
