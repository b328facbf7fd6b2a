package nodetest

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Figure is something that testdata/bench/dist_bench.erl measures.
type Figure struct {
	Name   string // of the benchmark
	What   string // to measure/2
	Unit   string
	Target string // for the quotient of ours and theirs
}

// BenchArgs are arguments for the BEAMs of a benchmark. Their connections use the kernel's usual congestion control where
// another one is the machine's: BBR's estimate of the loopback's bandwidth goes up and down, and with it every rate by a factor of two.
func BenchArgs() []string {
	const cubic = `[{raw,6,13,<<"cubic">>}]` // IPPROTO_TCP, TCP_CONGESTION
	known, err := os.ReadFile("/proc/sys/net/ipv4/tcp_available_congestion_control")
	if err != nil || !slices.Contains(strings.Fields(string(known)), "cubic") {
		return nil
	}
	return []string{"-kernel", "inet_dist_connect_options", cubic, "-kernel", "inet_dist_listen_options", cubic}
}

// shareCores has the benchmark's own nodes use as many cores as the daemon does: half of them. Package testing sets all
// before each benchmark.
func shareCores(b *testing.B) {
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(max(1, before/2))
	b.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// LoadBench compiles and loads dist_bench on BEAMs.
func LoadBench(b *testing.B, erls ...*Erl) {
	b.Helper()
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		b.Fatal("no source to find dist_bench.erl by")
	}
	source := filepath.Join(filepath.Dir(here), "..", "..", "testdata", "bench", "dist_bench.erl")
	for _, e := range erls {
		e.Eval(`{ok, Mod, Code} = compile:file("` + source + `", [binary]), {module, _} = code:load_binary(Mod, "", Code)`)
	}
}

// Compare has client measure figures against two nodes with a process echo, in turns, so that both have the same
// machine. The metric ratio is the median of ours divided by that of base.
func Compare(b *testing.B, client *Erl, label, base, ours string, figures []Figure) {
	for _, f := range figures {
		b.Run(f.Name, func(b *testing.B) {
			shareCores(b)
			measure := func(node string) float64 {
				v, err := strconv.ParseFloat(client.Eval("dist_bench:measure("+f.What+", '"+node+"')"), 64)
				if err != nil {
					b.Fatal(err)
				}
				return v
			}
			const rounds = 9
			for b.Loop() {
				measure(base) // both are warm before it counts
				measure(ours)
				var theirs, our []float64
				for range rounds {
					theirs = append(theirs, measure(base))
					our = append(our, measure(ours))
				}
				slices.Sort(theirs)
				slices.Sort(our)
				b.ReportMetric(theirs[rounds/2], label+"-"+f.Unit)
				b.ReportMetric(our[rounds/2], f.Unit)
				b.ReportMetric(our[rounds/2]/theirs[rounds/2], "ratio(want"+f.Target+")")
				b.ReportMetric(0, "ns/op") // tells nothing here
			}
		})
	}
}
