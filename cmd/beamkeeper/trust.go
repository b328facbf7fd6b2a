package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/release"
)

// trust is the release.Trust in force.
type trust struct {
	state *state.Store
	now   atomic.Pointer[release.Trust]
	since atomic.Pointer[time.Time] // when what is in force was taken over
}

// set takes over what the configuration says. A key that cannot be read is the error, and one that signs nothing.
func (t *trust) set(cfg *config.Config) error {
	keys, err := publicKeys(cfg)
	next := release.Trust{Policy: cfg.Release.Verify, Keys: keys}
	if err != nil {
		next.Unread = err.Error()
	}
	if cfg.Release.RefuseDowngrade {
		next.Newest = t.newest
	}
	now := time.Now()
	t.since.Store(&now)
	t.now.Store(&next)
	return err
}

// problems tells of keys that cannot be read.
func (t *trust) problems() []api.Problem {
	now := t.now.Load()
	if now == nil || now.Unread == "" {
		return nil
	}
	return []api.Problem{{
		Since: api.Time{Time: t.since.Load().UTC()}, What: "releases signed with a key of release.public_keys may be refused: " + now.Unread,
		Remedy: "mend it, then beamkeeper config apply",
	}}
}

func (t *trust) get() *release.Trust { return t.now.Load() }

// newest is when the newest signed current.json of an app that was acted on was published.
func (t *trust) newest(app string) (at time.Time, err error) {
	err = t.state.View(func(tx *state.Tx) error {
		a, _, err := tx.App(app)
		at = a.Signed
		return err
	})
	return at, err
}

// publicKeys reads release.public_keys: text, or the names of files, which start from the folder of the configuration.
// Those that can be read are given in any case.
func publicKeys(cfg *config.Config) (keys []release.PublicKey, err error) {
	for i, entry := range cfg.Release.PublicKeys {
		key, e := publicKey(cfg, entry, fmt.Sprintf("release.public_keys[%d]", i))
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		keys = append(keys, key)
	}
	return keys, err
}

func publicKey(cfg *config.Config, entry, at string) (release.PublicKey, error) {
	if key, err := release.ParsePublicKey(entry, at); err == nil {
		return key, nil
	}
	file := entry
	if !filepath.IsAbs(file) && cfg.FromFile {
		file = filepath.Join(filepath.Dir(cfg.File), file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return release.PublicKey{}, fmt.Errorf("%s: %w", at, err)
	}
	return release.ParsePublicKey(string(b), file)
}
