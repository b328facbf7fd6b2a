package release

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// contentsFile is where the contents of an unpacked release are kept, beside its tree.
const contentsFile = "contents.json"

// contentsFormat counts the changes of Contents: what a file of another format has is read anew from the tree.
const contentsFormat = 1

type storedContents struct {
	Format int `json:"format"`
	Contents
}

// Find returns the release of app that was unpacked from the archive with this sha256, with an empty one the last that was
// unpacked of version. It asks no bucket.
//
// Errors: *Error with ErrNotFound.
func (s *Store) Find(app, version, sha256 string) (Release, error) {
	all, err := s.Releases(app)
	if err != nil {
		return Release{}, err
	}
	for _, r := range all {
		if r.Version == version && (sha256 == "" || r.SHA256 == sha256) && r.Tree != "" {
			return r, nil
		}
	}
	return Release{}, &Error{Op: "list", Release: app, Version: version, Err: fmt.Errorf("%w among those on this host", ErrNotFound)}
}

// Contents returns what is in an unpacked release. It is read once for an archive, and kept beside the tree.
func (s *Store) Contents(ctx context.Context, rel Release) (Contents, error) {
	fail := func(err error) (Contents, error) {
		return Contents{}, &Error{Op: "inspect", Release: rel.App, Version: rel.Version, Err: err}
	}
	locks := s.locks(rel.App)
	locks.trees.RLock()
	defer locks.trees.RUnlock()
	locks.contents.Lock()
	defer locks.contents.Unlock()
	known, err := s.readRelease(rel.App, rel.ID())
	if err != nil {
		return fail(err)
	}
	if known.Tree == "" {
		return fail(fmt.Errorf("%w: its tree is gone", ErrNotFound))
	}
	file := filepath.Join(filepath.Dir(known.Tree), contentsFile)
	if c, ok := readStoredContents(file); ok {
		return c, nil
	}
	c, err := treeContents(ctx, known.Tree, known.Package)
	if err != nil {
		return fail(err)
	}
	if err := keepContents(file, c); err != nil {
		s.log.Warn("cannot keep what is in a release", "app", rel.App, "version", rel.Version, "err", err)
	}
	return c, nil
}

// keepContents writes the file, without waiting until the disk has it: what a crash leaves of it is read anew from the tree.
func keepContents(file string, c Contents) error {
	b, err := json.Marshal(storedContents{contentsFormat, c})
	if err != nil {
		return err
	}
	work := tempName(file)
	err = os.WriteFile(work, b, 0o600)
	if err == nil {
		err = os.Rename(work, file)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(work))
	}
	return nil
}

func readStoredContents(file string) (Contents, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return Contents{}, false
	}
	var c storedContents
	if json.Unmarshal(b, &c) != nil || c.Format != contentsFormat {
		return Contents{}, false
	}
	return c.Contents, true
}

// treeContents is ReadContents of an archive that was unpacked and is pkg.
func treeContents(ctx context.Context, tree string, pkg Package) (Contents, error) {
	s := newContentsScan()
	err := filepath.WalkDir(tree, func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || name == tree {
			return err
		}
		return s.visitFile(strings.TrimPrefix(name, tree+"/"), name, d)
	})
	if err != nil {
		return Contents{}, err
	}
	return s.result(pkg), nil
}

// visitFile is visit for a file on disk.
func (s *contentsScan) visitFile(path, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	h, err := tar.FileInfoHeader(info, "")
	if err != nil {
		return err
	}
	e := entry{Header: h, path: path}
	if !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return s.visit(e, f)
}
