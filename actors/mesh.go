package actors

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/node"
)

const (
	meshFirst = 100 * time.Millisecond // from news to a look at it, so that news that comes together is looked at once
	meshCalls = 16                     // calls of one mesh at a time

	// meshPatience is after how many attempts in a row a pair that cannot be connected is told: after some twenty seconds
	// when each fails at once.
	meshPatience = 6
)

// mesh keeps the ready instances of one app connected to each other, and to those of AppSpec.MeshWith. It runs outside the actors, which do no more than
// wake it, and asks the instances themselves: erlang:nodes/0, and net_kernel:connect_node/1 where a sibling is missing.
type mesh struct {
	sys  *System
	app  string
	news chan struct{} // something may have changed; has room for one

	asked map[pair]asking // run's alone

	mu   sync.Mutex
	sees map[string][]string // instance → siblings it listed when it was last looked at, sorted
	lost map[pair]lost       // by key: those that were told
}

// pair is one instance that is to connect to another.
type pair struct{ asker, target string }

// key is the same whichever of the two is asked.
func (p pair) key() pair { return pair{min(p.asker, p.target), max(p.asker, p.target)} }

// asking is how often in a row a pair was asked to connect, since when, what came of it, and when it may be asked again.
type asking struct {
	n     int
	since time.Time
	err   error
	next  time.Time
}

// lost is a pair that cannot be connected.
type lost struct {
	pair  pair // as it was asked last
	since time.Time
	n     int
	err   error // nil: net_kernel:connect_node gave true, but they do not see each other
}

func (l lost) String() string {
	text := fmt.Sprintf("%s and %s are not connected after %d attempts", l.pair.asker, l.pair.target, l.n)
	if l.err != nil {
		text += ": " + short(l.err.Error())
	}
	return text
}

func newMesh(s *System, app string) *mesh {
	return &mesh{sys: s, app: app, news: make(chan struct{}, 1), asked: make(map[pair]asking), lost: make(map[pair]lost)}
}

