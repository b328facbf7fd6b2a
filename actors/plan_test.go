package actors

import (
	"fmt"
	"slices"
	"testing"
)

func one(name string, slot int, version string, p phase) observed {
	return observed{name: name, slot: slot, release: releaseID{version: version}, phase: p}
}

func want(version string, replicas int) wanted {
	return wanted{release: releaseID{version: version}, replicas: replicas, surge: 1, slots: replicas + 1, maxParallel: 1}
}

func TestReconcile(t *testing.T) {
	t.Parallel()
	leaving := func(o observed) observed { o.leaving = true; return o }
	drained := func(o observed) observed { o.leaving, o.drained = true, true; return o }
	tests := []struct {
		name string
		want wanted
		edit func(*wanted)
		have []observed

		start   []int
		stop    []string
		settled bool
	}{
		{
			name: "the first deployment starts all replicas at once",
			want: want("1", 3), start: []int{0, 1, 2},
		},
		{
			name: "nothing is wished away from what is there",
			want: want("1", 2), have: []observed{one("a", 0, "1", phaseReady), one("b", 1, "1", phaseReady)}, settled: true,
		},
		{
			name: "waiting for a starting one is not settled",
			want: want("1", 2), have: []observed{one("a", 0, "1", phaseReady), one("b", 1, "1", phaseStarting)},
		},
		{
			name: "a leaving one is not settled and keeps its slot",
			want: want("1", 1), have: []observed{leaving(one("o", 0, "0", phaseReady)), one("a", 1, "1", phaseReady)},
		},
		{
			name: "a new version starts one on the spare slot and stops nothing",
			want: want("2", 2), have: []observed{one("a", 0, "1", phaseReady), one("b", 1, "1", phaseReady)},
			start: []int{2},
		},
		{
			name: "while the new one starts nothing else happens",
			want: want("2", 2), have: []observed{one("a", 0, "1", phaseReady), one("b", 1, "1", phaseReady), one("n", 2, "2", phaseStarting)},
		},
		{
			name: "once the new one is ready one old one goes",
			want: want("2", 2), have: []observed{one("a", 0, "1", phaseReady), one("b", 1, "1", phaseReady), one("n", 2, "2", phaseReady)},
			stop: []string{"a"},
		},
		{
			name: "the slot of an old one is used only when that is gone",
			want: want("2", 2), have: []observed{leaving(one("a", 0, "1", phaseReady)), one("b", 1, "1", phaseReady), one("n", 2, "2", phaseReady)},
		},
		{
			name: "then the next new one starts there",
			want: want("2", 2), have: []observed{one("b", 1, "1", phaseReady), one("n", 2, "2", phaseReady)},
			start: []int{0},
		},
		{
			name: "or has stopped all but its OS process",
			want: want("2", 2), have: []observed{drained(one("a", 0, "1", phaseReady)), one("b", 1, "1", phaseReady), one("n", 2, "2", phaseReady)},
			start: []int{0},
		},
		{
			name: "which is waited for in the end",
			want: want("2", 1), have: []observed{drained(one("a", 0, "1", phaseReady)), one("n", 1, "2", phaseReady)},
		},
		{
			name: "max_unavailable makes room by stopping an old one",
			want: want("2", 3), edit: func(w *wanted) { w.maxParallel = 2; w.maxUnavailable = 1 },
			have:  []observed{one("a", 0, "1", phaseReady), one("b", 1, "1", phaseReady), one("c", 2, "1", phaseReady)},
			start: []int{3}, stop: []string{"a"},
		},
		{
			name: "without max_unavailable max_parallel stays within the surge",
			want: want("2", 3), edit: func(w *wanted) { w.maxParallel = 3 },
			have:  []observed{one("a", 0, "1", phaseReady), one("b", 1, "1", phaseReady), one("c", 2, "1", phaseReady)},
			start: []int{3},
		},
		{
			name: "a larger surge starts several",
			want: want("2", 3), edit: func(w *wanted) { w.maxParallel, w.surge, w.slots = 2, 2, 5 },
			have:  []observed{one("a", 0, "1", phaseReady), one("b", 1, "1", phaseReady), one("c", 2, "1", phaseReady)},
			start: []int{3, 4},
		},
		{
			name: "a ready old one stays as long as too few are ready",
			want: want("2", 2), have: []observed{one("a", 0, "1", phaseReady), one("b", 1, "1", phaseStarting), one("n", 2, "2", phaseReady)},
			stop: []string{"b"},
		},
		{
			name: "old ones that all failed give way to all new ones there is room for",
			want: want("2", 2), have: []observed{one("a", 0, "1", phaseFailed), one("b", 1, "1", phaseFailed)},
			start: []int{2}, stop: []string{"a"},
		},
		{
			name: "every replica is looked at: one on the wrong version is replaced",
			want: want("1", 3), have: []observed{one("a", 0, "1", phaseReady), one("b", 3, "2", phaseReady), one("c", 2, "1", phaseReady)},
			start: []int{1},
		},
		{
			name: "the same version with another archive is another release",
			want: want("1", 1), edit: func(w *wanted) { w.release.sha256 = "bb" },
			have:  []observed{{name: "a", release: releaseID{"1", "aa"}, phase: phaseReady}},
			start: []int{1},
		},
		{
			name: "a wish without an archive takes any",
			want: want("1", 1), have: []observed{{name: "a", release: releaseID{"1", "aa"}, phase: phaseReady}}, settled: true,
		},
		{
			name: "scaling up starts all that are missing",
			want: want("1", 4), have: []observed{one("a", 0, "1", phaseReady), one("b", 2, "1", phaseReady)},
			start: []int{1, 3},
		},
		{
			name: "scaling up in the middle of a deployment too",
			want: want("2", 4), have: []observed{one("a", 0, "1", phaseReady), one("n", 2, "2", phaseStarting)},
			start: []int{1, 3},
		},
		{
			name: "scaling down stops those outside the slots, then high slots",
			want: want("1", 2), have: []observed{one("a", 0, "1", phaseReady), one("b", 1, "1", phaseReady), one("c", 3, "1", phaseReady), one("d", 2, "1", phaseReady)},
			stop: []string{"c", "d"},
		},
		{
			name: "scaling down stops one that failed before one that serves",
			want: want("1", 1), have: []observed{one("a", 0, "1", phaseFailed), one("b", 1, "1", phaseReady)},
			stop: []string{"a"},
		},
		{
			name: "scaling to none",
			want: want("1", 0), have: []observed{one("a", 0, "1", phaseReady)}, stop: []string{"a"},
		},
		{
			name: "one that an operator stopped fills its replica",
			want: want("1", 2), have: []observed{one("a", 0, "1", phaseReady), one("b", 1, "1", phaseStopped)}, settled: true,
		},
		{
			name: "and is left alone by a new version",
			want: want("2", 2), have: []observed{one("a", 2, "2", phaseReady), one("b", 1, "1", phaseStopped)}, settled: true,
		},
		{
			name: "and does not keep an old one from being replaced",
			want: want("2", 2), have: []observed{one("a", 0, "1", phaseStopped), one("b", 1, "1", phaseReady), one("n", 2, "2", phaseReady)},
			stop: []string{"b"},
		},
		{
			name: "a restart of the app replaces what was made before",
			want: want("1", 1), edit: func(w *wanted) { w.restart = 1 },
			have:  []observed{one("a", 0, "1", phaseReady)},
			start: []int{1},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := tt.want
			if tt.edit != nil {
				tt.edit(&w)
			}
			p := reconcile(w, tt.have)
			var start []int
			for _, s := range p.start {
				start = append(start, s.slot)
			}
			if !slices.Equal(start, tt.start) || !slices.Equal(p.stop, tt.stop) || p.settled() != tt.settled {
				t.Errorf("start %v stop %v settled %v, want %v %v %v", start, p.stop, p.settled(), tt.start, tt.stop, tt.settled)
			}
		})
	}
}

