package erlapi

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/node"
)

// maxText bounds the names and versions in arguments, in bytes.
const maxText = 255

// functionKey names a function.
type functionKey struct {
	name  etf.Atom
	arity int
}

func (k functionKey) String() string { return fmt.Sprintf("%s:%s/%d", moduleName, k.name, k.arity) }

// call is one call of a function.
type call struct {
	api      *API
	function functionKey
	peer     node.Name
	pid      etf.Pid // whoever called, as its node says
	args     []etf.Term

	// set by identify
	status   api.Status
	app      string // of the instance that the peer is; empty: it is none
	instance string
	right    Right

	wanted string // what was denied, for the log
}

// identify finds out who calls. An instance is one whose OS process runs.
func (c *call) identify(ctx context.Context) error {
	var err error
	if c.status, err = c.api.control.Status(ctx); err != nil {
		return err
	}
	name := c.peer.String()
	for _, app := range c.status.Apps {
		for _, i := range app.Instances {
			if i.Node == name && i.OSPID != 0 {
				c.app, c.instance = app.Name, i.Name
			}
		}
	}
	for _, g := range *c.api.grants.Load() {
		if ok, err := path.Match(g.Nodes, name); err == nil && ok { // the patterns were checked at the start
			c.right = max(c.right, g.Right)
		}
	}
	return nil
}

// may tells whether the caller may do something to an app, "" for all of them, that takes a right unless it is the
// caller's own app. Error: errDenied.
func (c *call) may(right Right, app string) error {
	if c.right >= right || app != "" && app == c.app {
		return nil
	}
	c.wanted = right.String()
	if app != "" {
		c.wanted += " " + app
	}
	return errDenied
}

// self is the instance that calls. Error: errDenied when it is none.
func (c *call) self() (api.Target, error) {
	if c.instance == "" {
		c.wanted = "to be an instance"
		return api.Target{}, errDenied
	}
	return api.Target{App: c.app, Instance: c.instance}, nil
}

// text is an argument that is a name or a version: a binary, a charlist or an atom.
func (c *call) text(i int, what string) (string, error) {
	s, ok := text(c.args[i])
	if !ok {
		return "", badArgument(what, "a binary, a string or an atom of 1 to 255 bytes")
	}
	return s, nil
}

func text(t etf.Term) (string, bool) {
	s, ok := etf.Text(t)
	return s, ok && s != "" && len(s) <= maxText
}

func badArgument(what, form string) error {
	return api.Errorf(api.CodeUsage, "%s must be %s", what, form)
}

// findApp is the status of an app. Error: that the app is not there.
func (c *call) findApp(name string) (api.App, error) {
	for _, a := range c.status.Apps {
		if a.Name == name {
			return a, nil
		}
	}
	return api.App{}, api.Errorf(api.CodeNotFound, "there is no app %q", name)
}

// target reads APP or APP/INSTANCE.
func (c *call) target(i int) (api.Target, error) {
	s, err := c.text(i, "what to restart")
	if err != nil {
		return api.Target{}, err
	}
	app, instance, found := strings.Cut(s, "/")
	if app == "" || found && (instance == "" || strings.Contains(instance, "/")) {
		return api.Target{}, badArgument("what to restart", "APP or APP/INSTANCE")
	}
	return api.Target{App: app, Instance: instance}, nil
}
