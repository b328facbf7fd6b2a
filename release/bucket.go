package release

import (
	"context"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"time"
)

// Bucket is where releases come from: a folder, S3, GCS. Keys are slash-separated and relative.
//
// Implementations are safe for concurrent use. A missing key gives an error that wraps ErrNotFound.
type Bucket interface {
	// Open streams the object from offset on. The caller closes it. An object that is written to while it is read
	// ends in an error that wraps ErrChanging, where the implementation can tell.
	Open(ctx context.Context, key string, offset int64) (*Object, error)
	// List returns the objects right below a prefix that ends in a slash, in any order; none is no error.
	List(ctx context.Context, prefix string) ([]ObjectInfo, error)
	// Location is how people find key: a path, an s3:// address.
	Location(key string) string
}

// Uploader is a Bucket that can be written to.
type Uploader interface {
	Bucket
	// Put stores size bytes of r as key. A reader of the bucket sees the old object or the new one, whole.
	Put(ctx context.Context, key string, r io.Reader, size int64) error
}

// Notifier is a Bucket that tells of changes by itself. Polling goes on beside it, so it may miss some.
type Notifier interface {
	// Notify calls changed after each key may have changed, until ctx ends. It returns when it is watching, or
	// with the reason why it cannot. Keys need not exist. Calls of changed do not overlap and must not block.
	Notify(ctx context.Context, keys []string, changed func(key string)) error
}

// ObjectInfo is what is known of an object without reading it.
type ObjectInfo struct {
	Key      string
	Location string
	Token    string // changes whenever the object is written: an ETag, or inode, size and time of a file
	Size     int64
	ModTime  time.Time

	SHA256    string     // as it was given when it was put, see PutOptions; empty: not known
	Checksums []Checksum // that the bucket keeps; those of a folder are none
}

// Object is an open object.
type Object struct {
	ObjectInfo
	Body io.ReadCloser
}

// ArchiveKey is the key of a release's archive.
func ArchiveKey(app, version string) string {
	return path.Join("dist", app, app+"-"+version+".tar.gz")
}

// CurrentKey is the key of the current.json of an app. An empty account leaves its level out.
func CurrentKey(app, account string) string {
	return path.Join("versions", app, account, "current.json")
}

// Source is a bucket as one account (DeployEx's account_name, such as prod) sees it.
type Source struct {
	Bucket  Bucket
	Account string
	Trust   func() *Trust // the one in force; nil, or one that gives nil: everything is trusted
}

// Archive is a release that a bucket has.
type Archive struct {
	App     string
	Version string
	ObjectInfo
}

// Current reads and parses the app's current.json.
//
// Errors: *CurrentError if it is not valid, *SignatureError if it is not signed as s.Trust demands, ErrNotFound if there
// is none.
func (s Source) Current(ctx context.Context, app string) (Current, error) {
	fail := func(err error) (Current, error) { return Current{}, &Error{Op: "current", Release: app, Err: err} }
	if err := CheckName(app); err != nil {
		return fail(err)
	}
	o, err := s.Bucket.Open(ctx, CurrentKey(app, s.Account), 0)
	if err != nil {
		return fail(err)
	}
	defer o.Body.Close()
	b, err := io.ReadAll(io.LimitReader(o.Body, maxCurrent+1))
	if err != nil {
		return fail(err)
	}
	return s.judge(app, o.Location, b)
}

// judge parses what a current.json holds, and refuses what is not to be trusted.
func (s Source) judge(app, file string, content []byte) (Current, error) {
	cur, err := ParseCurrent(file, content)
	if err != nil {
		return cur, err
	}
	return s.trusted(app, cur)
}

// Archives lists the versions of app that the bucket has, the highest first. Other files beside them are passed over.
func (s Source) Archives(ctx context.Context, app string) ([]Archive, error) {
	if err := CheckName(app); err != nil {
		return nil, &Error{Op: "list", Release: app, Err: err}
	}
	infos, err := s.Bucket.List(ctx, path.Join("dist", app)+"/")
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, &Error{Op: "list", Release: app, Err: err}
	}
	var all []Archive
	for _, info := range infos {
		v, ok := strings.CutPrefix(path.Base(info.Key), app+"-")
		if !ok {
			continue
		}
		if v, ok = strings.CutSuffix(v, ".tar.gz"); ok && CheckVersion(v) == nil {
			all = append(all, Archive{App: app, Version: v, ObjectInfo: info})
		}
	}
	slices.SortFunc(all, func(a, b Archive) int { return CompareVersions(b.Version, a.Version) })
	return all, nil
}

// stat asks for an object's info alone.
func (s Source) stat(ctx context.Context, key string) (ObjectInfo, error) {
	if d, ok := s.Bucket.(interface {
		Remote
		Depot
	}); ok {
		return d.Stat(ctx, key) // Open would begin to send it
	}
	o, err := s.Bucket.Open(ctx, key, 0)
	if err != nil {
		return ObjectInfo{}, err
	}
	return o.ObjectInfo, o.Body.Close()
}
