package applog

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLevelOf(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]Level{
		"09:59:58.123 [info] hello":                               Info,
		"09:59:58.123 [error] GenServer #PID<0.1.0> terminating":  Error,
		"09:59:58.123 request_id=F1 user=[x] [warning] slow":      Warning,
		"09:59:58.123 [warn]  old Elixir":                         Warning,
		"09:59:58.123 [hello] no level":                           NoLevel,
		"2026-11-20T09:59:58.123456+01:00 notice: Application: x": Notice,
		"2026-11-20T09:59:58.123456+00:00 error: crash":           Error,
		"2026-11-20 09:59:58.123 [critical] <0.1.0> lager":        Critical,
		"=ERROR REPORT==== 20-Nov-2026::09:59:58.123456 ===":      Error,
		"=CRASH REPORT==== 20-Nov-2026::09:59:58.123456 ===":      Error,
		"=SUPERVISOR REPORT==== 20-Nov-2026::09:59:58.123456 ===": Error,
		"=PROGRESS REPORT==== 20-Nov-2026::09:59:58.123456 ===":   Info,
		"=WARNING REPORT==== 20-Nov-2026::09:59:58.123456 ===":    Warning,
		"=NOTICE REPORT==== 20-Nov-2026::09:59:58.123456 ===":     Notice,
		"\x1b[1;34mINFO\x1b[0m Gleam":                             Info,
		"EROR Gleam's":                                            Error,
		"WARN Gleam's":                                            Warning,
		`{"time":"x","level":"error","msg":"m"}`:                  Error,
		`{"severity":"WARNING"}`:                                  Warning,
		"level=debug msg=x":                                       Debug,
		"[error] without a time":                                  Error,
		"\x1b[31m09:59:58.123 [error] coloured whole":             Error,
		"Error in process <0.1.0>":                                NoLevel,
		"info is a word":                                          NoLevel,
		"Information is a word":                                   NoLevel,
		"":                                                        NoLevel, "=": NoLevel, "[": NoLevel, "{": NoLevel, "I": NoLevel, "\x1b": NoLevel, "\x1b[": NoLevel,
	} {
		s := newStamper(time.Now())
		_, n, _ := s.stamp([]byte(line))
		if got := levelOf([]byte(line), n); got != want {
			t.Errorf("levelOf(%q) = %v, want %v", line, got, want)
		}
	}
	for name, want := range map[string]Level{"error": Error, "WARN": Warning, "": NoLevel} {
		if got, err := ParseLevel(name); got != want || err != nil {
			t.Errorf("ParseLevel(%q) = %v, %v", name, got, err)
		}
	}
	if _, err := ParseLevel("loud"); err == nil {
		t.Error("loud is a level")
	}
}

