package bridge

import (
	"net"
	"strconv"
	"testing"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
	"github.com/beamkeeper/beamkeeper/node/nodetest/echo"
)

// echoActor is echo.Server as an actor.
type echoActor struct {
	Actor
	seen int64
}

func (e *echoActor) HandleMessage(gen.PID, any) error {
	e.seen++
	return nil
}

func (e *echoActor) HandleCall(_ gen.PID, _ gen.Ref, req any) (any, error) {
	if req == any(etf.Atom("count")) {
		n := e.seen
		e.seen = 0
		return n, nil
	}
	return req, nil
}

// BenchmarkActor has a BEAM call and send to a process of package node and to an actor, in turns. The metric ratio is the
// actor's divided by the process's.
func BenchmarkActor(b *testing.B) {
	otp := nodetest.WantAny(b)
	port := nodetest.StartEPMD(b)
	epmd := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	client := nodetest.StartErl(b, otp, "client", cookie, port, nodetest.BenchArgs()...)
	nodetest.LoadBench(b, client)

	bare := newNode(b, epmd, "bare")
	startNode(b, bare)
	if err := bare.Spawn(&echo.Server{}).Register("echo"); err != nil {
		b.Fatal(err)
	}
	s := startSystem(b, epmd, "go")
	if _, err := s.Ergo().SpawnRegister("echo", func() gen.ProcessBehavior { return &echoActor{} }, gen.ProcessOptions{}); err != nil {
		b.Fatal(err)
	}
	nodetest.Compare(b, client, "process", bare.Name().String(), node.Name{Alive: "go", Host: "localhost"}.String(), []nodetest.Figure{
		{Name: "GenServerCallP50", What: "call", Unit: "us", Target: "≤1.2"},
		{Name: "64Callers", What: "callers", Unit: "calls/s", Target: "≥0.8"},
	})
}
