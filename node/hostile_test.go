package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
)

// docs/limits.md names these tests.

// liveHeap is the live heap.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // what a pool kept from the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// grewBy fails when more than limit bytes are kept that were not before.
func grewBy(t *testing.T, before, limit int64, what string) {
	t.Helper()
	if grown := liveHeap() - before; grown > limit {
		t.Errorf("%s: the heap grew by %d KiB, at most %d expected", what, grown>>10, limit>>10)
	}
}

// wantLinkEnd waits until the node has closed the link and checks why.
func wantLinkEnd(t *testing.T, l *link, want error) {
	t.Helper()
	select {
	case <-l.finished:
	case <-time.After(30 * time.Second):
		t.Fatal("the link is still up")
	}
	if !errors.Is(l.err, want) {
		t.Errorf("the link ended with %v, want %v", l.err, want)
	}
}

func linkOf(t *testing.T, n *Node, alive string) *link {
	t.Helper()
	var l *link
	eventuallyTrue(t, func() bool { l = n.linkUp(Name{Alive: alive, Host: "localhost"}); return l != nil })
	return l
}

// Connections that say nothing, or only a little of a handshake, do not keep out those who go on.
func TestHostile_HandshakeFlood(t *testing.T) {
	n, _ := hostNode(t, func(c *Config) { c.HandshakeTimeout = time.Hour })
	goroutines := runtime.NumGoroutine()
	for i := range 3 * maxAccepting {
		c, err := net.Dial("tcp", peerAddr(n))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		switch i % 3 {
		case 1:
			c.Write([]byte{0})
		case 2:
			c.Write([]byte{0, 30, 'N', 0, 0})
		}
	}
	eventuallyTrue(t, func() bool { return runtime.NumGoroutine() <= goroutines+maxAccepting+8 })
	for i := range 8 {
		newFriend(t, n, fmt.Sprintf("friend%d", i)).call(t, 10)
	}
}

