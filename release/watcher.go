package release

import (
	"context"
	"log/slog"
	"time"
)

// WatcherConfig says what a Watcher watches.
type WatcherConfig struct {
	Source Source
	// Changed is told of each change, one at a time and in order. It must not block for long. Required.
	Changed func(Change)
	Log     *slog.Logger // nil: discard
}

// Change is what became of an app's current.json.
type Change struct {
	App     string
	Current Current // valid if Err is nil
	Err     error   // *CurrentError if the file is broken, ErrNotFound if there is none, else the bucket's error
	Mended  bool    // Err is nil and the Change before had an error

	// ArchiveChanged: current.json is what it was, but the archive it names has come, gone or been written again.
	ArchiveChanged bool
}

// Watcher tells when the current.json of an app changes, and when the archive that it names does: at once where the
// bucket is a Notifier, and else, or when notification fails, by polling.
//
// The first look at an app is a change too. The same error is told once until it changes or is mended.
type Watcher struct{}

// NewWatcher returns a Watcher that watches nothing yet.
func NewWatcher(cfg WatcherConfig) *Watcher { return &Watcher{} }

// Add begins to watch app, or changes how often it is polled. An interval of 0 means 5 seconds.
func (w *Watcher) Add(app string, interval time.Duration) {}

// Remove ends watching app. One Change may still be under way.
func (w *Watcher) Remove(app string) {}

// Check looks at app's current.json now.
func (w *Watcher) Check(app string) {}

// Run watches until ctx ends and returns its error. Call it once.
func (w *Watcher) Run(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
