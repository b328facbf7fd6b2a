// Package window reads and asks deploy windows: the hours of the week in which an app may be moved to another version.
//
//	Mon-Fri 09:00-17:00 Europe/Berlin
//	Mon,Wed,Fri 22:00-06:00 UTC
//	10:00-16:00
//
// Days are the English names, in full or their first three letters, in ranges and lists; without any it is every day. The
// hours are those that clocks in the zone show; a window that ends before it begins ends on the next day, and belongs to the
// day it begins on. Without a zone it is the host's. 24:00 may end one.
//
// When clocks are put forward, a window that begins in the hour that is left out begins right after it. When they are put
// back, the hour that comes twice counts twice.
package window

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // hosts without it, and a static binary
)

// Window is one window. The zero Window is never open.
type Window struct {
	text       string
	days       [7]bool // by time.Weekday
	begin, end int     // minutes of the day; an end not above begin is on the next day
	zone       *time.Location
}

// String is what it was parsed from.
func (w Window) String() string { return w.text }

// Parse reads one window. An error says what is wrong with which word.
func Parse(text string) (Window, error) {
	w := Window{text: strings.Join(strings.Fields(text), " "), zone: time.Local}
	words := strings.Fields(text)
	hours := slices.IndexFunc(words, func(s string) bool { return strings.Contains(s, ":") })
	if hours < 0 {
		return w, fmt.Errorf("%q has no hours", text)
	}
	if err := w.parseDays(words[:hours]); err != nil {
		return w, err
	}
	if err := w.parseHours(words[hours]); err != nil {
		return w, err
	}
	switch rest := words[hours+1:]; {
	case len(rest) > 1:
		return w, fmt.Errorf("%q is too much after the zone %s", strings.Join(rest[1:], " "), rest[0])
	case len(rest) == 1:
		zone, err := time.LoadLocation(rest[0])
		if err != nil {
			return w, fmt.Errorf("%q is no time zone", rest[0])
		}
		w.zone = zone
	}
	return w, nil
}

func (w *Window) parseDays(words []string) error {
	for _, part := range strings.FieldsFunc(strings.Join(words, ","), func(r rune) bool { return r == ',' }) {
		first, last, isRange := strings.Cut(part, "-")
		from, ok := weekday(first)
		if !ok {
			return fmt.Errorf("%q is no day of the week; they are Mon, Tue, Wed, Thu, Fri, Sat, Sun", first)
		}
		to := from
		if isRange {
			if to, ok = weekday(last); !ok {
				return fmt.Errorf("%q is no day of the week; they are Mon, Tue, Wed, Thu, Fri, Sat, Sun", last)
			}
		}
		for d := from; ; d = (d + 1) % 7 {
			w.days[d] = true
			if d == to {
				break
			}
		}
	}
	if w.days == [7]bool{} {
		w.days = [7]bool{true, true, true, true, true, true, true}
	}
	return nil
}

func weekday(name string) (time.Weekday, bool) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if strings.EqualFold(name, d.String()) || strings.EqualFold(name, d.String()[:3]) {
			return d, true
		}
	}
	return 0, false
}

func (w *Window) parseHours(word string) error {
	first, last, ok := strings.Cut(word, "-")
	if !ok {
		return fmt.Errorf("%q is no span of hours", word)
	}
	var err error
	if w.begin, err = minutes(first); err != nil {
		return err
	}
	if w.end, err = minutes(last); err != nil {
		return err
	}
	if w.begin == w.end || w.begin == 24*60 {
		return fmt.Errorf("%q has no length; the whole day is 00:00-24:00", word)
	}
	return nil
}

// minutes reads 09:00, or 24:00.
func minutes(text string) (int, error) {
	hour, minute, ok := strings.Cut(text, ":")
	h, err := strconv.Atoi(hour)
	m, err2 := strconv.Atoi(minute)
	if !ok || err != nil || err2 != nil || len(hour) > 2 || len(minute) != 2 || h < 0 || m < 0 || m > 59 || h*60+m > 24*60 {
		return 0, fmt.Errorf("%q is no time of the day from 00:00 to 24:00", text)
	}
	return h*60 + m, nil
}

// open says whether it is open at t.
func (w Window) open(t time.Time) bool {
	if w.zone == nil {
		return false
	}
	t = t.In(w.zone)
	now, day := t.Hour()*60+t.Minute(), t.Weekday()
	if w.end > w.begin {
		return w.days[day] && now >= w.begin && now < w.end
	}
	return w.days[day] && now >= w.begin || w.days[(day+6)%7] && now < w.end
}

// lookAhead is how many days ahead a window opens at least: the same day of the next week, and that again when its hours
// are left out once.
const lookAhead = 15

// changes are the moments from the day before t on at which it may open or close: its hours, and those around when clocks
// are put.
func (w Window) changes(t time.Time) (list []time.Time) {
	if w.zone == nil {
		return nil
	}
	y, m, d := t.In(w.zone).Date()
	for day := -1; day <= lookAhead; day++ {
		for _, minute := range []int{0, w.begin, w.end} {
			at := time.Date(y, m, d+day, 0, minute, 0, 0, w.zone)
			list = append(list, at)
			before, after := at.ZoneBounds()
			for _, put := range []time.Time{before, after} {
				if !put.IsZero() {
					by := shift(put, w.zone)
					list = append(list, put, at.Add(by), at.Add(-by)) // the same hour when it comes twice
				}
			}
		}
	}
	return list
}

// shift is by how much clocks are put at a moment.
func shift(put time.Time, zone *time.Location) time.Duration {
	_, before := put.Add(-time.Second).In(zone).Zone()
	_, after := put.In(zone).Zone()
	return time.Duration(after-before) * time.Second
}

// Windows are several: open when one of them is. None at all are always open.
type Windows []Window

// ParseAll reads several.
func ParseAll(texts []string) (Windows, error) {
	var list Windows
	for _, text := range texts {
		w, err := Parse(text)
		if err != nil {
			return nil, err
		}
		list = append(list, w)
	}
	return list, nil
}

// String lists them.
func (ws Windows) String() string {
	var texts []string
	for _, w := range ws {
		texts = append(texts, w.text)
	}
	return strings.Join(texts, "; ")
}

// Open says whether it is open at t.
func (ws Windows) Open(t time.Time) bool {
	return len(ws) == 0 || slices.ContainsFunc(ws, func(w Window) bool { return w.open(t) })
}

// Opens is when it is open next: t itself when it is. Ok is false when it never is.
func (ws Windows) Opens(t time.Time) (at time.Time, ok bool) { return ws.next(t, true) }

// Closes is when it is closed next: t itself when it is. Ok is false when it never is.
func (ws Windows) Closes(t time.Time) (at time.Time, ok bool) { return ws.next(t, false) }

func (ws Windows) next(t time.Time, open bool) (at time.Time, ok bool) {
	if ws.Open(t) == open {
		return t, true
	}
	var moments []time.Time
	for _, w := range ws {
		moments = append(moments, w.changes(t)...)
	}
	slices.SortFunc(moments, func(a, b time.Time) int { return cmp.Compare(a.UnixNano(), b.UnixNano()) })
	for _, at := range moments {
		if at.After(t) && ws.Open(at) == open {
			return at, true
		}
	}
	return time.Time{}, false
}
