package actors

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSoakFacts(t *testing.T) {
	t.Parallel()
	queue := func(n ...int64) (list []vitals) {
		for _, q := range n {
			list = append(list, vitals{queue: q})
		}
		return list
	}
	memory := func(mib ...int64) (list []vitals) {
		for _, n := range mib {
			list = append(list, vitals{memory: n << 20})
		}
		return list
	}
	children := func(pids ...string) (list []vitals) {
		for _, pid := range pids {
			list = append(list, vitals{children: map[string]string{"1": pid, "2": "<0.9.0>"}})
		}
		return list
	}
	for _, tt := range []struct {
		name  string
		facts soakFacts
		early string // found before the end
		want  string
	}{
		{name: "nothing known"},
		{name: "quiet", facts: soakFacts{before: queue(3, 4), after: queue(2, 3, 4, 5)}},
		{name: "as many errors as ever", facts: soakFacts{errorsBefore: 100, errorsAfter: 120}},
		{name: "errors", facts: soakFacts{errorsBefore: 1, errorsAfter: 14}, early: "14 errors", want: "14 errors"},
		{name: "a restart or three", facts: soakFacts{after: children("a", "b", "b", "c", "d")}},
		{name: "restarts", facts: soakFacts{after: children("a", "b", "c", "d", "e")}, early: "4 restarts", want: "4 restarts"},
		{name: "a mailbox that is emptied", facts: soakFacts{before: queue(5), after: queue(9000, 9000, 9000, 3)}},
		{name: "mailboxes", facts: soakFacts{before: queue(5), after: queue(1, 2000, 3000, 4000)}, want: "2000 messages"},
		{name: "mailboxes as full as ever", facts: soakFacts{before: queue(5000), after: queue(6000, 7000, 8000)}},
		{name: "memory that settles", facts: soakFacts{before: memory(100), after: memory(100, 150, 400, 400, 400, 400, 390, 380, 380)}},
		{name: "memory", facts: soakFacts{before: memory(100), after: memory(100, 150, 200, 250, 300, 350, 400, 450, 500)}, want: "memory grew"},
		{name: "little memory", facts: soakFacts{before: memory(10), after: memory(10, 15, 20, 25, 30, 35, 40, 45, 50)}},
		{name: "few samples of it", facts: soakFacts{before: memory(100), after: memory(100, 500, 1000)}},
	} {
		for done, want := range map[bool]string{false: tt.early, true: tt.want} {
			err := tt.facts.verdict(done)
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s, done %v: %v, want %q", tt.name, done, err, want)
			}
		}
	}
}

func TestSoaking(t *testing.T) {
	t.Parallel()
	sick := errors.New("sick")
	alive := func(sickFrom, sickUntil time.Duration) func(context.Context) error {
		began := time.Now()
		return func(context.Context) error {
			if at := time.Since(began); at >= sickFrom && at < sickUntil {
				return sick
			}
			return nil
		}
	}
	const length = time.Minute
	for _, tt := range []struct {
		name        string
		from, until time.Duration // it is sick
		sample      func(n int) (vitals, error)
		errors      func(from, to time.Time) int
		holds       error
		want        string // "": it gets through
		took        time.Duration
	}{
		{name: "well", took: length},
		{name: "not ready at once", until: 5 * time.Second, took: length + 5*time.Second},
		{name: "never ready", until: time.Hour, want: "not ready within 10s", took: 10 * time.Second},
		{name: "away for a moment", from: 20 * time.Second, until: 24 * time.Second, took: length},
		{name: "away", from: 20 * time.Second, until: time.Hour, want: "not ready 3 times in a row: sick", took: 26 * time.Second},
		{name: "away at the end", from: length - time.Second, until: time.Hour, want: "sick", took: length},
		{name: "it runs another version", holds: errNotAlive, want: errNotAlive.Error(), took: length},
		{name: "errors", errors: func(from, to time.Time) int {
			if time.Since(to) == 0 {
				return int(to.Sub(from) / time.Second)
			}
			return 0
		}, want: "errors in its log", took: 12 * time.Second},
		{name: "vitals that are not known", sample: func(int) (vitals, error) { return vitals{}, sick }, took: length},
		{name: "memory", sample: func(n int) (vitals, error) { return vitals{memory: int64(n) * 100 << 20}, nil }, want: "memory grew", took: length},
		{name: "restarts", sample: func(n int) (vitals, error) {
			return vitals{children: map[string]string{"a": fmt.Sprint(n)}}, nil
		}, want: "4 restarts", took: 12 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				s := soaking{length: length, ready: 10 * time.Second, alive: alive(tt.from, tt.until), errors: tt.errors}
				if tt.sample != nil {
					n := 0
					s.sample = func(context.Context) (vitals, error) { n++; return tt.sample(n) }
				}
				if tt.holds != nil {
					s.holds = func(context.Context) error { return tt.holds }
				}
				err := s.run(t.Context())
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("run = %v, want %q", err, tt.want)
				}
				if took := time.Since(began); took < tt.took || took > tt.took+4*time.Second {
					t.Errorf("it took %s, want %s", took, tt.took)
				}
			})
		})
	}
}

func TestSoaking_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s := soaking{length: time.Hour, alive: func(context.Context) error { return nil }}
		if err := s.run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("run = %v", err)
		}
	})
}
