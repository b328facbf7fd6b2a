package actors

import (
	"context"
	"slices"
	"sync"
	"time"
)

// roster is the apps that there are, with their defaults, in the order of the configuration. Everybody reads it; Apply
// and the managers of apps that are gone change it.
type roster struct {
	mu   sync.RWMutex
	apps []entry
}

// entry is one app of the roster.
type entry struct {
	spec    AppSpec
	since   time.Time // when spec was last changed
	leaving bool      // removed from the configuration: its instances are stopped
	mesh    *mesh
	endMesh context.CancelFunc
}

func (r *roster) find(app string) (entry, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, e := range r.apps {
		if e.spec.Name == app {
			return e, true
		}
	}
	return entry{}, false
}

func (r *roster) all() []entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.apps)
}

// set replaces the roster.
func (r *roster) set(apps []entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.apps = apps
}

// spec is what the configuration says about an app now. An app that is being removed has one too.
func (s *System) spec(app string) (AppSpec, bool) {
	e, ok := s.roster.find(app)
	return e.spec, ok
}

// has says whether there is an app of that name.
func (s *System) has(app string) bool {
	_, ok := s.roster.find(app)
	return ok
}

// apps lists the apps in the order of the configuration, then those that are being removed.
func (s *System) apps() []AppSpec {
	var list []AppSpec
	for _, e := range s.roster.all() {
		list = append(list, e.spec)
	}
	return list
}

// meshOf is the app's mesh, nil when it has none.
func (s *System) meshOf(app string) *mesh {
	e, _ := s.roster.find(app)
	return e.mesh
}

// withMesh starts the mesh of an entry that should have one and ends that of one that should not.
func (s *System) withMesh(e entry) entry {
	switch want := e.spec.Mesh && !e.leaving; {
	case want && e.mesh == nil:
		ctx, cancel := context.WithCancel(s.ctx)
		e.mesh, e.endMesh = newMesh(s, e.spec.Name), cancel
		m := e.mesh
		s.jobs.Go(func() { m.run(ctx) })
	case !want && e.mesh != nil:
		e.endMesh()
		e.mesh, e.endMesh = nil, nil
	}
	return e
}
