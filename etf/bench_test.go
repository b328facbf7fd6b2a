package etf

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// beam is a BEAM that measures the payloads of testdata/gen/etf_bench.erl in the same run as we do.
type beam struct {
	dir string
	in  io.WriteCloser
	out *bufio.Reader
}

func startBeam(b *testing.B) *beam {
	b.Helper()
	dir := b.TempDir()
	source, err := filepath.Abs("../testdata/gen/etf_bench.erl")
	if err != nil {
		b.Fatal(err)
	}
	eval(b, fmt.Sprintf(`{ok, etf_bench} = compile:file(%q, [{outdir, %q}]), true = code:add_patha(%q), ok = etf_bench:write(%q)`, source, dir, dir, dir))
	cmd := exec.Command(erl(b), "-noshell", "-pa", dir, "-eval", fmt.Sprintf("etf_bench:serve(%q), halt().", dir))
	m := &beam{dir: dir}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	m.in, m.out = stdin, bufio.NewReader(stdout)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	return m
}

// measure returns what one operation takes there: the least of five rounds.
func (m *beam) measure(b *testing.B, what, payload string) time.Duration {
	b.Helper()
	if _, err := fmt.Fprintf(m.in, "%s %s\n", what, payload); err != nil {
		b.Fatal(err)
	}
	var median, least int64
	if _, err := fmt.Fscan(m.out, &median, &least); err != nil {
		b.Fatal(err)
	}
	return time.Duration(least)
}

// rounds measures f as the BEAM measures itself: the least mean of five rounds of some 50 ms.
func rounds(f func()) time.Duration {
	const round = 50 * time.Millisecond
	mean := func(reps int) time.Duration {
		start := time.Now()
		for range reps {
			f()
		}
		return time.Since(start) / time.Duration(reps)
	}
	reps := max(3, int(round/max(1, mean(3))))
	var all []time.Duration
	for range 5 {
		all = append(all, mean(reps))
	}
	return slices.Min(all)
}

var payloads = []string{"i_procinfo", "ii_config", "iii_bin_ints"}

// compare measures both sides in turn, three times, and reports the best of each, so that a busy moment of the machine
// does not count for one of them alone.
func (m *beam) compare(b *testing.B, what, payload string, size int, f func()) {
	var ours, theirs []time.Duration
	for range 3 {
		theirs = append(theirs, m.measure(b, what, payload))
		ours = append(ours, rounds(f))
	}
	best, beam := slices.Min(ours), slices.Min(theirs)
	b.ReportMetric(float64(beam)/float64(best), "×BEAM")
	b.ReportMetric(float64(size)*1e3/float64(beam), "BEAM-MB/s")
}

// BenchmarkEncode reports how many times as fast as term_to_binary we are on each payload.
func BenchmarkEncode(b *testing.B) {
	m := startBeam(b)
	for _, payload := range payloads {
		data, err := os.ReadFile(filepath.Join(m.dir, payload+".etf"))
		if err != nil {
			b.Fatal(err)
		}
		term := mustDecode(b, data)
		var buf []byte
		encode := func() {
			if buf, err = Append(buf[:0], term); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(payload, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				encode()
			}
			m.compare(b, "encode", payload, len(data), encode)
		})
	}
}

// BenchmarkDecode reports how many times as fast as binary_to_term we are on each payload.
func BenchmarkDecode(b *testing.B) {
	m := startBeam(b)
	for _, payload := range payloads {
		data, err := os.ReadFile(filepath.Join(m.dir, payload+".etf"))
		if err != nil {
			b.Fatal(err)
		}
		decode := func() {
			if _, err := Decode(data); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(payload, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				decode()
			}
			m.compare(b, "decode", payload, len(data), decode)
		})
	}
}

// A call as a gen_server gets it, read by the decoder of a link.
func BenchmarkDecodeCall(b *testing.B) {
	from := Pid{Node: "a@host", ID: 85, Creation: 7}
	data, err := AppendTerm(nil, Tuple{Atom("$gen_call"), Tuple{from, ImproperList{Elems: []Term{Atom("alias")}, Tail: Ref{Node: "a@host", Len: 3}}}, Tuple{Atom("get"), "key", int64(100000)}})
	if err != nil {
		b.Fatal(err)
	}
	d := NewDecoder(Limits{})
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := d.DecodeTerm(data); err != nil {
			b.Fatal(err)
		}
	}
}

// A control message as a link reads it: {SEND_SENDER, From, To} by cursor.
func BenchmarkCursor(b *testing.B) {
	data, err := AppendTerm(nil, Tuple{int64(22), Pid{Node: "a@host", ID: 85, Creation: 7}, Pid{Node: "b@host", ID: 90, Creation: 9}})
	if err != nil {
		b.Fatal(err)
	}
	d := NewDecoder(Limits{})
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		c := d.Cursor(data)
		if c.Tuple() != 3 || c.Int() != 22 {
			b.Fatal(c.Err())
		}
		c.Pid()
		c.Pid()
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSkip(b *testing.B) {
	m := startBeam(b)
	data, err := os.ReadFile(filepath.Join(m.dir, "i_procinfo.etf"))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := skip(data, 1); err != nil {
			b.Fatal(err)
		}
	}
}
