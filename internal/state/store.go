package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

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
}

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
// Errors: *HeldError when another daemon holds it, *SchemaError when a newer daemon wrote it.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	l, err := takeLock(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{path: filepath.Join(dir, "beamkeeper.db"), lock: l}
	s.db, err = bbolt.Open(s.path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		l.release()
		return nil, fmt.Errorf("state: open %q: %w", s.path, err)
	}
	if err := s.migrate(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) migrate() error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucketIfNotExists(bucketMeta)
		if err != nil {
			return err
		}
		if v := meta.Get(keySchema); v != nil {
			if len(v) != 8 {
				return fmt.Errorf("state: %q is damaged: schema of %d bytes", s.path, len(v))
			}
			if have := binary.BigEndian.Uint64(v); have > Schema {
				return &SchemaError{Path: s.path, Have: int(have)}
			}
		}
		for _, b := range [][]byte{bucketApps, bucketInstances, bucketDeployments, bucketHistory, bucketEvents, bucketCounters} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return meta.Put(keySchema, number(Schema))
	})
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
func (s *Store) Update(f func(*Tx) error) error {
	return s.db.Update(func(tx *bbolt.Tx) error { return f(&Tx{tx}) })
}

// Tx is what View and Update give to their function. It is not used after that returns.
type Tx struct{ tx *bbolt.Tx }

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
