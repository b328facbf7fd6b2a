package actors

import (
	"time"

	"github.com/beamkeeper/beamkeeper/internal/state"
)

// clockStep is by how much a clock must have been set to be told from one that is slewed, or read with 10 ms accuracy.
const clockStep = 2 * time.Second

// byClock is when something began by the clock as it is now: what was noted then, unless the clock has been set since.
func byClock(noted, now time.Time, ran time.Duration) time.Time {
	at := now.Add(-ran)
	if d := at.Sub(noted.Round(0)); d > -clockStep && d < clockStep {
		return noted.UTC() // which is the same every time that it is asked for
	}
	return at.UTC().Truncate(time.Second)
}

// since is when the daemon was started.
func (s *System) since() time.Time { return byClock(s.started, time.Now(), time.Since(s.started)) }

// runningSince is when the OS process of an instance was started.
func runningSince(rec state.Instance) time.Time {
	at, err := rec.Process.StartedAt()
	if err != nil {
		return rec.StartedAt.UTC()
	}
	now := time.Now()
	return byClock(rec.StartedAt, now, now.Sub(at))
}
