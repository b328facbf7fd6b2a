package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// StoreConfig says where a Store is and where its releases come from.
type StoreConfig struct {
	Dir     string // the daemon's var_path
	Source  Source
	Limits  Limits
	Reserve int64        // bytes of disk that fetching and unpacking leave free; 0: 64 MiB, negative: none
	Log     *slog.Logger // nil: discard

	MaxDownloadRate int64         // bytes a second, of all downloads together; 0: as fast as it goes
	ResumeWait      time.Duration // before a download that was cut off twice goes on, doubled each time; 0: 500 ms

	Step func(string) // told of each step that writes, before it; nil: nobody. For tests

	// for tests
	exchange func(newDir, cur string) error // instead of renameExchange
}

const defaultReserve = 64 << 20

// Store keeps fetched and unpacked releases and the folders of instances. It is safe for concurrent use.
type Store struct {
	dir     string
	source  Source
	limits  Limits
	reserve int64
	log     *slog.Logger
	lock    *os.File
	reflink bool // the file system can share blocks between files

	limiter    *rate.Limiter // of downloads; nil: none
	resumeWait time.Duration

	step         func(string)
	exchangeDirs func(newDir, cur string) error

	mu      sync.Mutex
	closed  bool
	flights map[flightKey]*flight
	running sync.WaitGroup
	folders map[string]*folderLock // by InstanceDir
	apps    map[string]*appLocks
}

// Release is an unpacked release in a Store.
type Release struct {
	App        string    `json:"app"`
	Version    string    `json:"version"` // as current.json calls it
	SHA256     string    `json:"sha256"`  // of the archive
	Size       int64     `json:"size"`    // of the archive, bytes
	Token      string    `json:"token"`   // of the archive in the bucket, when it was fetched
	Package    Package   `json:"package"`
	UnpackedAt time.Time `json:"unpacked_at"`

	Tree    string      `json:"-"` // the shared tree; read only; empty when it was pruned
	Archive string      `json:"-"` // the fetched archive; empty when it was pruned
	Steps   []FetchStep `json:"-"` // what this Fetch did; none when the release was there already
}

// ID names the release and its content: two archives published as one version have different IDs.
func (r Release) ID() string { return releaseID(r.Version, r.SHA256) }

func releaseID(version, sum string) string {
	return version + "-" + sum[:min(12, len(sum))]
}

const (
	releasesDir = "releases"
	cacheDir    = "cache"
	serviceDir  = "service"
	treeDir     = "tree"
	releaseFile = "release.json"
	lockFile    = "releases/.lock"
)

// OpenStore opens the store in cfg.Dir, making what is missing, and removes what a killed process left behind.
// Only one process can have it open; the others get ErrLocked.
func OpenStore(cfg StoreConfig) (*Store, error) {
	s := &Store{
		dir:     filepath.Clean(cfg.Dir),
		source:  cfg.Source,
		limits:  cfg.Limits.orDefaults(),
		reserve: cfg.Reserve,
		log:     cfg.Log,
		flights: make(map[flightKey]*flight),
		folders: make(map[string]*folderLock),
		apps:    make(map[string]*appLocks),

		step:         cfg.Step,
		exchangeDirs: cfg.exchange,
	}
	if s.reserve == 0 {
		s.reserve = defaultReserve
	}
	if s.resumeWait = cfg.ResumeWait; s.resumeWait <= 0 {
		s.resumeWait = resumeWait
	}
	if cfg.MaxDownloadRate > 0 {
		s.limiter = rate.NewLimiter(rate.Limit(cfg.MaxDownloadRate), copyBuffer)
	}
	if s.exchangeDirs == nil {
		s.exchangeDirs = renameExchange
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.open(); err != nil {
		s.running.Wait()
		if s.lock != nil {
			s.lock.Close()
		}
		return nil, &Error{Op: "open", Release: cfg.Dir, Err: diskError(err)}
	}
	return s, nil
}

func (s *Store) open() error {
	if s.dir == "." {
		return errors.New("no folder given")
	}
	for dir, mode := range map[string]fs.FileMode{releasesDir: 0o700, cacheDir: 0o700, serviceDir: 0o755} {
		if err := mkdirAllSynced(filepath.Join(s.dir, dir), mode); err != nil {
			return err
		}
	}
	var err error
	s.lock, err = os.OpenFile(filepath.Join(s.dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if err == unix.EWOULDBLOCK {
			return fmt.Errorf("%s: %w", s.lock.Name(), ErrLocked)
		}
		return os.NewSyscallError("flock", err)
	}
	if err := s.sweep(); err != nil {
		return err
	}
	s.reflink = canReflink(filepath.Join(s.dir, serviceDir))
	return nil
}

// Close ends what is under way, and the store's claim on its folder.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, f := range s.flights {
		f.cancel()
	}
	s.mu.Unlock()
	s.running.Wait()
	// A process that is being started at this moment has the lock's file open too, until it executes its program.
	return errors.Join(os.NewSyscallError("flock", unix.Flock(int(s.lock.Fd()), unix.LOCK_UN)), s.lock.Close())
}

