package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/beamkeeper/beamkeeper/etf"
)

// Names in the folder releases that release_handler writes, as the user that the BEAM runs as.
const (
	releasesFile = "RELEASES"
	startErlFile = "start_erl.data"
)

// ReadRel reads a .rel file: name, version, ERTS and applications of the release. name is for errors.
//
// Errors: ErrBadRel.
func ReadRel(name string, b []byte) (Package, error) {
	r, err := parseRel(name, b)
	if err != nil {
		return Package{}, err
	}
	return Package{Name: r.name, Version: r.version, ERTS: r.erts, Applications: r.applications}, nil
}

// CopyPart copies a folder of an unpacked release, such as lib/shop-1.2.0, to the new folder to, as Prepare copies a
// whole one: files that no BEAM writes are shared.
func CopyPart(ctx context.Context, tree, part, to string, owner *Owner) error {
	c := treeCopier{ctx: ctx, from: filepath.Join(tree, part), to: to, prefix: filepath.ToSlash(part), owner: owner}
	return c.copy()
}

// FormatReleases is the file RELEASES of an installation in root that has one release, permanent, as
// release_handler:create_RELEASES/4 writes it.
//
// Source: https://www.erlang.org/doc/apps/sasl/release_handler.html#create_RELEASES/4
func FormatReleases(pkg Package, root string) []byte {
	var libs etf.List
	for _, a := range pkg.Applications {
		dir := filepath.Join(root, "lib", a.Name+"-"+a.Version)
		libs = append(libs, etf.Tuple{etf.Atom(a.Name), erlangString(a.Version), erlangString(dir)})
	}
	r := etf.Tuple{etf.Atom("release"), erlangString(pkg.Name), erlangString(pkg.Version), erlangString(pkg.ERTS), libs, etf.Atom("permanent")}
	return fmt.Appendf(nil, "%%%% coding: utf-8\n%s.\n", etf.Format(etf.List{r}))
}

func erlangString(s string) etf.Term {
	list := etf.List{}
	for _, r := range s {
		list = append(list, int64(r))
	}
	return list
}

// describeRelease gives a prepared tree, which will be at root, what release_handler needs before the first boot: the
// file RELEASES and NAME-VERSION.rel; and its user the right to write what release_handler writes.
func describeRelease(tree, root string, pkg Package, owner *Owner) error {
	if pkg.Language == Gleam {
		return nil // it has no releases
	}
	dir := filepath.Join(tree, "releases")
	rel, err := os.ReadFile(filepath.Join(dir, pkg.Version, pkg.Name+".rel"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // release_handler cannot serve it; it starts all the same
	}
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{releasesFile: FormatReleases(pkg, root), pkg.Name + "-" + pkg.Version + ".rel": rel} {
		if err := replaceFile(filepath.Join(dir, name), content, owner); err != nil {
			return err
		}
	}
	for _, name := range []string{releasesFile, startErlFile} {
		if err := GiveToUser(filepath.Join(dir, name), owner); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// replaceFile writes a file of a tree that nobody uses yet.
func replaceFile(name string, content []byte, owner *Owner) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(name, content, 0o644); err != nil {
		return err
	}
	if owner == nil {
		return nil
	}
	return os.Lchown(name, owner.uid(), owner.GID)
}

// GiveToUser makes a file of a prepared folder writable for the user that the BEAM runs as, where the folder is read-only to it:
// release_handler writes RELEASES and start_erl.data in place.
func GiveToUser(name string, owner *Owner) error {
	if owner == nil || !owner.ReadOnly {
		return nil
	}
	if err := os.Lchown(name, owner.UID, owner.GID); err != nil {
		return err
	}
	return os.Chmod(name, 0o644)
}

// Upgraded says that the instance's current folder holds rel from now on: its BEAM was taken to rel while it ran, and
// boots it. The folder stays what it is: it has the files of rel beside those of the release that it was made from.
//
// A caller that later restarts the instance may do so from this folder. It may as well give it a freshly prepared one
// (Prepare and Switch of rel), which has nothing of the old release; then the way back by downgrade instructions is
// gone, since the old release is no longer in it.
//
// Errors: ErrNotFound when the instance has no current folder.
func (s *Store) Upgraded(app, instance string, rel Release) error {
	dir, unlock, err := s.lockFolder(app, instance)
	if err == nil {
		defer unlock()
		err = s.upgraded(dir, rel)
	}
	if err != nil {
		return &Error{Op: "upgrade", Release: app, Version: rel.Version, Err: fmt.Errorf("instance %q: %w", instance, diskError(err))}
	}
	return nil
}

func (s *Store) upgraded(dir string, rel Release) error {
	if err := s.recoverSwitch(dir); err != nil {
		return err
	}
	current := filepath.Join(dir, currentDir)
	m, err := readMark(current)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	if err != nil {
		return err
	}
	if m.Release.ID() == rel.ID() {
		return nil
	}
	m.Release = rel
	s.at("mark upgraded")
	return writeFileAtomic(path.Join(current, markFile), 0o644, func(f *os.File) error { return encodeMark(f, m) })
}
