package observer

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

const (
	otpRelease   = "27"      // whose calls and shapes are spoken
	processLimit = 1<<27 - 1 // pids have 15 + 12 bits of numbers
	atomLimit    = 1 << 20   // as of a BEAM; there is no table of atoms here

	// noIEx is the reason why iex --remsh cannot load IEx, which newer ones show.
	noIEx = etf.Atom("there is no Elixir here, use erl -remsh")
)

// systemInfo gives the items of erlang:system_info/1 that have an answer here.
func (b *Observer) systemInfo(item etf.Atom) (etf.Term, bool) {
	switch item {
	case "otp_release":
		return str(otpRelease), true
	case "version":
		return str(b.opts.Version), true
	case "system_version":
		return str("Beamkeeper " + b.opts.Version + " [" + runtime.Version() + "] [64-bit] [smp:" + strconv.Itoa(schedulers()) + "]\n"), true
	case "system_architecture":
		return str(runtime.GOARCH + "-" + runtime.GOOS + "-go"), true
	case "system_logger":
		return etf.Atom("logger"), true
	case "machine":
		return str("GO"), true
	case "creation":
		return int64(b.node.Creation()), true
	case "wordsize":
		return int64(wordSize), true
	case "process_count":
		return int64(len(b.processes())), true
	case "process_limit":
		return int64(processLimit), true
	case "port_count":
		return int64(len(b.ports())), true
	case "port_limit":
		return openFiles(), true
	case "ets_count":
		return int64(len(b.opts.Tables)), true
	case "ets_limit":
		return int64(len(b.opts.Tables)), true
	case "atom_count":
		return int64(0), true
	case "atom_limit":
		return int64(atomLimit), true
	case "schedulers", "schedulers_online", "dirty_io_schedulers":
		if item == "dirty_io_schedulers" {
			return int64(0), true
		}
		return int64(schedulers()), true
	case "dirty_cpu_schedulers", "dirty_cpu_schedulers_online", "thread_pool_size", "trace_control_word":
		return int64(0), true
	case "logical_processors", "logical_processors_online", "logical_processors_available":
		return int64(runtime.NumCPU()), true
	case "kernel_poll", "smp_support", "threads":
		return true, true
	case "multi_scheduling":
		return etf.Atom("enabled"), true
	case "emu_type", "build_type":
		return etf.Atom("opt"), true
	case "emu_flavor":
		return etf.Atom("emu"), true
	case "debug_compiled", "modified_timing_level":
		return false, true
	case "dist_buf_busy_limit":
		return int64(node.DefaultOutboxBytes), true
	case "start_time":
		return b.since.UnixNano(), true
	case "time_offset":
		return etf.Atom("final"), true
	case "alloc_util_allocators":
		return etf.List{}, true
	case "nif_version", "driver_version":
		return str("0"), true
	}
	return nil, false
}

// sysInfo is observer_backend:sys_info/0.
func (b *Observer) sysInfo() etf.List {
	in, out := ioBytes()
	info := etf.List{pair("uptime", time.Since(b.since).Milliseconds()), pair("run_queue", 0), pair("io_input", in), pair("io_output", out)}
	add := func(items ...etf.Atom) {
		for _, item := range items {
			if v, ok := b.systemInfo(item); ok {
				info = append(info, pair(item, v))
			}
		}
	}
	add("logical_processors", "logical_processors_online", "logical_processors_available", "schedulers", "schedulers_online")
	info = append(info, pair("schedulers_available", schedulers()))
	add("otp_release", "version", "system_architecture", "kernel_poll", "smp_support", "threads", "thread_pool_size")
	info = append(info, pair("wordsize_internal", wordSize), pair("wordsize_external", wordSize), pair("alloc_info", allocators()))
	add("process_count", "atom_limit", "atom_count", "process_limit", "port_limit", "port_count", "ets_limit", "ets_count", "dist_buf_busy_limit")
	return append(info, b.memory().terms()...)
}

// statistics is erlang:statistics/1.
func (b *Observer) statistics(args []etf.Term) (etf.Term, error) {
	item, _ := args[0].(etf.Atom)
	switch item {
	case "wall_clock":
		return etf.Tuple{time.Since(b.since).Milliseconds(), 0}, nil
	case "runtime":
		return etf.Tuple{cpuTime().Milliseconds(), 0}, nil
	case "run_queue", "total_run_queue_lengths", "total_active_tasks", "run_queue_lengths_all":
		return int64(0), nil
	case "reductions", "exact_reductions":
		var total int64
		for _, p := range b.processes() {
			total += p.handled
		}
		return etf.Tuple{total, 0}, nil
	case "io":
		in, out := ioBytes()
		return etf.Tuple{pair("input", in), pair("output", out)}, nil
	case "garbage_collection":
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return etf.Tuple{int64(m.NumGC), 0, 0}, nil
	case "context_switches":
		return etf.Tuple{0, 0}, nil
	case "scheduler_wall_time", "scheduler_wall_time_all":
		return b.schedulerTimes(), nil
	}
	return nil, errBadarg
}

