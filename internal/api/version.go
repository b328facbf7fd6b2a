package api

import "context"

// Ghost is a version of an app that failed for a reason of its own. It is not deployed unasked any more.
type Ghost struct {
	Version    string   `json:"version"`
	SHA256     string   `json:"sha256,omitempty"` // of the archive that failed; another one under the same version is no ghost
	Hash       string   `json:"hash,omitempty"`
	At         Time     `json:"at"`
	Reason     string   `json:"reason"`
	Deployment string   `json:"deployment"`          // that failed, or that had brought it
	Instance   string   `json:"instance,omitempty"`  // that failed
	Readiness  []Step   `json:"readiness,omitempty"` // of the instance, as far as it came
	LastError  string   `json:"last_error,omitempty"`
	Crashes    int      `json:"crashes,omitempty"`
	LogTail    []string `json:"log_tail,omitempty"`
}

// VersionRequest asks to move an app to a version. Rollback without one means the last good one before.
type VersionRequest struct {
	Version string `json:"version,omitempty"`
	Force   bool   `json:"force,omitempty"` // a ghost too, which it is no longer then
}

// Versions is what can be asked about which versions an app may have.
type Versions interface {
	Ghosts(ctx context.Context, app string) ([]Ghost, error)                        // the newest first
	ClearGhosts(ctx context.Context, app, version string) ([]Ghost, error)          // those that were; all with an empty version
	Pin(ctx context.Context, app string, r VersionRequest) (Deployment, error)      // returns once it is accepted
	Unpin(ctx context.Context, app string) error                                    // current.json counts again
	Rollback(ctx context.Context, app string, r VersionRequest) (Deployment, error) // returns once it is accepted
	Freeze(ctx context.Context, app string) error                                   // no other version is deployed
	Unfreeze(ctx context.Context, app string) error
}
