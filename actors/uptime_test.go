package actors

import (
	"testing"
	"time"
)

func TestByClock(t *testing.T) {
	t.Parallel()
	noted := time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC)
	for _, tt := range []struct {
		name string
		now  time.Time
		want time.Time
	}{
		{"as it was", noted.Add(time.Minute), noted},
		{"read with 10 ms accuracy", noted.Add(time.Minute + 8*time.Millisecond), noted},
		{"set forward", noted.Add(5*time.Hour + time.Minute), noted.Add(5 * time.Hour).Truncate(time.Second)},
		{"set back", noted.Add(-5*time.Hour + time.Minute), noted.Add(-5 * time.Hour).Truncate(time.Second)},
	} {
		if got := byClock(noted, tt.now, time.Minute); !got.Equal(tt.want) {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
