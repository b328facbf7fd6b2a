package bridge

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"reflect"
	"sync"
	"testing"
	"time"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

const patience = 20 * time.Second // for what takes milliseconds

const cookie = "chocolate"

// portMapper answers ALIVE2_REQ and PORT_PLEASE2_REQ as epmd does, so that two nodes in a test find each other with no
// OTP installed.
type portMapper struct {
	addr  string
	mu    sync.Mutex
	ports map[string]uint16
	conns []net.Conn
}

func startPortMapper(t *testing.T) *portMapper {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &portMapper{addr: l.Addr().String(), ports: make(map[string]uint16)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			m.mu.Lock()
			m.conns = append(m.conns, c)
			m.mu.Unlock()
			wg.Go(func() { m.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		m.mu.Lock()
		for _, c := range m.conns {
			c.Close()
		}
		m.mu.Unlock()
		wg.Wait()
	})
	return m
}

func (m *portMapper) register(name string, port uint16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ports[name] = port
}

func (m *portMapper) serve(c net.Conn) {
	defer c.Close()
	var head [2]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return
	}
	req := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(c, req); err != nil || len(req) == 0 {
		return
	}
	switch req[0] {
	case 120: // port u16, type, protocol, versions u16 u16, name
		if len(req) < 11 {
			return
		}
		name := string(req[11 : 11+binary.BigEndian.Uint16(req[9:])])
		port := binary.BigEndian.Uint16(req[1:])
		m.register(name, port)
		c.Write([]byte{118, 0, 0, 0, 0, 77})
		io.Copy(io.Discard, c) // until the node closes it
		m.mu.Lock()
		if m.ports[name] == port {
			delete(m.ports, name)
		}
		m.mu.Unlock()
	case 122:
		name := string(req[1:])
		m.mu.Lock()
		port, ok := m.ports[name]
		m.mu.Unlock()
		if !ok {
			c.Write([]byte{119, 1})
			return
		}
		b := binary.BigEndian.AppendUint16([]byte{119, 0}, port)
		b = append(b, 72, 0, 0, 6, 0, 5)
		b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
		c.Write(append(append(b, name...), 0, 0))
	}
}

// testLog shows what is logged when the test fails. That actors end and panic is what tests want.
func testLog(t testing.TB) *slog.Logger {
	level := slog.LevelError + 1
	if testing.Verbose() {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level}))
}

