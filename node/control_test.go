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

// Peers that lack the newer flags get the older forms.
func TestControl_OldPeer(t *testing.T) {
	t.Parallel()
	n, _, _ := pipeLink(t, nil)
	ours, wire := net.Pipe()
	defer wire.Close()
	wire.SetDeadline(time.Now().Add(20 * time.Second))
	f := &flowNode{Node: n}
	old := flagsOurs &^ (FlagExitPayload | FlagUnlinkID | FlagSpawn | FlagAlias | FlagSendSender | FlagFragments)
	f.connect(t, ours, handshakeResult{peer: Name{"old", "localhost"}, flags: old, creation: 7})
	him := etf.Pid{Node: "old@localhost", ID: 4, Creation: 7}
	p := n.Spawn(&Mailbox{})
	us, his := etf.Format(p.Pid()), etf.Format(him)
	ref := etf.Ref{Node: "old@localhost", Creation: 7, Len: 3}
	step := func(want string, f func()) {
		t.Helper()
		done := make(chan struct{})
		go func() { defer close(done); f() }()
		if got := receiveControl(t, wire); got != want {
			t.Errorf("sent\n got %s\nwant %s", got, want)
		}
		<-done
	}
	step(fmt.Sprintf("{2,'',%s} | hi", his), func() { p.Send(t.Context(), ToPid(him), etf.Atom("hi")) })
	step(fmt.Sprintf("{1,%s,%s}", us, his), func() { p.Link(t.Context(), him) })
	step(fmt.Sprintf("{4,%s,%s}", us, his), func() { p.Unlink(him) })
	step(fmt.Sprintf("{8,%s,%s,why}", us, his), func() { p.SendExit(t.Context(), him, etf.Atom("why")) })
	step(fmt.Sprintf("{1,%s,%s}", us, his), func() { p.Link(t.Context(), him) })
	step(fmt.Sprintf("{3,%s,%s,over}", us, his), func() { p.Exit(etf.Atom("over")) })
	sendControl(t, wire, etf.Tuple{opMonitorP, him, etf.Atom("nobody"), ref})
	if got, want := receiveControl(t, wire), fmt.Sprintf("{21,nobody,%s,%s,noproc}", his, etf.Format(ref)); got != want {
		t.Errorf("sent\n got %s\nwant %s", got, want)
	}

	// A call goes through rex, with a plain reference.
	called := make(chan error, 1)
	var v etf.Term
	go func() {
		var err error
		v, err = n.Call(t.Context(), Name{"old", "localhost"}, "m", "f", 1)
		called <- err
	}()
	d := etf.NewDecoder(etf.Limits{})
	b := readWholeFrame(t, wire)
	monitor, _, err := d.DecodeTerm(b[3:])
	if err != nil {
		t.Fatal(err)
	}
	tag := monitor.(etf.Tuple)[3].(etf.Ref)
	caller := monitor.(etf.Tuple)[1].(etf.Pid)
	want := fmt.Sprintf("{6,%s,'',rex} | {'$gen_call',{%s,%s},{call,m,f,[1],%s}}", etf.Format(caller), etf.Format(caller), etf.Format(tag), etf.Format(n.io.pid))
	if got := receiveControl(t, wire); got != want {
		t.Errorf("sent\n got %s\nwant %s", got, want)
	}
	sendControl(t, wire, etf.Tuple{opSend, etf.Atom(""), caller}, etf.Tuple{tag, etf.Atom("answer")})
	if got := receiveControl(t, wire); got != fmt.Sprintf("{20,%s,rex,%s}", etf.Format(caller), etf.Format(tag)) {
		t.Errorf("after the reply: %s", got)
	}
	if err := <-called; err != nil || v != etf.Term(etf.Atom("answer")) {
		t.Errorf("Call = %v, %v", v, err)
	}
}

// Without distribution headers messages pass through, each term with a version byte of its own.
func TestControl_PassThrough(t *testing.T) {
	t.Parallel()
	n, _, _ := pipeLink(t, nil)
	ours, wire := net.Pipe()
	defer wire.Close()
	wire.SetDeadline(time.Now().Add(20 * time.Second))
	f := &flowNode{Node: n}
	f.connect(t, ours, handshakeResult{peer: Name{"plain", "localhost"}, flags: flagsOurs &^ (FlagDistHdrAtomCache | FlagFragments), creation: 7})
	var box Mailbox
	p := n.Spawn(&box)
	him := etf.Pid{Node: "plain@localhost", ID: 4, Creation: 7}
	b := []byte{passThrough}
	for _, term := range []etf.Term{etf.Tuple{opSendSender, him, p.Pid()}, etf.Tuple{etf.Atom("x"), []byte("payload")}} {
		var err error
		if b, err = etf.Append(b, term); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := wire.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)); err != nil {
		t.Fatal(err)
	}
	s, err := box.Next(t.Context())
	if err != nil || etf.Format(s.(Message).Term) != `{x,<<"payload">>}` {
		t.Fatalf("received %+v, %v", s, err)
	}
	big := make([]byte, 100<<10)
	go p.Send(t.Context(), ToPid(him), big)
	frame := readWholeFrame(t, wire)
	if frame[0] != passThrough || frame[1] != versionMagic {
		t.Fatalf("sent %x", frame[:8])
	}
	d := etf.NewDecoder(etf.Limits{})
	ctl, rest, err := d.DecodeTerm(frame[2:])
	if err != nil || etf.Format(ctl) != fmt.Sprintf("{22,%s,%s}", etf.Format(p.Pid()), etf.Format(him)) {
		t.Errorf("control message %v, %v", ctl, err)
	}
	if msg, err := d.Decode(rest); err != nil || !etf.Equal(msg, etf.Binary(big)) {
		t.Errorf("payload: %v", err)
	}
}

// What visible nodes ask rex at nodeup is answered.
func TestControl_FeaturesRequest(t *testing.T) {
	t.Parallel()
	_, _, wire := pipeLink(t, nil)
	wire.SetDeadline(time.Now().Add(20 * time.Second))
	sendControl(t, wire, etf.Tuple{opRegSend, beamPid, etf.Atom(""), etf.Atom("rex")}, etf.Tuple{beamPid, etf.Atom("features_request")})
	if got := receiveControl(t, wire); got != fmt.Sprintf("{22,<keeper@localhost.4.4096>,%s} | {features_reply,keeper@localhost,[erpc]}", etf.Format(beamPid)) {
		t.Errorf("answer %s", got)
	}
}
