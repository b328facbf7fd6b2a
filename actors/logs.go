package actors

import (
	"context"
	"os"
	"regexp"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/applog"
)

// lookForInstances is how often Logs with Follow looks whether an app has instances that it does not follow yet.
const lookForInstances = 500 * time.Millisecond

type logFile struct{ instance, stream, path string }

// Logs implements api.Control. Following an app follows the instances that it gets later, too.
func (s *System) Logs(ctx context.Context, r api.LogRequest, yield func(api.LogLine) bool) error {
	o := applog.Options{Lines: r.Lines}
	if r.Since > 0 {
		o.Since = time.Now().Add(-r.Since)
	}
	if r.Grep != "" {
		re, err := regexp.Compile(r.Grep)
		if err != nil {
			return api.Errorf(api.CodeUsage, "grep: %v", err)
		}
		o.Grep = re
	}
	if r.Stream != "" && r.Stream != "stdout" && r.Stream != "stderr" {
		return api.Errorf(api.CodeUsage, "there is no stream %q; they are stdout and stderr", r.Stream)
	}
	files, err := s.logsOf(r)
	if err != nil {
		return err
	}
	if !r.Follow {
		for _, f := range files {
			more := true
			err := applog.Read(ctx, f.path, o, func(l applog.Line) bool {
				more = yield(f.line(l))
				return more
			})
			if err != nil || !more {
				return asAPI(err)
			}
		}
		return nil
	}
	o.Follow = true
	return s.follow(ctx, r, files, o, yield)
}

func (f logFile) line(l applog.Line) api.LogLine {
	return api.LogLine{Instance: f.instance, Stream: f.stream, Time: api.Time{Time: l.Time}, Text: l.Text}
}

// logsOf lists the log files that r asks for.
func (s *System) logsOf(r api.LogRequest) ([]logFile, error) {
	var names []string
	recs, err := s.records(r.Target)
	switch {
	case err == nil:
		for _, rec := range recs {
			names = append(names, rec.Name)
		}
	case s.leftLogs(r.Target):
		names = []string{r.Instance}
	default:
		return nil, err
	}
	var files []logFile
	for _, name := range names {
		stdout, stderr := s.logFiles(r.App, name)
		if r.Stream != "stderr" {
			files = append(files, logFile{name, "stdout", stdout})
		}
		if r.Stream != "stdout" {
			files = append(files, logFile{name, "stderr", stderr})
		}
	}
	return files, nil
}

// leftLogs says whether t is an instance that is gone, as that of a failed deployment, and has left its log.
func (s *System) leftLogs(t api.Target) bool {
	if app, ok := AppOf(t.Instance); !ok || app != t.App {
		return false
	}
	if _, ours := s.specs[t.App]; !ours {
		return false
	}
	stdout, _ := s.logFiles(t.App, t.Instance)
	_, err := os.Stat(stdout)
	return err == nil
}

// follow reads many files at once and yields from one goroutine.
func (s *System) follow(ctx context.Context, r api.LogRequest, files []logFile, o applog.Options, yield func(api.LogLine) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(s.ctx, cancel)()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	lines := make(chan api.LogLine)
	failed := make(chan error, 1)
	followed := make(map[string]bool)
	add := func(files []logFile, o applog.Options) {
		for _, f := range files {
			if followed[f.path] {
				continue
			}
			followed[f.path] = true
			wg.Go(func() {
				err := applog.Read(ctx, f.path, o, func(l applog.Line) bool {
					select {
					case lines <- f.line(l):
						return true
					case <-ctx.Done():
						return false
					}
				})
				if err != nil && ctx.Err() == nil {
					select {
					case failed <- err:
					default:
					}
				}
			})
		}
	}
	add(files, o)
	again := time.NewTicker(lookForInstances)
	defer again.Stop()
	for {
		select {
		case l := <-lines:
			if !yield(l) {
				return nil
			}
		case err := <-failed:
			return asAPI(err)
		case <-again.C:
			if r.Instance != "" {
				continue
			}
			if files, err := s.logsOf(r); err == nil {
				later := o
				later.Lines = 0 // what a new instance has written so far is new
				add(files, later)
			}
		case <-ctx.Done():
			return nil
		}
	}
}
