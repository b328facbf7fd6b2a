package applog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// The file is looked at when its directory reports a change, and in any case this often: file systems over the
// network report none.
const (
	pollWatched   = 2 * time.Second
	pollUnwatched = 250 * time.Millisecond
)

// fingerprint is how many bytes before the reading position are remembered, to see whether they are still there.
const fingerprint = 128

// shiftUnit is what a rotation that removes the head of a file in place removes a multiple of: the file system's block.
const shiftUnit = 4096

// follow gives what is added to path after offset, until ctx ends or yield returns false. f is the open file, or nil if
// there is none yet; follow closes it.
func follow(ctx context.Context, path string, f *os.File, offset int64, yield func(string) bool) error {
	r := &follower{path: path, f: f, offset: offset}
	defer func() { r.close() }()
	if err := r.remember(); err != nil {
		return err
	}
	events, poll, stop := watch(path)
	defer stop()
	for {
		more, err := r.advance(yield)
		if err != nil || !more {
			return err
		}
		timer := time.NewTimer(poll)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-events:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// watch reports changes of path by fsnotify on its directory, which sees a replacement too. Where that cannot be had (no
// directory yet, no inotify instance left) polling must do.
func watch(path string) (events <-chan struct{}, poll time.Duration, stop func()) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, pollUnwatched, func() {}
	}
	if err := w.Add(filepath.Dir(path)); err != nil {
		w.Close()
		return nil, pollUnwatched, func() {}
	}
	changed := make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		errs := w.Errors
		for {
			select {
			case e, ok := <-w.Events:
				if !ok {
					return
				}
				if filepath.Clean(e.Name) != filepath.Clean(path) {
					continue
				}
			case _, ok := <-errs: // lost events: look
				if !ok {
					errs = nil
					continue
				}
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed, pollWatched, func() {
		w.Close()
		<-ended
	}
}

// follower is a place in a growing file.
type follower struct {
	path   string
	f      *os.File // nil: the file does not exist yet
	offset int64
	before []byte // the last bytes before offset
	lines  splitter
}

func (r *follower) close() {
	if r.f != nil {
		r.f.Close()
		r.f = nil
	}
}

// advance gives all lines that are complete by now.
func (r *follower) advance(yield func(string) bool) (more bool, err error) {
	for {
		if r.f != nil {
			if more, err := r.drain(yield); err != nil || !more {
				return false, err
			}
		}
		next, err := r.replaced()
		if err != nil || next == nil {
			return true, err
		}
		// What was added to the old file between the drain and now is its last.
		if r.f != nil {
			if more, err := r.drain(yield); err != nil || !more {
				next.Close()
				return false, err
			}
			if !r.lines.flush(yield) {
				next.Close()
				return false, nil
			}
		}
		r.close()
		r.f, r.offset, r.before = next, 0, nil
	}
}

// replaced opens the file that has the path now, if it is another one than ours.
func (r *follower) replaced() (*os.File, error) {
	next, err := os.Open(r.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // moved away: ours is still written to
	}
	if err != nil {
		return nil, err
	}
	if r.f == nil {
		return next, nil
	}
	a, err := next.Stat()
	if err != nil {
		next.Close()
		return nil, err
	}
	if b, err := r.f.Stat(); err != nil || os.SameFile(a, b) {
		next.Close()
		return nil, err
	}
	return next, nil
}

// drain reads to the end of the open file.
func (r *follower) drain(yield func(string) bool) (more bool, err error) {
	if err := r.locate(); err != nil {
		return false, err
	}
	buf := make([]byte, block)
	for {
		n, err := r.f.ReadAt(buf, r.offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		if n == 0 {
			return true, nil
		}
		r.offset += int64(n)
		last := append(r.before, buf[max(n-fingerprint, 0):n]...)
		r.before = append([]byte(nil), last[max(len(last)-fingerprint, 0):]...)
		if !r.lines.write(buf[:n], yield) {
			return false, nil
		}
	}
}

// remember takes the fingerprint at the offset.
func (r *follower) remember() error {
	if r.f == nil {
		return nil
	}
	b := make([]byte, min(r.offset, fingerprint))
	n, err := r.f.ReadAt(b, r.offset-int64(len(b)))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	r.before = b[:n]
	return nil
}

// locate finds our place again when the file was changed before it: its head may have been removed (a rotation in
// place), which moves our place towards the beginning by whole blocks, or it may have been emptied.
func (r *follower) locate() error {
	st, err := r.f.Stat()
	if err != nil {
		return err
	}
	for at := r.offset; at >= int64(len(r.before)); at -= shiftUnit {
		if at <= st.Size() && r.isAt(at) {
			r.offset = at
			return nil
		}
		if len(r.before) == 0 {
			break
		}
	}
	if r.offset > 0 {
		r.offset, r.before, r.lines = 0, nil, splitter{}
	}
	return nil
}

func (r *follower) isAt(offset int64) bool {
	b := make([]byte, len(r.before))
	_, err := r.f.ReadAt(b, offset-int64(len(b)))
	return (err == nil || errors.Is(err, io.EOF)) && bytes.Equal(b, r.before)
}
