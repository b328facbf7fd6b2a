package actors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/applog"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// Values of AppSpec.LogTarget; the empty one is files.
const (
	targetJournal = "journal"
	targetBoth    = "both"
)

// journalLook is how often it is looked whether an app's lines are to be copied to the journal.
const journalLook = time.Second

// journalDir is where the journal's sockets are.
func (s *System) journalDir() string {
	if s.cfg.JournalDir != "" {
		return s.cfg.JournalDir
	}
	return applog.JournalDir
}

// toJournal has the instance write to the journal by itself. The stream is its own: it needs the daemon no more than its log
// files do. Without a journal it writes to its files, and that is told.
func (s *System) toJournal(c *process.Command, rec state.Instance) {
	var opened [2]*os.File
	for i, priority := range []int{6, 4} {
		f, err := applog.JournalStream(s.journalDir(), rec.Name, process.ScopeName(rec.Name), priority)
		if err != nil {
			if opened[0] != nil {
				opened[0].Close()
			}
			s.emit(api.Event{
				Type: api.EventLogProblem, Level: "warning", App: rec.App, Instance: rec.Name,
				Message: fmt.Sprintf("%s writes to its log files: %v", rec.Name, err),
			})
			return
		}
		opened[i] = f
	}
	c.Output = opened
}

// copyToJournal copies the lines of the apps whose target is both, as long as it is, until ctx ends.
func (s *System) copyToJournal(ctx context.Context) {
	running := make(map[string]context.CancelFunc)
	ended := make(chan string)
	tick := time.NewTicker(journalLook)
	defer tick.Stop()
	for {
		for _, spec := range s.apps() {
			cancel, runs := running[spec.Name]
			switch wanted := spec.LogTarget == targetBoth && applog.HasJournal(s.journalDir()); {
			case wanted && !runs:
				copying, cancel := context.WithCancel(ctx)
				running[spec.Name] = cancel
				s.jobs.Go(func() {
					if err := s.copyApp(copying, spec.Name); err != nil {
						s.log.Warn("journal", "app", spec.Name, "err", err)
					}
					select {
					case ended <- spec.Name:
					case <-ctx.Done():
					}
				})
			case !wanted && runs:
				cancel()
			}
		}
		select {
		case <-ctx.Done():
			for _, cancel := range running {
				cancel()
			}
			return
		case app := <-ended:
			running[app]()
			delete(running, app)
		case <-tick.C:
		}
	}
}

// copyApp copies the lines of one app to the journal, from where the last one that did so got to.
func (s *System) copyApp(ctx context.Context, app string) error {
	j, err := applog.OpenJournal(s.journalDir())
	if err != nil {
		return err
	}
	defer j.Close()
	cursor := newCursor(filepath.Join(s.cfg.LogDir, app, ".journal"))
	q := applog.Query{Follow: true}
	files := func() []applog.File {
		all, err := applog.List(filepath.Join(s.cfg.LogDir, app))
		if err != nil {
			return nil // looked at again
		}
		return all
	}
	q.Files, q.More = files(), files
	if !cursor.found { // what was written before it was asked for stays where it is
		for _, f := range q.Files {
			cursor.ends[f.Path] = applog.End(f.Path).Offset
		}
	}
	q.From = maps.Clone(cursor.ends)
	versions := make(map[string]string)
	var failed error
	err = applog.Search(ctx, q, func(l applog.Line) bool {
		for failed = errors.New("none yet"); failed != nil && ctx.Err() == nil; {
			if failed = j.Send(l.Entry(app, s.versionOf(l.File.Instance, versions))); failed != nil {
				if sleep(ctx, time.Second) != nil {
					return false
				}
			}
		}
		if failed != nil {
			return false
		}
		failed = cursor.note(l)
		return failed == nil
	})
	return errors.Join(err, failed, cursor.write())
}

// versionOf is the version that an instance runs, as far as that is known; seen keeps what was found.
func (s *System) versionOf(instance string, seen map[string]string) string {
	if v, ok := seen[instance]; ok {
		return v
	}
	version := ""
	err := s.cfg.State.View(func(tx *state.Tx) error {
		rec, _, err := tx.Instance(instance)
		version = rec.Version
		return err
	})
	if err == nil {
		seen[instance] = version
	}
	return version
}

// cursor is how far the log files of an app were copied.
type cursor struct {
	path    string
	ends    map[string]int64 // by the file's path
	found   bool             // there was one before
	written time.Time
	dirty   bool
}

func newCursor(path string) *cursor {
	c := &cursor{path: path, ends: make(map[string]int64)}
	if b, err := os.ReadFile(path); err == nil && json.Unmarshal(b, &c.ends) == nil {
		c.found = true
	}
	for path := range c.ends {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			delete(c.ends, path)
		}
	}
	return c
}

// note takes a line for copied. The file is written once a second: who is killed repeats what came since.
func (c *cursor) note(l applog.Line) error {
	c.ends[l.File.Path] = l.End
	c.dirty = true
	if time.Since(c.written) < time.Second {
		return nil
	}
	return c.write()
}

func (c *cursor) write() error {
	if !c.dirty && c.found {
		return nil
	}
	b, err := json.Marshal(c.ends)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o750); err != nil {
		return err
	}
	temp := c.path + ".new"
	if err := os.WriteFile(temp, b, 0o640); err != nil {
		return err
	}
	c.written, c.dirty, c.found = time.Now(), false, true
	return os.Rename(temp, c.path)
}
