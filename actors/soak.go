package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/probe"
)

// What a soak bears, beside a crash, which it does not.
const (
	soakMisses   = 3         // times in a row that an instance does not answer, or its probe fails
	soakRestarts = 3         // restarts in the supervisors of the instance's applications
	soakErrors   = 10        // error-level log events beyond three times as many as in as long a time before
	soakQueue    = 1000      // messages waiting beyond ten times as many as before
	soakMemory   = 100 << 20 // bytes that memory grows by, if that is more than half of what it was
	soakSamples  = 6         // below so many nothing is said about memory
)

// vitals are how an instance does at one moment.
type vitals struct {
	at       time.Time
	memory   int64             // bytes, erlang:memory(total)
	queue    int64             // messages that wait in the mailboxes looked at
	children map[string]string // processes of supervisors by where they are: a restart is another process there
}

// soakFacts is what a soak has seen.
type soakFacts struct {
	before       []vitals // of the minutes before, the oldest first
	after        []vitals // since, the oldest first
	errorsBefore int      // error-level log events in as long a time before
	errorsAfter  int
}

// restarts counts the children that were restarted meanwhile.
func (f soakFacts) restarts() (n int) {
	for i := 1; i < len(f.after); i++ {
		for key, pid := range f.after[i].children {
			if was, ok := f.after[i-1].children[key]; ok && was != pid {
				n++
			}
		}
	}
	return n
}

// verdict says what is wrong; nil: nothing. What needs the whole soak is looked at with done only.
func (f soakFacts) verdict(done bool) error {
	if n := f.restarts(); n > soakRestarts {
		return fmt.Errorf("%d restarts in its supervisors", n)
	}
	if f.errorsAfter > 3*f.errorsBefore+soakErrors {
		return fmt.Errorf("%d errors in its log, and %d in as long a time before", f.errorsAfter, f.errorsBefore)
	}
	if !done {
		return nil
	}
	if most, least := highest(f.before), f.lately(); len(f.after) >= 3 && least > 10*most+soakQueue {
		return fmt.Errorf("%d messages wait in its mailboxes, and at most %d before", least, most)
	}
	if from, to, grew := f.growth(); grew {
		return fmt.Errorf("its memory grew from %d to %d MiB and did not stop growing", from>>20, to>>20)
	}
	return nil
}

func highest(list []vitals) (most int64) {
	for _, v := range list {
		most = max(most, v.queue)
	}
	return most
}

// lately is the least number of messages that waited in the last three samples.
func (f soakFacts) lately() int64 {
	if len(f.after) < 3 {
		return 0
	}
	return slices.MinFunc(f.after[len(f.after)-3:], func(a, b vitals) int { return int(a.queue - b.queue) }).queue
}

// growth compares the thirds of the soak: memory grew when the last is above the second and that above the first, by far, and
// above all that was before.
func (f soakFacts) growth() (from, to int64, grew bool) {
	n := len(f.after) / 3
	if len(f.after) < soakSamples {
		return 0, 0, false
	}
	mean := func(list []vitals) (sum int64) {
		for _, v := range list {
			sum += v.memory / int64(len(list))
		}
		return sum
	}
	first, second, last := mean(f.after[:n]), mean(f.after[n:2*n]), mean(f.after[2*n:])
	for _, v := range f.before {
		first = max(first, v.memory)
	}
	return first, last, last > second && second > mean(f.after[:n]) && last-first > soakMemory && last > first+first/2
}

// soaking watches an instance for a while. It knows no actor and no state store.
type soaking struct {
	length time.Duration
	ready  time.Duration                         // how long it may take to be ready in the first place
	alive  func(context.Context) error           // it answers, its application runs
	probe  probe.Probe                           // nil: none
	sample func(context.Context) (vitals, error) // nil: nothing to go by; an error: not known this time
	errors func(from, to time.Time) (events int) // in its log
	holds  func(context.Context) error           // what must be true at the end; nil: nothing
	before []vitals
}

// soakEvery is how often it is looked during a soak.
func soakEvery(length time.Duration) time.Duration {
	return min(max(length/20, 50*time.Millisecond), 5*time.Second)
}

// run returns nil when the instance has got through it, and otherwise with what is wrong, or with ctx's error.
func (s soaking) run(ctx context.Context) error {
	if err := s.getReady(ctx); err != nil {
		return err
	}
	began := time.Now()
	facts := soakFacts{before: s.before}
	look := time.NewTicker(soakEvery(s.length))
	defer look.Stop()
	end := time.NewTimer(s.length)
	defer end.Stop()
	misses := 0
	if s.length > 0 {
		s.take(ctx, &facts, began)
	}
	for done := s.length == 0; !done; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			done = true
		case <-look.C:
		}
		if err := s.once(ctx); err == nil {
			misses = 0
		} else if misses++; ctx.Err() == nil && (misses >= soakMisses || done) {
			return fmt.Errorf("not ready %d times in a row: %w", misses, err)
		}
		s.take(ctx, &facts, began)
		if err := facts.verdict(done); err != nil {
			return err
		}
	}
	if s.holds != nil {
		return s.holds(ctx)
	}
	return ctx.Err()
}

// once asks whether it is ready.
func (s soaking) once(ctx context.Context) error {
	attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	if err := s.alive(attempt); err != nil {
		return err
	}
	if s.probe == nil {
		return nil
	}
	return s.probe.Probe(ctx)
}

// getReady waits until it is ready, for as long as it may take.
func (s soaking) getReady(ctx context.Context) error {
	began := time.Now()
	for {
		err := s.once(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Since(began) >= s.ready:
			return fmt.Errorf("not ready within %s: %w", s.ready, err)
		}
		if err := sleep(ctx, attemptDelay(time.Since(began))); err != nil {
			return err
		}
	}
}

func (s soaking) take(ctx context.Context, f *soakFacts, began time.Time) {
	if s.sample != nil {
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		if v, err := s.sample(attempt); err == nil {
			f.after = append(f.after, v)
		}
		cancel()
	}
	if s.errors != nil {
		now := time.Now()
		length := now.Sub(began)
		f.errorsBefore, f.errorsAfter = s.errors(began.Add(-length), began), s.errors(began, now)
	}
}

var errNotAlive = errors.New("it does not run the new version any more")
