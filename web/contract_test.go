package web_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/web"
	"github.com/beamkeeper/beamkeeper/web/client"
)

// serve puts control on a socket in a folder of the test's own and returns the socket's path.
func serve(t *testing.T, control api.Control, o web.Options) (socket string, s *web.Server) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s.sock")
	return socket, serveAt(t, socket, control, o)
}

func serveAt(t *testing.T, socket string, control api.Control, o web.Options) *web.Server {
	t.Helper()
	ln, err := web.ListenUnix(socket)
	if err != nil {
		t.Fatal(err)
	}
	s := web.New(control, o)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln, s.Handler()) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

func newClient(t *testing.T, socket string) *client.Client {
	c := client.New(socket)
	t.Cleanup(c.Close)
	return c
}

// TestContract asks the same of a Control in process and of one behind the socket.
func TestContract(t *testing.T) {
	t.Parallel()
	t.Run("in process", func(t *testing.T) {
		t.Parallel()
		f := newFake()
		contract(t, f, f)
	})
	t.Run("over the socket", func(t *testing.T) {
		t.Parallel()
		f := newFake()
		socket, _ := serve(t, f, web.Options{Log: slog.New(slog.DiscardHandler)})
		contract(t, newClient(t, socket), f)
	})
}

func contract(t *testing.T, c api.Control, f *fakeControl) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()

	s, err := c.Status(ctx)
	if err != nil || len(s.Apps) != 1 || s.Apps[0].Instances[0].StartedAt.UnixMilli() != 1767323045678 || s.Apps[0].Instances[0].Ports["PORT"] != 4000 {
		t.Fatalf("Status = %+v, %v", s, err)
	}
	if ds, err := c.Deployments(ctx, "", 0); err != nil || len(ds) != 0 || ds == nil {
		t.Errorf("Deployments = %#v, %v, want an empty list", ds, err)
	}
	for _, v := range []string{"0.2.0", "0.3.0"} {
		if d, err := c.Deploy(ctx, api.DeployRequest{App: "sample", Version: v}); err != nil || d.To != v {
			t.Errorf("Deploy = %+v, %v", d, err)
		}
	}
	if ds, err := c.Deployments(ctx, "sample", 1); err != nil || len(ds) != 1 || ds[0].ID != "d2" {
		t.Errorf("Deployments = %+v, %v, want the last one", ds, err)
	}
	if err := c.AbortDeployment(ctx, "d2"); err != nil {
		t.Error(err)
	}
	if d, err := c.Deployment(ctx, "d2"); err != nil || d.Outcome != api.DeploymentAborted {
		t.Errorf("Deployment = %+v, %v", d, err)
	}
	contractVersions(ctx, t, c)
	contractTargets(ctx, t, c)
	contractReads(ctx, t, c)
	contractErrors(ctx, t, c)
	contractStreams(ctx, t, c, f)
}

func contractTargets(ctx context.Context, t *testing.T, c api.Control) {
	app, inst := api.Target{App: "sample"}, api.Target{App: "sample", Instance: "sample-abc123"}
	state := func() api.InstanceState {
		s, err := c.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return s.Apps[0].Instances[0].State
	}
	for _, target := range []api.Target{app, inst} {
		if err := c.Stop(ctx, target); err != nil || state() != api.StateStopped {
			t.Errorf("Stop(%s): %v, state %s", target, err, state())
		}
		if err := c.Start(ctx, target); err != nil || state() != api.StateRunning {
			t.Errorf("Start(%s): %v, state %s", target, err, state())
		}
		if err := c.Restart(ctx, target); err != nil {
			t.Errorf("Restart(%s): %v", target, err)
		}
	}
	var refused *api.Error
	if err := c.Purge(ctx, "sample"); !errors.As(err, &refused) || refused.Code != api.CodeRefused {
		t.Errorf("Purge = %v, want it refused", err)
	}
	if err := c.Scale(ctx, "sample", 0); err != nil {
		t.Error(err)
	}
	if s, _ := c.Status(ctx); s.Apps[0].Replicas != 0 || s.Apps[0].Instances[0].ForcedRestarts != 2 {
		t.Errorf("after scale and restarts: %+v", s.Apps[0])
	}
}

