package node

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/beamkeeper/beamkeeper/etf"
)

// CallInfo tells a function of HandleFunc who calls.
type CallInfo struct {
	Peer        Name
	Caller      etf.Pid
	GroupLeader etf.Pid
	Module      etf.Atom
	Function    etf.Atom

	// Process runs the function when the peer spawned it: its self(). Nil when it came through rex or from this node.
	Process *Process
	// Inbox gets the messages sent to Process, and exit signals with reason normal; others end ctx. Beyond 1024 that
	// nobody asked for, they are dropped. Nil without a Process.
	Inbox *Mailbox
}

// Func answers rpc. ctx ends when the node closes, the link goes down, or the caller kills the call. A *CallError is raised in the
// caller as it is; any other error becomes class error with the reason {Module, Function, Text}. The returned term must not be changed afterwards.
type Func func(ctx context.Context, info CallInfo, args []etf.Term) (etf.Term, error)

// AnyArity lets HandleFunc take calls of every arity; AnyFunction those of every function of the module.
const (
	AnyArity             = -1
	AnyFunction etf.Atom = ""
)

type funcKey struct {
	mod, fun etf.Atom
	arity    int
}

type handler struct {
	run   Func
	quick bool // the reader may run it
}

type funcTable struct {
	mu      sync.RWMutex
	funcs   map[funcKey]handler
	refused map[funcKey]etf.Atom // spawns
}

// HandleFunc has f answer rpc, erpc and spawns of mod:fun/arity, in a goroutine per call. The most specific handler wins;
// a later one replaces an equal one; nil removes it. Functions without a handler fail with undef, as on a BEAM.
// erlang:node/0, nodes/0, is_alive/0, whereis/1 and is_process_alive/1 are answered from the start.
func (n *Node) HandleFunc(mod, fun etf.Atom, arity int, f Func) {
	n.funcs.set(funcKey{mod, fun, arity}, handler{run: f})
}

// HandleQuick is HandleFunc for a function that answers at once and asks nobody: the goroutine that reads from the peer
// runs it, as it does a Receiver, which spares the starting of another. Its ctx ends with the link only.
func (n *Node) HandleQuick(mod, fun etf.Atom, arity int, f Func) {
	n.funcs.set(funcKey{mod, fun, arity}, handler{run: f, quick: true})
}

func (t *funcTable) set(key funcKey, h handler) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h.run == nil {
		delete(t.funcs, key)
		return
	}
	if t.funcs == nil {
		t.funcs = map[funcKey]handler{}
	}
	t.funcs[key] = h
}

// RefuseSpawn has spawns of mod:fun/arity fail in the peer, where erlang:spawn_link/4 and its like raise the error reason.
// Without it they give a pid, whose process ends with undef: those who wait for what it sends, and not for its end, hang.
func (n *Node) RefuseSpawn(mod, fun etf.Atom, arity int, reason etf.Atom) {
	t := &n.funcs
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refused == nil {
		t.refused = map[funcKey]etf.Atom{}
	}
	t.refused[funcKey{mod, fun, arity}] = reason
}

// refusal is the reason of RefuseSpawn, empty for functions that may be spawned.
func (t *funcTable) refusal(mod, fun etf.Atom, arity int) etf.Atom {
	if mod == "erpc" {
		return "" // what nearly all requests are for
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.refused[funcKey{mod, fun, arity}]
}

// Handles tells whether mod:fun/arity has a handler: erlang:function_exported/3 of this node.
func (n *Node) Handles(mod, fun etf.Atom, arity int) bool {
	return n.funcs.find(mod, fun, arity).run != nil
}

// find gives the handler of a function, one without run if there is none.
func (t *funcTable) find(mod, fun etf.Atom, arity int) handler {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, key := range [...]funcKey{
		{mod, fun, arity}, {mod, fun, AnyArity}, {mod, AnyFunction, arity}, {mod, AnyFunction, AnyArity},
	} {
		if h, ok := t.funcs[key]; ok {
			return h
		}
	}
	return handler{}
}

// apply runs a function. The error is a *CallError. A panic is logged and raised in the caller.
func (n *Node) apply(ctx context.Context, info CallInfo, args []etf.Term) (v etf.Term, err error) {
	f := n.funcs.find(info.Module, info.Function, len(args)).run
	if f == nil {
		return nil, Undef(info.Module, info.Function, args)
	}
	defer func() {
		if x := recover(); x != nil {
			n.config.Log.Error("function panicked", "function", fmt.Sprintf("%s:%s/%d", info.Module, info.Function, len(args)),
				"peer", info.Peer.String(), "panic", fmt.Sprint(x), "stack", string(debug.Stack()))
			v, err = nil, asCallError(info, fmt.Errorf("panic: %v", x))
		}
	}()
	if v, err = f(ctx, info, args); err != nil {
		return nil, asCallError(info, err)
	}
	return v, nil
}

// handleBuiltins answers the few functions that every node has.
func (n *Node) handleBuiltins() {
	n.HandleQuick("erlang", "node", 0, func(context.Context, CallInfo, []etf.Term) (etf.Term, error) { return n.self, nil })
	n.HandleQuick("erlang", "is_alive", 0, func(context.Context, CallInfo, []etf.Term) (etf.Term, error) { return true, nil })
	n.HandleQuick("erlang", "nodes", 0, func(context.Context, CallInfo, []etf.Term) (etf.Term, error) {
		nodes := etf.List{}
		for _, p := range n.Peers() {
			if !p.Hidden {
				nodes = append(nodes, p.Name.Atom())
			}
		}
		return nodes, nil
	})
	n.HandleQuick("erlang", "whereis", 1, func(_ context.Context, _ CallInfo, args []etf.Term) (etf.Term, error) {
		name, ok := args[0].(etf.Atom)
		if !ok {
			return nil, &CallError{Class: ClassError, Reason: etf.Atom("badarg"), Stack: etf.List{}}
		}
		if p := n.findName(name); p != nil {
			return p.pid, nil
		}
		return etf.Atom("undefined"), nil
	})
	n.HandleQuick("erlang", "is_process_alive", 1, func(_ context.Context, _ CallInfo, args []etf.Term) (etf.Term, error) {
		pid, ok := args[0].(etf.Pid)
		if !ok || pid.Node != n.self {
			return nil, &CallError{Class: ClassError, Reason: etf.Atom("badarg"), Stack: etf.List{}}
		}
		return n.findPid(pid) != nil, nil
	})
}
