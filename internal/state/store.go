package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// DBFile is the database in a state folder.
const DBFile = "beamkeeper.db"

// Schema is the version of the store's layout that this daemon reads and writes.
const Schema = 1

// ErrSchema tells of a store written by a newer daemon.
var ErrSchema = errors.New("state: written by a newer daemon")

// SchemaError is the ErrSchema of one store.
type SchemaError struct {
	Path string
	Have int // the store's schema; ours is Schema
}

func (e *SchemaError) Error() string {
	return fmt.Sprintf("state: %q has schema %d, written by a newer daemon; this one knows schema %d", e.Path, e.Have, Schema)
}

// Is makes errors.Is(err, ErrSchema) true.
func (e *SchemaError) Is(target error) bool { return target == ErrSchema }

// Store is an open state folder. Its methods may be called from any goroutine.
type Store struct {
	path string
	db   *bbolt.DB
	lock *lock

	copying  sync.Mutex    // held while a backup is made
	hurry    chan struct{} // see HurryBackup
	reserved atomic.Int64  // size of the file up to which the disk has room

	// Set before the store is shared.
	onCommit  func(done bool) error
	onTrouble func(error)

	mu      sync.Mutex
	trouble *WriteError // the last commit failed; nil: it did not
	since   time.Time   // of the first commit of those that have failed in a row
}

// WriteError tells that what an Update wrote did not get to the disk. Nothing of it is kept.
type WriteError struct {
	Path string
	Err  error
}

func (e *WriteError) Error() string { return fmt.Sprintf("state: write %q: %v", e.Path, e.Err) }

// Unwrap returns the cause.
func (e *WriteError) Unwrap() error { return e.Err }

var (
	bucketMeta        = []byte("meta")
	bucketApps        = []byte("apps")
	bucketInstances   = []byte("instances")
	bucketDeployments = []byte("deployments")
	bucketHistory     = []byte("history") // a bucket per app
	bucketEvents      = []byte("events")
	bucketCounters    = []byte("counters")

	keySchema = []byte("schema")
)

// Open opens the state folder dir, making it when it is missing, and holds it until Close.
//
// Errors: *HeldError when another daemon holds it, *SchemaError when a newer daemon wrote it, *DamagedError when the
// database is not whole.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	l, err := takeLock(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{path: filepath.Join(dir, DBFile), lock: l, hurry: make(chan struct{}, 1)}
	if err := s.open(dir); err != nil {
		if s.db != nil {
			s.db.Close()
		}
		l.release()
		return nil, err
	}
	return s, nil
}

func (s *Store) open(dir string) error {
	sweepParts(dir)
	sweepParts(filepath.Join(dir, backupsDir))
	if err := checkBefore(s.path, dir); err != nil {
		return err
	}
	var err error
	s.db, err = bbolt.Open(s.path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return fmt.Errorf("state: open %q: %w", s.path, err)
	}
	have, err := s.schema()
	if err != nil || have == Schema {
		s.reserve()
		return err
	}
	if have > 0 { // a step back must be possible
		if _, err := s.Backup(); err != nil {
			return err
		}
	}
	if err := s.migrate(); err != nil {
		return err
	}
	s.reserve()
	return nil
}

// checkBefore refuses a database that is damaged before anything trusts it. A file of no length is what is left when the
// machine fails as the first one is made; but not when there are backups.
func checkBefore(path, dir string) error {
	st, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if st.Size() == 0 {
		if list, err := Backups(dir); err != nil || len(list) == 0 {
			return err
		}
	}
	found, err := Check(path)
	if err != nil || len(found) == 0 {
		return err
	}
	damaged := &DamagedError{Path: path, Found: found}
	damaged.Backups, err = wholeBackups(dir)
	return errors.Join(damaged, err)
}

// schema reads the store's schema, 0 when it has none yet.
func (s *Store) schema() (have int, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if meta == nil {
			return nil
		}
		if v := meta.Get(keySchema); len(v) == 8 {
			have = int(binary.BigEndian.Uint64(v))
		}
		if have > Schema {
			return &SchemaError{Path: s.path, Have: have}
		}
		return nil
	})
	return have, err
}

