package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
)

// LocalBucket is a bucket in a folder.
type LocalBucket struct {
	dir string
}

// NewLocalBucket returns the bucket in dir, which need not exist yet.
func NewLocalBucket(dir string) *LocalBucket {
	return &LocalBucket{dir: filepath.Clean(dir)}
}

// Location returns the path of key.
func (b *LocalBucket) Location(key string) string {
	return filepath.Join(b.dir, filepath.FromSlash(key))
}

func (b *LocalBucket) path(key string) (string, error) {
	if !filepath.IsLocal(filepath.FromSlash(key)) {
		return "", fmt.Errorf("%w: key %s", ErrBadName, quoteCut(key))
	}
	return b.Location(key), nil
}

// Open implements Bucket. The Body of an object whose size or time changes while it is read ends in ErrChanging.
func (b *LocalBucket) Open(_ context.Context, key string, offset int64) (*Object, error) {
	name, err := b.path(key)
	if err != nil {
		return nil, err
	}
	// Without O_NONBLOCK a fifo in the bucket would hold us until someone writes to it.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, localError(name, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a plain file", name)
	}
	if err == nil && offset > 0 {
		_, err = f.Seek(offset, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	o := &Object{ObjectInfo: fileInfo(key, name, info)}
	o.Body = &steadyFile{File: f, token: o.Token}
	return o, nil
}

// localError gives a missing file its sentinel and keeps the path in the text.
func localError(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	return err
}

func fileInfo(key, name string, info fs.FileInfo) ObjectInfo {
	var inode uint64
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = st.Ino
	}
	return ObjectInfo{
		Key:      key,
		Location: name,
		Token:    fmt.Sprintf("%x-%x-%x", inode, info.Size(), info.ModTime().UnixNano()),
		Size:     info.Size(),
		ModTime:  info.ModTime(),
	}
}

// steadyFile is a file that fails at its end if it changed since it was opened.
type steadyFile struct {
	*os.File
	token string
}

func (f *steadyFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	if err == io.EOF {
		if changed := f.check(); changed != nil {
			err = changed
		}
	}
	return n, err
}

func (f *steadyFile) check() error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if fileInfo("", "", info).Token != f.token {
		return fmt.Errorf("%s: %w", f.Name(), ErrChanging)
	}
	return nil
}

// List implements Bucket.
func (b *LocalBucket) List(_ context.Context, prefix string) ([]ObjectInfo, error) {
	dir, err := b.path(path.Clean(prefix))
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		if err = localError(dir, err); errors.Is(err, ErrNotFound) {
			return nil, nil
		}
		return nil, err
	}
	var all []ObjectInfo
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() {
			continue // gone since, or nothing that Open would open
		}
		all = append(all, fileInfo(path.Join(prefix, e.Name()), name, info))
	}
	return all, nil
}

// Put implements Uploader: a file beside key is written, synced and renamed to it.
func (b *LocalBucket) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	name, err := b.path(key)
	if err != nil {
		return err
	}
	if err := mkdirAllSynced(filepath.Dir(name), 0o755); err != nil {
		return diskError(err)
	}
	return writeFileAtomic(name, 0o644, func(f *os.File) error {
		n, err := io.Copy(f, contextReader{ctx, r})
		if err == nil && n != size {
			err = fmt.Errorf("%s: %w: %d bytes of %d", name, ErrChanging, n, size)
		}
		return err
	})
}
