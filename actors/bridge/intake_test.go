package bridge

import (
	"testing"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// An actor that does not get round to its mailbox keeps a bounded part of what a peer sends, in messages and in bytes;
// when it goes on, so do the messages.
func TestPair_FloodOfAMailbox(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		size, count int
		most        int
	}{
		{"small messages", 10, maxWaiting + 10_000, maxWaiting},
		{"large messages", 1 << 20, 48, maxWaitingBytes>>20 + 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, n := pair(t)
			a := spawnProbe(t, s, "")
			peer := spawnRaw(t, n)
			busy, goOn := make(chan struct{}), make(chan struct{})
			done := make(chan error, 1)
			go func() { done <- a.do(func(*probe) error { close(busy); <-goOn; return nil }) }()
			<-busy
			msg := etf.Binary(make([]byte, c.size))
			for range c.count {
				if err := peer.proc.Send(t.Context(), node.ToPid(a.wire()), msg); err != nil {
					t.Fatal(err)
				}
			}
			// A monitor's answer comes behind all that was sent.
			ref, err := peer.proc.Monitor(t.Context(), node.ToName("nobody", s.Node().Name()))
			if err != nil {
				t.Fatal(err)
			}
			if d := nextAs[node.Down](peer); d.Ref != ref {
				t.Fatalf("%v", d)
			}
			info, err := s.Ergo().ProcessInfo(a.pid)
			if err != nil {
				t.Fatal(err)
			}
			if got := int(info.MailboxQueues.Main); got > c.most || got < c.most*3/4 {
				t.Errorf("%d of %d messages wait, want at most %d", got, c.count, c.most)
			}
			close(goOn)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			for range info.MailboxQueues.Main {
				a.next()
			}
			if err := peer.proc.Send(t.Context(), node.ToPid(a.wire()), etf.Atom("again")); err != nil {
				t.Fatal(err)
			}
			if r := a.next(); r.Msg != any(etf.Atom("again")) {
				t.Errorf("got %v", r.Msg)
			}
		})
	}
}

// Only tags that callers make are kept until the actor answers.
func TestKeptTag(t *testing.T) {
	t.Parallel()
	ref := etf.Ref{Node: "a@b", Creation: 1, Len: 3}
	for _, tag := range []etf.Term{ref, etf.Atom("x"), int64(7), etf.ImproperList{Elems: []etf.Term{etf.Atom("alias")}, Tail: ref}} {
		if got, ok := keptTag(tag); !ok || !etf.Equal(got, tag) {
			t.Errorf("%s: %v, %v", etf.Format(tag), got, ok)
		}
	}
	for _, tag := range []etf.Term{etf.Binary(make([]byte, 1<<20)), etf.List{int64(1)}, etf.ImproperList{Elems: []etf.Term{etf.Binary("x")}, Tail: ref}} {
		if _, ok := keptTag(tag); ok {
			t.Errorf("%s is kept", etf.Format(tag))
		}
	}
}
