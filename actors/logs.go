package actors

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/applog"
)

// maxLogLines is how many last lines of each file may be asked for.
const maxLogLines = 100_000

// Logs implements api.Control. Following an app follows the instances that it gets later, too.
func (s *System) Logs(ctx context.Context, r api.LogRequest, yield func(api.LogLine) bool) error {
	q, err := logQuery(r)
	if err != nil {
		return err
	}
	if q.Files, err = s.logsOf(r); err != nil {
		return err
	}
	if err := s.inJournal(r.App, q.Files); err != nil {
		return err
	}
	if r.From != nil {
		q.From = make(map[string]int64)
		for _, f := range q.Files {
			if end, ok := r.From[f.Instance+"/"+f.Stream]; ok {
				q.From[f.Path] = end
			}
		}
	}
	if r.Follow && r.Instance == "" {
		q.More = func() []applog.File {
			files, err := s.logsOf(r)
			if err != nil {
				return nil // asked again soon
			}
			return files
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	return asAPI(applog.Search(ctx, q, func(l applog.Line) bool {
		return yield(api.LogLine{
			Instance: l.File.Instance, Stream: l.File.Stream, Time: api.Time{Time: l.Time}, Level: l.Level.String(), Text: l.Text, End: l.End,
		})
	}))
}

// inJournal says where to look for lines that are in the journal alone.
func (s *System) inJournal(app string, files []applog.File) error {
	spec, _ := s.spec(app)
	if spec.LogTarget != targetJournal {
		return nil
	}
	for _, f := range files {
		if _, err := os.Stat(f.Path); err == nil {
			return nil // of before that, or without a journal
		}
	}
	return &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("the instances of %s write to systemd's journal (logs.target)", app), Hint: "journalctl -t INSTANCE"}
}

// logQuery checks what is asked for.
func logQuery(r api.LogRequest) (q applog.Query, err error) {
	q = applog.Query{Lines: r.Lines, Since: r.Since.Time, Until: r.Until.Time, Follow: r.Follow, Invert: r.Invert}
	if r.Grep != "" {
		if q.Grep, err = regexp.Compile(r.Grep); err != nil {
			return q, api.Errorf(api.CodeUsage, "grep: %v", err)
		}
	}
	if r.Lines > maxLogLines {
		return q, api.Errorf(api.CodeUsage, "the last %d lines are more than %d, which are held in memory; 0 gives all", r.Lines, maxLogLines)
	}
	if q.Level, err = applog.ParseLevel(r.Level); err != nil {
		return q, api.Errorf(api.CodeUsage, "level: %v", err)
	}
	if r.Stream != "" && r.Stream != "stdout" && r.Stream != "stderr" {
		return q, api.Errorf(api.CodeUsage, "there is no stream %q; they are stdout and stderr", r.Stream)
	}
	return q, nil
}

// logsOf lists the log files that r asks for.
func (s *System) logsOf(r api.LogRequest) ([]applog.File, error) {
	names := make(map[string]bool)
	recs, err := s.records(r.Target)
	switch {
	case err == nil:
		for _, rec := range recs {
			names[rec.Name] = true
		}
	case s.leftLogs(r.Target):
		names[r.Instance] = true
	default:
		return nil, err
	}
	if r.All && r.Instance == "" {
		logs, err := applog.List(filepath.Join(s.cfg.LogDir, r.App))
		if err != nil {
			return nil, err
		}
		for _, f := range logs {
			if app, ok := AppOf(f.Instance); ok && app == r.App {
				names[f.Instance] = true
			}
		}
	}
	var files []applog.File
	for _, name := range slices.Sorted(maps.Keys(names)) {
		stdout, stderr := s.logFiles(r.App, name)
		if r.Stream != "stderr" {
			files = append(files, applog.File{Path: stdout, Instance: name, Stream: "stdout"})
		}
		if r.Stream != "stdout" {
			files = append(files, applog.File{Path: stderr, Instance: name, Stream: "stderr"})
		}
	}
	return files, nil
}

// leftLogs says whether t is an instance that is gone, as that of a failed deployment, and has left its log.
func (s *System) leftLogs(t api.Target) bool {
	if app, ok := AppOf(t.Instance); !ok || app != t.App {
		return false
	}
	if !s.has(t.App) {
		return false
	}
	logs, err := applog.List(filepath.Join(s.cfg.LogDir, t.App))
	return err == nil && slices.ContainsFunc(logs, func(f applog.File) bool { return f.Instance == t.Instance })
}

// removeLogs removes the log folder of an app that is gone.
func (s *System) removeLogs(app string) error {
	return os.RemoveAll(filepath.Join(s.cfg.LogDir, app))
}
