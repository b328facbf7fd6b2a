package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/beamkeeper/beamkeeper/release"
)

// partSize is how much is sent at a time, and kept in memory for it. S3 takes 10,000 parts: objects of 156 GiB.
const partSize = 16 << 20

// Put implements release.Uploader.
func (b *Bucket) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	_, err := b.PutObject(ctx, key, r, release.PutOptions{Size: size})
	return err
}

// PutObject implements release.Depot. Objects of more than 16 MiB go up in parts; an upload that fails leaves none.
func (b *Bucket) PutObject(ctx context.Context, key string, r io.Reader, o release.PutOptions) (release.ObjectInfo, error) {
	api, err := b.client.get(ctx)
	if err != nil {
		return release.ObjectInfo{}, b.explain(key, mayPut, err)
	}
	u := upload{bucket: b, api: api, key: key, options: o}
	if o.New {
		u.ifNoneMatch = aws.String("*")
	}
	if o.SHA256 != "" {
		u.metadata = map[string]string{labelSHA256: o.SHA256}
	}
	first := make([]byte, min(max(o.Size, 0)+1, partSize))
	n, err := io.ReadFull(r, first)
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		err = u.whole(ctx, first[:n])
	case err != nil:
		return release.ObjectInfo{}, err
	default:
		err = u.parts(ctx, first, r)
	}
	if err != nil {
		return release.ObjectInfo{}, u.explain(err)
	}
	return b.Stat(ctx, key)
}

type upload struct {
	bucket      *Bucket
	api         *awss3.Client
	key         string
	options     release.PutOptions
	ifNoneMatch *string
	metadata    map[string]string
}

// explain tells the refusal of a second object from the other errors.
func (u *upload) explain(err error) error {
	var source *sourceError
	if errors.As(err, &source) {
		return source.err
	}
	err = u.bucket.explain(u.key, mayPut, err)
	if u.options.New && errors.Is(err, release.ErrChanging) {
		var e *release.BucketError
		if errors.As(err, &e) {
			return &release.BucketError{Location: e.Location, Kind: release.ErrExists, Err: e.Err}
		}
	}
	return err
}

func (u *upload) whole(ctx context.Context, content []byte) error {
	if err := u.checkSize(int64(len(content))); err != nil {
		return err
	}
	_, err := u.api.PutObject(ctx, &awss3.PutObjectInput{
		Bucket: aws.String(u.bucket.client.cfg.Bucket), Key: aws.String(u.key), Body: bytes.NewReader(content),
		IfNoneMatch: u.ifNoneMatch, Metadata: u.metadata,
	})
	return err
}

func (u *upload) checkSize(n int64) error {
	if n == u.options.Size {
		return nil
	}
	return &release.BucketError{Location: u.bucket.Location(u.key), Kind: release.ErrChanging, Detail: fmt.Sprintf("%d bytes of %d", n, u.options.Size)}
}

// parts sends one part after the other through one buffer, which has the first.
func (u *upload) parts(ctx context.Context, buf []byte, r io.Reader) error {
	bucket := aws.String(u.bucket.client.cfg.Bucket)
	begun, err := u.api.CreateMultipartUpload(ctx, &awss3.CreateMultipartUploadInput{Bucket: bucket, Key: aws.String(u.key), Metadata: u.metadata})
	if err != nil {
		return err
	}
	done, err := u.sendParts(ctx, buf, r, begun.UploadId)
	if err == nil {
		_, err = u.api.CompleteMultipartUpload(ctx, &awss3.CompleteMultipartUploadInput{
			Bucket: bucket, Key: aws.String(u.key), UploadId: begun.UploadId, IfNoneMatch: u.ifNoneMatch,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
		})
	}
	if err != nil {
		// Parts that stay behind cost money and are seen by nobody.
		_, _ = u.api.AbortMultipartUpload(context.WithoutCancel(ctx), &awss3.AbortMultipartUploadInput{Bucket: bucket, Key: aws.String(u.key), UploadId: begun.UploadId})
	}
	return err
}

func (u *upload) sendParts(ctx context.Context, buf []byte, r io.Reader, id *string) ([]types.CompletedPart, error) {
	var done []types.CompletedPart
	n, total, last := len(buf), int64(0), false
	for number := int32(1); n > 0; number++ {
		total += int64(n)
		part, err := u.api.UploadPart(ctx, &awss3.UploadPartInput{
			Bucket: aws.String(u.bucket.client.cfg.Bucket), Key: aws.String(u.key), UploadId: id, PartNumber: aws.Int32(number), Body: bytes.NewReader(buf[:n]),
		})
		if err != nil {
			return nil, err
		}
		done = append(done, types.CompletedPart{ETag: part.ETag, PartNumber: aws.Int32(number)})
		if last {
			break
		}
		n, err = io.ReadFull(r, buf)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			last = true
		} else if err != nil {
			return nil, &sourceError{err}
		}
	}
	return done, u.checkSize(total)
}

// sourceError is an error of what was to be stored, which is no business of the bucket.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
