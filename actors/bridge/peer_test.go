package bridge

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// raw is a process of a plain node: a peer without Ergo.
type raw struct {
	t    *testing.T
	proc *node.Process
	box  *node.Mailbox
}

func spawnRaw(t *testing.T, n *node.Node) *raw {
	t.Helper()
	r := &raw{t: t, box: new(node.Mailbox)}
	r.proc = n.Spawn(r.box)
	return r
}

func (r *raw) next() node.Signal {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	s, err := r.box.Next(ctx)
	if err != nil {
		r.t.Fatalf("the peer got nothing: %v", err)
	}
	return s
}

func nextAs[T node.Signal](r *raw) T {
	r.t.Helper()
	s := r.next()
	m, ok := s.(T)
	if !ok {
		r.t.Fatalf("the peer got %#v, want %T", s, m)
	}
	return m
}

// serve answers calls with {echo, Request} until the process is over.
func (r *raw) serve() {
	ctx := r.t.Context()
	go func() {
		for {
			s, err := r.box.Next(ctx)
			if err != nil {
				return
			}
			m, ok := s.(node.Message)
			if !ok {
				continue
			}
			if c, ok := node.ParseGenCall(m.Term); ok {
				_ = r.proc.Reply(ctx, c, etf.Tuple{etf.Atom("echo"), c.Request}) // the test sees it missing
			}
		}
	}()
}

// pair is a system "go" and a plain node "peer".
func pair(t *testing.T) (*System, *node.Node) {
	t.Helper()
	m := startPortMapper(t)
	s := startSystem(t, m.addr, "go")
	n := newNode(t, m.addr, "peer")
	startNode(t, n)
	return s, n
}

// settle waits until the peer has taken what the system sent so far.
func settle(t *testing.T, s *System, n *node.Node) {
	t.Helper()
	var ce *node.CallError
	if _, err := s.Node().Call(t.Context(), n.Name(), "no_such_module", "f"); !errors.As(err, &ce) {
		t.Fatalf("call of a function that is not there: %v, want undef", err)
	}
}

// An address that takes connections and says nothing.
func blackHole(t *testing.T, m *portMapper, name string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	m.register(name, uint16(l.Addr().(*net.TCPAddr).Port))
}
