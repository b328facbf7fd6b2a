package applog

import (
	"bytes"
	"regexp"
	"testing"
	"time"
)

// Whatever an application writes, its lines are given, each once.
func FuzzScanner(f *testing.F) {
	for _, seed := range []string{
		"2026-11-20T09:59:58.123456+01:00 error: x\n  more\n", "09:59:58.123 [info] x\n", "[2026-11-20 09:59:58,5 -03] x",
		"=CRASH REPORT==== 2-Nov-2026::09:59:58.1 ===\n", "\x1b[31mEROR x\x1b", "{\"level\":\"", "level=", "[[[[]", "--- beamkeeper: older", "\r\n\n",
	} {
		f.Add([]byte(seed))
	}
	re := regexp.MustCompile("(?i)l[e-v]+ve?l|a(b)+c")
	f.Fuzz(func(t *testing.T, b []byte) {
		want := bytes.Count(b, []byte("\n"))
		if len(b) > 0 && b[len(b)-1] != '\n' {
			want++
		}
		all := scanner{stamps: newStamper(time.Now())}
		n, end := 0, int64(0)
		all.chunk(b, 7, func(h hit) bool {
			if n++; h.end <= end {
				t.Errorf("line %d ends at %d, that before it at %d", n, h.end, end)
			}
			end = h.end
			return true
		})
		if n != want || want > 0 && end != int64(len(b))+7 {
			t.Errorf("%d lines up to %d, want %d up to %d", n, end, want, len(b)+7)
		}
		// to jump from one match to the next gives what looking at every line does
		q := Query{Grep: re}
		jumping, looking := scanner{filter: q.filter(), stamps: newStamper(time.Now())}, scanner{filter: q.filter(), stamps: newStamper(time.Now())}
		looking.literals = nil
		var a, c [][]byte
		jumping.chunk(b, 0, func(h hit) bool { a = append(a, bytes.Clone(h.text)); return true })
		looking.chunk(b, 0, func(h hit) bool { c = append(c, bytes.Clone(h.text)); return true })
		if len(a) != len(c) {
			t.Errorf("jumping gives %q, looking %q", a, c)
		}
		parseHead(b)
		parseArchive(string(b))
	})
}
