package actors

import (
	"cmp"
	"slices"
)

// phase is an instance's state as the reconciler sees it.
type phase int

const (
	phaseStarting phase = iota // on its way to ready, waiting out a backoff included
	phaseReady
	phaseStopped // by an operator: fills its replica, and is left as it is
	phaseFailed  // crashed too often
)

// wanted is what an app should be.
type wanted struct {
	release  releaseID
	restart  uint64 // instances made before this restart of the app are to be replaced
	replicas int

	surge          int // instances beyond replicas while some are replaced
	slots          int // how many there are: 0 to slots-1
	maxParallel    int
	maxUnavailable int
}

// releaseID names a release. An empty sha256 stands for any.
type releaseID struct{ version, sha256 string }

func (r releaseID) same(o releaseID) bool {
	return r.version == o.version && (r.sha256 == "" || o.sha256 == "" || r.sha256 == o.sha256)
}

// observed is one instance that exists.
type observed struct {
	name     string
	slot     int
	release  releaseID
	restart  uint64
	phase    phase
	outdated bool   // was started with settings that it is to be replaced for
	blocks   []int  // slots that nobody else can have beside it; nil: its own
	leaving  bool   // is being stopped for good; its slot is taken until it is gone or drained
	drained  bool   // holds no port any more: only the OS process has not ended yet
	replaces string // the instance it was started to replace
}

// plan is what to do next. Nothing is to be done while only waiting helps.
type plan struct {
	start    []planStart
	stop     []string
	differs  bool     // what is there is not what is wanted, even if nothing can be done about it just now
	complete bool     // all replicas are filled by the right instances, and nothing else is left
	waiting  []string // those of the right instances that do not serve (yet)
}

type planStart struct {
	slot     int
	replaces string
}

// settled says that there is nothing to do and nothing to wait for.
func (p plan) settled() bool { return p.complete && len(p.waiting) == 0 }

func (p plan) idle() bool { return len(p.start) == 0 && len(p.stop) == 0 }

// reconcile compares what is wanted with what is there, over all replicas, and says what to do next. It is called again
// after every change, and depends on nothing but its arguments, so a daemon that was killed half way goes on from what
// it finds.
//
// Replicas are replaced by starting a new one on a free slot and stopping an old one once the new one is ready. Where no
// slot is free an old one is stopped first, as far as maxUnavailable lets. Missing replicas, which nothing serves in
// place of, are all started at once.
func reconcile(w wanted, have []observed) plan {
	var p plan
	var match, old []observed
	taken := make(map[int]bool)
	ready := 0
	leaving, drained := 0, 0
	for _, o := range have {
		if o.leaving && o.drained {
			drained++
			continue
		}
		if o.blocks == nil {
			o.blocks = []int{o.slot}
		}
		for _, slot := range o.blocks {
			taken[slot] = true
		}
		switch {
		case o.leaving:
			leaving++
			continue
		case o.phase == phaseStopped, o.release.same(w.release) && o.restart >= w.restart && !o.outdated:
			match = append(match, o)
		default:
			old = append(old, o)
		}
		if o.phase == phaseReady {
			ready++
		}
	}
	p.differs = len(old) > 0 || len(match) != w.replicas

	// More than enough of the right ones: those outside the slots go first, then those that do not serve, then high slots.
	slices.SortFunc(match, func(a, b observed) int {
		return cmp.Or(
			compareBool(a.slot >= w.slots, b.slot >= w.slots),
			cmp.Compare(rank(a.phase), rank(b.phase)),
			cmp.Compare(a.slot, b.slot))
	})
	for len(match) > w.replicas {
		last := match[len(match)-1]
		match = match[:len(match)-1]
		p.stop = append(p.stop, last.name)
		if last.phase == phaseReady {
			ready--
		}
		leaving++
	}

	// Old ones that are no longer needed. Those that do not serve go first, then those whose replacement is ready.
	readyMatch, starting := 0, 0
	replaced, assigned := make(map[string]bool), make(map[string]bool)
	for _, m := range match {
		assigned[m.replaces] = true
		switch m.phase {
		case phaseReady, phaseStopped:
			readyMatch++
			replaced[m.replaces] = true
		case phaseStarting:
			starting++
			p.waiting = append(p.waiting, m.name)
		case phaseFailed:
			p.waiting = append(p.waiting, m.name)
		}
	}
	slices.SortFunc(old, func(a, b observed) int {
		return cmp.Or(
			compareBool(a.phase == phaseReady, b.phase == phaseReady),
			compareBool(replaced[b.name], replaced[a.name]),
			cmp.Compare(a.slot, b.slot))
	})
	stopOld := func() {
		o := old[0]
		old = old[1:]
		p.stop = append(p.stop, o.name)
		if o.phase == phaseReady {
			ready--
		}
		leaving++
	}
	for len(old) > 0 && readyMatch+len(old) > w.replicas {
		stopOld()
	}

	// New ones.
	parallel := max(w.maxParallel, 1)
	if !slices.ContainsFunc(old, func(o observed) bool { return o.phase != phaseFailed }) {
		parallel = w.replicas // nothing serves that could be hurt
	}
	parallel = max(parallel, starting+w.replicas-len(match)-len(old)) // nor where a replica is missing
	total := len(match) + len(old) + leaving
	for missing := w.replicas - len(match); missing > 0 && starting < parallel; missing-- {
		slot, free := freeSlot(taken, w.slots)
		if !free || total >= w.replicas+w.surge {
			// Room is made by stopping an old one that serves nobody, or that may be missing for a while, or that has to:
			// between them the old ones have a port of every slot, as can be when the bases were changed.
			crossed := !free && total < w.replicas+w.surge && leaving == 0
			if len(old) == 0 || starting+leaving >= parallel ||
				old[0].phase != phaseFailed && ready-1 < w.replicas-w.maxUnavailable && !crossed {
				break
			}
			stopOld()
			continue
		}
		s := planStart{slot: slot}
		for _, o := range old {
			if !assigned[o.name] {
				s.replaces = o.name
				assigned[o.name] = true
				break
			}
		}
		p.start = append(p.start, s)
		taken[slot] = true
		starting++
		total++
	}
	p.complete = p.idle() && leaving+drained == 0 && len(old) == 0 && len(match) == w.replicas
	return p
}

// rank orders phases by how much an instance is worth keeping.
func rank(p phase) int {
	switch p {
	case phaseReady:
		return 0
	case phaseStarting:
		return 1
	case phaseStopped:
		return 2
	}
	return 3
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func freeSlot(taken map[int]bool, slots int) (int, bool) {
	for s := range slots {
		if !taken[s] {
			return s, true
		}
	}
	return 0, false
}
