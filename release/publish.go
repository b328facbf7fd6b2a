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
	"time"
)

// PublishOptions says what to publish.
type PublishOptions struct {
	Bucket      Depot
	Account     string
	App         string
	File        string   // the archive
	Version     string   // empty: the release's own
	Hash        string   // any text
	PreCommands []string // for the release's script
	Limits      Limits

	Sign    *PrivateKey      // nil: not signed
	Time    func() time.Time // of publishing, for what is signed; nil: time.Now
	Replace bool             // another archive of the same version may be overwritten
	DryRun  bool             // look at everything and write nothing
}

// Published is what Publish did.
type Published struct {
	Current     Current // File is set
	Package     Package
	Archive     string // location
	Description string // location of what stays when current.json names another version
	ArchiveSize int64
	Replaced    bool    // there was another archive of this version
	Unchanged   bool    // the bucket had this very archive
	Previous    Current // what current.json said before; Version is empty if there was none, or a broken one
	Key         string  // ID of the key that signed; empty: none
}

// Summer is a Bucket that tells the sha256 of an object's content without sending it.
type Summer interface {
	Sum(ctx context.Context, key string) (string, error)
}

// Publish inspects the archive, writes it to the bucket, looks at what has become of it there, and then, atomically, writes
// the app's current.json with its version and sha256. When it fails, the bucket's current.json is what it was.
//
// Errors: those of Inspect, ErrBadVersion for a release whose version cannot be that of an archive, ErrBadCurrent for
// options that no current.json can hold, ErrExists for a version that the bucket has with other bytes, ErrChanging for a
// file that is written to meanwhile, ErrChecksum when the bucket does not have what was written.
func Publish(ctx context.Context, o PublishOptions) (Published, error) {
	p, err := publish(ctx, o)
	if err != nil {
		return Published{}, &Error{Op: "publish", Release: o.App, Version: o.Version, Err: err}
	}
	return p, nil
}

func publish(ctx context.Context, o PublishOptions) (Published, error) {
	p, f, err := prepare(ctx, o)
	if err != nil {
		return p, err
	}
	defer f.Close()
	archiveKey := ArchiveKey(o.App, p.Current.Version)
	if err := p.compare(ctx, o, archiveKey); err != nil || o.DryRun {
		return p, err
	}
	if !p.Unchanged {
		if err := p.putArchive(ctx, o, archiveKey, f); err != nil {
			return p, err
		}
	}
	b := p.Current.Encode()
	for _, key := range []string{DescriptionKey(o.App, o.Account, p.Current.Version), CurrentKey(o.App, o.Account)} {
		if _, err := o.Bucket.PutObject(ctx, key, bytes.NewReader(b), PutOptions{Size: int64(len(b))}); err != nil {
			return p, err
		}
	}
	return p, nil
}

// prepare looks at the archive and makes the current.json. The caller closes the archive.
func prepare(ctx context.Context, o PublishOptions) (p Published, f *os.File, err error) {
	if err := CheckName(o.App); err != nil {
		return p, nil, err
	}
	if p.Package, err = inspectFile(ctx, o.File, o.App, o.Limits); err != nil {
		return p, nil, fmt.Errorf("%s: %w", o.File, err)
	}
	cur := Current{Version: o.Version, Hash: o.Hash, PreCommands: o.PreCommands}
	if cur.Version == "" {
		cur.Version = p.Package.Version
	}
	if err := CheckVersion(cur.Version); err != nil {
		return p, nil, err
	}
	if f, err = os.Open(o.File); err != nil {
		return p, nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if cur.SHA256, p.ArchiveSize, err = sumOf(ctx, f); err != nil {
		return p, nil, err
	}
	// Broken or refused, it is what is to be replaced.
	p.Previous, err = Source{Bucket: o.Bucket, Account: o.Account}.Current(ctx, o.App)
	if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrBadCurrent) {
		return p, nil, err
	}
	if err = p.sign(o, &cur); err != nil {
		return p, nil, err
	}
	// What is written must be read again.
	p.Current, err = ParseCurrent(o.Bucket.Location(CurrentKey(o.App, o.Account)), cur.Encode())
	p.Archive, p.Description = o.Bucket.Location(ArchiveKey(o.App, cur.Version)), o.Bucket.Location(DescriptionKey(o.App, o.Account, cur.Version))
	return p, f, err
}

func (p *Published) sign(o PublishOptions, cur *Current) error {
	if o.Sign == nil {
		return nil
	}
	now := time.Now
	if o.Time != nil {
		now = o.Time
	}
	cur.PublishedAt = now().UTC().Truncate(time.Second)
	if before := p.Previous.PublishedAt; before.After(cur.PublishedAt) {
		return fmt.Errorf("%w: current.json was signed at %s, which is later than now, %s: hosts would refuse this one as older; set the clock of this machine",
			ErrSignature, before.Format(time.RFC3339), cur.PublishedAt.Format(time.RFC3339))
	}
	p.Key = o.Sign.Public().ID()
	return o.Sign.Sign(o.App, o.Account, cur)
}

// compare looks at what the bucket has as this version.
func (p *Published) compare(ctx context.Context, o PublishOptions, key string) error {
	info, err := o.Bucket.Stat(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	there := "of another size"
	if info.Size == p.ArchiveSize {
		sum, err := objectSum(ctx, o.Bucket, info)
		if err != nil && !errors.Is(err, ErrChanging) && !errors.Is(err, ErrTruncated) {
			return err
		}
		if p.Unchanged = sum == p.Current.SHA256; p.Unchanged {
			return nil
		}
		there = "with the sha256 " + sum
	}
	if !o.Replace {
		return fmt.Errorf("%s %w, %s: version %s must stay what it is (here: %d bytes, sha256 %s)", info.Location, ErrExists, there, p.Current.Version, p.ArchiveSize, p.Current.SHA256)
	}
	p.Replaced = true
	return nil
}

// putArchive writes the archive and looks at what has become of it.
func (p *Published) putArchive(ctx context.Context, o PublishOptions, key string, f *os.File) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := &summedReader{r: f, hash: sha256.New(), want: p.Current.SHA256}
	_, err := o.Bucket.PutObject(ctx, key, r, PutOptions{Size: p.ArchiveSize, SHA256: p.Current.SHA256, New: !p.Replaced})
	if err != nil {
		return err
	}
	info, err := o.Bucket.Stat(ctx, key)
	if err != nil {
		return err
	}
	sum, err := objectSum(ctx, o.Bucket, info)
	if err == nil && (sum != p.Current.SHA256 || info.Size != p.ArchiveSize) {
		err = fmt.Errorf("%s: %w: it has %d bytes and %s, which is not what was written", info.Location, ErrChecksum, info.Size, sum)
	}
	return err
}

// objectSum is the sha256 of what a bucket has: as the bucket keeps or takes it, or else by reading it.
func objectSum(ctx context.Context, b Depot, info ObjectInfo) (string, error) {
	if s, ok := b.(Summer); ok {
		return s.Sum(ctx, info.Key)
	}
	if info.SHA256 != "" {
		return info.SHA256, nil
	}
	o, err := b.Open(ctx, info.Key, 0)
	if err != nil {
		return "", err
	}
	defer o.Body.Close()
	sum, _, err := sumOf(ctx, o.Body)
	return sum, err
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
