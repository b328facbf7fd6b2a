package release

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"
)

const (
	defaultPoll = 5 * time.Second
	// whenever leaves the next look to the interval.
	whenever = time.Duration(math.MaxInt64)
	// fastPoll is for a bucket that should notify but cannot.
	fastPoll = 250 * time.Millisecond
	// settle is how long events are gathered before a look.
	settle = 5 * time.Millisecond
	// confirm is how long an error must last: a file being written in place, or replaced, is broken for a moment.
	confirm = 100 * time.Millisecond
	// archiveSettle is how long an archive must not have changed to count as written.
	archiveSettle = 500 * time.Millisecond
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
	Mended  bool    // Err is nil, and the Change before had an error other than ErrNotFound

	// ArchiveChanged: current.json is what it was, but the archive it names has come, gone or been written again.
	ArchiveChanged bool
}

// Watcher tells when the content of an app's current.json changes, and when the archive that it names does: at once
// where the bucket is a Notifier, and else, or when notification fails, by polling.
//
// The first look at an app is a change too. A file written again with the same content is none. An error is told once
// it has lasted for 100 ms, and not again until it changes or is mended.
type Watcher struct {
	source  Source
	changed func(Change)
	log     *slog.Logger

	callMu sync.Mutex // held while changed runs

	mu       sync.Mutex
	apps     map[string]*appWatch
	ctx      context.Context // of Run; nil before
	done     sync.WaitGroup
	keysDue  chan struct{} // the keys to be notified of are others now
	notified bool          // the bucket notifies
}

// NewWatcher returns a Watcher that watches nothing yet.
func NewWatcher(cfg WatcherConfig) *Watcher {
	w := &Watcher{
		source:  cfg.Source,
		changed: cfg.Changed,
		log:     cfg.Log,
		apps:    make(map[string]*appWatch),
		keysDue: make(chan struct{}, 1),
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	return w
}

// Add begins to watch app, or changes how often it is polled. An interval of 0 means 5 seconds.
func (w *Watcher) Add(app string, interval time.Duration) {
	if interval <= 0 {
		interval = defaultPoll
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.apps[app]; a != nil {
		a.interval = interval
		a.poke()
		return
	}
	a := &appWatch{watcher: w, app: app, interval: interval, wake: make(chan struct{}, 1), gone: make(chan struct{})}
	w.apps[app] = a
	if w.ctx != nil {
		w.start(a)
	}
	w.renotify()
}

// Remove ends watching app. One Change may still be under way.
func (w *Watcher) Remove(app string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.apps[app]; a != nil {
		close(a.gone)
		delete(w.apps, app)
		w.renotify()
	}
}

// Check looks at app's current.json now.
func (w *Watcher) Check(app string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.apps[app]; a != nil {
		a.poke()
	}
}

// Run watches until ctx ends and returns its error; no Change is told after that. Call it once.
func (w *Watcher) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer w.done.Wait()
	defer cancel()
	w.mu.Lock()
	w.ctx = ctx
	for _, a := range w.apps {
		w.start(a)
	}
	w.mu.Unlock()
	for w.notifyUntilDue(ctx) {
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ctx = nil
	return context.Cause(ctx)
}

// notifyUntilDue asks for notifications and waits until other keys are due (true) or ctx ends.
func (w *Watcher) notifyUntilDue(ctx context.Context) bool {
	notifyCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.notify(notifyCtx)
	select {
	case <-ctx.Done():
		return false
	case <-w.keysDue:
		return true
	}
}

// start runs a. The caller holds mu and has seen that ctx is set.
func (w *Watcher) start(a *appWatch) {
	ctx := w.ctx
	w.done.Go(func() { a.run(ctx) })
}

// renotify asks for notifications of other keys.
func (w *Watcher) renotify() {
	select {
	case w.keysDue <- struct{}{}:
	default:
	}
}

// notify asks the bucket to tell of changes, until ctx ends.
func (w *Watcher) notify(ctx context.Context) {
	n, ok := w.source.Bucket.(Notifier)
	if !ok {
		return
	}
	select {
	case <-w.keysDue: // these are them
	default:
	}
	w.mu.Lock()
	byKey := make(map[string]*appWatch)
	var keys []string
	for app, a := range w.apps {
		for _, key := range []string{CurrentKey(app, w.source.Account), a.archiveKey} {
			if key != "" {
				keys = append(keys, key)
				byKey[key] = a
			}
		}
	}
	before := w.notified
	w.mu.Unlock()
	slices.Sort(keys)
	err := n.Notify(ctx, keys, func(key string) { byKey[key].poke() })
	if err != nil && (before || ctx.Err() == nil) {
		w.log.Warn("the bucket cannot notify of changes, polling it instead", "bucket", w.source.Bucket.Location(""),
			"interval", fastPoll, "err", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notified = err == nil
	// What changed before the notifications began, and the interval.
	for _, a := range w.apps {
		a.poke()
	}
}

// appWatch watches one app.
type appWatch struct {
	watcher *Watcher
	app     string
	wake    chan struct{}
	gone    chan struct{}

	// guarded by Watcher.mu
	interval   time.Duration
	archiveKey string // of the archive that current.json names

	// of run
	kept     keptCurrent // what came last, where the bucket is far away
	failures int         // looks in a row that failed, there
	looked   bool        // the first look is over

	told      string // state that was told last: a content or an error
	last      Change // told last
	doubt     string // error that was seen, but not long enough
	doubtedAt time.Time
	archive   archiveState
}

// archiveState follows the archive that current.json names.
type archiveState struct {
	told   string // token; empty: missing
	seen   string
	seenAt time.Time
}

// poke makes the app be looked at.
func (a *appWatch) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *appWatch) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.gone:
			return
		case <-a.wake:
			a.failures = 0 // somebody knows better
			if !sleep(ctx, settle) {
				return
			}
			select {
			case <-a.wake:
			default:
			}
		case <-timer.C:
		}
		timer.Reset(a.pace(a.look(ctx)))
	}
}

