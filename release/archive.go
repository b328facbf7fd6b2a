package release

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
)

// Limits bound what an archive may hold. A zero field means its default.
type Limits struct {
	Entries int   // default 200,000
	Bytes   int64 // of the tar file without compression, and of the files in it; default 4 GiB
	Ratio   int64 // unpacked bytes per byte of archive once over 16 MiB, default 200
	Name    int   // bytes of an entry's path, default 1024; a component may have 255
	Depth   int   // components of an entry's path, default 48
	Links   int   // hard and symbolic links, default 10,000
}

const (
	maxComponent = 255      // NAME_MAX of Linux file systems
	freeRatio    = 16 << 20 // an archive may unpack to this much, whatever the ratio
)

func (l Limits) orDefaults() Limits {
	def := func(n *int, d int) {
		if *n <= 0 {
			*n = d
		}
	}
	def64 := func(n *int64, d int64) {
		if *n <= 0 {
			*n = d
		}
	}
	def(&l.Entries, 200_000)
	def64(&l.Bytes, 4<<30)
	def64(&l.Ratio, 200)
	def(&l.Name, 1024)
	def(&l.Depth, 48)
	def(&l.Links, 10_000)
	return l
}

// entry is one checked member of an archive.
type entry struct {
	*tar.Header
	path string // clean, relative, slash-separated, without . and ..
	link string // of a hard link: the clean path of its target
}

// archiveVisitor is given the entries of an archive in its order: files, folders and links only.
type archiveVisitor interface {
	visit(e entry, body io.Reader) error
}

// readArchive reads a gzipped tar file of size bytes to its end and gives each entry to the visitor.
//
// Nothing is read that the limits do not allow, and of what is read only buffers are kept.
// Errors: ErrTruncated, ErrBadArchive, and *EntryError with ErrUnsafePath or ErrLimit; those of r and of v as they are.
func readArchive(ctx context.Context, r io.Reader, size int64, limits Limits, v archiveVisitor) error {
	limits = limits.orDefaults()
	a := archiveReader{limits: limits, visitor: v}
	src := &sourceReader{r: contextReader{ctx, r}}
	if err := a.read(src, size); err != nil {
		// What the source itself said is better than what gzip or tar make of it.
		if src.err != nil {
			return src.err
		}
		return archiveError(err)
	}
	return nil
}

type archiveReader struct {
	limits  Limits
	visitor archiveVisitor

	entries int
	links   int
	bytes   int64 // as the headers say: sparse files have more of them than the tar stream
}

func (a *archiveReader) read(src io.Reader, size int64) error {
	in := bufio.NewReaderSize(src, 64<<10)
	magic, err := in.Peek(6)
	if err != nil && len(magic) == 0 {
		return fmt.Errorf("%w: it is empty", ErrTruncated)
	}
	zr, err := gzip.NewReader(in)
	if err != nil {
		if errors.Is(err, gzip.ErrHeader) {
			return fmt.Errorf("%w: not gzip, it begins with %q (%s)", ErrBadArchive, magic, kindOfMagic(magic))
		}
		return err
	}
	plain := &budgetReader{r: zr, left: a.byteBudget(size), err: a.budgetError(size)}
	tr := tar.NewReader(plain)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := a.entry(h, tr); err != nil {
			return err
		}
	}
	if a.entries == 0 {
		return fmt.Errorf("%w: it has no entries", ErrBadArchive)
	}
	// gzip's checksum comes last.
	_, err = io.Copy(io.Discard, plain)
	return err
}

// byteBudget is how much the tar stream may have.
func (a *archiveReader) byteBudget(size int64) int64 {
	return min(a.limits.Bytes, a.byRatio(size))
}

func (a *archiveReader) byRatio(size int64) int64 {
	if size > math.MaxInt64/a.limits.Ratio {
		return math.MaxInt64
	}
	return max(freeRatio, size*a.limits.Ratio)
}

func (a *archiveReader) budgetError(size int64) error {
	if a.limits.Bytes <= a.byRatio(size) {
		return fmt.Errorf("%w: it unpacks to more than %d bytes", ErrLimit, a.limits.Bytes)
	}
	return fmt.Errorf("%w: it unpacks to more than %d times its size", ErrLimit, a.limits.Ratio)
}

// entry checks one header and hands it on.
func (a *archiveReader) entry(h *tar.Header, body io.Reader) error {
	a.entries++
	if a.entries > a.limits.Entries {
		return fmt.Errorf("%w: more than %d entries", ErrLimit, a.limits.Entries)
	}
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	e := entry{Header: h}
	err := a.check(&e)
	if err == nil {
		if e.path == "." {
			return nil
		}
		err = a.visitor.visit(e, bodyReader{body})
	}
	if err != nil && !isReadError(err) {
		return &EntryError{Name: h.Name, Err: err}
	}
	return err
}

// isReadError tells the archive's own failures, met while an entry was read, from those that are about the entry.
func isReadError(err error) bool {
	var read *readError
	return errors.As(err, &read)
}

// readError is an error of the tar stream rather than of the place it is written to.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// bodyReader marks what goes wrong with the archive while an entry is read.
type bodyReader struct{ r io.Reader }

func (b bodyReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		err = &readError{err}
	}
	return n, err
}