func contractReads(ctx context.Context, t *testing.T, c api.Control) {
	if h, err := c.History(ctx, "sample"); err != nil || len(h) != 1 || h[0].Kind != "full" {
		t.Errorf("History = %+v, %v", h, err)
	}
	if ns, err := c.Nodes(ctx); err != nil || len(ns) != 1 || ns[0].BytesIn != 1<<40 {
		t.Errorf("Nodes = %+v, %v", ns, err)
	}
	if r, err := c.RPC(ctx, api.RPCRequest{Target: api.Target{App: "sample"}, Call: "lists:seq(1,3)"}); err != nil || r.Text != "[1,2,3]" || r.Class != "" {
		t.Errorf("RPC = %+v, %v", r, err)
	}
	if r, err := c.RPC(ctx, api.RPCRequest{Target: api.Target{App: "sample"}, Call: "erlang:error(badarg)"}); err != nil || r.Class != "error" {
		t.Errorf("RPC = %+v, %v", r, err)
	}
}

func contractErrors(ctx context.Context, t *testing.T, c api.Control) {
	check := func(what string, err error, want api.Code, hint string) {
		t.Helper()
		var e *api.Error
		if !errors.As(err, &e) || e.Code != want || e.Hint != hint {
			t.Errorf("%s: %#v, want code %s and hint %q", what, err, want, hint)
		}
	}
	_, err := c.Deploy(ctx, api.DeployRequest{App: "nope"})
	check("deploy of an unknown app", err, api.CodeNotFound, "there is sample")
	_, err = c.Deploy(ctx, api.DeployRequest{App: "sample", Version: "ghost"})
	check("deploy of a ghost", err, api.CodeRefused, "clear it first")
	check("stop of an unknown instance", c.Stop(ctx, api.Target{App: "sample", Instance: "x/../y"}), api.CodeNotFound, "")
	_, err = c.Deployment(ctx, "a b/c")
	check("an unknown deployment", err, api.CodeNotFound, "")
	_, err = c.History(ctx, "nope")
	check("history of an unknown app", err, api.CodeNotFound, "there is sample")
	err = c.Logs(ctx, api.LogRequest{Target: api.Target{App: "nope"}, Follow: true}, func(api.LogLine) bool { return true })
	check("logs of an unknown app", err, api.CodeNotFound, "there is sample")
	err = c.Events(ctx, 5000, true, func(api.Event) bool { return true })
	check("events of a broken store", err, api.CodeFailed, "")
}

func contractStreams(ctx context.Context, t *testing.T, c api.Control, f *fakeControl) {
	var got []uint64
	if err := c.Events(ctx, 1, false, func(e api.Event) bool { got = append(got, e.ID); return true }); err != nil || len(got) != 2 || got[0] != 2 {
		t.Errorf("Events(1) = %v, %v, want 2 3", got, err)
	}
	var messages []string
	err := c.Events(ctx, 0, true, func(e api.Event) bool {
		messages = append(messages, e.Message)
		if e.ID == 3 {
			f.addEvent("later\ndata: not a field")
		}
		return e.ID < 4
	})
	if err != nil || len(messages) != 4 || messages[3] != "later\ndata: not a field" {
		t.Errorf("followed events = %q, %v", messages, err)
	}

	var lines []string
	read := func(l api.LogLine) bool { lines = append(lines, l.Stream+" "+l.Text); return true }
	if err := c.Logs(ctx, api.LogRequest{Target: api.Target{App: "sample"}}, read); err != nil || len(lines) != 2 || lines[0] != "stdout one <&> \u2028 two" {
		t.Errorf("Logs = %q, %v", lines, err)
	}
	lines = nil
	req := api.LogRequest{Target: api.Target{App: "sample"}, Follow: true, Stream: "stderr"}
	err = c.Logs(ctx, req, func(l api.LogLine) bool {
		if strings.HasPrefix(l.Text, "bad") {
			f.addLog(api.LogLine{Stream: "stderr", Text: "followed"})
		}
		return read(l) && l.Text != "followed"
	})
	if err != nil || len(lines) != 2 {
		t.Errorf("followed logs = %q, %v", lines, err)
	}
	f.addEvent("fail now")
	err = c.Events(ctx, 3, true, func(api.Event) bool { return true })
	var e *api.Error
	if !errors.As(err, &e) || e.Message != "the store broke" {
		t.Errorf("a stream that breaks: %v", err)
	}
}
