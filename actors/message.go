package actors

import (
	"sync/atomic"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/internal/process"
)

// Names that the actors are registered under.
const (
	rootActor     gen.Atom = "root"
	eventsActor   gen.Atom = "events"
	releasesActor gen.Atom = "releases"
)

func appActor(app string) gen.Atom           { return gen.Atom("app:" + app) }
func managerActor(app string) gen.Atom       { return gen.Atom("manager:" + app) }
func instancesActor(app string) gen.Atom     { return gen.Atom("instances:" + app) }
func instanceActor(instance string) gen.Atom { return gen.Atom("instance:" + instance) }

// Messages. An actor panics on one that it does not know: that is a fault of ours, which the tree repairs.
type (
	// To every actor, first: it can be sent to, and begins.
	msgBegin struct{}
	// To every actor that has jobs: one has ended.
	jobDone struct {
		id     uint64
		result any
	}

	// To events: there is something to keep.
	msgFlush struct{}

	// To releases: some current.json has changed. To a manager: its own.
	msgChanged struct{}

	// To the root: apps have come or gone. To a manager: its app's spec has changed.
	msgApps struct{}
	// To a manager and to an instance: look again at what is wished and what is.
	msgWake struct{}
	// To a manager and to an instance, from themselves: the state store may take what it did not.
	msgResume struct{}
	// To a manager: do what an operator asks.
	msgCommand struct {
		do     func(*manager) (any, error)
		by     string // who asks by the Erlang API; empty: an operator
		author string // who asks, for records; empty: not known
		reply  chan<- reply
		taken  atomic.Bool // by a manager: it may be in the mailboxes of two, as one that crashes loses its own
	}

	// To instances: start an instance's actor.
	msgStartActor struct{ instance string }

	// To an instance: its OS process has ended.
	msgExit struct{ id process.Identity }
	// To an instance: its node has come or gone.
	msgNode struct{}
	// To an instance, from its readiness job: how far it has come.
	msgChain struct {
		job   uint64
		chain chain
	}
	// To an instance, from its stop job: its node has taken init:stop, and its ports are free.
	msgDrained struct{ stop *bool }
	// To an instance: it has taken longer than it should to get ready.
	msgLate struct{ id process.Identity }
)

type reply struct {
	value any
	err   error
}
