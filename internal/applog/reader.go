package applog

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/klauspost/compress/gzip"
)

// reader reads the stream of a log file from a place on: archives first, then the file itself. Rotations in the meantime
// change nothing of what it gives.
type reader struct {
	path string
	pos  int64 // of the next byte

	f       *os.File // the live file; nil: not open, or there is none
	settled head     // stands for the head of a file that has none, and whose archives say where it goes on

	part      io.ReadCloser // the archive that holds pos
	partStart int64         // of the archive, in the stream
	partEnd   int64
}

func (r *reader) close() {
	if r.f != nil {
		r.f.Close()
		r.f = nil
	}
	r.closePart()
}

func (r *reader) closePart() {
	if r.part != nil {
		r.part.Close()
		r.part = nil
	}
}

// open opens the live file, if there is one and it is not open.
func (r *reader) open() error {
	if r.f != nil {
		return nil
	}
	f, err := os.Open(r.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	r.f = f
	_, err = r.settle()
	return err
}

// settle finds out how the open file continues its stream.
func (r *reader) settle() (head, error) {
	h, err := readHead(r.f)
	if err != nil || h != (head{}) {
		return h, err
	}
	list, err := archivesOf(r.path)
	if err != nil {
		return head{}, err
	}
	// A rotation may have ended between the two looks.
	again, err := readHead(r.f)
	if err != nil || again != h {
		return again, err
	}
	r.settled = settle(h, list)
	return r.settled, nil
}

// head is where the live file goes on with the stream now.
func (r *reader) head() (head, error) {
	h, err := readHead(r.f)
	if h == (head{}) {
		h = r.settled
	}
	return h, err
}

// Read returns 0 and io.EOF at the present end of the stream; more may be read later.
func (r *reader) Read(b []byte) (int, error) {
	for {
		if r.part != nil {
			n, err := r.part.Read(b)
			r.pos += int64(n)
			switch {
			case n > 0:
				return n, nil
			case err == nil:
				continue
			}
			r.closePart()
			r.pos = max(r.pos, r.partEnd) // what cannot be read is skipped
		}
		if err := r.open(); err != nil {
			return 0, err
		}
		if r.f == nil {
			if more, err := r.openPart(1<<63 - 1); err != nil || !more {
				return 0, errOr(err, io.EOF)
			}
			continue
		}
		h, err := r.head()
		if err != nil {
			return 0, err
		}
		if r.pos < h.pos {
			more, err := r.openPart(h.pos)
			if err != nil {
				return 0, err
			}
			if more {
				continue
			}
			now, err := r.head()
			if err != nil {
				return 0, err
			}
			if now == h {
				r.pos = h.pos // what is before it was removed, by a budget or by somebody
			}
			continue
		}
		n, err := r.f.ReadAt(b, h.at+r.pos-h.pos)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if now, err := r.head(); err != nil {
			return 0, err
		} else if now != h {
			continue // moved meanwhile
		}
		r.pos += int64(n)
		if n == 0 {
			return 0, io.EOF
		}
		return n, nil
	}
}

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// openPart opens the archive that goes on at r.pos, or the next one after a gap, if it begins before end.
func (r *reader) openPart(end int64) (bool, error) {
	for try := 0; ; try++ {
		list, err := archivesOf(r.path)
		if err != nil {
			return false, err
		}
		opened, whole := r.openOne(list, end)
		if opened && !whole && try < missingTries {
			r.closePart()
			opened = false
		}
		if opened {
			r.pos = max(r.pos, r.partStart)
			return true, nil
		}
		if try == missingTries {
			return false, nil
		}
		time.Sleep(missingWait)
	}
}

// openOne opens the first archive of the list that has something at or behind r.pos; whole says that nothing is missing before
// it. Those that are damaged are left out.
func (r *reader) openOne(list []archive, end int64) (opened, whole bool) {
	for _, a := range list {
		if a.pos >= end {
			return false, false
		}
		e, err := a.end()
		if err != nil || e <= r.pos {
			continue
		}
		part, err := openArchive(a.path)
		if err != nil {
			continue
		}
		if skip := r.pos - a.pos; skip > 0 {
			if _, err := io.CopyN(io.Discard, part, skip); err != nil {
				part.Close()
				continue
			}
		}
		r.part, r.partStart, r.partEnd = part, a.pos, e
		return true, a.pos <= r.pos
	}
	return false, false
}

// archiveReader closes the file behind a gzip reader.
type archiveReader struct {
	*gzip.Reader
	f *os.File
}

func (a archiveReader) Close() error { return errors.Join(a.Reader.Close(), a.f.Close()) }

func openArchive(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return archiveReader{z, f}, nil
}

// limited reads up to a place in the stream.
type limited struct {
	*reader
	end int64
}

func (l limited) Read(b []byte) (int, error) {
	left := l.end - l.pos
	if left <= 0 {
		return 0, io.EOF
	}
	n, err := l.reader.Read(b[:min(int64(len(b)), left)])
	if over := l.pos - l.end; over > 0 { // a gap went beyond the end
		n = max(0, n-int(min(over, int64(n))))
	}
	return n, err
}
