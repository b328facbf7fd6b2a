package state

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"slices"
)

// ErrDamaged tells of a database file that cannot be trusted.
var ErrDamaged = errors.New("state: damaged")

// DamagedError is the ErrDamaged of one file.
type DamagedError struct {
	Path    string
	Found   []string // what is wrong, at least one
	Backups []Backup // whole ones beside it, the newest first
}

func (e *DamagedError) Error() string {
	text := fmt.Sprintf("state: %q is damaged: %s", e.Path, e.Found[0])
	if more := len(e.Found) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// Is makes errors.Is(err, ErrDamaged) true.
func (e *DamagedError) Is(target error) bool { return target == ErrDamaged }

// maxFound bounds what Check lists of one file.
const maxFound = 20

// Check reads a database file that nobody writes to, page by page, and lists what is wrong with it. It trusts nothing in
// the file: none can make it panic or read without end.
//
// The format has checksums only for its two meta pages. Of the others it sees what breaks the tree, the list of free
// pages, or a record's JSON.
//
// Spec: the file format of go.etcd.io/bbolt v1.4 (internal/common: page.go, meta.go, bucket.go).
func Check(path string) (found []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	c := &checker{in: f, size: st.Size()}
	if err := c.run(); err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("state: check %q: %w", path, err)
	}
	return c.found, nil
}

// Of bbolt's file format.
const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	pageHeader     = 16
	pageBranch     = 0x01
	pageLeaf       = 0x02
	pageFreelist   = 0x10
	branchElement  = 16
	leafElement    = 16
	leafIsBucket   = 0x01
	bucketHeader   = 16
	noFreelist     = ^uint64(0)
	maxBucketDepth = 3  // ours: root, history, app
	maxTreeDepth   = 40 // 2^40 pages
)

type meta struct{ pageSize, root, freelist, high, txid uint64 }

var errEnough = errors.New("enough found")

type checker struct {
	in    io.ReaderAt
	size  int64
	meta  meta
	use   map[uint64]string // page → what it is used for
	found []string
}

// note takes down what is wrong. It ends the check when there is too much.
func (c *checker) note(format string, args ...any) error {
	c.found = append(c.found, fmt.Sprintf(format, args...))
	if len(c.found) >= maxFound {
		return errEnough
	}
	return nil
}

func (c *checker) run() error {
	ok, err := c.readMeta()
	if err != nil || !ok {
		return err
	}
	if need := c.meta.high * c.meta.pageSize; need > uint64(c.size) {
		if err := c.note("the file has %d bytes, its pages need %d: it was cut off", c.size, need); err != nil {
			return err
		}
	}
	c.use = map[uint64]string{0: "meta", 1: "meta"}
	if err := c.freelist(); err != nil {
		return err
	}
	if err := c.tree(c.meta.root, nil, 0); err != nil {
		return err
	}
	for id := uint64(0); id < c.meta.high && id <= uint64(c.size); id++ {
		if c.use[id] == "" {
			if err := c.note("page %d is neither used nor free", id); err != nil {
				return err
			}
		}
	}
	return nil
}

// readMeta takes the newer one of the two meta pages that are whole. That one is not is what a power cut may leave.
func (c *checker) readMeta() (bool, error) {
	var metas []meta
	sizes := []uint64{uint64(os.Getpagesize())}
	for page := range 2 {
		for _, size := range sizes {
			b := make([]byte, pageHeader+64)
			if _, err := c.in.ReadAt(b, int64(uint64(page)*size)); err != nil && err != io.EOF {
				return false, err
			}
			b = b[pageHeader:]
			h := fnv.New64a()
			h.Write(b[:56])
			le := binary.LittleEndian // bbolt's is the machine's; ours all are little
			m := meta{uint64(le.Uint32(b[8:])), le.Uint64(b[16:]), le.Uint64(b[32:]), le.Uint64(b[40:]), le.Uint64(b[48:])}
			if le.Uint32(b) != boltMagic || le.Uint32(b[4:]) != boltVersion || le.Uint64(b[56:]) != h.Sum64() {
				continue
			}
			if m.pageSize < 1024 || m.pageSize > 1<<16 || m.high < 2 || m.high > 1<<40 {
				continue
			}
			metas = append(metas, m)
			sizes = []uint64{m.pageSize}
			break
		}
	}
	if len(metas) == 0 {
		return false, c.note("neither of its two meta pages is whole")
	}
	c.meta = slices.MaxFunc(metas, func(a, b meta) int { return int(a.txid) - int(b.txid) })
	return true, nil
}

// page reads a page with those that it flows over to, and claims them.
func (c *checker) page(id uint64, use string) ([]byte, error) {
	if id < 2 || id >= c.meta.high {
		return nil, c.note("%s is on page %d, outside of the file's %d", use, id, c.meta.high)
	}
	head := make([]byte, pageHeader)
	if n, err := c.in.ReadAt(head, int64(id*c.meta.pageSize)); n < len(head) {
		if err != io.EOF {
			return nil, err
		}
		return nil, c.note("page %d (%s) is missing", id, use)
	}
	if got := binary.LittleEndian.Uint64(head); got != id {
		return nil, c.note("page %d (%s) says that it is page %d", id, use, got)
	}
	over := uint64(binary.LittleEndian.Uint32(head[12:]))
	if id+over >= c.meta.high || (id+over+1)*c.meta.pageSize > uint64(c.size) {
		return nil, c.note("page %d (%s) flows over the end of the file", id, use)
	}
	for p := id; p <= id+over; p++ {
		if before := c.use[p]; before != "" {
			return nil, c.note("page %d is used twice: %s and %s", p, before, use)
		}
		c.use[p] = use
	}
	b := make([]byte, (over+1)*c.meta.pageSize)
	if _, err := c.in.ReadAt(b, int64(id*c.meta.pageSize)); err != nil && err != io.EOF {
		return nil, err
	}
	return b, nil
}

