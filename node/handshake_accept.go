package node

import (
	"fmt"
	"io"
)

// verdict is what the acceptor makes of a peer's name.
type verdict struct {
	status   string // as sent; "" stands for ok
	err      error  // why it is refused
	name     Name   // with statusNamed: the name given
	creation uint32
}

// accept is the acceptor's side, see connect. mark is asked once the peer's name is known and gives the status to
// send. It may not block for long. Error: *HandshakeError.
func (h *handshaker) accept(rw io.ReadWriter, mark func(peer Name, flags Flags) verdict) (handshakeResult, error) {
	var peer Name
	fail := func(phase string, err error) (handshakeResult, error) {
		return handshakeResult{}, &HandshakeError{Peer: peer, Phase: phase, Err: err}
	}
	var m nameMsg
	if err := h.recv(rw, &m); err != nil {
		return fail("name", err)
	}
	refuse := func(err error) (handshakeResult, error) {
		h.send(rw, &statusMsg{status: statusNotAllowed}) // the refusal is the error
		return fail("name", err)
	}
	var err error
	if m.flags.Has(FlagNameMe) {
		peer = Name{Host: m.name} // the name is to come from mark
	} else if peer, err = ParseName(m.name); err != nil {
		return fail("name", err)
	}
	theirs, err := checkPeerFlags(m.flags)
	if err != nil {
		return refuse(err)
	}
	if peer == h.self {
		return refuse(fmt.Errorf("%w: it is our own", ErrPeerName))
	}
	if peer.Domain() != h.self.Domain() {
		return refuse(fmt.Errorf("%w: it uses %s, we use %s", ErrPeerName, peer.Domain(), h.self.Domain()))
	}
	if err := h.verify(peer); err != nil {
		return refuse(err)
	}
	v := mark(peer, theirs)
	creation := m.creation
	switch v.status {
	case statusNamed:
		peer, creation = v.name, v.creation
		err = h.send(rw, &statusMsg{status: statusNamed, name: peer.String(), creation: creation})
	case statusAlive:
		err = h.askAlive(rw)
	default:
		err = h.send(rw, &statusMsg{status: v.status})
	}
	if v.err != nil {
		err = v.err
	}
	if err != nil {
		return fail("status", err)
	}

	cookie := h.cookie(peer)
	ours := h.challenge()
	flags := h.flags
	if v.status == statusNamed {
		flags |= FlagNameMe // the initiator wants it confirmed (dist_util of OTP 25 to 29)
	}
	if err := h.send(rw, &challengeMsg{flags: flags, challenge: ours, creation: h.creation, name: h.self.String()}); err != nil {
		return fail("challenge", err)
	}
	var reply replyMsg
	if err := h.recv(rw, &reply); err != nil {
		return fail("reply", err)
	}
	if !sameDigest(reply.digest, cookie.digest(ours)) {
		return fail("reply", ErrBadCookie)
	}
	if err := h.send(rw, &ackMsg{digest: cookie.digest(reply.challenge)}); err != nil {
		return fail("ack", err)
	}
	return h.result(peer, theirs, creation), nil
}

// askAlive tells the peer that we believe to be linked with it, and hears whether it wants to go on all the same.
func (h *handshaker) askAlive(rw io.ReadWriter) error {
	if err := h.send(rw, &statusMsg{status: statusAlive}); err != nil {
		return err
	}
	var m statusMsg
	if err := h.recv(rw, &m); err != nil {
		return err
	}
	switch m.status {
	case statusTrue:
		return nil
	case statusFalse:
		return ErrDuplicate
	}
	return badMessage("status", []byte(m.status))
}
