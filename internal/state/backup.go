package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// What is kept of the automatic backups: the newest, and the newest of each of the last days that has one.
const (
	BackupEvery = time.Hour
	keepNewest  = 6
	keepDays    = 7
)

const (
	backupsDir   = "backups"
	backupPrefix = "beamkeeper-"
	backupSuffix = ".db"
	backupTime   = "20060102T150405.000Z"
	partPrefix   = ".part-"
)

// Backup is a copy of the database.
type Backup struct {
	Path string    `json:"path"`
	At   time.Time `json:"at"`
	Size int64     `json:"size_bytes"`
}

// Backups lists the automatic backups of a state folder, the newest first. Whether they are whole is for Check to say.
func Backups(dir string) ([]Backup, error) {
	entries, err := os.ReadDir(filepath.Join(dir, backupsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	var list []Backup
	for _, e := range entries {
		text, ours := strings.CutPrefix(e.Name(), backupPrefix)
		text, named := strings.CutSuffix(text, backupSuffix)
		at, err := time.Parse(backupTime, text)
		if !ours || !named || err != nil {
			continue
		}
		if info, err := e.Info(); err == nil {
			list = append(list, Backup{Path: filepath.Join(dir, backupsDir, e.Name()), At: at, Size: info.Size()})
		}
	}
	slices.SortFunc(list, func(a, b Backup) int { return b.At.Compare(a.At) })
	return list, nil
}

// Backup copies the database into the folder of backups, checks the copy, and removes the oldest ones. Writers do not
// wait for it. A copy that is not whole is no backup: it is removed, no older one is, and the error is a *DamagedError.
func (s *Store) Backup() (Backup, error) {
	s.copying.Lock()
	defer s.copying.Unlock()
	dir := filepath.Join(filepath.Dir(s.path), backupsDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Backup{}, fmt.Errorf("state: %w", err)
	}
	sweepParts(dir)
	at := time.Now().UTC()
	b := Backup{Path: filepath.Join(dir, backupPrefix+at.Format(backupTime)+backupSuffix), At: at}
	var err error
	if b.Size, err = s.CopyTo(b.Path); err != nil {
		return Backup{}, err
	}
	return b, s.dropBackups()
}

// CopyTo copies the database to the file path, which appears when it is whole and on the disk.
func (s *Store) CopyTo(path string) (size int64, err error) {
	err = writeWhole(path, func(f *os.File) error {
		err := s.db.View(func(tx *bbolt.Tx) error {
			size, err = tx.WriteTo(f)
			return err
		})
		if err != nil {
			return err
		}
		found, err := Check(f.Name())
		if err == nil && len(found) > 0 {
			return &DamagedError{Path: s.path, Found: found}
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("state: backup: %w", err)
	}
	return size, nil
}

// Check looks for damage in a copy of the database, see the function Check.
func (s *Store) Check() (found []string, err error) {
	path := filepath.Join(filepath.Dir(s.path), partPrefix+"check.db") // which the next Open removes in any case
	defer os.Remove(path)
	var damaged *DamagedError
	if _, err = s.CopyTo(path); errors.As(err, &damaged) {
		return damaged.Found, nil
	}
	return nil, err
}

// dropBackups removes the backups that need not be kept.
func (s *Store) dropBackups() error {
	list, err := Backups(filepath.Dir(s.path))
	if err != nil {
		return err
	}
	var errs []error
	for _, b := range surplus(list) {
		errs = append(errs, os.Remove(b.Path))
	}
	return errors.Join(errs...)
}

// surplus are those of a list, the newest first, that need not be kept.
func surplus(list []Backup) []Backup {
	days := make(map[string]bool)
	var drop []Backup
	for i, b := range list {
		day := b.At.Format(time.DateOnly)
		first := !days[day] && len(days) < keepDays
		if first {
			days[day] = true
		}
		if i >= keepNewest && !first {
			drop = append(drop, b)
		}
	}
	return drop
}

// firstBackup is how long the first backup waits: a daemon that starts has better to do.
const firstBackup = 5 * time.Second

// KeepBackups makes a backup soon, unless the newest is younger than every, and then one each every, until ctx ends; what
// fails is tried again sooner. tell gets the outcome of each. A hurry asks for one at once.
func (s *Store) KeepBackups(ctx context.Context, every time.Duration, log *slog.Logger, tell func(error)) {
	wait, failed := firstBackup, 0
	if list, err := Backups(filepath.Dir(s.path)); err == nil && len(list) > 0 {
		if age := time.Since(list[0].At); age > 0 && age < every {
			wait = max(wait, every-age)
		}
	}
	for {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		case <-s.hurry:
			t.Stop()
		}
		b, err := s.Backup()
		if err != nil {
			log.Error("back up the state", "err", err)
		} else {
			log.Debug("state backed up", "path", b.Path, "bytes", b.Size)
		}
		tell(err)
		if wait, failed = every, failed+1; err == nil {
			failed = 0
		} else {
			wait = min(every, firstBackup<<min(failed-1, 10))
		}
	}
}

// HurryBackup has KeepBackups make a backup at once: something has been noted that was much work. It does not wait for it.
func (s *Store) HurryBackup() {
	select {
	case s.hurry <- struct{}{}:
	default: // it has not come to the one before
	}
}

// Restore puts a backup in the place of the database: the one at path, or with an empty path the newest that is whole.
// What was there is kept as DB.damaged-TIME, whose path is returned; empty when there was nothing.
//
// Errors: *HeldError while a daemon runs on the folder, *DamagedError when the backup is not whole.
func Restore(dir, path string) (from Backup, kept string, err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return from, "", fmt.Errorf("state: %w", err)
	}
	l, err := takeLock(dir)
	if err != nil {
		return from, "", err
	}
	defer l.release()
	if path == "" {
		whole, err := wholeBackups(dir)
		if err != nil {
			return from, "", err
		}
		if len(whole) == 0 {
			return from, "", fmt.Errorf("state: %q has no backup that is whole: %w", filepath.Join(dir, backupsDir), fs.ErrNotExist)
		}
		from = whole[0]
	} else {
		st, err := os.Stat(path)
		if err != nil {
			return from, "", fmt.Errorf("state: %w", err)
		}
		from = Backup{Path: path, At: st.ModTime().UTC(), Size: st.Size()}
		if found, err := Check(path); err != nil || len(found) > 0 {
			if err == nil {
				err = &DamagedError{Path: path, Found: found}
			}
			return from, "", err
		}
	}
	db := filepath.Join(dir, DBFile)
	if _, err := os.Lstat(db); err == nil {
		kept = db + ".damaged-" + time.Now().UTC().Format(backupTime)
	}
	err = writeWhole(db, func(f *os.File) error {
		in, err := os.Open(from.Path)
		if err != nil {
			return err
		}
		defer in.Close()
		if _, err := io.Copy(f, in); err != nil || kept == "" {
			return err
		}
		return os.Rename(db, kept)
	})
	if err != nil {
		return from, kept, fmt.Errorf("state: restore: %w", err)
	}
	return from, kept, nil
}

// wholeBackups lists the backups that Check finds nothing wrong with, the newest first.
func wholeBackups(dir string) ([]Backup, error) {
	list, err := Backups(dir)
	return slices.DeleteFunc(list, func(b Backup) bool {
		found, err := Check(b.Path)
		return err != nil || len(found) > 0
	}), err
}

// writeWhole makes the file path, which appears with what write wrote, on the disk, or not at all.
func writeWhole(path string, write func(*os.File) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, partPrefix+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// sweepParts removes the unfinished files of a process that was killed.
func sweepParts(dir string) {
	parts, _ := filepath.Glob(filepath.Join(dir, partPrefix+"*")) // the pattern is good
	for _, p := range parts {
		_ = os.Remove(p) // the next sweep tries again
	}
}
