package release

import (
	"context"
	"log/slog"
	"time"
)

// StoreConfig says where a Store is and where its releases come from.
type StoreConfig struct {
	Dir     string // the daemon's var_path
	Source  Source
	Limits  Limits
	Reserve int64        // bytes of disk that unpacking leaves free; 0: 64 MiB, negative: none
	Log     *slog.Logger // nil: discard
}

// Store keeps fetched and unpacked releases and the folders of instances. It is safe for concurrent use.
type Store struct{}

// OpenStore opens the store in cfg.Dir, making what is missing, and removes what a killed process left behind.
// Only one process can have it open; the others get ErrLocked.
func OpenStore(cfg StoreConfig) (*Store, error) { return &Store{}, nil }

// Close ends the store's claim on its folder.
func (s *Store) Close() error { return nil }

// Release is an unpacked release in a Store.
type Release struct {
	App        string    `json:"app"`
	Version    string    `json:"version"` // as current.json calls it
	SHA256     string    `json:"sha256"`  // of the archive
	Size       int64     `json:"size"`    // of the archive, bytes
	Token      string    `json:"token"`   // of the archive in the bucket, when it was fetched
	Package    Package   `json:"package"`
	UnpackedAt time.Time `json:"unpacked_at"`

	Tree    string      `json:"-"` // the shared tree; read only
	Archive string      `json:"-"` // the fetched archive; empty when it was pruned
	Steps   []FetchStep `json:"-"` // what this Fetch did; none when the release was there already
}

// ID names the release and its content: two archives published as one version have different IDs.
func (r Release) ID() string { return "" }

// FetchStep is one step of a Fetch: fetch, verify, unpack.
type FetchStep struct {
	Name      string
	StartedAt time.Time
	EndedAt   time.Time
}

// Fetch returns the release that cur names, unpacked. An archive that is not there yet, or is not the one in the
// bucket any more, is downloaded, checked (cur.SHA256, if given) and unpacked. Calls for the same release share one
// download. With the bucket out of reach, a release already unpacked is returned as long as cur.SHA256 does not
// demand another one. cur may have only a Version.
//
// Errors: *Error with Op fetch, verify or unpack; nothing is left behind.
func (s *Store) Fetch(ctx context.Context, app string, cur Current) (Release, error) {
	return Release{}, nil
}

// Releases returns the unpacked releases of app, the last unpacked one first.
func (s *Store) Releases(app string) ([]Release, error) { return nil, nil }

// Prune removes the unpacked releases of app and their archives, except those that a folder of an instance was made
// from, those whose ID is in inUse, and the last unpacked keep of the others. It returns the IDs of those removed.
func (s *Store) Prune(app string, keep int, inUse []string) ([]string, error) { return nil, nil }