func lines(t *testing.T, q Query) []string {
	t.Helper()
	var out []string
	if err := Search(t.Context(), q, func(l Line) bool {
		out = append(out, l.Text)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSearch_Level(t *testing.T) {
	t.Parallel()
	path := write(t, `before anything
09:00:00.000 [info] one
09:00:01.000 [error] two
    (stdlib 4.0) its stack
    more of it
09:00:02.000 [debug] three
Kernel pid terminated (application_controller) (x)
`)
	files := []File{{Path: path}}
	want := []string{"09:00:01.000 [error] two", "    (stdlib 4.0) its stack", "    more of it", "Kernel pid terminated (application_controller) (x)"}
	if got := lines(t, Query{Files: files, Level: Warning}); !slices.Equal(got, want) {
		t.Errorf("from warning on: %q", got)
	}
	if got := lines(t, Query{Files: files, Level: Warning, Grep: regexp.MustCompile("stack|terminated")}); !slices.Equal(got, []string{want[1], want[3]}) {
		t.Errorf("with an expression: %q", got)
	}
	if got := lines(t, Query{Files: files, Grep: regexp.MustCompile(`\d\d:`), Invert: true}); len(got) != 4 {
		t.Errorf("inverted: %q", got)
	}
}

// Lines of several files come in the order of their times; those without one stay with the line before them.
func TestSearch_MergesByTime(t *testing.T) {
	t.Parallel()
	base := time.Date(2026, 11, 20, 9, 0, 0, 0, time.Local)
	dir := t.TempDir()
	var files []File
	for i := range 3 {
		var b strings.Builder
		for n := range 500 {
			at := base.Add(time.Duration(n*3+i) * time.Second)
			layout := []string{"2006-01-02 15:04:05.000", time.RFC3339Nano, "2006-01-02T15:04:05.000000-07:00"}[i]
			fmt.Fprintf(&b, "%s %06d\n  of %06d\n", at.Format(layout), n*3+i, n*3+i)
		}
		path := filepath.Join(dir, fmt.Sprintf("shop-aaaaa%d-stdout.log", i))
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, File{Path: path})
		// one of them is partly archived
		if i == 1 {
			if made, err := (rotation{path: path, part: 4 << 10, now: base.Add(24 * time.Hour)}).run(); err != nil || made == 0 {
				t.Fatal(made, err)
			}
		}
	}
	check := func(what string, got []string, from, to int) {
		t.Helper()
		if len(got) != 2*(to-from) {
			t.Fatalf("%s: %d lines, want %d", what, len(got), 2*(to-from))
		}
		for i, l := range got {
			if want := fmt.Sprintf("%06d", from+i/2); !strings.HasSuffix(l, want) || strings.HasPrefix(l, "  of") != (i%2 == 1) {
				t.Fatalf("%s: line %d is %q, want that of %s", what, i, l, want)
			}
		}
	}
	check("all", lines(t, Query{Files: files}), 0, 1500)
	check("since", lines(t, Query{Files: files, Since: base.Add(600 * time.Second)}), 600, 1500)
	check("until", lines(t, Query{Files: files, Until: base.Add(600 * time.Second)}), 0, 600)
	check("between", lines(t, Query{Files: files, Since: base.Add(600 * time.Second), Until: base.Add(900 * time.Second), Lines: 1000}), 600, 900)
	check("last", lines(t, Query{Files: files, Lines: 20}), 1470, 1500)

	// matches that are found by jumping have their times, too
	got := lines(t, Query{Files: files, Grep: regexp.MustCompile(`of \d+7$`)})
	if len(got) != 150 || !slices.IsSorted(got) {
		t.Errorf("%d matches, sorted %v, want 150", len(got), slices.IsSorted(got))
	}
	n := 0
	err := Search(t.Context(), Query{Files: files, Grep: regexp.MustCompile("of 00070")}, func(l Line) bool {
		number := 0
		if _, err := fmt.Sscanf(l.Text, "  of %d", &number); err != nil || !l.Time.Equal(base.Add(time.Duration(number)*time.Second)) {
			t.Errorf("%q has the time %v", l.Text, l.Time)
		}
		n++
		return n < 5
	})
	if err != nil || n != 5 {
		t.Errorf("stopped after %d, %v", n, err)
	}
}

// Elixir writes no dates: the midnights in a file are counted from its end.
func TestSearch_TimesOfDayOverMidnights(t *testing.T) {
	t.Parallel()
	end := time.Now().Truncate(time.Second).Add(-time.Minute)
	begin := end.Add(-70 * time.Hour)
	var b strings.Builder
	for at := begin; !at.After(end); at = at.Add(time.Hour) {
		fmt.Fprintf(&b, "%s [info] %d\n", at.Format("15:04:05.000"), at.Unix())
	}
	path := write(t, b.String())
	if err := os.Chtimes(path, end, end); err != nil {
		t.Fatal(err)
	}
	err := Search(t.Context(), Query{Files: []File{{Path: path}}}, func(l Line) bool {
		_, text, _ := strings.Cut(l.Text, "] ")
		if got := fmt.Sprint(l.Time.Unix()); got != text {
			t.Errorf("%q is dated %s, %v", l.Text, got, l.Time.Local())
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := lines(t, Query{Files: []File{{Path: path}}, Since: end.Add(-5*time.Hour - time.Minute)}); len(got) != 6 {
		t.Errorf("of the last five hours: %q", got)
	}
}

// A reader that was cut off goes on where it was, over rotations, and sees files that came meanwhile from their beginning.
func TestSearch_Resumes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "shop-aaaaaa-stdout.log"), filepath.Join(dir, "shop-bbbbbb-stdout.log")
	appendTo(t, a, numbered(0, 1000))
	from := map[string]int64{}
	var got []string
	n := 0
	if err := Search(t.Context(), Query{Files: []File{{Path: a}}}, func(l Line) bool {
		got = append(got, l.Text)
		from[l.File.Path] = l.End
		n++
		return n < 700
	}); err != nil {
		t.Fatal(err)
	}
	if made, err := (rotation{path: a, part: 10 << 10, now: time.Now()}).run(); err != nil || made < 5 {
		t.Fatal(made, err)
	}
	appendTo(t, a, numbered(1000, 1500))
	appendTo(t, b, "first of b\n")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var other []string
	err := Search(ctx, Query{Files: []File{{Path: a}, {Path: b}}, From: from, Lines: 1, Follow: true}, func(l Line) bool {
		if l.File.Path == b {
			other = append(other, l.Text)
		} else {
			got = append(got, l.Text)
		}
		return len(got) < 1500 || len(other) < 1
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Split(strings.TrimSuffix(numbered(0, 1500), "\n"), "\n"); !slices.Equal(got, want) {
		t.Errorf("%d lines, want %d, each once", len(got), len(want))
	}
	if !slices.Equal(other, []string{"first of b"}) {
		t.Errorf("of the new file: %q", other)
	}
}

// Retention may remove what a reader has not come to: it goes on after the gap.
func TestSearch_OverAGap(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shop-aaaaaa-stdout.log")
	appendTo(t, path, numbered(0, 2000))
	if made, err := (rotation{path: path, part: 20 << 10, now: time.Now()}).run(); err != nil || made < 5 {
		t.Fatal(made, err)
	}
	list, err := archivesOf(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list[1:3] {
		if err := os.Remove(a.path); err != nil {
			t.Fatal(err)
		}
	}
	got := readAll(t, path, Query{})
	if last := got[len(got)-1]; !strings.HasPrefix(last, "line 1999 ") || !strings.HasPrefix(got[0], "line 0 ") {
		t.Errorf("from %.20q to %.20q", got[0], last)
	}
	for i := 1; i < len(got); i++ {
		var a, b int
		fmt.Sscanf(got[i-1], "line %d", &a)
		fmt.Sscanf(got[i], "line %d", &b)
		if b <= a {
			t.Fatalf("line %d after line %d", b, a)
		}
	}
	// and one that somebody damaged is left out
	if err := os.WriteFile(list[3].path, []byte("no gzip at all, but long enough"), 0o644); err != nil {
		t.Fatal(err)
	}
	if again := readAll(t, path, Query{}); len(again) == 0 || again[len(again)-1] != got[len(got)-1] {
		t.Errorf("with a damaged archive: %d lines", len(again))
	}
}

// Somebody emptied the live file after its rotations: what comes then follows the archives.
func TestSearch_EmptiedAfterRotation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shop-aaaaaa-stdout.log")
	for i := range 2 {
		appendTo(t, path, numbered(i*1000, i*1000+1000))
		if made, err := (rotation{path: path, part: 1 << 20, now: time.Now()}).run(); err != nil || made != 1 {
			t.Fatal(made, err)
		}
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
	}
	appendTo(t, path, "after\n")
	got := readAll(t, path, Query{})
	if got[len(got)-1] != "after" || !strings.HasPrefix(got[0], "line 0 ") || len(got) < 1900 {
		t.Errorf("%d lines, the last %q", len(got), got[len(got)-1])
	}
	if made, err := (rotation{path: path, part: 1 << 20, now: time.Now()}).run(); err != nil || made != 0 {
		t.Error(made, err)
	}
	if list, err := archivesOf(path); err != nil || len(list) != 2 {
		t.Errorf("archives %+v, %v", list, err)
	}
}

// What a search gave before it was called off has no gap: somebody may go on behind its last line.
func TestSearch_CalledOff(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shop-aaaaaa-stdout.log")
	appendTo(t, path, numbered(0, 20000))
	if made, err := (rotation{path: path, part: 100 << 10, now: time.Now()}).run(); err != nil || made < 5 {
		t.Fatal(made, err)
	}
	for round := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		next := 0
		err := Search(ctx, Query{Files: []File{{Path: path}}}, func(l Line) bool {
			if !strings.HasPrefix(l.Text, fmt.Sprintf("line %d ", next)) {
				t.Fatalf("round %d: line %d is %.40q", round, next, l.Text)
			}
			if next++; next == 100+round*800 {
				cancel()
			}
			return true
		})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
}
