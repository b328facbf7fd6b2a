package release

import (
	"errors"
	"path/filepath"
)

// RemoveApp removes all that the store has of an app: its unpacked releases, their archives, and the folders of its
// instances. The caller sees to it that none of them runs.
func (s *Store) RemoveApp(app string) error {
	if err := CheckName(app); err != nil {
		return &Error{Op: "remove", Release: app, Err: err}
	}
	l := s.locks(app)
	l.fetch <- struct{}{} // a fetch under way ends first
	defer func() { <-l.fetch }()
	l.trees.Lock()
	defer l.trees.Unlock()
	var errs []error
	for _, kind := range []string{serviceDir, releasesDir, cacheDir} {
		errs = append(errs, s.discard(filepath.Join(s.dir, kind, app)))
	}
	if err := errors.Join(errs...); err != nil {
		return &Error{Op: "remove", Release: app, Err: diskError(err)}
	}
	return nil
}
