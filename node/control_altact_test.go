package node

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
)

// ALTACT_SIG in all its forms does what the older operations do, and what only it can do. Flags and elements of later
// versions are ignored.
func TestControl_AltactSig(t *testing.T) {
	t.Parallel()
	n, _, wire := pipeLink(t, nil)
	wire.SetDeadline(time.Now().Add(20 * time.Second))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var box Mailbox
	p := n.Spawn(&box)
	if err := p.Register("box"); err != nil {
		t.Fatal(err)
	}
	us, him, hi := p.Pid(), beamPid, etf.Atom("hi")
	plain, urgent := p.Alias(), p.PriorityAlias()
	token := etf.Tuple{0, 1, 2, him, 3}
	huge := new(big.Int).Or(new(big.Int).Lsh(big.NewInt(1), 100), big.NewInt(altactName))
	message := `message from ` + etf.Format(him) + ` to `
	exit := `exit from ` + etf.Format(him) + ` linked false killed false: hi`
	for _, c := range []struct {
		ctl      etf.Tuple
		want     string
		priority bool
	}{
		{etf.Tuple{opAltactSig, 0, him, us}, message + `"" 0: hi`, false},
		{etf.Tuple{opAltactSig, altactPriority, him, us}, message + `"" 0: hi`, false}, // a pid gives no right to priority
		{etf.Tuple{opAltactSig, altactName, him, etf.Atom("box")}, message + `"box" 0: hi`, false},
		{etf.Tuple{opAltactSig, altactName | altactPriority, him, etf.Atom("box")}, message + `"box" 0: hi`, false},
		{etf.Tuple{opAltactSig, altactAlias, him, plain}, message + `"" 3: hi`, false},
		{etf.Tuple{opAltactSig, altactAlias | altactPriority, him, plain}, message + `"" 3: hi`, false},
		{etf.Tuple{opAltactSig, altactAlias, him, urgent}, message + `"" 3: hi`, false},
		{etf.Tuple{opAltactSig, altactAlias | altactPriority, him, urgent}, message + `"" 3: hi`, true},
		{etf.Tuple{opAltactSig, altactAlias | altactPriority | altactToken, him, urgent, token}, message + `"" 3: hi`, true},
		{etf.Tuple{opAltactSig, altactExit, him, us}, exit, false},
		{etf.Tuple{opAltactSig, altactExit | altactPriority, him, us}, exit, false},
		{etf.Tuple{opAltactSig, altactExit | altactAlias, him, plain}, exit, false},
		{etf.Tuple{opAltactSig, altactExit | altactAlias | altactPriority | altactToken, him, urgent, token}, exit, true},
		// Of later versions.
		{etf.Tuple{opAltactSig, altactName, him, etf.Atom("box"), token, etf.Atom("more"), 7}, message + `"box" 0: hi`, false},
		{etf.Tuple{opAltactSig, altactName | 0xffe0, him, etf.Atom("box")}, message + `"box" 0: hi`, false},
		{etf.Tuple{opAltactSig, huge, him, etf.Atom("box")}, message + `"box" 0: hi`, false},
	} {
		sendControl(t, wire, c.ctl, hi)
		s, err := box.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got := signalText(s); got != c.want || hasPriority(s) != c.priority {
			t.Errorf("%s\n got %s, priority %v\nwant %s", etf.Format(c.ctl), got, hasPriority(s), c.want)
		}
	}

	// Nobody there: nothing happens, whatever the payload.
	p.Unalias(plain)
	gone := us
	gone.ID += 1000
	for _, ctl := range []etf.Tuple{
		{opAltactSig, altactAlias, him, plain}, {opAltactSig, altactAlias | altactExit, him, plain}, {opAltactSig, 0, him, gone},
		{opAltactSig, altactExit, him, gone}, {opAltactSig, altactName, him, etf.Atom("nobody")},
	} {
		sendControl(t, wire, ctl, hi)
	}

	// A reply alias lasts for one message, which ends its monitor; an exit signal leaves it.
	ref := n.MakeRef()
	go p.MonitorAs(t.Context(), ref, ToPid(him), true)
	receiveControl(t, wire)
	sendControl(t, wire, etf.Tuple{opAltactSig, altactAlias | altactExit, him, ref}, hi)
	sendControl(t, wire, etf.Tuple{opAltactSig, altactAlias, him, ref}, hi)
	if got, want := receiveControl(t, wire), fmt.Sprintf("{20,%s,%s,%s}", etf.Format(us), etf.Format(him), etf.Format(ref)); got != want {
		t.Errorf("after a reply by alias\n got %s\nwant %s", got, want)
	}
	sendControl(t, wire, etf.Tuple{opAltactSig, altactAlias, him, ref}, hi)

	// Priority overtakes what waits, in order among its own kind.
	sendControl(t, wire, etf.Tuple{opAltactSig, altactAlias | altactPriority, him, urgent}, etf.Atom("first"))
	sendControl(t, wire, etf.Tuple{opAltactSig, altactAlias | altactPriority | altactExit, him, urgent}, etf.Atom("second"))
	sendControl(t, wire, etf.Tuple{opAltactSig, 0, him, us}, etf.Atom("last"))
	for end := time.Now().Add(20 * time.Second); box.Len() < 5 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	var got []string
	for box.Len() > 0 {
		s, _ := box.Next(ctx)
		got = append(got, strings.TrimPrefix(signalText(s), "message "))
	}
	from := "from " + etf.Format(him)
	want := []string{
		from + ` to "" 3: first`, "exit " + from + ` linked false killed false: second`,
		"exit " + from + ` linked false killed false: hi`, from + ` to "" 3: hi`, from + ` to "" 0: last`,
	}
	compareLines(t, "signal", got, want)
}

