package actors

import (
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// Steps of the readiness chain, in order.
const (
	stepProcess     = "process"     // the OS process runs
	stepNode        = "node"        // connected over distribution
	stepApplication = "application" // the OTP application is started
	stepProbe       = "probe"       // the configured probe passes
)

// States of a step.
const (
	linkWaiting = "waiting"
	linkPassed  = "passed"
	linkFailed  = "failed"
	linkSkipped = "skipped"
)

// chain is how far an OS process has come towards being ready. A step begins when the one before it has passed.
// It is a value: copies are independent.
type chain struct {
	steps [4]link
	n     int // steps passed or skipped
}

type link struct {
	name   string
	state  string // empty: not begun
	begun  time.Time
	ended  time.Time
	detail string
	cause  state.Cause // of what is waited for
}

// newChain begins a chain whose first step waits since now.
func newChain(now time.Time) chain {
	return chain{steps: [4]link{
		{name: stepProcess, state: linkWaiting, begun: now},
		{name: stepNode}, {name: stepApplication}, {name: stepProbe},
	}}
}

// pass ends the step that is waiting and begins the next.
func (c *chain) pass(now time.Time, detail string) { c.end(now, linkPassed, detail) }

// skip ends the step that is waiting as one that was not asked for.
func (c *chain) skip(now time.Time) { c.end(now, linkSkipped, "") }

func (c *chain) end(now time.Time, state, detail string) {
	if c.n == len(c.steps) {
		return
	}
	s := &c.steps[c.n]
	s.state, s.ended, s.detail = state, now, detail
	c.n++
	if c.n < len(c.steps) {
		c.steps[c.n].state, c.steps[c.n].begun = linkWaiting, now
	}
}

// wait says why the step that is waiting has not passed yet.
func (c *chain) wait(detail string, cause state.Cause) {
	if c.n < len(c.steps) {
		c.steps[c.n].detail, c.steps[c.n].cause = detail, cause
	}
}

// cause is whose fault it is that the step that is waiting has not passed.
func (c *chain) cause() state.Cause {
	if c.n == len(c.steps) {
		return ""
	}
	return c.steps[c.n].cause
}

// fail marks the step that is waiting as the one that the instance did not pass.
func (c *chain) fail(now time.Time, detail string) {
	if c.n == len(c.steps) {
		return
	}
	s := &c.steps[c.n]
	s.state, s.ended = linkFailed, now
	if detail != "" {
		s.detail = detail
	}
}

// ready says whether every step has passed.
func (c *chain) ready() bool { return c.n == len(c.steps) }

// missing is the step that has not passed, with what it waits for; empty when there is none.
func (c *chain) missing() (name, detail string) {
	if c.n == len(c.steps) {
		return "", ""
	}
	return c.steps[c.n].name, c.steps[c.n].detail
}

// view is the chain as status shows it. The age of a step is how long it has been waited for, or took.
func (c *chain) view(now time.Time) []api.Step {
	if c.steps[0].name == "" {
		return nil
	}
	var list []api.Step
	for _, s := range c.steps {
		if s.state == "" {
			break
		}
		end := s.ended
		if end.IsZero() {
			end = now
		}
		list = append(list, api.Step{Name: s.name, State: s.state, AgeMS: end.Sub(s.begun).Milliseconds(), Detail: s.detail})
	}
	return list
}
