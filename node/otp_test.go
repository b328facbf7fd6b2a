package node_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

const cookie = "sesame"

// startNode starts a node of ours on 127.0.0.1, which logs to the test.
func startNode(t testing.TB, name string, epmdPort int, change ...func(*node.Config)) *node.Node {
	t.Helper()
	parsed, err := node.ParseName(name)
	if err != nil {
		t.Fatal(err)
	}
	c := node.Config{
		Name: parsed, Cookie: cookie, EPMDAddr: net.JoinHostPort("127.0.0.1", strconv.Itoa(epmdPort)),
		Resolve: func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil },
		Log:     slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&c)
	}
	n, err := node.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	if epmdPort != 0 {
		if err := n.Registered(ctx(t)); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// ctx bounds one step of a test.
func ctx(t testing.TB) context.Context {
	c, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return c
}

func nameOf(e *nodetest.Erl) node.Name {
	n, err := node.ParseName(e.Name)
	if err != nil {
		panic(err)
	}
	return n
}

// eachOTP runs a test against a BEAM of each release, and a node of ours beside it.
func eachOTP(t *testing.T, f func(t *testing.T, n *node.Node, e *nodetest.Erl)) {
	t.Helper()
	t.Parallel()
	for _, otp := range nodetest.Want(t, "23", "25", "27", "29") {
		t.Run(otp.Release, func(t *testing.T) {
			t.Parallel()
			port := nodetest.StartEPMD(t)
			e := nodetest.StartErl(t, otp, "beam", cookie, port)
			f(t, startNode(t, "keeper@localhost", port), e)
		})
	}
}

func TestOTP_Ping(t *testing.T) {
	eachOTP(t, func(t *testing.T, n *node.Node, e *nodetest.Erl) {
		if got := e.Eval("net_adm:ping(keeper@localhost)"); got != "pong" {
			t.Fatalf("ping = %s", got)
		}
		if got := e.Eval("{nodes(), nodes(hidden)}"); got != "{[],[keeper@localhost]}" {
			t.Errorf("nodes = %s, want us hidden", got)
		}
		peers := n.Peers()
		if len(peers) != 1 || peers[0].Name != nameOf(e) || !peers[0].Inbound || peers[0].Hidden {
			t.Errorf("Peers() = %+v", peers)
		}
	})
}

func TestOTP_CallOut(t *testing.T) {
	eachOTP(t, func(t *testing.T, n *node.Node, e *nodetest.Erl) {
		v, err := n.Call(ctx(t), nameOf(e), "lists", "reverse", etf.List{1, 2, etf.Atom("x")})
		if err != nil || !etf.Equal(v, etf.List{etf.Atom("x"), 2, 1}) {
			t.Errorf("lists:reverse = %v, %v", v, err)
		}
		for _, c := range []struct {
			fun    etf.Atom
			class  node.Class
			reason string
		}{
			{"throw", node.ClassThrow, "{a,b}"}, {"exit", node.ClassExit, "{a,b}"}, {"error", node.ClassError, "{a,b}"},
		} {
			_, err := n.Call(ctx(t), nameOf(e), "erlang", c.fun, etf.Tuple{etf.Atom("a"), etf.Atom("b")})
			var ce *node.CallError
			if !errors.As(err, &ce) || ce.Class != c.class || etf.Format(ce.Reason) != c.reason {
				t.Errorf("erlang:%s = %v", c.fun, err)
			}
		}
		_, err = n.Call(ctx(t), nameOf(e), "no_such", "fun", 1)
		var ce *node.CallError
		if !errors.As(err, &ce) || ce.Class != node.ClassError || ce.Reason != etf.Term(etf.Atom("undef")) || ce.Stack == nil {
			t.Errorf("undef = %v", err)
		}
		short, cancel := context.WithTimeout(ctx(t), 50*time.Millisecond)
		defer cancel()
		if _, err := n.Call(short, nameOf(e), "timer", "sleep", etf.Atom("infinity")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("sleep = %v", err)
		}
		var out strings.Builder
		_, err = n.Call(node.WithOutput(ctx(t), &out), nameOf(e), "io", "format", "~p ~s~n", etf.List{etf.Tuple{1, 2}, "ho"})
		if err != nil || out.String() != "{1,2} ho\n" {
			t.Errorf("output = %q, %v", out.String(), err)
		}
		if _, err = n.Call(ctx(t), nameOf(e), "io", "format", "nobody hears ~p~n", etf.List{1}); err != nil {
			t.Error(err)
		}
	})
}

func TestOTP_CallIn(t *testing.T) {
	eachOTP(t, func(t *testing.T, n *node.Node, e *nodetest.Erl) {
		n.HandleFunc("calc", "add", 2, func(_ context.Context, info node.CallInfo, args []etf.Term) (etf.Term, error) {
			if info.Peer != nameOf(e) {
				return nil, fmt.Errorf("peer %v", info.Peer)
			}
			return args[0].(int64) + args[1].(int64), nil
		})
		n.HandleFunc("calc", "raise", 2, func(_ context.Context, _ node.CallInfo, args []etf.Term) (etf.Term, error) {
			class := map[etf.Term]node.Class{etf.Atom("throw"): node.ClassThrow, etf.Atom("exit"): node.ClassExit, etf.Atom("error"): node.ClassError}[args[0]]
			return nil, &node.CallError{Class: class, Reason: args[1]}
		})
		n.HandleFunc("calc", "panic", 0, func(context.Context, node.CallInfo, []etf.Term) (etf.Term, error) { panic("ouch") })
		for expr, want := range map[string]string{
			"rpc:call(keeper@localhost, erlang, node, [])":                                                                        "keeper@localhost",
			"erpc:call(keeper@localhost, calc, add, [40, 2])":                                                                     "42",
			"rpc:call(keeper@localhost, calc, add, [40, 2])":                                                                      "42",
			"rpc:block_call(keeper@localhost, calc, add, [40, 2])":                                                                "42",
			"rpc:multicall([keeper@localhost], calc, add, [400, 2])":                                                              "{[402],[]}",
			"rpc:yield(rpc:async_call(keeper@localhost,calc,add,[1,2]))":                                                          "3",
			"rpc:cast(keeper@localhost, calc, add, [1,2])":                                                                        "true",
			"catch erpc:call(keeper@localhost, calc, raise, [throw, x])":                                                          "x",
			"catch erpc:call(keeper@localhost, calc, raise, [exit, x])":                                                           "{'EXIT',{exception,x}}",
			"try erpc:call(keeper@localhost, calc, raise, [error, x]) catch error:{exception,x,[]} -> fine end":                   "fine",
			"try erpc:call(keeper@localhost, no, fn, [1]) catch error:{exception,undef,[{no,fn,[1],[]}]} -> fine end":             "fine",
			"rpc:call(keeper@localhost, no, fn, [1])":                                                                             "{badrpc,{'EXIT',{undef,[{no,fn,[1],[]}]}}}",
			"rpc:block_call(keeper@localhost, no, fn, [1])":                                                                       "{badrpc,{'EXIT',{undef,[{no,fn,[1],[]}]}}}",
			"rpc:call(keeper@localhost, calc, raise, [throw, x])":                                                                 "x",
			"rpc:call(keeper@localhost, calc, panic, [])":                                                                         `{badrpc,{'EXIT',{{calc,panic,<<"panic: ouch">>},[]}}}`,
			"{P,R} = spawn_monitor(keeper@localhost, no, fn, [1]), receive {'DOWN',R,process,P,Why} -> Why end":                   "{undef,[{no,fn,[1],[]}]}",
			"try spawn_monitor(keeper@localhost, fun() -> ok end) catch error:notsup -> fine end":                                 "fine",
			"{P3,R3} = spawn_monitor(keeper@localhost, calc, add, [1,2]), receive {'DOWN',R3,process,P3,W3} -> W3 end":            "normal",
			"process_flag(trap_exit,true), P4 = spawn_link(keeper@localhost, calc, add, [1,2]), receive {'EXIT',P4,W4} -> W4 end": "normal",
		} {
			if got := e.Eval(expr); got != want {
				t.Errorf("%s\n got %s\nwant %s", expr, got, want)
			}
		}
	})
}
