package applog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Keeper rotates the log files in a folder of folders, one for each app, and keeps them within their bounds. It needs nothing of
// those that write them.
type Keeper struct {
	Dir    string                          // holds APP/INSTANCE-STREAM.log
	Own    string                          // a log file besides, that of the daemon; empty: none
	Policy func(app string) (Policy, bool) // of Own by the name ""; false: of a folder that is none of ours
	Here   func() (map[string]bool, error) // the instances that exist: their files are never removed whole
	Space  func() Space
	Tell   func(Alarm)
	Log    *slog.Logger

	every time.Duration // between two looks; 0: a second
	step  func(string)  // of rotations, for tests

	mu       sync.Mutex
	problems map[string]Alarm // by what they are about
	since    map[string]time.Time
}

// Alarm is something that people should know of.
type Alarm struct {
	App    string // empty: all
	What   string
	Remedy string
	Grave  bool           // an error, not a warning
	Data   map[string]any // numbers that go with it
}

const (
	lookEvery  = time.Second
	listEvery  = 5 // looks; in between only the files that are known are looked at, which costs a tenth
	tidyEvery  = time.Minute
	patience   = 30 * time.Second // after rotations that failed; less after the first
	tellAgain  = 10 * time.Minute // that archives had to go before their time
	fastGrowth = 20               // a file that fills a part of its bound in one look is looked at more often
)

