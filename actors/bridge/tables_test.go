package bridge

import (
	"testing"

	"ergo.services/ergo/gen"
)

// The Ergo that go.mod names keeps processes and mailboxes where waiting looks for them.
func TestWaiting_FindsErgosMailboxes(t *testing.T) {
	t.Parallel()
	s, _ := pair(t)
	spawnPlain(t, s)
	processes := processTable(s.Ergo())
	if processes == nil {
		t.Fatal("Ergo has no table of processes where it had one")
	}
	seen := 0
	processes.Range(func(_, p any) bool {
		if m := mailbox(p); m == nil || m.Main == nil || m.Main.Len() < 0 {
			t.Errorf("%T has no mailbox where it had one", p)
		}
		seen++
		return true
	})
	if seen == 0 {
		t.Error("no processes")
	}
	if table(s.Ergo(), "names") == nil {
		t.Error("Ergo has no table of names where it had one")
	}
}

func TestSystem_HasNoCron(t *testing.T) {
	t.Parallel()
	s, _ := pair(t)
	switch clock := cronTimer(s.Ergo()); {
	case clock == nil:
		t.Error("Ergo's cron has no clock where it had one")
	case clock.Stop():
		t.Error("Ergo's cron runs")
	}
}

func TestPIDOf_FollowsTheName(t *testing.T) {
	t.Parallel()
	s, _ := pair(t)
	first := spawnProbe(t, s, "probe")
	for range 2 { // the second time it is remembered
		if pid, ok := s.PIDOf("probe"); !ok || pid != first.pid {
			t.Errorf("PIDOf = %v, %v, want %v", pid, ok, first.pid)
		}
	}
	if err := s.Ergo().Kill(first.pid); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the name is free", func() bool { _, ok := s.PIDOf("probe"); return !ok })
	second := spawnProbe(t, s, "probe")
	if pid, ok := s.PIDOf("probe"); !ok || pid != second.pid || pid == first.pid {
		t.Errorf("PIDOf = %v, %v, want %v", pid, ok, second.pid)
	}
	if pid, ok := s.PIDOf(gen.Atom("nobody")); ok {
		t.Errorf("PIDOf(nobody) = %v", pid)
	}
}
