package observer

import (
	"slices"
	"strings"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// Estimates of memory, in bytes. Go does not account it by actor.
const (
	processBytes = 4096 // an actor or a process with nothing in its mailbox
	messageBytes = 256  // a message that waits
	wordSize     = 8
)

// proc is a process of the node as tools see it.
type proc struct {
	pid       etf.Pid
	name      etf.Atom // registered, or ""
	label     string
	behavior  etf.Atom // the Go type: the module
	module    etf.Atom // the one of OTP that behaves like it: gen_server, supervisor
	status    etf.Atom
	function  etf.Atom // what it does
	arity     int
	handled   int64
	queue     int64
	parent    etf.Pid
	leader    etf.Pid
	links     []etf.Pid
	monitors  []etf.Term
	monitored []etf.Pid

	actor *gen.ProcessInfo // nil for a process of package node
}

func (p *proc) memory() int64 { return processBytes + messageBytes*p.queue }

// title is the name, the label, or the initial call.
func (p *proc) title() etf.Term {
	switch {
	case p.name != "":
		return p.name
	case p.label != "":
		return atomOf(p.label)
	}
	return p.initialCall()
}

func (p *proc) initialCall() etf.Term { return etf.Tuple{p.behavior, etf.Atom("init"), 1} }

func (p *proc) current() etf.Term { return etf.Tuple{p.behavior, p.function, p.arity} }

// etop is #etop_proc_info{pid, mem, reds, name, runtime, cf, mq}.
func (p *proc) etop() etf.Term {
	return etf.Tuple{etf.Atom("etop_proc_info"), p.pid, p.memory(), p.handled, p.title(), 0, p.current(), p.queue}
}

// processes lists the actors and the processes of package node, by pid.
func (b *Observer) processes() []*proc {
	var all []*proc
	seen := map[etf.Pid]bool{}
	parents := map[etf.Pid]bool{}
	pids, _ := b.sys.Ergo().ProcessList() // none when the actors have ended
	for _, pid := range pids {
		if p := b.describe(pid); p != nil {
			all = append(all, p)
			seen[p.pid] = true
			parents[p.parent] = true
		}
	}
	for _, p := range all {
		if parents[p.pid] {
			p.module = "supervisor"
		}
	}
	for _, p := range b.node.Processes() {
		if !seen[p.Pid()] {
			all = append(all, b.plain(p))
		}
	}
	slices.SortFunc(all, func(x, y *proc) int { return pidLess(x.pid, y.pid) })
	return all
}

// process finds one; nil when there is none.
func (b *Observer) process(pid etf.Pid) *proc {
	if pid.Node != b.self() {
		return nil
	}
	if p := b.actor(b.sys.PID(pid)); p != nil {
		return p
	}
	if p := b.node.Process(pid); p != nil {
		return b.plain(p)
	}
	return nil
}

func (b *Observer) self() etf.Atom { return b.node.Name().Atom() }

// actor describes an Ergo process. One with children is a supervisor to tools.
func (b *Observer) actor(pid gen.PID) *proc {
	p := b.describe(pid)
	if p == nil || p.module == "supervisor" {
		return p
	}
	pids, _ := b.sys.Ergo().ProcessList() // none when the actors have ended
	for _, other := range pids {
		if info, ok := b.ask(other); ok && info.Parent == pid {
			p.module = "supervisor"
			break
		}
	}
	return p
}

// ask gets the facts about an actor.
func (b *Observer) ask(pid gen.PID) (info gen.ProcessInfo, ok bool) {
	b.order.begin(b.sys.Ergo(), pid)
	defer b.order.end()
	info, err := b.sys.Ergo().ProcessInfo(pid)
	return info, err == nil
}

func (b *Observer) describe(pid gen.PID) *proc {
	info, ok := b.ask(pid)
	if !ok {
		return nil
	}
	p := &proc{
		pid: b.sys.Pid(pid), name: etf.Atom(info.Name), behavior: atomOf(info.Behavior), module: "gen_server",
		handled: int64(info.MessagesIn), parent: b.sys.Pid(info.Parent), leader: b.sys.Pid(info.Leader), actor: &info,
	}
	q := info.MailboxQueues
	p.queue = q.Main + q.Urgent + q.System + q.Log
	p.handled = max(p.handled-p.queue, 0)
	if strings.HasSuffix(info.Behavior, "upervisor") || strings.HasSuffix(info.Behavior, "Sup") {
		p.module = "supervisor"
	}
	p.label = b.labelOf(pid)
	switch info.State {
	case gen.ProcessStateRunning:
		p.status, p.function, p.arity = "running", "handle_message", 2
	case gen.ProcessStateWaitResponse:
		p.status, p.function, p.arity = "waiting", "call", 2
	case gen.ProcessStateInit:
		p.status, p.function, p.arity = "running", "init", 1
	case gen.ProcessStateTerminated, gen.ProcessStateZombee:
		p.status, p.function, p.arity = "exiting", "terminate", 1
	default:
		p.status, p.function, p.arity = "waiting", "loop", 0
	}
	if info.Parent != (gen.PID{}) && info.Parent.ID != 1 {
		p.links = append(p.links, p.parent)
	}
	for _, l := range info.LinksPID {
		if pid := b.sys.Pid(l); !slices.Contains(p.links, pid) {
			p.links = append(p.links, pid)
		}
	}
	for _, m := range info.MonitorsPID {
		p.monitors = append(p.monitors, pair("process", b.sys.Pid(m)))
	}
	for _, m := range info.MonitorsProcessID {
		p.monitors = append(p.monitors, pair("process", etf.Tuple{etf.Atom(m.Name), etf.Atom(m.Node)}))
	}
	if np := b.node.Process(p.pid); np != nil {
		b.relations(p, np.Info())
	}
	return p
}

// plain describes a process of package node.
func (b *Observer) plain(np *node.Process) *proc {
	info := np.Info()
	p := &proc{
		pid: np.Pid(), behavior: atomOf(info.Receiver), module: "gen_server", status: "waiting", function: "receive", arity: 2,
		parent: b.master.Pid(), leader: b.master.Pid(),
	}
	if len(info.Names) > 0 {
		p.name = info.Names[0]
	}
	switch {
	case p.pid == b.root():
		p.label = "ergo"
	case p.name == "" && b.service(p.pid):
		p.label = string(p.behavior)
	}
	b.relations(p, info)
	return p
}

func (b *Observer) relations(p *proc, info node.ProcessInfo) {
	for _, pid := range info.Links {
		if !slices.Contains(p.links, pid) {
			p.links = append(p.links, pid)
		}
	}
	for _, d := range info.Monitors {
		if pid := d.Pid(); pid != (etf.Pid{}) {
			p.monitors = append(p.monitors, pair("process", pid))
		} else if name, at := d.Name(); name != "" {
			host := at.Atom()
			if at == (node.Name{}) {
				host = b.self()
			}
			p.monitors = append(p.monitors, pair("process", etf.Tuple{name, host}))
		}
	}
	p.monitored = append(p.monitored, info.MonitorBy...)
	slices.SortFunc(p.links, pidLess)
}

// processItems are those of process_info/1, in OTP's order.
var processItems = []etf.Atom{
	"registered_name", "current_function", "initial_call", "status", "message_queue_len", "links", "dictionary", "trap_exit", "error_handler",
	"priority", "group_leader", "total_heap_size", "heap_size", "stack_size", "reductions", "garbage_collection", "suspending",
}

// item is one value of process_info/2; ok is false for an unknown item.
func (b *Observer) item(p *proc, item etf.Term) (v etf.Term, ok bool) {
	name, isAtom := item.(etf.Atom)
	if !isAtom {
		if t, ok := item.(etf.Tuple); ok && len(t) == 2 && t[0] == etf.Term(etf.Atom("dictionary")) {
			return undefined, true
		}
		return nil, false
	}
	switch name {
	case "registered_name":
		if p.name == "" {
			return etf.List{}, true
		}
		return p.name, true
	case "current_function":
		return p.current(), true
	case "current_location":
		return etf.Tuple{p.behavior, p.function, p.arity, etf.List{}}, true
	case "current_stacktrace":
		return etf.List{etf.Tuple{p.behavior, p.function, p.arity, etf.List{}}}, true
	case "initial_call":
		return etf.Tuple{etf.Atom("proc_lib"), etf.Atom("init_p"), 5}, true
	case "status":
		return p.status, true
	case "message_queue_len":
		return p.queue, true
	case "messages", "binary", "suspending", "backtrace":
		return etf.List{}, true
	case "links":
		return pidList(p.links), true
	case "monitors":
		return etf.List(append(etf.List{}, p.monitors...)), true
	case "monitored_by":
		return pidList(p.monitored), true
	case "dictionary":
		d := etf.List{pair("$initial_call", p.initialCall())}
		if p.parent != (etf.Pid{}) {
			d = append(d, pair("$ancestors", etf.List{p.parent}))
		}
		if p.label != "" {
			d = append(d, pair("$process_label", str(p.label)))
		}
		return d, true
	case "label":
		if p.label == "" {
			return undefined, true
		}
		return str(p.label), true
	case "parent":
		if p.parent == (etf.Pid{}) {
			return undefined, true
		}
		return p.parent, true
	case "group_leader":
		return b.master.Pid(), true
	case "trap_exit":
		return true, true
	case "error_handler":
		return etf.Atom("error_handler"), true
	case "priority":
		return etf.Atom("normal"), true
	case "memory":
		return p.memory(), true
	case "total_heap_size", "heap_size":
		return p.memory() / wordSize, true
	case "stack_size", "catchlevel", "trace", "min_heap_size", "min_bin_vheap_size", "fullsweep_after":
		return int64(0), true
	case "reductions":
		return p.handled, true
	case "last_calls":
		return false, true
	case "sequential_trace_token":
		return etf.List{}, true
	case "message_queue_data":
		return etf.Atom("off_heap"), true
	case "garbage_collection", "garbage_collection_info":
		return etf.List{
			pair("max_heap_size", etf.Map{}), pair("min_bin_vheap_size", 0), pair("min_heap_size", 0), pair("fullsweep_after", 0), pair("minor_gcs", 0),
		}, true
	}
	return nil, false
}

func pidList(pids []etf.Pid) etf.List {
	l := etf.List{}
	for _, p := range pids {
		l = append(l, p)
	}
	return l
}

// processInfo is erlang:process_info/1 and /2.
func (b *Observer) processInfo(args []etf.Term) (etf.Term, error) {
	pid, ok := args[0].(etf.Pid)
	if !ok || pid.Node != b.self() {
		return nil, errBadarg
	}
	var items etf.List
	one := false
	switch {
	case len(args) == 1:
		for _, name := range processItems {
			items = append(items, name)
		}
	default:
		if items, ok = list(args[1]); !ok {
			items, one = etf.List{args[1]}, true
		}
	}
	p := b.process(pid)
	out := etf.List{}
	for _, name := range items {
		dummy := p
		if p == nil {
			dummy = &proc{}
		}
		v, ok := b.item(dummy, name)
		if !ok {
			return nil, errBadarg
		}
		if len(args) == 1 && name == etf.Term(etf.Atom("registered_name")) && dummy.name == "" {
			continue
		}
		out = append(out, etf.Tuple{name, v})
	}
	switch {
	case p == nil:
		return undefined, nil
	case one && items[0] == etf.Term(etf.Atom("registered_name")) && p.name == "":
		return etf.List{}, nil
	case one:
		return out[0], nil
	}
	return out, nil
}