func (c *checker) freelist() error {
	if c.meta.freelist == noFreelist {
		return c.note("the list of free pages is missing")
	}
	b, err := c.page(c.meta.freelist, "list of free pages")
	if b == nil {
		return err
	}
	le := binary.LittleEndian
	if le.Uint16(b[8:]) != pageFreelist {
		return c.note("page %d is no list of free pages", c.meta.freelist)
	}
	n, at := uint64(le.Uint16(b[10:])), uint64(pageHeader)
	if n == 0xFFFF {
		n, at = le.Uint64(b[at:]), at+8
	}
	if n > (uint64(len(b))-at)/8 {
		return c.note("the list of free pages has no room for its %d entries", n)
	}
	for i := range n {
		id := le.Uint64(b[at+8*i:])
		switch {
		case id < 2 || id >= c.meta.high:
			err = c.note("page %d, outside of the file's %d, is listed as free", id, c.meta.high)
		case c.use[id] != "":
			err = c.note("page %d is listed as free and used: %s", id, c.use[id])
		default:
			c.use[id] = "free"
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tree checks the pages of one bucket.
func (c *checker) tree(root uint64, path []string, depth int) error {
	var last []byte
	var walk func(id uint64, depth int) error
	walk = func(id uint64, depth int) error {
		b, err := c.page(id, "bucket "+bucketName(path))
		if b == nil {
			return err
		}
		return c.elements(b, fmt.Sprintf("page %d (bucket %s)", id, bucketName(path)), path, depth, &last, walk)
	}
	return walk(root, depth)
}

func bucketName(path []string) string {
	if len(path) == 0 {
		return "root"
	}
	return fmt.Sprintf("%q", path[len(path)-1])
}

// elements checks what is on one page, or in one inline bucket.
func (c *checker) elements(b []byte, where string, path []string, depth int, last *[]byte, walk func(uint64, int) error) error {
	le := binary.LittleEndian
	flags, n := le.Uint16(b[8:]), uint64(le.Uint16(b[10:]))
	size := uint64(len(b))
	if depth > maxTreeDepth || (flags != pageBranch && flags != pageLeaf) || n > (size-pageHeader)/16 {
		return c.note("%s: neither a branch nor a leaf of the tree", where)
	}
	for i := range n {
		at := pageHeader + 16*i
		e := b[at:]
		var pos, klen, vlen uint64
		if flags == pageBranch {
			pos, klen = uint64(le.Uint32(e)), uint64(le.Uint32(e[4:]))
		} else {
			pos, klen, vlen = uint64(le.Uint32(e[4:])), uint64(le.Uint32(e[8:])), uint64(le.Uint32(e[12:]))
		}
		if at+pos+klen+vlen > size {
			return c.note("%s: entry %d reaches beyond its page", where, i)
		}
		key := b[at+pos : at+pos+klen]
		if flags == pageBranch {
			if err := walk(le.Uint64(e[8:]), depth+1); err != nil {
				return err
			}
			continue
		}
		if *last != nil && bytes.Compare(*last, key) >= 0 {
			if err := c.note("%s: key %q is out of order", where, key); err != nil {
				return err
			}
		}
		*last = key
		value := b[at+pos+klen : at+pos+klen+vlen]
		var err error
		if le.Uint32(e)&leafIsBucket != 0 {
			err = c.bucket(value, where, append(slices.Clone(path), string(key)))
		} else {
			err = c.record(value, where, path, key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) bucket(value []byte, where string, path []string) error {
	if len(value) < bucketHeader || len(path) > maxBucketDepth {
		return c.note("%s: %q is no bucket", where, path[len(path)-1])
	}
	if root := binary.LittleEndian.Uint64(value); root != 0 {
		return c.tree(root, path, 0)
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader {
		return c.note("%s: %q is no bucket", where, path[len(path)-1])
	}
	var last []byte
	return c.elements(inline, fmt.Sprintf("%s, bucket %s", where, bucketName(path)), path, 0, &last, func(uint64, int) error {
		return c.note("%s: a bucket within a page has branches", where)
	})
}

// record checks the value of one of our records.
func (c *checker) record(value []byte, where string, path []string, key []byte) error {
	if len(path) == 0 {
		return c.note("%s: %q is no bucket", where, key)
	}
	switch path[0] {
	case string(bucketMeta), string(bucketCounters):
		if len(value) != 8 {
			return c.note("%s: %q has %d bytes instead of 8", where, key, len(value))
		}
	default:
		if !json.Valid(value) {
			return c.note("%s: the record %q is no JSON", where, key)
		}
	}
	return nil
}
