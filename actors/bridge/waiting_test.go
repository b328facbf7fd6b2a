package bridge

import "testing"

// The Ergo that go.mod names keeps processes and mailboxes where waiting looks for them.
func TestWaiting_FindsErgosMailboxes(t *testing.T) {
	t.Parallel()
	s, _ := pair(t)
	spawnPlain(t, s)
	table := processTable(s.Ergo())
	if table == nil {
		t.Fatal("Ergo has no table of processes where it had one")
	}
	seen := 0
	table.Range(func(_, p any) bool {
		if m := mailbox(p); m == nil || m.Main == nil || m.Main.Len() < 0 {
			t.Errorf("%T has no mailbox where it had one", p)
		}
		seen++
		return true
	})
	if seen == 0 {
		t.Error("no processes")
	}
}
