package bridge

import (
	"errors"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// ExitReason is an Erlang exit reason, as a Go error. An actor that returns &ExitReason{Term: t} from a callback ends
// with the reason t.
type ExitReason struct{ Term etf.Term }

// Error is the reason in Erlang syntax.
func (e *ExitReason) Error() string { return etf.Format(e.Term) }

// Is makes errors.Is true for equal reasons.
func (e *ExitReason) Is(target error) bool {
	o, ok := target.(*ExitReason)
	return ok && etf.Equal(e.Term, o.Term)
}

// Exit reasons that Ergo has values of its own for, and compares with ==.
var knownReasons = map[etf.Atom]error{
	"normal":       gen.TerminateReasonNormal,
	"shutdown":     gen.TerminateReasonShutdown,
	"killed":       gen.TerminateReasonKill,
	"noproc":       gen.ErrProcessUnknown,
	"noconnection": gen.ErrNoConnection,
	"timeout":      gen.ErrTimeout,
}

// Reason is the Go form of an Erlang exit reason:
//
//	normal, shutdown, killed   gen.TerminateReasonNormal, …Shutdown, …Kill
//	noproc                     gen.ErrProcessUnknown
//	noconnection               gen.ErrNoConnection
//	timeout                    gen.ErrTimeout
//	any other term             *ExitReason
func Reason(t etf.Term) error {
	if a, ok := t.(etf.Atom); ok {
		if err, ok := knownReasons[a]; ok {
			return err
		}
	}
	return &ExitReason{Term: t}
}

// ReasonTerm is the Erlang form of what ended an actor, the inverse of Reason. nil is normal, a panic the atom
// panic, and an error that stands for no Erlang term becomes {error, <<"text">>}: text never makes an atom.
func ReasonTerm(err error) etf.Term {
	var exit *ExitReason
	switch {
	case err == nil, errors.Is(err, gen.TerminateReasonNormal):
		return etf.Atom("normal")
	case errors.As(err, &exit):
		return exit.Term
	case errors.Is(err, gen.TerminateReasonShutdown):
		return etf.Atom("shutdown")
	case errors.Is(err, gen.TerminateReasonKill):
		return etf.Atom("killed")
	case errors.Is(err, gen.TerminateReasonPanic):
		return etf.Atom("panic")
	case errors.Is(err, gen.ErrProcessUnknown), errors.Is(err, gen.ErrProcessTerminated), errors.Is(err, gen.ErrNameUnknown):
		return etf.Atom("noproc")
	case errors.Is(err, gen.ErrNoConnection), errors.Is(err, gen.ErrNoRoute), errors.Is(err, node.ErrNoConnection):
		return etf.Atom("noconnection")
	case errors.Is(err, gen.ErrTimeout):
		return etf.Atom("timeout")
	}
	return etf.Tuple{etf.Atom("error"), etf.Binary(err.Error())}
}

// goError makes errors of package node match Ergo's: a lost or missing link is gen.ErrNoConnection too, an actor that
// has ended gen.ErrProcessTerminated.
func goError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, node.ErrNoConnection):
		return &sameAs{err: err, ergo: gen.ErrNoConnection}
	case errors.Is(err, node.ErrProcessExited):
		return &sameAs{err: err, ergo: gen.ErrProcessTerminated}
	}
	return err
}

type sameAs struct{ err, ergo error }

func (s *sameAs) Error() string   { return s.err.Error() }
func (s *sameAs) Unwrap() []error { return []error{s.err, s.ergo} }
