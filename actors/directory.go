package actors

import (
	"maps"
	"sync"

	"ergo.services/ergo/gen"
)

// directory says which actor has which name. Ergo's own names are not used: it makes a name known before the process has
// its mailbox (node.spawn of v3.2), so that whoever sends to the name of an actor that is just being started again races
// with that.
type directory struct {
	mu      sync.Mutex
	claimed map[gen.Atom]gen.PID // by actors that have begun to exist
	there   map[gen.Atom]gen.PID // by those that can be sent to
}

func newDirectory() *directory {
	return &directory{claimed: make(map[gen.Atom]gen.PID), there: make(map[gen.Atom]gen.PID)}
}

// claim is called by an actor as the first thing it does.
func (d *directory) claim(name gen.Atom, pid gen.PID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.claimed[name] = pid
}

// taken says whether an actor of that name has begun to exist.
func (d *directory) taken(name gen.Atom) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.claimed[name]
	return ok
}

// open is called by who spawned pid, when that is done, and returns the name.
func (d *directory) open(pid gen.PID) (name gen.Atom, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, p := range d.claimed {
		if p == pid {
			d.there[name] = pid
			return name, true
		}
	}
	return "", false
}

// pid is the actor of that name; ok is false when there is none just now.
func (d *directory) pid(name gen.Atom) (pid gen.PID, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	pid, ok = d.there[name]
	return pid, ok
}

// all gives the actors that can be sent to.
func (d *directory) all() map[gen.Atom]gen.PID {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.there)
}

// empty says whether no actor exists.
func (d *directory) empty() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.claimed) == 0
}

// leave is called by an actor as the last thing it does.
func (d *directory) leave(name gen.Atom, pid gen.PID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range []map[gen.Atom]gen.PID{d.claimed, d.there} {
		if m[name] == pid {
			delete(m, name)
		}
	}
}

// name is that of an actor that has begun to exist, "" for others.
func (d *directory) name(pid gen.PID) gen.Atom {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, p := range d.claimed {
		if p == pid {
			return name
		}
	}
	return ""
}
