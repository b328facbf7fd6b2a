package actors

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/release"
)

// board is where actors put what others may see of them: a reader never waits for an actor, and an actor that is started
// again finds what it is to go on from.
type board struct {
	mu        sync.Mutex
	instances map[string]instanceView
	changes   map[string]change
	restarts  map[string]int // how often each actor was begun
	reasons   map[string]string
}

// instanceView is what an instance's actor shows.
type instanceView struct {
	app   string
	phase phase
	state api.InstanceState
	chain chain
	retry time.Time // in backoff: when it is started again
	note  string    // what is wrong now, empty when nothing is

	drained bool // is being stopped, and holds no port any more
}

// change is the last that is known of an app's current.json.
type change struct {
	release.Change
	at   time.Time
	told bool // the releases actor has dealt with it
}

func newBoard() *board {
	return &board{
		instances: make(map[string]instanceView), changes: make(map[string]change),
		restarts: make(map[string]int), reasons: make(map[string]string),
	}
}

// show replaces an instance's view and reports whether the reconciler would see a difference.
func (b *board) show(instance string, v instanceView) (moved bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, there := b.instances[instance]
	b.instances[instance] = v
	return !there || before.phase != v.phase || before.state != v.state || before.drained != v.drained
}

func (b *board) instance(name string) (instanceView, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v, ok := b.instances[name]
	return v, ok
}

// ready lists the instances of an app that are ready, sorted.
func (b *board) ready(app string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []string
	for name, v := range b.instances {
		if v.app == app && v.phase == phaseReady && v.state == api.StateRunning {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

func (b *board) names() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.instances))
}

func (b *board) removeInstance(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.instances, name)
}

func (b *board) putChange(c release.Change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := change{Change: c, at: time.Now()}
	before, ok := b.changes[c.App]
	switch {
	case !ok:
	case c.Err == nil && before.Err != nil && !before.told:
		next.Mended = true // for the watcher nothing was broken, or the break was never told
	}
	b.changes[c.App] = next
}

func (b *board) change(app string) (change, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.changes[app]
	return c, ok
}

// removeChange forgets the current.json of an app that is not watched any more.
func (b *board) removeChange(app string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.changes, app)
}

// untold returns the changes that the releases actor has not dealt with, and marks them as dealt with.
func (b *board) untold() []change {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []change
	for _, app := range slices.Sorted(maps.Keys(b.changes)) {
		if c := b.changes[app]; !c.told {
			c.told = true
			b.changes[app] = c
			list = append(list, c)
		}
	}
	return list
}

// failed notes why an actor ended.
func (b *board) failed(actor, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reasons[actor] = reason
}

// begun counts that an actor began. The first time is no restart: n is 0.
func (b *board) begun(actor string) (n int, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n = b.restarts[actor]
	b.restarts[actor]++
	reason = b.reasons[actor]
	delete(b.reasons, actor)
	return n, reason
}

// ended forgets an actor that ended for good.
func (b *board) ended(actor string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.restarts, actor)
	delete(b.reasons, actor)
}
