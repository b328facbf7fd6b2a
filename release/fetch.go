package release

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// FetchStep is one step of a Fetch: fetch, verify, unpack.
type FetchStep struct {
	Name      string
	StartedAt time.Time
	EndedAt   time.Time
	Detail    string // of fetch: how much came, from where; else empty
}

// Fetch returns the release that cur names, unpacked. An archive that is not there yet, or is not the one in the
// bucket any more, is downloaded, checked (cur.SHA256, if given) and unpacked. Calls for the same release share one
// download. With the bucket out of reach, a release already unpacked is returned as long as cur.SHA256 does not
// demand another one. cur may have only a Version.
//
// Where the store's Source has a Trust, a Signature is checked again. A SHA256 without one is the caller's word: it comes
// from a current.json that was trusted. Of a Version alone, the description beside current.json says what was signed.
//
// Errors: *Error with Op fetch, verify or unpack; nothing is left behind.
func (s *Store) Fetch(ctx context.Context, app string, cur Current) (Release, error) {
	fail := func(err error) (Release, error) {
		return Release{}, &Error{Op: "fetch", Release: app, Version: cur.Version, Err: err}
	}
	if err := CheckName(app); err != nil {
		return fail(err)
	}
	if err := CheckVersion(cur.Version); err != nil {
		return fail(err)
	}
	key := flightKey{app, cur.Version, cur.SHA256}
	rel, err := s.share(ctx, key, func(ctx context.Context) (Release, error) {
		f := fetch{store: s, app: app, want: cur}
		// One at a time for an app: two may turn out to be after the same release.
		turn := s.locks(app).fetch
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			return Release{}, ctx.Err()
		}
		defer func() { <-turn }()
		return f.run(ctx)
	})
	if err != nil {
		var known *Error
		if errors.As(err, &known) {
			return Release{}, err
		}
		return fail(err)
	}
	return rel, nil
}

// fetch is one fetch under way.
type fetch struct {
	store *Store
	app   string
	want  Current

	steps []FetchStep
	info  ObjectInfo // of the archive in the bucket
	part  string     // the archive, being downloaded
	sum   string     // its sha256

	sums    *sums // of the archive
	resumed int   // how often the download went on after a cut
}

func (f *fetch) run(ctx context.Context) (Release, error) {
	if err := f.vouch(ctx); err != nil {
		return Release{}, &Error{Op: "verify", Release: f.app, Version: f.want.Version, Err: err}
	}
	rel, object, err := f.look(ctx)
	if err != nil || object == nil {
		return rel, err
	}
	f.info = object.ObjectInfo
	defer func() {
		if f.part != "" {
			os.Remove(f.part) // gone already if all went well
		}
	}()
	if err := f.do("fetch", func() error { return f.download(ctx, object) }); err != nil {
		return Release{}, err
	}
	if err := f.do("verify", f.verify); err != nil {
		return Release{}, err
	}
	if rel, ok := f.same(); ok {
		return rel, nil
	}
	err = f.do("unpack", func() error { return f.unpack(ctx, &rel) })
	rel.Steps = f.steps
	return rel, err
}

// do runs one step and keeps its times.
func (f *fetch) do(step string, run func() error) error {
	st := FetchStep{Name: step, StartedAt: time.Now()}
	err := run()
	st.EndedAt = time.Now()
	if step == "fetch" {
		st.Detail = f.fetched(st.EndedAt.Sub(st.StartedAt))
	}
	f.steps = append(f.steps, st)
	if err != nil {
		return &Error{Op: step, Release: f.app, Version: f.want.Version, Err: diskError(err)}
	}
	return nil
}

// fetched says what the download did.
func (f *fetch) fetched(took time.Duration) string {
	text := fmt.Sprintf("%.1f MiB in %v from %s", float64(f.info.Size)/(1<<20), took.Round(time.Millisecond), f.info.Location)
	if f.resumed > 0 {
		text += fmt.Sprintf(", gone on after a cut %d times", f.resumed)
	}
	return text
}

