package node

import (
	"fmt"

	"github.com/beamkeeper/beamkeeper/etf"
)

// Operations of control messages. docs/protocol.md says what the node does with each.
//
// Spec: https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html#protocol-between-connected-nodes
const (
	opLink              = 1
	opSend              = 2
	opExit              = 3
	opUnlink            = 4 // gone with OTP 26
	opNodeLink          = 5
	opRegSend           = 6
	opGroupLeader       = 7
	opExit2             = 8
	opSendTT            = 12
	opExitTT            = 13
	opRegSendTT         = 16
	opExit2TT           = 18
	opMonitorP          = 19
	opDemonitorP        = 20
	opMonitorPExit      = 21
	opSendSender        = 22
	opSendSenderTT      = 23
	opPayloadExit       = 24
	opPayloadExitTT     = 25
	opPayloadExit2      = 26
	opPayloadExit2TT    = 27
	opPayloadMonitorPEx = 28
	opSpawnRequest      = 29
	opSpawnRequestTT    = 30
	opSpawnReply        = 31
	opSpawnReplyTT      = 32
	opAliasSend         = 33
	opAliasSendTT       = 34
	opUnlinkID          = 35
	opUnlinkIDAck       = 36
	opAltactSig         = 37
)

// control is one control message being handled by the reader.
type control struct {
	link    *link
	decoder *etf.Decoder
	plain   bool // the payload has a version byte
	cur     etf.Cursor
	err     error  // the first pid that is of the wrong node
	paid    bool   // the payload has been read
	size    int    // of the payload
	base    []byte // buffer of a large message, for Message.Release
}

// arities of the operations, which all must have; of ALTACT_SIG it is the least.
var arities = [...]int{
	opLink: 3, opSend: 3, opExit: 4, opUnlink: 3, opNodeLink: 1, opRegSend: 4, opGroupLeader: 3, opExit2: 4, opSendTT: 4, opExitTT: 5,
	opRegSendTT: 5, opExit2TT: 5, opMonitorP: 4, opDemonitorP: 4, opMonitorPExit: 5, opSendSender: 3, opSendSenderTT: 4,
	opPayloadExit: 3, opPayloadExitTT: 4, opPayloadExit2: 3, opPayloadExit2TT: 4, opPayloadMonitorPEx: 4,
	opSpawnRequest: 6, opSpawnRequestTT: 7, opSpawnReply: 5, opSpawnReplyTT: 6, opAliasSend: 3, opAliasSendTT: 4,
	opUnlinkID: 4, opUnlinkIDAck: 4, opAltactSig: 4,
}

// handle reads the control message in b and does what it says.
func (m *control) handle(b []byte) error {
	m.cur = m.decoder.Cursor(b)
	arity := m.cur.Tuple()
	op := m.cur.Int()
	if err := m.cur.Err(); err != nil {
		return err
	}
	if op < 0 || int(op) >= len(arities) || arities[op] == 0 || arity < arities[op] || arity > arities[op] && op != opAltactSig {
		return fmt.Errorf("%w: control message %d of %d elements", ErrProtocol, op, arity)
	}
	var err error
	switch op {
	case opSend, opSendTT:
		err = m.send(false, op == opSendTT)
	case opSendSender, opSendSenderTT:
		err = m.send(true, op == opSendSenderTT)
	case opRegSend, opRegSendTT:
		err = m.regSend(op == opRegSendTT)
	case opAliasSend, opAliasSendTT:
		err = m.aliasSend(op == opAliasSendTT)
	case opAltactSig:
		err = m.altactSig(arity)
	case opLink:
		err = m.linkRequest()
	case opUnlink:
		err = m.unlink(false)
	case opUnlinkID:
		err = m.unlink(true)
	case opUnlinkIDAck:
		err = m.unlinkAck()
	case opExit:
		err = m.exit(true, false, false)
	case opExitTT:
		err = m.exit(true, true, false)
	case opPayloadExit:
		err = m.exit(true, false, true)
	case opPayloadExitTT:
		err = m.exit(true, true, true)
	case opExit2:
		err = m.exit(false, false, false)
	case opExit2TT:
		err = m.exit(false, true, false)
	case opPayloadExit2:
		err = m.exit(false, false, true)
	case opPayloadExit2TT:
		err = m.exit(false, true, true)
	case opMonitorP:
		err = m.monitor()
	case opDemonitorP:
		err = m.demonitor()
	case opMonitorPExit:
		err = m.monitorExit(false)
	case opPayloadMonitorPEx:
		err = m.monitorExit(true)
	case opSpawnRequest, opSpawnRequestTT:
		err = m.spawnRequest(op == opSpawnRequestTT)
	case opSpawnReply, opSpawnReplyTT:
		err = m.spawnReply(op == opSpawnReplyTT)
	case opGroupLeader:
		m.cur.Pid()
		m.cur.Pid()
		err = m.end(false) // processes of this node have no group leader to change
	case opNodeLink:
		err = m.end(false)
	}
	return err
}