// A handshake has its time for all of it, however often a byte comes.
func TestHostile_SlowHandshake(t *testing.T) {
	t.Parallel()
	n, _ := hostNode(t, func(c *Config) { c.HandshakeTimeout = 300 * time.Millisecond })
	c, err := net.Dial("tcp", peerAddr(n))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	closed := make(chan struct{})
	go func() {
		io.Copy(io.Discard, c)
		close(closed)
	}()
	msg := frameOf((&nameMsg{flags: flagsOurs, creation: 7, name: strings.Repeat("a", 200) + "@localhost"}).append(nil))[2:]
	for i := 0; ; i++ {
		select {
		case <-closed:
			if i >= len(msg) {
				t.Error("the whole message was read")
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
		c.Write(msg[min(i, len(msg)-1):][:1])
	}
}

// Nobody is let in beyond MaxLinks, except who has a link already; and when one goes there is room again.
func TestHostile_LinkFlood(t *testing.T) {
	t.Parallel()
	n, _ := hostNode(t, func(c *Config) { c.MaxLinks = 3 })
	var friends []*friend
	for i := range 3 {
		friends = append(friends, newFriend(t, n, fmt.Sprintf("peer%d", i)))
	}
	if _, err := tryPeer(peerAddr(n), Name{Alive: "late", Host: "localhost"}, flowCookie); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("the fourth peer gets %v", err)
	}
	friends[1] = newFriend(t, n, "peer1") // once more: its new link takes the place of the old one
	for _, f := range friends {
		f.call(t, 5)
	}
	friends[0].conn.Close()
	eventuallyTrue(t, func() bool { return len(n.Peers()) == 2 })
	newFriend(t, n, "late").call(t, 5)
}

// Lengths that are only announced take no memory, and those beyond the limit end the link.
func TestHostile_OversizedLengths(t *testing.T) {
	n, _ := hostNode(t, nil)
	good := newFriend(t, n, "friend")
	before := liveHeap()
	big := []byte{0xff, 0xff, 0xff, 0xff}
	to := func(payload ...byte) []byte {
		return frameOf(append(controlOf(etf.Tuple{opRegSend, peerPid("evil@localhost", 1), etf.Atom(""), etf.Atom("sink")}), payload...))
	}
	for name, b := range map[string][]byte{
		"a frame of 4 GiB":        big,
		"a list of 2^32":          to(append([]byte{108}, big...)...),
		"a tuple of 2^32":         to(append([]byte{105}, big...)...),
		"a map of 2^32":           to(append([]byte{116}, big...)...),
		"a binary of 4 GiB":       to(append([]byte{109}, big...)...),
		"an integer of 4 GiB":     to(append([]byte{111}, big...)...),
		"a record of 2^32":        to(append([]byte{101}, big...)...),
		"a fun of 4 GiB":          to(append([]byte{112}, big...)...),
		"2^64 fragments":          frameOf(append(append([]byte{131, 69, 0, 0, 0, 0, 0, 0, 0, 1}, append(big, big...)...), 0)),
		"a compressed bomb":       to(80, 0xff, 0xff, 0xff, 0xff, 1, 2, 3),
		"nested beyond all":       to(bytes.Repeat([]byte{104, 1}, 100_000)...),
		"256 lists in each other": to(bytes.Repeat([]byte{108, 0, 0, 0x40, 0}, 256)...),
	} {
		conn := dialPeer(t, peerAddr(n), Name{Alive: "evil", Host: "localhost"}, flowCookie)
		l := linkOf(t, n, "evil")
		conn.Write(b)
		wantLinkEnd(t, l, ErrProtocol)
		grewBy(t, before, 4<<20, name)
	}
	conn := dialPeer(t, peerAddr(n), Name{Alive: "evil", Host: "localhost"}, flowCookie)
	linkOf(t, n, "evil")
	conn.Write(binary.BigEndian.AppendUint32(nil, 200<<20)) // and no more
	conn.Write([]byte{131, 68, 0})
	good.call(t, 100)
	grewBy(t, before, 8<<20, "a frame of 200 MiB that does not come")
}

// What is in fragments that never end is bounded, and gone with the link.
func TestHostile_UnfinishedFragments(t *testing.T) {
	n, _ := hostNode(t, func(c *Config) { c.MaxMessageBytes = 2 << 20; c.MaxFragments = 50 })
	good := newFriend(t, n, "friend")
	good.call(t, 10)
	before := liveHeap()
	conn := dialPeer(t, peerAddr(n), Name{Alive: "evil", Host: "localhost"}, flowCookie)
	l := linkOf(t, n, "evil")
	first := func(seq uint64, size int) []byte {
		b := binary.BigEndian.AppendUint64([]byte{131, 69}, seq)
		b = binary.BigEndian.AppendUint64(b, 1<<20)
		return frameOf(append(b, make([]byte, 1+size)...))
	}
	for i := range uint64(50) {
		conn.Write(first(i, 60<<10))
	}
	eventuallyTrue(t, func() bool { return l.bytesIn.Load() > 50*(60<<10) })
	good.call(t, 100)
	grewBy(t, before, 2*(2<<20)+2<<20, "50 messages that stay in fragments")
	conn.Write(first(99, 10))
	wantLinkEnd(t, l, ErrProtocol)
	good.call(t, 100)
	grewBy(t, before, 1<<20, "after the link has gone")
}

// Atoms are as mortal as other terms: however many a peer makes up, in messages and in its atom cache, none is kept
// but the few thousand of the link's tables.
func TestHostile_AtomFlood(t *testing.T) {
	n, _ := hostNode(t, nil)
	good := newFriend(t, n, "friend")
	good.call(t, 10)
	before := liveHeap()
	conn := dialPeer(t, peerAddr(n), Name{Alive: "evil", Host: "localhost"}, flowCookie)
	l := linkOf(t, n, "evil")
	sent := 0
	pad := strings.Repeat("x", 240)
	for i := range 150 {
		atoms := make(etf.List, 200)
		for j := range atoms {
			atoms[j] = etf.Atom(fmt.Sprintf("%d_%d_%s", i, j, pad))
		}
		frame := frameOf(regSend(peerPid("evil@localhost", 1), "sink", atoms))
		// and 255 new entries of the cache, in the header of a message to nobody
		header := []byte{131, 68, 255}
		header = append(header, bytes.Repeat([]byte{0x88 | byte(i&7)<<4 | byte(i&7)}, 128)...)
		for j := range 255 {
			name := fmt.Sprintf("c%d_%d_%s", i, j, pad)
			header = append(append(header, byte(j), byte(len(name))), name...)
		}
		header[3+127] &= 0x0f // no long atoms
		header = append(header, controlOf(etf.Tuple{opSendSender, peerPid("evil@localhost", 1), n.io.pid}, etf.List{})[3:]...)
		frame = append(frame, frameOf(header)...)
		sent += len(frame)
		if _, err := conn.Write(frame); err != nil {
			t.Fatalf("after %d messages: %v, %v", i, err, l.err)
		}
	}
	eventuallyTrue(t, func() bool { return int(l.bytesIn.Load()) >= sent })
	if l.closed() {
		t.Fatal(l.err)
	}
	good.call(t, 100)
	grewBy(t, before, 2<<20, fmt.Sprintf("%d MiB of atoms", sent>>20))
}

// A peer may have MaxCalls functions running; more are refused with system_limit, and the link stays.
func TestHostile_SpawnFlood(t *testing.T) {
	t.Parallel()
	n, release := hostNode(t, func(c *Config) { c.MaxCalls = 100 })
	good := newFriend(t, n, "friend")
	conn := dialPeer(t, peerAddr(n), Name{Alive: "evil", Host: "localhost"}, flowCookie)
	conn.SetDeadline(time.Now().Add(60 * time.Second))
	me := peerPid("evil@localhost", 1)
	const requests = 5000
	go func() {
		var b []byte
		for i := range uint32(requests) {
			switch i % 3 { // all ways to have something run
			case 0:
				b = append(b, spawnRequestOf(me, i, "m", "wait")...)
			case 1:
				b = append(b, spawnRequestOf(me, i, "erpc", "execute_call", me, etf.Atom("m"), etf.Atom("wait"), etf.List{})...)
			case 2:
				b = append(b, spawnRequestOf(me, i, "erlang", "apply", etf.Atom("m"), etf.Atom("wait"))...)
			}
		}
		conn.Write(b)
	}()
	granted, refused := 0, 0
	for granted+refused < requests {
		ctl, _, err := readControl(conn)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case ctl[0] == etf.Term(int64(opSpawnReply)) && ctl[4] == etf.Term(etf.Atom("system_limit")):
			refused++
		case ctl[0] == etf.Term(int64(opSpawnReply)):
			granted++
		case granted+refused > 0: // the DOWN of an apply that failed
		default:
			t.Fatalf("%s", etf.Format(ctl))
		}
	}
	l := linkOf(t, n, "evil")
	if running := l.calls.Load(); running > 100 || running < 50 { // the applies have ended
		t.Errorf("%d run, %d granted, %d refused", running, granted, refused)
	}
	good.call(t, 100)
	release()
	eventuallyTrue(t, func() bool { return l.calls.Load() == 0 && n.calls.Load() == 0 && l.callBytes.Load() == 0 })
	conn.Write(spawnRequestOf(me, 1<<20, "m", "wait"))
	for {
		ctl, _, err := readControl(conn)
		if err != nil {
			t.Fatal(err)
		}
		if ref, _ := ctl[1].(etf.Ref); ctl[0] == etf.Term(int64(opSpawnReply)) && ref.ID[0] == 1<<20 {
			if _, ok := ctl[4].(etf.Pid); !ok {
				t.Errorf("refused when nothing runs any more: %s", etf.Format(ctl))
			}
			return
		}
	}
}

