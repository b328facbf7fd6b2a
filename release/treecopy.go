package release

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// treeCopier makes an instance's tree from a shared one.
type treeCopier struct {
	ctx      context.Context
	from, to string
	prefix   string // of from in the release
	owner    *Owner
	reflink  bool
}

func (c *treeCopier) copy() error {
	return filepath.WalkDir(c.from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := c.ctx.Err(); err != nil {
			return err
		}
		rel, err := filepath.Rel(c.from, name)
		if err != nil {
			return err
		}
		to := filepath.Join(c.to, rel)
		switch {
		case d.IsDir():
			if err := os.Mkdir(to, 0o755); err != nil {
				return err
			}
			return c.own(to)
		case d.Type() == fs.ModeSymlink:
			return c.symlink(name, to)
		}
		return c.file(name, to, path.Join(c.prefix, filepath.ToSlash(rel)), d)
	})
}

func (c *treeCopier) symlink(from, to string) error {
	target, err := os.Readlink(from)
	if err != nil {
		return err
	}
	if err := os.Symlink(target, to); err != nil {
		return err
	}
	return c.own(to)
}

func (c *treeCopier) file(from, to, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	if !sharedFile(name, info.Mode()) {
		return c.duplicate(from, to, info, c.reflink)
	}
	if c.reflink {
		return c.duplicate(from, to, info, true)
	}
	err = os.Link(from, to)
	// Another file system, one without hard links, or a file that has as many as it can have.
	if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EMLINK) || errors.Is(err, errors.ErrUnsupported) {
		return c.duplicate(from, to, info, false)
	}
	return err
}

// duplicate makes a file of its own with the content, mode and time of another, sharing blocks if it can.
func (c *treeCopier) duplicate(from, to string, info fs.FileInfo, reflink bool) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if !reflink || unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) != nil {
		_, err = io.Copy(dst, src)
	}
	if err == nil {
		mode := info.Mode().Perm()
		if c.owner != nil {
			mode, err = c.owner.mode(mode), dst.Chown(c.owner.uid(), c.owner.GID)
		}
		if err == nil {
			err = dst.Chmod(mode)
		}
	}
	if closeErr := dst.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Chtimes(to, time.Time{}, info.ModTime())
}

func (c *treeCopier) own(name string) error {
	if c.owner == nil {
		return nil
	}
	return os.Lchown(name, c.owner.uid(), c.owner.GID)
}

// canReflink tries whether two files in dir can share blocks.
func canReflink(dir string) bool {
	a, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return false
	}
	defer os.Remove(a.Name())
	defer a.Close()
	b, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return false
	}
	defer os.Remove(b.Name())
	defer b.Close()
	if _, err := a.Write(make([]byte, 4096)); err != nil {
		return false
	}
	return unix.IoctlFileClone(int(b.Fd()), int(a.Fd())) == nil
}

// renameExchange swaps two names in one step. errors.ErrUnsupported when the file system cannot.
func renameExchange(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	if err == unix.EINVAL || err == unix.ENOSYS {
		err = unix.ENOTSUP
	}
	if err != nil {
		return &os.LinkError{Op: "exchange", Old: a, New: b, Err: err}
	}
	return nil
}