func (s *Store) migrate() error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		for _, b := range [][]byte{bucketMeta, bucketApps, bucketInstances, bucketDeployments, bucketHistory, bucketEvents, bucketCounters} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketMeta).Put(keySchema, number(Schema))
	})
}

// How much of the disk is kept for what is still to be written: so much is added when less than half of it is left.
const reserveBytes = 4 << 20

// reserve has the file system set aside what the next commits need, so that a full disk does not stop them: bbolt writes
// to pages of the file that nothing uses, and what is set aside is there. File systems that copy on write, or that cannot
// set aside, promise less; then a commit may fail.
func (s *Store) reserve() {
	var used int64
	_ = s.db.View(func(tx *bbolt.Tx) error { used = tx.Size(); return nil }) // fails only when closed
	st, err := os.Stat(s.path)
	if err != nil || st.Size()-used >= reserveBytes/2 && allocated(st) >= used+reserveBytes/2 {
		if err == nil {
			s.reserved.Store(st.Size())
		}
		return
	}
	f, err := os.OpenFile(s.path, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer f.Close()
	_ = unix.Fallocate(int(f.Fd()), 0, 0, used+reserveBytes) // best effort, as said
	s.reserved.Store(used + reserveBytes)
}

// allocated is how much of a file has its place on the disk.
func allocated(st os.FileInfo) int64 {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return sys.Blocks * 512
	}
	return 0
}

// Close lets the folder go.
func (s *Store) Close() error {
	return errors.Join(s.db.Close(), s.lock.release())
}

// Path is the database file.
func (s *Store) Path() string { return s.path }

// View calls f with a consistent picture of the store. f may only read.
func (s *Store) View(f func(*Tx) error) error {
	return s.db.View(func(tx *bbolt.Tx) error { return f(&Tx{tx}) })
}

// Update calls f and commits what it wrote, all of it, or nothing when f or the commit fails.
//
// Errors: f's as it is; *WriteError when the disk does not take it.
func (s *Store) Update(f func(*Tx) error) error {
	var own error
	var used int64
	err := s.db.Update(func(tx *bbolt.Tx) error {
		if own = f(&Tx{tx}); own == nil && s.onCommit != nil {
			if err := s.onCommit(false); err != nil {
				return err
			}
		}
		used = tx.Size()
		return own
	})
	if own != nil || errors.Is(err, bbolterrors.ErrDatabaseNotOpen) {
		return err
	}
	if err == nil && s.onCommit != nil {
		_ = s.onCommit(true) // it is done
	}
	if err == nil && used+reserveBytes/2 > s.reserved.Load() {
		s.reserve()
	}
	return s.written(err)
}

// written notes how a commit went.
func (s *Store) written(err error) error {
	s.mu.Lock()
	before := s.trouble
	switch {
	case err == nil:
		s.trouble = nil
	default:
		s.trouble = &WriteError{Path: s.path, Err: err}
		if before == nil {
			s.since = time.Now()
		}
	}
	now, tell := s.trouble, s.onTrouble
	s.mu.Unlock()
	if now == nil {
		if before != nil && tell != nil {
			tell(nil)
		}
		return nil
	}
	if before == nil && tell != nil {
		tell(now)
	}
	return now
}

// Trouble returns why the last commit failed, and since when they do; nil when it did not.
func (s *Store) Trouble() (since time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble == nil {
		return time.Time{}, nil
	}
	return s.since, s.trouble
}

// OnTrouble has f told when commits begin to fail, and, with nil, when they no longer do. f must not use the store.
func (s *Store) OnTrouble(f func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onTrouble = f
}

// OnCommit has f called right before each commit, which fails with f's error, and with done right after it. It is for
// tests, and is set before the store is shared.
func (s *Store) OnCommit(f func(done bool) error) { s.onCommit = f }

// Tx is what View and Update give to their function. It is not used after that returns.
type Tx struct{ tx *bbolt.Tx }

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
