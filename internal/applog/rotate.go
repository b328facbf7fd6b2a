package applog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"
)

// ErrCannotRotate tells of a file system that can neither remove the head of a file nor punch a hole into it.
var ErrCannotRotate = errors.New("applog: the file system can neither remove the head of a file nor punch a hole into it")

// The steps of a rotation. A test ends the process at each.
const (
	stepArchiving = "archiving" // an archive is begun under its temporary name
	stepArchived  = "archived"  // all are written and on the disk
	stepMarked    = "marked"    // the file's head says that its lines are archived
	stepNamed     = "named"     // the archives have their names
	stepFilled    = "filled"    // the head that will be the file's first line is in its place
	stepDropped   = "dropped"   // the lines are gone from the file
)

// rotation moves the lines of a log file, whose writer holds it open for appending and knows nothing of this, into
// compressed archives beside it. No byte is lost or doubled, whenever the process that does it ends:
//
//  1. The lines are compressed to temporary files, and these synced.
//  2. The file's first bytes are overwritten with a head that says: archived up to here. From that moment on the archives
//     count, and before it they do not; see recoverRotation.
//  3. The archives get their names.
//  4. What is before the last block's boundary is cut off the file (collapse range: one step for the file system, which
//     takes turns with appends); what is behind it becomes the new head. Where the file system cannot do that, a hole
//     is punched: the file's length stays, its blocks are freed.
type rotation struct {
	path string
	part int64 // of the lines in one archive, in bytes
	now  time.Time

	step    func(string)
	noShift bool // as on a file system without collapse range
}

// run archives all finished lines, save those in the last block. Made is the archives' number.
func (r rotation) run() (made int, err error) {
	f, err := os.OpenFile(r.path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	list, err := archivesOf(r.path)
	if err != nil {
		return 0, err
	}
	if err := r.recover(f, list); err != nil {
		return 0, err
	}
	h, err := readHead(f)
	if err != nil {
		return 0, err
	}
	h = settle(h, list)
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	unit := blockOf(f)
	cut, err := cutAt(f, h.at, st.Size(), unit, 2*r.part)
	if err != nil || cut == 0 {
		return 0, err
	}
	made, err = r.archive(f, st, h, cut)
	if err != nil {
		r.dropTemporary()
		return 0, fmt.Errorf("applog: rotate %s: %w", r.path, err)
	}
	r.at(stepArchived)
	if err := r.remove(f, head{pos: h.pos + cut - h.at, at: cut}, unit); err != nil {
		return made, fmt.Errorf("applog: rotate %s: %w", r.path, err)
	}
	return made, nil
}

func (r rotation) at(step string) {
	if r.step != nil {
		r.step(step)
	}
}

// shiftUnit is the least that a range to be collapsed is taken to be a multiple of.
const shiftUnit = 4096

// blockOf is what a range that is to be collapsed must be a multiple of.
func blockOf(f *os.File) int64 {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil || st.Bsize <= 0 {
		return shiftUnit
	}
	return max(st.Bsize, shiftUnit)
}

// cutAt chooses where the lines to archive end: behind the first line end that leaves room for a head after a block's
// boundary. 0: there is too little. A line longer than most is cut.
func cutAt(f io.ReaderAt, from, size, unit, most int64) (int64, error) {
	last, err := lineStart(f, from, size) // where the unfinished line begins
	if err != nil {
		return 0, err
	}
	if last <= from {
		if size-from <= most {
			return 0, nil
		}
		last = size
	}
	n := (last - headLen) / unit * unit
	if n <= 0 || n+headLen <= from {
		return 0, nil
	}
	buf := make([]byte, block)
	for at := n + headLen - 1; at < last; { // the newline may be the last byte of the room itself
		b := buf[:min(last-at, block)]
		if _, err := f.ReadAt(b, at); err != nil {
			return 0, err
		}
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			at += int64(i) + 1
			return at + entryStart(b[i+1:]), nil
		}
		at += int64(len(b))
	}
	return last, nil
}

// entryWithin is how far a cut moves so that it does not fall into an entry of several lines, such as a crash with its stack.
const entryWithin = 16 << 10

// entryStart is where, in some whole lines, the first one begins that has a time; 0 when none does nearby.
func entryStart(b []byte) int64 {
	s := newStamper(time.Now())
	b = b[:min(len(b), entryWithin)]
	for at := 0; at < len(b); {
		if _, _, ok := s.stamp(b[at:]); ok {
			return int64(at)
		}
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			break
		}
		at += i + 1
	}
	return 0
}

// archive writes what is between h.at and cut to temporary files.
func (r rotation) archive(f *os.File, st os.FileInfo, h head, cut int64) (made int, err error) {
	in := bufio.NewReaderSize(io.NewSectionReader(f, h.at, cut-h.at), 256<<10)
	for at := h.at; at < cut; made++ {
		part := r.part
		if left := cut - at; left < part+part/2 {
			part = left // no crumbs
		}
		n, err := r.archivePart(in, st, h.pos+at-h.at, part)
		if err != nil {
			return made, err
		}
		if n == 0 {
			return made, io.ErrUnexpectedEOF // emptied under our hands
		}
		at += n
	}
	return made, syncDir(filepath.Dir(r.path))
}