// look returns the release if it is here already, and else the open archive.
func (f *fetch) look(ctx context.Context) (Release, *Object, error) {
	all, err := f.store.Releases(f.app)
	if err != nil {
		return Release{}, nil, err
	}
	var last *Release
	for i, r := range all {
		if r.Version != f.want.Version {
			continue
		}
		if f.want.SHA256 != "" && r.SHA256 == f.want.SHA256 {
			return r, nil, nil
		}
		if last == nil {
			last = &all[i]
		}
	}
	o, err := f.open(ctx, last)
	switch {
	case errors.Is(err, ErrUnchanged):
		return *last, nil, nil
	case err != nil && f.want.SHA256 == "" && last != nil && ctx.Err() == nil:
		f.store.log.Warn("archive out of reach, using the release as it was fetched before",
			"app", f.app, "version", f.want.Version, "err", err)
		return *last, nil, nil
	case err != nil:
		return Release{}, nil, err
	case f.want.SHA256 == "":
		for _, r := range all {
			if r.Version == f.want.Version && r.Token == o.Token {
				return r, nil, o.Body.Close()
			}
		}
	}
	return Release{}, o, nil
}

// open opens the archive, unless the bucket can tell that it is the one that last was made from.
func (f *fetch) open(ctx context.Context, last *Release) (*Object, error) {
	key, bucket := ArchiveKey(f.app, f.want.Version), f.store.source.Bucket
	remote, ok := bucket.(Remote)
	return openCancellable(ctx, func(ctx context.Context) (*Object, error) {
		if ok && last != nil && f.want.SHA256 == "" {
			return remote.OpenChanged(ctx, key, last.Token)
		}
		return bucket.Open(ctx, key, 0)
	})
}

// download copies the archive to a part file and takes its sha256.
func (f *fetch) download(ctx context.Context, o *Object) error {
	dir := filepath.Join(f.store.dir, cacheDir, f.app)
	if err := f.prepareDownload(dir, o.Size); err != nil {
		o.Body.Close()
		return err
	}
	part, err := os.CreateTemp(dir, tempPrefix+f.want.Version+".*")
	if err != nil {
		o.Body.Close()
		return err
	}
	f.part = part.Name()
	d := download{
		source: f.store.source, key: o.Key, limiter: f.store.limiter, stall: stallTimeout, wait: f.store.resumeWait, part: part,
	}
	err = d.run(ctx, o)
	if closeErr := part.Close(); err == nil {
		err = closeErr
	}
	f.info, f.sums, f.sum = d.object, d.sums, d.sums.hexSHA256()
	f.info.Size, f.resumed = d.told.Done, d.told.Resumed
	return err
}

func (f *fetch) prepareDownload(dir string, size int64) error {
	if err := mkdirAllSynced(dir, 0o700); err != nil {
		return err
	}
	if err := f.store.room(size); err != nil {
		return err
	}
	f.store.at("download")
	return nil
}

// verify compares the archive with the bucket's own checksums and with what current.json says.
func (f *fetch) verify() error {
	if err := f.sums.check(); err != nil {
		return f.perhapsChanging(fmt.Errorf("%s: %w", f.info.Location, err))
	}
	if f.want.SHA256 != "" && f.sum != f.want.SHA256 {
		return f.perhapsChanging(fmt.Errorf("%s: %w: it is %s, current.json says %s", f.info.Location, ErrChecksum, f.sum,
			f.want.SHA256))
	}
	return nil
}

// perhapsChanging says so if the archive was written to a moment ago.
func (f *fetch) perhapsChanging(err error) error {
	const moment = 10 * time.Second
	if age := time.Since(f.info.ModTime); age < moment {
		return fmt.Errorf("%w (it was written %s ago: is it whole?)", err, max(0, age).Round(10*time.Millisecond))
	}
	return err
}