func (a *archiveReader) check(e *entry) error {
	var err error
	if e.path, err = a.cleanPath(e.Name); err != nil {
		return err
	}
	mode := e.FileInfo().Mode()
	switch e.Typeflag {
	case tar.TypeReg:
		if mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 {
			return fmt.Errorf("%w: a setuid, setgid or sticky bit", ErrUnsafePath)
		}
		if e.path == "." {
			return fmt.Errorf("%w: a file without a name", ErrUnsafePath)
		}
		if e.Size > a.limits.Bytes-a.bytes {
			return fmt.Errorf("%w: it unpacks to more than %d bytes", ErrLimit, a.limits.Bytes)
		}
		a.bytes += e.Size
	case tar.TypeDir:
	case tar.TypeLink, tar.TypeSymlink:
		if a.links++; a.links > a.limits.Links {
			return fmt.Errorf("%w: more than %d links", ErrLimit, a.limits.Links)
		}
		if e.path == "." {
			return fmt.Errorf("%w: a link without a name", ErrUnsafePath)
		}
		return a.checkLink(e)
	default:
		return fmt.Errorf("%w: %s", ErrUnsafePath, kindOfEntry(e.Typeflag))
	}
	return nil
}

// checkLink lets a hard link name a path of the archive, and a symbolic link whatever is inside the tree.
//
// A symbolic link may go up only at its beginning. So wherever it passes through other links of the archive, none of
// which leads out, the way goes on from inside and never up: it stays inside.
func (a *archiveReader) checkLink(e *entry) error {
	if e.Typeflag == tar.TypeLink {
		target, err := a.cleanPath(e.Linkname)
		if err == nil && target == "." {
			err = fmt.Errorf("%w: no name", ErrUnsafePath)
		}
		if err != nil {
			return fmt.Errorf("link to %s: %w", quoteCut(e.Linkname), err)
		}
		e.link = target
		return nil
	}
	refuse := func(why string) error {
		return fmt.Errorf("%w: symbolic link to %s, %s", ErrUnsafePath, quoteCut(e.Linkname), why)
	}
	switch {
	case e.Linkname == "" || strings.ContainsRune(e.Linkname, 0):
		return refuse("which is no path")
	case path.IsAbs(e.Linkname):
		return refuse("an absolute path")
	case len(e.Linkname) > a.limits.Name:
		return fmt.Errorf("%w: a link to a path of more than %d bytes", ErrLimit, a.limits.Name)
	}
	ups, down := strings.Count(e.path, "/"), false
	for c := range strings.SplitSeq(e.Linkname, "/") {
		switch c {
		case "", ".":
		case "..":
			if ups--; ups < 0 {
				return refuse("which leads out of the release")
			}
			if down {
				return refuse("which goes down and up again")
			}
		default:
			down = true
		}
	}
	return nil
}

// cleanPath returns name without ./ and doubled or trailing slashes; "." is the top.
func (a *archiveReader) cleanPath(name string) (string, error) {
	switch {
	case name == "" || strings.ContainsRune(name, 0):
		return "", fmt.Errorf("%w: no name", ErrUnsafePath)
	case path.IsAbs(name):
		return "", fmt.Errorf("%w: absolute path", ErrUnsafePath)
	case len(name) > a.limits.Name:
		return "", fmt.Errorf("%w: a path of more than %d bytes", ErrLimit, a.limits.Name)
	}
	depth := 0
	for c := range strings.SplitSeq(name, "/") {
		switch {
		case c == "" || c == ".":
			continue
		case c == "..":
			return "", fmt.Errorf("%w: .. in its path", ErrUnsafePath)
		case len(c) > maxComponent:
			return "", fmt.Errorf("%w: a name of more than %d bytes", ErrLimit, maxComponent)
		}
		depth++
	}
	if depth > a.limits.Depth {
		return "", fmt.Errorf("%w: more than %d folders deep", ErrLimit, a.limits.Depth)
	}
	return path.Clean(name), nil
}

func kindOfEntry(flag byte) string {
	switch flag {
	case tar.TypeChar, tar.TypeBlock:
		return "a device"
	case tar.TypeFifo:
		return "a fifo"
	}
	return fmt.Sprintf("a tar entry of type %q", flag)
}

func kindOfMagic(b []byte) string {
	switch {
	case strings.HasPrefix(string(b), "\x28\xb5\x2f\xfd"):
		return "zstd"
	case strings.HasPrefix(string(b), "\xfd7zXZ"):
		return "xz"
	case strings.HasPrefix(string(b), "BZh"):
		return "bzip2"
	case strings.HasPrefix(string(b), "PK\x03\x04"):
		return "zip"
	case strings.HasPrefix(strings.ToLower(string(b)), "<html"), strings.HasPrefix(strings.ToLower(string(b)), "<!doc"):
		return "a web page"
	}
	return "a tar.gz begins with \"\\x1f\\x8b\""
}

// archiveError gives the errors of gzip and tar their sentinels.
func archiveError(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, ErrTruncated), errors.Is(err, ErrBadArchive):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it ends in the middle", ErrTruncated)
	case errors.Is(err, gzip.ErrHeader):
		return fmt.Errorf("%w: there is something else behind the gzip data", ErrBadArchive)
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, tar.ErrHeader), errors.As(err, &corrupt):
		return fmt.Errorf("%w: %v", ErrBadArchive, err)
	}
	return err
}

// sourceReader remembers what went wrong with the source.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// budgetReader fails with err once more than left bytes were read.
type budgetReader struct {
	r    io.Reader
	left int64
	err  error
}

func (b *budgetReader) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.err
	}
	// One byte more than is left tells a stream that ends from one that goes on.
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, b.err
	}
	return n, err
}
