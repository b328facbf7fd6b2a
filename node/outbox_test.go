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
	"testing/synctest"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
)

// pipeLink makes a link between a node without a network and a test, over net.Pipe.
func pipeLink(t *testing.T, change func(*Config)) (*Node, *link, net.Conn) {
	t.Helper()
	c := Config{Name: Name{Alive: "keeper", Host: "localhost"}, Cookie: flowCookie, Listen: listenNone, NetTickTime: time.Hour}
	if change != nil {
		change(&c)
	}
	n, err := newNode(c, flowCreation, [12]byte{})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	ours, theirs := net.Pipe()
	t.Cleanup(func() { theirs.Close() })
	f := &flowNode{Node: n}
	l := f.connect(t, ours, handshakeResult{peer: Name{Alive: "beam", Host: "localhost"}, flags: flagsOurs, creation: 7})
	return n, l, theirs
}

func readWholeFrame(t *testing.T, r io.Reader) []byte {
	t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return b
}

var beamPid = etf.Pid{Node: "beam@localhost", ID: 9, Creation: 7}

// A big message leaves in fragments that let others pass, while what its own sender says afterwards stays behind it.
func TestOutbox_FragmentsKeepOrderAndLetOthersPass(t *testing.T) {
	t.Parallel()
	n, l, wire := pipeLink(t, nil)
	big, other := n.Spawn(&Mailbox{}), n.Spawn(&Mailbox{})
	blob := bytes.Repeat([]byte("0123456789abcdef"), 40<<10) // 640 KiB
	l.out.beginBatch()                                       // all of it is queued before the first write
	for _, s := range []struct {
		p   *Process
		msg etf.Term
	}{
		{big, etf.Tuple{etf.Atom("blob"), etf.Binary(blob)}}, {big, etf.Atom("after")}, {other, etf.Atom("passes")},
	} {
		if err := s.p.Send(t.Context(), ToPid(beamPid), s.msg); err != nil {
			t.Fatal(err)
		}
	}
	l.out.endBatch()
	l.out.wake()

	r := &receiver{}
	r.init(l)
	var order []string
	var fragments []uint64
	var assembled []byte
	d := etf.NewDecoder(etf.Limits{})
	note := func(b []byte) {
		_, payload, err := d.DecodeTerm(b)
		if err != nil {
			t.Fatal(err)
		}
		msg, _, err := d.DecodeTerm(payload)
		if err != nil {
			t.Fatal(err)
		}
		if tuple, ok := msg.(etf.Tuple); ok {
			if !etf.Equal(tuple[1], etf.Binary(blob)) {
				t.Error("the blob differs")
			}
			msg = tuple[0]
		}
		order = append(order, string(msg.(etf.Atom)))
	}
	for len(order) < 3 {
		b := readWholeFrame(t, wire)
		switch b[1] {
		case tagDistHeader:
			note(b[3:])
		case tagFirstFragment, tagFragment:
			if len(b) > fragmentBytes+200 {
				t.Errorf("fragment of %d bytes", len(b))
			}
			left := binary.BigEndian.Uint64(b[10:])
			fragments = append(fragments, left)
			if b[1] == tagFirstFragment {
				assembled = append(assembled, b[19:]...)
			} else {
				assembled = append(assembled, b[18:]...)
			}
			if left == 1 {
				note(assembled)
			}
		}
	}
	if got := strings.Join(order, " "); got != "passes blob after" {
		t.Errorf("order %s", got)
	}
	for i, left := range fragments {
		if left != uint64(len(fragments)-i) {
			t.Fatalf("fragment numbers %v", fragments)
		}
	}
	if len(fragments) != 11 {
		t.Errorf("%d fragments of 64 KiB for 640 KiB and a little", len(fragments))
	}
	eventuallyTrue(t, func() bool { _, queued := l.out.stats(); return queued == 0 })
}

