package node

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
)

// A peer that knows the cookie and does whatever a string of bytes says: valid and invalid operations, fragments, entries of
// the atom cache, half frames, reconnects. The node must survive it with its other links served and nothing kept.

const evilName etf.Atom = "evil@localhost"

// arena is a live node with a friend, for any number of hostile sequences.
type arena struct {
	n      *Node
	good   *friend
	sink   *Process
	procs  int // processes of the node when nothing is under way
	routes int // goroutines
	heap   int64
	slack  int64 // bytes by which it may grow
	rounds int
}

func newArena(tb testing.TB) *arena {
	n, _ := hostNode(tb, func(c *Config) {
		c.MaxMessageBytes, c.MaxFragments, c.MaxWatches, c.MaxCalls = 1<<20, 16, 200, 32
		c.OutboxBytes, c.MaxOutboxBytes = 64<<10, 1<<20
		c.HandshakeTimeout = 5 * time.Second
		c.EPMDAddr = "127.0.0.1:1" // where nobody is
	})
	a := &arena{n: n, good: newFriend(tb, n, "friend"), sink: n.Whereis("sink"), slack: 8 << 20}
	for _, p := range n.procs.all() {
		p.Shield()
	}
	a.good.call(tb, 100)
	a.procs, a.heap = len(n.procs.all()), liveHeap()
	return a
}

// round plays one sequence and checks the node afterwards.
func (a *arena) round(tb testing.TB, script []byte) {
	tb.Helper()
	if a.rounds == 0 {
		a.routes = runtime.NumGoroutine() // the fuzzer has some of its own by now
	}
	e := &evil{a: a, in: script}
	e.play()
	a.good.call(tb, 3) // while what the hostile one did is perhaps still being dealt with
	e.hangUp()
	a.settle(tb, "the link of the hostile peer", func() bool {
		a.n.mu.RLock()
		defer a.n.mu.RUnlock()
		return a.n.links == 1 && len(a.n.peers) == 1
	})
	a.settle(tb, "its calls", func() bool { return a.n.calls.Load() == 0 && len(a.n.procs.all()) == a.procs })
	a.settle(tb, "its goroutines", func() bool { return runtime.NumGoroutine() <= a.routes+8 })
	a.sink.mu.Lock()
	links, watchers := len(a.sink.links), len(a.sink.watchers)+len(a.sink.monitors)
	a.sink.mu.Unlock()
	if links+watchers != 0 {
		tb.Fatalf("%d links and %d monitors are left", links, watchers)
	}
	a.good.call(tb, 2)
	if a.rounds++; a.rounds%200 == 0 {
		if grown := liveHeap() - a.heap; grown > a.slack {
			tb.Fatalf("after %d sequences the heap has grown by %d KiB", a.rounds, grown>>10)
		}
	}
}

