package node

import (
	"context"

	"github.com/beamkeeper/beamkeeper/etf"
)

// Call runs mod:fun(args...) on the peer, as erpc:call/5 does, and returns its value, connecting first if need be. The own name is a peer too.
//
// The deadline is that of ctx; without one, Call waits until the peer answers or goes down. After ctx has ended the function may
// still run. What the function prints goes to the log at level debug, or to the writer of WithOutput.
//
// Errors: *CallError if the code raised or does not exist (class error, reason undef), *DownError if the link was lost
// or could not be made, ctx.Err() if ctx ended first.
//
// Spec: https://www.erlang.org/doc/apps/kernel/erpc.html#call/5
func (n *Node) Call(ctx context.Context, peer Name, mod, fun etf.Atom, args ...etf.Term) (etf.Term, error) {
	panic("todo")
}

// Cast runs mod:fun(args...) on the peer and does not wait for it, as erpc:cast/4 does.
func (n *Node) Cast(ctx context.Context, peer Name, mod, fun etf.Atom, args ...etf.Term) error {
	panic("todo")
}

// GenCall is gen_server:call/3 to a pid or a registered name, local or remote. A server that is not there fails at once
// with a *CallError of class exit and reason noproc, one that dies in the call with its exit reason. Otherwise errors as of Call.
func (n *Node) GenCall(ctx context.Context, to Dest, request etf.Term) (etf.Term, error) {
	panic("todo")
}

// GenCast is gen_server:cast/2.
func (n *Node) GenCast(ctx context.Context, to Dest, request etf.Term) error { panic("todo") }

// CallInfo tells a function of HandleFunc who calls.
type CallInfo struct {
	Peer        Name
	Caller      etf.Pid
	GroupLeader etf.Pid
	Module      etf.Atom
	Function    etf.Atom
}

// Func answers rpc. ctx ends when the node closes, the link goes down, or the caller kills the call. A *CallError is raised in the
// caller as it is; any other error becomes class error with the reason {Module, Function, Text}. The returned term is not changed afterwards.
type Func func(ctx context.Context, info CallInfo, args []etf.Term) (etf.Term, error)

// AnyArity lets HandleFunc take calls of every arity; AnyFunction those of every function of the module.
const (
	AnyArity             = -1
	AnyFunction etf.Atom = ""
)

// HandleFunc has f answer rpc, erpc and spawns of mod:fun/arity, in a goroutine per call. The most specific handler wins;
// a later one replaces an equal one; nil removes it. Functions without a handler fail with undef, as on a BEAM.
func (n *Node) HandleFunc(mod, fun etf.Atom, arity int, f Func) { panic("todo") }
