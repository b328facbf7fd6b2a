package node

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	gateBurst    = 20
	flapBurst    = 1000
	gateInterval = time.Second // after the burst, for each line
)

// gate lets through so many lines of log that strangers cannot fill a disk, and counts those that it keeps back. The
// zero value is ready.
type gate struct {
	burst int // 0: gateBurst

	mu   sync.Mutex
	used int       // of the burst
	at   time.Time // when used was last reduced
	kept int
}

// pass tells whether a line may be logged, and how many were not since the last one.
func (g *gate) pass(now time.Time) (kept int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	back := int(now.Sub(g.at) / gateInterval)
	if g.used = max(g.used-back, 0); g.used == 0 {
		g.at = now
	} else {
		g.at = g.at.Add(time.Duration(back) * gateInterval)
	}
	if g.used >= cmp.Or(g.burst, gateBurst) {
		g.kept++
		return 0, false
	}
	g.used++
	kept, g.kept = g.kept, 0
	return kept, true
}

func (g *gate) log(to *slog.Logger, level slog.Level, msg string, args ...any) {
	kept, ok := g.pass(time.Now())
	if !ok {
		return
	}
	if kept > 0 {
		args = append(args, "kept_back", kept)
	}
	to.Log(context.Background(), level, msg, args...)
}
