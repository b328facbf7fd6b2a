package observer

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/actors/bridge"
	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

const (
	maxInspections = 32 // actors being asked for their state at one time
	inspectTimeout = 5 * time.Second
	firstOKRelease = 26 // see wantsOK
)

// handleSys answers rpc of modules sys, supervisor and proc_lib for processes of this node.
func (b *Observer) handleSys() {
	for _, arity := range []int{1, 2} {
		b.node.HandleFunc("sys", "get_status", arity, b.sysCall("get_status"))
		b.node.HandleFunc("sys", "get_state", arity, b.sysCall("get_state"))
	}
	for _, arity := range []int{2, 3} {
		b.node.HandleFunc("sys", "statistics", arity, func(_ context.Context, _ node.CallInfo, args []etf.Term) (etf.Term, error) {
			p := b.processArg(args[0])
			if p == nil {
				return nil, noproc("statistics", args)
			}
			return b.debug(p, etf.Tuple{etf.Atom("statistics"), args[1]}), nil
		})
	}
	b.handle("supervisor", "which_children", 1, func(args []etf.Term) (etf.Term, error) { return b.supervisorCall("which_children", args) })
	b.handle("supervisor", "count_children", 1, func(args []etf.Term) (etf.Term, error) { return b.supervisorCall("count_children", args) })
	b.handle("proc_lib", "translate_initial_call", 1, func(args []etf.Term) (etf.Term, error) {
		p := b.processArg(args[0])
		if p == nil {
			return etf.Tuple{etf.Atom("proc_lib"), etf.Atom("init_p"), 5}, nil
		}
		b.knowBehavior(p)
		return p.initialCall(), nil
	})
	b.handle("proc_lib", "initial_call", 1, func(args []etf.Term) (etf.Term, error) {
		if p := b.processArg(args[0]); p != nil {
			return p.initialCall(), nil
		}
		return false, nil
	})
	b.handle("proc_lib", "get_label", 1, func(args []etf.Term) (etf.Term, error) {
		if p := b.processArg(args[0]); p != nil && p.label != "" {
			return str(p.label), nil
		}
		return undefined, nil
	})
}

// knowBehavior makes module_info/1 of the Go type answer, which the process window asks for.
func (b *Observer) knowBehavior(p *proc) {
	b.mu.Lock()
	known := b.behaviors[p.behavior]
	if len(b.behaviors) < 1000 {
		b.behaviors[p.behavior] = true
	}
	b.mu.Unlock()
	if known {
		return
	}
	module := p.module
	b.handle(p.behavior, "module_info", 1, func(args []etf.Term) (etf.Term, error) {
		switch args[0] {
		case etf.Term(etf.Atom("attributes")):
			return etf.List{pair("behaviour", etf.List{module})}, nil
		case etf.Term(etf.Atom("exports")), etf.Term(etf.Atom("functions")), etf.Term(etf.Atom("compile")):
			return etf.List{}, nil
		}
		return nil, errBadarg
	})
}

// processArg finds a process by pid or registered name.
func (b *Observer) processArg(t etf.Term) *proc {
	switch t := t.(type) {
	case etf.Pid:
		return b.process(t)
	case etf.Atom:
		if p := b.node.Whereis(t); p != nil {
			return b.process(p.Pid())
		}
		if pid, ok := b.sys.PIDOf(gen.Atom(t)); ok {
			return b.actor(pid)
		}
	}
	return nil
}

// noproc is how sys and gen_server exit when there is no such process.
func noproc(fun etf.Atom, args []etf.Term) error {
	return &node.CallError{Class: node.ClassExit, Reason: etf.Tuple{etf.Atom("noproc"), etf.Tuple{etf.Atom("sys"), fun, etf.List(args)}}}
}

func (b *Observer) sysCall(what etf.Atom) node.Func {
	return func(ctx context.Context, _ node.CallInfo, args []etf.Term) (etf.Term, error) {
		p := b.processArg(args[0])
		if p == nil {
			return nil, noproc(what, args)
		}
		timeout := inspectTimeout
		if len(args) == 2 {
			if ms, ok := args[1].(int64); ok && ms >= 0 {
				timeout = min(time.Duration(ms)*time.Millisecond, timeout)
			}
		}
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		state, err := b.state(ctx, p)
		if err != nil {
			return nil, &node.CallError{Class: node.ClassExit, Reason: etf.Tuple{etf.Atom("timeout"), etf.Tuple{etf.Atom("sys"), what, etf.List(args)}}}
		}
		if what == "get_state" {
			return state, nil
		}
		return b.status(p, state), nil
	}
}