// same finds a release that was fetched from another object with the very same content.
func (f *fetch) same() (Release, bool) {
	r, err := f.store.readRelease(f.app, releaseID(f.want.Version, f.sum))
	if err != nil || r.SHA256 != f.sum {
		return Release{}, false
	}
	r.Token, r.Steps = f.info.Token, f.steps
	// Without the new token the next Fetch would download it again, and be right again.
	if err := f.store.writeRelease(filepath.Dir(r.Tree), r); err != nil {
		f.store.log.Warn("cannot note the archive's new token", "app", f.app, "version", f.want.Version, "err", err)
	}
	return r, true
}

// unpack makes the release from the part file: unpacked beside its place, synced, renamed.
func (f *fetch) unpack(ctx context.Context, rel *Release) (err error) {
	s := f.store
	id := releaseID(f.want.Version, f.sum)
	final, archive := filepath.Dir(s.treePath(f.app, id)), s.archivePath(f.app, id)
	if err := mkdirAllSynced(filepath.Dir(final), 0o700); err != nil {
		return err
	}
	spreadDir(filepath.Dir(final))
	s.at("unpack")
	work := tempName(final)
	if err := os.Mkdir(work, 0o700); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			removeAll(work) // what stays is swept by the next OpenStore
			os.Remove(archive)
		}
	}()
	r := Release{
		App: f.app, Version: f.want.Version, SHA256: f.sum, Size: f.info.Size, Token: f.info.Token, UnpackedAt: time.Now().UTC(),
	}
	if r.Package, err = f.unpackTree(ctx, filepath.Join(work, treeDir)); err != nil {
		return err
	}
	s.at("describe")
	if err := s.writeRelease(work, r); err != nil {
		return err
	}
	s.at("keep archive")
	if err := os.Rename(f.part, archive); err != nil {
		return err
	}
	s.at("sync")
	if err := syncTree(work); err != nil {
		return err
	}
	// A damaged one, or it would have been found before.
	if err := s.discard(final); err != nil {
		return err
	}
	s.at("rename")
	if err := os.Rename(work, final); err != nil {
		return err
	}
	s.at("sync folder")
	if err := syncDir(filepath.Dir(final)); err != nil {
		return errors.Join(err, s.discard(final))
	}
	*rel = s.locate(r)
	return nil
}

func (f *fetch) unpackTree(ctx context.Context, dir string) (Package, error) {
	part, err := os.Open(f.part)
	if err != nil {
		return Package{}, err
	}
	defer part.Close()
	if err := f.store.room(unpackedSize(part, f.info.Size)); err != nil {
		return Package{}, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return Package{}, err
	}
	f.store.at("write tree")
	pkg, err := unpack(ctx, part, f.info.Size, dir, f.app, f.store.limits)
	if err == nil {
		return pkg, nil
	}
	err = fmt.Errorf("%s: %w", f.info.Location, err)
	if errors.Is(err, ErrTruncated) || errors.Is(err, ErrBadArchive) {
		err = f.perhapsChanging(err)
	}
	return Package{}, err
}

// unpackedSize is what gzip says at its end of the size modulo 4 GiB: a hint, never trusted for anything else than
// refusing early what would not fit.
func unpackedSize(f *os.File, size int64) int64 {
	var b [4]byte
	if _, err := f.ReadAt(b[:], size-4); err != nil {
		return size
	}
	hint := int64(binary.LittleEndian.Uint32(b[:]))
	// Anything can stand at the end of a damaged file.
	if hint < size/2 || hint > 1100*size {
		return size
	}
	return hint
}

// room says whether size more bytes fit on the disk.
func (s *Store) room(size int64) error {
	if s.reserve < 0 || size < 0 {
		return nil
	}
	free, err := freeBytes(s.dir)
	if err != nil {
		return err
	}
	if free < size+s.reserve {
		return fmt.Errorf("%s: %w: %d MiB are free, %d MiB are needed and %d MiB must stay free", s.dir, ErrNoSpace,
			free>>20, (size+1<<20-1)>>20, s.reserve>>20)
	}
	return nil
}
