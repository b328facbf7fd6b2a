package applog

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// tidy removes what is over the bounds: archives beyond their number, instances that are gone beyond theirs, and then the
// oldest, those of gone instances first, until an app keeps to its budget. The live file of an instance that exists stays.
func (l *looking) tidy(all []*folder) {
	here, err := l.Here()
	if err != nil {
		return // who is gone is not known; next time
	}
	for _, f := range all {
		p := f.policy
		for _, file := range f.files {
			if over := len(file.archives) - p.Archives; over > 0 {
				l.remove(archiveFiles(file.archives[:over]))
				file.archives = file.archives[over:]
			}
		}
		gone := f.gone(here)
		for i, g := range gone { // the youngest first
			if i >= p.GoneInstances || time.Since(g.at) > p.GoneAge {
				l.removeGone(g)
				gone[i].files = nil
			}
		}
		l.budget(f, gone, p)
		if f.app == "" {
			continue
		}
		if err := KeepDumps(DumpDir(l.Dir, f.app), p); err != nil && l.Log != nil {
			l.Log.Warn("old crash dump", "err", err)
		}
	}
}

// goneInstance is what is left of an instance that is gone.
type goneInstance struct {
	files []*logFile
	at    time.Time // of its last line
}

// gone lists the instances that are, the youngest first.
func (f *folder) gone(here map[string]bool) []goneInstance {
	if f.app == "" {
		return nil
	}
	byName := make(map[string]*goneInstance)
	for _, file := range f.files {
		if here[file.Instance] {
			continue
		}
		g := byName[file.Instance]
		if g == nil {
			g = &goneInstance{}
			byName[file.Instance] = g
		}
		g.files = append(g.files, file)
		at := time.Time{}
		if file.live != nil {
			at = file.live.ModTime()
		} else if n := len(file.archives); n > 0 {
			at = file.archives[n-1].at
		}
		if at.After(g.at) {
			g.at = at
		}
	}
	var list []goneInstance
	for _, g := range byName {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b goneInstance) int { return b.at.Compare(a.at) })
	return list
}

// removeGone removes all files of an instance, unless somebody still writes to one of them.
func (l *looking) removeGone(g goneInstance) (freed int64) {
	for _, file := range g.files {
		if file.live != nil && written(file.Path) {
			return 0
		}
	}
	for _, file := range g.files {
		freed += l.remove(archiveFiles(file.archives))
		if file.live != nil {
			freed += l.remove([]keptFile{{path: file.Path, size: onDisk(file.live)}})
		}
		file.archives, file.live = nil, nil
	}
	return freed
}

// written says whether a process has the file open for writing, or may have: a lease for reading is given only for a file
// that nobody writes to. Where there are no leases, an hour without a line must do.
func written(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	defer f.Close()
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK) // closing it does the same
		return false
	}
	if errors.Is(err, unix.EAGAIN) {
		return true
	}
	st, err := f.Stat()
	return err != nil || time.Since(st.ModTime()) < time.Hour
}

// budget keeps all files of an app within their sum.
func (l *looking) budget(f *folder, gone []goneInstance, p Policy) {
	var sum int64
	for _, file := range f.files {
		if file.live != nil {
			sum += onDisk(file.live)
		}
		for _, a := range file.archives {
			sum += a.size
		}
	}
	about := "budget " + f.app
	for _, g := range slices.Backward(gone) {
		if sum > p.Bytes {
			sum -= l.removeGone(g)
		}
	}
	if sum > p.Bytes {
		for _, a := range f.oldestArchives() {
			if sum <= p.Bytes {
				break
			}
			sum -= l.remove([]keptFile{a})
		}
	}
	if sum > p.Bytes {
		l.problem(about, &Alarm{
			App: f.app, What: fmt.Sprintf("the log files of %s take %d bytes, more than their budget of %d, and no archive is left to remove", cmp.Or(f.app, "the daemon"), sum, p.Bytes),
			Remedy: "raise logs.bytes, or lower logs.max_bytes", Grave: true,
		})
		return
	}
	l.problem(about, nil)
}

func archiveFiles(list []archive) []keptFile {
	var files []keptFile
	for _, a := range list {
		if !a.temp {
			files = append(files, keptFile{path: a.path, size: a.size, at: a.at})
		}
	}
	return files
}

func (f *folder) oldestArchives() []keptFile {
	var all []keptFile
	for _, file := range f.files {
		all = append(all, archiveFiles(file.archives)...)
	}
	slices.SortFunc(all, func(a, b keptFile) int { return a.at.Compare(b.at) })
	return all
}

// remove deletes files and returns how much that frees.
func (l *looking) remove(files []keptFile) (freed int64) {
	for _, f := range files {
		err := os.Remove(f.path)
		switch {
		case err == nil:
			freed += f.size
		case !errors.Is(err, os.ErrNotExist) && l.Log != nil:
			l.Log.Warn("old log file", "err", err)
		}
	}
	return freed
}

// guard frees space when the log folder's file system runs full: the oldest archives of all apps go, then the oldest crash
// dumps. The live files are never touched; when nothing else is left, people are told.
func (l *looking) guard() {
	low, free, want := l.low()
	if !low {
		l.problem("space", nil)
		return
	}
	var all []keptFile
	var dumps []keptFile
	for _, f := range l.folders(true) {
		all = append(all, f.oldestArchives()...)
		dumps = append(dumps, f.dumps...)
	}
	oldest := func(a, b keptFile) int { return a.at.Compare(b.at) }
	slices.SortFunc(all, oldest)
	slices.SortFunc(dumps, oldest)
	var freed int64
	removed := 0
	for _, f := range append(all, dumps...) {
		if l.remove([]keptFile{f}) > 0 {
			freed, removed = freed+f.size, removed+1
		}
		if low, free, want = l.low(); !low {
			break
		}
	}
	if removed > 0 && time.Since(l.told["space"]) > tellAgain {
		l.told["space"] = time.Now()
		l.tell(Alarm{
			What:   fmt.Sprintf("the file system of %s runs full: %d old log archives (%d bytes) were removed before their time", l.Dir, removed, freed),
			Remedy: "free some space there", Data: map[string]any{"removed": removed, "removed_bytes": freed, "free_bytes": free},
		})
	}
	if !low {
		l.problem("space", nil)
		return
	}
	l.problem("space", &Alarm{
		What:   fmt.Sprintf("the file system of %s has %d bytes free, less than %d, and no old log is left to remove: lines of the instances will be lost when it is full", l.Dir, free, want),
		Remedy: "free some space there, or move monitored_app_log_path", Grave: true, Data: map[string]any{"free_bytes": free, "min_free_bytes": want},
	})
}

// low says whether less is free than is wanted.
func (l *looking) low() (low bool, free, want int64) {
	var st unix.Statfs_t
	if err := unix.Statfs(l.Dir, &st); err != nil || st.Blocks == 0 {
		return false, 0, 0
	}
	var s Space
	if l.Space != nil {
		s = l.Space()
	}
	if s.MinBytes == 0 {
		s.MinBytes = 100 << 20
	}
	if s.MinPercent == 0 {
		s.MinPercent = 2
	}
	free = int64(st.Bavail) * st.Bsize
	want = max(s.MinBytes, int64(st.Blocks)/100*int64(max(s.MinPercent, 0))*st.Bsize)
	return free < want, free, want
}