// archivePart writes one archive of about part bytes, ending with a line.
func (r rotation) archivePart(in *bufio.Reader, st os.FileInfo, pos, part int64) (n int64, err error) {
	name := archivePath(r.path, r.now, pos)
	out, err := os.OpenFile(name[:len(name)-len(archiveEnd)]+archiveTemp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, st.Mode().Perm())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if own, ok := st.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := out.Chown(int(own.Uid), int(own.Gid)); err != nil {
			return 0, err
		}
	}
	r.at(stepArchiving)
	z, err := gzip.NewWriterLevel(out, 3)
	if err != nil {
		return 0, err
	}
	z.Name, z.ModTime = filepath.Base(r.path), r.now
	n, err = copyLines(z, in, part)
	if err != nil {
		return n, err
	}
	if err := z.Close(); err != nil {
		return n, err
	}
	return n, out.Sync()
}

// copyLines copies at least n bytes, and on to the end of a line.
func copyLines(out io.Writer, in *bufio.Reader, n int64) (copied int64, err error) {
	if copied, err = io.CopyN(out, in, n); err != nil {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return copied, err
	}
	for {
		line, err := in.ReadSlice('\n')
		m, werr := out.Write(line)
		copied += int64(m)
		switch {
		case werr != nil:
			return copied, werr
		case errors.Is(err, io.EOF):
			return copied, nil
		case err == nil:
			rest, _ := in.Peek(entryWithin) // fewer at the end
			m, err := io.CopyN(out, in, entryStart(rest))
			return copied + m, err
		case !errors.Is(err, bufio.ErrBufferFull):
			return copied, err
		}
	}
}

// remove takes what is before h out of the file, whose archives are written.
func (r rotation) remove(f *os.File, h head, unit int64) error {
	if _, err := f.WriteAt(h.line(headLen), 0); err != nil {
		return err
	}
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return err
	}
	r.at(stepMarked)
	return r.finish(f, h, unit)
}

// finish does what is left to do once the file's head says that its lines are archived. It is safe to repeat.
func (r rotation) finish(f *os.File, h head, unit int64) error {
	list, err := archivesOf(r.path)
	if err != nil {
		return err
	}
	named := false
	for _, a := range list {
		switch {
		case !a.temp:
			continue
		case a.pos < h.pos:
			err = os.Rename(a.path, a.path[:len(a.path)-len(archiveTemp)]+archiveEnd)
		default:
			err = os.Remove(a.path)
		}
		if err != nil {
			return err
		}
		named = true
	}
	if named {
		if err := syncDir(filepath.Dir(r.path)); err != nil {
			return err
		}
	}
	r.at(stepNamed)
	if err := r.drop(f, h, unit); err != nil {
		return err
	}
	r.at(stepDropped)
	return nil
}

// drop frees what is before h in the file.
func (r rotation) drop(f *os.File, h head, unit int64) error {
	n := (h.at - headLen) / unit * unit
	if n <= 0 {
		return nil
	}
	if _, err := f.WriteAt(head{pos: h.pos, at: h.at - n}.line(h.at-n), n); err != nil {
		return err
	}
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return err
	}
	r.at(stepFilled)
	err := error(unix.EOPNOTSUPP)
	if !r.noShift {
		err = retryEINTR(func() error { return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE, 0, n) })
	}
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS):
		return err
	}
	err = retryEINTR(func() error {
		return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, headLen, h.at-headLen)
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return ErrCannotRotate
	}
	return err
}

func retryEINTR(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// recover ends a rotation that another process was in the middle of.
func (r rotation) recover(f *os.File, list []archive) error {
	h, err := readHead(f)
	if err != nil {
		return err
	}
	for _, a := range list {
		if a.temp && a.pos < h.pos && h.at > 0 {
			return r.finish(f, h, blockOf(f))
		}
	}
	if slices.ContainsFunc(list, func(a archive) bool { return a.temp }) {
		r.dropTemporary()
	}
	if unit := blockOf(f); h.at-headLen >= unit {
		return r.drop(f, h, unit)
	}
	return nil
}

// recoverRotation ends the rotation of a log file, with these archives, that was under way when its daemon was killed, if there
// was one.
func recoverRotation(path string, list []archive) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return rotation{path: path}.recover(f, list)
}

// dropTemporary removes archives that were begun and do not count.
func (r rotation) dropTemporary() {
	list, err := archivesOf(r.path)
	if err != nil {
		return // tried again at the next rotation
	}
	for _, a := range list {
		if a.temp {
			_ = os.Remove(a.path)
		}
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
