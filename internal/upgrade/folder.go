package upgrade

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// folder is Root, whose contents may belong to the app: no path that is followed in it leads out of it, and what is put
// there is made elsewhere first, where the app cannot reach, and moved in.
type folder struct {
	root  *os.Root
	stage string // a folder of ours on the same file system; made when needed
}

// maxFile bounds what is read from Root.
const maxFile = 64 << 20

func openFolder(root string) (*folder, error) {
	if !filepath.IsAbs(root) {
		return nil, fmt.Errorf("the folder %q is not absolute", root)
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	return &folder{root: r}, nil
}

// close removes what was made and not moved in.
func (f *folder) close() error {
	err := f.root.Close()
	if f.stage != "" {
		err = errors.Join(err, os.RemoveAll(f.stage))
	}
	return err
}

// workshop is a folder of ours beside Root; the store sweeps what a killed daemon leaves of it.
func (f *folder) workshop() (string, error) {
	if f.stage == "" {
		dir, err := os.MkdirTemp(filepath.Dir(f.root.Name()), ".part-upgrade-")
		if err != nil {
			return "", err
		}
		f.stage = dir
	}
	return f.stage, nil
}

// read returns a plain file's content.
func (f *folder) read(name string) ([]byte, error) {
	file, err := f.root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a plain file", name)
	}
	b, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s: longer than %d bytes", name, maxFile)
	}
	return b, err
}

func (f *folder) exists(name string) bool {
	_, err := f.root.Lstat(name)
	return err == nil
}

// names lists a folder; a missing one is empty.
func (f *folder) names(dir string) ([]string, error) {
	d, err := f.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// within calls do with a descriptor of the folder that name is in, and name's last part.
func (f *folder) within(name string, do func(dir int, base string) error) error {
	d, err := f.root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer d.Close()
	return do(int(d.Fd()), path.Base(name))
}

// moveIn moves what is at from to name in Root; what was there is moved out and removed.
func (f *folder) moveIn(from, name string) error {
	if err := f.remove(name); err != nil {
		return err
	}
	return f.within(name, func(dir int, base string) error {
		return linkError("move in", name, unix.Renameat(unix.AT_FDCWD, from, dir, base))
	})
}

// replace makes the file at from the file name in Root, in one step.
func (f *folder) replace(from, name string) error {
	return f.within(name, func(dir int, base string) error {
		return linkError("replace", name, unix.Renameat(unix.AT_FDCWD, from, dir, base))
	})
}

// remove takes a file or folder out of Root.
func (f *folder) remove(name string) error {
	if !f.exists(name) {
		return nil
	}
	stage, err := f.workshop()
	if err != nil {
		return err
	}
	gone, err := os.MkdirTemp(stage, "gone-")
	if err != nil {
		return err
	}
	err = f.within(name, func(dir int, base string) error {
		return linkError("move out", name, unix.Renameat(dir, base, unix.AT_FDCWD, filepath.Join(gone, "it")))
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(gone)
}

// overwrite changes the content of a file that the BEAM's user writes too, as release_handler does: in place, so that it
// stays whose it is.
func (f *folder) overwrite(name string, content []byte) error {
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_TRUNC|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Close())
}

func linkError(op, name string, err error) error {
	if err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// sync puts on disk all that was moved in.
func (f *folder) sync() error {
	d, err := f.root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(d.Fd())))
}

// free is how many bytes of disk the daemon may still fill there.
func free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	avail := st.Bavail
	if os.Geteuid() == 0 {
		avail = st.Bfree
	}
	return int64(avail) * st.Bsize, nil
}

// put writes a file of ours below the workshop, with the owner of the instance.
func (j Job) put(name string, content []byte, mode fs.FileMode) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		return err
	}
	if o := j.Owner; o != nil {
		uid := o.UID
		if o.ReadOnly {
			uid, mode = -1, mode&^0o022|mode>>3&0o050|mode&0o400>>3
		}
		if err := os.Lchown(name, uid, o.GID); err != nil {
			return err
		}
	}
	return os.Chmod(name, mode)
}

// versionDir is the folder of a version in Root.
func versionDir(version string) string { return path.Join("releases", version) }

// checkNames refuses what would lead elsewhere as part of a path.
func (j Job) checkNames() error {
	for _, s := range []string{j.Name, j.From, j.To} {
		if s == "" || s == "." || s == ".." || strings.ContainsAny(s, "/\x00") {
			return fmt.Errorf("%q is no name or version of a release", s)
		}
	}
	if j.From == j.To {
		return fmt.Errorf("from and to are both %q", j.To)
	}
	return nil
}
