package applog

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"time"
)

// Mark is a place in a log file: what an instance wrote comes after it. It outlives rotations.
type Mark struct {
	Path   string
	Offset int64 // in the stream of all that was ever written to the file
}

// End marks the present end of a file, which need not exist yet.
func End(path string) Mark {
	list, err := spans(path)
	if err != nil || len(list) == 0 {
		return Mark{Path: path}
	}
	return Mark{Path: path, Offset: list[len(list)-1].end}
}

// maxSlogan is the length in bytes at which a slogan is cut.
const maxSlogan = 500

// sloganTail is how much of the end of a log file is looked at.
const sloganTail = 64 << 10

// slogans are what a BEAM, or who starts it, writes last. Sources: init and erl_exit of OTP 25, 27 and 29, seen by running
// them; the start scripts of mix and relx; what gleam export erlang-shipment puts into @@main; the shell; the loader.
var slogans = []struct {
	start, text string // how the line begins (empty: anyhow) and what it contains
	rank        int    // a higher one tells more
}{
	{"", "seems to be in use by another Erlang node", 4},
	{"ERROR", "Config provider", 4},
	{"ERROR: Cannot start release", "", 4},
	{"/", "error while loading shared libraries", 4},
	{"/", "GLIBC_", 4},
	{"Kernel pid terminated", "", 3},
	{"init terminating in do_boot", "", 3},
	{"Runtime terminating during boot", "", 3},
	{"", "_alloc: Cannot ", 3},           // memory
	{"no more index entries in ", "", 3}, // the atom table is full
	{"runtime error: ", "", 2},
	{"", "Segmentation fault", 2},
	{"/", ": not found", 2},
	{"/", ": No such file or directory", 2},
	{"/", ": Permission denied", 2},
	{"beamkeeper: sandbox: ", "", 1}, // what was missing; the last of them is why nothing was started
	{"beamkeeper: execute ", "", 2},
	{"erl_child_setup closed", "", 1},
}

// lastWords are the beginnings of the slogans that have no level of their own and yet tell the end of a BEAM.
var lastWords = [][]byte{[]byte("Kernel pid terminated"), []byte("init terminating in do_boot"), []byte("Runtime terminating during boot")}

func isLastWords(line []byte) bool {
	for _, w := range lastWords {
		if bytes.HasPrefix(line, w) {
			return true
		}
	}
	return false
}

// CrashSlogan says in one line why a BEAM ended, from the end of its log files, after the marks, and from its crash dump,
// if that was written after since, the start of its OS process. It is empty when nothing tells.
func CrashSlogan(since time.Time, dump string, logs ...Mark) string {
	best, rank := "", 0
	for _, log := range logs {
		eachTailLine(log, func(line string) {
			if r := sloganRank(line); r > 0 && r >= rank {
				best, rank = line, r
			}
		})
	}
	if s := dumpSlogan(since, dump); s != "" && rank < 4 {
		best = s
	}
	return cutSlogan(best)
}

// sloganRank is 0 for a line that is no slogan.
func sloganRank(line string) int {
	for _, s := range slogans {
		if strings.HasPrefix(line, s.start) && strings.Contains(line, s.text) {
			return s.rank
		}
	}
	return 0
}

// dumpSlogan reads the third line of a crash dump.
//
// Spec: https://www.erlang.org/doc/apps/erts/crash_dump.html
func dumpSlogan(since time.Time, path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || st.ModTime().Before(since) {
		return ""
	}
	scanner := bufio.NewScanner(io.LimitReader(f, block))
	for i := 0; i < 10 && scanner.Scan(); i++ {
		if s, ok := strings.CutPrefix(scanner.Text(), "Slogan: "); ok {
			return s
		}
	}
	return ""
}

func eachTailLine(m Mark, f func(string)) {
	list, err := spans(m.Path)
	if err != nil || len(list) == 0 {
		return // it wrote nothing, or nothing that can be read
	}
	end := list[len(list)-1].end
	from := m.Offset
	if from > end { // emptied since
		from = list[len(list)-1].start
	}
	from = max(from, end-sloganTail)
	_ = readChunks(context.Background(), m.Path, from, end, chunkSize, func(b []byte, _ int64) bool {
		for line := range bytes.Lines(b) {
			f(lineText(bytes.TrimRight(line, "\r\n")))
		}
		return true
	}) // what can be read must do
}

func cutSlogan(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= maxSlogan {
		return s
	}
	return strings.ToValidUTF8(s[:maxSlogan], "") + "…"
}
