package bridge

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
)

func TestReason_RoundTrip(t *testing.T) {
	t.Parallel()
	for _, term := range []etf.Term{
		etf.Atom("normal"), etf.Atom("shutdown"), etf.Atom("killed"), etf.Atom("noproc"), etf.Atom("noconnection"),
		etf.Atom("timeout"), etf.Atom("kill"), etf.Atom("badarg"),
		etf.Tuple{etf.Atom("shutdown"), int64(3)}, etf.Binary("text"), etf.List{}, int64(7),
	} {
		err := Reason(term)
		if got := ReasonTerm(err); !etf.Equal(got, term) {
			t.Errorf("ReasonTerm(Reason(%s)) = %s", etf.Format(term), etf.Format(got))
		}
		// As Ergo and actors wrap reasons.
		if got := ReasonTerm(fmt.Errorf("<1.2.3>: %w", err)); !etf.Equal(got, term) {
			t.Errorf("ReasonTerm of wrapped %s = %s", etf.Format(term), etf.Format(got))
		}
		if !errors.Is(err, Reason(term)) {
			t.Errorf("errors.Is(%v, itself again) is false", err)
		}
	}
}

func TestReasonTerm_OfGoErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want etf.Term
	}{
		{nil, etf.Atom("normal")},
		{gen.TerminateReasonPanic, etf.Atom("panic")},
		{gen.ErrProcessTerminated, etf.Atom("noproc")},
		{gen.ErrNoRoute, etf.Atom("noconnection")},
		{io.ErrUnexpectedEOF, etf.Tuple{etf.Atom("error"), etf.Binary("unexpected EOF")}},
	} {
		if got := ReasonTerm(c.err); !etf.Equal(got, c.want) {
			t.Errorf("ReasonTerm(%v) = %s, want %s", c.err, etf.Format(got), etf.Format(c.want))
		}
	}
}

// Ergo compares its reasons with ==.
func TestReason_IsErgosOwnValue(t *testing.T) {
	t.Parallel()
	for atom, want := range map[etf.Atom]error{
		"normal": gen.TerminateReasonNormal, "shutdown": gen.TerminateReasonShutdown, "killed": gen.TerminateReasonKill,
	} {
		if got := Reason(atom); got != want {
			t.Errorf("Reason(%s) = %v, want Ergo's %v", atom, got, want)
		}
	}
}
