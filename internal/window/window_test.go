package window

import (
	"strings"
	"testing"
	"time"
)

func TestParse_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                         "has no hours",
		"Mon-Fri":                  "has no hours",
		"Mon-Fri 09:00":            `"09:00" is no span of hours`,
		"Mon-Fri 9-17":             "has no hours",
		"Mon-Fri 09:00-25:00":      `"25:00" is no time of the day`,
		"Mon-Fri 09:60-17:00":      `"09:60" is no time of the day`,
		"Mon-Fri 009:00-17:00":     `"009:00" is no time of the day`,
		"Mon-Fri 9:0-17:00":        `"9:0" is no time of the day`,
		"Mon-Fri -1:00-17:00":      `is no time of the day`,
		"Mon-Fri 09:00-09:00":      "has no length",
		"24:00-09:00":              "has no length",
		"Mon-Fry 09:00-17:00":      `"Fry" is no day of the week`,
		"Mo-Fri 09:00-17:00":       `"Mo" is no day of the week`,
		"09:00-17:00 Mon-Fri":      `"Mon-Fri" is no time zone`,
		"09:00-17:00 Berlin":       `"Berlin" is no time zone`,
		"09:00-17:00 UTC and more": `"and more" is too much after the zone UTC`,
		"09:00-17:00 ../../passwd": "is no time zone",
	} {
		if w, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v, %v, want an error with %q", text, w, err, want)
		}
	}
}

func all(t *testing.T, texts ...string) Windows {
	t.Helper()
	ws, err := ParseAll(texts)
	if err != nil {
		t.Fatal(err)
	}
	return ws
}

func TestWindows_Open(t *testing.T) {
	t.Parallel()
	// 2026-11-20 is a Friday.
	for _, c := range []struct{ windows, at, open, next string }{
		{"Mon-Fri 09:00-17:00 Europe/Berlin", "2026-11-20T07:59:59Z", "no", "2026-11-20T08:00:00Z"},
		{"Mon-Fri 09:00-17:00 Europe/Berlin", "2026-11-20T08:00:00Z", "yes", "2026-11-20T16:00:00Z"},
		{"Mon-Fri 09:00-17:00 Europe/Berlin", "2026-11-20T15:59:59Z", "yes", "2026-11-20T16:00:00Z"},
		{"Mon-Fri 09:00-17:00 Europe/Berlin", "2026-11-20T16:00:00Z", "no", "2026-11-23T08:00:00Z"}, // over the weekend
		{"mon-friday  9:00-17:00   UTC", "2026-11-21T12:00:00Z", "no", "2026-11-23T09:00:00Z"},
		{"Fri-Mon 09:00-17:00 UTC", "2026-11-22T12:00:00Z", "yes", "2026-11-22T17:00:00Z"},
		{"Mon,Wed-Thu, Sun 09:00-17:00 UTC", "2026-11-20T12:00:00Z", "no", "2026-11-22T09:00:00Z"},
		{"00:00-24:00 UTC", "2026-11-20T12:00:00Z", "yes", "never"},
		{"Fri 00:00-24:00 UTC", "2026-11-20T23:59:59Z", "yes", "2026-11-21T00:00:00Z"},
		{"Fri 00:00-24:00 UTC", "2026-11-21T00:00:00Z", "no", "2026-11-27T00:00:00Z"},
		// Over midnight: of the day that it begins on.
		{"Fri 22:00-06:00 UTC", "2026-11-20T05:00:00Z", "no", "2026-11-20T22:00:00Z"},
		{"Fri 22:00-06:00 UTC", "2026-11-21T05:59:00Z", "yes", "2026-11-21T06:00:00Z"},
		{"Fri 22:00-06:00 UTC", "2026-11-21T22:30:00Z", "no", "2026-11-27T22:00:00Z"},
		{"Sat 22:00-06:00 UTC", "2026-11-22T01:00:00Z", "yes", "2026-11-22T06:00:00Z"},
		{"Fri 22:00-00:00 UTC", "2026-11-20T23:59:00Z", "yes", "2026-11-21T00:00:00Z"},
		// Two that meet are one.
		{"Fri 09:00-12:00 UTC|Fri 12:00-14:00 UTC", "2026-11-20T10:00:00Z", "yes", "2026-11-20T14:00:00Z"},
		{"Mon 09:00-12:00 UTC|Sat 01:00-02:00 UTC", "2026-11-20T10:00:00Z", "no", "2026-11-21T01:00:00Z"},
		// Other zones' days.
		{"Mon 00:30-02:00 Pacific/Auckland", "2026-11-22T11:45:00Z", "yes", "2026-11-22T13:00:00Z"},
		{"Sun 20:00-23:00 America/Los_Angeles", "2026-11-23T05:00:00Z", "yes", "2026-11-23T07:00:00Z"},
		// Clocks are put forward on 2026-03-29 at 02:00 in Berlin (01:00 UTC), and back on 2026-10-25 at 03:00 (01:00 UTC).
		{"Sun 02:30-04:00 Europe/Berlin", "2026-03-29T00:59:00Z", "no", "2026-03-29T01:00:00Z"}, // 03:00
		{"Sun 02:30-04:00 Europe/Berlin", "2026-03-29T01:00:00Z", "yes", "2026-03-29T02:00:00Z"},
		{"Sun 02:10-02:50 Europe/Berlin", "2026-03-28T12:00:00Z", "no", "2026-04-05T00:10:00Z"}, // it is left out once
		{"Sun 02:10-02:50 Europe/Berlin", "2026-10-25T00:20:00Z", "yes", "2026-10-25T00:50:00Z"},
		{"Sun 02:10-02:50 Europe/Berlin", "2026-10-25T00:50:00Z", "no", "2026-10-25T01:10:00Z"}, // it comes twice
		{"Sun 02:10-02:50 Europe/Berlin", "2026-10-25T01:50:00Z", "no", "2026-11-01T01:10:00Z"},
		{"Sun 01:00-02:30 Europe/Berlin", "2026-10-25T00:29:00Z", "yes", "2026-10-25T00:30:00Z"},
		{"Sun 01:00-02:30 Europe/Berlin", "2026-10-25T00:30:00Z", "no", "2026-10-25T01:00:00Z"}, // 02:00 again
		{"Mon-Fri 09:00-17:00 Europe/Berlin", "2026-03-27T16:00:00Z", "no", "2026-03-30T07:00:00Z"},
		{"Sun 02:05-02:25 Australia/Lord_Howe", "2026-10-03T12:00:00Z", "no", "2026-10-10T15:05:00Z"}, // half an hour is left out
	} {
		ws := all(t, strings.Split(c.windows, "|")...)
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		open := "no"
		next, ok := ws.Opens(at)
		if ws.Open(at) {
			open = "yes"
			next, ok = ws.Closes(at)
		}
		got := "never"
		if ok {
			got = next.UTC().Format(time.RFC3339)
		}
		if open != c.open || got != c.next {
			t.Errorf("%s at %s: open %s until %s, want %s until %s", c.windows, c.at, open, got, c.open, c.next)
		}
	}
}

