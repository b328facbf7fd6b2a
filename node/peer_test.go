package node

import (
	"encoding/binary"
	"net"
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
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	h := &handshaker{
		header: 2, self: name, flags: flagsOurs, creation: 7,
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
	b, err := etf.AppendTerm([]byte{versionMagic, tagDistHeader, 0}, ctl)
	if err != nil {
		panic(err)
	}
	for _, t := range payload {
		if b, err = etf.AppendTerm(b, t); err != nil {
			panic(err)
		}
	}
	return b
}

// regSend is a message to a registered name.
func regSend(from etf.Pid, name etf.Atom, msg etf.Term) []byte {
	return controlOf(etf.Tuple{opRegSend, from, etf.Atom(""), name}, msg)
}

// frameOf puts the length before a frame.
func frameOf(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}