func eventuallyTrue(t *testing.T, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

// A sender waits while the outbox is full, and goes on when the peer reads, or gives up with its ctx.
func TestOutbox_BoundedInBytes(t *testing.T) {
	t.Parallel()
	n, l, wire := pipeLink(t, func(c *Config) { c.OutboxBytes = 100 << 10 })
	p := n.Spawn(&Mailbox{})
	blob := etf.Binary(make([]byte, 50<<10))
	for range 2 { // the first is being written, and nobody reads
		if err := p.Send(t.Context(), ToPid(beamPid), blob); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.Send(ctx, ToPid(beamPid), blob); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Send into a full outbox = %v", err)
	}
	wire.SetDeadline(time.Now().Add(20 * time.Second))
	sent := make(chan error)
	go func() { sent <- p.Send(context.Background(), ToPid(beamPid), etf.Atom("last")) }()
	for range 3 {
		readWholeFrame(t, wire)
	}
	if err := <-sent; err != nil {
		t.Errorf("Send = %v", err)
	}
	go p.Send(context.Background(), ToPid(beamPid), blob)
	go io.Copy(io.Discard, wire)
	eventuallyTrue(t, func() bool { _, queued := l.out.stats(); return queued == 0 })
}

// A sender that waits hears that the link is gone.
func TestOutbox_LinkLostWhileWaiting(t *testing.T) {
	t.Parallel()
	n, l, wire := pipeLink(t, func(c *Config) { c.OutboxBytes = 10 << 10 })
	p := n.Spawn(&Mailbox{})
	if err := p.Send(t.Context(), ToPid(beamPid), make([]byte, 20<<10)); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error)
	go func() { sent <- p.sendOn(context.Background(), l, ToPid(beamPid), etf.Atom("x"), true) }()
	wire.Close()
	if err := <-sent; !errors.Is(err, ErrNoConnection) {
		t.Errorf("Send = %v", err)
	}
}

// A peer that asks and asks and never reads is dropped at last.
func TestOutbox_Overload(t *testing.T) {
	t.Parallel()
	n, l, wire := pipeLink(t, func(c *Config) { c.OutboxBytes, c.MaxOutboxBytes = 1<<10, 64<<10 })
	go func() { // MONITOR_P of a process that does not exist: each is answered
		e := l.encode(4, opMonitorP)
		e.term(beamPid)
		e.term(etf.Atom("nobody"))
		e.term(etf.Ref{Node: "beam@localhost", Creation: 7, Len: 3})
		frame := binary.BigEndian.AppendUint32(nil, uint32(len(e.b)))
		frame = append(frame, e.b...)
		for {
			if _, err := wire.Write(frame); err != nil {
				return
			}
		}
	}()
	<-l.finished
	if !errors.Is(l.err, ErrOverload) {
		t.Errorf("link ended with %v", l.err)
	}
	if n.Connected(l.peer) {
		t.Error("still connected")
	}
}

// Many senders at once: each one's messages arrive in order and none is lost, over a real socket.
func TestOutbox_ManySenders(t *testing.T) {
	t.Parallel()
	a, b := socketPair(t)
	n, l, _ := pipeLink(t, nil)
	l2 := n.newLink(a, handshakeResult{peer: Name{Alive: "sock", Host: "localhost"}, flags: flagsOurs, creation: 7}, true)
	_ = l
	at := &attempt{cancel: func(error) {}}
	n.mu.Lock()
	n.peerOf(l2.peer).accept = at
	n.mu.Unlock()
	if err := n.adopt(l2, at); err != nil {
		t.Fatal(err)
	}
	const senders, each = 8, 500
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			p := n.Spawn(&Mailbox{})
			to := ToPid(etf.Pid{Node: "sock@localhost", ID: 1, Creation: 7})
			pad := make([]byte, []int{10, 1000, 30 << 10, 100 << 10}[s%4])
			for i := range each {
				if s%4 == 3 && i%10 != 0 {
					pad = pad[:10:10]
				} else if s%4 == 3 {
					pad = make([]byte, 100<<10)
				}
				if err := p.Send(context.Background(), to, etf.Tuple{s, i, pad}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	// The other end is a node of ours.
	other, err := newNode(Config{Name: Name{Alive: "sock", Host: "localhost"}, Cookie: flowCookie, Listen: listenNone}, 7, [12]byte{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var next [senders]int64
	total := 0
	done := make(chan struct{})
	p, err := other.SpawnAs(1, ReceiverFunc(func(_ *Process, s Signal) {
		m := s.(Message).Term.(etf.Tuple)
		from, i := m[0].(int64), m[1].(int64)
		if next[from] != i {
			t.Errorf("sender %d: message %d, want %d", from, i, next[from])
		}
		next[from] = i + 1
		if total++; total == senders*each {
			close(done)
		}
	}))
	if err != nil || p == nil {
		t.Fatal(err)
	}
	in := other.newLink(b, handshakeResult{peer: Name{Alive: "keeper", Host: "localhost"}, flags: flagsOurs, creation: flowCreation}, true)
	ended := make(chan error, 1)
	go func() { ended <- in.in.loop() }()
	wg.Wait()
	select {
	case <-done:
	case err := <-ended:
		t.Fatalf("the reader ended: %v", err)
	case <-time.After(30 * time.Second):
		t.Fatalf("%d of %d arrived", total, senders*each)
	}
	in.fail(ErrClosed)
}

func socketPair(t *testing.T) (net.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// A tick goes out in each quarter of net_ticktime when nothing else does, and is not answered; a silent peer is down after it.
func TestTick(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, l, wire := pipeLink(t, func(c *Config) { c.NetTickTime = 60 * time.Second })
		began := time.Now()
		for i := range 3 {
			if b := readWholeFrame(t, wire); len(b) != 0 {
				t.Fatalf("%x instead of a tick", b)
			}
			if d := time.Since(began); d != time.Duration(i+1)*15*time.Second {
				t.Errorf("tick %d after %v", i, d)
			}
			if _, err := wire.Write(make([]byte, 4)); err != nil { // theirs
				t.Fatal(err)
			}
		}
		// A message instead of a tick.
		synctest.Wait()
		p := n.Spawn(&Mailbox{})
		go p.Send(context.Background(), ToPid(beamPid), etf.Atom("x"))
		if b := readWholeFrame(t, wire); len(b) == 0 {
			t.Error("a tick before the message")
		}
		began = time.Now()
		if b := readWholeFrame(t, wire); len(b) != 0 || time.Since(began) < 15*time.Second || time.Since(began) > 30*time.Second {
			t.Errorf("the next tick after %v", time.Since(began))
		}
		go io.Copy(io.Discard, wire)
		<-l.finished
		if !errors.Is(l.err, ErrTickTimeout) {
			t.Errorf("link ended with %v", l.err)
		}
		if d := time.Since(began); d < 45*time.Second || d > 75*time.Second {
			t.Errorf("silent peer down after %v", d)
		}
		n.Close()
	})
}

// A peer that reads nothing any more is down after net_ticktime too.
func TestTick_StuckWriter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, l, wire := pipeLink(t, func(c *Config) { c.NetTickTime = 60 * time.Second })
		n.Spawn(&Mailbox{}).Send(t.Context(), ToPid(beamPid), etf.Atom("x"))
		for range 8 { // it ticks, though
			time.Sleep(10 * time.Second)
			wire.Write(make([]byte, 4))
		}
		<-l.finished
		if !errors.Is(l.err, ErrTickTimeout) {
			t.Errorf("link ended with %v", l.err)
		}
		n.Close()
	})
}