// newNode makes a node that is not started yet.
func newNode(t testing.TB, epmd, name string) *node.Node {
	t.Helper()
	n, err := node.New(node.Config{
		Name: node.Name{Alive: name, Host: "localhost"}, Cookie: cookie, EPMDAddr: epmd, Log: testLog(t).With("node", name),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func startNode(t testing.TB, n *node.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := n.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := n.Registered(ctx); err != nil {
		t.Fatal(err)
	}
}

// startSystem starts a node with actors.
func startSystem(t testing.TB, epmd, name string) *System {
	t.Helper()
	n := newNode(t, epmd, name)
	s, err := Start(t.Context(), Options{Node: n, Logger: testLog(t).With("system", name)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	startNode(t, n)
	return s
}

// probe is an Actor that runs what tests tell it and shows what it gets.
type probe struct {
	Actor
	got chan received
}

type received struct {
	From gen.PID
	Msg  any
}

// do is run by the probe in its own goroutine.
type do struct {
	f    func(p *probe) error
	done chan error
}

// die ends the probe with the reason.
type die struct{ reason error }

func (p *probe) HandleMessage(from gen.PID, msg any) error {
	switch m := msg.(type) {
	case do:
		m.done <- m.f(p)
	case die:
		return m.reason
	default:
		p.got <- received{from, msg}
	}
	return nil
}

// HandleCall answers {echo, Request}, except for a few requests.
func (p *probe) HandleCall(from gen.PID, ref gen.Ref, req any) (any, error) {
	switch req {
	case any(etf.Atom("late")):
		p.got <- received{from, ref}
		return nil, nil
	case any(etf.Atom("crash")):
		panic("as asked")
	case any(etf.Atom("custom")):
		return nil, &ExitReason{Term: etf.Tuple{etf.Atom("custom"), int64(1)}}
	case any(etf.Atom("self")):
		return p.PID(), nil
	}
	return etf.Tuple{etf.Atom("echo"), req}, nil
}

// actor is a probe as a test handles it.
type actor struct {
	t   *testing.T
	s   *System
	pid gen.PID
	got chan received
}

func spawnProbe(t *testing.T, s *System, name string) *actor {
	t.Helper()
	a := &actor{t: t, s: s, got: make(chan received, 1<<17)}
	factory := func() gen.ProcessBehavior { return &probe{got: a.got} }
	var err error
	if name == "" {
		a.pid, err = s.Ergo().Spawn(factory, gen.ProcessOptions{})
	} else {
		a.pid, err = s.Ergo().SpawnRegister(gen.Atom(name), factory, gen.ProcessOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// wire is the pid as peers see it.
func (a *actor) wire() etf.Pid { return a.s.Pid(a.pid) }

// do runs f in the actor and returns what it returns.
func (a *actor) do(f func(p *probe) error) error {
	a.t.Helper()
	d := do{f: f, done: make(chan error, 1)}
	if err := a.s.Ergo().Send(a.pid, d); err != nil {
		a.t.Fatal(err)
	}
	select {
	case err := <-d.done:
		return err
	case <-time.After(patience):
		a.t.Fatal("the actor does not answer")
		return nil
	}
}

// must is do for what has to succeed.
func (a *actor) must(f func(p *probe) error) {
	a.t.Helper()
	if err := a.do(f); err != nil {
		a.t.Fatal(err)
	}
}

// end makes the actor end with the reason.
func (a *actor) end(reason error) {
	a.t.Helper()
	if err := a.s.Ergo().Send(a.pid, die{reason}); err != nil {
		a.t.Fatal(err)
	}
}

// hold keeps the actor busy until release is called.
func (a *actor) hold() (release func()) {
	a.t.Helper()
	busy, done := make(chan struct{}), make(chan struct{})
	d := do{f: func(*probe) error { close(busy); <-done; return nil }, done: make(chan error, 1)}
	if err := a.s.Ergo().Send(a.pid, d); err != nil {
		a.t.Fatal(err)
	}
	<-busy
	return func() { close(done) }
}

// next is the next message the actor got.
func (a *actor) next() received {
	a.t.Helper()
	select {
	case r := <-a.got:
		return r
	case <-time.After(patience):
		a.t.Fatal("the actor got no message")
		return received{}
	}
}

// want checks the next message.
func (a *actor) want(want any) received {
	a.t.Helper()
	r := a.next()
	if !same(r.Msg, want) {
		a.t.Fatalf("the actor got %#v, want %#v", r.Msg, want)
	}
	return r
}

// same compares messages: terms as Erlang does, and reasons inside Ergo's messages.
func same(a, b any) bool {
	switch x := a.(type) {
	case gen.MessageExitPID:
		y, ok := b.(gen.MessageExitPID)
		return ok && x.PID == y.PID && etf.Equal(ReasonTerm(x.Reason), ReasonTerm(y.Reason))
	case gen.MessageDownPID:
		y, ok := b.(gen.MessageDownPID)
		return ok && x.PID == y.PID && etf.Equal(ReasonTerm(x.Reason), ReasonTerm(y.Reason))
	case gen.MessageExitProcessID:
		y, ok := b.(gen.MessageExitProcessID)
		return ok && x.ProcessID == y.ProcessID && etf.Equal(ReasonTerm(x.Reason), ReasonTerm(y.Reason))
	case gen.MessageDownProcessID:
		y, ok := b.(gen.MessageDownProcessID)
		return ok && x.ProcessID == y.ProcessID && etf.Equal(ReasonTerm(x.Reason), ReasonTerm(y.Reason))
	case Cast:
		y, ok := b.(Cast)
		return ok && etf.Equal(x.Request, y.Request)
	}
	if reflect.TypeOf(a) != reflect.TypeOf(b) {
		return isTerm(a) && isTerm(b) && etf.Equal(a, b)
	}
	return reflect.DeepEqual(a, b) || isTerm(a) && etf.Equal(a, b)
}

func isTerm(v any) bool {
	switch v.(type) {
	case int64, etf.Atom, etf.Binary, etf.Tuple, etf.List, etf.Charlist, etf.Map, etf.Pid, etf.Ref:
		return true
	}
	return false
}

// ended waits until the actor is gone.
func (a *actor) ended() {
	a.t.Helper()
	eventually(a.t, fmt.Sprintf("%s to end", a.pid), func() bool {
		_, err := a.s.Ergo().ProcessState(a.pid)
		return err != nil
	})
}

// alive checks that the actor still answers.
func (a *actor) alive() {
	a.t.Helper()
	a.must(func(*probe) error { return nil })
}
