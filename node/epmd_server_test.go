package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// startEPMDServer starts one on 127.0.0.1; ended gives what Serve returned.
func startEPMDServer(t *testing.T, s *EPMDServer) (addr string, ended func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = s.Serve(ctx, l)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return l.Addr().String(), func() error {
		select {
		case <-done:
			return err
		case <-time.After(30 * time.Second):
			return errors.New("still serving")
		}
	}
}

// askOnce sends a request and reads until the server closes.
func askOnce(t *testing.T, addr string, req []byte) []byte {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	c.Write(req)
	b, err := io.ReadAll(c)
	if err != nil && len(b) == 0 && !closedByPeer(err) {
		t.Fatal(err)
	}
	return b
}

// hold registers a name and keeps it.
func hold(t *testing.T, addr string, r alive2Req) (c net.Conn, creation uint32, err error) {
	t.Helper()
	c, err = net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	c.Write(r.append(nil))
	creation, err = readAlive2Resp(c)
	return c, creation, err
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestEPMDServer_RecordedFlows answers what was recorded with the epmd of OTP as that did.
func TestEPMDServer_RecordedFlows(t *testing.T) {
	t.Parallel()
	addr, _ := startEPMDServer(t, &EPMDServer{})
	flow := func(name string) (req, answer []byte) {
		f := readFlow(t, epmdFlow(name))
		return f.steps[0].data, f.steps[1].data
	}
	names, recorded := flow("names") // before beam: with the port of its own epmd
	if _, _, err := hold(t, addr, alive2Req{port: 40000, hidden: true, name: "beam"}); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	if got := askOnce(t, addr, names); !bytes.Equal(got[4:], recorded[4:]) || fmt.Sprint(binary.BigEndian.Uint32(got)) != port {
		t.Errorf("NAMES gives %q, want %q", got, recorded)
	}
	for _, name := range []string{"port_please2", "port_please2_unknown"} {
		req, want := flow(name)
		if got := askOnce(t, addr, req); !bytes.Equal(got, want) {
			t.Errorf("%s: %x, want %x", name, got, want)
		}
	}
	req, want := flow("alive2_taken")
	if got := askOnce(t, addr, req); len(got) != len(want) || got[0] != want[0] || got[1] == 0 {
		t.Errorf("alive2_taken: %x, want %x but for the creation", got, want)
	}
	if got := askOnce(t, addr, appendEPMDReq(nil, []byte{tagDumpReq})); string(got[4:]) != "active name     <beam> at port 40000, fd = -1\n" {
		t.Errorf("DUMP gives %q", got)
	}
}

func TestEPMDServer_HoldsANameAsLongAsTheConnection(t *testing.T) {
	t.Parallel()
	addr, _ := startEPMDServer(t, &EPMDServer{IdleTimeout: 200 * time.Millisecond, MaxNames: 2})
	client := &EPMDClient{Addr: addr, Self: "h"}
	c, first, err := hold(t, addr, alive2Req{port: 1, name: "a"})
	if err != nil || first < 4 {
		t.Fatalf("registered with creation %d, %v", first, err)
	}
	if _, _, err := hold(t, addr, alive2Req{port: 2, name: "a"}); !errors.Is(err, ErrNameTaken) {
		t.Errorf("the same name again: %v", err)
	}
	if _, _, err := hold(t, addr, alive2Req{port: 3, name: "bö"}); err != nil {
		t.Error(err)
	}
	if _, _, err := hold(t, addr, alive2Req{port: 4, name: "c"}); err == nil {
		t.Error("a third name of two is registered")
	}
	time.Sleep(300 * time.Millisecond) // the timeout is for requests only
	if n, err := client.PortPlease(t.Context(), Name{Alive: "a", Host: "h"}); err != nil || n.Port != 1 || n.Hidden {
		t.Errorf("PortPlease = %+v, %v", n, err)
	}
	if list, err := client.Names(t.Context(), ""); err != nil || len(list) != 2 || list[1].Alive != "bö" {
		t.Errorf("Names = %+v, %v", list, err)
	}
	c.Close()
	var again uint32
	eventually(t, "the name to be free", func() bool {
		_, again, err = hold(t, addr, alive2Req{port: 5, name: "a"})
		return err == nil
	})
	if again == first {
		t.Errorf("the creation is %d again", again)
	}
}

func TestEPMDServer_CreationOfOldNodes(t *testing.T) {
	t.Parallel()
	addr, _ := startEPMDServer(t, &EPMDServer{})
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte{0, 16, tagAlive2Req, 0, 1, 77, 0, 0, 5, 0, 5, 0, 3, 'o', 'l', 'd', 0, 0}) // versions 5 to 5
	var b [4]byte
	c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.ReadFull(c, b[:]); err != nil || b[0] != tagAlive2Resp || b[1] != 0 || b[2] != 0 || b[3] < 1 || b[3] > 3 {
		t.Errorf("answer %v, %v", b, err)
	}
}

