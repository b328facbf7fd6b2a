package node

import (
	"context"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
)

// A peer that names a process of another node as the sender is not taken for that node.
func TestMessage_PeerIsThatOfTheLink(t *testing.T) {
	t.Parallel()
	n, _, wire := pipeLink(t, nil)
	wire.SetDeadline(time.Now().Add(20 * time.Second))
	forged := etf.Pid{Node: "victim@localhost", ID: 9, Creation: 7}
	us := Name{Alive: "beam", Host: "localhost"}

	var box Mailbox
	p := n.Spawn(&box)
	if err := p.Register("box"); err != nil {
		t.Fatal(err)
	}
	callers := make(chan Name, 2)
	n.HandleFunc("m", "f", 0, func(_ context.Context, info CallInfo, _ []etf.Term) (etf.Term, error) {
		callers <- info.Peer
		return etf.Atom("ok"), nil
	})

	sendControl(t, wire, etf.Tuple{opSendSender, forged, p.Pid()}, etf.Atom("by_pid"))
	sendControl(t, wire, etf.Tuple{opRegSend, forged, etf.Atom(""), etf.Atom("box")}, etf.Atom("by_name"))
	sendControl(t, wire, etf.Tuple{opAliasSend, forged, p.Alias()}, etf.Atom("by_alias"))
	for range 3 {
		s, err := box.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if m := s.(Message); m.Peer() != us || m.From != forged {
			t.Errorf("%v: by %v, from %v", m.Term, m.Peer(), m.From)
		}
	}
	if got := (Message{}).Peer(); got != (Name{}) {
		t.Errorf("a message of our own is by %v", got)
	}

	call := etf.Tuple{etf.Atom("call"), etf.Atom("m"), etf.Atom("f"), etf.List{}, forged}
	sendControl(t, wire, etf.Tuple{opRegSend, forged, etf.Atom(""), etf.Atom("rex")}, etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{forged, etf.Atom("tag")}, call})
	sendControl(t, wire, etf.Tuple{opRegSend, forged, etf.Atom(""), etf.Atom("rex")}, etf.Tuple{etf.Atom("$gen_cast"), call})
	for range 2 {
		select {
		case got := <-callers:
			if got != us {
				t.Errorf("a call to rex is taken for one of %v", got)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("a call with another node's sender is not run at all")
		}
	}
}
