package distcheck_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/beamkeeper/beamkeeper/node"
)

// registerFake has the EPMD at epmdPort name a port for a node that is none, until the test ends.
func registerFake(t *testing.T, epmdPort, port int, alive string, high uint16) {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", epmdPort))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	req := append([]byte{120}, byte(port>>8), byte(port), 77, 0)
	req = binary.BigEndian.AppendUint16(req, high)
	req = binary.BigEndian.AppendUint16(req, 5)
	req = append(binary.BigEndian.AppendUint16(req, uint16(len(alive))), alive...)
	req = append(req, 0, 0)
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(req))), req...)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4)
	if _, err := io.ReadFull(conn, answer); err != nil || answer[1] != 0 {
		t.Fatalf("registering %s: % x, %v", alive, answer, err)
	}
}

// fakeNode is a registered socket that answers a peer's name with the messages given, and then with silence.
func fakeNode(t *testing.T, epmdPort int, alive string, messages ...[]byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	registerFake(t, epmdPort, l.Addr().(*net.TCPAddr).Port, alive, 6)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			t.Cleanup(func() { conn.Close() })
			go func() {
				r := bufio.NewReader(conn)
				var head [2]byte
				if _, err := io.ReadFull(r, head[:]); err != nil {
					conn.Close()
					return
				}
				io.CopyN(io.Discard, r, int64(binary.BigEndian.Uint16(head[:]))) // what it says does not matter
				for _, m := range messages {
					conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...)) // the test sees what comes of it
				}
				io.Copy(io.Discard, r)
			}()
		}
	}()
}

func status(text string) []byte { return append([]byte{'s'}, text...) }

func challenge(flags node.Flags, name string) []byte {
	b := binary.BigEndian.AppendUint64([]byte{'N'}, uint64(flags))
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 9)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(name))), name...)
}