// state is what an actor tells of itself by HandleInspect, and some facts about it. Asking waits for the actor.
func (b *Observer) state(ctx context.Context, p *proc) (etf.Term, error) {
	m := etf.Map{
		{Key: etf.Atom("behavior"), Value: etf.Binary(p.behavior)},
		{Key: etf.Atom("handled"), Value: p.handled},
	}
	if p.actor == nil {
		return m, nil
	}
	m = append(m, etf.MapPair{Key: etf.Atom("sent"), Value: int64(p.actor.MessagesOut)},
		etf.MapPair{Key: etf.Atom("running_ns"), Value: int64(p.actor.RunningTime)},
		etf.MapPair{Key: etf.Atom("uptime_s"), Value: p.actor.Uptime})
	select {
	case b.inspect <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	type answer struct {
		m   map[string]string
		err error
	}
	done := make(chan answer, 1)
	go func() {
		defer func() { <-b.inspect }()
		b.order.begin(b.sys.Ergo(), p.actor.PID)
		m, err := b.sys.Ergo().Inspect(p.actor.PID)
		b.order.begun(b.sys.Ergo(), p.actor.PID)
		b.order.end()
		done <- answer{m, err}
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case a := <-done:
		if a.err != nil {
			return nil, a.err
		}
		for _, k := range slices.Sorted(maps.Keys(a.m)) {
			m = append(m, etf.MapPair{Key: etf.Binary(k), Value: etf.Binary(a.m[k])})
		}
	}
	return m, nil
}

// status is {status, Pid, {module, Mod}, [PDict, SysState, Parent, Debug, Format]} as of a gen_server.
func (b *Observer) status(p *proc, state etf.Term) etf.Term {
	dict, _ := b.item(p, etf.Atom("dictionary"))
	name := pidText(p.pid)
	if p.name != "" {
		name = string(p.name)
	} else if p.label != "" {
		name = p.label
	}
	return etf.Tuple{etf.Atom("status"), p.pid, etf.Tuple{etf.Atom("module"), etf.Atom("gen_server")}, etf.List{
		dict, etf.Atom("running"), p.parent, etf.List{}, etf.List{
			pair("header", str("Status for generic server "+name)),
			pair("data", etf.List{
				etf.Tuple{str("Status"), etf.Atom("running")}, etf.Tuple{str("Parent"), p.parent}, etf.Tuple{str("Logged events"), etf.List{}},
			}),
			pair("data", etf.List{etf.Tuple{str("State"), state}}),
		},
	}}
}

// request answers what a peer asks an actor directly.
func (b *Observer) request(r bridge.Request) {
	if len(b.inspect) == cap(b.inspect) {
		return // too many at once: the caller times out
	}
	b.errand(func() { // with too many the caller times out
		ctx, cancel := context.WithTimeout(context.Background(), inspectTimeout)
		defer cancel()
		p := b.actor(r.Actor)
		switch {
		case p == nil: // it has just ended, which the caller's monitor tells
		case !r.System:
			r.Reply(ctx, b.genCall(p, r.Call.Request))
		default:
			t, ok := b.system(ctx, p, r.Call.Request)
			if !ok {
				return
			}
			if r.Call.Request == etf.Term(etf.Atom("get_state")) && b.wantsOK(ctx, r.Call.From) {
				t = etf.Tuple{etf.Atom("ok"), t}
			}
			r.Reply(ctx, t)
		}
	})
}

// wantsOK tells whether sys:get_state of the caller's OTP waits for {ok, State}, as it does since OTP 26.1, rather than State.
func (b *Observer) wantsOK(ctx context.Context, caller etf.Pid) bool {
	peer, err := node.ParseName(string(caller.Node))
	if err != nil || !b.node.Connected(peer) { // it is only the caller's word
		return false
	}
	v, err := b.node.Call(ctx, peer, "erlang", "system_info", etf.Atom("otp_release"))
	if err != nil {
		return false
	}
	text, _ := etf.Text(v)
	release, _ := strconv.Atoi(text) // 0 is old
	return release >= firstOKRelease
}

func errReply(what etf.Term) etf.Term { return etf.Tuple{etf.Atom("error"), what} }

// system answers a message of module sys. ok is false when there is no answer in time.
func (b *Observer) system(ctx context.Context, p *proc, req etf.Term) (t etf.Term, ok bool) {
	switch r := req.(type) {
	case etf.Atom:
		switch r {
		case "get_state", "get_status":
			state, err := b.state(ctx, p)
			if err != nil {
				return nil, false
			}
			if r == "get_state" {
				return state, true
			}
			return b.status(p, state), true
		case "suspend", "resume":
			return errReply(etf.Atom("not_allowed")), true
		}
	case etf.Tuple:
		if len(r) == 2 && r[0] == etf.Term(etf.Atom("debug")) {
			return b.debug(p, r[1]), true
		}
		if len(r) > 0 && (r[0] == etf.Term(etf.Atom("terminate")) || r[0] == etf.Term(etf.Atom("replace_state")) || r[0] == etf.Term(etf.Atom("change_code"))) {
			return errReply(etf.Atom("not_allowed")), true
		}
	}
	return errReply(etf.Tuple{etf.Atom("unknown_system_msg"), req}), true
}

// debug answers sys:statistics, log, trace and the like. Statistics are always kept; events are not, so there is no trace.
func (b *Observer) debug(p *proc, what etf.Term) etf.Term {
	if what == etf.Term(etf.Atom("no_debug")) {
		return etf.Atom("ok")
	}
	t, ok := what.(etf.Tuple)
	if !ok || len(t) != 2 {
		return errReply(etf.Tuple{etf.Atom("unknown_debug"), what})
	}
	off := t[1] == etf.Term(etf.Atom("false")) || t[1] == false
	get := t[1] == etf.Term(etf.Atom("get"))
	switch {
	case t[0] == etf.Term(etf.Atom("statistics")) && get:
		var in, out, uptime int64
		in = p.handled
		if p.actor != nil {
			out, uptime = int64(p.actor.MessagesOut), p.actor.Uptime
		}
		now := time.Now()
		return etf.Tuple{etf.Atom("ok"), etf.List{
			pair("start_time", dateTime(now.Add(-time.Duration(uptime)*time.Second))), pair("current_time", dateTime(now)),
			pair("reductions", p.handled), pair("messages_in", in), pair("messages_out", out),
		}}
	case t[0] == etf.Term(etf.Atom("statistics")), off:
		return etf.Atom("ok")
	case t[0] == etf.Term(etf.Atom("log")) && get:
		return etf.Tuple{etf.Atom("ok"), etf.List{}}
	}
	return errReply(etf.Atom("not_allowed"))
}

func dateTime(t time.Time) etf.Term {
	y, m, d := t.Date()
	return etf.Tuple{etf.Tuple{y, int(m), d}, etf.Tuple{t.Hour(), t.Minute(), t.Second()}}
}

// genCall answers gen_server:call/2 to an actor that takes none.
func (b *Observer) genCall(p *proc, req etf.Term) etf.Term {
	if fun, ok := req.(etf.Atom); ok && p.module == "supervisor" {
		if t, ok := b.children(p, fun); ok {
			return t
		}
	}
	return errReply(etf.Atom("not_a_server"))
}

func (b *Observer) supervisorCall(fun etf.Atom, args []etf.Term) (etf.Term, error) {
	p := b.processArg(args[0])
	if p == nil {
		return nil, &node.CallError{Class: node.ClassExit, Reason: etf.Tuple{etf.Atom("noproc"), etf.Tuple{
			etf.Atom("gen_server"), etf.Atom("call"), etf.List{args[0], fun, etf.Atom("infinity")}}}}
	}
	t, _ := b.children(p, fun)
	return t, nil
}

// children is [{Id, Pid, worker | supervisor, [Module]}], or the counts of them.
func (b *Observer) children(p *proc, fun etf.Atom) (etf.Term, bool) {
	kids := etf.List{}
	sups := 0
	for _, c := range b.processes() {
		if c.parent != p.pid || c.pid == p.pid {
			continue
		}
		kind := etf.Atom("worker")
		if c.module == "supervisor" {
			kind = "supervisor"
			sups++
		}
		kids = append(kids, etf.Tuple{c.title(), c.pid, kind, etf.List{c.behavior}})
	}
	switch fun {
	case "which_children":
		return kids, true
	case "count_children":
		n := len(kids)
		return etf.List{pair("specs", n), pair("active", n), pair("supervisors", sups), pair("workers", n-sups)}, true
	}
	return nil, false
}
