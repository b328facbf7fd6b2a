package state

import (
	"errors"
	"time"

	"go.etcd.io/bbolt"
)

// Schema is the version of the store's layout that this daemon reads and writes.
const Schema = 1

// Store is an open state folder. Its methods may be called from any goroutine.
type Store struct {
	db   *bbolt.DB
	lock *lock
}

// ErrSchema tells of a store written by a newer daemon.
var ErrSchema = errors.New("state: written by a newer daemon")

// SchemaError is the ErrSchema of one store.
type SchemaError struct {
	Path string
	Have int // the store's schema; ours is Schema
}

// HeldError tells that another daemon holds the folder.
type HeldError struct {
	Dir   string
	OSPID int       // 0: not known
	Since time.Time // zero: not known
}
