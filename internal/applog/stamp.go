package applog

import (
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	isoStamp   = regexp.MustCompile(`^\[?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s?(Z|[+-]\d\d:?\d\d)?`)
	clockStamp = regexp.MustCompile(`^\[?(\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\b`)
	otpStamp   = regexp.MustCompile(`^=[A-Z ]+ REPORT==== +(\d{1,2}-[A-Z][a-z][a-z]-\d{4}::\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?`)
)

// stamp returns the time that a line begins with. Times without a zone are local; a time of day without a date is the last
// such moment before the file was written to.
func stamp(line string, written time.Time) (time.Time, bool) {
	if m := isoStamp.FindStringSubmatch(line); m != nil {
		layout, text := "2006-01-02 15:04:05", strings.Replace(m[1], "T", " ", 1)
		t, err := time.ParseInLocation(layout, text, time.Local)
		if zone := strings.Replace(m[3], ":", "", 1); err == nil && zone != "" {
			if zone == "Z" {
				zone = "+0000"
			}
			t, err = time.Parse(layout+"-0700", text+zone)
		}
		return t.Add(fraction(m[2])), err == nil
	}
	if m := otpStamp.FindStringSubmatch(line); m != nil {
		t, err := time.ParseInLocation("2-Jan-2006::15:04:05", m[1], time.Local)
		return t.Add(fraction(m[2])), err == nil
	}
	if m := clockStamp.FindStringSubmatch(line); m != nil {
		t, err := time.ParseInLocation("2006-01-02 15:04:05", written.Local().Format("2006-01-02 ")+m[1], time.Local)
		t = t.Add(fraction(m[2]))
		if t.After(written.Add(time.Second)) {
			t = t.AddDate(0, 0, -1)
		}
		return t, err == nil
	}
	return time.Time{}, false
}

// fraction reads the digits behind a second's point.
func fraction(digits string) time.Duration {
	if digits == "" {
		return 0
	}
	n, err := strconv.Atoi((digits + "000000000")[:9])
	if err != nil {
		return 0 // they are digits
	}
	return time.Duration(n)
}

// since returns where to begin reading for lines newer than t, and which of the lines from there on to skip: those up to
// the first that is new enough.
func since(f *os.File, written time.Time, end int64, t time.Time) (from int64, skip func(string) bool, err error) {
	if written.Before(t) {
		return end, func(string) bool { return true }, nil
	}
	from, stamped, err := olderBlock(f, written, end, t)
	if err != nil {
		return 0, nil, err
	}
	began := !stamped // without any time stamp: all of it
	return from, func(line string) bool {
		if began {
			return false
		}
		at, ok := stamp(line, written)
		began = ok && !at.Before(t)
		return !began
	}, nil
}

// olderBlock looks from the end for a block that begins with something older than t. It reads only as much as is newer.
func olderBlock(f io.ReaderAt, written time.Time, end int64, t time.Time) (from int64, stamped bool, err error) {
	buf := make([]byte, block)
	for at := end; at > 0; {
		b := buf[:min(at, block)]
		at -= int64(len(b))
		if _, err := f.ReadAt(b, at); err != nil {
			return 0, false, truncated(err)
		}
		lines := strings.SplitAfter(string(b), "\n")
		offset := at
		if at > 0 { // a block begins in the middle of a line
			offset += int64(len(lines[0]))
			lines = lines[1:]
		}
		for _, line := range lines {
			if s, ok := stamp(line, written); ok {
				stamped = true
				if s.Before(t) {
					return offset, true, nil
				}
				break
			}
			offset += int64(len(line))
		}
	}
	return 0, stamped, nil
}