// All peers together may have four times MaxCalls functions running, and each of them its 64 whatever others do.
func TestHostile_SpawnFloodOfMany(t *testing.T) {
	t.Parallel()
	n, _ := hostNode(t, func(c *Config) { c.MaxCalls = 100 })
	running := func(peer string, requests uint32) int {
		conn := dialPeer(t, peerAddr(n), Name{Alive: peer, Host: "localhost"}, flowCookie)
		go io.Copy(io.Discard, conn)
		l := linkOf(t, n, peer)
		var b []byte
		for i := range requests {
			b = append(b, spawnRequestOf(peerPid(etf.Atom(peer+"@localhost"), 1), i, "m", "wait")...)
		}
		conn.Write(b)
		eventuallyTrue(t, func() bool { return int(l.bytesIn.Load()) >= len(b) })
		return int(l.calls.Load())
	}
	for i := range 4 {
		if got := running(fmt.Sprintf("evil%d", i), 300); got != 100 {
			t.Errorf("peer %d has %d running, want 100", i, got)
		}
	}
	if got := running("friend", 300); got != callsGranted {
		t.Errorf("the fifth has %d running, want %d", got, callsGranted)
	}
}

// The arguments of what runs for a peer are bounded in bytes.
func TestHostile_LargeArguments(t *testing.T) {
	t.Parallel()
	n, _ := hostNode(t, func(c *Config) { c.MaxMessageBytes = 1 << 20 })
	conn := dialPeer(t, peerAddr(n), Name{Alive: "evil", Host: "localhost"}, flowCookie)
	conn.SetDeadline(time.Now().Add(60 * time.Second))
	me := peerPid("evil@localhost", 1)
	for i := range uint32(4) {
		conn.Write(spawnRequestOf(me, i, "m", "wait", etf.Binary(make([]byte, 400<<10))))
	}
	for i := range 4 {
		ctl, _, err := readControl(conn)
		if err != nil {
			t.Fatal(err)
		}
		if _, granted := ctl[4].(etf.Pid); granted != (i < 2) {
			t.Errorf("request %d of 400 KiB: %s", i, etf.Format(ctl[4]))
		}
	}
}

