package tlsdist_test

import (
	"context"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
	"github.com/beamkeeper/beamkeeper/tlsdist"
)

// BenchmarkBEAMToUsOverTLS has a BEAM call and send to another BEAM and to a node of ours, in turns, over mutual TLS 1.3
// with certificates of one authority. The metric ratio is ours divided by the BEAM's: below 1 is better for times,
// above 1 for rates.
func BenchmarkBEAMToUsOverTLS(b *testing.B) {
	otp := nodetest.WantAny(b)
	port := nodetest.StartEPMD(b)
	a := authority(b, tlsdist.Options{})
	client := nodetest.StartErl(b, otp, "client", cookie, port, erlArgs(b, ensure(b, a, "client@localhost").OptFile)...)
	server := nodetest.StartErl(b, otp, "server", cookie, port, erlArgs(b, ensure(b, a, "server@localhost").OptFile)...)
	source, err := filepath.Abs("../testdata/bench/dist_bench.erl")
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range []*nodetest.Erl{client, server} {
		e.Eval(`{ok, Mod, Code} = compile:file("` + source + `", [binary]), {module, _} = code:load_binary(Mod, "", Code)`)
	}
	server.Eval("dist_bench:serve()")
	ours := startKeeper(b, "keeper@localhost", port, transportOf(b, a, "keeper@localhost"))
	if err := ours.Spawn(&echoServer{}).Register("echo"); err != nil {
		b.Fatal(err)
	}

	for _, m := range []struct{ name, what, unit, target string }{
		{"GenServerCallP50", "call", "us", "≤0.6"},
		{"ErpcCallP50", "erpc", "us", "≤0.6"},
		{"64Callers", "callers", "calls/s", "≥1"},
		{"OneWay", "oneway", "msg/s", "≥1"},
		{"1MiBBinaries", "blobs", "MB/s", "≥4"},
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
				slices.Sort(theirs)
				slices.Sort(our)
				b.ReportMetric(theirs[rounds/2], "BEAM-"+m.unit)
				b.ReportMetric(our[rounds/2], m.unit)
				b.ReportMetric(our[rounds/2]/theirs[rounds/2], "ratio(want"+m.target+")")
				b.ReportMetric(0, "ns/op") // tells nothing here
			}
		})
	}
}

// echoServer answers gen_server calls with the request, count with the number of messages since the last count.
type echoServer struct{ seen atomic.Int64 }

func (s *echoServer) Receive(p *node.Process, sig node.Signal) {
	m, ok := sig.(node.Message)
	if !ok {
		return
	}
	call, ok := node.ParseGenCall(m.Term)
	switch {
	case !ok:
		m.Release()
		s.seen.Add(1)
	case call.Request == etf.Term(etf.Atom("count")):
		p.Reply(context.Background(), call, s.seen.Swap(0)) // fails only when the link is gone
	default:
		p.Reply(context.Background(), call, call.Request) // as above
	}
}
