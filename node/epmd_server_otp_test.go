package node_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// TestEPMDServer_WithRealNodes has nodes of each OTP, and of ours, find each other by our port mapper.
func TestEPMDServer_WithRealNodes(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	serving := make(chan error, 1)
	srv := &node.EPMDServer{Log: slog.New(slog.NewTextHandler(testLog{t}, nil))}
	go func() { serving <- srv.Serve(context.Background(), l) }()

	var beams []*nodetest.Erl
	for _, otp := range nodetest.Want(t, "25", "27", "29") {
		beams = append(beams, nodetest.StartErl(t, otp, "beam"+otp.Release, cookie, port))
	}
	keeper := startNode(t, "keeper@localhost", port)
	for _, e := range beams {
		for _, other := range append(beams, &nodetest.Erl{Name: "keeper@localhost"}) {
			if got := e.Eval(fmt.Sprintf("net_adm:ping('%s')", other.Name)); got != "pong" {
				t.Errorf("%s pings %s: %s", e.Name, other.Name, got)
			}
		}
		if got := e.Eval("{ok, L} = net_adm:names(), lists:sort([N || {N, _} <- L])"); got != `["beam25","beam27","beam29","keeper"]` {
			t.Errorf("net_adm:names() on %s: %s", e.Name, got)
		}
		if got := e.Eval("{port, _, 6} = erl_epmd:port_please(\"keeper\", \"localhost\"), ok"); got != "ok" {
			t.Errorf("port_please on %s: %s", e.Name, got)
		}
		if err := keeper.Connect(ctx(t), nameOf(e)); err != nil {
			t.Error(err)
		}
	}

	// The name of a node that ended is free for the next.
	beams[0].Kill()
	again := nodetest.StartErl(t, beams[0].OTP, "beam25", cookie, port)
	if got := again.Eval("net_adm:ping(keeper@localhost)"); got != "pong" {
		t.Errorf("the second beam25 pings: %s", got)
	}

	// The program epmd of OTP asks it, and ends it when no node is there any more. A second epmd gives way to it.
	epmd, err := exec.LookPath("epmd")
	if err != nil {
		epmd = filepath.Join(beams[0].OTP.Bin, "epmd")
	}
	ask := func(args ...string) string {
		c, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		out, _ := exec.CommandContext(c, epmd, append([]string{"-port", fmt.Sprint(port), "-address", "127.0.0.1"}, args...)...).CombinedOutput() // its exit code says little
		return string(out)
	}
	if out := ask("-names"); strings.Count(out, "name ") != 4 || !strings.Contains(out, fmt.Sprintf("port %d", port)) {
		t.Errorf("epmd -names prints %q", out)
	}
	if out := ask("-kill"); !strings.Contains(out, "not allowed") {
		t.Errorf("epmd -kill with nodes prints %q", out)
	}
	if out := ask("-stop", "beam27"); again.Eval("element(1, erl_epmd:port_please(\"beam27\", \"localhost\"))") != "port" {
		t.Errorf("epmd -stop took a name away: %q", out)
	}
	ask() // would stay if it had the port
	again.Kill()
	for _, e := range beams {
		e.Kill()
	}
	keeper.Close()
	for deadline := time.Now().Add(30 * time.Second); ; {
		out := ask("-kill")
		select {
		case err := <-serving:
			if err != nil || !strings.Contains(out, "Killed") {
				t.Errorf("Serve = %v; epmd -kill prints %q", err, out)
			}
			return
		case <-time.After(20 * time.Millisecond): // the last connections are on their way
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not end; epmd -kill prints %q", out)
		}
	}
}
