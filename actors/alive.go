package actors

import (
	"context"
	"fmt"
	"time"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// msgPing goes to every actor, which only says that it was there to take it.
type msgPing struct {
	name gen.Atom
	pong chan<- gen.Atom // has room for the answer
}

// answered says whether message was a ping, and answers it.
func answered(message any) bool {
	p, ok := message.(msgPing)
	if ok {
		p.pong <- p.name
	}
	return ok
}

// Alive returns nil once every actor of the tree has answered, and otherwise when ctx ends, with the name of one that has
// not. An actor that is started again meanwhile counts as alive; a tree without root does not.
func (s *System) Alive(ctx context.Context) error {
	asked := s.dir.all()
	pong := make(chan gen.Atom, len(asked))
	for name, pid := range asked {
		if s.ergo.Ergo().Send(pid, msgPing{name, pong}) != nil {
			delete(asked, name) // it has ended
		}
	}
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		_, rooted := s.dir.pid(rootActor)
		if rooted && len(asked) == 0 {
			return nil
		}
		select {
		case name := <-pong:
			delete(asked, name)
		case <-look.C:
			for name, pid := range asked {
				if now, ok := s.dir.pid(name); !ok || now != pid {
					delete(asked, name)
				}
			}
		case <-ctx.Done():
			for name := range asked {
				return fmt.Errorf("actors: %s does not answer: %w", name, ctx.Err())
			}
			return fmt.Errorf("actors: the tree has no root: %w", ctx.Err())
		}
	}
}

// Counts is how many apps there are, how many instances, and how many of these are running. It waits for nothing.
func (s *System) Counts() (apps, instances, running int) {
	apps = len(s.apps())
	s.board.mu.Lock()
	defer s.board.mu.Unlock()
	for _, v := range s.board.instances {
		instances++
		if v.state == api.StateRunning {
			running++
		}
	}
	return apps, instances, running
}
