package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/launch"
	"github.com/beamkeeper/beamkeeper/internal/secrets"
)

// secretKeeper has the secrets of the apps, in memory only, and looks now and then whether the store has others.
type secretKeeper struct {
	store  secrets.Store // nil: there is none
	config func() *config.Config
	log    *slog.Logger

	asking sync.Mutex // held while the store is asked

	mu    sync.Mutex
	all   map[string]secrets.Secret // nil: never known since the daemon started
	err   error                     // why the last question was not answered
	since time.Time                 // of err
}

// secretTree is what is needed of *actors.System.
type secretTree interface {
	Restart(ctx context.Context, t api.Target) error
	Emit(e api.Event)
}

// storeOptions say which store a configuration means.
func storeOptions(cfg *config.Config, getenv func(string) string) secrets.StoreOptions {
	path := cfg.SecretsPath
	if cfg.SecretsAdapter == config.SecretsFile && !filepath.IsAbs(path) && cfg.FromFile {
		path = filepath.Join(filepath.Dir(cfg.File), path)
	}
	return secrets.StoreOptions{
		Adapter: string(cfg.SecretsAdapter), Path: path, Region: cfg.AWSRegion, Credentials: cfg.GoogleCredentials,
		Endpoint: cfg.Secrets.Endpoint, Environ: os.Environ(), Dir: getenv(secrets.EnvCredentials),
	}
}

// Of implements actors.Secrets.
func (k *secretKeeper) Of(ctx context.Context, app string) ([]launch.Secret, error) {
	uses := secretUses(k.config(), app)
	if len(uses) == 0 {
		return nil, nil
	}
	all, err := k.known(ctx)
	if err != nil {
		return nil, err
	}
	var list []launch.Secret
	for _, u := range uses {
		value, ok := all[u.Key]
		if !ok {
			return nil, fmt.Errorf("%s has no secret %q", k.store, u.Key)
		}
		list = append(list, launch.Secret{Env: u.Env, File: u.File, Value: value.Reveal()})
	}
	return list, nil
}

func secretUses(cfg *config.Config, app string) []config.AppSecret {
	for _, a := range cfg.Applications {
		if a.Name == app {
			return a.Secrets
		}
	}
	return nil
}

// known gives the secrets as they were last seen. The store is asked when none were ever seen.
func (k *secretKeeper) known(ctx context.Context) (map[string]secrets.Secret, error) {
	if k.store == nil {
		return nil, errors.New("there is no store of secrets: set secrets_adapter")
	}
	k.mu.Lock()
	all := k.all
	k.mu.Unlock()
	if all != nil {
		return all, nil
	}
	_, err := k.look(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all != nil {
		return k.all, nil
	}
	return nil, err
}

// look asks the store. What was known before stays known when it does not answer. It returns the keys whose values are
// others than before.
func (k *secretKeeper) look(ctx context.Context) (changed []string, err error) {
	k.asking.Lock()
	defer k.asking.Unlock()
	all, err := k.store.Fetch(ctx)
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		if k.err == nil {
			k.since = time.Now()
		}
		if k.err == nil || k.err.Error() != err.Error() {
			k.log.Warn("the store of secrets does not answer; instances get the secrets that were known last", "store", k.store.String(), "err", err, "known", k.all != nil)
		}
		k.err = err
		return nil, err
	}
	if k.err != nil {
		k.log.Info("the store of secrets answers again", "store", k.store.String())
	}
	for key, value := range all {
		if old, ok := k.all[key]; k.all != nil && (!ok || !old.Equal(value)) {
			changed = append(changed, key)
		}
	}
	slices.Sort(changed)
	k.all, k.err = all, nil
	return changed, nil
}

// run looks for other values until ctx ends, and has apps restarted that want that.
func (k *secretKeeper) run(ctx context.Context, tree secretTree) {
	if k.store == nil {
		return
	}
	every := time.NewTicker(k.config().Secrets.Poll)
	defer every.Stop()
	due := make(map[string]bool) // apps that are to be restarted
	for {
		if usesSecrets(k.config()) {
			changed, _ := k.look(ctx) // the error is in problems
			k.rotate(ctx, tree, changed, due)
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

func usesSecrets(cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.Applications, func(a config.App) bool { return len(a.Secrets) > 0 })
}

// rotate tells of secrets that have other values, and has the apps restarted that want it. An app that cannot be restarted
// now, as during a deployment, stays due.
func (k *secretKeeper) rotate(ctx context.Context, tree secretTree, changed []string, due map[string]bool) {
	for _, a := range k.config().Applications {
		var keys []string
		for _, u := range a.Secrets {
			if slices.Contains(changed, u.Key) && !slices.Contains(keys, u.Key) {
				keys = append(keys, u.Key)
			}
		}
		restart := a.SecretsRotation == "restart"
		if len(keys) > 0 {
			then := "instances get them at their next start"
			if restart {
				then, due[a.Name] = "its instances are restarted, one after the other", true
			}
			tree.Emit(api.Event{
				Type: api.EventSecretsRotated, App: a.Name, Data: map[string]any{"keys": keys},
				Message: fmt.Sprintf("secrets of %s have other values (%s): %s", a.Name, strings.Join(keys, ", "), then),
			})
		}
		if due[a.Name] && restart {
			if err := tree.Restart(ctx, api.Target{App: a.Name}); err != nil {
				k.log.Info("a restart for other secrets waits", "app", a.Name, "err", err)
				continue
			}
		}
		delete(due, a.Name)
	}
}

// problems tells of a store that does not answer.
func (k *secretKeeper) problems() []api.Problem {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		return nil
	}
	what := "instances get the secrets that were known last"
	if k.all == nil {
		what = "none are known, and apps with secrets cannot start"
	}
	return []api.Problem{{
		Since: api.Time{Time: k.since.UTC()}, What: "the store of secrets does not answer: " + k.err.Error() + "; " + what,
		Remedy: "it is asked again and again; running instances are left alone",
	}}
}
