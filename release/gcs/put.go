//go:build !nogcs

package gcs

import (
	"context"
	"errors"
	"fmt"
	"io"

	"cloud.google.com/go/storage"

	"github.com/beamkeeper/beamkeeper/release"
)

// chunkSize is how much is sent at a time, and kept in memory for it.
const chunkSize = 16 << 20

// Put implements release.Uploader.
func (b *Bucket) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	_, err := b.PutObject(ctx, key, r, release.PutOptions{Size: size})
	return err
}

// PutObject implements release.Depot. An upload that fails leaves nothing.
func (b *Bucket) PutObject(ctx context.Context, key string, r io.Reader, o release.PutOptions) (release.ObjectInfo, error) {
	api, err := b.client.get(ctx)
	if err != nil {
		return release.ObjectInfo{}, b.explain(key, mayPut, err)
	}
	h := b.object(api, key)
	if o.New {
		h = h.If(storage.Conditions{DoesNotExist: true})
	}
	// Cancelled, the writer ends without an object.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := h.NewWriter(ctx)
	w.ChunkSize, w.ContentType = int(min(max(o.Size, 1), chunkSize)), "application/octet-stream"
	if o.SHA256 != "" {
		w.Metadata = map[string]string{labelSHA256: o.SHA256}
	}
	source := &counted{r: r}
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, source, make([]byte, 256<<10))
	switch {
	case source.err != nil:
		err = source.err
	case err == nil && source.n != o.Size:
		err = &release.BucketError{Location: b.Location(key), Kind: release.ErrChanging, Detail: fmt.Sprintf("%d bytes of %d", source.n, o.Size)}
	}
	if err != nil {
		cancel()
		_ = w.Close() // the first error is the one to tell
	} else {
		err = w.Close()
	}
	switch {
	case source.err != nil:
		return release.ObjectInfo{}, source.err
	case err != nil:
		err = b.explain(key, mayPut, err)
		var e *release.BucketError
		if o.New && source.n == o.Size && errors.Is(err, release.ErrChanging) && errors.As(err, &e) {
			err = &release.BucketError{Location: e.Location, Kind: release.ErrExists, Err: e.Err}
		}
		return release.ObjectInfo{}, err
	}
	return b.info(w.Attrs()), nil
}

// counted counts what was read, and keeps the error that ended it.
type counted struct {
	r   io.Reader
	n   int64
	err error // other than io.EOF
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}