// TestEPMDServer_RelaxedCommandCheckIsOff asks it to end, and to forget a name.
func TestEPMDServer_RelaxedCommandCheckIsOff(t *testing.T) {
	t.Parallel()
	addr, ended := startEPMDServer(t, &EPMDServer{})
	c, _, err := hold(t, addr, alive2Req{port: 1, name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	kill, stop := appendEPMDReq(nil, []byte{tagKillReq}), appendEPMDReq(nil, []byte("sa")) // STOP_REQ is 115
	if got := askOnce(t, addr, kill); string(got) != "NO" {
		t.Errorf("KILL with a node registered gives %q", got)
	}
	if got := askOnce(t, addr, stop); len(got) != 0 {
		t.Errorf("STOP gives %q", got)
	}
	if got := askOnce(t, addr, appendPortPlease2Req(nil, "a")); got[1] != 0 {
		t.Errorf("after STOP the name is gone: %x", got)
	}
	c.Close()
	eventually(t, "the end", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return true
		}
		conn.Close()
		askOnce(t, addr, kill)
		return ended() == nil
	})
}

func TestEPMDServer_RefusesNonsense(t *testing.T) {
	t.Parallel()
	addr, _ := startEPMDServer(t, &EPMDServer{})
	alive := func(name string) []byte { return (&alive2Req{port: 1, name: name}).append(nil) }
	for _, req := range [][]byte{
		{0, 0}, {0xff, 0xff}, {0, 1, 255}, {0, 1, tagAlive2Req}, {0, 1, 0},
		alive(""), alive("a b"), alive("a\nname b at port 1"), alive("a@b"), alive("\xff"), alive(strings.Repeat("x", maxNameField+1)),
		{0, 13, tagAlive2Req, 0, 1, 77, 0, 0, 6, 0, 6, 0, 9, 'x', 0}, // a name longer than the request
		{0, 14, tagAlive2Req, 0, 1, 77, 0, 0, 6, 0, 6, 0, 1, 'x', 0, 9},
	} {
		if got := askOnce(t, addr, req); len(got) != 0 {
			t.Errorf("%x is answered %x", req, got)
		}
	}
	if got := askOnce(t, addr, appendNamesReq(nil)); len(got) != 4 {
		t.Errorf("after that NAMES gives %q", got)
	}
}

// TestEPMDServer_Bounds opens more connections than it bears, which say nothing.
func TestEPMDServer_Bounds(t *testing.T) {
	t.Parallel()
	addr, _ := startEPMDServer(t, &EPMDServer{MaxConns: 4, IdleTimeout: time.Hour})
	if _, _, err := hold(t, addr, alive2Req{port: 1, name: "a"}); err != nil { // does not count
		t.Fatal(err)
	}
	closed := make(chan struct{}, 16)
	for range 16 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte{0})
		go func() {
			io.Copy(io.Discard, c)
			closed <- struct{}{}
		}()
	}
	for i := range 12 {
		select {
		case <-closed:
		case <-time.After(20 * time.Second):
			t.Fatalf("%d connections of 16 are closed, want 12", i)
		}
	}
	// Those that are left say nothing, and others are answered all the same.
	for range 8 {
		if got := askOnce(t, addr, appendPortPlease2Req(nil, "a")); len(got) < 2 || got[1] != 0 {
			t.Fatalf("answer %x", got)
		}
	}
}

// TestEPMDServer_WaitsForNobody gives up a connection that sends half a request.
func TestEPMDServer_WaitsForNobody(t *testing.T) {
	t.Parallel()
	addr, _ := startEPMDServer(t, &EPMDServer{IdleTimeout: 50 * time.Millisecond})
	if got := askOnce(t, addr, []byte{0, 20, tagNamesReq}); len(got) != 0 {
		t.Errorf("half a request is answered %x", got)
	}
}

// notLoopback makes connections look as if they came from elsewhere.
type notLoopback struct{ net.Listener }

type strangeConn struct{ net.Conn }

func (l notLoopback) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return strangeConn{c}, nil
}

func (strangeConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }

func TestEPMDServer_OthersMayOnlyAsk(t *testing.T) {
	t.Parallel()
	here, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	there, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		if err := (&EPMDServer{}).Serve(ctx, here, notLoopback{there}); err != nil {
			t.Error(err)
		}
	})
	if got := askOnce(t, there.Addr().String(), appendEPMDReq(nil, []byte{tagKillReq})); string(got) != "NO" {
		t.Errorf("KILL from elsewhere gives %q", got)
	}
	if _, _, err := hold(t, there.Addr().String(), alive2Req{port: 1, name: "a"}); err == nil {
		t.Error("a node elsewhere is registered")
	}
	if _, _, err := hold(t, here.Addr().String(), alive2Req{port: 1, name: "a"}); err != nil {
		t.Error(err)
	}
	if got := askOnce(t, there.Addr().String(), appendPortPlease2Req(nil, "a")); got[1] != 0 {
		t.Errorf("PORT_PLEASE2 from elsewhere gives %x", got)
	}
}

// FuzzEPMDServer: whatever is sent, the server goes on.
func FuzzEPMDServer(f *testing.F) {
	for _, q := range epmdQuestions {
		f.Add(q.req)
	}
	f.Add(appendNamesReq(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &EPMDServer{}
		s.defaults()
		ours, theirs := net.Pipe()
		if !s.enter(t.Context(), theirs) {
			t.Fatal("refused")
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.serve(theirs)
		}()
		go io.Copy(io.Discard, ours)
		ours.SetDeadline(time.Now().Add(5 * time.Second))
		ours.Write(b) // it may close before it has read all
		ours.Close()
		<-done
		if len(s.asking) != 0 || len(s.conns) != 0 || len(s.names) != 0 {
			t.Errorf("%d connections that ask, %d in all, %d names are left", len(s.asking), len(s.conns), len(s.names))
		}
	})
}
