package erlapi

import (
	"context"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/api"
)

// function does what a call asks for. Errors: errDenied, *api.Error.
type function func(ctx context.Context, c *call) (etf.Term, error)

// functions are all there are. docs/erlang-api.md describes each.
var functions = map[functionKey]function{
	{"status", 0}:      status,
	{"status", 1}:      statusOfApp,
	{"instances", 1}:   instances,
	{"history", 1}:     history,
	{"ready", 0}:       ready,
	{"deploy", 2}:      deploy,
	{"restart", 0}:     restartSelf,
	{"restart", 1}:     restart,
	{"drain", 0}:       drain,
	{"subscribe", 0}:   subscribe,
	{"subscribe", 1}:   subscribe,
	{"unsubscribe", 0}: unsubscribe,
	{"unsubscribe", 1}: unsubscribe,
}

const (
	atomOK      etf.Atom = "ok"
	atomCurrent etf.Atom = "current"
)

func success(v any) (etf.Term, error) { return etf.Tuple{atomOK, termOf(v)}, nil }

// status is the whole status to those who may read it, to an instance that of its own app.
func status(_ context.Context, c *call) (etf.Term, error) {
	st := c.status
	if c.right >= Read {
		return success(st)
	}
	if err := c.may(Read, c.app); err != nil {
		return nil, err
	}
	own, err := c.findApp(c.app)
	if err != nil {
		return nil, err
	}
	st.Apps, st.Problems = []api.App{own}, nil
	return success(st)
}

// readable is the app that the first argument names, if the caller may see it.
func readable(c *call) (api.App, error) {
	name, err := c.text(0, "the app")
	if err != nil {
		return api.App{}, err
	}
	if err := c.may(Read, name); err != nil {
		return api.App{}, err
	}
	return c.findApp(name)
}

func statusOfApp(_ context.Context, c *call) (etf.Term, error) {
	app, err := readable(c)
	if err != nil {
		return nil, err
	}
	return success(app)
}

func instances(_ context.Context, c *call) (etf.Term, error) {
	app, err := readable(c)
	if err != nil {
		return nil, err
	}
	return success(app.Instances)
}

func history(ctx context.Context, c *call) (etf.Term, error) {
	app, err := readable(c)
	if err != nil {
		return nil, err
	}
	list, err := c.api.control.History(ctx, app.Name)
	if err != nil {
		return nil, err
	}
	return success(list)
}

// ready notes that the calling instance says it is ready, which readiness.probe: {api: true} waits for.
func ready(ctx context.Context, c *call) (etf.Term, error) {
	self, err := c.self()
	if err != nil {
		return nil, err
	}
	if err := c.api.control.SaidReady(ctx, self); err != nil {
		return nil, err
	}
	c.note(self)
	return atomOK, nil
}

// deploy asks for a version; the atom current stands for the one that current.json names.
func deploy(ctx context.Context, c *call) (etf.Term, error) {
	app, err := c.text(0, "the app")
	if err != nil {
		return nil, err
	}
	version := ""
	if c.args[1] != etf.Term(atomCurrent) {
		if version, err = c.text(1, "the version"); err != nil {
			return nil, err
		}
	}
	if err := c.may(Deploy, app); err != nil {
		return nil, err
	}
	d, err := c.api.control.Deploy(c.asking(ctx), api.DeployRequest{App: app, Version: version})
	if err != nil {
		return nil, err
	}
	c.note(api.Target{App: app})
	return success(d)
}

func restartSelf(ctx context.Context, c *call) (etf.Term, error) {
	self, err := c.self()
	if err != nil {
		return nil, err
	}
	return c.restart(ctx, self)
}

func restart(ctx context.Context, c *call) (etf.Term, error) {
	t, err := c.target(0)
	if err != nil {
		return nil, err
	}
	if err := c.may(Admin, t.App); err != nil {
		return nil, err
	}
	return c.restart(ctx, t)
}

func (c *call) restart(ctx context.Context, t api.Target) (etf.Term, error) {
	if err := c.api.control.Restart(c.asking(ctx), t); err != nil {
		return nil, err
	}
	c.note(t)
	return atomOK, nil
}

// drain has the calling instance stopped as an operator would: its node is asked to end, and it stays stopped until it
// is started again. It answers before that has begun, as the caller will not be there when it is over.
func drain(_ context.Context, c *call) (etf.Term, error) {
	self, err := c.self()
	if err != nil {
		return nil, err
	}
	a := c.api
	begun := a.soon(func() {
		if err := a.control.Stop(c.asking(a.ctx), self); err != nil && a.ctx.Err() == nil {
			a.c.Log.Error("instance that asked to be drained", "instance", self.Instance, "err", err)
		}
	})
	if !begun {
		return nil, api.Errorf(api.CodeRefused, "the daemon is stopping")
	}
	c.note(self)
	return atomOK, nil
}

// asking is a context that says who asks.
func (c *call) asking(ctx context.Context) context.Context {
	who := api.Caller{UID: -1, GID: -1, PID: -1, Via: "erlang", Node: c.peer.String()}
	if c.instance != "" {
		who.Target = api.Target{App: c.app, Instance: c.instance}
	}
	return api.WithCaller(ctx, who)
}

// note logs what a node has had done.
func (c *call) note(t api.Target) {
	c.api.c.Log.Info("call of the Erlang API", "function", c.function.String(), "peer", c.peer.String(), "target", t.String())
}
