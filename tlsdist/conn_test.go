package tlsdist_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/tlsdist"
)

// pair gives two connected ends.
func pair(t *testing.T) (client, server *tlsdist.Conn) {
	t.Helper()
	a := authority(t, tlsdist.Options{})
	l, err := transportOf(t, a, "server@localhost").Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = c.Read(make([]byte, 1)) // the handshake
		}
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	c, err := transportOf(t, a, "client@localhost").Dial(soon(t), l.Addr().String(), parse(t, "server@localhost"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	client, server = c.(*tlsdist.Conn), (<-accepted).(*tlsdist.Conn)
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// Numbers written by turns with Write and WriteNow arrive in order, though the reader is slow at first.
func TestConn_WriteNowKeepsOrder(t *testing.T) {
	t.Parallel()
	client, server := pair(t)
	const count = 300_000
	sent := make(chan error, 1)
	go func() {
		next := uint64(0)
		batch := func(size int) net.Buffers {
			var b net.Buffers
			for range size {
				b = append(b, binary.BigEndian.AppendUint64(nil, next))
				next++
			}
			return b
		}
		for round := 0; next < count; round++ {
			b := batch([]int{1, 3, 2000, 20_000}[round%4])
			n, err := server.WriteNow(b)
			if err != nil {
				sent <- err
				return
			}
			rest := bytes.Join(b, nil)[n:]
			if _, err := server.Write(rest); err != nil {
				sent <- err
				return
			}
		}
		sent <- server.Close()
	}()
	b, err := io.ReadAll(client)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if len(b) < count*8 || len(b)%8 != 0 {
		t.Fatalf("%d bytes", len(b))
	}
	for i := range len(b) / 8 {
		if got := binary.BigEndian.Uint64(b[i*8:]); got != uint64(i) {
			t.Fatalf("number %d is %d", i, got)
		}
	}
}

// A peer that reads nothing costs no time and little memory, and closing does not wait for it.
func TestConn_WriteNowNeverWaits(t *testing.T) {
	t.Parallel()
	client, server := pair(t)
	block := net.Buffers{make([]byte, 32<<10)}
	taken := 0
	for i := 0; ; i++ {
		n, err := server.WriteNow(block)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		if taken += n; taken > 64<<20 {
			t.Fatal("64 MiB are kept for a peer that reads nothing")
		}
	}
	blocked := make(chan error, 1)
	go func() {
		_, err := server.Write(block[0])
		blocked <- err
	}()
	start := time.Now()
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("Close took %v", took)
	}
	if err := <-blocked; err == nil {
		t.Error("Write succeeded after Close")
	}
	if _, err := server.WriteNow(block); err == nil {
		if _, err = server.Write(block[0]); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Close = %v", err)
		}
	}
	// What was taken before is all that the peer gets, and then the end.
	got, _ := io.Copy(io.Discard, client) // cut off in the middle of a record
	if got > int64(taken) {
		t.Errorf("%d bytes arrived of %d", got, taken)
	}
}

// Who closes says goodbye, so that the peer knows that nothing is missing.
func TestConn_CloseSaysGoodbye(t *testing.T) {
	t.Parallel()
	client, server := pair(t)
	if n, err := server.WriteNow(net.Buffers{[]byte("bye")}); n != 3 || err != nil {
		t.Fatalf("WriteNow = %d, %v", n, err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if b, err := io.ReadAll(client); err != nil || string(b) != "bye" {
		t.Errorf("read %q, %v", b, err)
	}
}
