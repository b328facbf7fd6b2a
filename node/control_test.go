package node

import (
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
)

// sendControl writes what a peer with distribution headers would: a control message and perhaps a payload.
func sendControl(t *testing.T, wire net.Conn, ctl etf.Tuple, payload ...etf.Term) {
	t.Helper()
	b := []byte{131, 68, 0}
	for _, term := range append([]etf.Term{ctl}, payload...) {
		var err error
		if b, err = etf.AppendTerm(b, term); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := wire.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)); err != nil {
		t.Fatal(err)
	}
}

// receiveControl reads one message of ours as text.
func receiveControl(t *testing.T, wire net.Conn) string {
	t.Helper()
	b := readWholeFrame(t, wire)
	lines, _ := sentText(t, append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return lines[0]
}

// Each operation, with trace token and without, in the old form and with payload, does what it says.
func TestControl_EveryOperation(t *testing.T) {
	t.Parallel()
	n, _, wire := pipeLink(t, nil)
	wire.SetDeadline(time.Now().Add(20 * time.Second))
	var box Mailbox
	p := n.Spawn(&box)
	if err := p.Register("box"); err != nil {
		t.Fatal(err)
	}
	us, him := p.Pid(), beamPid
	ref := func(i uint32) etf.Ref {
		return etf.Ref{Node: "beam@localhost", Creation: 7, Len: 3, ID: [5]uint32{i}}
	}
	token := etf.Tuple{0, 1, 2, him, 3}
	none := etf.Atom("")
	hi := etf.Atom("hi")
	signal := func(want string) {
		t.Helper()
		s, err := box.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := signalText(s); got != want {
			t.Errorf("signal\n got %s\nwant %s", got, want)
		}
	}
	answer := func(want string) {
		t.Helper()
		if got := receiveControl(t, wire); got != want {
			t.Errorf("answer\n got %s\nwant %s", got, want)
		}
	}
	// ours reads what a method of the process sends.
	ours := func(want string, f func()) {
		t.Helper()
		done := make(chan struct{})
		go func() { defer close(done); f() }()
		answer(want)
		<-done
	}
	ctlPid, hisPid := etf.Format(us), etf.Format(him)

	sendControl(t, wire, etf.Tuple{opSend, none, us}, hi)
	signal(`message from ` + etf.Format(etf.Pid{}) + ` to "" 0: hi`)
	sendControl(t, wire, etf.Tuple{opSendTT, none, us, token}, hi)
	signal(`message from ` + etf.Format(etf.Pid{}) + ` to "" 0: hi`)
	sendControl(t, wire, etf.Tuple{opSendSender, him, us}, hi)
	signal(`message from ` + hisPid + ` to "" 0: hi`)
	sendControl(t, wire, etf.Tuple{opSendSenderTT, him, us, token}, hi)
	signal(`message from ` + hisPid + ` to "" 0: hi`)
	sendControl(t, wire, etf.Tuple{opRegSend, him, none, etf.Atom("box")}, hi)
	signal(`message from ` + hisPid + ` to "box" 0: hi`)
	sendControl(t, wire, etf.Tuple{opRegSendTT, him, none, etf.Atom("box"), token}, hi)
	signal(`message from ` + hisPid + ` to "box" 0: hi`)
	alias := p.Alias()
	sendControl(t, wire, etf.Tuple{opAliasSend, him, alias}, hi)
	signal(`message from ` + hisPid + ` to "" 3: hi`)
	sendControl(t, wire, etf.Tuple{opAliasSendTT, him, alias, token}, hi)
	signal(`message from ` + hisPid + ` to "" 3: hi`)

	// Exit signals without a link to go by are dropped; with one they come, and once.
	for _, exit := range []func(){
		func() { sendControl(t, wire, etf.Tuple{opExit, him, us, hi}) },
		func() { sendControl(t, wire, etf.Tuple{opExitTT, him, us, token, hi}) },
		func() { sendControl(t, wire, etf.Tuple{opPayloadExit, him, us}, hi) },
		func() { sendControl(t, wire, etf.Tuple{opPayloadExitTT, him, us, token}, hi) },
	} {
		exit()
		sendControl(t, wire, etf.Tuple{opLink, him, us})
		exit()
		exit()
		signal(`exit from ` + hisPid + ` linked true killed false: hi`)
	}
	for _, exit2 := range []func(){
		func() { sendControl(t, wire, etf.Tuple{opExit2, him, us, hi}) },
		func() { sendControl(t, wire, etf.Tuple{opExit2TT, him, us, token, hi}) },
		func() { sendControl(t, wire, etf.Tuple{opPayloadExit2, him, us}, hi) },
		func() { sendControl(t, wire, etf.Tuple{opPayloadExit2TT, him, us, token}, hi) },
	} {
		exit2()
		signal(`exit from ` + hisPid + ` linked false killed false: hi`)
	}

	// Links: a link given up with either operation gives no exit signal; the acknowledgement carries the identifier.
	sendControl(t, wire, etf.Tuple{opLink, him, us})
	sendControl(t, wire, etf.Tuple{opUnlink, him, us})
	sendControl(t, wire, etf.Tuple{opPayloadExit, him, us}, hi)
	sendControl(t, wire, etf.Tuple{opLink, him, us})
	sendControl(t, wire, etf.Tuple{opUnlinkID, uint64(1<<64 - 1), him, us})
	answer(fmt.Sprintf("{36,18446744073709551615,%s,%s}", ctlPid, hisPid))
	sendControl(t, wire, etf.Tuple{opPayloadExit, him, us}, hi)
	ours(fmt.Sprintf("{1,%s,%s}", ctlPid, hisPid), func() { p.Link(t.Context(), him) })
	ours(fmt.Sprintf("{35,1,%s,%s}", ctlPid, hisPid), func() { p.Unlink(him) })
	sendControl(t, wire, etf.Tuple{opPayloadExit, him, us}, hi) // of the former link: ignored
	sendControl(t, wire, etf.Tuple{opLink, him, us})            // likewise
	sendControl(t, wire, etf.Tuple{opUnlinkIDAck, 1, him, us})
	sendControl(t, wire, etf.Tuple{opPayloadExit, him, us}, hi)
	missing := us
	missing.ID += 1000
	sendControl(t, wire, etf.Tuple{opLink, him, missing})
	answer(fmt.Sprintf("{24,%s,%s} | noproc", etf.Format(missing), hisPid))

	// Monitors.
	sendControl(t, wire, etf.Tuple{opMonitorP, him, us, ref(1)})
	sendControl(t, wire, etf.Tuple{opMonitorP, him, etf.Atom("box"), ref(2)})
	sendControl(t, wire, etf.Tuple{opDemonitorP, him, etf.Atom("box"), ref(2)})
	sendControl(t, wire, etf.Tuple{opMonitorP, him, missing, ref(3)})
	answer(fmt.Sprintf("{28,%s,%s,%s} | noproc", etf.Format(missing), hisPid, etf.Format(ref(3))))
	sendControl(t, wire, etf.Tuple{opMonitorP, him, etf.Atom("nobody"), ref(4)})
	answer(fmt.Sprintf("{28,nobody,%s,%s} | noproc", hisPid, etf.Format(ref(4))))
	for _, exit := range []func(etf.Ref){
		func(r etf.Ref) { sendControl(t, wire, etf.Tuple{opMonitorPExit, him, us, r, hi}) },
		func(r etf.Ref) { sendControl(t, wire, etf.Tuple{opPayloadMonitorPEx, him, us, r}, hi) },
	} {
		r := n.MakeRef()
		ours(fmt.Sprintf("{19,%s,%s,%s}", ctlPid, hisPid, etf.Format(r)), func() { p.MonitorAs(t.Context(), r, ToPid(him), false) })
		exit(r)
		signal("down " + etf.Format(r) + ": hi")
		exit(r) // a second one is dropped
	}

	// Without effect, but legal.
	sendControl(t, wire, etf.Tuple{opNodeLink})
	sendControl(t, wire, etf.Tuple{opGroupLeader, him, us})

	// Spawns, ours and theirs.
	mfa := etf.Tuple{etf.Atom("no"), etf.Atom("fn"), 1}
	sendControl(t, wire, etf.Tuple{opSpawnRequestTT, ref(5), him, him, mfa, etf.List{etf.Atom("link")}, token}, etf.List{1})
	spawned := etf.Pid{Node: us.Node, ID: us.ID + 1, Serial: us.Serial, Creation: us.Creation}
	answer(fmt.Sprintf("{31,%s,%s,1,%s}", etf.Format(ref(5)), hisPid, etf.Format(spawned)))
	answer(fmt.Sprintf("{24,%s,%s} | {undef,[{no,fn,[1],[]}]}", etf.Format(spawned), hisPid))
	sendControl(t, wire, etf.Tuple{opSpawnRequest, ref(6), him, him, etf.Tuple{etf.Atom("erlang"), etf.Atom("apply"), 2}, etf.List{}}, etf.List{&etf.Fun{
		Module: "m", OldIndex: 1, OldUniq: 2, Creator: him,
	}, etf.List{}})
	answer(fmt.Sprintf("{31,%s,%s,0,notsup}", etf.Format(ref(6)), hisPid))
	for _, op := range []int{opSpawnReply, opSpawnReplyTT} {
		r := n.MakeRef()
		l := n.linkUp(Name{"beam", "localhost"})
		done := make(chan error)
		go func() { done <- p.spawnRequest(t.Context(), l, r, us, "m", "f", etf.List{}) }()
		answer(fmt.Sprintf("{29,%s,%s,%s,{m,f,0},[monitor]} | []", etf.Format(r), ctlPid, ctlPid))
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		reply := etf.Tuple{op, r, us, 2, him}
		if op == opSpawnReplyTT {
			reply = append(reply, token)
		}
		sendControl(t, wire, reply)
		sendControl(t, wire, etf.Tuple{opPayloadMonitorPEx, him, us, r}, hi)
		signal("down " + etf.Format(r) + ": hi")
	}

	// The process ends: who watches it and is linked with it hears of it.
	ours(fmt.Sprintf("{28,%s,%s,%s} | {bad_reason,<<\"etf: func() has no Erlang form\">>}", ctlPid, hisPid, etf.Format(ref(1))), func() { p.Exit(func() {}) })
	if box.Len() > 0 {
		s, _ := box.Next(t.Context())
		t.Errorf("left over: %s", signalText(s))
	}
}
