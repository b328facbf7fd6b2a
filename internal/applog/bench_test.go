package applog

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// million is a log of 1,000,000 lines of about 110 bytes, as Elixir's Logger writes them, rotated five times.
func million(b *testing.B) (path string, began time.Time) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "shop-abc123-stdout.log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	levels := []string{"info", "debug", "info", "notice", "info", "info", "warning", "info"}
	began = time.Now().Add(-time.Hour)
	for i := range 1_000_000 {
		at := began.Add(time.Duration(i) * 3 * time.Millisecond)
		level := levels[i%len(levels)]
		if i%1000 == 7 {
			level = "error"
		}
		fmt.Fprintf(w, "%s request_id=F%08x%06d [%s] GET /api/orders/%d from 10.0.%d.%d answered 200 in %dms\n",
			at.Format("15:04:05.000"), i*2654435761&0xffffffff, i, level, i*7%100003, i%251, i%241, i%97)
		if i%200_000 == 199_999 {
			if err := w.Flush(); err != nil {
				b.Fatal(err)
			}
			if _, err := (rotation{path: path, part: 20 << 20, now: at}).run(); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	return path, began
}

// BenchmarkSearch searches 1,000,000 lines, five sixths of them compressed, and has zgrep and grep do the same.
func BenchmarkSearch(b *testing.B) {
	path, began := million(b)
	for _, bench := range []struct {
		name, grep string
		q          Query
	}{
		{"text", "orders/4711 from", Query{}},
		{"expression", "answered 200 in 9[0-6]ms$", Query{}},
		{"alternatives", "orders/(4711|815|42) from", Query{}},
		{"any case", "(?i)REQUEST_ID=F[0-9a-f]+4711 ", Query{}},
		{"level", "", Query{Level: Error}},
		{"time", "", Query{Since: began.Add(20 * time.Minute), Until: began.Add(21 * time.Minute)}},
		{"last 100", "", Query{Lines: 100}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			q := bench.q
			q.Files = []File{{Path: path}}
			if bench.grep != "" {
				q.Grep = regexp.MustCompile(bench.grep)
			}
			found := 0
			for b.Loop() {
				found = 0
				if err := Search(b.Context(), q, func(Line) bool { found++; return true }); err != nil {
					b.Fatal(err)
				}
			}
			ours := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(ours, "s/search")
			b.ReportMetric(float64(found), "found")
			if bench.grep == "" {
				return
			}
			script := `zgrep -hP "$1" "$2".*.gz; grep -P "$1" "$2"; true`
			if bench.name == "text" {
				script = `zgrep -hF "$1" "$2".*.gz; grep -F "$1" "$2"; true`
			}
			start := time.Now()
			out, err := exec.Command("sh", "-c", script, "sh", bench.grep, path).Output()
			if err != nil {
				b.Fatal(err)
			}
			theirs := time.Since(start).Seconds()
			b.ReportMetric(theirs, "s/zgrep")
			b.ReportMetric(theirs/ours, "x_zgrep")
			n := 0
			for _, c := range out {
				if c == '\n' {
					n++
				}
			}
			if n != found {
				b.Errorf("zgrep finds %d, Search %d", n, found)
			}
		})
	}
}

// BenchmarkKeeper_Look is what the keeper does each second for 100 instances with seven archives of each file.
func BenchmarkKeeper_Look(b *testing.B) {
	dir := b.TempDir()
	app := filepath.Join(dir, "shop")
	if err := os.Mkdir(app, 0o755); err != nil {
		b.Fatal(err)
	}
	here := map[string]bool{}
	for i := range 100 {
		name := fmt.Sprintf("shop-%06d", i)
		here[name] = true
		for _, stream := range []string{"-stdout.log", "-stderr.log"} {
			path := filepath.Join(app, name+stream)
			files := []string{path}
			for n := range 7 {
				files = append(files, archivePath(path, time.Now(), int64(n)))
			}
			for _, f := range files {
				if err := os.WriteFile(f, make([]byte, 16<<10), 0o640); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	l := newLooking(&Keeper{
		Dir: dir, Policy: func(string) (Policy, bool) { return Policy{}, true }, Here: func() (map[string]bool, error) { return here, nil },
	})
	l.look(b.Context())
	for b.Loop() {
		l.look(b.Context())
	}
}