// Run does the keeping until ctx ends. Rotations that were under way when the last daemon was killed are ended first.
func (k *Keeper) Run(ctx context.Context) {
	every := k.every
	if every == 0 {
		every = lookEvery
	}
	l := newLooking(k)
	for {
		wait := every
		if l.look(ctx) {
			wait = every / 10
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// looking is what Run remembers from one look to the next.
type looking struct {
	*Keeper
	hold      map[string]time.Time // files that are left alone until then
	failed    map[string]int       // how often in a row their rotation has
	sizes     map[string]int64
	told      map[string]time.Time
	recovered map[string]bool // files in which no old rotation is left
	tidied    time.Time
	known     []*folder // nil: to be listed anew
	looks     int       // since they were
}

func newLooking(k *Keeper) *looking {
	return &looking{
		Keeper: k, hold: make(map[string]time.Time), failed: make(map[string]int), sizes: make(map[string]int64),
		told: make(map[string]time.Time), recovered: make(map[string]bool),
	}
}

// folder is what there is in the log folder of one app.
type folder struct {
	app    string
	policy Policy
	files  map[string]*logFile // by path
	dumps  []keptFile
}

// logFile is a log file with its archives.
type logFile struct {
	File
	live     fs.FileInfo // nil: only archives are left
	archives []archive
}

// keptFile is a file that may be removed.
type keptFile struct {
	path string
	size int64 // on the disk
	at   time.Time
}

// readFolder looks what is in a folder. Own is the name of the one log file that counts, for the daemon's; empty: those of
// instances. How large archives are is looked at only with sizes.
func readFolder(dir, app, own string, sizes bool) (*folder, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	f := &folder{app: app, files: make(map[string]*logFile)}
	for _, e := range entries {
		name := e.Name()
		log, a, isArchive := parseArchive(name)
		if !isArchive {
			log = name
		}
		file, ok := fileOf(dir, log)
		if own != "" {
			file, ok = File{Path: filepath.Join(dir, log)}, log == own
		}
		if !ok {
			continue
		}
		var info fs.FileInfo
		if !isArchive || sizes {
			if info, err = e.Info(); err != nil || !info.Mode().IsRegular() {
				continue
			}
		}
		l := f.files[file.Path]
		if l == nil {
			l = &logFile{File: file}
			f.files[file.Path] = l
		}
		if isArchive {
			a.path = filepath.Join(dir, name)
			if sizes {
				a.size = onDisk(info)
			}
			l.archives = append(l.archives, a)
		} else {
			l.live = info
		}
	}
	for _, l := range f.files {
		sortArchives(l.archives)
	}
	return f, nil
}

// onDisk is how much of the disk a file takes.
func onDisk(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// folders reads those of all apps, and the daemon's.
func (l *looking) folders(sizes bool) []*folder {
	var all []*folder
	entries, err := os.ReadDir(l.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		l.problem("dir", &Alarm{What: fmt.Sprintf("the log folder cannot be read: %v", err), Grave: true})
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		p, ours := l.Policy(e.Name())
		if !ours {
			continue
		}
		if f, err := readFolder(filepath.Join(l.Dir, e.Name()), e.Name(), "", sizes); err == nil {
			f.policy = p.WithDefaults()
			if sizes {
				f.dumps = readDumps(DumpDir(l.Dir, e.Name()))
			}
			all = append(all, f)
		}
	}
	if l.Own != "" {
		if f, err := readFolder(filepath.Dir(l.Own), "", filepath.Base(l.Own), sizes); err == nil {
			p, _ := l.Policy("")
			f.policy = p.WithDefaults()
			all = append(all, f)
		}
	}
	return all
}

// look rotates what is due, and tidies up now and then. soon says that something grows fast.
func (l *looking) look(ctx context.Context) (soon bool) {
	all := l.current()
	rotated := false
	for _, f := range all {
		p := f.policy
		for _, file := range f.files {
			if ctx.Err() != nil {
				return false
			}
			if file.live == nil {
				continue
			}
			if !l.recovered[file.Path] {
				if err := recoverRotation(file.Path, file.archives); err == nil {
					l.recovered[file.Path] = true
				}
				l.known = nil // there may be other archives now
			}
			size := file.live.Size()
			if grown := size - l.sizes[file.Path]; grown > p.MaxBytes/fastGrowth && l.sizes[file.Path] > 0 {
				soon = true
			}
			l.sizes[file.Path] = size
			if l.due(file, p) && l.rotate(file, p) {
				rotated, l.known = true, nil
				delete(l.sizes, file.Path)
			}
		}
	}
	if rotated || time.Since(l.tidied) > tidyEvery {
		l.tidied = time.Now()
		l.tidy(l.folders(true))
		l.forget(all)
	}
	l.guard()
	return soon
}

// current is what there is in the log folders, as far as it was there when they were last listed.
func (l *looking) current() []*folder {
	if l.known != nil && l.looks < listEvery-1 && l.refresh() {
		l.looks++
		return l.known
	}
	l.known, l.looks = l.folders(false), 0
	return l.known
}

// refresh looks at the files that are known; false says that one of them is there no more.
func (l *looking) refresh() bool {
	for _, f := range l.known {
		for _, file := range f.files {
			if file.live == nil {
				continue
			}
			info, err := os.Lstat(file.Path)
			if err != nil || !info.Mode().IsRegular() {
				return false
			}
			file.live = info
		}
	}
	return true
}

// forget drops what is remembered of files that are gone.
func (l *looking) forget(all []*folder) {
	there := make(map[string]bool)
	for _, f := range all {
		for path := range f.files {
			there[path] = true
		}
	}
	for path := range l.recovered {
		if !there[path] {
			delete(l.recovered, path)
			delete(l.sizes, path)
			delete(l.hold, path)
			delete(l.failed, path)
			l.problem("rotate "+path, nil)
		}
	}
}

// due says whether a file is to be rotated.
func (l *looking) due(file *logFile, p Policy) bool {
	if time.Now().Before(l.hold[file.Path]) || file.live.Size() < 2*shiftUnit {
		return false
	}
	old := time.Since(file.began()) >= p.MaxAge
	if file.live.Size() < p.MaxBytes && !old {
		return false
	}
	f, err := os.Open(file.Path)
	if err != nil {
		return false
	}
	defer f.Close()
	h, err := readHead(f)
	if err != nil {
		return false
	}
	held := file.live.Size() - h.at
	if held >= p.MaxBytes {
		return true
	}
	return old && held >= 2*shiftUnit
}

// began is when the first line in the live file was written, at the earliest.
func (f *logFile) began() time.Time {
	if n := len(f.archives); n > 0 {
		return f.archives[n-1].at
	}
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, f.Path, 0, unix.STATX_BTIME, &st); err == nil && st.Mask&unix.STATX_BTIME != 0 {
		return time.Unix(st.Btime.Sec, int64(st.Btime.Nsec))
	}
	return f.live.ModTime()
}

func (l *looking) rotate(file *logFile, p Policy) bool {
	began := time.Now()
	r := rotation{path: file.Path, part: max(p.MaxBytes, 64<<10), now: began, step: l.step}
	made, err := r.run()
	about := "rotate " + file.Path
	if err != nil {
		l.hold[file.Path] = time.Now().Add(min(time.Second<<min(l.failed[file.Path], 5), patience))
		l.failed[file.Path]++
		n := Alarm{App: appOf(file), What: fmt.Sprintf("%s cannot be rotated and grows: %v", file.Path, err), Grave: true}
		switch {
		case errors.Is(err, ErrCannotRotate):
			n.Remedy = "put monitored_app_log_path on ext4, xfs, btrfs or tmpfs, or set logs.target: journal"
			l.hold[file.Path] = time.Now().Add(20 * patience)
		case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
			n.Remedy = "free some space there"
		}
		l.problem(about, &n)
		return made > 0
	}
	delete(l.failed, file.Path)
	l.problem(about, nil)
	if made > 0 && l.Log != nil {
		l.Log.Debug("log rotated", "file", file.Path, "archives", made, "took_ms", time.Since(began).Milliseconds())
	}
	return made > 0
}

func appOf(file *logFile) string { return filepath.Base(filepath.Dir(file.Path)) }

// problem notes what is wrong, or, with nil, that it is so no longer.
func (k *Keeper) problem(about string, n *Alarm) {
	k.mu.Lock()
	_, known := k.problems[about]
	if n == nil {
		delete(k.problems, about)
		delete(k.since, about)
	} else {
		if k.problems == nil {
			k.problems, k.since = make(map[string]Alarm), make(map[string]time.Time)
		}
		k.problems[about] = *n
		if !known {
			k.since[about] = time.Now()
		}
	}
	k.mu.Unlock()
	if n != nil && !known {
		k.tell(*n)
	}
}

func (k *Keeper) tell(n Alarm) {
	if k.Tell != nil {
		k.Tell(n)
	}
}

// Problem is an Alarm that still holds.
type Problem struct {
	Alarm
	Since time.Time
}

// Problems are those that there are now, the oldest first.
func (k *Keeper) Problems() []Problem {
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []Problem
	for about, n := range k.problems {
		list = append(list, Problem{n, k.since[about]})
	}
	slices.SortFunc(list, func(a, b Problem) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.What, b.What)
	})
	return list
}
