package applog

import (
	"container/heap"
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"time"
)

// Search calls yield for each line that q asks for, from one goroutine, until there are no more, ctx ends, or yield returns
// false. The end of ctx is not an error.
//
// Lines of several files come in the order of their times; those of one file always in its own order. Compressed history
// is read like the files themselves. With Follow what is added is given as soon as its line end is written, across
// rotations, truncation and replacement of the files; a file that is not there yet is waited for.
//
// Memory does not grow with the files: Lines lines of each file are held, or some chunks.
func Search(ctx context.Context, q Query, yield func(Line) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	streams := make([]*found, len(q.Files))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	limit := make(chan struct{}, runtime.GOMAXPROCS(0)+1)
	for i, f := range q.Files {
		s := &found{order: i, lines: make(chan []Line, 2)}
		streams[i] = s
		wg.Go(func() {
			defer close(s.lines)
			s.next, s.err = q.present(ctx, f, limit, func(batch []Line) bool {
				select {
				case s.lines <- batch:
					return true
				case <-ctx.Done():
					return false
				}
			})
		})
	}
	if err := merge(streams, yield); err != nil {
		if errors.Is(err, errStopped) {
			err = nil
		}
		return err
	}
	if !q.Follow || ctx.Err() != nil {
		return nil
	}
	next := make(map[string]int64, len(streams))
	for i, f := range q.Files {
		next[f.Path] = streams[i].next
	}
	return follow(ctx, q, next, yield)
}

// errStopped says that yield wants no more.
var errStopped = errors.New("applog: stopped")

// found is what one file gives, in its order.
type found struct {
	order int
	lines chan []Line
	batch []Line

	// when lines is closed
	next int64
	err  error
}

// advance has batch[0] be the next line; false at the end.
func (s *found) advance() bool {
	if len(s.batch) > 0 {
		s.batch = s.batch[1:]
	}
	for len(s.batch) == 0 {
		batch, ok := <-s.lines
		if !ok {
			return false
		}
		s.batch = batch
	}
	return true
}

type mergeHeap []*found

