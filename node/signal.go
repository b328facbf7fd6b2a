package node

import "github.com/beamkeeper/beamkeeper/etf"

// Receiver is what stands behind a Process. See the package comment for who calls it and what it must
// not do. It may be called by several goroutines at once when several peers send.
type Receiver interface {
	Receive(p *Process, s Signal)
}

// ReceiverFunc is a function as a Receiver.
type ReceiverFunc func(p *Process, s Signal)

// Receive calls f.
func (f ReceiverFunc) Receive(p *Process, s Signal) { f(p, s) }

// Signal is one of Message, Exit and Down.
type Signal interface{ signal() }

// Message is what a peer sent with the ! operator.
type Message struct {
	From  etf.Pid  // the sender; zero when the peer does not tell (SEND without DFLAG_SEND_SENDER)
	Name  etf.Atom // the registered name it was sent to, or ""
	Alias etf.Ref  // the alias it was sent to, or zero (Len 0)
	Term  etf.Term
	// Priority says that it was sent with priority to an alias of PriorityAlias. A Mailbox gives it out before others.
	Priority bool

	link    *link
	storage *storage
	size    int
}

// Size is how many bytes Term took on the wire, 0 for messages of the own node.
func (m Message) Size() int { return m.size }

// Peer is the node whose link the message came by, the zero Name for the own node. From, and pids in Term, are only
// that peer's word.
func (m Message) Peer() Name {
	if m.link == nil {
		return Name{}
	}
	return m.link.peer
}

// Exit is an exit signal, from a linked process or by exit/2.
type Exit struct {
	From   etf.Pid
	Reason etf.Term // noconnection when the link to its node was lost, noproc when it never was there
	Linked bool     // it came through a link, which is gone now; false: exit/2
	Killed bool     // exit/2 with reason kill: the Process is over, its links and monitors saw killed
	// Priority says that it was sent with priority to an alias of PriorityAlias (exit/3). A Mailbox gives it out before
	// others.
	Priority bool
}

// Down tells that what Process.Monitor watched is gone. It comes once per monitor.
type Down struct {
	Ref    etf.Ref
	Target Dest     // as given to Monitor
	Reason etf.Term // noproc, noconnection, or the exit reason
}

func (Message) signal() {}
func (Exit) signal()    {}
func (Down) signal()    {}

// Dest is where a message goes or what a monitor watches: a pid, a name on a node, or an alias. Make
// it with ToPid, ToName or ToAlias. It is comparable.
type Dest struct {
	pid   etf.Pid
	name  etf.Atom
	node  Name
	alias etf.Ref
}

// ToPid is the process pid.
func ToPid(pid etf.Pid) Dest { return Dest{pid: pid} }

// ToName is the process registered as name on the node. The zero Name is the own node.
func ToName(name etf.Atom, node Name) Dest { return Dest{name: name, node: node} }

// ToAlias is the process that made the alias.
func ToAlias(alias etf.Ref) Dest { return Dest{alias: alias} }

// Pid is the pid of a Dest made by ToPid, else zero.
func (d Dest) Pid() etf.Pid { return d.pid }

// Name is the registered name and node of a Dest made by ToName, else zero.
func (d Dest) Name() (etf.Atom, Name) { return d.name, d.node }

// Alias is the alias of a Dest made by ToAlias, else zero.
func (d Dest) Alias() etf.Ref { return d.alias }

// GenCall is a '$gen_call' request that arrived as a Message: gen_server:call/2, gen_statem:call/2.
type GenCall struct {
	From    etf.Pid
	Tag     etf.Term // reference, [alias|Ref], or any term: goes back as it is
	Request etf.Term
}

// ParseGenCall tells whether the message is {'$gen_call', {From, Tag}, Request}.
func ParseGenCall(msg etf.Term) (GenCall, bool) {
	t, ok := msg.(etf.Tuple)
	if !ok || len(t) != 3 || t[0] != etf.Term(etf.Atom("$gen_call")) {
		return GenCall{}, false
	}
	from, ok := t[1].(etf.Tuple)
	if !ok || len(from) != 2 {
		return GenCall{}, false
	}
	pid, ok := from[0].(etf.Pid)
	if !ok {
		return GenCall{}, false
	}
	return GenCall{From: pid, Tag: from[1], Request: t[2]}, true
}

// ParseGenCast tells whether the message is {'$gen_cast', Request}.
func ParseGenCast(msg etf.Term) (request etf.Term, ok bool) {
	t, ok := msg.(etf.Tuple)
	if !ok || len(t) != 2 || t[0] != etf.Term(etf.Atom("$gen_cast")) {
		return nil, false
	}
	return t[1], true
}
