package bridge

import (
	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// router finds the actor behind a pid or name that a peer asks for.
type router struct{ sys *System }

var _ node.Router = router{}

func (r router) RoutePid(pid etf.Pid) *node.Process {
	return r.found(r.sys.PID(pid))
}

func (r router) RouteName(name etf.Atom) *node.Process {
	pid, ok := r.sys.PIDOf(gen.Atom(name))
	if !ok {
		return nil
	}
	return r.found(pid)
}

func (r router) found(pid gen.PID) *node.Process {
	if pid.Node != r.sys.name || pid.ID == 0 {
		return nil
	}
	p := r.sys.processOf(pid)
	if p == nil {
		return nil
	}
	return p.proc
}
