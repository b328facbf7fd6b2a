package erlapi

import (
	"testing"
)

func TestSetGrants_RefusesAPatternThatIsNone(t *testing.T) {
	t.Parallel()
	a := &API{}
	before := []Grant{{Nodes: "panel@*", Right: Read}}
	a.grants.Store(&before)
	if err := a.SetGrants([]Grant{{Nodes: "panel@*", Right: Admin}, {Nodes: "[@*", Right: Read}}); err == nil {
		t.Error("a malformed pattern was taken")
	}
	if got := *a.grants.Load(); len(got) != 1 || got[0].Right != Read {
		t.Errorf("grants %+v, want those from before", got)
	}
}