// end requires that the control message was well-formed; token skips a trace token at its end. Without a payload
// nothing may follow.
func (m *control) end(token bool) error {
	if token {
		m.cur.Skip()
	}
	if err := m.cur.Err(); err != nil {
		return err
	}
	if m.err != nil {
		return m.err
	}
	if !m.paid && len(m.cur.Rest()) > 0 {
		return fmt.Errorf("%w: %d bytes after a control message", ErrProtocol, len(m.cur.Rest()))
	}
	return nil
}

// payload ends the control message and gives the encoded payload.
func (m *control) payload(token bool) ([]byte, error) {
	m.paid = true
	if err := m.end(token); err != nil {
		return nil, err
	}
	b := m.cur.Rest()
	if m.plain {
		if len(b) == 0 || b[0] != versionMagic {
			return nil, fmt.Errorf("%w: payload without version", ErrProtocol)
		}
		b = b[1:]
	}
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: no payload", ErrProtocol)
	}
	m.size = len(b)
	return b, nil
}

// term ends the control message and decodes the payload.
func (m *control) term(token bool) (etf.Term, error) {
	b, err := m.payload(token)
	if err != nil {
		return nil, err
	}
	return m.decode(b)
}

func (m *control) decode(b []byte) (etf.Term, error) {
	t, rest, err := m.decoder.DecodeTerm(b)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes after the payload", ErrProtocol, len(rest))
	}
	return t, nil
}

// theirs reads a pid of the peer: nobody speaks for the processes of another node.
func (m *control) theirs() etf.Pid {
	pid := m.cur.Pid()
	if m.cur.Err() == nil && pid.Node != m.link.self && m.err == nil {
		m.err = fmt.Errorf("%w: pid of %.256q where one of the peer belongs", ErrProtocol, pid.Node)
	}
	return pid
}

// ours reads a pid of this node, perhaps of a former run.
func (m *control) ours() etf.Pid {
	pid := m.cur.Pid()
	if m.cur.Err() == nil && pid.Node != m.link.node.self && m.err == nil {
		m.err = fmt.Errorf("%w: pid of %.256q where one of this node belongs", ErrProtocol, pid.Node)
	}
	return pid
}

// store makes the storage of a large message.
func (m *control) store() *storage {
	if m.base == nil {
		return nil
	}
	return &storage{pool: &m.link.in.storage, b: m.base}
}

// deliver hands a signal to a process's Receiver, watched by tickLoop.
func (m *control) deliver(p *Process, s Signal) {
	l := m.link
	l.receiving.Store(p)
	p.recv.Receive(p, s)
	l.receiving.Store(nil)
	l.delivered.Add(1)
}

