package observer

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// handleApplication answers for the one application that there is, and draws its tree.
func (b *Observer) handleApplication() {
	apps := func([]etf.Term) (etf.Term, error) {
		return etf.List{etf.Tuple{b.opts.App, str(b.opts.Description), str(b.opts.Version)}}, nil
	}
	b.handle("application", "which_applications", 0, apps)
	b.handle("application", "which_applications", 1, apps)
	b.handle("application", "loaded_applications", 0, apps)
	b.handle("application_controller", "which_applications", 0, apps)
	b.handle("application_controller", "which_applications", 1, apps)
	b.handle("application_controller", "loaded_applications", 0, apps)
	b.handle("application_controller", "get_master", 1, func(args []etf.Term) (etf.Term, error) {
		if args[0] == etf.Term(b.opts.App) {
			return b.master.Pid(), nil
		}
		return undefined, nil
	})
	b.handle("application_master", "get_child", 1, func(args []etf.Term) (etf.Term, error) {
		if args[0] != etf.Term(b.master.Pid()) {
			return nil, errBadarg
		}
		return etf.Tuple{b.root(), b.opts.App}, nil
	})
	b.handle("application", "get_application", 1, func(args []etf.Term) (etf.Term, error) {
		if pid, ok := args[0].(etf.Pid); ok && b.process(pid) != nil {
			return etf.Tuple{etf.Atom("ok"), b.opts.App}, nil
		}
		return undefined, nil
	})
	b.handle("application", "get_key", 2, func(args []etf.Term) (etf.Term, error) {
		ok := func(t etf.Term) (etf.Term, error) { return etf.Tuple{etf.Atom("ok"), t}, nil }
		switch {
		case args[0] == etf.Term(etf.Atom("runtime_tools")) && args[1] == etf.Term(etf.Atom("vsn")):
			return ok(str(backendVersion))
		case args[0] != etf.Term(b.opts.App):
			return undefined, nil
		case args[1] == etf.Term(etf.Atom("vsn")):
			return ok(str(b.opts.Version))
		case args[1] == etf.Term(etf.Atom("description")):
			return ok(str(b.opts.Description))
		case args[1] == etf.Term(etf.Atom("modules")), args[1] == etf.Term(etf.Atom("registered")), args[1] == etf.Term(etf.Atom("applications")):
			return ok(etf.List{})
		}
		return undefined, nil
	})
	b.handle("application", "get_env", 2, constant(undefined))
	b.handle("application", "get_env", 3, func(args []etf.Term) (etf.Term, error) { return args[2], nil })
	b.handle("application", "get_all_env", 1, constant(etf.List{}))
	b.handle("application", "load", 1, func(args []etf.Term) (etf.Term, error) {
		if args[0] == etf.Term(b.opts.App) || args[0] == etf.Term(etf.Atom("runtime_tools")) {
			return etf.Tuple{etf.Atom("error"), etf.Tuple{etf.Atom("already_loaded"), args[0]}}, nil
		}
		return etf.Tuple{etf.Atom("error"), etf.Tuple{str("no such file or directory"), str(fmt.Sprint(args[0]) + ".app")}}, nil
	})
	b.node.HandleFunc("appmon_info", "start_link2", 3, b.startAppmon)
}

// root is the pid at the top of the supervision tree: that of the Ergo node.
func (b *Observer) root() etf.Pid { return b.sys.Pid(b.sys.Ergo().PID()) }

// tree is what appmon_info tells of an application: {RootName, [{Pid, Name}], [{Parent, Child}], OtherLinks}, where names are unique.
func (b *Observer) tree() etf.Term {
	all := b.processes()
	here := map[etf.Pid]bool{}
	root := b.root()
	kept := all[:0:0]
	for _, p := range all {
		if p.actor == nil && p.pid != root && p.pid != b.master.Pid() && !b.service(p.pid) {
			continue // a function that runs for a peer just now
		}
		kept = append(kept, p)
		here[p.pid] = true
	}
	names, used := map[etf.Pid]string{}, map[string]bool{string(b.opts.App): true}
	for _, p := range kept {
		name := pidText(p.pid)
		switch {
		case p.pid == b.master.Pid():
			name = string(b.opts.App)
		case p.pid == root:
			name = "ergo"
		case p.name != "":
			name = string(p.name)
		case p.label != "":
			name = p.label
		}
		if used[name] && p.pid != b.master.Pid() {
			name += " " + pidText(p.pid)
		}
		used[name] = true
		names[p.pid] = name
	}
	pids, links, others := etf.List{}, etf.List{}, etf.List{}
	for _, p := range kept {
		pids = append(pids, etf.Tuple{p.pid, str(names[p.pid])})
		if p.pid == b.master.Pid() {
			continue
		}
		parent := p.parent
		if p.pid == root || !here[parent] || parent == p.pid {
			parent = b.master.Pid()
		}
		links = append(links, etf.Tuple{str(names[parent]), str(names[p.pid])})
		for _, l := range p.links {
			if l != parent && here[l] && pidLess(p.pid, l) < 0 {
				others = append(others, etf.Tuple{str(names[p.pid]), str(names[l])})
			}
		}
	}
	return etf.Tuple{str(names[b.master.Pid()]), pids, links, others}
}