// What is sent to a running function that does not ask for it is kept up to a bound.
func TestHostile_InboxFlood(t *testing.T) {
	t.Parallel()
	n, _ := hostNode(t, func(c *Config) { c.MaxMessageBytes = 1 << 20 })
	boxes := make(chan *Mailbox, 1)
	n.HandleFunc("m", "box", 0, func(ctx context.Context, info CallInfo, _ []etf.Term) (etf.Term, error) {
		boxes <- info.Inbox
		<-ctx.Done()
		return atomOK, nil
	})
	for _, c := range []struct {
		size, count int
		want        int // kept at most
	}{{10, 5000, maxInbox}, {100 << 10, 50, 12}} {
		conn := dialPeer(t, peerAddr(n), Name{Alive: "evil", Host: "localhost"}, flowCookie)
		conn.SetDeadline(time.Now().Add(60 * time.Second))
		l := linkOf(t, n, "evil")
		me := peerPid("evil@localhost", 1)
		conn.Write(spawnRequestOf(me, 1, "m", "box"))
		ctl, _, err := readControl(conn)
		if err != nil {
			t.Fatal(err)
		}
		to, _ := ctl[4].(etf.Pid)
		box := <-boxes
		in := l.bytesIn.Load()
		msg := frameOf(controlOf(etf.Tuple{opSendSender, me, to}, etf.Binary(make([]byte, c.size))))
		for range c.count {
			conn.Write(msg)
		}
		eventuallyTrue(t, func() bool { return l.bytesIn.Load()-in >= uint64(c.count*len(msg)) })
		if got := box.Len(); got > c.want || got < c.want/2 {
			t.Errorf("%d of %d messages of %d bytes are kept, want at most %d", got, c.count, c.size, c.want)
		}
		conn.Close()
		<-l.finished
	}
}

