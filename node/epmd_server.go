package node

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// Defaults of EPMDServer.
const (
	DefaultEPMDNames       = 1000
	DefaultEPMDConns       = 256
	DefaultEPMDIdleTimeout = 10 * time.Second
)

// EPMDServer is a port mapper: it tells where the nodes of its host listen. It does what the epmd of Erlang/OTP does
// with -relaxed_command_check off. The zero value is ready.
//
// Only those who connect from a loopback address may register a node, or end the server, which it refuses while any
// node is registered (KILL_REQ). STOP_REQ, which would take away the name of another node, is never obeyed.
//
// Spec: https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html#epmd-protocol
type EPMDServer struct {
	MaxNames    int           // nodes registered at one time; more get an error; 0: 1000
	MaxConns    int           // connections of those that are not registered; beyond, the oldest is closed; 0: 256
	IdleTimeout time.Duration // for a request to arrive whole, and for the answer to leave; 0: 10 s
	Log         *slog.Logger  // nil: slog.DiscardHandler

	mu     sync.Mutex
	names  map[string]*epmdEntry
	conns  map[net.Conn]struct{}
	asking []net.Conn // those that are not registered, the oldest first
}

// Serve answers on all listeners and closes them. It returns nil when ctx has ended, or when it was asked to end with
// KILL_REQ, and otherwise the error of a listener.
func (s *EPMDServer) Serve(ctx context.Context, listeners ...net.Listener) error {
	s.defaults()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	for _, l := range listeners {
		wg.Go(func() {
			stop(s.accept(ctx, stop, l, &wg)) // the others end with it
		})
	}
	<-ctx.Done()
	for _, l := range listeners {
		l.Close()
	}
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, errEPMDKilled) {
		return err
	}
	return nil
}

// errEPMDKilled ends a server that was asked to end.
var errEPMDKilled = errors.New("asked to end")

func (s *EPMDServer) defaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.MaxNames = cmp.Or(s.MaxNames, DefaultEPMDNames)
	s.MaxConns = cmp.Or(s.MaxConns, DefaultEPMDConns)
	s.IdleTimeout = cmp.Or(s.IdleTimeout, DefaultEPMDIdleTimeout)
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.names == nil {
		s.names, s.conns = make(map[string]*epmdEntry), make(map[net.Conn]struct{})
	}
}

func (s *EPMDServer) accept(ctx context.Context, stop context.CancelCauseFunc, l net.Listener, wg *sync.WaitGroup) error {
	for pause := 5 * time.Millisecond; ; {
		c, err := l.Accept()
		var temporary net.Error
		switch {
		case err == nil:
			pause = 5 * time.Millisecond
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return ctx.Err()
		case errors.As(err, &temporary): // out of file descriptors, as a rule
			s.Log.Warn("epmd cannot accept", "err", err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(2*pause, time.Second)
			continue
		default:
			return err
		}
		if !s.enter(ctx, c) {
			c.Close()
			continue
		}
		wg.Go(func() {
			if s.serve(c) {
				stop(errEPMDKilled)
			}
		})
	}
}

// enter notes a connection. When there are too many the oldest that has not registered gives way, so that nobody can keep
// others out by saying nothing. It is false when the server ends.
func (s *EPMDServer) enter(ctx context.Context, c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	if len(s.asking) >= s.MaxConns {
		s.asking[0].Close() // its serve ends
		s.asking = s.asking[1:]
	}
	s.asking = append(s.asking, c)
	s.conns[c] = struct{}{}
	return true
}

// serve answers one connection: one request, and then, if that was ALIVE2_REQ, it holds the name until the peer closes.
func (s *EPMDServer) serve(c net.Conn) (killed bool) {
	asked := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asking = slices.DeleteFunc(s.asking, func(x net.Conn) bool { return x == c })
	}
	defer func() {
		c.Close()
		asked()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	// An error of SetDeadline is one of the connection, which reading and writing meet too.
	c.SetDeadline(time.Now().Add(s.IdleTimeout))
	tag, body, err := readEPMDReq(c)
	if err != nil {
		if errors.Is(err, errEPMDRequest) {
			s.Log.Debug("epmd request", "from", c.RemoteAddr().String(), "err", err)
		}
		return false
	}
	switch tag {
	case tagAlive2Req:
		e := s.register(c, body)
		if e == nil {
			return false
		}
		defer s.unregister(e)
		if _, err := c.Write(e.alive2Resp(0)); err != nil {
			return false
		}
		asked()
		c.SetDeadline(time.Time{})
		// Nothing more is to come. Whoever sends something nevertheless is not worth remembering.
		var b [1]byte
		_, _ = c.Read(b[:])
		return false
	case tagKillReq:
		ok := isLoopback(c) && s.idle()
		c.Write([]byte(map[bool]string{true: "OK", false: "NO"}[ok])) // whoever is gone does not care
		return ok
	}
	c.Write(s.answer(c, tag, body)) // whoever is gone does not care
	return false
}

// answer is the answer to a question; empty to what is none.
func (s *EPMDServer) answer(c net.Conn, tag byte, body []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch tag {
	case tagPortPlease2Req:
		if e := s.names[string(body)]; e != nil {
			return e.port2Resp()
		}
		return []byte{tagPort2Resp, 1}
	case tagNamesReq, tagDumpReq:
		port := 0
		if a, ok := c.LocalAddr().(*net.TCPAddr); ok {
			port = a.Port
		}
		b := binary.BigEndian.AppendUint32(nil, uint32(port))
		for _, name := range slices.Sorted(maps.Keys(s.names)) {
			if tag == tagNamesReq {
				b = fmt.Appendf(b, "name %s at port %d\n", name, s.names[name].port)
			} else {
				b = fmt.Appendf(b, "active name     <%s> at port %d, fd = -1\n", name, s.names[name].port)
			}
		}
		return b
	}
	return nil
}

// register notes a node. It gives nil, having answered, when that cannot be.
func (s *EPMDServer) register(c net.Conn, body []byte) *epmdEntry {
	e, err := parseAlive2(body)
	if err != nil {
		s.Log.Warn("epmd registration", "from", c.RemoteAddr().String(), "err", err)
		return nil
	}
	e.creation = rand.Uint32N(1<<32-5) + 4 // 0 to 3 are those of old
	s.mu.Lock()
	defer s.mu.Unlock()
	refusal := ""
	switch {
	case !isLoopback(c):
		refusal = "not from this host"
	case s.names[e.name] != nil:
		refusal = "name taken"
	case len(s.names) >= s.MaxNames:
		refusal = "too many names"
	}
	if refusal != "" {
		s.Log.Warn("epmd registration refused", "name", fmt.Sprintf("%q", e.name), "from", c.RemoteAddr().String(), "reason", refusal)
		c.Write(e.alive2Resp(1)) // small: it does not wait; and whoever is gone does not care
		return nil
	}
	s.names[e.name] = &e
	s.Log.Info("node registered", "name", e.name, "port", e.port, "hidden", e.kind == nodeTypeHidden)
	return &e
}

func (s *EPMDServer) unregister(e *epmdEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.names, e.name)
	s.Log.Info("node gone", "name", e.name)
}

// idle tells whether no node is registered.
func (s *EPMDServer) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.names) == 0
}

func isLoopback(c net.Conn) bool {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}
