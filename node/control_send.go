package node

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/beamkeeper/beamkeeper/etf"
)

// What the node itself sends. These do not wait for room in the outbox, whose hard limit still holds, and an error
// means that the link is over, which is told elsewhere.

// post sends what has been encoded.
func (l *link) post(ctx context.Context, e *encoder, sender uint64, wait bool) error {
	if e.ctl == 0 {
		e.ctl = len(e.b)
	}
	p, err := e.packet(sender)
	if err != nil {
		return err
	}
	err = l.out.put(ctx, p, wait)
	e.done()
	return err
}

// uint appends an unsigned integer in its shortest form.
func (e *encoder) uint(v uint64) {
	switch {
	case v <= 255:
		e.b = append(e.b, 97, byte(v))
	case v <= 1<<31-1:
		e.b = binary.BigEndian.AppendUint32(append(e.b, 98), uint32(v))
	default:
		at := len(e.b)
		e.b = append(e.b, 110, 0, 0)
		for ; v > 0; v >>= 8 {
			e.b = append(e.b, byte(v))
		}
		e.b[at+1] = byte(len(e.b) - at - 3)
	}
}

// sendExit sends an exit signal: op is opPayloadExit (of a link) or opPayloadExit2. Peers without EXIT_PAYLOAD get the old forms.
func (l *link) sendExit(sender uint64, op byte, from, to etf.Pid, reason etf.Term) error {
	return withReason(reason, func(reason etf.Term) error { return l.trySendExit(sender, op, from, to, reason) })
}

// withReason sends again with a reason that says so when the first one has no Erlang form: a process is over
// whatever became of its reason.
func withReason(reason etf.Term, send func(etf.Term) error) error {
	err := send(reason)
	var down *DownError
	if err == nil || errors.As(err, &down) || errors.Is(err, ErrOverload) {
		return err
	}
	return send(etf.Tuple{etf.Atom("bad_reason"), etf.Binary(err.Error())})
}

func (l *link) trySendExit(sender uint64, op byte, from, to etf.Pid, reason etf.Term) error {
	if !l.flags.Has(FlagExitPayload) {
		old := byte(opExit)
		if op == opPayloadExit2 {
			old = opExit2
		}
		e := l.encode(4, old)
		e.term(from)
		e.term(to)
		e.term(reason)
		return l.post(context.Background(), &e, sender, false)
	}
	e := l.encode(3, op)
	e.term(from)
	e.term(to)
	e.payload(reason)
	return l.post(context.Background(), &e, sender, false)
}

// sendUnlink sends UNLINK_ID or UNLINK_ID_ACK.
func (l *link) sendUnlink(sender uint64, op byte, id uint64, from, to etf.Pid) error {
	e := l.encode(4, op)
	e.uint(id)
	e.term(from)
	e.term(to)
	return l.post(context.Background(), &e, sender, false)
}

// sendMonitorExit sends the DOWN of a monitor; from is the pid or name as in MONITOR_P.
func (l *link) sendMonitorExit(sender uint64, from etf.Term, to etf.Pid, ref etf.Ref, reason etf.Term) error {
	return withReason(reason, func(reason etf.Term) error { return l.trySendMonitorExit(sender, from, to, ref, reason) })
}

func (l *link) trySendMonitorExit(sender uint64, from etf.Term, to etf.Pid, ref etf.Ref, reason etf.Term) error {
	if !l.flags.Has(FlagExitPayload) {
		e := l.encode(5, opMonitorPExit)
		e.term(from)
		e.term(to)
		e.term(ref)
		e.term(reason)
		return l.post(context.Background(), &e, sender, false)
	}
	e := l.encode(4, opPayloadMonitorPEx)
	e.term(from)
	e.term(to)
	e.term(ref)
	e.payload(reason)
	return l.post(context.Background(), &e, sender, false)
}

// sendMonitor sends MONITOR_P or DEMONITOR_P.
func (l *link) sendMonitor(ctx context.Context, sender uint64, op byte, from etf.Pid, to etf.Term, ref etf.Ref, wait bool) error {
	e := l.encode(4, op)
	e.term(from)
	e.term(to)
	e.term(ref)
	return l.post(ctx, &e, sender, wait)
}

// sendSpawnReply sends SPAWN_REPLY. flags: 1 linked, 2 monitored. It is lazy when a process was made: mostly that
// has run in no time, and its DOWN leaves in the same write.
func (l *link) sendSpawnReply(sender uint64, ref etf.Ref, to etf.Pid, flags int, result etf.Term) error {
	e := l.encode(5, opSpawnReply)
	e.term(ref)
	e.term(to)
	e.term(flags)
	e.term(result)
	e.lazy = sender != 0
	return l.post(context.Background(), &e, sender, false)
}
