package main

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// A BEAM that has the daemon's name is a problem of the daemon's status, which doctor shows, until the BEAM has gone.
func TestRegistration_TellsOfATwin(t *testing.T) {
	t.Parallel()
	port := nodetest.StartEPMD(t)
	twin := nodetest.StartErl(t, nodetest.WantAny(t), "twin", "c", port)
	name := node.Name{Alive: "twin", Host: "localhost"}
	n, err := node.New(node.Config{Name: name, Cookie: "c", EPMDAddr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	r := &registration{node: n, name: name}
	until := func(what string, count int) {
		t.Helper()
		for end := time.Now().Add(60 * time.Second); len(r.problems()) != count; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: problems are %+v, registered: %v; the BEAM said:\n%s", what, r.problems(), n.Registered(t.Context()), twin.Output())
			}
		}
	}
	until("with a twin", 1)
	if p := r.problems()[0]; !strings.Contains(p.What, `registered at the port mapper as "twin"`) || !strings.Contains(p.Remedy, "node.name") || p.Since.IsZero() {
		t.Errorf("problem is %+v", p)
	}
	twin.Kill()
	until("without", 0)
}