// service tells whether a process belongs to the node rather than to a call.
func (b *Observer) service(pid etf.Pid) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.services, pid)
}

// pidText is the pid as a BEAM prints one of its own.
func pidText(p etf.Pid) string {
	return "<0." + strconv.FormatUint(uint64(p.ID), 10) + "." + strconv.FormatUint(uint64(p.Serial), 10) + ">"
}

// appmon is the server behind the Applications tab: for each task it sends a delivery at once and whenever the answer
// has changed. It ends with its client.
//
// Source: lib/runtime_tools/src/appmon_info.erl
type appmon struct {
	b      *Observer
	proc   *node.Process
	ctx    context.Context
	cancel context.CancelFunc
	kick   chan struct{}

	mu    sync.Mutex
	tasks map[task]*delivery
}

type task struct {
	cmd, aux etf.Atom
	from     etf.Pid
}

// delivery is what was sent last.
type delivery struct{ last etf.Term }

const (
	appmonInterval = 2 * time.Second
	maxTasks       = 64
)

func (b *Observer) startAppmon(ctx context.Context, info node.CallInfo, args []etf.Term) (etf.Term, error) {
	client, ok := args[1].(etf.Pid)
	if !ok || !theirs(info, client) {
		return nil, errBadarg
	}
	a := &appmon{b: b, kick: make(chan struct{}, 1), tasks: map[task]*delivery{}}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.proc = b.node.Spawn(a)
	if err := a.proc.Link(ctx, client); err != nil {
		a.cancel()
		return nil, err
	}
	if !b.errand(a.run) {
		a.cancel()
		a.proc.Exit(etf.Atom("normal"))
		return nil, refused("too many are being answered")
	}
	return etf.Tuple{etf.Atom("ok"), a.proc.Pid()}, nil
}

func (*appmon) String() string { return "appmon_info" }

// Receive takes casts {From, Cmd, Aux, OnOff, Opts}.
func (a *appmon) Receive(p *node.Process, s node.Signal) {
	m, ok := s.(node.Message)
	if !ok { // an exit of the client
		a.cancel()
		return
	}
	if call, ok := node.ParseGenCall(m.Term); ok {
		a.b.errand(func() { p.Reply(a.ctx, call, etf.Atom("ok")) })
		return
	}
	req, ok := node.ParseGenCast(m.Term)
	t, isTuple := req.(etf.Tuple)
	if !ok || !isTuple || len(t) != 5 {
		return
	}
	from, ok1 := t[0].(etf.Pid)
	cmd, ok2 := t[1].(etf.Atom)
	aux, ok3 := t[2].(etf.Atom)
	if !ok1 || !ok2 || !ok3 || from.Node != m.Peer().Atom() {
		return
	}
	key := task{cmd: cmd, aux: aux, from: from}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.tasks, key)
	if on := t[3]; (on == etf.Term(etf.Atom("true")) || on == true) && len(a.tasks) < maxTasks {
		a.tasks[key] = &delivery{}
		select {
		case a.kick <- struct{}{}:
		default:
		}
	}
}

func (a *appmon) run() {
	defer a.proc.Exit(etf.Atom("normal"))
	defer a.cancel()
	tick := time.NewTicker(appmonInterval)
	defer tick.Stop()
	for {
		select {
		case <-a.ctx.Done():
			return
		case <-tick.C:
		case <-a.kick:
		}
		if err := a.deliver(); err != nil {
			return
		}
	}
}

func (a *appmon) deliver() error {
	a.mu.Lock()
	tasks := make(map[task]*delivery, len(a.tasks))
	for k, d := range a.tasks {
		tasks[k] = d
	}
	a.mu.Unlock()
	for k, d := range tasks {
		var result etf.Term
		switch {
		case k.cmd == "app_ctrl":
			o := a.b.opts
			result = etf.List{etf.Tuple{a.b.master.Pid(), o.App, etf.Tuple{o.App, str(o.Description), str(o.Version)}}}
		case k.cmd == "app" && k.aux == a.b.opts.App:
			result = a.b.tree()
		case k.cmd == "app":
			result = etf.Tuple{etf.List{}, etf.List{}, etf.List{}, etf.List{}}
		default:
			continue
		}
		if d.last != nil && etf.Equal(d.last, result) {
			continue
		}
		d.last = result
		if err := a.proc.Send(a.ctx, node.ToPid(k.from), etf.Tuple{etf.Atom("delivery"), a.proc.Pid(), k.cmd, k.aux, result}); err != nil {
			return err
		}
	}
	return nil
}
