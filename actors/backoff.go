package actors

import (
	"math/rand/v2"
	"time"
)

const (
	backoffFirst = time.Second
	backoffMax   = 5 * time.Minute
	stableAfter  = time.Minute // an OS process that lived this long starts a new row of crashes
)

// restartDelay is how long to wait before the start that follows the crash-th crash in a row (from 1): nothing the
// first time, then 1 s doubling to 5 min, each less up to a quarter at random so that replicas do not march in step.
func restartDelay(crash int, random func() float64) time.Duration {
	if crash <= 1 {
		return 0
	}
	d := backoffMax
	if shift := crash - 2; shift < 20 {
		d = min(backoffFirst<<shift, backoffMax)
	}
	return d - time.Duration(random()*float64(d)/4)
}

func jitter() float64 { return rand.Float64() }

// crashRow counts crashes in a row: ran is how long the OS process that has just crashed had lived.
func crashRow(before int, ran time.Duration) int {
	if ran >= stableAfter {
		return 1
	}
	return before + 1
}

// remaining is how long an instance still waits before it is started again. It is never longer than the delay was: the
// clock may have been set back since, or the record may have been written under another clock.
func remaining(at, now time.Time, crashes int) time.Duration {
	return min(max(at.Sub(now), 0), restartDelay(crashes, func() float64 { return 0 }))
}

// withinWindow returns the crashes that are not older than window at now, now's own included, in order. Those that seem
// to be still to come are from before the clock was set back, and are forgotten.
func withinWindow(crashes []time.Time, now time.Time, window time.Duration) []time.Time {
	kept := make([]time.Time, 0, len(crashes)+1)
	for _, t := range crashes {
		if age := now.Sub(t); age >= 0 && age <= window {
			kept = append(kept, t)
		}
	}
	return append(kept, now)
}

// looping says whether so many crashes within the window are too many.
func looping(crashes []time.Time, limit int) bool { return len(crashes) > limit }
