package node

import (
	"sync"

	"github.com/beamkeeper/beamkeeper/etf"
)

// Pids that Spawn makes keep to the 15 bits of ID and 13 bits of serial that every OTP understands, with serials
// from ownSerial on, so that SpawnAs has the rest.
const (
	ownIDBits = 15
	ownSerial = 1 << 12
)

// procTable finds processes by pid, name and alias.
type procTable struct {
	node *Node

	mu     sync.RWMutex // taken before Process.mu
	last   uint64
	pids   map[uint64]*Process
	names  map[etf.Atom]*Process
	router Router

	aliasMu sync.RWMutex // taken after Process.mu
	aliases map[etf.Ref]alias
}

// alias is who made an alias. A reply alias goes with its first message and takes the monitor of the same reference along.
type alias struct {
	process  *Process
	reply    bool
	priority bool
}

func (t *procTable) init(n *Node) {
	t.node = n
	t.pids = map[uint64]*Process{}
	t.names = map[etf.Atom]*Process{}
	t.aliases = map[etf.Ref]alias{}
}

// Router is asked about local pids and names that no Process has, by the goroutine that reads a link: it
// must answer at once. It may call SpawnAs and Register.
type Router interface {
	RoutePid(pid etf.Pid) *Process    // nil: no such process
	RouteName(name etf.Atom) *Process // nil: no such name
}

// SetRouter installs the router, before Start.
func (n *Node) SetRouter(r Router) {
	n.procs.mu.Lock()
	defer n.procs.mu.Unlock()
	n.procs.router = r
}

// Spawn makes a process.
func (n *Node) Spawn(r Receiver) *Process {
	t := &n.procs
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		t.last++
		id := t.last & (1<<ownIDBits - 1)
		serial := ownSerial | (t.last>>ownIDBits)&(ownSerial-1)
		if _, taken := t.pids[id|serial<<32]; !taken {
			return t.add(id|serial<<32, r)
		}
	}
}

// SpawnAs makes a process whose pid has the given ID (low 32 bits) and serial (high 32 bits). Error: ErrPidTaken.
// IDs whose serial is 4096 to 8191 are the node's own.
func (n *Node) SpawnAs(id uint64, r Receiver) (*Process, error) {
	t := &n.procs
	t.mu.Lock()
	defer t.mu.Unlock()
	serial := id >> 32
	if _, taken := t.pids[id]; taken || id == 0 || serial >= ownSerial && serial < 2*ownSerial {
		return nil, ErrPidTaken
	}
	return t.add(id, r), nil
}

// add makes the process. t.mu is held.
func (t *procTable) add(key uint64, r Receiver) *Process {
	p := &Process{
		node: t.node, recv: r, done: make(chan struct{}),
		pid: etf.Pid{Node: t.node.self, ID: uint32(key), Serial: uint32(key >> 32), Creation: t.node.creation},
	}
	p.encoded, _ = etf.AppendTerm(nil, p.pid) // a pid of a valid name has a form
	t.pids[key] = p
	return p
}

// Process gives the process of a pid, nil when there is none. It does not ask the Router.
func (n *Node) Process(pid etf.Pid) *Process {
	p, _ := n.procs.byPid(pid)
	return p
}

// Whereis gives the process registered under a name, nil when there is none. It does not ask the Router.
func (n *Node) Whereis(name etf.Atom) *Process {
	n.procs.mu.RLock()
	defer n.procs.mu.RUnlock()
	return n.procs.names[name]
}

// byPid looks a pid up; ours tells that it is one of this run of the node.
func (t *procTable) byPid(pid etf.Pid) (p *Process, ours bool) {
	if pid.Node != t.node.self || pid.Creation != t.node.creation && pid.Creation != 0 {
		return nil, false
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.pids[uint64(pid.ID)|uint64(pid.Serial)<<32], true
}

// findPid gives the process of a local pid, asking the Router too.
func (n *Node) findPid(pid etf.Pid) *Process {
	p, ours := n.procs.byPid(pid)
	if p == nil && ours {
		if r := n.procs.routed(); r != nil {
			return r.RoutePid(pid)
		}
	}
	return p
}

// findName gives the process of a local name, asking the Router too.
func (n *Node) findName(name etf.Atom) *Process {
	if p := n.Whereis(name); p != nil {
		return p
	}
	if r := n.procs.routed(); r != nil {
		return r.RouteName(name)
	}
	return nil
}

func (t *procTable) routed() Router {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.router
}

// useAlias looks up the alias that a message is sent to; without a process when there is none.
func (n *Node) useAlias(ref etf.Ref) alias {
	a := n.procs.alias(ref)
	if a.reply && !a.process.Demonitor(ref) { // takes the alias along; of two messages one is the first
		return alias{}
	}
	return a
}

// alias looks an alias up without using it.
func (t *procTable) alias(ref etf.Ref) alias {
	t.aliasMu.RLock()
	defer t.aliasMu.RUnlock()
	return t.aliases[ref]
}

// all lists the processes.
func (t *procTable) all() []*Process {
	t.mu.RLock()
	defer t.mu.RUnlock()
	procs := make([]*Process, 0, len(t.pids))
	for _, p := range t.pids {
		procs = append(procs, p)
	}
	return procs
}

// watched finds the process that is monitored with a reference.
func (t *procTable) watched(ref etf.Ref) *Process {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, p := range t.pids {
		if p.isWatched(ref) {
			return p
		}
	}
	return nil
}

func (t *procTable) addAlias(ref etf.Ref, a alias) {
	t.aliasMu.Lock()
	defer t.aliasMu.Unlock()
	t.aliases[ref] = a
}

func (t *procTable) dropAlias(ref etf.Ref) {
	t.aliasMu.Lock()
	defer t.aliasMu.Unlock()
	delete(t.aliases, ref)
}

// drop forgets a process, its names and aliases.
func (t *procTable) drop(p *Process, names []etf.Atom, aliases []etf.Ref) {
	t.mu.Lock()
	delete(t.pids, p.key())
	for _, name := range names {
		if t.names[name] == p {
			delete(t.names, name)
		}
	}
	t.mu.Unlock()
	t.aliasMu.Lock()
	defer t.aliasMu.Unlock()
	for _, ref := range aliases {
		delete(t.aliases, ref)
	}
}
