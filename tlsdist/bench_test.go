package tlsdist_test

import (
	"testing"

	"github.com/beamkeeper/beamkeeper/node/nodetest"
	"github.com/beamkeeper/beamkeeper/node/nodetest/echo"
	"github.com/beamkeeper/beamkeeper/tlsdist"
)

// BenchmarkBEAMToUsOverTLS has a BEAM call and send to another BEAM and to a node of ours, in turns, over mutual TLS 1.3
// with certificates of one authority. The metric ratio is ours divided by the BEAM's: below 1 is better for times,
// above 1 for rates.
func BenchmarkBEAMToUsOverTLS(b *testing.B) {
	otp := nodetest.WantAny(b)
	port := nodetest.StartEPMD(b)
	a := authority(b, tlsdist.Options{})
	client := nodetest.StartErl(b, otp, "client", cookie, port, append(erlArgs(b, ensure(b, a, "client@localhost").OptFile), nodetest.BenchArgs()...)...)
	server := nodetest.StartErl(b, otp, "server", cookie, port, append(erlArgs(b, ensure(b, a, "server@localhost").OptFile), nodetest.BenchArgs()...)...)
	nodetest.LoadBench(b, client, server)
	server.Eval("dist_bench:serve()")
	ours := startKeeper(b, "keeper@localhost", port, transportOf(b, a, "keeper@localhost"))
	if err := ours.Spawn(&echo.Server{}).Register("echo"); err != nil {
		b.Fatal(err)
	}
	nodetest.Compare(b, client, "BEAM", server.Name, ours.Name().String(), []nodetest.Figure{
		{Name: "GenServerCallP50", What: "call", Unit: "us", Target: "≤0.6"},
		{Name: "ErpcCallP50", What: "erpc", Unit: "us", Target: "≤0.6"},
		{Name: "64Callers", What: "callers", Unit: "calls/s", Target: "≥1"},
		{Name: "OneWay", What: "oneway", Unit: "msg/s", Target: "≥1"},
		{Name: "1MiBBinaries", What: "blobs", Unit: "MB/s", Target: "≥4"},
	})
}
