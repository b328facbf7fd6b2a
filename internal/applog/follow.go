package applog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	gather        = 30 * time.Millisecond // lines that come so close together are put in order
	pollWatched   = 2 * time.Second       // file systems over the network report no changes
	pollUnwatched = 250 * time.Millisecond
	lookForFiles  = 500 * time.Millisecond // how often More is called
)

// fingerprint is how many bytes before the reading position are remembered, to see whether they are still there.
const fingerprint = 128

// follow gives what is added to the files of q after the places in next.
func follow(ctx context.Context, q Query, next map[string]int64, yield func(Line) bool) error {
	w := newWatch()
	defer w.close()
	var all []*follower
	add := func(f File, pos int64) error {
		n := &follower{file: f, r: reader{path: f.Path, pos: pos}}
		n.scan = scanner{filter: q.filter(), stamps: newStamper(time.Now())}
		w.add(f.Path)
		all = append(all, n)
		return n.remember()
	}
	defer func() {
		for _, f := range all {
			f.r.close()
		}
	}()
	for _, f := range q.Files {
		if err := add(f, next[f.Path]); err != nil {
			return err
		}
	}
	looked := time.Now()
	for {
		if q.More != nil && time.Since(looked) >= lookForFiles {
			looked = time.Now()
			for _, f := range q.More() {
				if !slices.ContainsFunc(all, func(o *follower) bool { return o.file.Path == f.Path }) {
					if err := add(f, 0); err != nil {
						return err
					}
				}
			}
		}
		for more := true; more; {
			more = false
			var batch []Line
			for _, f := range all {
				left, err := f.drain(func(l Line) { batch = append(batch, l) })
				if err != nil {
					return err
				}
				more = more || left
			}
			if !yieldInOrder(batch, yield) || ctx.Err() != nil {
				return nil
			}
		}
		wait := w.poll()
		if q.More != nil {
			wait = min(wait, lookForFiles)
		}
		if !w.wait(ctx, wait) {
			return nil
		}
	}
}

// yieldInOrder puts what came together into the order of its times; lines of one file stay in theirs.
func yieldInOrder(batch []Line, yield func(Line) bool) bool {
	last := make(map[string]time.Time)
	keys := make([]time.Time, len(batch))
	order := make([]int, len(batch))
	for i, l := range batch {
		keys[i], order[i] = l.Time, i
		if keys[i].Before(last[l.File.Path]) {
			keys[i] = last[l.File.Path]
		}
		last[l.File.Path] = keys[i]
	}
	slices.SortStableFunc(order, func(a, b int) int { return keys[a].Compare(keys[b]) })
	for _, i := range order {
		if !yield(batch[i]) {
			return false
		}
	}
	return true
}

// watch reports changes in the folders of some files.
type watch struct {
	w       *fsnotify.Watcher // nil: cannot be had
	missing map[string]bool   // folders that could not be watched yet
	dirs    map[string]bool
}

func newWatch() *watch {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		w = nil // no inotify instance left: polling must do
	}
	return &watch{w: w, missing: make(map[string]bool), dirs: make(map[string]bool)}
}

func (w *watch) close() {
	if w.w != nil {
		w.w.Close()
	}
}

func (w *watch) add(path string) {
	dir := filepath.Dir(path)
	if w.w == nil || w.dirs[dir] {
		return
	}
	if err := w.w.Add(dir); err != nil {
		w.missing[dir] = true
		return
	}
	w.dirs[dir] = true
	delete(w.missing, dir)
}

func (w *watch) poll() time.Duration {
	for dir := range w.missing {
		w.add(filepath.Join(dir, "x"))
	}
	if w.w == nil || len(w.missing) > 0 {
		return pollUnwatched
	}
	return pollWatched
}

// wait returns when something has changed, or after a time; false when ctx has ended.
func (w *watch) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	var events chan fsnotify.Event
	var errs chan error
	if w.w != nil {
		events, errs = w.w.Events, w.w.Errors
	}
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	case <-events:
	case <-errs: // lost events: look
	}
	timer.Reset(gather)
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-events:
		case <-errs:
		}
	}
}

// follower is a place in the stream of a growing file.
type follower struct {
	file   File
	r      reader
	scan   scanner
	before []byte // the last bytes before r.pos, as far as they are in the live file
	rest   []byte // the unfinished line
	skip   bool   // to the end of a line that is longer than any that is kept
}

// drainMost is how much of one file is read before the others get their turn.
const drainMost = 1 << 20

