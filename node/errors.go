package node

import (
	"errors"
	"fmt"

	"github.com/beamkeeper/beamkeeper/etf"
)

// What a *HandshakeError or *DownError wraps. Test with errors.Is.
var (
	ErrBadCookie  = errors.New("wrong cookie")
	ErrNotAllowed = errors.New("not allowed to connect")
	ErrFlags      = errors.New("peer lacks a mandatory distribution flag")
	ErrDuplicate  = errors.New("already connected, or connecting the other way")
	ErrHandshake  = errors.New("malformed handshake message")
	ErrPeerName   = errors.New("peer has another name")
	ErrCrowded    = errors.New("too many handshakes at one time")
	ErrMaxLinks   = errors.New("too many links already (MaxLinks)")

	ErrNoConnection = errors.New("no connection")
	ErrTickTimeout  = errors.New("nothing heard for net_ticktime")
	ErrNodeDown     = errors.New("node down")
	ErrProtocol     = errors.New("malformed distribution message")
	ErrDisconnected = errors.New("disconnected by this node")
	ErrReplaced     = errors.New("replaced by a new connection of the same node")
	ErrOverload     = errors.New("peer does not read: too much waits to be sent to it (MaxOutboxBytes)")
	ErrMaxWatches   = errors.New("peer has too many links and monitors (MaxWatches)")
	ErrClosed       = errors.New("node closed")
	ErrNotStarted   = errors.New("node not started")

	ErrNameTaken   = errors.New("name already registered")
	ErrNameUnknown = errors.New("name not registered")
	ErrVersion     = errors.New("distribution protocol version 6 not spoken")
)

// What the methods of Node and Process return about local processes.
var (
	ErrProcessExited = errors.New("process has exited")
	ErrPidTaken      = errors.New("pid already in use")
	ErrBadDest       = errors.New("destination names nobody")
)

// HandshakeError tells why a connection never came up. Err may be a sentinel of this package or an
// error of the network.
type HandshakeError struct {
	Peer  Name   // zero when the peer has not told its name
	Phase string // dial, name, status, challenge, reply, ack
	Err   error
}

func (e *HandshakeError) Error() string {
	return fmt.Sprintf("node: handshake with %q: %s: %v", e.Peer.String(), e.Phase, e.Err)
}

// Unwrap gives the reason.
func (e *HandshakeError) Unwrap() error { return e.Err }

// PeerNameError is ErrPeerName of a peer that we connected to, with the name that it has.
type PeerNameError struct {
	Name string // as it says; it need not be well-formed
}

func (e *PeerNameError) Error() string { return fmt.Sprintf("%v: %.256q", ErrPeerName, e.Name) }

// Unwrap gives ErrPeerName.
func (e *PeerNameError) Unwrap() error { return ErrPeerName }

// DownError tells that the link to a peer is lost or could not be made. It satisfies
// errors.Is(err, ErrNoConnection), whatever Err is.
type DownError struct {
	Peer Name
	Err  error
}

func (e *DownError) Error() string {
	return fmt.Sprintf("node: no connection to %q: %v", e.Peer.String(), e.Err)
}

// Unwrap gives the reason.
func (e *DownError) Unwrap() []error { return []error{ErrNoConnection, e.Err} }

// Class is the class of an Erlang exception.
type Class uint8

// The classes of erpc:call/4.
const (
	ClassError Class = iota // erlang:error/1, or a failure of the call itself: Reason {erpc, _}
	ClassExit               // erlang:exit/1; also a gen_server that is not there (noproc) or that died
	ClassThrow              // erlang:throw/1
)

// String is error, exit or throw.
func (c Class) String() string {
	switch c {
	case ClassExit:
		return "exit"
	case ClassThrow:
		return "throw"
	}
	return "error"
}

// CallError is an exception raised by the remote code. A function of HandleFunc may return one to
// raise it in the caller.
type CallError struct {
	Class  Class
	Reason etf.Term
	Stack  etf.Term // the stack trace of class error, else nil
}

func (e *CallError) Error() string {
	return fmt.Sprintf("node: remote call: %v: %s", e.Class, etf.Format(e.Reason))
}

// Undef is the exception of a function that does not exist, as a BEAM would raise it.
func Undef(mod, fun etf.Atom, args []etf.Term) *CallError {
	return &CallError{
		Class: ClassError, Reason: etf.Atom("undef"),
		Stack: etf.List{etf.Tuple{mod, fun, etf.List(args), etf.List{}}},
	}
}

// EPMDError is a failure to talk to a port mapper, or its refusal.
type EPMDError struct {
	Addr string // host:port of the EPMD
	Name string // alive name asked for, or ""
	Err  error
}

func (e *EPMDError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("node: epmd %s: %v", e.Addr, e.Err)
	}
	return fmt.Sprintf("node: epmd %s: %q: %v", e.Addr, e.Name, e.Err)
}

// Unwrap gives the reason.
func (e *EPMDError) Unwrap() error { return e.Err }
