package bridge

import (
	"reflect"
	"testing"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
)

func TestAlias_RoundTrip(t *testing.T) {
	t.Parallel()
	for n := uint8(1); n <= 5; n++ {
		ref := etf.Ref{Node: "a@b", Creation: 0xfffffffe, Len: n}
		for i := range int(n) {
			ref.ID[i] = 0xf0000000 | uint32(i+1)
		}
		if got := aliasRef(Alias(ref)); got != ref {
			t.Errorf("aliasRef(Alias(%v)) = %v", ref, got)
		}
	}
}

func TestSystem_TermConvertsWhatIsErgos(t *testing.T) {
	t.Parallel()
	s := &System{name: "me@here", localPeer: "local:me@here"}
	pid := gen.PID{Node: "you@there", ID: 1<<32 | 7, Creation: 9}
	wire := etf.Pid{Node: "you@there", ID: 7, Serial: 1, Creation: 9}
	in := etf.Tuple{
		pid,
		etf.List{gen.Atom("a"), int64(1)},
		etf.ImproperList{Elems: []etf.Term{gen.Atom("b")}, Tail: pid},
		etf.Map{{Key: gen.Atom("k"), Value: gen.TerminateReasonShutdown}},
	}
	want := etf.Tuple{
		wire,
		etf.List{etf.Atom("a"), int64(1)},
		etf.ImproperList{Elems: []etf.Term{etf.Atom("b")}, Tail: wire},
		etf.Map{{Key: etf.Atom("k"), Value: etf.Atom("shutdown")}},
	}
	if got := s.term(in); !reflect.DeepEqual(got, want) {
		t.Errorf("term = %v, want %v", got, want)
	}
	if in[0] != any(pid) {
		t.Error("the caller's term was changed")
	}
	if s.PID(wire) != pid {
		t.Errorf("PID(%v) = %v, want %v", wire, s.PID(wire), pid)
	}
}