// What waits is at most MaxOutboxBytes and two messages, whoever sends: senders that wait stop at OutboxBytes, and answers
// that cannot wait end the link. A large message of a sender that waits does not make answers count for more.
func TestOutbox_BoundByName(t *testing.T) {
	t.Parallel()
	const limit, hard, size = 10 << 10, 100 << 10, 1000
	stuck := func() (*outbox, *error) {
		var failed error
		o := &outbox{limit: limit, hard: hard, conn: &bytesConn{}, kick: make(chan struct{}, 1)}
		o.fail = func(err error) { failed = err; o.close(err) }
		return o, &failed
	}
	put := func(o *outbox, n int, wait bool) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		return o.put(ctx, packet{head: make([]byte, n), size: n}, wait)
	}

	o, failed := stuck()
	for put(o, size, true) == nil {
	}
	if _, queued := o.stats(); *failed != nil || queued < limit || queued > limit+size+4 {
		t.Errorf("%d bytes of senders that wait are queued, %v", queued, *failed)
	}
	for put(o, size, false) == nil {
		if _, queued := o.stats(); queued > hard+2*(size+4) {
			t.Fatalf("%d bytes are queued, at most %d and two messages expected", queued, hard)
		}
	}
	if !errors.Is(*failed, ErrOverload) {
		t.Errorf("failed with %v", *failed)
	}

	o, failed = stuck()
	if err := put(o, 10*hard, true); err != nil {
		t.Fatal(err)
	}
	answers := 0
	for ; put(o, size, false) == nil; answers++ {
	}
	if answers < hard/size || answers > hard/size+2 || !errors.Is(*failed, ErrOverload) {
		t.Errorf("%d answers of %d bytes behind a large message, %v", answers, size, *failed)
	}
}

// Small packets between large binaries share their chunks.
func TestOutbox_ChunksAreFilled(t *testing.T) {
	t.Parallel()
	o := &outbox{limit: 1 << 30, hard: 1 << 30, conn: &bytesConn{}, kick: make(chan struct{}, 1)}
	blob := bytes.Repeat([]byte("b"), bigBinary)
	var want []byte
	for i := range 200 {
		head := fmt.Appendf(nil, "%d head", i)
		want = binary.BigEndian.AppendUint32(want, uint32(len(head)+len(blob)))
		want = append(append(want, head...), blob...)
		if err := o.put(t.Context(), packet{head: head, tail: [][]byte{blob}, size: len(head) + len(blob)}, true); err != nil {
			t.Fatal(err)
		}
	}
	if len(o.owned) != 1 {
		t.Errorf("%d chunks for 200 small heads", len(o.owned))
	}
	if got := bytes.Join(o.take(), nil); !bytes.Equal(got, want) {
		t.Error("the bytes differ")
	}
}
