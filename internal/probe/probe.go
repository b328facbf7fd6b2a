// Package probe asks an instance whether it is ready or still alive: over HTTP, by opening a TCP connection, by
// running a program, or by a call on its node.
package probe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Probe asks once. A nil error is a success; any other says why not, for people.
type Probe interface {
	Probe(ctx context.Context) error
	String() string // what is asked: http http://127.0.0.1:4000/health
}

// DefaultTimeout limits one attempt when the probe names no other limit.
const DefaultTimeout = 5 * time.Second

// ErrTimeout says that one attempt took too long.
var ErrTimeout = errors.New("timed out")

// limited calls f with a context of the attempt's own and names the limit when that is what ended it.
func limited(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	if limit <= 0 {
		limit = DefaultTimeout
	}
	attempt, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := f(attempt)
	if err != nil && ctx.Err() == nil && attempt.Err() != nil {
		return fmt.Errorf("%w after %v (%v)", ErrTimeout, limit, err)
	}
	return err
}

// Options of Wait.
type Options struct {
	Successes int           // in a row; 0: 1
	Interval  time.Duration // between attempts; 0: 100 ms
	Report    func(Attempt) // called after each attempt; may be nil
}

// Attempt is the outcome of one probe.
type Attempt struct {
	Number    int // from 1
	Successes int // in a row so far
	Err       error
}

// Wait probes until it has passed Successes times in a row, or ctx ends.
//
// The error is then ctx's for errors.Is, and says what the last whole attempt met.
func Wait(ctx context.Context, p Probe, o Options) error {
	want := max(o.Successes, 1)
	interval := o.Interval
	if interval <= 0 {
		interval = 100 * time.Millisecond
	}
	var last error
	number, row := 0, 0
	for {
		if ctx.Err() == nil {
			err := p.Probe(ctx)
			if err == nil || ctx.Err() == nil { // else it was interrupted and says nothing
				number++
				row++
				if err != nil {
					row, last = 0, err
				}
				if o.Report != nil {
					o.Report(Attempt{Number: number, Successes: row, Err: err})
				}
				if row >= want {
					return nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return waitError(ctx, p, number, row, want, last)
		case <-time.After(interval):
		}
	}
}

func waitError(ctx context.Context, p Probe, number, row, want int, last error) error {
	switch {
	case number == 0:
		return fmt.Errorf("probe: %s: no answer: %w", p, ctx.Err())
	case row > 0:
		return fmt.Errorf("probe: %s: passed %d of %d times in a row: %w", p, row, want, ctx.Err())
	}
	return fmt.Errorf("probe: %s: not passed in %d attempts, the last: %w (%w)", p, number, last, ctx.Err())
}

// excerpt is at most n bytes of what an instance said, on one line.
func excerpt(s string, n int) string {
	s = strings.ToValidUTF8(strings.TrimSpace(s), "\uFFFD")
	if len(s) <= n {
		return fmt.Sprintf("%q", s)
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return fmt.Sprintf("%q…", s[:n])
}