// handleErlang answers for modules erlang, code, os, net_kernel, init and others that tools ask first.
func (b *Observer) handleErlang() {
	b.handle("erlang", "system_info", 1, func(args []etf.Term) (etf.Term, error) {
		if t, ok := args[0].(etf.Tuple); ok && len(t) == 2 {
			switch t[0] {
			case etf.Term(etf.Atom("wordsize")):
				return int64(wordSize), nil
			case etf.Term(etf.Atom("allocator_sizes")):
				return allocators(), nil
			}
		}
		if item, ok := args[0].(etf.Atom); ok {
			if v, ok := b.systemInfo(item); ok {
				return v, nil
			}
		}
		return nil, errBadarg
	})
	b.handle("erlang", "memory", 0, func([]etf.Term) (etf.Term, error) { return b.memory().terms(), nil })
	b.handle("erlang", "memory", 1, b.memoryOf)
	b.handle("erlang", "statistics", 1, b.statistics)
	b.handle("erlang", "process_info", 1, b.processInfo)
	b.handle("erlang", "process_info", 2, b.processInfo)
	b.handle("erlang", "processes", 0, func([]etf.Term) (etf.Term, error) {
		l := etf.List{}
		for _, p := range b.processes() {
			l = append(l, p.pid)
		}
		return l, nil
	})
	b.handle("erlang", "registered", 0, func([]etf.Term) (etf.Term, error) {
		l := etf.List{}
		for _, p := range b.processes() {
			if p.name != "" {
				l = append(l, p.name)
			}
		}
		return l, nil
	})
	b.handle("erlang", "ports", 0, func([]etf.Term) (etf.Term, error) {
		l := etf.List{}
		for _, p := range b.ports() {
			l = append(l, p.id)
		}
		return l, nil
	})
	b.handle("erlang", "port_info", 1, b.portInfo)
	b.handle("erlang", "port_info", 2, b.portInfo)
	b.handle("erlang", "function_exported", 3, func(args []etf.Term) (etf.Term, error) {
		mod, ok1 := args[0].(etf.Atom)
		fun, ok2 := args[1].(etf.Atom)
		arity, ok3 := args[2].(int64)
		if !ok1 || !ok2 || !ok3 {
			return nil, errBadarg
		}
		return b.node.Handles(mod, fun, int(min(max(arity, -2), 256))), nil
	})
	b.handle("erlang", "garbage_collect", 1, constant(true))
	b.handle("erlang", "date", 0, func([]etf.Term) (etf.Term, error) {
		y, m, d := time.Now().Date()
		return etf.Tuple{y, int(m), d}, nil
	})
	for fun, arity := range map[etf.Atom]int{"exit": 2, "trace": 3, "trace_pattern": 3, "system_flag": 2, "disconnect_node": 1, "set_cookie": 2} {
		b.node.HandleFunc("erlang", fun, arity, b.refuse)
	}
	b.node.HandleFunc("erlang", "nodes", 1, func(_ context.Context, _ node.CallInfo, args []etf.Term) (etf.Term, error) { return b.nodes(args[0]) })

	b.handle("code", "ensure_loaded", 1, func(args []etf.Term) (etf.Term, error) {
		mod, ok := args[0].(etf.Atom)
		if !ok {
			return nil, errBadarg
		}
		if b.hasModule(mod) {
			return etf.Tuple{etf.Atom("module"), mod}, nil
		}
		if mod == "Elixir.IEx" || mod == "iex" {
			return etf.Tuple{etf.Atom("error"), noIEx}, nil
		}
		return etf.Tuple{etf.Atom("error"), etf.Atom("nofile")}, nil
	})
	b.handle("code", "which", 1, func(args []etf.Term) (etf.Term, error) {
		if mod, ok := args[0].(etf.Atom); ok && b.hasModule(mod) {
			return etf.Atom("preloaded"), nil
		}
		return etf.Atom("non_existing"), nil
	})
	b.handle("code", "is_loaded", 1, func(args []etf.Term) (etf.Term, error) {
		if mod, ok := args[0].(etf.Atom); ok && b.hasModule(mod) {
			return etf.Tuple{etf.Atom("file"), etf.Atom("preloaded")}, nil
		}
		return false, nil
	})
	b.handle("code", "all_loaded", 0, func([]etf.Term) (etf.Term, error) {
		l := etf.List{}
		for _, mod := range modules {
			l = append(l, etf.Tuple{mod, etf.Atom("preloaded")})
		}
		return l, nil
	})
	b.handle("code", "load_binary", 3, constant(etf.Tuple{etf.Atom("error"), etf.Atom("not_supported")}))
	b.handle("code", "get_object_code", 1, constant(etf.Atom("error")))
	b.handle("code", "root_dir", 0, constant(str("/")))

	b.handle("os", "type", 0, constant(etf.Tuple{etf.Atom("unix"), etf.Atom(runtime.GOOS)}))
	b.handle("os", "version", 0, func([]etf.Term) (etf.Term, error) { return kernelVersion(), nil })
	b.handle("os", "getpid", 0, func([]etf.Term) (etf.Term, error) { return str(strconv.Itoa(os.Getpid())), nil })
	b.handle("net_kernel", "get_net_ticktime", 0, constant(int64(max(b.opts.NetTickTime, time.Second)/time.Second)))
	b.handle("net_adm", "localhost", 0, func([]etf.Term) (etf.Term, error) { return str(b.node.Name().Host), nil })
	b.handle("rpc", "pinfo", 1, b.processInfo)
	b.handle("rpc", "pinfo", 2, b.processInfo)
	b.handle("ets", "all", 0, b.tableNames)
	b.handle("ets", "info", 2, b.tableInfo)
	b.handle("persistent_term", "info", 0, constant(etf.Map{{Key: etf.Atom("count"), Value: 0}, {Key: etf.Atom("memory"), Value: 0}}))
	b.handle("init", "get_status", 0, constant(etf.Tuple{etf.Atom("started"), etf.Atom("started")}))
	b.handle("init", "get_arguments", 0, constant(etf.List{}))
	b.handle("gen_event", "which_handlers", 1, constant(etf.List{}))
	for arity := range 3 {
		b.node.HandleFunc("erlang", "halt", arity, b.stop)
	}
	for arity := range 2 {
		b.node.HandleFunc("init", "stop", arity, b.stop)
		b.node.HandleFunc("init", "restart", arity, b.refuse)
	}
	b.node.HandleFunc("init", "reboot", 0, b.refuse)
	b.node.HandleFunc("net_kernel", "stop", 0, b.refuse)
}