// A peer that has ALTACT_SIG gets it for aliases and priority only, another one never.
func TestControl_AltactSigSent(t *testing.T) {
	t.Parallel()
	alias := etf.Ref{Node: "peer@localhost", Creation: 7, Len: 3, ID: [5]uint32{1, 2, 3}}
	him := etf.Pid{Node: "peer@localhost", ID: 4, Creation: 7}
	name := ToName("there", Name{"peer", "localhost"})
	call := GenCall{From: him, Tag: etf.ImproperList{Elems: []etf.Term{etf.Atom("alias")}, Tail: alias}}
	for _, c := range []struct {
		name string
		do   func(p *Process) error
		new  string // with %s for our pid
		old  string // to a peer without the flag; empty: nothing
	}{
		{"send to an alias", func(p *Process) error { return p.Send(t.Context(), ToAlias(alias), etf.Atom("hi")) },
			"{37,4,%s,ALIAS} | hi", "{33,%s,ALIAS} | hi"},
		{"reply to an alias", func(p *Process) error { return p.Reply(t.Context(), call, etf.Atom("hi")) },
			"{37,4,%s,ALIAS} | {[alias|ALIAS],hi}", "{33,%s,ALIAS} | {[alias|ALIAS],hi}"},
		{"send to a pid", func(p *Process) error { return p.Send(t.Context(), ToPid(him), etf.Atom("hi")) },
			"{22,%s,PID} | hi", "{22,%s,PID} | hi"},
		{"send to a name", func(p *Process) error { return p.Send(t.Context(), name, etf.Atom("hi")) },
			"{6,%s,'',there} | hi", "{6,%s,'',there} | hi"},
		{"priority to an alias", func(p *Process) error { return p.SendPriority(t.Context(), ToAlias(alias), etf.Atom("hi")) },
			"{37,5,%s,ALIAS} | hi", "{33,%s,ALIAS} | hi"},
		{"priority to a pid", func(p *Process) error { return p.SendPriority(t.Context(), ToPid(him), etf.Atom("hi")) },
			"{37,1,%s,PID} | hi", "{22,%s,PID} | hi"},
		{"priority to a name", func(p *Process) error { return p.SendPriority(t.Context(), name, etf.Atom("hi")) },
			"{37,9,%s,there} | hi", "{6,%s,'',there} | hi"},
		{"exit", func(p *Process) error { return p.SendExit(t.Context(), him, etf.Atom("hi")) },
			"{26,%s,PID} | hi", "{26,%s,PID} | hi"},
		{"exit of an alias", func(p *Process) error { return p.SendExitTo(t.Context(), ToAlias(alias), etf.Atom("hi"), false) },
			"{37,20,%s,ALIAS} | hi", ""},
		{"exit with priority", func(p *Process) error { return p.SendExitTo(t.Context(), ToPid(him), etf.Atom("hi"), true) },
			"{37,17,%s,PID} | hi", "{26,%s,PID} | hi"},
		{"exit of an alias with priority", func(p *Process) error { return p.SendExitTo(t.Context(), ToAlias(alias), etf.Atom("hi"), true) },
			"{37,21,%s,ALIAS} | hi", ""},
	} {
		for flags, want := range map[Flags]string{flagsOurs: c.new, flagsOurs &^ FlagAltactSig: c.old} {
			t.Run(fmt.Sprintf("%s/%v", c.name, flags.Has(FlagAltactSig)), func(t *testing.T) {
				t.Parallel()
				n, _, _ := pipeLink(t, nil)
				ours, wire := net.Pipe()
				defer wire.Close()
				wire.SetDeadline(time.Now().Add(20 * time.Second))
				f := &flowNode{Node: n}
				f.connect(t, ours, handshakeResult{peer: Name{"peer", "localhost"}, flags: flags, creation: 7})
				p := n.Spawn(&Mailbox{})
				done := make(chan error, 1)
				go func() {
					err := c.do(p)
					if err == nil {
						err = p.Send(t.Context(), ToPid(him), etf.Atom("finish"))
					}
					done <- err
				}()
				end := fmt.Sprintf("{22,%s,PID} | finish", etf.Format(p.Pid()))
				short := strings.NewReplacer(etf.Format(alias), "ALIAS", etf.Format(him), "PID")
				for _, want := range []string{want, end} {
					if want == "" {
						continue
					}
					want = strings.ReplaceAll(want, "%s", etf.Format(p.Pid()))
					if got := short.Replace(receiveControl(t, wire)); got != want {
						t.Errorf("sent\n got %s\nwant %s", got, want)
					}
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// Among the processes of one node priority and exit signals by alias work as over a link.
func TestProcess_PriorityAtHome(t *testing.T) {
	t.Parallel()
	n, _, _ := pipeLink(t, nil)
	var box Mailbox
	p, q := n.Spawn(&box), n.Spawn(&Mailbox{})
	plain, urgent := p.Alias(), p.PriorityAlias()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, err := range []error{
		q.Send(ctx, ToPid(p.Pid()), etf.Atom("one")), q.SendPriority(ctx, ToAlias(plain), etf.Atom("two")),
		q.SendPriority(ctx, ToAlias(urgent), etf.Atom("urgent")), q.SendExitTo(ctx, ToAlias(urgent), etf.Atom("exit"), true),
		q.SendExitTo(ctx, ToAlias(plain), etf.Atom("mild"), true),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := q.SendExitTo(ctx, ToName("x", n.Name()), etf.Atom("x"), true); !errors.Is(err, ErrBadDest) {
		t.Errorf("exit of a name: %v", err)
	}
	var got []string
	for range 5 {
		switch s, _ := box.Next(ctx); s := s.(type) {
		case Message:
			got = append(got, etf.Format(s.Term))
		case Exit:
			got = append(got, etf.Format(s.Reason))
		}
	}
	if want := "urgent exit one two mild"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
	q.SendExitTo(ctx, ToAlias(plain), atomKill, false)
	if s, _ := box.Next(ctx); !s.(Exit).Killed {
		t.Errorf("kill by alias: %+v", s)
	}
	<-p.Done()
}

// Native records are not offered: one that comes ends the link, with a reason that says so, and none goes out.
func TestControl_NativeRecords(t *testing.T) {
	t.Parallel()
	record := &etf.Record{Module: "m", Name: "r", Exported: true, Fields: []etf.RecordField{{Name: "a", Value: 1}}}
	for name, send := range map[string]func(t *testing.T, wire net.Conn, to etf.Pid){
		"message": func(t *testing.T, wire net.Conn, to etf.Pid) {
			sendControl(t, wire, etf.Tuple{opSendSender, beamPid, to}, record)
		},
		"within a term": func(t *testing.T, wire net.Conn, to etf.Pid) {
			sendControl(t, wire, etf.Tuple{opSendSender, beamPid, to}, etf.Tuple{1, etf.List{record}})
		},
		"reason": func(t *testing.T, wire net.Conn, to etf.Pid) {
			sendControl(t, wire, etf.Tuple{opExit2, beamPid, to, record})
		},
		"spawn argument": func(t *testing.T, wire net.Conn, _ etf.Pid) {
			mfa := etf.Tuple{etf.Atom("m"), etf.Atom("f"), 1}
			sendControl(t, wire, etf.Tuple{opSpawnRequest, etf.Ref{Node: "beam@localhost", Creation: 7, Len: 3}, beamPid, beamPid, mfa, etf.List{}}, etf.List{record})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, l, wire := pipeLink(t, nil)
			send(t, wire, n.Spawn(&Mailbox{}).Pid())
			select {
			case <-l.finished:
			case <-time.After(20 * time.Second):
				t.Fatal("the link lives on")
			}
			if !errors.Is(l.err, ErrProtocol) || !errors.Is(l.err, etf.ErrRecord) || !strings.Contains(l.err.Error(), "NATIVE_RECORDS") {
				t.Errorf("link ended with %v", l.err)
			}
		})
	}

	n, l, wire := pipeLink(t, nil)
	wire.SetDeadline(time.Now().Add(20 * time.Second))
	p := n.Spawn(&Mailbox{})
	for _, msg := range []etf.Term{record, etf.Tuple{make(etf.Binary, 2*bigBinary), record}} {
		if err := p.Send(t.Context(), ToPid(beamPid), msg); !errors.Is(err, etf.ErrRecord) {
			t.Errorf("Send = %v", err)
		}
	}
	go p.Send(t.Context(), ToPid(beamPid), etf.Atom("hi"))
	if got := receiveControl(t, wire); !strings.HasSuffix(got, "| hi") || l.closed() {
		t.Errorf("after the refusals: %s, %v", got, l.err)
	}
}

// The peer ignores a LINK that it gets before the acknowledgement of its UNLINK_ID. One that was under way is sent again.
func TestProcess_LinkCrossesUnlink(t *testing.T) {
	t.Parallel()
	n, l, wire := pipeLink(t, nil)
	wire.SetDeadline(time.Now().Add(20 * time.Second))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var box Mailbox
	p := n.Spawn(&box)
	us, him := etf.Format(p.Pid()), etf.Format(beamPid)
	p.mu.Lock()
	p.setLink(beamPid, procLink{link: l, asking: true}) // as Link does
	p.mu.Unlock()
	sendControl(t, wire, etf.Tuple{opLink, beamPid, p.Pid()}) // that the peer gives up again
	sendControl(t, wire, etf.Tuple{opUnlinkID, 5, beamPid, p.Pid()})
	if got := receiveControl(t, wire); got != fmt.Sprintf("{36,5,%s,%s}", us, him) {
		t.Errorf("answer %s", got)
	}
	sendControl(t, wire, etf.Tuple{opSendSender, beamPid, p.Pid()}, etf.Atom("then")) // has come when UNLINK_ID is over and done
	if _, err := box.Next(ctx); err != nil {
		t.Fatal(err)
	}
	if again, err := p.asked(beamPid, l, nil); !again || err != nil {
		t.Errorf("asked = %v, %v, want the LINK to be sent again", again, err)
	}
	if again, err := p.asked(beamPid, l, nil); again || err != nil {
		t.Errorf("asked once more = %v, %v", again, err)
	}
	sendControl(t, wire, etf.Tuple{opPayloadExit, beamPid, p.Pid()}, etf.Atom("bye"))
	if s, err := box.Next(ctx); err != nil || !s.(Exit).Linked {
		t.Errorf("exit of the linked one: %+v, %v", s, err)
	}
}
