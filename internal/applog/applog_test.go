package applog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x-stdout.log")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// numbered gives lines of which some are longer than a block together.
func numbered(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "line %d %s\n", i, strings.Repeat("x", i%200))
	}
	return b.String()
}

func TestTail(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", MaxLine)
	tests := []struct {
		name, text string
		n          int
		want       []string
	}{
		{"empty", "", 5, nil},
		{"none asked", "a\n", 0, nil},
		{"fewer", "a\nb\n", 5, []string{"a", "b"}},
		{"exactly", "a\nb\n", 2, []string{"a", "b"}},
		{"last", "a\nb\nc\n", 2, []string{"b", "c"}},
		{"unfinished", "a\nb\nc", 2, []string{"b", "c"}},
		{"empty lines", "a\n\n\n", 2, []string{"", ""}},
		{"only a newline", "\n", 2, []string{""}},
		{"carriage return", "a\r\nb\r\n", 1, []string{"b"}},
		{"not UTF-8", "a\xffb\n", 1, []string{"a\uFFFDb"}},
		{"long line", "a\n" + long + "\nb\n", 2, []string{long[:MaxLine] + "…", "b"}},
	}
	for _, tt := range tests {
		got, err := Tail(write(t, tt.text), tt.n)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: Tail = %.100q, %v, want %.100q", tt.name, got, err, tt.want)
		}
	}
	if got, err := Tail(filepath.Join(t.TempDir(), "none"), 3); err != nil || got != nil {
		t.Errorf("missing file: %q, %v", got, err)
	}
	if _, err := Tail(t.TempDir(), 3); err == nil {
		t.Error("a directory is no log file")
	}
	all := strings.Split(strings.TrimSuffix(numbered(0, 5000), "\n"), "\n")
	path := write(t, numbered(0, 5000))
	for _, n := range []int{1, 7, 600, 601, 4999, 5000, 9999} { // over block boundaries
		got, err := Tail(path, n)
		if want := all[max(len(all)-n, 0):]; err != nil || !slices.Equal(got, want) {
			t.Errorf("Tail(%d): %d lines, %v, want %d", n, len(got), err, len(want))
		}
	}
}