// appLocks order what happens to the releases of an app. There are as many as there are apps.
type appLocks struct {
	fetch chan struct{} // holds a token while a Fetch works
	trees sync.RWMutex  // read: a tree is being copied; write: trees are being removed

	contents sync.Mutex // held by whoever reads the contents of one
}

func (s *Store) locks(app string) *appLocks {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.apps[app]
	if l == nil {
		l = &appLocks{fetch: make(chan struct{}, 1)}
		s.apps[app] = l
	}
	return l
}

func (s *Store) at(step string) {
	if s.step != nil {
		s.step(step)
	}
}

// sweep removes what is not whole and finishes switches that were begun.
func (s *Store) sweep() error {
	for _, kind := range []string{releasesDir, cacheDir, serviceDir} {
		if err := s.sweepTemp(filepath.Join(s.dir, kind)); err != nil {
			return err
		}
		apps, err := names(filepath.Join(s.dir, kind))
		if err != nil {
			return err
		}
		for _, app := range apps {
			dir := filepath.Join(s.dir, kind, app)
			if err := s.sweepTemp(dir); err != nil {
				return err
			}
			switch kind {
			case releasesDir:
				err = s.sweepReleases(app)
			case cacheDir:
				err = s.sweepCache(app)
			case serviceDir:
				err = s.sweepFolders(app)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// names lists the folders in dir whose names could be an app's, an instance's or a release's.
func names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			all = append(all, e.Name())
		}
	}
	return all, err
}

// sweepTemp begins to remove the unfinished files and folders in dir. Nobody waits for it: a release may have thousands of
// files, and none of the names is used again. Close does.
func (s *Store) sweepTemp(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tempPrefix) {
			continue
		}
		name := filepath.Join(dir, e.Name())
		s.log.Info("removing what was left unfinished", "path", name)
		s.running.Go(func() {
			if err := removeAll(name); err != nil {
				s.log.Warn("what was left unfinished is still there", "path", name, "err", err)
			}
		})
	}
	return nil
}

