// Package filewatch tells when a file may have changed: written in place, replaced, or reached by a symbolic link that
// leads elsewhere now, as `ln -sfn` and Kubernetes' volumes do it.
package filewatch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Options of a watch. The zero value is usable.
type Options struct {
	// Quiet is how long nothing must have happened before a change is told, so that a file written in pieces is told of
	// once. A file that never rests is told of every ten times that. 0: 100 ms.
	Quiet time.Duration
	// Poll is how often the file is looked at even if the kernel tells nothing, as for a file on a network. 0: 5 s.
	Poll time.Duration
	Log  *slog.Logger // nil: discard
}

// maxLinks is how many symbolic links lead to a file at most.
const maxLinks = 40

// Watch is a watch of one file. The folders on the way to it are watched, never the file itself: it is replaced.
type Watch struct {
	path    string
	o       Options
	fs      *fsnotify.Watcher
	watched map[string]fs.FileInfo
	seen    string
}

// New begins to watch the file at path, which need not exist. What becomes of it from now on is told by Run. Where the
// kernel cannot tell, it is polled.
func New(path string, o Options) *Watch {
	if o.Quiet <= 0 {
		o.Quiet = 100 * time.Millisecond
	}
	if o.Poll <= 0 {
		o.Poll = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w := &Watch{path: path, o: o, watched: make(map[string]fs.FileInfo), seen: signature(path)}
	var err error
	if w.fs, err = fsnotify.NewWatcher(); err != nil {
		o.Log.Warn("the kernel does not tell of changed files, polling instead", "path", path, "every", o.Poll, "err", err)
		w.fs = &fsnotify.Watcher{} // its channels are nil: they never tell anything
	} else {
		w.arm()
	}
	return w
}

// Run calls changed each time that the file may have changed, come or gone, until ctx ends. It is called once.
func (w *Watch) Run(ctx context.Context, changed func()) {
	if w.fs.Events != nil {
		defer w.fs.Close()
	}
	poll := time.NewTicker(w.o.Poll)
	defer poll.Stop()
	quiet := time.NewTimer(time.Hour)
	defer quiet.Stop()
	quiet.Stop()
	var since time.Time // of the first event that was not told yet
	note := func() {
		if since.IsZero() {
			since = time.Now()
		}
		quiet.Reset(max(0, min(w.o.Quiet, 10*w.o.Quiet-time.Since(since))))
	}
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.fs.Events:
			if !ok {
				return
			}
			if e.Op != fsnotify.Chmod {
				note()
			}
		case _, ok := <-w.fs.Errors:
			if !ok {
				return
			}
			note() // events may have been lost
		case <-poll.C:
			w.arm()
			if signature(w.path) != w.seen {
				note()
			}
		case <-quiet.C:
			since = time.Time{}
			w.arm()
			if now := signature(w.path); now != w.seen {
				w.seen = now
				changed()
			}
		}
	}
}

// arm watches the folders on the way to the file as it leads now.
func (w *Watch) arm() {
	if w.fs.Events == nil {
		return
	}
	wanted := make(map[string]bool)
	for _, dir := range folders(w.path) {
		wanted[dir] = true
		info, err := os.Stat(dir)
		if err != nil {
			continue // a parent of it is watched
		}
		if old, ok := w.watched[dir]; ok {
			if os.SameFile(old, info) {
				continue
			}
			_ = w.fs.Remove(dir) // of the folder that was there before
		}
		if err := w.fs.Add(dir); err != nil {
			w.o.Log.Warn("a folder cannot be watched, polling it instead", "path", dir, "err", err)
			continue
		}
		w.watched[dir] = info
	}
	for dir := range w.watched {
		if !wanted[dir] {
			_ = w.fs.Remove(dir) // it may be gone
			delete(w.watched, dir)
		}
	}
}

// folders lists the folders in which something has to change for path to lead to something else: that of the file, and
// those of the symbolic links on the way. Of what does not exist it is the nearest that does.
func folders(path string) []string {
	var list []string
	rest := filepath.Clean(path)
	for range maxLinks {
		link, target, tail := firstLink(rest)
		if link == "" {
			break
		}
		list = append(list, filepath.Dir(link))
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(link), target)
		}
		rest = filepath.Join(target, tail)
	}
	dir := filepath.Dir(rest)
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return append(list, dir)
}

// firstLink finds the first symbolic link on the way to path: where it is, where it leads, and what of path is behind it.
func firstLink(path string) (link, target, tail string) {
	at := ""
	parts := strings.Split(path, string(filepath.Separator))
	for i, part := range parts {
		switch {
		case i == 0 && part == "":
			at = "/"
			continue
		case at == "":
			at = part
		default:
			at = filepath.Join(at, part)
		}
		if target, err := os.Readlink(at); err == nil {
			return at, target, filepath.Join(parts[i+1:]...)
		}
	}
	return "", "", ""
}

// signature is another one when the file is another, or has changed.
func signature(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "none"
		}
		return err.Error()
	}
	return fmt.Sprintf("%v %d %d", identity(info), info.Size(), info.ModTime().UnixNano())
}