// modules are those with functions that are answered.
var modules = []etf.Atom{
	"application", "application_controller", "application_master", "appmon_info", "code", "edlin_expand", "erlang", "erpc", "ets", "group", "init",
	"net_adm", "net_kernel", "observer_backend", "os", "proc_lib", "rpc", "shell", "supervisor", "sys",
}

func (b *Observer) hasModule(mod etf.Atom) bool {
	if slices.Contains(modules, mod) {
		return mod != "shell" && mod != "group" && mod != "edlin_expand" || b.opts.Shell != nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.behaviors[mod]
}

// stop is init:stop and its like.
func (b *Observer) stop(ctx context.Context, info node.CallInfo, args []etf.Term) (etf.Term, error) {
	if b.opts.Stop == nil || !b.opts.Stop(info.Peer) {
		return b.refuse(ctx, info, args)
	}
	b.log.Warn("stopped by a peer", "peer", info.Peer.String())
	return etf.Atom("ok"), nil
}

// refuse answers what policy forbids.
func (b *Observer) refuse(_ context.Context, info node.CallInfo, args []etf.Term) (etf.Term, error) {
	name := fmt.Sprintf("%s:%s/%d", info.Module, info.Function, len(args))
	b.log.Warn("function refused", "function", name, "peer", info.Peer.String())
	return nil, refused(name + " is not for " + info.Peer.String() + "; this is a node of beamkeeper")
}

func (b *Observer) memoryOf(args []etf.Term) (etf.Term, error) {
	all := b.memory().terms()
	find := func(key etf.Term) (etf.Term, bool) {
		for _, t := range all {
			if p := t.(etf.Tuple); p[0] == key {
				return p, true
			}
		}
		return nil, false
	}
	if keys, ok := list(args[0]); ok {
		out := etf.List{}
		for _, key := range keys {
			p, ok := find(key)
			if !ok {
				return nil, errBadarg
			}
			out = append(out, p)
		}
		return out, nil
	}
	p, ok := find(args[0])
	if !ok {
		return nil, errBadarg
	}
	return p.(etf.Tuple)[1], nil
}

// nodes is erlang:nodes/1.
func (b *Observer) nodes(arg etf.Term) (etf.Term, error) {
	kinds, ok := list(arg)
	if !ok {
		kinds = etf.List{arg}
	}
	visible, hidden, this := false, false, false
	for _, k := range kinds {
		switch k {
		case etf.Term(etf.Atom("visible")):
			visible = true
		case etf.Term(etf.Atom("hidden")):
			hidden = true
		case etf.Term(etf.Atom("connected")), etf.Term(etf.Atom("known")):
			visible, hidden = true, true
		case etf.Term(etf.Atom("this")):
			this = true
		default:
			return nil, errBadarg
		}
	}
	out := etf.List{}
	if this {
		out = append(out, b.self())
	}
	for _, p := range b.node.Peers() {
		if p.Hidden && hidden || !p.Hidden && visible {
			out = append(out, p.Name.Atom())
		}
	}
	return out, nil
}

// kernelVersion is os:version/0, {Major, Minor, Release}.
func kernelVersion() etf.Term {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return etf.Tuple{0, 0, 0}
	}
	v := etf.Tuple{0, 0, 0}
	i, n := 0, 0
	for _, c := range string(b) {
		if c >= '0' && c <= '9' {
			n = n*10 + int(c-'0')
			v[i] = n
			continue
		}
		if i++; c != '.' || i > 2 {
			break
		}
		n = 0
	}
	return v
}