// send is SEND {2, Unused, To} and SEND_SENDER {22, From, To}, payload the message.
func (m *control) send(sender, token bool) error {
	var from etf.Pid
	if sender {
		from = m.cur.Pid()
	} else {
		m.cur.Skip()
	}
	to := m.cur.Pid()
	b, err := m.payload(token)
	if err != nil {
		return err
	}
	p := m.link.node.findPid(to)
	if p == nil {
		m.link.in.storage.put(m.base)
		return nil
	}
	t, err := m.decode(b)
	if err != nil {
		return err
	}
	m.deliver(p, Message{link: m.link, From: from, Term: t, size: m.size, storage: m.store()})
	return nil
}

// regSend is REG_SEND {6, From, Unused, ToName}, payload the message.
func (m *control) regSend(token bool) error {
	from := m.cur.Pid()
	m.cur.Skip()
	name := m.cur.Atom()
	b, err := m.payload(token)
	if err != nil {
		return err
	}
	p := m.link.node.findName(name)
	if p == nil {
		m.link.in.storage.put(m.base)
		return nil
	}
	t, err := m.decode(b)
	if err != nil {
		return err
	}
	m.deliver(p, Message{link: m.link, From: from, Name: name, Term: t, size: m.size, storage: m.store()})
	return nil
}

// aliasSend is ALIAS_SEND {33, From, Alias}, payload the message.
func (m *control) aliasSend(token bool) error {
	from := m.cur.Pid()
	alias := m.cur.Ref()
	b, err := m.payload(token)
	if err != nil {
		return err
	}
	p := m.link.node.useAlias(alias).process
	if p == nil {
		m.link.in.storage.put(m.base)
		return nil
	}
	t, err := m.decode(b)
	if err != nil {
		return err
	}
	m.deliver(p, Message{link: m.link, From: from, Alias: alias, Term: t, size: m.size, storage: m.store()})
	return nil
}

// linkRequest is LINK {1, From, To}.
func (m *control) linkRequest() error {
	from, to := m.theirs(), m.ours()
	if err := m.end(false); err != nil {
		return err
	}
	if err := m.link.watch(); err != nil {
		return err
	}
	if p := m.link.node.findPid(to); p == nil || !p.linkedBy(from, m.link) {
		m.link.sendExit(0, opPayloadExit, to, from, atomNoproc)
	}
	return nil
}

// unlink is UNLINK_ID {35, Id, From, To} and UNLINK {4, From, To}. The acknowledgement goes out before anything else that
// the process sends to that pid once the link is gone: the peer ignores a LINK that comes before it.
func (m *control) unlink(withID bool) error {
	id := uint64(1)
	if withID {
		id = m.cur.Uint()
	}
	from, to := m.theirs(), m.ours()
	if err := m.end(false); err != nil {
		return err
	}
	if id == 0 {
		return fmt.Errorf("%w: UNLINK_ID with identifier 0", ErrProtocol)
	}
	var key uint64
	p := m.link.node.findPid(to)
	if p != nil {
		key = p.key()
	}
	if withID {
		m.link.sendUnlink(key, opUnlinkIDAck, id, to, from) // the outbox keeps the order of a process's signals
	}
	if p != nil {
		p.unlinkedByPeer(from, m.link)
	}
	return nil
}

// unlinkAck is UNLINK_ID_ACK {36, Id, From, To}.
func (m *control) unlinkAck() error {
	id := m.cur.Uint()
	from, to := m.theirs(), m.ours()
	if err := m.end(false); err != nil {
		return err
	}
	if p := m.link.node.findPid(to); p != nil {
		p.unlinkAcked(from, id)
	}
	return nil
}

// exit is EXIT {3, From, To, Reason}, EXIT2 {8, From, To, Reason}, and their forms with the reason as payload.
func (m *control) exit(linked, token, payload bool) error {
	from, to := m.theirs(), m.ours()
	reason, err := m.reason(token, payload)
	if err != nil {
		return err
	}
	p := m.link.node.findPid(to)
	if p == nil {
		return nil
	}
	if linked {
		if p.unlinkedBy(from, m.link) {
			m.deliver(p, Exit{From: from, Reason: reason, Linked: true})
		}
		return nil
	}
	p.exitSignal(m.deliver, Exit{From: from, Reason: reason})
	return nil
}