// What is computed is what one would find by waiting step by step.
func TestWindows_NextIsTheFirst(t *testing.T) {
	t.Parallel()
	sets := []Windows{
		all(t, "Sun 02:30-04:00 Europe/Berlin"), all(t, "Sat-Sun 23:30-02:15 Europe/Berlin"), all(t, "01:45-01:15 America/St_Johns"),
		all(t, "Sun 01:50-02:20 Australia/Lord_Howe", "Sat 23:00-02:10 UTC"), all(t, "Sun 02:00-03:00 Europe/Berlin"),
		all(t, "Sun 00:30-03:00 Atlantic/Azores", "Mon 10:00-11:00 Asia/Kathmandu"), all(t, "Sat 22:00-24:00 America/Sao_Paulo"),
	}
	for _, ws := range sets {
		for _, day := range []string{"2026-03-28T00:00:00Z", "2026-10-24T00:00:00Z", "2026-10-03T00:00:00Z", "2026-04-04T00:00:00Z", "2018-11-03T00:00:00Z"} {
			begin, err := time.Parse(time.RFC3339, day)
			if err != nil {
				t.Fatal(err)
			}
			const step, steps = 5 * time.Minute, 10 * 24 * 12 // all that happens here happens at a multiple of five minutes
			change := make([]time.Time, steps)                // when what is at that step changes
			for n, next := steps-2, ws.Open(begin.Add((steps-1)*step)); n >= 0; n-- {
				at := begin.Add(time.Duration(n) * step)
				open := ws.Open(at)
				if change[n] = change[n+1]; open != next {
					change[n] = at.Add(step)
				}
				next = open
			}
			for n := 0; n < 2*24*12; n += 3 {
				at := begin.Add(time.Duration(n) * step)
				if got, ok := ws.next(at, !ws.Open(at)); !ok || !got.Equal(change[n]) {
					t.Fatalf("%s at %s, open %v: changes at %s, %v, want %s", ws, at, ws.Open(at), got, ok, change[n])
				}
			}
		}
	}
}

func TestWindows_NoneAreAlwaysOpen(t *testing.T) {
	t.Parallel()
	now := time.Now()
	if at, ok := Windows(nil).Opens(now); !Windows(nil).Open(now) || !ok || !at.Equal(now) {
		t.Errorf("none: %v, %v", at, ok)
	}
	if _, ok := (Windows{Window{}}).Opens(now); ok {
		t.Error("the zero Window opens")
	}
}
