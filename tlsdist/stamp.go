package tlsdist

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// stamp tells whether a file is still the one that was read.
type stamp struct {
	size    int64
	changed time.Time
	inode   uint64
}

func stampOf(file string) stamp {
	st, err := os.Stat(file)
	if err != nil {
		return stamp{} // reading it will say why
	}
	s := stamp{size: st.Size(), changed: st.ModTime()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		s.inode = sys.Ino
	}
	return s
}

// loaded keeps what was made of some files until one of them changes.
type loaded[T any] struct {
	mu     sync.Mutex
	stamps map[string]stamp
	value  *T
	err    error // why the present state of the files is not used
}

// current gives what load makes of the files, as they are now. When that fails, the value before is given on: files
// that are replaced one after the other do not fit together for a moment. load tells which files it read.
func (l *loaded[T]) current(load func() (*T, []string, error)) (*T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stamps != nil && l.unchanged() {
		if l.value == nil {
			return nil, l.err
		}
		return l.value, nil
	}
	// Stamps are taken before and after: a file that changes while it is read, or of which that is not known, is read
	// again the next time.
	before := map[string]stamp{}
	for f := range l.stamps {
		before[f] = stampOf(f)
	}
	v, files, err := load()
	l.stamps = map[string]stamp{}
	for _, f := range files {
		l.stamps[f] = stampOf(f)
		if b, ok := before[f]; !ok || b != l.stamps[f] {
			l.stamps[f] = stamp{size: -1}
		}
	}
	l.err = err
	if err == nil {
		l.value = v
	}
	if l.value == nil {
		return nil, err
	}
	return l.value, nil
}

func (l *loaded[T]) unchanged() bool {
	for f, s := range l.stamps {
		if stampOf(f) != s {
			return false
		}
	}
	return true
}

// problem tells why the present state of the files is not used, nil when it is.
func (l *loaded[T]) problem() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
