package release

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// PublishOptions says what to publish.
type PublishOptions struct {
	Bucket      Uploader
	Account     string
	App         string
	File        string   // the archive
	Version     string   // empty: the release's own
	Hash        string   // any text
	PreCommands []string // for the release's script
	Limits      Limits
}

// Published is what Publish did.
type Published struct {
	Current     Current // File is set
	Package     Package
	Archive     string // location
	ArchiveSize int64
	Replaced    bool // there was another archive of this version
	Unchanged   bool // the bucket had this very archive
}

// Publish inspects the archive, writes it to the bucket and then, atomically, the app's current.json with its version
// and sha256. When it fails, the bucket's current.json is what it was.
//
// Errors: those of Inspect, ErrBadVersion for a release whose version cannot be that of an archive, ErrBadCurrent for
// options that no current.json can hold, ErrChanging for a file that is written to meanwhile.
func Publish(ctx context.Context, o PublishOptions) (Published, error) {
	p, err := publish(ctx, o)
	if err != nil {
		return Published{}, &Error{Op: "publish", Release: o.App, Version: o.Version, Err: err}
	}
	return p, nil
}

func publish(ctx context.Context, o PublishOptions) (Published, error) {
	var p Published
	if err := CheckName(o.App); err != nil {
		return p, err
	}
	var err error
	if p.Package, err = inspectFile(ctx, o.File, o.App, o.Limits); err != nil {
		return p, fmt.Errorf("%s: %w", o.File, err)
	}
	version := o.Version
	if version == "" {
		version = p.Package.Version
	}
	if err := CheckVersion(version); err != nil {
		return p, err
	}
	f, err := os.Open(o.File)
	if err != nil {
		return p, err
	}
	defer f.Close()
	sum, size, err := sumOf(ctx, f)
	if err != nil {
		return p, err
	}
	cur := Current{Version: version, Hash: o.Hash, PreCommands: o.PreCommands, SHA256: sum}
	currentKey, archiveKey := CurrentKey(o.App, o.Account), ArchiveKey(o.App, version)
	// What is written must be read again.
	if p.Current, err = ParseCurrent(o.Bucket.Location(currentKey), cur.Encode()); err != nil {
		return p, err
	}
	p.Archive, p.ArchiveSize = o.Bucket.Location(archiveKey), size
	if err := p.compare(ctx, o.Bucket, archiveKey); err != nil {
		return p, err
	}
	if !p.Unchanged {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return p, err
		}
		if err := o.Bucket.Put(ctx, archiveKey, &summedReader{r: f, hash: sha256.New(), want: sum}, size); err != nil {
			return p, err
		}
	}
	b := cur.Encode()
	return p, o.Bucket.Put(ctx, currentKey, bytes.NewReader(b), int64(len(b)))
}

// compare looks at what the bucket has as this version.
func (p *Published) compare(ctx context.Context, b Bucket, key string) error {
	old, err := b.Open(ctx, key, 0)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer old.Body.Close()
	p.Replaced = true
	if old.Size != p.ArchiveSize {
		return nil
	}
	sum, _, err := sumOf(ctx, old.Body)
	if err == nil && sum == p.Current.SHA256 {
		p.Replaced, p.Unchanged = false, true
	}
	return nil // an archive that cannot be read is replaced
}

func sumOf(ctx context.Context, r io.Reader) (sum string, size int64, err error) {
	h := sha256.New()
	size, err = io.Copy(h, contextReader{ctx, r})
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// summedReader fails at its end if what it read has another sha256 than it should.
type summedReader struct {
	r    io.Reader
	hash hash.Hash
	want string
}

func (s *summedReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.hash.Write(p[:n])
	if err == io.EOF && hex.EncodeToString(s.hash.Sum(nil)) != s.want {
		err = fmt.Errorf("the archive: %w", ErrChanging)
	}
	return n, err
}
