package node_test

import (
	"testing"

	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
	"github.com/beamkeeper/beamkeeper/node/nodetest/echo"
)

// BenchmarkBEAMToUs has a BEAM call and send to another BEAM and to a node of ours, in turns. The metric ratio is
// ours divided by the BEAM's: below 1 is better for times, above 1 for rates.
func BenchmarkBEAMToUs(b *testing.B) {
	otp := nodetest.WantAny(b)
	port := nodetest.StartEPMD(b)
	client := nodetest.StartErl(b, otp, "client", cookie, port, nodetest.BenchArgs()...)
	server := nodetest.StartErl(b, otp, "server", cookie, port, nodetest.BenchArgs()...)
	nodetest.LoadBench(b, client, server)
	server.Eval("dist_bench:serve()")
	ours := startNode(b, "keeper@localhost", port, func(c *node.Config) { c.Log = nil })
	if err := ours.Spawn(&echo.Server{}).Register("echo"); err != nil {
		b.Fatal(err)
	}
	nodetest.Compare(b, client, "BEAM", server.Name, ours.Name().String(), []nodetest.Figure{
		{Name: "GenServerCallP50", What: "call", Unit: "us", Target: "≤1.0"},
		{Name: "ErpcCallP50", What: "erpc", Unit: "us", Target: "≤1.0"},
		{Name: "64Callers", What: "callers", Unit: "calls/s", Target: "≥1.2"},
		{Name: "OneWay", What: "oneway", Unit: "msg/s", Target: "≥1.3"},
		{Name: "1MiBBinaries", What: "blobs", Unit: "MB/s", Target: "≥1.0"},
	})
}
