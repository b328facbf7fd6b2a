package node_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// refusedSoon bounds what takes milliseconds, on a machine that is busy with other tests.
const refusedSoon = 3 * time.Second

func TestOTP_WrongCookie(t *testing.T) {
	t.Parallel()
	for _, otp := range nodetest.Want(t, "25", "27", "29") {
		t.Run(otp.Release, func(t *testing.T) {
			t.Parallel()
			port := nodetest.StartEPMD(t)
			e := nodetest.StartErl(t, otp, "beam", "other", port)
			n := startNode(t, "keeper@localhost", port)
			began := time.Now()
			if err := n.Connect(ctx(t), nameOf(e)); !errors.Is(err, node.ErrBadCookie) {
				t.Errorf("Connect = %v, want ErrBadCookie", err)
			}
			if got := e.Eval("net_adm:ping(keeper@localhost)"); got != "pang" {
				t.Errorf("ping = %s", got)
			}
			if d := time.Since(began); d > refusedSoon {
				t.Errorf("refusals took %v", d)
			}
			if n.Connected(nameOf(e)) {
				t.Error("connected")
			}
		})
	}
}

func TestOTP_CookiePerPeer(t *testing.T) {
	t.Parallel()
	otps := nodetest.Want(t, "25", "27")
	port := nodetest.StartEPMD(t)
	a := nodetest.StartErl(t, otps[0], "a", "cookie_a", port)
	b := nodetest.StartErl(t, otps[1], "b", "cookie_b", port)
	n := startNode(t, "keeper@localhost", port, func(c *node.Config) {
		c.Cookie = ""
		c.CookieFor = func(peer node.Name) node.Cookie { return node.Cookie("cookie_" + peer.Alive) }
	})
	if err := n.Connect(ctx(t), nameOf(a)); err != nil {
		t.Error(err)
	}
	if got := b.Eval("net_adm:ping(keeper@localhost)"); got != "pong" {
		t.Errorf("ping = %s", got)
	}
}

func TestOTP_NotAllowed(t *testing.T) {
	t.Parallel()
	for _, otp := range nodetest.Want(t, "25", "27", "29") {
		t.Run(otp.Release, func(t *testing.T) {
			t.Parallel()
			port := nodetest.StartEPMD(t)
			e := nodetest.StartErl(t, otp, "beam", cookie, port)
			n := startNode(t, "keeper@localhost", port, func(c *node.Config) { c.Allow = func(node.Name) bool { return false } })
			began := time.Now()
			if got := e.Eval("net_adm:ping(keeper@localhost)"); got != "pang" || time.Since(began) > refusedSoon {
				t.Errorf("ping = %s after %v", got, time.Since(began))
			}
			if err := n.Connect(ctx(t), nameOf(e)); err != nil {
				t.Errorf("Connect = %v: Allow is about inbound links only", err)
			}
			// The other way round: the BEAM refuses us.
			e.Eval("net_kernel:allow([nobody@localhost])")
			n.Disconnect(nameOf(e))
			eventually(t, "the BEAM's nodedown", func() bool { return e.Eval("nodes(hidden)") == "[]" })
			if err := n.Connect(ctx(t), nameOf(e)); !errors.Is(err, node.ErrNotAllowed) && !errors.Is(err, node.ErrBadCookie) && err == nil {
				t.Errorf("Connect = %v, want a refusal", err)
			}
		})
	}
}

func TestOTP_LongNames(t *testing.T) {
	t.Parallel()
	for _, otp := range nodetest.Want(t, "25", "27", "29") {
		t.Run(otp.Release, func(t *testing.T) {
			t.Parallel()
			port := nodetest.StartEPMD(t)
			e := nodetest.StartErl(t, otp, "beam@127.0.0.1", cookie, port)
			n := startNode(t, "keeper@127.0.0.1", port)
			if got := e.Eval("net_adm:ping('keeper@127.0.0.1')"); got != "pong" {
				t.Errorf("ping = %s", got)
			}
			n.Disconnect(nameOf(e))
			if v, err := n.Call(ctx(t), nameOf(e), "erlang", "node"); err != nil || v != etf.Term(etf.Atom("beam@127.0.0.1")) {
				t.Errorf("node() = %v, %v", v, err)
			}
			short := startNode(t, "short@localhost", port)
			if err := short.Connect(ctx(t), nameOf(e)); !errors.Is(err, node.ErrPeerName) {
				t.Errorf("Connect from short to long names = %v", err)
			}
		})
	}
}

