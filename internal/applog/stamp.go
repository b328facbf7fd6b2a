package applog

import (
	"bytes"
	"context"
	"time"
)

// stamper reads the times that lines begin with. A time without a zone is local. A time of day without a date, as
// Elixir writes it, is dated from the end of the file: the last such moment before upper, less the midnights that are
// still to come in the lines after it.
type stamper struct {
	upper  time.Time // nothing in the file is younger
	nights int       // midnights that the lines ahead will pass, known from a reading before; 0 for files of less than a day
	clock  int64     // the last time of day, in nanoseconds; -1: none yet

	minute [16]byte // the last date and minute that was read, YYYY-MM-DD HH:MM
	base   int64    // as Unix time
	day    int64    // Unix time of the midnight before upper
}

func newStamper(upper time.Time) *stamper {
	y, m, d := upper.Local().Date()
	return &stamper{upper: upper, clock: -1, day: time.Date(y, m, d, 0, 0, 0, 0, time.Local).Unix()}
}

var months = [...]string{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"}

// stamp returns the time that a line begins with, in nanoseconds since 1970, and how many bytes it takes.
//
//	2026-11-20T09:59:58.123456+01:00   ISO, also with a blank, a comma or no fraction; Erlang's logger
//	09:59:58.123                       Elixir's Logger
//	=INFO REPORT==== 20-Nov-2026::09:59:58.123456 ===
//
// The first two may be in brackets.
func (s *stamper) stamp(line []byte) (at int64, n int, ok bool) {
	i := 0
	for len(line) > i+2 && line[i] == 0x1b && line[i+1] == '[' { // colours
		m := bytes.IndexByte(line[i:], 'm')
		if m < 0 {
			return 0, 0, false
		}
		i += m + 1
	}
	if len(line) > i && line[i] == '[' {
		i++
	}
	b := line[i:]
	switch {
	case len(b) >= 19 && isDigit(b[0]) && b[4] == '-' && b[7] == '-' && (b[10] == 'T' || b[10] == ' '):
		at, n, ok = s.iso(b)
	case len(b) >= 8 && isDigit(b[0]) && b[2] == ':' && b[5] == ':':
		at, n, ok = s.timeOfDay(b)
	case len(b) > 20 && b[0] == '=' && i == 0:
		return otpReport(b)
	}
	if !ok {
		return 0, 0, false
	}
	return at, i + n, true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// number reads digits only; -1 if there is anything else.
func number(b []byte) int {
	n := 0
	for _, c := range b {
		if !isDigit(c) {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// fraction reads .123456 or ,123456.
func fraction(b []byte) (ns int64, n int) {
	if len(b) < 2 || b[0] != '.' && b[0] != ',' || !isDigit(b[1]) {
		return 0, 0
	}
	unit := int64(100_000_000)
	for n = 1; n < len(b) && isDigit(b[n]); n++ {
		ns += int64(b[n]-'0') * unit
		unit /= 10
	}
	return ns, n
}

func (s *stamper) iso(b []byte) (at int64, n int, ok bool) {
	sec := number(b[17:19])
	if sec < 0 || sec > 60 || b[16] != ':' {
		return 0, 0, false
	}
	if [16]byte(b) != s.minute {
		year, month, day, hour, minute := number(b[:4]), number(b[5:7]), number(b[8:10]), number(b[11:13]), number(b[14:16])
		if year < 0 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 || b[13] != ':' || minute < 0 || minute > 59 {
			return 0, 0, false
		}
		s.minute, s.base = [16]byte(b), time.Date(year, time.Month(month), day, hour, minute, 0, 0, time.Local).Unix()
	}
	ns, n := fraction(b[19:])
	n += 19
	at = s.base + int64(sec)
	zone := b[n:]
	if len(zone) > 1 && zone[0] == ' ' && (zone[1] == 'Z' || zone[1] == '+' || zone[1] == '-') {
		zone = zone[1:]
		n++
	}
	switch {
	case len(zone) > 0 && zone[0] == 'Z':
		at = asUTC(s.base) + int64(sec)
		n++
	case len(zone) >= 5 && (zone[0] == '+' || zone[0] == '-'):
		hours, rest, took := number(zone[1:3]), zone[3:], 5
		if rest[0] == ':' {
			rest, took = rest[1:], 6
		}
		if len(rest) < 2 || hours < 0 || number(rest[:2]) < 0 {
			break
		}
		offset := int64(hours)*3600 + int64(number(rest[:2]))*60
		if zone[0] == '-' {
			offset = -offset
		}
		at = asUTC(s.base) + int64(sec) - offset
		n += took
	}
	return at*1e9 + ns, n, true
}

// asUTC takes a local time, in seconds, for one of UTC.
func asUTC(local int64) int64 {
	_, offset := time.Unix(local, 0).Zone()
	return local + int64(offset)
}

func (s *stamper) timeOfDay(b []byte) (at int64, n int, ok bool) {
	hour, minute, sec := number(b[:2]), number(b[3:5]), number(b[6:8])
	if hour < 0 || hour > 23 || minute < 0 || minute > 59 || sec < 0 || sec > 60 {
		return 0, 0, false
	}
	ns, n := fraction(b[8:])
	if n += 8; n < len(b) && isWord(b[n]) {
		return 0, 0, false
	}
	clock := int64(hour*3600+minute*60+sec)*1e9 + ns
	if passedMidnight(s.clock, clock) {
		s.nights--
	}
	s.clock = clock
	at = s.day*1e9 + clock - int64(max(s.nights, 0))*86400e9
	if at > s.upper.UnixNano()+1e9 {
		at -= 86400e9
	}
	return at, n, true
}

// peek is stamp without a trace.
func (s *stamper) peek(line []byte) (at int64, n int, ok bool) {
	c := *s
	return c.stamp(line)
}

// countNights finds the midnights in a span whose lines have no date, if it may be longer than a day. It is read for it.
func (s *stamper) countNights(path string, of span) error {
	if !of.lower.IsZero() && of.upper.Sub(of.lower) < 23*time.Hour {
		return nil
	}
	nights, first, looked, last := 0, true, 0, int64(-1)
	err := readChunks(context.Background(), path, of.start, of.end, chunkSize, func(b []byte, _ int64) bool {
		for rest := b; len(rest) > 0; {
			var line []byte
			line, rest, _ = bytes.Cut(rest, []byte("\n"))
			at, _, ok := s.peek(line)
			if looked++; first && looked > 1000 {
				return false // nor have they times at all
			}
			if !ok {
				continue
			}
			if first && (len(line) < 3 || line[2] != ':' && line[0] != '[' || line[0] == '[' && line[3] != ':') {
				return false // its lines have dates
			}
			first = false
			if clock := at - s.day*1e9; passedMidnight(last, (clock+86400e9)%86400e9) {
				nights++
				last = (clock + 86400e9) % 86400e9
			} else {
				last = (clock + 86400e9) % 86400e9
			}
		}
		return true
	})
	if err == errStopped {
		return nil
	}
	s.nights = nights
	if last >= 0 && s.day*1e9+last > s.upper.UnixNano()+1e9 {
		s.day -= 86400 // the last of them was yesterday
	}
	return err
}

// passedMidnight says whether a day began between two times of day.
func passedMidnight(before, after int64) bool { return before >= 0 && before-after > 12*3600e9 }

func isWord(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

// otpReport reads the head of a report of error_logger's form.
func otpReport(b []byte) (at int64, n int, ok bool) {
	const mark = " REPORT==== "
	i := indexMark(b, mark)
	if i < 0 {
		return 0, 0, false
	}
	n = i + len(mark)
	for n < len(b) && b[n] == ' ' {
		n++
	}
	day := 2
	if len(b) > n+1 && b[n+1] == '-' {
		day = 1
	}
	if len(b) < n+day+18 { // D-Mmm-YYYY::HH:MM:SS
		return 0, 0, false
	}
	t := b[n+day:]
	month := 0
	for m, name := range months {
		if string(t[1:4]) == name {
			month = m + 1
		}
	}
	d, year, hour, minute, sec := number(b[n:n+day]), number(t[5:9]), number(t[11:13]), number(t[14:16]), number(t[17:min(19, len(t))])
	if month == 0 || d < 1 || d > 31 || year < 0 || t[9] != ':' || hour < 0 || hour > 23 || minute < 0 || minute > 59 || sec < 0 || sec > 60 {
		return 0, 0, false
	}
	ns, took := fraction(t[19:])
	return time.Date(year, time.Month(month), d, hour, minute, sec, 0, time.Local).UnixNano() + ns, n + day + 19 + took, true
}

// indexMark finds mark within the first bytes of a line.
func indexMark(b []byte, mark string) int {
	for i := 1; i < 24 && i+len(mark) <= len(b); i++ {
		if b[i] == ' ' && string(b[i:i+len(mark)]) == mark {
			return i
		}
	}
	return -1
}
