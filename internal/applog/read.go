package applog

import (
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"time"
)

// Options of Read.
type Options struct {
	Lines  int            // the last so many lines that match; 0: all; below 0: none of those that are there
	Follow bool           // go on with what is added, until ctx ends
	Since  time.Time      // only lines that are newer, as far as their own time stamps tell; zero: all
	Grep   *regexp.Regexp // only lines that match; nil: all
}

// Read calls yield for each line that o asks for, until the end, ctx's end, or until yield returns false.
//
// A file that does not exist yet is waited for with Follow, and is empty otherwise. Following survives truncation,
// replacement and rotation of the file; a line is given when its end has been written. The end of ctx is not an error.
//
// A log file has no times but those that the application writes. Since goes by them: ISO dates and times, times of day,
// and the heads of OTP's reports at the beginning of a line. Lines without one belong to the line before them. Of a
// file in which none is found all lines are given if it was written to after Since, and none otherwise.
//
// Memory does not grow with the file: at most Lines lines are held, and these only with Grep or Since.
func Read(ctx context.Context, path string, o Options, yield func(Line) bool) error {
	f, err := os.Open(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var end int64
	if err == nil {
		more := true
		end, err = o.present(ctx, f, func(l Line) bool {
			more = yield(l)
			return more
		})
		if err != nil || !more || !o.Follow {
			f.Close()
			return err
		}
	} else if !o.Follow {
		return nil
	}
	return follow(ctx, path, f, end, func(text string) bool {
		if !o.matches(text) {
			return true
		}
		return yield(Line{Text: text, Time: time.Now()})
	})
}

func (o Options) matches(text string) bool { return o.Grep == nil || o.Grep.MatchString(text) }

// present gives the lines that are there and returns where they end. With Follow an unfinished last line is left to
// the following.
func (o Options) present(ctx context.Context, f *os.File, yield func(Line) bool) (end int64, err error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	end = st.Size()
	if o.Follow {
		if end, err = lineStart(f, end); err != nil {
			return 0, err
		}
	}
	if o.Lines < 0 || end == 0 {
		return end, nil
	}
	var from int64
	skip := func(string) bool { return false }
	switch {
	case !o.Since.IsZero():
		if from, skip, err = since(f, st.ModTime(), end, o.Since); err != nil {
			return 0, err
		}
	case o.Lines > 0 && o.Grep == nil:
		from, err = lastLines(f, end, o.Lines)
		return end, errors.Join(err, forward(f, from, end, func(text string) bool {
			return ctx.Err() == nil && yield(Line{Text: text})
		}))
	}
	last := ring{max: o.Lines}
	stopped := false
	err = forward(f, from, end, func(text string) bool {
		if ctx.Err() != nil {
			return false
		}
		if skip(text) || !o.matches(text) {
			return true
		}
		if o.Lines == 0 {
			stopped = !yield(Line{Text: text})
			return !stopped
		}
		last.add(text)
		return true
	})
	if err != nil || stopped || ctx.Err() != nil {
		return end, err
	}
	last.each(func(text string) bool { return yield(Line{Text: text}) })
	return end, nil
}

// lineStart returns where the last, unfinished line begins: end itself if there is none.
func lineStart(f io.ReaderAt, end int64) (int64, error) {
	buf := make([]byte, block)
	for at := end; at > 0; {
		b := buf[:min(at, block)]
		at -= int64(len(b))
		if _, err := f.ReadAt(b, at); err != nil {
			return 0, truncated(err)
		}
		for i := len(b) - 1; i >= 0; i-- {
			if b[i] == '\n' {
				return at + int64(i) + 1, nil
			}
		}
	}
	return 0, nil
}

// ring holds the last max lines.
type ring struct {
	lines []string
	next  int
	max   int
}

func (r *ring) add(text string) {
	if len(r.lines) < r.max {
		r.lines = append(r.lines, text)
		return
	}
	r.lines[r.next] = text
	r.next = (r.next + 1) % r.max
}

func (r *ring) each(yield func(string) bool) {
	for i := range r.lines {
		if !yield(r.lines[(r.next+i)%len(r.lines)]) {
			return
		}
	}
}