func (h mergeHeap) Len() int { return len(h) }
func (h mergeHeap) Less(i, j int) bool {
	if c := h[i].batch[0].Time.Compare(h[j].batch[0].Time); c != 0 {
		return c < 0
	}
	return h[i].order < h[j].order
}
func (h mergeHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *mergeHeap) Push(x any)   { *h = append(*h, x.(*found)) }
func (h *mergeHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

func merge(streams []*found, yield func(Line) bool) error {
	var h mergeHeap
	for _, s := range streams {
		if s.advance() {
			h = append(h, s)
		} else if s.err != nil {
			return s.err
		}
	}
	heap.Init(&h)
	for len(h) > 0 {
		s := h[0]
		if !yield(s.batch[0]) {
			return errStopped
		}
		if s.advance() {
			heap.Fix(&h, 0)
			continue
		}
		if s.err != nil {
			return s.err
		}
		heap.Pop(&h)
	}
	return nil
}

// present gives what is there of one file, and returns where it ends.
func (q *Query) present(ctx context.Context, file File, limit chan struct{}, give func([]Line) bool) (next int64, err error) {
	list, err := spans(file.Path)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	last := list[len(list)-1]
	next = last.end
	if q.Follow && last.live {
		if next, err = wholeLines(file.Path, last); err != nil {
			return 0, err
		}
		list[len(list)-1].end = next
	}
	switch {
	case q.From == nil && q.Lines < 0:
		return next, nil
	case q.From == nil && q.Lines > 0:
		select {
		case limit <- struct{}{}:
			defer func() { <-limit }()
		case <-ctx.Done():
			return next, nil
		}
		lines, err := q.last(ctx, file, list)
		if err == nil && len(lines) > 0 {
			give(lines)
		}
		return next, err
	}
	from := q.From[file.Path]
	carry := &scanner{filter: q.filter()}
	for _, s := range list {
		if s.end <= from || q.misses(s) {
			continue
		}
		s.start = max(s.start, from)
		if err := q.scan(ctx, file, s, carry, give); err != nil {
			if errors.Is(err, errStopped) {
				err = nil
			}
			return next, err
		}
	}
	return max(next, from), nil
}

// wholeLines is where the last whole line of the live file ends.
func wholeLines(path string, s span) (int64, error) {
	r := &reader{path: path}
	defer r.close()
	if err := r.open(); err != nil || r.f == nil {
		return s.end, err
	}
	for {
		h, err := r.head()
		if err != nil {
			return 0, err
		}
		if s.end < h.pos {
			return h.pos, nil // rotated meanwhile, which happens with whole lines
		}
		at, err := lineStart(r.f, h.at, h.at+s.end-h.pos)
		if err != nil {
			return 0, err
		}
		if again, err := r.head(); err != nil {
			return 0, err
		} else if again == h {
			return h.pos + at - h.at, nil
		}
	}
}

// misses says that nothing in s can be of a time that is asked for. Clocks may differ a little.
func (q *Query) misses(s span) bool {
	const slack = 2 * time.Second
	return !q.Since.IsZero() && s.upper.Add(slack).Before(q.Since) ||
		!q.Until.IsZero() && !s.lower.IsZero() && s.lower.Add(-slack).After(q.Until)
}

// last gives the last q.Lines lines that match. It reads from the end, as little as it can.
func (q *Query) last(ctx context.Context, file File, list []span) ([]Line, error) {
	var lines []Line
	f := q.filter()
	for i := len(list) - 1; i >= 0 && len(lines) < q.Lines && ctx.Err() == nil; i-- {
		s := list[i]
		if q.misses(s) {
			if !q.Since.IsZero() && s.upper.Before(q.Since) {
				break
			}
			continue
		}
		if s.live && f.grep == nil && !f.each() {
			if start, ok := lastOf(file.Path, s, q.Lines); ok {
				s.start = start
			}
		}
		last := ring{max: q.Lines - len(lines)}
		err := q.scan(ctx, file, s, &scanner{filter: f}, func(batch []Line) bool {
			for _, l := range batch {
				last.add(l)
			}
			return true
		})
		if err != nil {
			return nil, err
		}
		lines = append(last.all(), lines...)
	}
	return lines, nil
}

// lastOf is where the last n lines of the live file begin; ok is false when it was rotated meanwhile.
func lastOf(path string, s span, n int) (start int64, ok bool) {
	r := &reader{path: path}
	defer r.close()
	if err := r.open(); err != nil || r.f == nil {
		return 0, false
	}
	h, err := r.head()
	if err != nil || h.pos != s.start {
		return 0, false
	}
	at, err := lastLines(r.f, h.at, h.at+s.end-h.pos, n)
	if err != nil {
		return 0, false
	}
	again, err := r.head()
	return h.pos + at - h.at, err == nil && again == h
}

// batchLines is how many lines are handed on at once.
const batchLines = 256

// scan gives what matches in one span. It reads and decompresses ahead. sc has what the span before left.
func (q *Query) scan(ctx context.Context, file File, s span, sc *scanner, give func([]Line) bool) error {
	sc.stamps, sc.unknown = newStamper(s.upper), s.upper.UnixNano()
	if err := sc.stamps.countNights(file.Path, s); err != nil {
		return err
	}
	var batch []Line
	err := readChunks(ctx, file.Path, s.start, s.end, chunkOf(len(q.Files)), func(b []byte, pos int64) bool {
		return sc.chunk(b, pos, func(h hit) bool {
			batch = append(batch, h.line(file))
			if len(batch) < batchLines {
				return true
			}
			full := batch
			batch = make([]Line, 0, batchLines)
			return give(full)
		})
	})
	if err == nil && len(batch) > 0 && !give(batch) {
		err = errStopped
	}
	return err
}

func (h hit) line(file File) Line {
	l := Line{File: file, Text: lineText(h.text), Level: h.level, End: h.end}
	if h.at != 0 {
		l.Time = time.Unix(0, h.at).UTC()
	}
	return l
}

// Tail returns the last n lines of a file, the oldest first. A missing file has none.
func Tail(path string, n int) ([]string, error) {
	if n <= 0 {
		return nil, nil
	}
	var lines []string
	err := Search(context.Background(), Query{Files: []File{{Path: path}}, Lines: n}, func(l Line) bool {
		lines = append(lines, l.Text)
		return true
	})
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return lines, err
}

// ring holds the last max lines.
type ring struct {
	lines []Line
	next  int
	max   int
}

func (r *ring) add(l Line) {
	if len(r.lines) < r.max {
		r.lines = append(r.lines, l)
		return
	}
	r.lines[r.next] = l
	r.next = (r.next + 1) % r.max
}

func (r *ring) all() []Line {
	return append(append([]Line(nil), r.lines[r.next:]...), r.lines[:r.next]...)
}
