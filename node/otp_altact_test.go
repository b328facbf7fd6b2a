package node_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// Messages and exit signals with priority, and exit signals to aliases, both ways.
func TestOTP_Priority(t *testing.T) {
	t.Parallel()
	otp := nodetest.Want(t, "29")[0]
	port := nodetest.StartEPMD(t)
	e := nodetest.StartErl(t, otp, "beam", cookie, port)
	n := startNode(t, "keeper@localhost", port)
	var box node.Mailbox
	p := n.Spawn(&box)
	urgent, plain := p.PriorityAlias(), p.Alias()
	n.HandleFunc("our", "targets", 0, func(context.Context, node.CallInfo, []etf.Term) (etf.Term, error) {
		return etf.Tuple{p.Pid(), urgent, plain}, nil
	})

	// Theirs to us. All of it waits before the first is taken.
	e.Eval(`{P, U, A} = erpc:call(keeper@localhost, our, targets, []),
		P ! one, A ! two, erlang:send(P, {pid, priority}, [priority]), erlang:send(A, {alias, priority}, [priority]), U ! three,
		erlang:send(U, first, [priority]), exit(U, second, [priority]), exit(A, by_alias), exit(A, mild, [priority]),
		exit(P, by_pid, [priority]), erlang:send(U, third, [priority]), exit(U, fourth)`)
	arrived(t, n, e)
	for _, want := range []string{"first!", "exit second!", "third!", "one", "two", "{pid,priority}", "{alias,priority}", "three",
		"exit by_alias", "exit mild", "exit by_pid", "exit fourth"} {
		sig, err := box.Next(ctx(t))
		if err != nil {
			t.Fatal(err)
		}
		var got string
		var priority bool
		switch s := sig.(type) {
		case node.Message:
			got, priority = etf.Format(s.Term), s.Priority
		case node.Exit:
			got, priority = "exit "+etf.Format(s.Reason), s.Priority
		}
		if priority {
			got += "!"
		}
		if got != want {
			t.Errorf("signal %s, want %s", got, want)
		}
	}

	// Ours to them.
	n.HandleFunc("our", "signals", 3, func(c context.Context, _ node.CallInfo, args []etf.Term) (etf.Term, error) {
		pid, urgent, plain := node.ToPid(args[0].(etf.Pid)), node.ToAlias(args[1].(etf.Ref)), node.ToAlias(args[2].(etf.Ref))
		for _, err := range []error{
			p.Send(c, pid, etf.Atom("one")), p.Send(c, plain, etf.Atom("two")), p.SendPriority(c, pid, etf.Atom("to_pid")),
			p.SendPriority(c, urgent, etf.Atom("first")), p.SendExitTo(c, urgent, etf.Atom("second"), true),
			p.SendExitTo(c, plain, etf.Atom("by_alias"), false), p.SendExitTo(c, pid, etf.Atom("by_pid"), true),
			p.SendPriority(c, node.ToName("here", nameOf(e)), etf.Atom("to_name")),
		} {
			if err != nil {
				return nil, err
			}
		}
		return etf.Atom("ok"), nil
	})
	got := e.Eval(`process_flag(trap_exit, true), register(here, self()), U1 = alias([priority]), A1 = alias(),
		ok = erpc:call(keeper@localhost, our, signals, [self(), U1, A1]), pong = net_adm:ping(keeper@localhost),
		Flush = fun F() -> receive {'EXIT', P, R} -> [{exit, R} | F()]; M -> [M | F()] after 0 -> [] end end,
		receive to_name -> self() ! done after 20000 -> late end, Flush()`)
	if want := "[first,{exit,second},one,two,to_pid,{exit,by_alias},{exit,by_pid},done]"; got != want {
		t.Errorf("the BEAM received\n got %s\nwant %s", got, want)
	}

	// Monitors and links with priority are the watcher's own affair: what we send overtakes what waits there.
	e.Eval(`M1 = monitor(process, P, [priority]), link(P, [priority]), self() ! waiting, net_adm:ping(keeper@localhost)`)
	p.Exit(etf.Atom("over"))
	if got := e.Eval(`receive {'DOWN', M1, process, P, over} -> self() ! {down, over} after 20000 -> no_down end,
		receive {down, over} -> ok end, Flush()`); got != "[{exit,over},waiting]" && got != "[waiting,{exit,over}]" {
		t.Errorf("monitor and link with priority: %s", got)
	}
}

// OTP 29 sends native records to a node that has not offered to take them. The link is dropped, and the reason says why.
func TestOTP_NativeRecords(t *testing.T) {
	t.Parallel()
	otp := nodetest.Want(t, "29")[0]
	port := nodetest.StartEPMD(t)
	e := nodetest.StartErl(t, otp, "beam", cookie, port)
	n := startNode(t, "keeper@localhost", port)
	spawnServer(t, n, "box")
	downs := make(chan error, 10)
	n.Subscribe(func(ev node.NodeEvent) {
		if !ev.Up {
			downs <- ev.Err
		}
	})
	src, err := filepath.Abs(filepath.Join("..", "testdata", "gen", "etf_records"))
	if err != nil {
		t.Fatal(err)
	}
	e.Eval(`pong = net_adm:ping(keeper@localhost), {ok, Mod, Code} = compile:file("` + src + `", [binary]), {module, Mod} = code:load_binary(Mod, "", Code),
		monitor_node(keeper@localhost, true), {box, keeper@localhost} ! Mod:terms(), receive {nodedown, _} -> ok end`)
	select {
	case err := <-downs:
		if !errors.Is(err, node.ErrProtocol) || !errors.Is(err, etf.ErrRecord) || !strings.Contains(err.Error(), "DFLAG_NATIVE_RECORDS") {
			t.Errorf("link ended with %v", err)
		}
	case <-ctx(t).Done():
		t.Fatal("no nodedown of ours")
	}
	if got := e.Eval(`gen_server:call({box, keeper@localhost}, hi)`); got != "hi" {
		t.Errorf("afterwards: %s", got)
	}
}
