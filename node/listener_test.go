package node

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
)

// The own host name may stand for another loopback address than the one that is listened on.
func TestNode_ListensWhereItsHostNamePoints(t *testing.T) {
	t.Parallel()
	n, err := New(Config{
		Name: Name{"keeper", "somehost"}, Cookie: "x", NoEPMD: true,
		Resolve: func(context.Context, string) ([]string, error) {
			return []string{"127.0.0.1", "127.0.0.2", "192.0.2.1"}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	eventuallyTrue(t, func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.2", strconv.Itoa(n.Port())))
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

// Who connects and says nothing is dropped when its time is over, and holds up nobody.
func TestNode_SilentStranger(t *testing.T) {
	t.Parallel()
	n, err := New(Config{Name: Name{"keeper", "localhost"}, Cookie: "x", NoEPMD: true, HandshakeTimeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(n.Port()))
	var strangers []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		strangers = append(strangers, c)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	h := &handshaker{
		header: 2, self: Name{"other", "localhost"}, flags: flagsOurs, creation: 9, cookie: func(Name) Cookie { return "x" },
		verify: func(Name) error { return nil }, challenge: randomChallenge,
	}
	if _, err := h.connect(c, n.Name(), func() bool { return true }); err != nil {
		t.Errorf("handshake beside silent strangers: %v", err)
	}
	for _, s := range strangers {
		s.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := s.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("a silent stranger: %v, want the connection closed", err)
		}
	}
}

type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A Receiver that blocks is named in a warning; ticks and what others send go out meanwhile.
func TestLink_SlowReceiver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &lockedBuilder{}
		n, l, wire := pipeLink(t, func(c *Config) {
			c.NetTickTime = 60 * time.Second
			c.Log = slog.New(slog.NewTextHandler(log, nil))
		})
		release := make(chan struct{})
		slow := n.Spawn(ReceiverFunc(func(*Process, Signal) { <-release }))
		sendControl(t, wire, etf.Tuple{opSendSender, beamPid, slow.Pid()}, etf.Atom("x"))
		synctest.Wait()
		go n.Spawn(&Mailbox{}).Send(context.Background(), ToPid(beamPid), etf.Atom("meanwhile"))
		if got := receiveControl(t, wire); !strings.HasSuffix(got, "| meanwhile") {
			t.Errorf("sent %s", got)
		}
		for range 6 { // longer than net_ticktime
			if b := readWholeFrame(t, wire); len(b) != 0 {
				t.Errorf("%x instead of a tick", b)
			}
		}
		if l.closed() {
			t.Errorf("the link went down: %v", l.err)
		}
		if !strings.Contains(log.String(), "receiver holds up the link") || !strings.Contains(log.String(), etf.Format(slow.Pid())) {
			t.Errorf("log: %s", log.String())
		}
		close(release)
		n.Close()
	})
}
