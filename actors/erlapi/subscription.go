package erlapi

import (
	"context"
	"slices"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/node"
)

// atomEvent tags the message {beamkeeper_event, Event}.
const atomEvent etf.Atom = "beamkeeper_event"

// subscription sends events to one process until that ends, its node goes down, or it says unsubscribe.
//
// Nothing is queued for a subscriber: its goroutine reads the events that the daemon keeps, at the pace at which its
// link takes them. Whoever is slow gets them late, and misses those that the daemon has meanwhile thrown away (it keeps
// the last 10,000); nobody else waits for it.
type subscription struct {
	pid     etf.Pid
	peer    node.Name
	process *node.Process // events come from it; it monitors the subscriber, and may be monitored
	cancel  context.CancelFunc
}

// Receive ends the subscription when the subscriber has ended.
func (s *subscription) Receive(_ *node.Process, sig node.Signal) {
	switch sig := sig.(type) {
	case node.Down:
		s.cancel()
	case node.Exit:
		if sig.From == s.pid || sig.Killed {
			s.cancel()
		}
	}
}

// filter says which events a subscriber gets.
type filter struct {
	app   string   // empty: all
	types []string // empty: all
	since uint64   // events with a higher ID
	fresh bool     // since was not given: from now on
}

func (f filter) wants(e api.Event) bool {
	return (f.app == "" || f.app == e.App) && (len(f.types) == 0 || slices.Contains(f.types, e.Type))
}

// subscribe is subscribe(), subscribe(Pid) and subscribe(Options). It answers {ok, Pid} with the process that the
// events come from.
func subscribe(ctx context.Context, c *call) (etf.Term, error) {
	pid, f, err := c.subscriber()
	if err != nil {
		return nil, err
	}
	if f.app == "" && c.right < Read {
		f.app = c.app
	}
	if err := c.may(Read, f.app); err != nil {
		return nil, err
	}
	if f.app != "" {
		if _, err := c.findApp(f.app); err != nil {
			return nil, err
		}
	}
	a := c.api
	if f.fresh {
		f.since = a.control.LastEvent()
	}
	s := &subscription{pid: pid, peer: c.peer}
	var sub context.Context
	sub, s.cancel = context.WithCancel(a.ctx)
	s.process = a.c.Node.Spawn(s)
	if err := a.add(s); err != nil {
		s.end()
		return nil, err
	}
	if _, err := s.process.Monitor(ctx, node.ToPid(pid)); err != nil {
		a.remove(s)
		s.end()
		return nil, api.Errorf(api.CodeFailed, "the subscriber cannot be monitored: %v", err)
	}
	if !a.soon(func() { a.feed(sub, s, f) }) {
		a.remove(s)
		s.end()
		return nil, api.Errorf(api.CodeRefused, "the daemon is stopping")
	}
	return etf.Tuple{atomOK, s.process.Pid()}, nil
}

// unsubscribe is unsubscribe() and unsubscribe(Pid), where Pid is the subscriber.
func unsubscribe(_ context.Context, c *call) (etf.Term, error) {
	pid, _, err := c.subscriber()
	if err != nil {
		return nil, err
	}
	a := c.api
	a.mu.Lock()
	s := a.subscriptions[pid]
	a.mu.Unlock()
	if s != nil {
		s.cancel()
	}
	return atomOK, nil
}

// subscriber reads the argument: nothing, a pid, or #{pid, app, types, since}. The pid is the caller's unless given, and
// always one of the caller's node: nobody is to be sent events that it has not asked for.
func (c *call) subscriber() (pid etf.Pid, f filter, err error) {
	pid, f.fresh = c.pid, true
	if len(c.args) == 1 {
		switch arg := c.args[0].(type) {
		case etf.Pid:
			pid = arg
		case etf.Map:
			for _, p := range arg {
				if err := f.option(p, &pid); err != nil {
					return pid, f, err
				}
			}
		default:
			return pid, f, badArgument("the argument", "a pid or a map of options")
		}
	}
	if pid.Node != c.peer.Atom() {
		return pid, f, badArgument("the subscriber", "a process of the calling node")
	}
	return pid, f, nil
}

// option reads one pair of the options.
func (f *filter) option(p etf.MapPair, pid *etf.Pid) (err error) {
	ok := false
	key, _ := p.Key.(etf.Atom)
	switch key {
	case "pid":
		if *pid, ok = p.Value.(etf.Pid); !ok {
			return badArgument("pid", "a pid")
		}
	case "app":
		if f.app, ok = text(p.Value); !ok {
			return badArgument("app", "a binary, a string or an atom of 1 to 255 bytes")
		}
	case "since":
		n, ok := p.Value.(int64)
		if !ok || n < 0 {
			return badArgument("since", "the id of an event, or 0")
		}
		f.since, f.fresh = uint64(n), false
	case "types":
		list, ok := p.Value.(etf.List)
		if !ok || len(list) > 64 {
			return badArgument("types", "a list of up to 64 types of events")
		}
		for _, t := range list {
			s, ok := text(t)
			if !ok {
				return badArgument("types", "a list of types of events, such as crash_restart")
			}
			f.types = append(f.types, s)
		}
	default:
		return badArgument("the keys of the options", "pid, app, types or since")
	}
	return nil
}

// add notes a subscription. One process has one: a second takes the place of the first.
func (a *API) add(s *subscription) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, other := range a.subscriptions {
		if other.peer == s.peer && other.pid != s.pid {
			n++
		}
	}
	if n >= a.c.MaxSubscriptions {
		return api.Errorf(api.CodeRefused, "processes of %s have %d subscriptions already", s.peer, n)
	}
	if old := a.subscriptions[s.pid]; old != nil {
		old.cancel()
	}
	a.subscriptions[s.pid] = s
	return nil
}

func (a *API) remove(s *subscription) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.subscriptions[s.pid] == s {
		delete(a.subscriptions, s.pid)
	}
}

// end ends the process that the events come from, which those see who monitor it.
func (s *subscription) end() {
	s.cancel()
	s.process.Exit(etf.Atom("shutdown"))
}

// feed sends the events until ctx ends.
func (a *API) feed(ctx context.Context, s *subscription, f filter) {
	defer s.end()
	defer a.remove(s)
	// Reply sends {Tag, Value} to a pid without ever dialing its node: one that is gone is not to be dialed for this.
	to := node.GenCall{From: s.pid, Tag: atomEvent}
	err := a.control.Events(ctx, f.since, true, func(e api.Event) bool {
		return !f.wants(e) || s.process.Reply(ctx, to, termOf(e)) == nil
	})
	if err != nil && ctx.Err() == nil {
		a.c.Log.Error("subscription to events", "peer", s.peer.String(), "err", err)
	}
}
