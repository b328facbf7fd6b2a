package node

import (
	"io"
)

// connect is the initiator's side.
//
//	we                                  peer
//	name               ->
//	                   <-               status: ok | ok_simultaneous | alive | nok | not_allowed
//	status true|false  ->                       (after alive only)
//	                   <-               challenge
//	reply              ->
//	                   <-               ack
//
// alive is asked when the peer believes that there is a link already: true means to go on.
// Error: *HandshakeError.
func (h *handshaker) connect(rw io.ReadWriter, peer Name, alive func() bool) (handshakeResult, error) {
	fail := func(phase string, err error) (handshakeResult, error) {
		return handshakeResult{}, &HandshakeError{Peer: peer, Phase: phase, Err: err}
	}
	if err := h.send(rw, &nameMsg{flags: h.flags, creation: h.creation, name: h.self.String()}); err != nil {
		return fail("name", err)
	}
	if err := h.recvStatus(rw, alive); err != nil {
		return fail("status", err)
	}

	var challenge challengeMsg
	if err := h.recv(rw, &challenge); err != nil {
		return fail("challenge", err)
	}
	if challenge.name != peer.String() {
		return fail("challenge", &PeerNameError{Name: challenge.name})
	}
	theirs, err := checkPeerFlags(challenge.flags)
	if err != nil {
		return fail("challenge", err)
	}
	if err := h.verify(peer); err != nil {
		return fail("challenge", err)
	}

	cookie := h.cookie(peer)
	ours := h.challenge()
	if err := h.send(rw, &replyMsg{challenge: ours, digest: cookie.digest(challenge.challenge)}); err != nil {
		return fail("reply", err)
	}
	var ack ackMsg
	if err := h.recv(rw, &ack); err != nil {
		if closedByPeer(err) {
			err = ErrBadCookie
		}
		return fail("ack", err)
	}
	if !sameDigest(ack.digest, cookie.digest(ours)) {
		return fail("ack", ErrBadCookie)
	}
	return h.result(peer, theirs, challenge.creation), nil
}

func (h *handshaker) recvStatus(rw io.ReadWriter, alive func() bool) error {
	var m statusMsg
	if err := h.recv(rw, &m); err != nil {
		return err
	}
	switch m.status {
	case statusOK, statusOKSimultaneous:
		return nil
	case statusNok:
		return ErrDuplicate
	case statusNotAllowed:
		return ErrNotAllowed
	case statusAlive:
		if alive() {
			return h.send(rw, &statusMsg{status: statusTrue})
		}
		if err := h.send(rw, &statusMsg{status: statusFalse}); err != nil {
			return err
		}
		return ErrDuplicate
	}
	return badMessage("status", []byte(m.status)) // named: answers NAME_ME, which we never set
}
