package observer

import (
	"context"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

const (
	backendVersion = "2.1.1"               // of runtime_tools, whose observer_backend has these functions
	procsChunk     = 10000                 // processes in one message, as in OTP
	minStats       = 50 * time.Millisecond // between two messages of fetch_stats
)

// handleBackend answers for OTP's module observer_backend.
//
// Source: lib/runtime_tools/src/observer_backend.erl
func (b *Observer) handleBackend() {
	const mod = "observer_backend"
	b.handle(mod, "vsn", 0, constant(etf.Tuple{etf.Atom("ok"), str(backendVersion)}))
	b.handle(mod, "sys_info", 0, func([]etf.Term) (etf.Term, error) { return b.sysInfo(), nil })
	b.handle(mod, "get_port_list", 0, func([]etf.Term) (etf.Term, error) { return b.portList(), nil })
	b.handle(mod, "get_socket_list", 0, func([]etf.Term) (etf.Term, error) { return b.socketList(), nil })
	b.handle(mod, "socket_info", 0, func([]etf.Term) (etf.Term, error) { return b.socketInfo(), nil })
	b.node.HandleFunc(mod, "get_table_list", 2, b.tableList)
	b.node.HandleFunc(mod, "get_table", 3, b.table)
	b.node.HandleFunc(mod, "procs_info", 1, b.procsInfo)
	b.node.HandleFunc(mod, "etop_collect", 1, b.etopCollect)
	b.node.HandleFunc(mod, "fetch_stats", 2, b.fetchStats)
	// By do_relay dbg and ttb begin on a node, and they wait for what it sends for ever. This refusal they tell their user.
	for _, arity := range []int{2, 3} { // OTP 25 and earlier, later ones
		b.node.RefuseSpawn("dbg", "do_relay", arity, "not_allowed")
	}
	for _, arity := range []int{3, 4} {
		b.handle("dbg", "erlang_trace", arity, func([]etf.Term) (etf.Term, error) { return nil, refused("there is no Erlang code to trace here") })
	}
}

// sender is who a function's messages come from, its own process when it has one.
func (b *Observer) sender(info node.CallInfo) *node.Process {
	if info.Process != nil {
		return info.Process
	}
	return b.master
}

// collector reads the pid that a function is to send to. observer_web gives it in a list.
func collector(info node.CallInfo, t etf.Term) (etf.Pid, error) {
	if l, ok := t.(etf.List); ok && len(l) == 1 {
		t = l[0]
	}
	pid, ok := t.(etf.Pid)
	if !ok || !theirs(info, pid) {
		return etf.Pid{}, errBadarg
	}
	return pid, nil
}

// theirs tells whether a pid is of the node that asks. Sending to another one would have the daemon connect to whatever
// host it names.
func theirs(info node.CallInfo, pid etf.Pid) bool { return pid.Node == info.Peer.Atom() }

// procsInfo sends {procs_info, self(), [#etop_proc_info{}]} in chunks; the last one has fewer than procsChunk.
func (b *Observer) procsInfo(ctx context.Context, info node.CallInfo, args []etf.Term) (etf.Term, error) {
	to, err := collector(info, args[0])
	if err != nil {
		return nil, err
	}
	rows := b.etopRows()
	p := b.sender(info)
	for {
		chunk := rows[:min(len(rows), procsChunk)]
		rows = rows[len(chunk):]
		if err := p.Send(ctx, node.ToPid(to), etf.Tuple{etf.Atom("procs_info"), p.Pid(), chunk}); err != nil {
			return nil, err
		}
		if len(chunk) < procsChunk {
			return etf.Atom("ok"), nil
		}
	}
}

func (b *Observer) etopRows() etf.List {
	rows := etf.List{}
	for _, p := range b.processes() {
		rows = append(rows, p.etop())
	}
	return rows
}

// etopCollect sends {self(), #etop_info{now, n_procs, wall_clock, runtime, run_queue, alloc_areas, memi, procinfo}}.
func (b *Observer) etopCollect(ctx context.Context, info node.CallInfo, args []etf.Term) (etf.Term, error) {
	to, err := collector(info, args[0])
	if err != nil {
		return nil, err
	}
	rows := b.etopRows()
	now := time.Now()
	m := b.memory()
	p := b.sender(info)
	err = p.Send(ctx, node.ToPid(to), etf.Tuple{p.Pid(), etf.Tuple{
		etf.Atom("etop_info"), etf.Tuple{now.Unix() / 1e6, now.Unix() % 1e6, now.Nanosecond() / 1000}, len(rows), undefined, b.schedulerTimes(), 0,
		etf.List{},
		etf.List{pair("total", m.total), pair("processes", m.processes), pair("ets", m.ets), pair("atom", 0), pair("code", m.code), pair("binary", 0)},
		rows,
	}})
	return etf.Atom("ok"), err
}

// fetchStats sends {stats, 1, SchedulerWallTime, {{input, I}, {output, O}}, Memory} every so many milliseconds until its
// process gets any message or exit signal.
func (b *Observer) fetchStats(ctx context.Context, info node.CallInfo, args []etf.Term) (etf.Term, error) {
	to, err := collector(info, args[0])
	ms, ok := args[1].(int64)
	if err != nil || !ok || ms < 0 || info.Process == nil {
		return nil, errBadarg
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, _ = info.Inbox.Next(ctx) // a message, or the end
		stop()
	}()
	tick := time.NewTicker(min(max(time.Duration(ms)*time.Millisecond, minStats), time.Hour))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return etf.Atom("ok"), nil
		case <-tick.C:
		}
		in, out := ioBytes()
		stats := etf.Tuple{
			etf.Atom("stats"), 1, b.schedulerTimes(), etf.Tuple{pair("input", in), pair("output", out)}, b.memory().terms(),
		}
		if err := info.Process.Send(ctx, node.ToPid(to), stats); err != nil {
			return nil, err
		}
	}
}
