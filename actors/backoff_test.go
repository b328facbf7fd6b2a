package actors

import (
	"testing"
	"time"
)

func TestRestartDelay(t *testing.T) {
	t.Parallel()
	none := func() float64 { return 0 }
	all := func() float64 { return 1 }
	tests := []struct {
		crash     int
		low, high time.Duration
	}{
		{1, 0, 0},
		{2, 750 * time.Millisecond, time.Second},
		{3, 1500 * time.Millisecond, 2 * time.Second},
		{4, 3 * time.Second, 4 * time.Second},
		{10, 192 * time.Second, 256 * time.Second},
		{11, 225 * time.Second, 300 * time.Second},
		{100, 225 * time.Second, 300 * time.Second},
	}
	for _, tt := range tests {
		if high, low := restartDelay(tt.crash, none), restartDelay(tt.crash, all); high != tt.high || low != tt.low {
			t.Errorf("restartDelay(%d) is between %v and %v, want %v and %v", tt.crash, low, high, tt.low, tt.high)
		}
	}
}

func TestCrashRow_StartsAgainAfterAStableMinute(t *testing.T) {
	t.Parallel()
	if n := crashRow(7, stableAfter-1); n != 8 {
		t.Errorf("crash just before the minute: row of %d, want 8", n)
	}
	if n := crashRow(7, stableAfter); n != 1 {
		t.Errorf("crash after the minute: row of %d, want 1", n)
	}
}

func TestCrashLoop(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	var crashes []time.Time
	for i := range 5 {
		crashes = withinWindow(crashes, now.Add(time.Duration(i)*time.Second), time.Minute)
		if looping(crashes, 5) {
			t.Fatalf("crash %d of 5 allowed is a loop", i+1)
		}
	}
	if c := withinWindow(crashes, now.Add(6*time.Second), time.Minute); !looping(c, 5) {
		t.Errorf("the sixth within the window is no loop: %v", c)
	}
	if c := withinWindow(crashes, now.Add(2*time.Minute), time.Minute); looping(c, 5) || len(c) != 1 {
		t.Errorf("old crashes still count: %v", c)
	}
}
