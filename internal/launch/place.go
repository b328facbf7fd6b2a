package launch

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks bounds the symbolic links on the way to a folder, as the kernel does.
const maxLinks = 40

// folder is an open directory (O_PATH) that nothing on the way to could have exchanged.
type folder struct {
	fd   int
	path string
}

func (f folder) close() { _ = unix.Close(f.fd) }

// openFolder opens a directory, making what is missing of it with mode for the owner uid:gid (-1: ours).
//
// The daemon may be root and folders on the way may be an app's: a symbolic link that neither root nor we have made is
// refused, so that no app has us write elsewhere.
func openFolder(path string, mode os.FileMode, uid, gid int) (folder, error) {
	f, err := walk(path, mode, uid, gid, maxLinks)
	if err != nil {
		return folder{}, err
	}
	return f, nil
}

func walk(path string, mode os.FileMode, uid, gid, links int) (folder, error) {
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NOFOLLOW
	path = filepath.Clean(path)
	fd, err := unix.Open("/", flags, 0)
	if err != nil {
		return folder{}, &os.PathError{Op: "open", Path: "/", Err: err}
	}
	at := folder{fd: fd, path: "/"}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, part := range parts {
		if part == "" {
			break
		}
		full := filepath.Join(at.path, part)
		next, err := unix.Openat(at.fd, part, flags, 0)
		if errors.Is(err, unix.ENOENT) {
			next, err = makeFolder(at.fd, part, mode, uid, gid)
		}
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			target, linkErr := trustedLink(at.fd, part)
			at.close()
			if linkErr != nil {
				return folder{}, &os.PathError{Op: "open folder", Path: full, Err: linkErr}
			}
			if links == 0 {
				return folder{}, &os.PathError{Op: "open folder", Path: full, Err: unix.ELOOP}
			}
			if !filepath.IsAbs(target) {
				target = filepath.Join(filepath.Dir(full), target)
			}
			return walk(filepath.Join(append([]string{target}, parts[i+1:]...)...), mode, uid, gid, links-1)
		}
		at.close()
		if err != nil {
			return folder{}, &os.PathError{Op: "open folder", Path: full, Err: err}
		}
		at = folder{fd: next, path: full}
	}
	return at, nil
}

func makeFolder(parent int, name string, mode os.FileMode, uid, gid int) (int, error) {
	if err := unix.Mkdirat(parent, name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, err
	}
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, err
	}
	if err := errors.Join(unix.Fchmod(fd, uint32(mode.Perm())), chown(fd, uid, gid)); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func chown(fd, uid, gid int) error {
	if uid < 0 && gid < 0 {
		return nil
	}
	return unix.Fchown(fd, uid, gid)
}

// trustedLink reads a symbolic link that root or we have made.
func trustedLink(parent int, name string) (string, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(parent, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return "", err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", unix.ENOTDIR
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return "", fmt.Errorf("a symbolic link of uid %d, which is not followed: %w", st.Uid, os.ErrPermission)
	}
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(parent, name, b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// makeDir makes a folder of an app, or gives an existing one its owner and mode.
func makeDir(d Dir, uid, gid int) error {
	parent, err := openFolder(filepath.Dir(d.Path), 0o755, -1, -1)
	if err != nil {
		return err
	}
	defer parent.close()
	name := filepath.Base(d.Path)
	fd, err := makeFolder(parent.fd, name, d.Mode, uid, gid)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		if _, linkErr := trustedLink(parent.fd, name); linkErr == nil {
			return nil // somebody who may has put it elsewhere, and gave it owner and mode there
		}
	}
	if err != nil {
		return &os.PathError{Op: "make folder", Path: d.Path, Err: err}
	}
	return unix.Close(fd)
}

// putFile writes a file whole or not at all, in a folder that nothing could have exchanged.
func putFile(path string, content []byte, mode os.FileMode, uid, gid int) error {
	dir, err := openFolder(filepath.Dir(path), 0o755, -1, -1)
	if err != nil {
		return err
	}
	defer dir.close()
	temp := ".new-" + rand.Text()
	fd, err := unix.Openat(dir.fd, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "write", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	_, err = f.Write(content)
	if err == nil {
		err = errors.Join(chown(fd, uid, gid), f.Chmod(mode))
	}
	if err = errors.Join(err, f.Close()); err == nil {
		if err = unix.Renameat(dir.fd, temp, dir.fd, filepath.Base(path)); err != nil {
			err = &os.PathError{Op: "write", Path: path, Err: err}
		}
	}
	if err != nil {
		_ = unix.Unlinkat(dir.fd, temp, 0) // the first error is the one to tell
	}
	return err
}
