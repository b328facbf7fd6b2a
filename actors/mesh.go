package actors

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

const (
	meshFirst = 100 * time.Millisecond // from news to a look at it, so that news that comes together is looked at once
	meshCalls = 16                     // calls of one mesh at a time
)

// mesh keeps the ready instances of one app connected to each other. It runs outside the actors, which do no more than
// wake it, and asks the instances themselves: erlang:nodes/0, and net_kernel:connect_node/1 where a sibling is missing.
type mesh struct {
	sys  *System
	app  string
	news chan struct{} // something may have changed; has room for one

	asked map[pair]asking // run's alone

	mu   sync.Mutex
	sees map[string][]string // instance → siblings it listed when it was last looked at, sorted
}

// pair is one instance that is to connect to another.
type pair struct{ asker, target string }

// key is the same whichever of the two is asked.
func (p pair) key() pair { return pair{min(p.asker, p.target), max(p.asker, p.target)} }

// asking is how often in a row a pair was asked to connect, and when it may be asked again.
type asking struct {
	n    int
	next time.Time
}

func newMesh(s *System, app string) *mesh {
	return &mesh{sys: s, app: app, news: make(chan struct{}, 1), asked: make(map[pair]asking)}
}

// unconnected lists the pairs that are to be connected, each once, from what each instance sees (sorted). Where only one
// of the two sees the other, the other one is asked.
func unconnected(sees map[string][]string) []pair {
	var pairs []pair
	names := slices.Sorted(maps.Keys(sees))
	for i, a := range names {
		for _, b := range names[i+1:] {
			_, ab := slices.BinarySearch(sees[a], b)
			_, ba := slices.BinarySearch(sees[b], a)
			switch {
			case ab && ba:
			case ab:
				pairs = append(pairs, pair{asker: b, target: a})
			default:
				pairs = append(pairs, pair{asker: a, target: b})
			}
		}
	}
	return pairs
}

// settled says whether all that are ready have answered, and each sees exactly the others.
func settled(ready []string, sees map[string][]string) bool {
	for _, name := range ready {
		if list, answered := sees[name]; !answered || len(list) != len(ready)-1 {
			return false
		}
	}
	return len(unconnected(sees)) == 0
}

// due gives those of the unconnected pairs that may be asked now, and notes that they are. The n-th time in a row waits
// twice as long as the one before, up to reconnectMax; a pair that has been connected begins anew.
func due(asked map[pair]asking, pairs []pair, now time.Time) []pair {
	missing := make(map[pair]bool, len(pairs))
	var list []pair
	for _, p := range pairs {
		missing[p.key()] = true
		a := asked[p.key()]
		if now.Before(a.next) {
			continue
		}
		wait := reconnectMax
		if a.n < 10 {
			wait = min(reconnectFirst<<a.n, reconnectMax)
		}
		asked[p.key()] = asking{n: a.n + 1, next: now.Add(wait)}
		list = append(list, p)
	}
	maps.DeleteFunc(asked, func(p pair, _ asking) bool { return !missing[p] })
	return list
}

// run looks at the mesh soon after each wake, again and again while something is missing, and else now and then: that two
// instances lost each other is told to nobody else.
func (m *mesh) run(ctx context.Context) {
	delay := meshFirst
	at := time.Now().Add(delay)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.news:
			delay = meshFirst
			if soon := time.Now().Add(delay); soon.Before(at) {
				at = soon
				timer.Reset(delay)
			}
			continue
		case <-timer.C:
		}
		if m.round(ctx) {
			delay = lookAgain
		} else {
			delay = min(2*delay, lookAgain)
		}
		at = time.Now().Add(delay)
		timer.Reset(delay)
	}
}

// wake tells the mesh that something may have changed.
func (m *mesh) wake() {
	select {
	case m.news <- struct{}{}:
	default: // it knows
	}
}

// round looks at all instances once and has those connected that are not. ok says that nothing is missing.
func (m *mesh) round(ctx context.Context) (ok bool) {
	defer func() {
		if r := recover(); r != nil {
			m.sys.log.Error("a mesh panicked", "app", m.app, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			ok = false
		}
	}()
	if m.sys.closing.Load() {
		return true
	}
	ready := m.sys.board.ready(m.app)
	sees := m.look(ctx, ready)
	pairs := due(m.asked, unconnected(sees), time.Now())
	if len(pairs) > 0 {
		m.connect(ctx, pairs)
		ready = m.sys.board.ready(m.app)
		sees = m.look(ctx, ready)
	}
	return settled(ready, sees)
}

// look asks each instance which siblings it sees. One that is not connected to us or does not answer is left out.
func (m *mesh) look(ctx context.Context, ready []string) map[string][]string {
	answers := make([][]string, len(ready))
	each(len(ready), func(i int) {
		peer := m.sys.nodeName(ready[i])
		if !m.sys.cfg.Cluster.Connected(peer) {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		t, err := m.sys.cfg.Cluster.Call(ctx, peer, "erlang", "nodes")
		if err != nil {
			m.sys.log.Debug("nodes of an instance", "app", m.app, "instance", ready[i], "err", err)
			return
		}
		answers[i] = siblingsIn(t, m.app, peer.Host)
	})
	sees := make(map[string][]string, len(ready))
	for i, name := range ready {
		if answers[i] != nil {
			sees[name] = answers[i]
		}
	}
	m.mu.Lock()
	m.sees = sees // replaced, never changed
	m.mu.Unlock()
	return sees
}

// siblingsIn gives the instances of an app in a list of nodes, sorted; those that are gone too. It is nil when t is no
// list.
func siblingsIn(t etf.Term, app, host string) []string {
	list, ok := t.(etf.List)
	if !ok {
		return nil
	}
	names := []string{}
	for _, e := range list {
		atom, _ := e.(etf.Atom)
		name, err := node.ParseName(string(atom))
		if err != nil || name.Host != host {
			continue
		}
		if of, ok := AppOf(name.Alive); ok && of == app {
			names = append(names, name.Alive)
		}
	}
	slices.Sort(names)
	return names
}

// connect asks one of each pair to connect to the other.
func (m *mesh) connect(ctx context.Context, pairs []pair) {
	each(len(pairs), func(i int) {
		p := pairs[i]
		ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		t, err := m.sys.cfg.Cluster.Call(ctx, m.sys.nodeName(p.asker), "net_kernel", "connect_node", etf.Atom(m.sys.nodeName(p.target).String()))
		if err == nil && t != etf.Atom("true") {
			err = errors.New("connect_node gave " + short(etf.Format(t)))
		}
		switch {
		case m.sys.ctx.Err() != nil:
		case err != nil:
			m.sys.log.Warn("siblings are not connected", "app", m.app, "instance", p.asker, "sibling", p.target, "err", err)
		default:
			m.sys.log.Info("siblings connected", "app", m.app, "instance", p.asker, "sibling", p.target)
		}
	})
}

// each calls f with 0 to n-1, meshCalls at a time, and waits for all.
func each(n int, f func(i int)) {
	var all sync.WaitGroup
	room := make(chan struct{}, meshCalls)
	for i := range n {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			f(i)
		})
	}
	all.Wait()
}

// wakeMesh tells an app's mesh, if it has one, that something may have changed.
func (s *System) wakeMesh(app string) {
	if m := s.meshOf(app); m != nil {
		m.wake()
	}
}

// siblings are those that an instance sees, nil when that is not known or its app is no mesh.
func (s *System) siblings(app, instance string) []string {
	m := s.meshOf(app)
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sees[instance]
}