// reason reads the exit reason of a control message: an element behind the token, or the payload.
func (m *control) reason(token, payload bool) (etf.Term, error) {
	if payload {
		return m.term(token)
	}
	if token {
		m.cur.Skip()
	}
	reason := m.cur.Term()
	return reason, m.end(false)
}

// monitor is MONITOR_P {19, From, To, Ref}; To is a pid or a name.
func (m *control) monitor() error {
	from := m.theirs()
	to, p := m.target()
	ref := m.cur.Ref()
	if err := m.end(false); err != nil {
		return err
	}
	if err := m.link.watch(); err != nil {
		return err
	}
	if p == nil || !p.watchedBy(from, to, ref, m.link) {
		m.link.sendMonitorExit(0, to, from, ref, atomNoproc)
	}
	return nil
}

// target reads a local pid or name.
func (m *control) target() (etf.Term, *Process) {
	if m.cur.Kind() == etf.KindAtom {
		name := m.cur.Atom()
		return name, m.link.node.findName(name)
	}
	pid := m.ours()
	return pid, m.link.node.findPid(pid)
}

// demonitor is DEMONITOR_P {20, From, To, Ref}.
func (m *control) demonitor() error {
	m.theirs()
	to, p := m.target()
	ref := m.cur.Ref()
	if err := m.end(false); err != nil {
		return err
	}
	if p != nil && p.unwatchedBy(ref) {
		return nil
	}
	if _, named := to.(etf.Atom); named { // it may have passed on to another process meanwhile
		if q := m.link.node.procs.watched(ref); q != nil {
			q.unwatchedBy(ref)
		}
	}
	return nil
}

// monitorExit is MONITOR_P_EXIT {21, From, To, Ref, Reason} and its form with the reason as payload. From is the pid
// or name that was given in MONITOR_P.
func (m *control) monitorExit(payload bool) error {
	if m.cur.Kind() == etf.KindAtom {
		m.cur.Skip()
	} else {
		m.theirs()
	}
	to := m.ours()
	ref := m.cur.Ref()
	reason, err := m.reason(false, payload)
	if err != nil {
		return err
	}
	if p := m.link.node.findPid(to); p != nil {
		if target, ok := p.monitorOver(ref); ok {
			m.deliver(p, Down{Ref: ref, Target: target, Reason: reason})
		}
	}
	return nil
}

// spawnReply is SPAWN_REPLY {31, Ref, To, Flags, Result}; Result is the pid, or an atom that says why there is none.
func (m *control) spawnReply(token bool) error {
	ref, to := m.cur.Ref(), m.ours()
	m.cur.Int()
	var result etf.Term
	if m.cur.Kind() == etf.KindAtom {
		result = m.cur.Atom()
	} else {
		result = m.theirs()
	}
	if err := m.end(token); err != nil {
		return err
	}
	p := m.link.node.findPid(to)
	if p == nil {
		return nil
	}
	if pid, ok := result.(etf.Pid); ok {
		p.spawned(m.link, ref, pid)
		return nil
	}
	if target, ok := p.monitorOver(ref); ok {
		m.deliver(p, Down{Ref: ref, Target: target, Reason: spawnFailed{result}})
	}
	return nil
}

// spawnFailed is the reason of a Down, within this package only, when a remote spawn was refused.
type spawnFailed struct{ reason etf.Term }

const (
	atomNoproc       = etf.Atom("noproc")
	atomNoconnection = etf.Atom("noconnection")
	atomNormal       = etf.Atom("normal")
	atomKill         = etf.Atom("kill")
	atomKilled       = etf.Atom("killed")
	atomOK           = etf.Atom("ok")
	atomError        = etf.Atom("error")
)
