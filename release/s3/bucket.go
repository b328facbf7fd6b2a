package s3

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/beamkeeper/beamkeeper/release"
)

// labelSHA256 is the metadata under which the sha256 of an object is kept: x-amz-meta-sha256.
const labelSHA256 = "sha256"

// Bucket is a bucket in S3. It is a release.Depot and a release.Remote.
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
		return nil, fmt.Errorf("s3: %w: bucket %q", release.ErrBadName, cfg.Bucket)
	}
	if cfg.Endpoint != "" {
		if u, err := url.Parse(cfg.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("s3: endpoint %q is not a URL", cfg.Endpoint)
		}
	}
	return &Bucket{client: &client{cfg: cfg}}, nil
}

// Location is s3://bucket/key.
func (b *Bucket) Location(key string) string { return b.client.location(key) }

// Open implements release.Bucket.
func (b *Bucket) Open(ctx context.Context, key string, offset int64) (*release.Object, error) {
	return b.open(ctx, key, offset, &awss3.GetObjectInput{})
}

// OpenChanged implements release.Remote, by the ETag.
func (b *Bucket) OpenChanged(ctx context.Context, key, token string) (*release.Object, error) {
	in := &awss3.GetObjectInput{}
	if token != "" {
		in.IfNoneMatch = aws.String(token)
	}
	return b.open(ctx, key, 0, in)
}

// Resume implements release.Remote.
func (b *Bucket) Resume(ctx context.Context, key, token string, offset int64) (*release.Object, error) {
	return b.open(ctx, key, offset, &awss3.GetObjectInput{IfMatch: aws.String(token)}, once)
}

// once leaves trying again to the caller.
func once(o *awss3.Options) { o.RetryMaxAttempts = 1 }

func (b *Bucket) open(ctx context.Context, key string, offset int64, in *awss3.GetObjectInput, how ...func(*awss3.Options)) (*release.Object, error) {
	api, err := b.client.get(ctx)
	if err != nil {
		return nil, b.explain(key, mayGet, err)
	}
	in.Bucket, in.Key = aws.String(b.client.cfg.Bucket), aws.String(key)
	// Asks for the checksum's header; the SDK also checks it when the whole content came.
	in.ChecksumMode = types.ChecksumModeEnabled
	if offset > 0 {
		in.Range = aws.String("bytes=" + strconv.FormatInt(offset, 10) + "-")
	}
	out, err := api.GetObject(ctx, in, how...)
	if err != nil {
		return nil, b.explain(key, mayGet, err)
	}
	o := &release.Object{ObjectInfo: release.ObjectInfo{
		Key: key, Location: b.Location(key), Token: aws.ToString(out.ETag), Size: aws.ToInt64(out.ContentLength),
		ModTime: aws.ToTime(out.LastModified), SHA256: out.Metadata[labelSHA256],
	}}
	if total := wholeSize(aws.ToString(out.ContentRange)); total >= 0 {
		o.Size = total
	}
	o.Checksums = checksums(out.ChecksumType, map[string]*string{
		"crc32": out.ChecksumCRC32, "crc32c": out.ChecksumCRC32C, "crc64nvme": out.ChecksumCRC64NVME,
		"sha1": out.ChecksumSHA1, "sha256": out.ChecksumSHA256,
	})
	o.Body = &body{ReadCloser: out.Body, bucket: b, key: key}
	return o, nil
}

// wholeSize reads the size behind the slash of "bytes 5-9/10"; -1 when there is none.
func wholeSize(contentRange string) int64 {
	_, after, ok := strings.Cut(contentRange, "/")
	n, err := strconv.ParseInt(after, 10, 64)
	if !ok || err != nil {
		return -1
	}
	return n
}

// checksums gives those of the whole content: what S3 makes of the checksums of parts is none of the content.
func checksums(kind types.ChecksumType, all map[string]*string) []release.Checksum {
	var list []release.Checksum
	for algorithm, text := range all {
		if text == nil || kind == types.ChecksumTypeComposite || strings.Contains(*text, "-") {
			continue
		}
		if sum, err := base64.StdEncoding.DecodeString(*text); err == nil {
			list = append(list, release.Checksum{Algorithm: algorithm, Sum: sum})
		}
	}
	return list
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
		err = r.bucket.explain(r.key, mayGet, err)
	}
	return n, err
}

// Stat implements release.Depot.
func (b *Bucket) Stat(ctx context.Context, key string) (release.ObjectInfo, error) {
	api, err := b.client.get(ctx)
	if err != nil {
		return release.ObjectInfo{}, b.explain(key, mayGet, err)
	}
	out, err := api.HeadObject(ctx, &awss3.HeadObjectInput{
		Bucket: aws.String(b.client.cfg.Bucket), Key: aws.String(key), ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		return release.ObjectInfo{}, b.explain(key, mayGet, err)
	}
	return release.ObjectInfo{
		Key: key, Location: b.Location(key), Token: aws.ToString(out.ETag), Size: aws.ToInt64(out.ContentLength),
		ModTime: aws.ToTime(out.LastModified), SHA256: out.Metadata[labelSHA256],
		Checksums: checksums(out.ChecksumType, map[string]*string{
			"crc32": out.ChecksumCRC32, "crc32c": out.ChecksumCRC32C, "crc64nvme": out.ChecksumCRC64NVME,
			"sha1": out.ChecksumSHA1, "sha256": out.ChecksumSHA256,
		}),
	}, nil
}

// List implements release.Bucket.
func (b *Bucket) List(ctx context.Context, prefix string) ([]release.ObjectInfo, error) {
	api, err := b.client.get(ctx)
	if err != nil {
		return nil, b.explain(prefix, mayList, err)
	}
	var all []release.ObjectInfo
	pages := awss3.NewListObjectsV2Paginator(api, &awss3.ListObjectsV2Input{
		Bucket: aws.String(b.client.cfg.Bucket), Prefix: aws.String(prefix), Delimiter: aws.String("/"),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, b.explain(prefix, mayList, err)
		}
		for _, o := range page.Contents {
			key := aws.ToString(o.Key)
			if strings.HasSuffix(key, "/") || path.Base(key) == "" {
				continue // a folder that a console made
			}
			all = append(all, release.ObjectInfo{
				Key: key, Location: b.Location(key), Token: aws.ToString(o.ETag), Size: aws.ToInt64(o.Size), ModTime: aws.ToTime(o.LastModified),
			})
		}
	}
	return all, nil
}

// Delete implements release.Depot.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	api, err := b.client.get(ctx)
	if err != nil {
		return b.explain(key, mayDelete, err)
	}
	_, err = api.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: aws.String(b.client.cfg.Bucket), Key: aws.String(key)})
	if err == nil {
		return nil
	}
	if err = b.explain(key, mayDelete, err); errors.Is(err, release.ErrNotFound) {
		return nil
	}
	return err
}
