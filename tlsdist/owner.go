package tlsdist

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Owner is the OS user whom the files of a node are given to, when we are root.
type Owner struct{ UID, GID int }

// writeFile writes a file whole or not at all.
func writeFile(path string, b []byte, mode os.FileMode, owner *Owner) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // renamed, if all went well
	_, err = f.Write(b)
	if err == nil && owner != nil && os.Geteuid() == 0 {
		err = f.Chown(owner.UID, owner.GID)
	}
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
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

// ownerOf gives the owner of a file, nil when it is ours or not there.
func ownerOf(path string) *Owner {
	st, err := os.Stat(path)
	if err != nil {
		return nil
	}
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok || int(s.Uid) == os.Geteuid() {
		return nil
	}
	return &Owner{UID: int(s.Uid), GID: int(s.Gid)}
}

// ownedBy tells whether a file belongs to owner (nil: to us), as far as that is ours to choose.
func ownedBy(path string, owner *Owner) bool {
	if os.Geteuid() != 0 {
		return true
	}
	have := ownerOf(path)
	if owner == nil || owner.UID == 0 {
		return have == nil
	}
	return have != nil && have.UID == owner.UID
}

// maxFile bounds a file of certificates or options.
const maxFile = 1 << 20

// readFile reads a regular file.
func readFile(path string) ([]byte, error) { return readChecked(path, 0) }

// readPrivate reads a regular file that only its owner may read or write. Error: ErrKeyMode, or the file system's.
func readPrivate(path string) ([]byte, error) { return readChecked(path, 0o077) }

func readChecked(path string, forbidden os.FileMode) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO does not hold us up
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if st.Mode().Perm()&forbidden != 0 {
		return nil, fmt.Errorf("%w: %s has mode %04o", ErrKeyMode, path, st.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return b, nil
}