// sleep waits and says whether ctx is still going on.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// look tells of what changed, and returns when to look again.
func (a *appWatch) look(ctx context.Context) time.Duration {
	cur, err := a.watcher.source.currentOrKept(ctx, a.app, &a.kept)
	if ctx.Err() != nil {
		return 0
	}
	again := a.pollInterval()
	a.count(err)
	if err != nil {
		return min(again, a.lookAtError(ctx, err))
	}
	a.doubt = ""
	if state := "content " + cur.Token; state != a.told {
		// The archive's state from before the change is told: whatever becomes of it afterwards is a change.
		a.follow(ctx, cur)
		mended := a.last.Err != nil && !errors.Is(a.last.Err, ErrNotFound)
		a.tell(ctx, state, Change{App: a.app, Current: cur, Mended: mended})
		return again
	}
	return min(again, a.lookAtArchive(ctx, cur))
}

func (a *appWatch) pollInterval() time.Duration {
	w := a.watcher
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.source.Bucket.(Notifier); ok && !w.notified {
		return min(a.interval, fastPoll)
	}
	return a.interval
}

// lookAtError tells of an error that lasts, and returns how much longer it must.
func (a *appWatch) lookAtError(ctx context.Context, err error) time.Duration {
	state := "error " + err.Error()
	if state == a.told {
		a.doubt = ""
		return whenever
	}
	now := time.Now()
	if a.doubt != state {
		a.doubt, a.doubtedAt = state, now
	}
	// An object far away is never half written, and its bucket was asked more than once already.
	if left := a.doubtedAt.Add(confirm).Sub(now); left > 0 && !a.watcher.remote() {
		return left
	}
	a.doubt = ""
	a.tell(ctx, state, Change{App: a.app, Err: err})
	return whenever
}

// follow begins to follow the archive that cur names.
func (a *appWatch) follow(ctx context.Context, cur Current) {
	key := ArchiveKey(a.app, cur.Version)
	w := a.watcher
	w.mu.Lock()
	if a.archiveKey != key {
		a.archiveKey = key
		w.renotify()
	}
	w.mu.Unlock()
	token, _ := a.archiveToken(ctx, cur)
	a.archive = archiveState{told: token, seen: token}
}

// lookAtArchive tells of an archive that changed and stays so, and returns how much longer it must.
//
// Of a bucket far away it is asked for only as long as it is missing: an archive that takes the place of another there
// comes with another current.json, which names its sha256.
func (a *appWatch) lookAtArchive(ctx context.Context, cur Current) time.Duration {
	if a.watcher.remote() && a.archive.told != "" {
		return whenever
	}
	token, err := a.archiveToken(ctx, cur)
	if err != nil {
		return whenever // the bucket's trouble is no change of the archive
	}
	now := time.Now()
	if token != a.archive.seen {
		a.archive.seen, a.archive.seenAt = token, now
	}
	if token == a.archive.told {
		return whenever
	}
	if left := a.archive.seenAt.Add(archiveSettle).Sub(now); left > 0 && !a.watcher.remote() {
		return left
	}
	a.archive.told = token
	a.tell(ctx, a.told, Change{App: a.app, Current: cur, ArchiveChanged: true})
	return whenever
}

// archiveToken is the token of the archive, or nothing if there is none.
func (a *appWatch) archiveToken(ctx context.Context, cur Current) (string, error) {
	info, err := a.watcher.source.stat(ctx, ArchiveKey(a.app, cur.Version))
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	return info.Token, err
}

func (a *appWatch) tell(ctx context.Context, state string, c Change) {
	a.watcher.callMu.Lock()
	defer a.watcher.callMu.Unlock()
	select {
	case <-a.gone:
		return
	default:
	}
	if ctx.Err() != nil {
		return
	}
	a.told, a.last = state, c
	a.watcher.changed(c)
}
