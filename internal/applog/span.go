package applog

import (
	"errors"
	"time"
)

// span is a piece of a file's stream that was rotated at once, or the live file.
type span struct {
	start, end int64
	lower      time.Time // what is in it was written between these two
	upper      time.Time
	live       bool
}

// spans lists what there is of a file, the oldest first.
func spans(path string) ([]span, error) {
	for try := 0; ; try++ {
		list, whole, err := listSpans(path)
		if err != nil || whole || try == missingTries {
			return list, err
		}
		time.Sleep(missingWait)
	}
}

// listSpans looks once; whole says that nothing is missing between the spans.
func listSpans(path string) (out []span, whole bool, err error) {
	r := &reader{path: path}
	defer r.close()
	if err := r.open(); err != nil {
		return nil, false, err
	}
	var live *span
	if r.f != nil {
		for {
			h, err := r.head()
			if err != nil {
				return nil, false, err
			}
			st, err := r.f.Stat()
			if err != nil {
				return nil, false, err
			}
			if !st.Mode().IsRegular() {
				return nil, false, errors.New("applog: " + path + " is no regular file")
			}
			if again, err := r.head(); err != nil {
				return nil, false, err
			} else if again == h {
				live = &span{start: h.pos, end: h.pos + max(st.Size()-h.at, 0), upper: st.ModTime(), live: true}
				break
			}
		}
	}
	list, err := archivesOf(path)
	if err != nil {
		return nil, false, err
	}
	// A rotation leaves the last lines in the file, so that a span may begin with lines from before the rotation it follows.
	var lower, rotated time.Time
	for _, a := range list {
		if live != nil && a.pos >= live.start || live == nil && a.temp {
			continue
		}
		end, err := a.end()
		if err != nil {
			continue // it has another name by now, or is damaged
		}
		if n := len(out); n > 0 && out[n-1].end > a.pos {
			continue // there twice
		}
		if n := len(out); n > 0 && !out[n-1].upper.Equal(a.at) {
			lower, rotated = rotated, out[n-1].upper
		}
		out = append(out, span{start: a.pos, end: end, lower: lower, upper: a.at})
	}
	if live != nil {
		if n := len(out); n > 0 {
			lower = rotated
		}
		live.lower = lower
		out = append(out, *live)
	}
	for i := range out {
		if i > 0 && out[i-1].end != out[i].start {
			return out, false, nil
		}
	}
	return out, true, nil
}