func readAll(t *testing.T, path string, q Query) []string {
	t.Helper()
	q.Files = []File{{Path: path}}
	var lines []string
	err := Search(t.Context(), q, func(l Line) bool {
		lines = append(lines, l.Text)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestSearch_Present(t *testing.T) {
	t.Parallel()
	path := write(t, numbered(0, 3000)+"unfinished")
	all, err := Tail(path, 9999)
	if err != nil {
		t.Fatal(err)
	}
	seven := regexp.MustCompile(`^line \d*7 `)
	var sevens []string
	for _, l := range all {
		if seven.MatchString(l) {
			sevens = append(sevens, l)
		}
	}
	tests := []struct {
		q    Query
		want []string
	}{
		{Query{}, all},
		{Query{Lines: 10}, all[len(all)-10:]},
		{Query{Lines: -1}, nil},
		{Query{Grep: seven}, sevens},
		{Query{Grep: seven, Lines: 12}, sevens[len(sevens)-12:]},
		{Query{Grep: seven, Lines: 100000}, sevens},
		{Query{Since: time.Now().Add(-time.Hour)}, all}, // written to in this hour, no stamps
		{Query{Since: time.Now().Add(time.Hour)}, nil},
	}
	for _, tt := range tests {
		if got := readAll(t, path, tt.q); !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %d lines, want %d", tt.q, len(got), len(tt.want))
		}
	}
	if got := readAll(t, path+"-none", Query{}); got != nil {
		t.Errorf("missing file: %q", got)
	}
	n := 0
	if err := Search(t.Context(), Query{Files: []File{{Path: path}}}, func(Line) bool { n++; return n < 3 }); err != nil || n != 3 {
		t.Errorf("yield was called %d times, %v, want 3", n, err)
	}
	n = 0
	if err := Search(t.Context(), Query{Files: []File{{Path: path}}, Follow: true}, func(Line) bool { n++; return n < 3 }); err != nil || n != 3 {
		t.Errorf("with Follow: yield was called %d times, %v, want 3", n, err)
	}
}

func TestStamp(t *testing.T) {
	t.Parallel()
	written := time.Date(2026, 11, 20, 10, 0, 0, 0, time.Local)
	local := func(h, m, s, ms int) time.Time { return time.Date(2026, 11, 20, h, m, s, ms*1e6, time.Local) }
	tests := []struct {
		line string
		want time.Time
	}{
		{"2026-11-20T09:59:58.123+01:00 [info] x", time.Date(2026, 11, 20, 8, 59, 58, 123e6, time.UTC)},
		{"2026-11-20T09:59:58Z x", time.Date(2026, 11, 20, 9, 59, 58, 0, time.UTC)},
		{"2026-11-20 09:59:58.123456 notice", local(9, 59, 58, 123).Add(456 * time.Microsecond)},
		{"[2026-11-20 09:59:58,5] x", local(9, 59, 58, 500)},
		{"09:59:58.123 [info] Elixir's", local(9, 59, 58, 123)},
		{"23:59:58.123 [info] of yesterday", local(23, 59, 58, 123).AddDate(0, 0, -1)},
		{"=INFO REPORT==== 20-Nov-2026::09:59:58.123456 ===", local(9, 59, 58, 123).Add(456 * time.Microsecond)},
		{"=CRASH REPORT==== 2-Nov-2026::09:59:58 ===", time.Date(2026, 11, 2, 9, 59, 58, 0, time.Local)},
		{"plain", time.Time{}},
		{"at 09:59:58", time.Time{}},
		{"2026-13-20 09:59:58", time.Time{}},
		{"2026-11-20T09:59:58 -0330 x", time.Date(2026, 11, 20, 13, 29, 58, 0, time.UTC)},
		{"[09:59:58] x", local(9, 59, 58, 0)},
		{"09:59:58th", time.Time{}},
		{"=INFO REPORT==== 20-Nov-2026::09:5", time.Time{}},
		{"2026-11-20 09:59:5", time.Time{}},
	}
	for _, tt := range tests {
		at, _, ok := newStamper(written).stamp([]byte(tt.line))
		if ok != !tt.want.IsZero() || ok && !time.Unix(0, at).Equal(tt.want) {
			t.Errorf("stamp(%q) = %v, %v, want %v", tt.line, time.Unix(0, at), ok, tt.want)
		}
	}
}

func TestSearch_Since(t *testing.T) {
	t.Parallel()
	base := time.Now().Add(-time.Hour).Truncate(time.Second)
	var b strings.Builder
	b.WriteString("head without a time\n")
	for i := range 3000 { // one a second
		fmt.Fprintf(&b, "%s line %d\n  its second line %d\n", base.Add(time.Duration(i)*time.Second).Format("2006-01-02 15:04:05.000"), i, i)
	}
	path := write(t, b.String())
	for _, from := range []int{0, 1, 1500, 2999} {
		got := readAll(t, path, Query{Since: base.Add(time.Duration(from) * time.Second)})
		if len(got) != 2*(3000-from) || !strings.HasSuffix(got[0], fmt.Sprintf(" line %d", from)) {
			t.Errorf("since line %d: %d lines, the first %.80q", from, len(got), got)
		}
	}
	if got := readAll(t, path, Query{Since: base.Add(3000 * time.Second)}); got != nil {
		t.Errorf("since the end: %d lines", len(got))
	}
	got := readAll(t, path, Query{Since: base.Add(1500 * time.Second), Lines: 3, Grep: regexp.MustCompile("second line")})
	if want := []string{"  its second line 2997", "  its second line 2998", "  its second line 2999"}; !slices.Equal(got, want) {
		t.Errorf("since, grep, lines: %q, want %q", got, want)
	}
}

// following reads path in the background.
type following struct {
	t     *testing.T
	lines chan Line
	end   func() error
}

func startFollowing(t *testing.T, path string, q Query) *following {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &following{t: t, lines: make(chan Line, 100000)}
	done := make(chan error, 1)
	q.Follow, q.Files = true, []File{{Path: path}}
	go func() { done <- Search(ctx, q, func(l Line) bool { f.lines <- l; return true }) }()
	f.end = func() error {
		cancel()
		select {
		case err := <-done:
			done <- nil
			return err
		case <-time.After(20 * time.Second):
			return errors.New("Read did not end with its context")
		}
	}
	t.Cleanup(func() {
		if err := f.end(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *following) expect(want ...string) {
	f.t.Helper()
	for _, w := range want {
		select {
		case l := <-f.lines:
			if l.Text != w {
				f.t.Fatalf("line %.80q, want %.80q", l.Text, w)
			}
		case <-time.After(20 * time.Second):
			f.t.Fatalf("no line, want %.80q", w)
		}
	}
}

func TestSearch_Follow(t *testing.T) {
	t.Parallel()
	path := write(t, "one\ntwo\nthr")
	f := startFollowing(t, path, Query{Lines: 1})
	f.expect("two")
	appendTo(t, path, "ee\nfour\nfi")
	f.expect("three", "four")
	appendTo(t, path, "ve\n")
	f.expect("five")

	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	appendTo(t, path, "after truncation\n")
	f.expect("after truncation")
	// emptied and grown beyond our place before we look
	if err := os.WriteFile(path, []byte(numbered(0, 100)), 0o644); err != nil {
		t.Fatal(err)
	}
	f.expect(strings.Split(strings.TrimSuffix(numbered(0, 100), "\n"), "\n")...)

	// moved away, still written to, then replaced
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, path+".1", "last of the old\nunfinished")
	if err := os.WriteFile(path+".new", []byte("first of the new\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	f.expect("last of the old", "unfinished", "first of the new")
	appendTo(t, path, "more\n")
	f.expect("more")
	if err := f.end(); err != nil {
		t.Errorf("Read = %v, want nil when ctx ends", err)
	}
}

func TestSearch_FollowFromNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "app")
	path := filepath.Join(dir, "x.log")
	f := startFollowing(t, path, Query{Grep: regexp.MustCompile("keep")})
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	appendTo(t, path, "drop\nkeep 1\n")
	f.expect("keep 1")
	appendTo(t, path, "keep 2\n")
	f.expect("keep 2")
}

func TestSearch_FollowHasTimes(t *testing.T) {
	t.Parallel()
	path := write(t, "present\n")
	f := startFollowing(t, path, Query{})
	f.expect("present")
	appendTo(t, path, "x\n")
	select {
	case l := <-f.lines:
		if time.Since(l.Time).Abs() > time.Minute {
			t.Errorf("Time = %v", l.Time)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no line")
	}
}

func TestSearch_FollowMuch(t *testing.T) {
	t.Parallel()
	path := write(t, "")
	f := startFollowing(t, path, Query{})
	const n = 20000
	go func() {
		for i := 0; i < n; i += 100 {
			appendTo(t, path, numbered(i, i+100))
		}
	}()
	f.expect(strings.Split(strings.TrimSuffix(numbered(0, n), "\n"), "\n")...)
}

func TestCrashSlogan(t *testing.T) {
	t.Parallel()
	dump := "=erl_crash_dump:0.5\nFri Nov 20 14:59:54 2026\nSlogan: init terminating in do_boot ({boom,[]})\nSystem version: x\n"
	tests := []struct {
		name, out, err, dump, want string
	}{
		{"nothing", "hello\nGET /x: not found\n", "", "", ""},
		{"dump", "hello\n", "", dump, "init terminating in do_boot ({boom,[]})"},
		{"OTP 25", "", "{\"init terminating in do_boot\",{boom_reason,[]}}\ninit terminating in do_boot ({boom_reason,[]})\n\nCrash dump is being written to: erl_crash.dump...done\n", "",
			"init terminating in do_boot ({boom_reason,[]})"},
		{"OTP 27", "Runtime terminating during boot ({'cannot get bootfile','none.boot'})\n", "", "", "Runtime terminating during boot ({'cannot get bootfile','none.boot'})"},
		{"last one", "Kernel pid terminated (a) (1)\nKernel pid terminated (a) (2)\n", "", "", "Kernel pid terminated (a) (2)"},
		{"name in use tells more", "Protocol 'inet_tcp': the name x@h seems to be in use by another Erlang node\nKernel pid terminated (a) (b)\n", "",
			"=erl_crash_dump:0.5\nx\nSlogan: Kernel pid terminated (a) (b)\n", "Protocol 'inet_tcp': the name x@h seems to be in use by another Erlang node"},
		{"gleam", "", "runtime error: error:boom\n[{x,y}]\n", "", "runtime error: error:boom"},
		{"no erl", "", "/srv/bin/app: 12: exec: /srv/erts/bin/erl: not found\n", "", "/srv/bin/app: 12: exec: /srv/erts/bin/erl: not found"},
		{"glibc", "", "/srv/erts-15/bin/beam.smp: /lib/libc.so.6: version `GLIBC_2.38' not found (required by x)\n", "",
			"/srv/erts-15/bin/beam.smp: /lib/libc.so.6: version `GLIBC_2.38' not found (required by x)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			began := time.Now().Add(-time.Minute)
			out, err, dump := write(t, tt.out), write(t, tt.err), write(t, tt.dump)
			if got := CrashSlogan(began, dump, Mark{Path: out}, Mark{Path: err}, Mark{Path: out + "-none"}); got != tt.want {
				t.Errorf("CrashSlogan = %q, want %q", got, tt.want)
			}
			// Of an earlier run nothing counts.
			if got := CrashSlogan(time.Now().Add(time.Minute), dump, End(out), End(err)); got != "" {
				t.Errorf("CrashSlogan of an earlier run = %q", got)
			}
		})
	}
	long := CrashSlogan(time.Now(), "", Mark{Path: write(t, "Kernel pid terminated "+strings.Repeat("é", 1000)+"\n")})
	if len(long) > maxSlogan+10 || !utf8.ValidString(long) {
		t.Errorf("long slogan: %d bytes", len(long))
	}
	if m := End(filepath.Join(t.TempDir(), "none")); m.Offset != 0 {
		t.Errorf("End of a missing file = %+v", m)
	}
	emptied := write(t, numbered(0, 10))
	mark := End(emptied)
	if err := os.WriteFile(emptied, []byte("Kernel pid terminated\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := CrashSlogan(time.Now(), "", mark); got == "" {
		t.Error("nothing found in a log file that was emptied since")
	}
}