// unconnected lists the pairs that are to be connected, each once, from what each instance sees (sorted). Where only one
// of the two sees the other, the other one is asked. Pairs that concern gives false for are none; nil: all are.
func unconnected(sees map[string][]string, concern func(pair) bool) []pair {
	var pairs []pair
	names := slices.Sorted(maps.Keys(sees))
	for i, a := range names {
		for _, b := range names[i+1:] {
			if concern != nil && !concern(pair{a, b}) {
				continue
			}
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

// settled says whether all that are ready have answered, none sees one that is not, and no pair is missing.
func settled(ready []string, sees map[string][]string, missing []pair) bool {
	for _, name := range ready {
		list, answered := sees[name]
		if !answered || slices.ContainsFunc(list, func(other string) bool { return !slices.Contains(ready, other) }) {
			return false
		}
	}
	return len(missing) == 0
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
		if a.n == 0 {
			a.since = now
		}
		a.n++
		a.next = now.Add(wait)
		asked[p.key()] = a
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
	apps := m.apps()
	ready := m.ready(apps)
	sees := m.look(ctx, apps, ready)
	missing := unconnected(sees, m.concerns)
	pairs := due(m.asked, missing, time.Now())
	if len(pairs) > 0 {
		m.connect(ctx, pairs)
		ready = m.ready(apps)
		sees = m.look(ctx, apps, ready)
		missing = unconnected(sees, m.concerns)
	}
	if m.sys.ctx.Err() == nil && ctx.Err() == nil {
		m.tell(ready, sees, missing)
	}
	return settled(ready, sees, missing)
}

// apps are the app and those it is connected with.
func (m *mesh) apps() []string {
	spec, _ := m.sys.spec(m.app)
	return append([]string{m.app}, spec.MeshWith...)
}

// ready are the ready instances of apps.
func (m *mesh) ready(apps []string) []string {
	var list []string
	for _, app := range apps {
		list = append(list, m.sys.board.ready(app)...)
	}
	return list
}

// concerns says whether one of the two is of the app: how others are connected to each other is not its business.
func (m *mesh) concerns(p pair) bool {
	a, _ := AppOf(p.asker)
	b, _ := AppOf(p.target)
	return a == m.app || b == m.app
}

// tell notes which pairs cannot be connected, and which can again.
func (m *mesh) tell(ready []string, sees map[string][]string, missing []pair) {
	now := make(map[pair]lost, len(missing))
	for _, p := range missing {
		if a := m.asked[p.key()]; a.n >= meshPatience {
			now[p.key()] = lost{pair: p, since: a.since, n: a.n, err: a.err}
		}
	}
	m.mu.Lock()
	before := m.lost
	for key, l := range before {
		_, a := sees[key.asker]
		_, b := sees[key.target]
		_, still := now[key]
		if !still && !(a && b) && slices.Contains(ready, key.asker) && slices.Contains(ready, key.target) {
			now[key] = l // one of them did not answer
		}
	}
	m.lost = now
	m.mu.Unlock()
	for key, l := range now {
		if _, told := before[key]; told {
			continue
		}
		m.sys.emit(api.Event{
			Type: api.EventSiblingLost, Level: "warning", App: m.app, Instance: l.pair.asker, Message: l.String(),
			Data: map[string]any{"sibling": l.pair.target, "attempts": l.n},
		})
	}
	for key, l := range before {
		if _, still := now[key]; still || !slices.Contains(ready, key.asker) || !slices.Contains(ready, key.target) {
			continue
		}
		m.sys.emit(api.Event{
			Type: api.EventSiblingBack, App: m.app, Instance: l.pair.asker,
			Message: fmt.Sprintf("%s and %s are connected again", l.pair.asker, l.pair.target), Data: map[string]any{"sibling": l.pair.target},
		})
	}
}

// look asks each instance which siblings it sees. One that is not connected to us or does not answer is left out.
func (m *mesh) look(ctx context.Context, apps, ready []string) map[string][]string {
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
		answers[i] = siblingsIn(t, apps, peer.Host)
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

// siblingsIn gives the instances of apps in a list of nodes, sorted; those that are gone too. It is nil when t is no list.
func siblingsIn(t etf.Term, apps []string, host string) []string {
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
		if of, ok := AppOf(name.Alive); ok && slices.Contains(apps, of) {
			names = append(names, name.Alive)
		}
	}
	slices.Sort(names)
	return names
}

// connect asks one of each pair to connect to the other.
func (m *mesh) connect(ctx context.Context, pairs []pair) {
	errs := make([]error, len(pairs))
	each(len(pairs), func(i int) {
		p := pairs[i]
		ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		t, err := m.sys.cfg.Cluster.Call(ctx, m.sys.nodeName(p.asker), "net_kernel", "connect_node", etf.Atom(m.sys.nodeName(p.target).String()))
		if err == nil && t != etf.Atom("true") {
			err = errors.New("connect_node gave " + short(etf.Format(t)))
		}
		errs[i] = err
		switch {
		case m.sys.ctx.Err() != nil:
		case err != nil:
			m.sys.log.Warn("siblings are not connected", "app", m.app, "instance", p.asker, "sibling", p.target, "err", err)
		default:
			m.sys.log.Info("siblings connected", "app", m.app, "instance", p.asker, "sibling", p.target)
		}
	})
	for i, p := range pairs {
		a := m.asked[p.key()]
		a.err = errs[i]
		m.asked[p.key()] = a
	}
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

// wakeMesh tells the meshes that an app is in that something may have changed.
func (s *System) wakeMesh(app string) {
	for _, e := range s.roster.all() {
		if e.mesh != nil && (e.spec.Name == app || slices.Contains(e.spec.MeshWith, app)) {
			e.mesh.wake()
		}
	}
}

// meshProblems are the pairs of an app's mesh that cannot be connected.
func (s *System) meshProblems(app string) []api.Problem {
	m := s.meshOf(app)
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []api.Problem
	for _, l := range m.lost {
		of, _ := AppOf(l.pair.target)
		list = append(list, api.Problem{
			Since: api.Time{Time: l.since.UTC()}, What: l.String(),
			Remedy: fmt.Sprintf("see \"beamkeeper doctor dist %s/%s\"; it is tried again", of, l.pair.target),
		})
	}
	slices.SortFunc(list, func(a, b api.Problem) int { return strings.Compare(a.What, b.What) })
	return list
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
