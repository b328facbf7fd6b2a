package release

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"
)

// unpack writes the archive in r, of size bytes, below the empty folder dir and says what it is. It does not sync.
// What it leaves in dir after an error is for the caller to remove.
func unpack(ctx context.Context, r io.Reader, size int64, dir, app string, limits Limits) (Package, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Package{}, diskError(err)
	}
	defer root.Close()
	w := treeWriter{root: root, dirs: map[string]bool{".": true}, most: limits.orDefaults().Entries, buf: make([]byte, 128<<10)}
	defer w.close()
	if err := readArchive(ctx, r, size, limits, &w); err != nil {
		return Package{}, diskError(err)
	}
	if err := w.checkLinks(); err != nil {
		return Package{}, err
	}
	return w.scan.result(app)
}

// treeWriter makes the tree of an archive. Every folder it writes to is one that it made: no path leads through a link.
type treeWriter struct {
	root  *os.Root
	scan  packageScan
	dirs  map[string]bool // made
	most  int             // folders
	links []string        // symbolic ones
	buf   []byte

	// Entries come folder by folder; the last one stays open.
	lastDir string
	last    *os.Root
}

func (w *treeWriter) close() {
	if w.last != nil {
		w.last.Close()
	}
}

func (w *treeWriter) visit(e entry, body io.Reader) error {
	w.scan.see(e)
	if e.Typeflag == tar.TypeDir {
		return w.mkdir(e.path)
	}
	dir, base := path.Dir(e.path), path.Base(e.path)
	if w.dirs[e.path] {
		return fmt.Errorf("%w: it is a folder already", ErrUnsafePath)
	}
	at, err := w.open(dir)
	if err != nil {
		return err
	}
	switch e.Typeflag {
	case tar.TypeSymlink:
		w.links = append(w.links, e.path)
		return w.again(at, base, func() error { return at.Symlink(e.Linkname, base) })
	case tar.TypeLink:
		return w.hardLink(e, at, base)
	}
	body, keep := w.scan.tee(e, body)
	if err := w.file(e, at, base, body); err != nil {
		return err
	}
	keep()
	return nil
}

// hardLink makes another name of a file that the archive had before.
func (w *treeWriter) hardLink(e entry, at *os.Root, base string) error {
	if e.link == e.path {
		return fmt.Errorf("%w: a link to itself", ErrUnsafePath)
	}
	if !w.dirs[path.Dir(e.link)] {
		return fmt.Errorf("%w: link to %s, which did not come before", ErrUnsafePath, quoteCut(e.link))
	}
	info, err := w.root.Lstat(e.link)
	if err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("%w: link to %s, which is no file that came before", ErrUnsafePath, quoteCut(e.link))
	}
	// What is shared and what is copied goes by the name, and so does the mode: one file cannot be both.
	if treeMode(e.path, info.Mode()) != info.Mode().Perm() {
		return w.copyFile(e, at, base, info)
	}
	return w.again(at, base, func() error { return w.root.Link(e.link, e.path) })
}

func (w *treeWriter) copyFile(e entry, at *os.Root, base string, info fs.FileInfo) error {
	src, err := w.root.Open(e.link)
	if err != nil {
		return err
	}
	defer src.Close()
	return w.write(at, base, treeMode(e.path, info.Mode()), info.ModTime(), src)
}

func (w *treeWriter) file(e entry, at *os.Root, base string, body io.Reader) error {
	return w.write(at, base, treeMode(e.path, e.FileInfo().Mode()), e.ModTime, body)
}

func (w *treeWriter) write(at *os.Root, base string, mode fs.FileMode, mtime time.Time, body io.Reader) error {
	var f *os.File
	err := w.again(at, base, func() (err error) {
		f, err = at.OpenFile(base, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	// No ReadFrom: it would make a buffer of its own for each file.
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, body, w.buf)
	if err == nil {
		err = f.Chmod(mode)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	// Web servers make an ETag of it, and replicas should agree.
	return at.Chtimes(base, time.Time{}, saneTime(mtime))
}

// saneTime keeps a time that every file system can hold.
func saneTime(t time.Time) time.Time {
	if t.Unix() < 0 || t.Unix() > 1<<32-1 {
		return time.Unix(0, 0)
	}
	return t
}

// again runs make, and if base exists, once more without it: of two entries with one name the later one counts.
func (w *treeWriter) again(at *os.Root, base string, make func() error) error {
	err := make()
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := at.Remove(base); err != nil {
		return err
	}
	return make()
}

// open returns the folder dir, made if need be, until the next open.
func (w *treeWriter) open(dir string) (*os.Root, error) {
	if w.last != nil && w.lastDir == dir {
		return w.last, nil
	}
	if err := w.mkdir(dir); err != nil {
		return nil, err
	}
	r, err := w.root.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	w.close()
	w.last, w.lastDir = r, dir
	return r, nil
}

// mkdir makes dir and what is above it.
func (w *treeWriter) mkdir(dir string) error {
	if w.dirs[dir] {
		return nil
	}
	if err := w.mkdir(path.Dir(dir)); err != nil {
		return err
	}
	if len(w.dirs) >= w.most {
		return fmt.Errorf("%w: more than %d folders", ErrLimit, w.most)
	}
	if err := w.root.Mkdir(dir, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: %s is a file or a link already", ErrUnsafePath, quoteCut(dir))
		}
		return err
	}
	if err := w.root.Chmod(dir, 0o755); err != nil {
		return err
	}
	w.dirs[dir] = true
	return nil
}

// checkLinks asks the kernel's view of what the names of links promised: that none of them leads out.
func (w *treeWriter) checkLinks() error {
	for _, name := range w.links {
		_, err := w.root.Stat(name)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return &EntryError{Name: name, Err: fmt.Errorf("%w: symbolic link: %v", ErrUnsafePath, err)}
	}
	return nil
}
