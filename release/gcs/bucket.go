//go:build !nogcs

package gcs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"cloud.google.com/go/storage"
	"github.com/googleapis/gax-go/v2/callctx"
	"google.golang.org/api/iterator"

	"github.com/beamkeeper/beamkeeper/release"
)

// labelSHA256 is the metadata under which the sha256 of an object is kept: x-goog-meta-sha256.
const labelSHA256 = "sha256"

// Bucket is a bucket in Google Cloud Storage. It is a release.Depot and a release.Remote. The Token of an object is its
// generation.
type Bucket struct {
	client *client
}

var (
	_ release.Depot  = (*Bucket)(nil)
	_ release.Remote = (*Bucket)(nil)
)

// New returns the bucket. It asks nothing of the network: what is wrong with cfg shows with the first request.
func New(cfg Config) (*Bucket, error) {
	if cfg.Bucket == "" || strings.ContainsAny(cfg.Bucket, "/ ") {
		return nil, fmt.Errorf("gcs: %w: bucket %q", release.ErrBadName, cfg.Bucket)
	}
	if cfg.Endpoint != "" {
		if u, err := url.Parse(cfg.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("gcs: endpoint %q is not a URL", cfg.Endpoint)
		}
	}
	return &Bucket{client: &client{cfg: cfg}}, nil
}

// Location is gs://bucket/key.
func (b *Bucket) Location(key string) string { return b.client.location(key) }

func (b *Bucket) object(api *storage.Client, key string) *storage.ObjectHandle {
	// Objects that are kept gzipped come as they are: the sha256 is that of these bytes.
	return api.Bucket(b.client.cfg.Bucket).Object(key).ReadCompressed(true)
}

// Open implements release.Bucket.
func (b *Bucket) Open(ctx context.Context, key string, offset int64) (*release.Object, error) {
	return b.open(ctx, key, offset, nil)
}

// OpenChanged implements release.Remote.
func (b *Bucket) OpenChanged(ctx context.Context, key, token string) (*release.Object, error) {
	if token != "" {
		// The library leaves Conditions.GenerationNotMatch out of reads by the XML API (v1.65).
		ctx = callctx.SetHeaders(ctx, "x-goog-if-generation-not-match", token)
	}
	return b.open(ctx, key, 0, nil)
}

// Resume implements release.Remote.
func (b *Bucket) Resume(ctx context.Context, key, token string, offset int64) (*release.Object, error) {
	generation, err := strconv.ParseInt(token, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s: token %q is no generation: %w", b.Location(key), token, release.ErrChanging)
	}
	return b.open(ctx, key, offset, &storage.Conditions{GenerationMatch: generation})
}

func (b *Bucket) open(ctx context.Context, key string, offset int64, when *storage.Conditions) (*release.Object, error) {
	api, err := b.client.get(ctx)
	if err != nil {
		return nil, b.explain(key, mayGet, err)
	}
	h := b.object(api, key)
	if when != nil {
		h = h.If(*when).Retryer(storage.WithMaxAttempts(1)) // whoever resumes tries again itself
	}
	r, err := h.NewRangeReader(ctx, offset, -1)
	if err != nil {
		return nil, b.explain(key, mayGet, err)
	}
	a := r.Attrs
	o := &release.Object{ObjectInfo: release.ObjectInfo{
		Key: key, Location: b.Location(key), Token: strconv.FormatInt(a.Generation, 10), Size: a.Size, ModTime: a.LastModified,
		SHA256: r.Metadata()[labelSHA256],
	}}
	if a.CRC32C != 0 {
		o.Checksums = []release.Checksum{{Algorithm: "crc32c", Sum: binary.BigEndian.AppendUint32(nil, a.CRC32C)}}
	}
	o.Body = &body{ReadCloser: r, bucket: b, key: key}
	return o, nil
}

// body tells what kind of trouble ended it.
type body struct {
	io.ReadCloser
	bucket *Bucket
	key    string
}

func (r *body) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		// The library goes on by itself after a cut, at the generation that it began with: one that has gone by then
		// was replaced.
		if err = r.bucket.explain(r.key, mayGet, err); errors.Is(err, release.ErrNotFound) {
			err = &release.BucketError{Location: r.bucket.Location(r.key), Kind: release.ErrChanging, Detail: "it was replaced meanwhile", Err: err}
		}
	}
	return n, err
}

// Stat implements release.Depot.
func (b *Bucket) Stat(ctx context.Context, key string) (release.ObjectInfo, error) {
	api, err := b.client.get(ctx)
	if err != nil {
		return release.ObjectInfo{}, b.explain(key, mayGet, err)
	}
	a, err := b.object(api, key).Attrs(ctx)
	if err != nil {
		return release.ObjectInfo{}, b.explain(key, mayGet, err)
	}
	return b.info(a), nil
}

func (b *Bucket) info(a *storage.ObjectAttrs) release.ObjectInfo {
	info := release.ObjectInfo{
		Key: a.Name, Location: b.Location(a.Name), Token: strconv.FormatInt(a.Generation, 10), Size: a.Size, ModTime: a.Updated,
		SHA256: a.Metadata[labelSHA256],
	}
	if a.CRC32C != 0 {
		info.Checksums = append(info.Checksums, release.Checksum{Algorithm: "crc32c", Sum: binary.BigEndian.AppendUint32(nil, a.CRC32C)})
	}
	if len(a.MD5) > 0 { // none of composed objects
		info.Checksums = append(info.Checksums, release.Checksum{Algorithm: "md5", Sum: a.MD5})
	}
	return info
}

// List implements release.Bucket.
func (b *Bucket) List(ctx context.Context, prefix string) ([]release.ObjectInfo, error) {
	api, err := b.client.get(ctx)
	if err != nil {
		return nil, b.explain(prefix, mayList, err)
	}
	var all []release.ObjectInfo
	it := api.Bucket(b.client.cfg.Bucket).Objects(ctx, &storage.Query{Prefix: prefix, Delimiter: "/"})
	for {
		a, err := it.Next()
		switch {
		case errors.Is(err, iterator.Done):
			return all, nil
		case err != nil:
			return nil, b.explain(prefix, mayList, err)
		case a.Name == "" || strings.HasSuffix(a.Name, "/"):
			continue // a folder
		}
		all = append(all, b.info(a))
	}
}

// Delete implements release.Depot.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	api, err := b.client.get(ctx)
	if err != nil {
		return b.explain(key, mayDelete, err)
	}
	err = b.object(api, key).Delete(ctx)
	if err == nil {
		return nil
	}
	if err = b.explain(key, mayDelete, err); errors.Is(err, release.ErrNotFound) {
		return nil
	}
	return err
}
