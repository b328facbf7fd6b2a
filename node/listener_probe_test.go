package node

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// deaf listens and never accepts.
type deaf struct{ TCP }

func (d deaf) Listen(ctx context.Context, addr string) (net.Listener, error) {
	l, err := d.TCP.Listen(ctx, addr)
	return deafListener{l, make(chan struct{})}, err
}

type deafListener struct {
	net.Listener
	closed chan struct{}
}

func (l deafListener) Accept() (net.Conn, error) { <-l.closed; return nil, net.ErrClosed }
func (l deafListener) Close() error              { close(l.closed); return l.Listener.Close() }

func TestAccepts(t *testing.T) {
	t.Parallel()
	start := func(tr Transport, listen string) *Node {
		n, err := New(Config{Name: Name{Alive: "probe", Host: "localhost"}, Cookie: "c", NoEPMD: true, Listen: listen, Transport: tr})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
		return n
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, listen := range []string{"127.0.0.1:0", "0.0.0.0:0", ":0", "none"} {
		n := start(nil, listen)
		for range 3 {
			if err := n.Accepts(ctx); err != nil {
				t.Errorf("%s: %v", listen, err)
			}
		}
		if len(n.probes.from) > 0 {
			t.Errorf("%s: probes are left: %v", listen, n.probes.from)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := start(deaf{}, "127.0.0.1:0").Accepts(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("of a node that does not accept: %v, want the deadline", err)
	}
	closed := start(nil, "127.0.0.1:0")
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := closed.Accepts(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("of a closed node: %v, want ErrClosed", err)
	}
}

// A socket that is open already is used.
func TestStart_OnAnOpenSocket(t *testing.T) {
	t.Parallel()
	open, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(Config{Name: Name{Alive: "probe", Host: "localhost"}, Cookie: "c", NoEPMD: true, Transport: TCP{
		ListenTCP: func(_ context.Context, addr string) (net.Listener, error) {
			if addr != DefaultListen {
				return nil, errors.New("asked for " + addr)
			}
			return open, nil
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if want := open.Addr().(*net.TCPAddr).Port; n.Port() != want {
		t.Errorf("Port = %d, want %d", n.Port(), want)
	}
}
