package node_test

import (
	"slices"
	"strconv"
	"testing"

	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// BenchmarkBEAMToUs has a BEAM call and send to another BEAM and to a node of ours, in turns. The metric ratio is
// ours divided by the BEAM's: below 1 is better for times, above 1 for rates.
func BenchmarkBEAMToUs(b *testing.B) {
	otp := nodetest.WantAny(b)
	port := nodetest.StartEPMD(b)
	client := nodetest.StartErl(b, otp, "client", cookie, port)
	server := nodetest.StartErl(b, otp, "server", cookie, port)
	for _, e := range []*nodetest.Erl{client, server} {
		e.Eval(`{ok, Mod, Code} = compile:file("` + sourceFile(b, "testdata/bench/dist_bench.erl") + `", [binary]), {module, _} = code:load_binary(Mod, "", Code)`)
	}
	server.Eval("dist_bench:serve()")
	ours := startNode(b, "keeper@localhost", port, func(c *node.Config) { c.Log = nil })
	spawnServer(b, ours, "echo")

	for _, m := range []struct {
		name, what, unit, target string
	}{
		{"GenServerCallP50", "call", "us", "≤1.0"},
		{"ErpcCallP50", "erpc", "us", "≤1.0"},
		{"64Callers", "callers", "calls/s", "≥1.2"},
		{"OneWay", "oneway", "msg/s", "≥1.3"},
		{"1MiBBinaries", "blobs", "MB/s", "≥1.0"},
	} {
		b.Run(m.name, func(b *testing.B) {
			measure := func(node string) float64 {
				v, err := strconv.ParseFloat(client.Eval("dist_bench:measure("+m.what+", '"+node+"')"), 64)
				if err != nil {
					b.Fatal(err)
				}
				return v
			}
			const rounds = 5
			for b.Loop() {
				measure(server.Name) // both are warm before it counts
				measure(ours.Name().String())
				var theirs, our []float64
				for range rounds {
					theirs = append(theirs, measure(server.Name))
					our = append(our, measure(ours.Name().String()))
				}
				b.ReportMetric(median(theirs), "BEAM-"+m.unit)
				b.ReportMetric(median(our), m.unit)
				b.ReportMetric(median(our)/median(theirs), "ratio(want"+m.target+")")
				b.ReportMetric(0, "ns/op") // tells nothing here
			}
		})
	}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