// TestReconcile_Converges plays a world in which everything that is started gets ready and everything that is stopped
// goes, one at a time in every order of a simple kind, and looks at what must hold at each moment.
func TestReconcile_Converges(t *testing.T) {
	t.Parallel()
	for _, replicas := range []int{0, 1, 2, 3, 5} {
		for _, before := range []int{0, 1, 2, 3, 5} {
			for parallel := 1; parallel <= 3; parallel++ {
				for unavailable := 0; unavailable <= 2; unavailable++ {
					for _, last := range []bool{false, true} {
						name := fmt.Sprintf("%d to %d, parallel %d, unavailable %d, last first %v", before, replicas, parallel, unavailable, last)
						t.Run(name, func(t *testing.T) {
							t.Parallel()
							converge(t, before, replicas, parallel, unavailable, last)
						})
					}
				}
			}
		}
	}
}

func converge(t *testing.T, before, replicas, parallel, unavailable int, last bool) {
	w := want("2", replicas)
	w.maxParallel, w.maxUnavailable = parallel, unavailable
	var have []observed
	for i := range before {
		have = append(have, one(fmt.Sprintf("old%d", i), i, "1", phaseReady))
	}
	floor := min(before, replicas) - unavailable
	for step := 0; ; step++ {
		if step > 100 {
			t.Fatalf("not settled after %d steps: %+v", step, have)
		}
		p := reconcile(w, have)
		if p.settled() {
			break
		}
		for _, s := range p.start {
			for _, o := range have {
				if o.slot == s.slot {
					t.Fatalf("slot %d of %s given away", s.slot, o.name)
				}
			}
			if s.slot >= w.slots {
				t.Fatalf("slot %d is outside 0 to %d", s.slot, w.slots-1)
			}
			have = append(have, observed{name: fmt.Sprintf("new%d", step*10+s.slot), slot: s.slot, release: w.release, phase: phaseStarting, replaces: s.replaces})
		}
		for _, name := range p.stop {
			i := slices.IndexFunc(have, func(o observed) bool { return o.name == name })
			have[i].leaving = true
		}
		serving := 0
		for _, o := range have {
			if o.phase == phaseReady && !o.leaving {
				serving++
			}
		}
		if serving < floor {
			t.Fatalf("%d serve, at least %d must: %+v", serving, floor, have)
		}
		// One thing happens.
		order := make([]int, len(have))
		for i := range order {
			order[i] = i
			if last {
				order[i] = len(have) - 1 - i
			}
		}
		moved := false
		for _, i := range order {
			if have[i].leaving {
				have = slices.Delete(have, i, i+1)
				moved = true
				break
			}
			if have[i].phase == phaseStarting {
				have[i].phase = phaseReady
				moved = true
				break
			}
		}
		if !moved && p.idle() {
			t.Fatalf("stuck: %+v", have)
		}
	}
	if len(have) != replicas {
		t.Fatalf("%d instances, want %d", len(have), replicas)
	}
	for _, o := range have {
		if o.release != w.release || o.phase != phaseReady {
			t.Errorf("left over: %+v", o)
		}
	}
}
