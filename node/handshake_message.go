package node

import (
	"encoding/binary"
	"fmt"
)

// The messages of distribution handshake version 6 (OTP 23). This file knows their bytes and does no I/O.
//
// Spec: https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html#distribution-handshake
const (
	tagName      = 'N' // name and challenge
	tagOldName   = 'n' // the same of version 5, which is refused
	tagStatus    = 's'
	tagReply     = 'r'
	tagAck       = 'a'
	digestBytes  = 16
	maxNameField = 4 * maxNameBytes
)

// nameMsg is the initiator's first message.
//
//	'N' | flags u64 | creation u32 | nlen u16 | name [nlen]byte
//
// Bytes after the name are for later versions and ignored.
type nameMsg struct {
	flags    Flags
	creation uint32
	name     string
}

func (m *nameMsg) append(dst []byte) []byte {
	dst = append(dst, tagName)
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.flags))
	dst = binary.BigEndian.AppendUint32(dst, m.creation)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(m.name)))
	return append(dst, m.name...)
}

func (m *nameMsg) parse(b []byte) error {
	r := reader{b: b}
	if tag := r.u8(); tag != tagName {
		return badTag("name", tag)
	}
	m.flags = Flags(r.u64())
	m.creation = r.u32()
	m.name = string(r.take(nameLen(r.u16())))
	if !r.ok() {
		return badMessage("name", b)
	}
	return nil
}

// statusMsg is the acceptor's verdict, or the initiator's answer to alive.
//
//	's' | text; for named: | nlen u16 | name [nlen]byte | creation u32
type statusMsg struct {
	status   string // ok, ok_simultaneous, nok, not_allowed, alive, true, false, named:
	name     string // with named: the whole name given to the initiator
	creation uint32 // with named: its creation
}

// The statuses.
const (
	statusOK             = "ok"
	statusOKSimultaneous = "ok_simultaneous"
	statusNok            = "nok"
	statusNotAllowed     = "not_allowed"
	statusAlive          = "alive"
	statusTrue           = "true"
	statusFalse          = "false"
	statusNamed          = "named:"
)

func (m *statusMsg) append(dst []byte) []byte {
	dst = append(dst, tagStatus)
	dst = append(dst, m.status...)
	if m.status == statusNamed {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(m.name)))
		dst = append(dst, m.name...)
		dst = binary.BigEndian.AppendUint32(dst, m.creation)
	}
	return dst
}

func (m *statusMsg) parse(b []byte) error {
	*m = statusMsg{}
	r := reader{b: b}
	if tag := r.u8(); tag != tagStatus {
		return badTag("status", tag)
	}
	switch text := string(r.b); text {
	case statusOK, statusOKSimultaneous, statusNok, statusNotAllowed, statusAlive, statusTrue, statusFalse:
		m.status = text
		return nil
	}
	if string(r.take(len(statusNamed))) != statusNamed {
		return badMessage("status", b)
	}
	m.status = statusNamed
	m.name = string(r.take(nameLen(r.u16())))
	m.creation = r.u32()
	if !r.ok() {
		return badMessage("status", b)
	}
	return nil
}

// challengeMsg is the acceptor's second message.
//
//	'N' | flags u64 | challenge u32 | creation u32 | nlen u16 | name [nlen]byte
type challengeMsg struct {
	flags     Flags
	challenge uint32
	creation  uint32
	name      string
}

func (m *challengeMsg) append(dst []byte) []byte {
	dst = append(dst, tagName)
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.flags))
	dst = binary.BigEndian.AppendUint32(dst, m.challenge)
	dst = binary.BigEndian.AppendUint32(dst, m.creation)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(m.name)))
	return append(dst, m.name...)
}

func (m *challengeMsg) parse(b []byte) error {
	r := reader{b: b}
	if tag := r.u8(); tag != tagName {
		return badTag("challenge", tag)
	}
	m.flags = Flags(r.u64())
	m.challenge = r.u32()
	m.creation = r.u32()
	m.name = string(r.take(nameLen(r.u16())))
	if !r.ok() {
		return badMessage("challenge", b)
	}
	return nil
}

// replyMsg is the initiator's proof and its own challenge.
//
//	'r' | challenge u32 | digest [16]byte
type replyMsg struct {
	challenge uint32
	digest    [digestBytes]byte
}

func (m *replyMsg) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, tagReply), m.challenge)
	return append(dst, m.digest[:]...)
}

func (m *replyMsg) parse(b []byte) error {
	r := reader{b: b}
	if tag := r.u8(); tag != tagReply {
		return badTag("reply", tag)
	}
	m.challenge = r.u32()
	copy(m.digest[:], r.take(digestBytes))
	if !r.end() {
		return badMessage("reply", b)
	}
	return nil
}

// ackMsg is the acceptor's proof.
//
//	'a' | digest [16]byte
type ackMsg struct {
	digest [digestBytes]byte
}

func (m *ackMsg) append(dst []byte) []byte { return append(append(dst, tagAck), m.digest[:]...) }

func (m *ackMsg) parse(b []byte) error {
	r := reader{b: b}
	if tag := r.u8(); tag != tagAck {
		return badTag("ack", tag)
	}
	copy(m.digest[:], r.take(digestBytes))
	if !r.end() {
		return badMessage("ack", b)
	}
	return nil
}

// nameLen makes a length that take refuses of one that is too long for a name.
func nameLen(n uint16) int {
	if int(n) > maxNameField {
		return -1
	}
	return int(n)
}

func badTag(what string, tag byte) error {
	if tag == tagOldName {
		return fmt.Errorf("%w: %s of handshake version 5", ErrVersion, what)
	}
	return fmt.Errorf("%w: %s expected, tag %q found", ErrHandshake, what, tag)
}

func badMessage(what string, b []byte) error {
	return fmt.Errorf("%w: %s: %.64q", ErrHandshake, what, b)
}
