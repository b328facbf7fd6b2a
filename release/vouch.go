package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
)

// DescriptionKey is the key of what was published as a version of an app: the current.json of that time, which stays when
// current.json names another version.
func DescriptionKey(app, account, version string) string {
	return path.Join("versions", app, account, app+"-"+version+".json")
}

// Description reads what was published as a version.
//
// Errors: as of Current. ErrNotFound: it was published by a tool that leaves none.
func (s Source) Description(ctx context.Context, app, version string) (Current, error) {
	cur, err := s.readDescription(ctx, app, version)
	if err != nil {
		return cur, &Error{Op: "describe", Release: app, Version: version, Err: err}
	}
	return cur, nil
}

func (s Source) readDescription(ctx context.Context, app, version string) (Current, error) {
	if err := errors.Join(CheckName(app), CheckVersion(version)); err != nil {
		return Current{}, err
	}
	o, err := s.Bucket.Open(ctx, DescriptionKey(app, s.Account, version), 0)
	if err != nil {
		return Current{}, err
	}
	defer o.Body.Close()
	b, err := io.ReadAll(io.LimitReader(o.Body, maxCurrent+1))
	if err != nil {
		return Current{}, err
	}
	cur, err := ParseCurrent(o.Location, b)
	if err == nil && cur.Version != version {
		err = fmt.Errorf("%s: %w: it describes version %s", o.Location, ErrBadCurrent, cur.Version)
	}
	if err == nil {
		err = s.trust().check(app, s.Account, cur)
	}
	return cur, err
}

// vouch sees to it that what is wanted is signed as the source's trust demands, and that the signature covers the archive.
func (f *fetch) vouch(ctx context.Context) error {
	source := f.store.source
	t := source.trust()
	if !t.looks() {
		return nil
	}
	if f.want.Signature != "" {
		return t.check(f.app, source.Account, f.want)
	}
	if f.want.SHA256 != "" {
		return nil
	}
	cur, err := source.readDescription(ctx, f.app, f.want.Version)
	if err == nil {
		f.want.SHA256 = cur.SHA256
		return nil
	}
	if errors.Is(err, ErrSignature) || errors.Is(err, ErrBadCurrent) || ctx.Err() != nil {
		return err
	}
	if t.Policy != VerifyRequired {
		return nil
	}
	// What this host has unpacked was trusted when that was done.
	all, lerr := f.store.Releases(f.app)
	for _, r := range all {
		if r.Version == f.want.Version {
			f.want.SHA256 = r.SHA256
			return nil
		}
	}
	if lerr != nil {
		return lerr
	}
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	return &SignatureError{App: f.app, Version: f.want.Version, File: source.Bucket.Location(DescriptionKey(f.app, source.Account, f.want.Version)),
		Reason: "there is no such file, so nothing says who made this version, and release.verify is required; publish it with --sign"}
}