// Text that the peer is to format itself is asked for a bounded number of times at once.
func TestHostile_IORequestFlood(t *testing.T) {
	t.Parallel()
	n, _ := hostNode(t, func(c *Config) { c.MaxCalls = 50 })
	good := newFriend(t, n, "friend")
	leader, done := n.groupLeader(WithOutput(t.Context(), io.Discard))
	defer done()
	conn := dialPeer(t, peerAddr(n), Name{Alive: "evil", Host: "localhost"}, flowCookie)
	l := linkOf(t, n, "evil")
	me := peerPid("evil@localhost", 1)
	var b []byte
	for i := range 2000 {
		var req etf.Term = etf.Tuple{etf.Atom("put_chars"), etf.Atom("unicode"), etf.Atom("m"), etf.Atom("f"), etf.List{}}
		if i%2 == 0 {
			req = etf.Tuple{etf.Atom("requests"), etf.List{req, req}}
		}
		b = append(b, frameOf(controlOf(etf.Tuple{opSendSender, me, leader}, etf.Tuple{etf.Atom("io_request"), me, int64(i), req}))...)
		b = append(b, frameOf(controlOf(etf.Tuple{opSendSender, me, n.io.pid}, etf.Tuple{etf.Atom("io_request"), me, int64(i), req}))...)
	}
	go conn.Write(b)
	refused := 0
	conn.SetDeadline(time.Now().Add(60 * time.Second))
	for l.bytesIn.Load() < uint64(len(b)) || refused < 1900 {
		_, payload, err := readControl(conn)
		if err != nil {
			t.Fatalf("%v, %v; %d refused", err, l.err, refused)
		}
		if r, ok := payload.(etf.Tuple); ok && len(r) == 3 && etf.Equal(r[2], etf.Tuple{atomError, etf.Atom("system_limit")}) {
			refused++
		}
	}
	if got := l.calls.Load(); got > 50 {
		t.Errorf("%d requests ask back at one time", got)
	}
	good.call(t, 100)
}

// A peer that monitors and links without end is cut off; one that gives up as many as it makes is not.
func TestHostile_WatchFlood(t *testing.T) {
	t.Parallel()
	n, _ := hostNode(t, func(c *Config) { c.MaxWatches = 100 })
	sink := n.Whereis("sink")
	good := newFriend(t, n, "friend")
	evil := etf.Atom("evil@localhost")
	ref := func(i uint32) etf.Ref { return etf.Ref{Node: evil, Creation: 7, Len: 3, ID: [5]uint32{i}} }
	monitor := func(i uint32) []byte {
		return frameOf(controlOf(etf.Tuple{opMonitorP, peerPid(evil, i), sink.pid, ref(i)}))
	}
	link := func(i uint32) []byte { return frameOf(controlOf(etf.Tuple{opLink, peerPid(evil, i), sink.pid})) }
	for _, c := range []struct {
		name string
		step func(i uint32) []byte
		ends bool
	}{
		{"monitors", monitor, true},
		{"monitors by name", func(i uint32) []byte {
			return frameOf(controlOf(etf.Tuple{opMonitorP, peerPid(evil, i), etf.Atom("sink"), ref(i)}))
		}, true},
		{"links", link, true},
		{"monitors given up", func(i uint32) []byte {
			return append(monitor(i), frameOf(controlOf(etf.Tuple{opDemonitorP, peerPid(evil, i), sink.pid, ref(i)}))...)
		}, false},
		{"links given up", func(i uint32) []byte {
			return append(link(i), frameOf(controlOf(etf.Tuple{opUnlinkID, i + 1, peerPid(evil, i), sink.pid}))...)
		}, false},
		{"the same link", func(uint32) []byte { return link(1) }, false},
	} {
		conn := dialPeer(t, peerAddr(n), Name{Alive: "evil", Host: "localhost"}, flowCookie)
		go io.Copy(io.Discard, conn)
		l := linkOf(t, n, "evil")
		sent := 0
		for i := range uint32(1000) {
			b := c.step(i)
			sent += len(b)
			if _, err := conn.Write(b); err != nil {
				break
			}
		}
		if c.ends {
			wantLinkEnd(t, l, ErrMaxWatches)
		} else {
			eventuallyTrue(t, func() bool { return int(l.bytesIn.Load()) >= sent })
			if l.closed() {
				t.Errorf("%s: the link ended with %v", c.name, l.err)
			}
			conn.Close()
			<-l.finished
		}
		if held := sink.heldBy(l); held != 0 {
			t.Errorf("%s: %d are left when the link has gone", c.name, held)
		}
	}
	good.call(t, 100)
}

