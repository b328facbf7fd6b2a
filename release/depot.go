package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Depot is a bucket that can be published to and tidied: a folder, S3, GCS.
type Depot interface {
	Uploader
	// Stat is what is known of an object without reading it. A missing key gives an error that wraps ErrNotFound.
	Stat(ctx context.Context, key string) (ObjectInfo, error)
	// PutObject stores r as key, as Put does, and tells what the bucket has now.
	PutObject(ctx context.Context, key string, r io.Reader, o PutOptions) (ObjectInfo, error)
	// Delete removes an object. That there is none is no error.
	Delete(ctx context.Context, key string) error
}

// PutOptions say how an object is stored.
type PutOptions struct {
	Size int64 // bytes that the reader has; another number is ErrChanging, and nothing is stored
	// SHA256 of the content, hexadecimal, is kept with the object where the bucket can (S3, GCS) and given back as
	// ObjectInfo.SHA256. It is a label: nothing compares it with the content. Empty: none.
	SHA256 string
	// New stores only where no object of that key is: otherwise the error wraps ErrExists, and nothing is stored. Of two
	// that do so at the same time, one fails.
	New bool
}

// Checksum is one that the bucket itself keeps of an object's whole content.
type Checksum struct {
	Algorithm string // crc32, crc32c, crc64nvme, md5, sha1, sha256
	Sum       []byte // big-endian
}

// Stat implements Depot. SHA256 is empty: a folder keeps nothing beside the content.
func (b *LocalBucket) Stat(_ context.Context, key string) (ObjectInfo, error) {
	name, err := b.path(key)
	if err != nil {
		return ObjectInfo{}, err
	}
	info, err := os.Stat(name)
	if err != nil {
		return ObjectInfo{}, localError(name, err)
	}
	if !info.Mode().IsRegular() {
		return ObjectInfo{}, fmt.Errorf("%s: not a plain file", name)
	}
	return fileInfo(key, name, info), nil
}

// PutObject implements Depot.
func (b *LocalBucket) PutObject(ctx context.Context, key string, r io.Reader, o PutOptions) (ObjectInfo, error) {
	name, err := b.path(key)
	if err != nil {
		return ObjectInfo{}, err
	}
	if !o.New {
		if err := b.Put(ctx, key, r, o.Size); err != nil {
			return ObjectInfo{}, err
		}
		return b.Stat(ctx, key)
	}
	if _, err := os.Lstat(name); err == nil {
		return ObjectInfo{}, fmt.Errorf("%s: %w", name, ErrExists)
	}
	// Written whole under another name first: a link, unlike a rename, replaces nothing.
	aside := filepath.Base(tempName(name))
	asideKey := filepath.ToSlash(filepath.Join(filepath.Dir(filepath.FromSlash(key)), aside))
	if err := b.Put(ctx, asideKey, r, o.Size); err != nil {
		return ObjectInfo{}, err
	}
	from := b.Location(asideKey)
	defer os.Remove(from) // a second name by then, or all that is left of a failure
	if err := os.Link(from, name); err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%s: %w", name, ErrExists)
		}
		return ObjectInfo{}, err
	}
	if err := syncDir(filepath.Dir(name)); err != nil {
		return ObjectInfo{}, err
	}
	return b.Stat(ctx, key)
}

// Delete implements Depot.
func (b *LocalBucket) Delete(_ context.Context, key string) error {
	name, err := b.path(key)
	if err != nil {
		return err
	}
	if err := localError(name, os.Remove(name)); err != nil {
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		return err
	}
	return syncDir(filepath.Dir(name))
}