func (a *arena) settle(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	for i := 0; !done(); i++ {
		if i < 50 {
			runtime.Gosched()
			continue
		}
		if i > 6_000 {
			buf := make([]byte, 1<<20)
			tb.Fatalf("waited in vain for the end of %s: %d calls, %d processes of %d, %d goroutines of %d\n%s", what, a.n.calls.Load(),
				len(a.n.procs.all()), a.procs, runtime.NumGoroutine(), a.routes, buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(time.Millisecond)
	}
}

// evil is one hostile sequence.
type evil struct {
	a     *arena
	in    []byte // what to do
	conns []net.Conn
	conn  net.Conn // the last of them
	out   []byte   // to be written
	frags map[uint64]uint64
}

func (e *evil) byte() byte {
	if len(e.in) == 0 {
		return 0
	}
	b := e.in[0]
	e.in = e.in[1:]
	return b
}

func (e *evil) bytes(n int) []byte {
	n = min(n, len(e.in))
	b := e.in[:n]
	e.in = e.in[n:]
	return slices.Clone(b)
}

func (e *evil) dial(name Name) {
	flags := flagsOurs
	switch e.byte() % 8 {
	case 0:
		flags &^= FlagDistHdrAtomCache
	case 1:
		flags &^= FlagExitPayload | FlagUnlinkID | FlagAlias | FlagSpawn | FlagSendSender | FlagFragments | FlagMandatory25 | FlagAltactSig
	}
	conn, err := tryPeerFlags(peerAddr(e.a.n), name, e.a.n.config.Cookie, flags)
	if err != nil {
		return // it may well refuse
	}
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	conn.(*net.TCPConn).SetLinger(0)
	e.conn, e.frags = conn, map[uint64]uint64{}
	e.conns = append(e.conns, conn)
}

func (e *evil) flush() {
	if e.conn != nil {
		e.conn.Write(e.out) // it may be closed already
	}
	e.out = nil
}

func (e *evil) hangUp() {
	for _, c := range e.conns {
		c.Close()
	}
}

func (e *evil) play() {
	e.dial(Name{Alive: "evil", Host: "localhost"})
	for steps := 0; len(e.in) > 0 && steps < 300; steps++ {
		e.step(e.byte())
		if len(e.out) > 0 && e.byte()%4 == 0 {
			e.flush()
		}
	}
	e.flush()
}

// The parts of messages, by choice.

func (e *evil) pid() etf.Pid {
	pid := peerPid(evilName, uint32(e.byte()%8))
	if e.byte()%64 == 0 {
		pid.Node = "somebody@else"
	}
	return pid
}

func (e *evil) ref() etf.Ref {
	return etf.Ref{Node: evilName, Creation: 7, Len: 1 + uint8(e.byte()%5), ID: [5]uint32{uint32(e.byte() % 16)}}
}

func (e *evil) target() etf.Pid {
	n := e.a.n
	switch e.byte() % 8 {
	case 0:
		return etf.Pid{Node: n.self, ID: uint32(e.byte()), Creation: n.creation}
	case 1:
		return etf.Pid{Node: n.self, ID: 1, Creation: n.creation + 1}
	case 2:
		return n.Whereis("rex").pid
	case 3:
		return n.client.process.pid
	case 4:
		return n.io.pid
	}
	return e.a.sink.pid
}

func (e *evil) name() etf.Atom {
	return []etf.Atom{"sink", "echo", "rex", "net_kernel", "nobody", "", "user", "sink"}[e.byte()%8]
}

func (e *evil) term(depth int) etf.Term {
	switch b := e.byte() % 16; {
	case b < 4 || depth == 0:
		return int64(e.byte())
	case b < 6:
		return etf.Atom(e.bytes(int(e.byte() % 16)))
	case b < 8:
		return etf.Binary(e.bytes(int(e.byte())))
	case b == 8:
		return etf.Binary(make([]byte, int(e.byte())<<10))
	case b == 9:
		return e.ref()
	case b == 10:
		return e.pid()
	case b < 13:
		t := etf.Tuple{}
		for range e.byte() % 6 {
			t = append(t, e.term(depth-1))
		}
		return t
	case b == 13:
		return etf.Map{{Key: e.term(0), Value: e.term(depth - 1)}}
	case b == 14:
		return etf.ImproperList{Elems: []etf.Term{etf.Atom("alias")}, Tail: e.ref()}
	}
	l := etf.List{}
	for range e.byte() % 6 {
		l = append(l, e.term(depth-1))
	}
	return l
}

// request is what rex, net_kernel and gen_servers are asked.
func (e *evil) request() etf.Term {
	from := etf.Tuple{e.pid(), e.term(1)}
	call := etf.Tuple{etf.Atom("call"), etf.Atom("m"), etf.Atom("wait"), etf.List{}, e.pid()}
	switch e.byte() % 8 {
	case 0:
		return etf.Tuple{etf.Atom("$gen_call"), from, call}
	case 1:
		return etf.Tuple{etf.Atom("$gen_cast"), call}
	case 2:
		return etf.Tuple{etf.Atom("$gen_call"), from, etf.Tuple{etf.Atom("is_auth"), evilName}}
	case 3:
		return etf.Tuple{e.pid(), etf.Atom("features_request")}
	case 4:
		return etf.Tuple{etf.Atom("$gen_call"), from, e.term(3)}
	case 5:
		return etf.Tuple{etf.Atom("io_request"), e.pid(), e.term(1), etf.Tuple{etf.Atom("put_chars"), etf.Atom("unicode"), e.term(2)}}
	case 6:
		return etf.Tuple{e.ref(), e.term(2)} // a reply
	}
	return e.term(4)
}

func (e *evil) control(ctl etf.Tuple, payload ...etf.Term) {
	b, err := tryControlOf(ctl, payload...)
	if err != nil {
		return // an atom that is none, say
	}
	if e.byte()%32 == 0 && len(b) > 4 { // a bit is wrong
		b[3+int(e.byte())%(len(b)-3)] ^= 1 << (e.byte() % 8)
	}
	if e.byte()%8 == 0 && len(b) > 3 { // without a distribution header
		plain := append([]byte{passThrough, versionMagic}, b[3:]...)
		e.frame(plain)
		return
	}
	e.frame(b)
}

func (e *evil) frame(b []byte) { e.out = append(e.out, frameOf(b)...) }

// step does one thing. Most are valid, so that a link lives for a while.
func (e *evil) step(op byte) {
	switch op % 42 {
	case 0, 1:
		e.out = append(e.out, 0, 0, 0, 0)
	case 2, 3, 4:
		e.control(etf.Tuple{opRegSend, e.pid(), etf.Atom(""), e.name()}, e.request())
	case 5, 6:
		e.control(etf.Tuple{opSendSender, e.pid(), e.target()}, e.request())
	case 7:
		e.control(etf.Tuple{opSend, etf.Atom(""), e.target()}, e.term(3))
	case 8, 9:
		e.control(etf.Tuple{opLink, e.pid(), e.target()})
	case 10:
		e.control(etf.Tuple{opUnlinkID, int64(1 + e.byte()), e.pid(), e.target()})
	case 11:
		e.control(etf.Tuple{opUnlinkIDAck, int64(e.byte()), e.pid(), e.target()})
	case 12, 13:
		var to etf.Term = e.target()
		if e.byte()%2 == 0 {
			to = e.name()
		}
		e.control(etf.Tuple{opMonitorP, e.pid(), to, e.ref()})
	case 14:
		var to etf.Term = e.target()
		if e.byte()%2 == 0 {
			to = e.name()
		}
		e.control(etf.Tuple{opDemonitorP, e.pid(), to, e.ref()})
	case 15:
		e.control(etf.Tuple{opPayloadExit, e.pid(), e.target()}, e.term(2))
	case 16:
		e.control(etf.Tuple{opPayloadExit2, e.pid(), e.target()}, []etf.Term{etf.Atom("kill"), etf.Atom("normal"), e.term(1)}[e.byte()%3])
	case 17:
		e.control(etf.Tuple{opPayloadMonitorPEx, e.pid(), e.target(), e.ref()}, e.term(2))
	case 18, 19, 20:
		mod, args := etf.Atom("m"), etf.List{}
		fun := []etf.Atom{"wait", "none", "wait"}[e.byte()%3]
		if e.byte()%3 == 0 {
			mod, fun, args = "erpc", "execute_call", etf.List{e.ref(), etf.Atom("m"), etf.Atom("wait"), e.term(2)}
		}
		opts := []etf.Term{etf.List{}, etf.List{etf.Atom("monitor")}, etf.List{etf.Atom("link"), etf.Atom("monitor")}, e.term(2)}[e.byte()%4]
		e.control(etf.Tuple{opSpawnRequest, e.ref(), e.pid(), e.pid(), etf.Tuple{mod, fun, len(args)}, opts}, args)
	case 21:
		e.control(etf.Tuple{opSpawnReply, e.ref(), e.target(), int64(e.byte() % 4), e.pid()})
	case 22:
		e.control(etf.Tuple{opAliasSend, e.pid(), e.ref()}, e.term(2))
	case 23:
		e.control(etf.Tuple{opGroupLeader, e.pid(), e.target()})
	case 24, 25:
		e.firstFragment()
	case 26, 27, 28:
		e.nextFragment()
	case 29, 30:
		e.cached()
	case 31: // an operation of any number and arity
		ctl := etf.Tuple{int64(e.byte() % 40)}
		for range e.byte() % 6 {
			ctl = append(ctl, e.term(1))
		}
		e.control(ctl, e.term(1))
	case 32:
		e.frame(e.bytes(int(e.byte())))
	case 33: // less than announced: what comes next is taken for the rest
		e.out = binary.BigEndian.AppendUint32(e.out, uint32(e.byte())<<(e.byte()%16))
	case 34:
		e.out = append(e.out, e.bytes(int(e.byte()))...)
	case 35:
		e.flush()
		if e.conn != nil {
			e.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			io.CopyN(io.Discard, e.conn, 1<<16)
		}
	case 36: // once more, while the link is there perhaps
		e.flush()
		e.dial(Name{Alive: "evil", Host: "localhost"})
	case 37:
		e.flush()
		if e.conn != nil {
			e.conn.Close()
		}
		e.dial(Name{Alive: "evil", Host: "localhost"})
	case 38: // a handshake of nonsense
		if c, err := net.Dial("tcp", peerAddr(e.a.n)); err == nil {
			c.(*net.TCPConn).SetLinger(0)
			e.conns = append(e.conns, c)
			c.Write(frameOf(e.bytes(int(e.byte())))[2:])
		}
	case 39:
		flags := int64(e.byte() % 32)
		to := []etf.Term{e.target(), e.ref(), e.name()}[e.byte()%3]
		e.control(etf.Tuple{opAltactSig, flags, e.pid(), to}, e.term(2))
	case 40, 41:
		e.flush()
		e.ours()
	}
}

// ours is what the node does with the hostile peer meanwhile, and gives up soon.
func (e *evil) ours() {
	if e.a.n.linkUp(Name{Alive: "evil", Host: "localhost"}) == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	p, pid := e.a.sink, peerPid(evilName, uint32(e.byte()%8))
	switch e.byte() % 7 {
	case 0:
		p.Send(ctx, ToPid(pid), e.term(3))
	case 1:
		p.Link(ctx, pid)
	case 2:
		p.Unlink(pid)
	case 3:
		p.Monitor(ctx, ToPid(pid))
	case 4:
		e.a.n.Call(ctx, Name{Alive: "evil", Host: "localhost"}, "m", "f", e.term(2))
	case 5:
		e.a.n.GenCall(ctx, ToName("x", Name{Alive: "evil", Host: "localhost"}), e.term(2))
	case 6:
		p.Send(ctx, ToPid(pid), etf.Binary(make([]byte, 300<<10)))
	}
}

func (e *evil) firstFragment() {
	seq, left := uint64(e.byte()%20), 1+uint64(e.byte()%4)
	msg, err := tryControlOf(etf.Tuple{opRegSend, e.pid(), etf.Atom(""), e.name()}, e.term(3))
	if err != nil {
		return
	}
	b := binary.BigEndian.AppendUint64([]byte{versionMagic, tagFirstFragment}, seq)
	b = binary.BigEndian.AppendUint64(b, left)
	e.frame(append(b, msg[2:]...))
	e.frags[seq] = left
}

func (e *evil) nextFragment() {
	seq := uint64(e.byte() % 20)
	left := e.frags[seq]
	if left > 1 && e.byte()%16 != 0 {
		left--
		e.frags[seq] = left
	}
	b := binary.BigEndian.AppendUint64([]byte{versionMagic, tagFragment}, seq)
	b = binary.BigEndian.AppendUint64(b, left)
	e.frame(append(b, make([]byte, int(e.byte())<<(e.byte()%10))...))
}

// cached sends a message with a header of atoms, new and old.
func (e *evil) cached() {
	n := int(e.byte() % 8)
	b := []byte{versionMagic, tagDistHeader, byte(n)}
	if n > 0 {
		flags := make([]byte, n/2+1)
		var entries []byte
		for i := range n {
			slot := e.byte() % 16
			entries = append(entries, slot)
			if e.byte()%4 != 0 {
				flags[i/2] |= 8 << (4 * (i & 1))
				name := e.bytes(int(e.byte() % 12))
				entries = append(append(entries, byte(len(name))), name...)
			}
		}
		b = append(append(b, flags...), entries...)
	}
	ctl, err := etf.AppendTerm(nil, etf.Tuple{opRegSend, e.pid(), etf.Atom(""), e.name()})
	if err != nil {
		return
	}
	b = append(append(b, ctl...), 104, 2, 82, e.byte()%8, 82, e.byte()%8) // {CacheRef, CacheRef}
	e.frame(b)
}

// FuzzHostilePeer: whatever a peer with the cookie does, others are served and nothing is left of it.
func FuzzHostilePeer(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		f.Add(randomScript(r))
	}
	a := newArena(f)
	a.slack = 128 << 20 // the fuzzer itself takes a hundred
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 16<<10 {
			return
		}
		a.round(t, script)
	})
}

func randomScript(r *rand.Rand) []byte {
	b := make([]byte, 20+r.IntN(400))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// Some thousand sequences, the same ones each time.
func TestHostile_RandomSequences(t *testing.T) {
	a := newArena(t)
	r := rand.New(rand.NewPCG(3, 4))
	for range 2500 {
		a.round(t, randomScript(r))
	}
}
