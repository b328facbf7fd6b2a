package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/node"
)

// registration watches whether somebody else has the daemon's name at the port mapper.
type registration struct {
	node *node.Node
	name node.Name

	mu    sync.Mutex
	since time.Time // first seen; zero: all is well
}

// problems are those that the status of the daemon shows.
func (r *registration) problems() []api.Problem {
	now, cancel := context.WithCancel(context.Background())
	cancel() // it is not waited for
	err := r.node.Registered(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !errors.Is(err, node.ErrNameTaken) {
		r.since = time.Time{}
		return nil
	}
	if r.since.IsZero() {
		r.since = time.Now()
	}
	return []api.Problem{{
		Since:  api.Time{Time: r.since.UTC()},
		What:   fmt.Sprintf("another node is registered at the port mapper as %q, so this daemon is refused there (%v): instances and other nodes reach that one instead", r.name.Alive, err),
		Remedy: "end the other node (epmd -names shows its port, ss -ltnp its process), or give one of the two another node.name; registering is tried again every few seconds",
	}}
}