// A peer that comes and goes faster than the subscribers are told waits for them, and nobody else does.
func TestHostile_ReconnectFlood(t *testing.T) {
	t.Parallel()
	n, _ := hostNode(t, nil)
	good := newFriend(t, n, "friend")
	eventuallyTrue(t, func() bool { return len(n.Peers()) == 1 })
	held, told := make(chan struct{}), atomic.Int64{}
	goOn := sync.OnceFunc(func() { close(held) })
	t.Cleanup(goOn)
	n.Subscribe(func(NodeEvent) { <-held; told.Add(1) })
	for range maxUntold {
		conn, err := tryPeer(peerAddr(n), Name{Alive: "evil", Host: "localhost"}, flowCookie)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	good.call(t, 100)
	n.events.mu.Lock()
	untold := n.events.untold
	n.events.mu.Unlock()
	if untold > maxUntold+2 || untold < maxUntold/2 {
		t.Errorf("%d events wait, want at most %d", untold, maxUntold)
	}
	goOn()
	eventuallyTrue(t, func() bool { return len(n.Peers()) == 1 && told.Load() >= int64(untold) })
	newFriend(t, n, "evil").call(t, 5)
}

// A peer that connects again and again while the loss of its old link still holds up a receiver has one connection that waits.
func TestHostile_ReconnectsThatWait(t *testing.T) {
	t.Parallel()
	n, _ := hostNode(t, nil)
	good := newFriend(t, n, "friend")
	held := make(chan struct{})
	goOn := sync.OnceFunc(func() { close(held) })
	t.Cleanup(goOn)
	slow := n.Spawn(ReceiverFunc(func(*Process, Signal) { <-held }))
	if err := slow.Register("slow"); err != nil {
		t.Fatal(err)
	}
	me := peerPid("evil@localhost", 1)
	first := dialPeer(t, peerAddr(n), Name{Alive: "evil", Host: "localhost"}, flowCookie)
	l := linkOf(t, n, "evil")
	first.Write(frameOf(regSend(me, "slow", etf.Atom("x"))))
	eventuallyTrue(t, func() bool { return l.receiving.Load() == slow })
	for range 3 * maxAccepting {
		conn, err := tryPeer(peerAddr(n), Name{Alive: "evil", Host: "localhost"}, flowCookie)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	newFriend(t, n, "other").call(t, 10)
	good.call(t, 10)
	eventuallyTrue(t, func() bool { return len(n.accepting) <= 2 })
	goOn()
	<-l.finished
	eventuallyTrue(t, func() bool { return n.linkUp(Name{Alive: "evil", Host: "localhost"}) != nil })
}

// Lines that strangers can cause are logged at a bounded rate, with the number of those kept back.
func TestGate(t *testing.T) {
	t.Parallel()
	var g gate
	now := time.Now()
	passed := 0
	for range 1000 {
		if _, ok := g.pass(now); ok {
			passed++
		}
	}
	if passed != gateBurst {
		t.Errorf("%d of 1000 lines at once, want %d", passed, gateBurst)
	}
	if kept, ok := g.pass(now.Add(gateInterval)); !ok || kept != 1000-gateBurst {
		t.Errorf("a second later: %v, %d kept back", ok, kept)
	}
	if _, ok := g.pass(now.Add(gateInterval)); ok {
		t.Error("two in one second after the burst")
	}
	if kept, ok := g.pass(now.Add(time.Hour)); !ok || kept != 1 {
		t.Errorf("an hour later: %v, %d kept back", ok, kept)
	}
}