// sweepReleases removes trees without a readable release.json: nothing of ours, or damaged.
func (s *Store) sweepReleases(app string) error {
	dir := filepath.Join(s.dir, releasesDir, app)
	ids, err := names(dir)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := s.readRelease(app, id); err != nil {
			s.log.Warn("removing a damaged release", "app", app, "path", filepath.Join(dir, id), "err", err)
			if err := s.discard(filepath.Join(dir, id)); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweepCache removes archives without a tree: their fetch did not end.
func (s *Store) sweepCache(app string) error {
	dir := filepath.Join(s.dir, cacheDir, app)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), archiveSuffix)
		if !ok {
			continue
		}
		if _, err := s.readRelease(app, id); err == nil {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// discard removes a file or folder in such a way that nobody sees half of it.
func (s *Store) discard(name string) error {
	gone, err := aside(name)
	if err != nil || gone == "" {
		return err
	}
	return removeAll(gone)
}

// aside moves a file or folder out of the way, to a name that the next sweep removes; empty if there was none.
func aside(name string) (string, error) {
	gone := tempName(name)
	err := os.Rename(name, gone)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return gone, err
}

const archiveSuffix = ".tar.gz"

func (s *Store) treePath(app, id string) string {
	return filepath.Join(s.dir, releasesDir, app, id, treeDir)
}

func (s *Store) archivePath(app, id string) string {
	return filepath.Join(s.dir, cacheDir, app, id+archiveSuffix)
}

// readRelease reads what is known of an unpacked release.
func (s *Store) readRelease(app, id string) (Release, error) {
	b, err := os.ReadFile(filepath.Join(s.dir, releasesDir, app, id, releaseFile))
	if err != nil {
		return Release{}, err
	}
	var r Release
	if err := json.Unmarshal(b, &r); err != nil {
		return Release{}, err
	}
	if r.App != app || r.ID() != id {
		return Release{}, fmt.Errorf("%s is that of %q %s", releaseFile, r.App, r.ID())
	}
	return s.locate(r), nil
}

// locate fills in where the release's tree and archive are, if they are.
func (s *Store) locate(r Release) Release {
	r.Tree, r.Archive = s.treePath(r.App, r.ID()), s.archivePath(r.App, r.ID())
	if _, err := os.Stat(r.Tree); err != nil {
		r.Tree = ""
	}
	if _, err := os.Stat(r.Archive); err != nil {
		r.Archive = ""
	}
	return r
}

func (s *Store) writeRelease(dir string, r Release) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return writeFileAtomic(filepath.Join(dir, releaseFile), 0o644, func(f *os.File) error {
		_, err := f.Write(append(b, '\n'))
		return err
	})
}

// Releases returns the unpacked releases of app, the last unpacked one first.
func (s *Store) Releases(app string) ([]Release, error) {
	if err := CheckName(app); err != nil {
		return nil, &Error{Op: "list", Release: app, Err: err}
	}
	ids, err := names(filepath.Join(s.dir, releasesDir, app))
	if err != nil {
		return nil, &Error{Op: "list", Release: app, Err: err}
	}
	var all []Release
	for _, id := range ids {
		r, err := s.readRelease(app, id)
		if err != nil {
			continue // being removed, or damaged: the next OpenStore removes it
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Release) int { return b.UnpackedAt.Compare(a.UnpackedAt) })
	return all, nil
}

// Prune removes the unpacked releases of app and their archives, except those that a folder of an instance was made
// from, those whose ID is in inUse, and the last unpacked keep of the others. It returns the IDs of those removed.
func (s *Store) Prune(app string, keep int, inUse []string) ([]string, error) {
	fail := func(err error) ([]string, error) { return nil, &Error{Op: "prune", Release: app, Err: err} }
	all, err := s.Releases(app)
	if err != nil {
		return fail(err)
	}
	used := make(map[string]bool)
	for _, id := range inUse {
		used[id] = true
	}
	trees := &s.locks(app).trees
	trees.Lock()
	defer trees.Unlock()
	folders, err := s.Instances(app)
	if err != nil {
		return fail(err)
	}
	for _, f := range folders {
		for _, r := range []*Release{f.New, f.Current, f.Previous} {
			if r != nil {
				used[r.ID()] = true
			}
		}
	}
	var removed []string
	for _, r := range all {
		if used[r.ID()] {
			continue
		}
		if keep > 0 {
			keep--
			continue
		}
		// The tree first: an archive alone is swept, a tree alone is still of use.
		if err := s.discard(filepath.Dir(s.treePath(app, r.ID()))); err != nil {
			return removed, &Error{Op: "prune", Release: app, Version: r.Version, Err: err}
		}
		if err := os.Remove(s.archivePath(app, r.ID())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, &Error{Op: "prune", Release: app, Version: r.Version, Err: err}
		}
		removed = append(removed, r.ID())
	}
	return removed, nil
}