func TestOTP_NoPeer(t *testing.T) {
	t.Parallel()
	port := nodetest.StartEPMD(t)
	n := startNode(t, "keeper@localhost", port)
	_, err := n.Call(ctx(t), node.Name{Alive: "nobody", Host: "localhost"}, "erlang", "node")
	if !errors.Is(err, node.ErrNoConnection) || !errors.Is(err, node.ErrNameUnknown) {
		t.Errorf("Call = %v, want ErrNoConnection and ErrNameUnknown", err)
	}
	var down *node.DownError
	var epmd *node.EPMDError
	if !errors.As(err, &down) || !errors.As(err, &epmd) || epmd.Name != "nobody" {
		t.Errorf("Call = %#v", err)
	}
}

func TestOTP_EPMDLateAndRestarted(t *testing.T) {
	t.Parallel()
	otp := nodetest.WantAny(t)
	epmd := nodetest.NewEPMD(t)
	epmd.Stop()
	n := startNode(t, "keeper@localhost", 0, func(c *node.Config) {
		c.EPMDAddr = net.JoinHostPort("127.0.0.1", strconv.Itoa(epmd.Port))
	})
	short, cancel := context.WithTimeout(ctx(t), 200*time.Millisecond)
	defer cancel()
	var down *node.EPMDError
	if err := n.Registered(short); !errors.As(err, &down) {
		t.Fatalf("Registered without epmd = %v", err)
	}
	epmd.Start()
	if err := n.Registered(ctx(t)); err != nil {
		t.Fatal(err)
	}
	e := nodetest.StartErl(t, otp, "beam", cookie, epmd.Port)
	if got := e.Eval("net_adm:ping(keeper@localhost)"); got != "pong" {
		t.Fatalf("ping = %s", got)
	}
	creation := n.Creation()
	epmd.Stop()
	if v, err := n.Call(ctx(t), nameOf(e), "erlang", "node"); err != nil {
		t.Errorf("link without epmd: %v, %v", v, err)
	}
	epmd.Start()
	eventually(t, "registered anew", func() bool {
		nodes, err := n.EPMD().Names(ctx(t), "")
		return err == nil && strings.Contains(fmt.Sprint(nodes), "keeper")
	})
	if n.Creation() != creation {
		t.Error("creation changed")
	}
	got, err := n.EPMD().PortPlease(ctx(t), n.Name())
	if err != nil || got.Port != n.Port() || !got.Hidden || got.Low != 6 || got.High != 6 {
		t.Errorf("PortPlease(self) = %+v, %v", got, err)
	}
}

// The BEAM dies without our noticing and comes back: it hears alive, insists, and gets a new link.
func TestOTP_Alive(t *testing.T) {
	t.Parallel()
	for _, otp := range nodetest.Want(t, "25", "27", "29") {
		t.Run(otp.Release, func(t *testing.T) {
			t.Parallel()
			port := nodetest.StartEPMD(t)
			e := nodetest.StartErl(t, otp, "beam", cookie, port)
			proxy := startDeafProxy(t)
			n := startNode(t, "keeper@localhost", port, func(c *node.Config) { c.Transport = proxy })
			if err := n.Connect(ctx(t), nameOf(e)); err != nil {
				t.Fatal(err)
			}
			first := n.Peers()[0].Creation
			e.Kill()
			if !n.Connected(nameOf(e)) {
				t.Fatal("the loss was noticed, so that there is nothing to test")
			}
			eventually(t, "epmd forgets the dead node", func() bool {
				_, err := n.EPMD().PortPlease(ctx(t), nameOf(e))
				return errors.Is(err, node.ErrNameUnknown)
			})
			e2 := nodetest.StartErl(t, otp, "beam", cookie, port)
			if got := e2.Eval("net_adm:ping(keeper@localhost)"); got != "pong" {
				t.Errorf("ping = %s", got)
			}
			peers := n.Peers()
			if len(peers) != 1 || peers[0].Creation == first {
				t.Errorf("Peers() = %+v, want the new one", peers)
			}
		})
	}
}

// deafProxy is a transport whose dialed connections do not tell when the peer is gone.
type deafProxy struct {
	node.TCP
	t testing.TB
}

func startDeafProxy(t testing.TB) deafProxy { return deafProxy{t: t} }

