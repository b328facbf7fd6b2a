package actors

import (
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/release"
)

// Encryption gives instances what they need to speak TLS among themselves and with us.
type Encryption interface {
	// Prepare makes the files of an instance's node, which belong to owner (nil: the daemon's user), and gives the
	// arguments for its BEAM. It is called before every start.
	Prepare(peer node.Name, owner *release.Owner) (erlArgs string, err error)
	// Retire makes the certificate of an instance that is gone worthless. It may be called again.
	Retire(peer node.Name) error
	// Expires tells until when the certificate of an instance is valid; zero when that is not known.
	Expires(peer node.Name) time.Time
}

// encryptionArgs prepares an instance for TLS; empty when links are made over TCP.
func (s *System) encryptionArgs(spec AppSpec, rec state.Instance) (string, error) {
	if s.cfg.Encryption == nil {
		return "", nil
	}
	owner, err := ownerOf(spec)
	if err != nil {
		return "", err
	}
	return s.cfg.Encryption.Prepare(s.nodeName(rec.Name), owner)
}

// retire ends the standing of an instance that is gone.
func (s *System) retire(peer node.Name) error {
	if s.cfg.Encryption == nil {
		return nil
	}
	return s.cfg.Encryption.Retire(peer)
}

func (s *System) certificateExpires(peer node.Name) api.Time {
	if s.cfg.Encryption == nil {
		return api.Time{}
	}
	return api.Time{Time: s.cfg.Encryption.Expires(peer).UTC()}
}

// Emit adds to the events what a part of the daemon outside the tree has to tell.
func (s *System) Emit(e api.Event) { s.emit(e) }
