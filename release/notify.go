package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// rearmEvery is how often the watched folders are compared with those that are there now. Events do it at once; this
// is for what they cannot tell, such as a link above the bucket that leads elsewhere.
const rearmEvery = 5 * time.Second

// Notify implements Notifier with the kernel's notifications for the folders of the keys, or for their nearest
// existing parents as long as they do not exist.
func (b *LocalBucket) Notify(ctx context.Context, keys []string, changed func(key string)) error {
	fsw, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	n := dirNotifier{bucket: b.dir, fs: fsw, watched: make(map[string]fs.FileInfo), changed: changed}
	for _, key := range keys {
		name, err := b.path(key)
		if err != nil {
			fsw.Close()
			return err
		}
		n.keys = append(n.keys, notifyKey{key, name})
	}
	if err := n.arm(); err != nil {
		fsw.Close()
		return err
	}
	go n.run(ctx)
	return nil
}

type notifyKey struct{ key, path string }

// dirNotifier watches folders for the files of some keys. Files themselves are never watched: an editor or a
// publisher replaces them.
type dirNotifier struct {
	bucket  string
	fs      *fsnotify.Watcher
	keys    []notifyKey
	watched map[string]fs.FileInfo
	changed func(string)
}

func (n *dirNotifier) run(ctx context.Context) {
	defer n.fs.Close()
	tick := time.NewTicker(rearmEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-n.fs.Events:
			if !ok {
				return
			}
			n.event(e)
		case _, ok := <-n.fs.Errors:
			if !ok {
				return
			}
			// Events may have been lost.
			n.rearm()
			n.tell(func(notifyKey) bool { return true })
		case <-tick.C:
			n.rearm()
		}
	}
}

func (n *dirNotifier) event(e fsnotify.Event) {
	if e.Op == fsnotify.Chmod {
		return
	}
	if _, watched := n.watched[e.Name]; watched || e.Has(fsnotify.Create) {
		n.rearm()
	}
	n.tell(func(k notifyKey) bool {
		return e.Name == k.path || strings.HasPrefix(k.path, strings.TrimSuffix(e.Name, "/")+"/")
	})
}

func (n *dirNotifier) tell(concerns func(notifyKey) bool) {
	for _, k := range n.keys {
		if concerns(k) {
			n.changed(k.key)
		}
	}
}

// rearm is arm whose failure is left to the polling.
func (n *dirNotifier) rearm() { _ = n.arm() }

// arm watches, for each key, the folders from the bucket down to the key's, or above the bucket the first that
// exists. It watches again what is another folder by now.
func (n *dirNotifier) arm() error {
	var failed error
	seen := make(map[string]bool)
	for _, k := range n.keys {
		if err := n.armKey(filepath.Dir(k.path), seen); err != nil && failed == nil {
			failed = fmt.Errorf("watch for %s: %w", k.path, err)
		}
	}
	return failed
}

func (n *dirNotifier) armKey(dir string, seen map[string]bool) error {
	if seen[dir] {
		return nil
	}
	info, err := os.Stat(dir)
	switch {
	case err == nil && info.IsDir():
		seen[dir] = true
		if err := n.watch(dir, info); err != nil {
			return err
		}
	case err != nil && !errors.Is(err, fs.ErrNotExist) && !isNotDir(err):
		return err
	default:
		delete(n.watched, dir)
	}
	exists := err == nil
	if parent := filepath.Dir(dir); parent != dir && (!exists || strings.HasPrefix(dir, n.bucket+"/")) {
		if err := n.armKey(parent, seen); err != nil {
			return err
		}
	}
	if exists {
		return nil
	}
	// It may have come between looking for it and watching its parent.
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return n.watch(dir, info)
	}
	return nil
}

func (n *dirNotifier) watch(dir string, info fs.FileInfo) error {
	if old, ok := n.watched[dir]; ok {
		if os.SameFile(old, info) {
			return nil
		}
		_ = n.fs.Remove(dir) // of the folder that is not there any more
	}
	if err := n.fs.Add(dir); err != nil {
		return err
	}
	n.watched[dir] = info
	return nil
}

func isNotDir(err error) bool {
	return errors.Is(localError("", err), ErrNotFound)
}
