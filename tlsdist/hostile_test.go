package tlsdist_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
	"github.com/beamkeeper/beamkeeper/tlsdist"
)

// Connections that are silent before, in and after the handshake of TLS keep nobody out and have their time.
func TestHostile_ConnectionsOverTLS(t *testing.T) {
	t.Parallel()
	a := authority(t, tlsdist.Options{})
	port := nodetest.StartEPMD(t)
	k := startKeeper(t, "keeper@localhost", port, transportOf(t, a, "keeper@localhost"))
	addr := net.JoinHostPort("127.0.0.1", fmt.Sprint(k.Port()))
	evil := ensure(t, a, "evil@localhost")
	cert, err := tls.LoadX509KeyPair(evil.PEMFile, evil.PEMFile)
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{}, 300)
	for i := range 300 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		switch i % 3 {
		case 1:
			c.Write([]byte{22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}) // the beginning of a ClientHello
		case 2: // goes on behind TLS, and then says nothing
			c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}})
		}
		go func() {
			io.Copy(io.Discard, c) // shakes hands first
			closed <- struct{}{}
		}()
	}
	good := startKeeper(t, "good@localhost", port, transportOf(t, a, "good@localhost"))
	for range 5 {
		if err := good.Connect(soon(t), node.Name{Alive: "keeper", Host: "localhost"}); err != nil {
			t.Fatal(err)
		}
		good.Disconnect(node.Name{Alive: "keeper", Host: "localhost"})
	}
	for i := range 300 { // the time of a handshake is 7 s
		select {
		case <-closed:
		case <-time.After(30 * time.Second):
			t.Fatalf("%d of 300 connections are closed", i)
		}
	}
}
