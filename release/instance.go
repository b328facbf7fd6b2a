package release

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// Owner is the OS user and group that an instance runs as.
type Owner struct {
	UID, GID int
	ReadOnly bool // the files stay the daemon's; the group may read what their owner may
}

// uid is whose the files become; -1: they stay ours.
func (o Owner) uid() int {
	if o.ReadOnly {
		return -1
	}
	return o.UID
}

// mode is what the mode of a file becomes.
func (o Owner) mode(m fs.FileMode) fs.FileMode {
	if o.ReadOnly {
		return m&^0o022 | m>>3&0o050
	}
	return m
}

// Folder is the folder of an instance.
type Folder struct {
	App      string
	Instance string
	Dir      string // service/{app}/{instance}; holds new, current and previous

	New      *Release // what Dir/new was made from; nil when there is none
	Current  *Release
	Previous *Release
}

// Names below an instance's folder.
const (
	newDir      = "new"
	currentDir  = "current"
	previousDir = "previous"
	switchFile  = ".switch"   // journal of a Switch under way
	switchedDir = ".switched" // the old current, where folders cannot be exchanged
	markFile    = ".beamkeeper.json"
)

// mark is what a prepared folder says of itself.
type mark struct {
	Release Release `json:"release"`
	Nonce   string  `json:"nonce"` // of this Prepare
}

// folderLock lets one operation at a time work on an instance's folder.
type folderLock struct {
	sync.Mutex
	users int // guarded by Store.mu
}

// lockFolder returns the path of the instance's folder and the function that unlocks it.
func (s *Store) lockFolder(app, instance string) (string, func(), error) {
	if err := errors.Join(CheckName(app), CheckName(instance)); err != nil {
		return "", nil, err
	}
	dir := s.InstanceDir(app, instance)
	s.mu.Lock()
	l := s.folders[dir]
	if l == nil {
		l = new(folderLock)
		s.folders[dir] = l
	}
	l.users++
	s.mu.Unlock()
	l.Lock()
	return dir, func() {
		l.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(s.folders, dir)
		}
	}, nil
}

// InstanceDir is the path of the instance's folder. The release it runs is in current below it.
func (s *Store) InstanceDir(app, instance string) string {
	return filepath.Join(s.dir, serviceDir, app, instance)
}

// Prepare makes the instance's folder new from the release's tree, replacing what was there. Files that a BEAM never
// writes are reflinked or hard-linked, the others copied. With an owner, folders and copies belong to it
// (the daemon must be root); hard-linked files stay the daemon's and readable.
//
// The file RELEASES and NAME-VERSION.rel, which release_handler needs for an upgrade and mix does not make, are written for the
// folder's place as current; RELEASES and start_erl.data can be written by the owner even if the rest is read-only.
//
// A hard-linked file is shared by all instances: it must never be written in place. It has no write permission.
//
// Errors: ErrNotFound when rel was pruned.
func (s *Store) Prepare(ctx context.Context, app, instance string, rel Release, owner *Owner) error {
	if err := s.prepare(ctx, app, instance, rel, owner); err != nil {
		return &Error{Op: "prepare", Release: app, Version: rel.Version, Err: fmt.Errorf("instance %q: %w", instance, diskError(err))}
	}
	return nil
}

func (s *Store) prepare(ctx context.Context, app, instance string, rel Release, owner *Owner) (err error) {
	dir, unlock, err := s.lockFolder(app, instance)
	if err != nil {
		return err
	}
	defer unlock()
	trees := &s.locks(app).trees
	trees.RLock()
	defer trees.RUnlock()
	known, err := s.readRelease(app, rel.ID())
	if err != nil || known.Tree == "" {
		return fmt.Errorf("release %s: %w", rel.ID(), ErrNotFound)
	}
	made, err := s.makeFolder(dir, owner)
	if err != nil {
		return err
	}
	work := tempName(filepath.Join(dir, newDir))
	defer func() {
		if err != nil {
			removeAll(work) // what stays is swept by the next OpenStore
			if made {
				os.Remove(dir) // unless it is in use by now
			}
		}
	}()
	if err := s.recoverSwitch(dir); err != nil {
		return err
	}
	s.at("copy tree")
	c := treeCopier{ctx: ctx, from: known.Tree, to: work, owner: owner, reflink: s.reflink}
	if err := c.copy(); err != nil {
		return err
	}
	s.at("describe")
	if err := describeRelease(work, filepath.Join(dir, currentDir), known.Package, owner); err != nil {
		return err
	}
	s.at("mark")
	if err := writeMark(work, mark{Release: known, Nonce: rand.Text()}); err != nil {
		return err
	}
	s.at("sync")
	if err := syncTree(work); err != nil {
		return err
	}
	s.at("replace new")
	if err := s.discard(filepath.Join(dir, newDir)); err != nil {
		return err
	}
	s.at("rename new")
	if err := os.Rename(work, filepath.Join(dir, newDir)); err != nil {
		return err
	}
	return syncDir(dir)
}

