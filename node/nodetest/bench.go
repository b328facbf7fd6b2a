package nodetest

import (
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
)

// Figure is something that testdata/bench/dist_bench.erl measures.
type Figure struct {
	Name   string // of the benchmark
	What   string // to measure/2
	Unit   string
	Target string // for the quotient of ours and theirs
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