// drain gives the lines that are complete by now. left says that there is more.
func (f *follower) drain(give func(Line)) (left bool, err error) {
	if err := f.locate(); err != nil {
		return false, err
	}
	f.scan.at = 0
	f.scan.stamps = newStamper(time.Now())
	f.scan.unknown = time.Now().UnixNano()
	if left, err = f.read(give); err != nil || left {
		return left, err
	}
	replaced, err := f.replaced()
	if err != nil || !replaced {
		return false, err
	}
	// What was added to the old file between the two looks is its last.
	if left, err = f.read(give); err != nil || left {
		return left, err
	}
	if len(f.rest) > 0 {
		f.lines(append(f.rest, '\n'), f.r.pos-int64(len(f.rest)), give)
	}
	f.begin()
	return true, nil
}

// begin starts at the beginning of the live file, which is another one now, or was emptied.
func (f *follower) begin() {
	f.r.close()
	f.rest, f.before, f.skip = nil, nil, false
	f.r.settled = head{}
	if err := f.r.open(); err != nil || f.r.f == nil {
		f.r.pos = 0
		return
	}
	if h, err := f.r.head(); err == nil {
		f.r.pos = h.pos
	}
}

// read reads to the present end.
func (f *follower) read(give func(Line)) (left bool, err error) {
	buf := make([]byte, block)
	for total := 0; total < drainMost; {
		n, err := f.r.Read(buf)
		if n > 0 {
			total += n
			f.take(buf[:n], give)
		}
		switch {
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil:
			return false, err
		}
	}
	return true, nil
}

// take adds what was read just now.
func (f *follower) take(b []byte, give func(Line)) {
	last := append(f.before, b[max(len(b)-fingerprint, 0):]...)
	f.before = append([]byte(nil), last[max(len(last)-fingerprint, 0):]...)
	pos := f.r.pos - int64(len(b))
	if f.skip {
		i := bytes.IndexByte(b, '\n') + 1
		if i == 0 {
			return
		}
		f.skip = false
		b, pos = b[i:], pos+int64(i)
	}
	i := bytes.LastIndexByte(b, '\n') + 1
	if i > 0 {
		whole := append(f.rest, b[:i]...)
		f.lines(whole, pos-int64(len(f.rest)), give)
		f.rest = nil
	}
	f.rest = append(f.rest, b[i:]...)
	if len(f.rest) > chunkSize {
		f.lines(f.rest, f.r.pos-int64(len(f.rest)), give)
		f.rest, f.skip = nil, true
	}
}

func (f *follower) lines(b []byte, pos int64, give func(Line)) {
	f.scan.chunk(b, pos, func(h hit) bool {
		give(h.line(f.file))
		return true
	})
}

// replaced says whether another file has the path now than the open one.
func (f *follower) replaced() (bool, error) {
	if f.r.f == nil {
		return false, nil
	}
	a, err := os.Stat(f.file.Path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // moved away: ours is still written to
	}
	if err != nil {
		return false, err
	}
	b, err := f.r.f.Stat()
	return err == nil && !os.SameFile(a, b), err
}

// remember takes the fingerprint at the position.
func (f *follower) remember() error {
	if err := f.r.open(); err != nil || f.r.f == nil {
		return err
	}
	b, ok, err := f.behind(fingerprint)
	if ok {
		f.before = b
	}
	return err
}

// behind reads up to n bytes before the position, those that are in the live file. ok is false when the position itself is
// not in it.
func (f *follower) behind(n int64) (b []byte, ok bool, err error) {
	for {
		h, err := f.r.head()
		if err != nil {
			return nil, false, err
		}
		off := h.at + f.r.pos - h.pos
		st, err := f.r.f.Stat()
		if err != nil {
			return nil, false, err
		}
		if f.r.pos >= h.pos && off <= st.Size() {
			b = make([]byte, min(n, off-h.at))
			if _, err := f.r.f.ReadAt(b, off-int64(len(b))); err != nil && !errors.Is(err, io.EOF) {
				return nil, false, err
			}
		}
		if again, err := f.r.head(); err != nil {
			return nil, false, err
		} else if again != h {
			continue
		}
		return b, f.r.pos < h.pos || off <= st.Size(), nil
	}
}

// locate looks whether the file was emptied since we read from it, and starts again if it was.
func (f *follower) locate() error {
	if f.r.f == nil {
		return nil
	}
	b, ok, err := f.behind(int64(len(f.before)))
	if err != nil {
		return err
	}
	if !ok || !bytes.HasSuffix(f.before, b) {
		f.begin()
	}
	return nil
}
