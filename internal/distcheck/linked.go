package distcheck

import (
	"context"
	"strings"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
)

// maxSkew is how far the clocks may be apart.
const maxSkew = 2 * time.Second

// linked asks a peer that the connection is up with about itself. One that does not answer, such as a node in another
// language, is left alone.
func (c *checker) linked(ctx context.Context, n *node.Node) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	release := ""
	if v, err := n.Call(ctx, c.peer, "erlang", "system_info", etf.Atom("otp_release")); err == nil {
		release = strings.Trim(etf.Format(v), `"`)
	}
	for _, p := range n.Peers() {
		if p.Name != c.peer {
			continue
		}
		c.flags(p.Flags, release)
		c.ok(StepCookie, "it is the same on both sides")
		if p.Hidden {
			c.ok(StepHidden, "the peer is a hidden node: nodes() does not show it, nodes(hidden) does, and global and pg leave it out")
		} else {
			c.ok(StepHidden, "the peer is visible; we are hidden: nodes() there does not show us, nodes(hidden) does")
		}
	}
	c.tick(ctx, n)
	c.clock(ctx, n)
	if v, err := n.Call(ctx, c.peer, "erlang", "nodes", etf.Atom("connected")); err == nil && c.peer != c.o.Self {
		c.link(v)
	}
}

// tick compares net_ticktime. A node sends something four times in its own net_ticktime, and takes a peer for dead
// that was silent for that long.
func (c *checker) tick(ctx context.Context, n *node.Node) {
	v, err := n.Call(ctx, c.peer, "net_kernel", "get_net_ticktime")
	if err != nil {
		return
	}
	if t, ok := v.(etf.Tuple); ok && len(t) == 2 { // {ongoing_change_to, T}
		v = t[1]
	}
	seconds, ok := v.(int64)
	if !ok {
		return
	}
	theirs, ours := time.Duration(seconds)*time.Second, c.o.NetTickTime
	remedy := "give both the same: node.net_ticktime_ms here; -kernel net_ticktime or net_kernel:set_net_ticktime/1 there"
	switch {
	case theirs == ours:
		c.ok(StepTick, "net_ticktime is %v on both sides", ours)
	case max(theirs, ours) >= 4*min(theirs, ours):
		c.fail(StepTick, remedy, "net_ticktime is %v there and %v here: the one with the shorter takes the other for dead between two ticks", theirs, ours)
	default:
		c.warn(StepTick, remedy, "net_ticktime is %v there and %v here: a dead peer is noticed sooner by one than by the other, and a quiet link may be cut", theirs, ours)
	}
}

func (c *checker) clock(ctx context.Context, n *node.Node) {
	before := c.o.Now()
	v, err := n.Call(ctx, c.peer, "os", "system_time", etf.Atom("millisecond"))
	after := c.o.Now()
	ms, ok := v.(int64)
	if err != nil || !ok {
		return
	}
	trip := after.Sub(before)
	skew := time.UnixMilli(ms).Sub(before.Add(trip / 2))
	where := "ahead of"
	if skew < 0 {
		where = "behind"
	}
	if skew.Abs() <= maxSkew+trip {
		c.ok(StepClock, "the clocks agree")
		return
	}
	c.warn(StepClock, "set the clocks of both hosts (timedatectl, chrony); certificates are judged by them", "the peer's clock is %v %s ours", skew.Abs().Round(time.Second), where)
}

// link tells whether the peer is connected with Self.
func (c *checker) link(connected etf.Term) {
	list, _ := connected.(etf.List)
	for _, t := range list {
		if t == etf.Term(c.o.Self.Atom()) {
			c.ok(StepLink, "the peer is connected with %s", c.o.Self)
			return
		}
	}
	if c.o.Running {
		c.ok(StepLink, "the peer is not connected with %s now; it can be", c.o.Self)
	}
}
