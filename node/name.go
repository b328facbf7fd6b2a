package node

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/beamkeeper/beamkeeper/etf"
)

// ErrBadName is the reason of every name that ParseName refuses.
var ErrBadName = errors.New("malformed node name")

// maxNameBytes bounds alive@host on the wire: an atom of 255 code points, and our own limit on hosts.
const maxNameBytes = 255

// Name is the name of a distribution node, alive@host. It is comparable. The zero Name names no node.
type Name struct {
	Alive string // what EPMD registers
	Host  string // a short host name or a fully qualified one, see Domain
}

// NameDomain tells short from long names. Nodes of different domains do not connect to each other.
type NameDomain uint8

// The two name domains of Erlang (kernel's name_domain).
const (
	ShortNames NameDomain = iota // host without a dot
	LongNames                    // host with a dot
)

// ParseName splits alive@host. Neither part may be empty; the characters are those that net_kernel
// accepts for the alive part, and no white space, control or @ in the host.
func ParseName(s string) (Name, error) {
	if len(s) > maxNameBytes || !utf8.ValidString(s) {
		return Name{}, fmt.Errorf("node: %w: %.64q", ErrBadName, s)
	}
	alive, host, ok := strings.Cut(s, "@")
	n := Name{Alive: alive, Host: host}
	if !ok || !n.valid() {
		return Name{}, fmt.Errorf("node: %w: %.64q (want alive@host)", ErrBadName, s)
	}
	return n, nil
}

func (n Name) valid() bool {
	if n.Alive == "" || n.Host == "" || len(n.Alive)+1+len(n.Host) > maxNameBytes {
		return false
	}
	for _, r := range n.Alive {
		if r <= ' ' || r == '@' || r == '/' || r == 0x7f || r == utf8.RuneError {
			return false
		}
	}
	for _, r := range n.Host {
		if r <= ' ' || r == '@' || r == '/' || r == 0x7f || r == utf8.RuneError {
			return false
		}
	}
	return true
}

// String is alive@host, or "" for the zero Name.
func (n Name) String() string {
	if n == (Name{}) {
		return ""
	}
	return n.Alive + "@" + n.Host
}

// Atom is the name as the peers write it in pids.
func (n Name) Atom() etf.Atom { return etf.Atom(n.String()) }

// Domain is LongNames when the host has a dot or is an IPv6 address.
func (n Name) Domain() NameDomain {
	if strings.ContainsAny(n.Host, ".:") {
		return LongNames
	}
	return ShortNames
}

// String is the word Erlang uses: shortnames or longnames.
func (d NameDomain) String() string {
	if d == LongNames {
		return "longnames"
	}
	return "shortnames"
}