func (d deafProxy) Dial(ctx context.Context, addr string, peer node.Name) (net.Conn, error) {
	c, err := d.TCP.Dial(ctx, addr, peer)
	if err != nil {
		return nil, err
	}
	return &deafConn{Conn: c, closed: make(chan struct{})}, nil
}

type deafConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *deafConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		<-c.closed
	}
	return n, err
}

func (c *deafConn) Write(b []byte) (int, error) {
	c.Conn.Write(b)
	return len(b), nil
}

func (c *deafConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// A node without a name of its own gets one from us.
func TestOTP_DynamicName(t *testing.T) {
	t.Parallel()
	for _, otp := range nodetest.Want(t, "25", "27", "29") {
		t.Run(otp.Release, func(t *testing.T) {
			t.Parallel()
			port := nodetest.StartEPMD(t)
			n := startNode(t, "keeper@localhost", port)
			e := nodetest.StartErl(t, otp, "undefined@localhost", cookie, port)
			if got := e.Eval("net_kernel:connect_node(keeper@localhost)"); got != "true" {
				t.Fatalf("connect_node = %s", got)
			}
			peers := n.Peers()
			if len(peers) != 1 {
				t.Fatalf("Peers() = %+v", peers)
			}
			if got := e.Eval("node()"); strings.Trim(got, "'") != peers[0].Name.String() {
				t.Errorf("node() = %s, we say %v", got, peers[0].Name)
			}
			v, err := n.Call(ctx(t), peers[0].Name, "erlang", "node")
			if err != nil || v != etf.Term(peers[0].Name.Atom()) {
				t.Errorf("node() = %v, %v", v, err)
			}
			var box node.Mailbox
			p := n.Spawn(&box)
			p.Register("box")
			e.Eval("{box, keeper@localhost} ! self()")
			pid := next[node.Message](t, &box).Term.(etf.Pid)
			if err := p.Send(ctx(t), node.ToPid(pid), etf.Atom("hello")); err != nil {
				t.Fatal(err)
			}
			if got := e.Eval("receive hello -> yes after 5000 -> no end"); got != "yes" {
				t.Error("a message to the pid of a named one was lost")
			}
		})
	}
}

// Nodes of ours talk to each other as well.
func TestOurselves(t *testing.T) {
	t.Parallel()
	port := nodetest.StartEPMD(t)
	a := startNode(t, "a@localhost", port)
	b := startNode(t, "b@localhost", port)
	spawnServer(t, b, "echo")
	v, err := a.GenCall(ctx(t), node.ToName("echo", b.Name()), etf.Tuple{1, 2})
	if err != nil || !etf.Equal(v, etf.Tuple{1, 2}) {
		t.Errorf("GenCall = %v, %v", v, err)
	}
	if v, err := b.Call(ctx(t), a.Name(), "erlang", "node"); err != nil || v != etf.Term(a.Name().Atom()) {
		t.Errorf("Call = %v, %v", v, err)
	}
	if v, err := a.Call(ctx(t), a.Name(), "erlang", "node"); err != nil || v != etf.Term(a.Name().Atom()) {
		t.Errorf("Call of the own node = %v, %v", v, err)
	}
	blob := make(etf.Binary, 20<<20)
	if v, err := a.GenCall(ctx(t), node.ToName("echo", b.Name()), etf.List{blob, etf.Atom("x"), blob}); err != nil || !etf.Equal(v, etf.List{blob, etf.Atom("x"), blob}) {
		t.Errorf("40 MiB: %v", err)
	}
	for i := range 20 {
		a.Disconnect(b.Name())
		eventually(t, "nodedown at the other", func() bool { return !b.Connected(a.Name()) })
		var wg sync.WaitGroup
		for _, pair := range [][2]*node.Node{{a, b}, {b, a}} {
			wg.Go(func() {
				if err := pair[0].Connect(ctx(t), pair[1].Name()); err != nil {
					t.Errorf("round %d: %v to %v: %v", i, pair[0].Name(), pair[1].Name(), err)
				}
			})
		}
		wg.Wait()
		if _, err := a.GenCall(ctx(t), node.ToName("echo", b.Name()), 1); err != nil {
			t.Errorf("round %d: %v", i, err)
		}
	}
	if err := a.Connect(ctx(t), a.Name()); err == nil {
		t.Error("connected to itself")
	}
}
