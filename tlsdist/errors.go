package tlsdist

import (
	"errors"
	"fmt"

	"github.com/beamkeeper/beamkeeper/node"
)

// Why a connection was refused. Test a *PeerError with errors.Is.
var (
	ErrNoCertificate = errors.New("the peer shows no certificate")
	ErrForeignCA     = errors.New("the peer's certificate is from an authority that is not trusted here")
	ErrExpired       = errors.New("the peer's certificate has expired")
	ErrNotYetValid   = errors.New("the peer's certificate is not valid yet (do the clocks agree?)")
	ErrBadUse        = errors.New("the peer's certificate is not meant for this side of a connection")
	ErrNameMismatch  = errors.New("the peer's certificate is for another name")
	ErrRetired       = errors.New("the peer's certificate is no longer on record")
	ErrPlainTCP      = errors.New("the peer does not speak TLS")
	ErrRefused       = errors.New("the peer refuses our certificate or settings")
)

// What is wrong with files of our own.
var (
	ErrKeyMode     = errors.New("private file that others may read")
	ErrKeyPassword = errors.New("the private key is encrypted, and the password is missing or wrong")
	ErrKeyFormat   = errors.New("private key in a format that is not understood")
	ErrOptFile     = errors.New("unusable ssl_dist_optfile")
	ErrPath        = errors.New("path that does not survive on a command line of erl")
	ErrHost        = errors.New("host that no certificate can be made for")
	ErrUnknownNode = errors.New("no certificate was issued for this node")
	ErrRollover    = errors.New("the authority is being replaced already")
)

// PeerError tells why there is no TLS connection with a peer.
type PeerError struct {
	Addr string    // its address
	Name node.Name // the name it claims or was dialed by; zero when not known yet
	Err  error
}

func (e *PeerError) Error() string {
	if e.Name == (node.Name{}) {
		return fmt.Sprintf("tls: %s: %v", e.Addr, e.Err)
	}
	return fmt.Sprintf("tls: %s at %s: %v", e.Name, e.Addr, e.Err)
}

// Unwrap gives the reason.
func (e *PeerError) Unwrap() error { return e.Err }