// makeFolder makes the instance's folder and says whether it was missing. An owner can look into it, but renaming what
// is in it is the daemon's alone.
func (s *Store) makeFolder(dir string, owner *Owner) (made bool, err error) {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		made = true
	}
	if err := mkdirAllSynced(filepath.Dir(dir), 0o755); err != nil {
		return false, err
	}
	spreadDir(filepath.Dir(dir))
	if err := mkdirAllSynced(dir, 0o750); err != nil {
		return false, err
	}
	if owner != nil {
		if err := os.Lchown(dir, -1, owner.GID); err != nil {
			return made, err
		}
	}
	return made, nil
}

func writeMark(dir string, m mark) error {
	f, err := os.OpenFile(filepath.Join(dir, markFile), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(encodeMark(f, m), f.Close())
}

func encodeMark(w io.Writer, m mark) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// readMark reads the mark of a folder. The folder may belong to an app that put anything there.
func readMark(dir string) (mark, error) {
	f, err := os.OpenFile(filepath.Join(dir, markFile), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return mark{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return mark{}, err
	}
	if !info.Mode().IsRegular() {
		return mark{}, fmt.Errorf("%s: not a plain file", f.Name())
	}
	b, err := io.ReadAll(io.LimitReader(f, 4<<20))
	if err != nil {
		return mark{}, err
	}
	var m mark
	if err := json.Unmarshal(b, &m); err != nil {
		return mark{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	if err := errors.Join(CheckName(m.Release.App), CheckVersion(m.Release.Version), checkSum(m.Release.SHA256)); err != nil {
		return mark{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return m, nil
}

// Switch makes new the instance's current and current its previous. A process killed at any time leaves the old
// current or the new one, which the next OpenStore completes.
//
// Errors: ErrNotPrepared.
func (s *Store) Switch(app, instance string) error {
	err := s.switchFolder(app, instance)
	if err != nil {
		return &Error{Op: "switch", Release: app, Err: fmt.Errorf("instance %q: %w", instance, diskError(err))}
	}
	return nil
}

func (s *Store) switchFolder(app, instance string) error {
	dir, unlock, err := s.lockFolder(app, instance)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.recoverSwitch(dir); err != nil {
		return err
	}
	m, err := readMark(filepath.Join(dir, newDir))
	if err != nil {
		return ErrNotPrepared
	}
	fresh, current := filepath.Join(dir, newDir), filepath.Join(dir, currentDir)
	if _, err := os.Lstat(current); errors.Is(err, fs.ErrNotExist) {
		s.at("first current")
		if err := os.Rename(fresh, current); err != nil {
			return err
		}
		return syncDir(dir)
	}
	s.at("journal")
	err = writeFileAtomic(filepath.Join(dir, switchFile), 0o600, func(f *os.File) error {
		_, err := f.WriteString(m.Nonce)
		return err
	})
	if err != nil {
		return err
	}
	s.at("exchange")
	if err := s.exchange(dir); err != nil {
		return err
	}
	return s.finishSwitch(dir)
}

// exchange swaps new and current.
func (s *Store) exchange(dir string) error {
	fresh, current := filepath.Join(dir, newDir), filepath.Join(dir, currentDir)
	err := s.exchangeDirs(fresh, current)
	if err == nil || !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	old := filepath.Join(dir, switchedDir)
	if err := os.Rename(current, old); err != nil {
		return err
	}
	s.at("exchange by hand")
	if err := os.Rename(fresh, current); err != nil {
		return errors.Join(err, os.Rename(old, current))
	}
	return os.Rename(old, fresh)
}

// recoverSwitch brings a Switch that did not end to its end, or, if current is the old one still, forgets it.
func (s *Store) recoverSwitch(dir string) error {
	nonce, err := os.ReadFile(filepath.Join(dir, switchFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	fresh, current, old := filepath.Join(dir, newDir), filepath.Join(dir, currentDir), filepath.Join(dir, switchedDir)
	hasMark := func(name string) bool {
		m, err := readMark(name)
		return err == nil && m.Nonce == string(nonce)
	}
	// The journal says that current was there: without it, an exchange by hand stopped in the middle.
	if _, err := os.Lstat(current); errors.Is(err, fs.ErrNotExist) && hasMark(fresh) {
		if err := os.Rename(fresh, current); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(fresh); errors.Is(err, fs.ErrNotExist) {
		if err := os.Rename(old, fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if hasMark(current) {
		return s.finishSwitch(dir)
	}
	return os.Remove(filepath.Join(dir, switchFile))
}

// finishSwitch makes previous of what was current and stands as new.
func (s *Store) finishSwitch(dir string) error {
	s.at("sync exchange")
	if err := syncDir(dir); err != nil {
		return err
	}
	fresh, previous := filepath.Join(dir, newDir), filepath.Join(dir, previousDir)
	gone := ""
	if _, err := os.Lstat(fresh); err == nil {
		s.at("previous aside")
		if gone, err = aside(previous); err != nil {
			return err
		}
		s.at("rename previous")
		if err := os.Rename(fresh, previous); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	s.at("forget journal")
	if err := os.Remove(filepath.Join(dir, switchFile)); err != nil {
		return err
	}
	if gone == "" {
		return nil
	}
	s.at("remove previous")
	return removeAll(gone)
}

// RemoveInstance removes the instance's folder. A missing one is no error.
func (s *Store) RemoveInstance(app, instance string) error {
	dir, unlock, err := s.lockFolder(app, instance)
	if err == nil {
		defer unlock()
		s.at("remove instance")
		err = s.discard(dir)
	}
	if err != nil {
		return &Error{Op: "remove", Release: app, Err: fmt.Errorf("instance %q: %w", instance, err)}
	}
	return nil
}

// Instances returns the folders of app's instances, by name.
func (s *Store) Instances(app string) ([]Folder, error) {
	fail := func(err error) ([]Folder, error) { return nil, &Error{Op: "list", Release: app, Err: err} }
	if err := CheckName(app); err != nil {
		return fail(err)
	}
	all, err := names(filepath.Join(s.dir, serviceDir, app))
	if err != nil {
		return fail(err)
	}
	slices.Sort(all)
	var folders []Folder
	for _, instance := range all {
		if CheckName(instance) == nil {
			folders = append(folders, s.folder(app, instance))
		}
	}
	return folders, nil
}

// Instance returns the folder of one instance. A missing one gives ErrNotFound.
func (s *Store) Instance(app, instance string) (Folder, error) {
	fail := func(err error) (Folder, error) {
		return Folder{}, &Error{Op: "list", Release: app, Err: fmt.Errorf("instance %q: %w", instance, err)}
	}
	if err := errors.Join(CheckName(app), CheckName(instance)); err != nil {
		return fail(err)
	}
	if _, err := os.Stat(s.InstanceDir(app, instance)); errors.Is(err, fs.ErrNotExist) {
		return fail(ErrNotFound)
	} else if err != nil {
		return fail(err)
	}
	return s.folder(app, instance), nil
}

func (s *Store) folder(app, instance string) Folder {
	f := Folder{App: app, Instance: instance, Dir: s.InstanceDir(app, instance)}
	read := func(name string) *Release {
		m, err := readMark(filepath.Join(f.Dir, name))
		if err != nil || m.Release.App != app {
			return nil
		}
		r := s.locate(m.Release)
		return &r
	}
	f.New, f.Current, f.Previous = read(newDir), read(currentDir), read(previousDir)
	return f
}

// sweepFolders finishes switches and removes what is unfinished in the folders of app's instances.
func (s *Store) sweepFolders(app string) error {
	dir := filepath.Join(s.dir, serviceDir, app)
	instances, err := names(dir)
	if err != nil {
		return err
	}
	for _, instance := range instances {
		if err := s.recoverSwitch(filepath.Join(dir, instance)); err != nil {
			return err
		}
		if err := s.sweepTemp(filepath.Join(dir, instance)); err != nil {
			return err
		}
	}
	return nil
}
