package applog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// dumpEnd ends the names of collected crash dumps: INSTANCE.20261120T181530Z.erl_crash.dump.
const dumpEnd = ".erl_crash.dump"

// DumpDir is where the crash dumps of an app are collected.
func DumpDir(logDir, app string) string { return filepath.Join(logDir, app, "dumps") }

// Dump is a crash dump that was found after the end of a BEAM.
type Dump struct {
	Path   string
	Bytes  int64
	Slogan string
	Whole  bool // it ends as it should; otherwise it was cut, by a limit of time or size or by a kill
}

// CollectDump moves the crash dump that a BEAM of the instance has left at path since it was started to dir. With keep it stays
// where it is. ok is false when there is none.
func CollectDump(path, dir, instance string, since time.Time, keep bool) (d Dump, ok bool, err error) {
	st, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || path == "" {
		return Dump{}, false, nil
	}
	if err != nil {
		return Dump{}, false, err
	}
	if !st.Mode().IsRegular() || st.Size() == 0 || st.ModTime().Before(since.Add(-time.Second)) {
		return Dump{}, false, nil
	}
	d = Dump{Path: path, Bytes: st.Size(), Slogan: cutSlogan(dumpSlogan(time.Time{}, path)), Whole: wholeDump(path, st.Size())}
	if keep {
		return d, true, nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return d, true, err
	}
	to := filepath.Join(dir, instance+"."+st.ModTime().UTC().Format(archiveTime)+dumpEnd)
	if err := move(path, to); err != nil {
		return d, true, fmt.Errorf("applog: crash dump of %q: %w", instance, err)
	}
	d.Path = to
	return d, true, nil
}

// wholeDump says whether a dump has its last line.
func wholeDump(path string, size int64) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, min(size, 64))
	if _, err := f.ReadAt(b, size-int64(len(b))); err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	return strings.HasSuffix(strings.TrimRight(string(b), "\n"), "=end")
}

// move renames a file, or copies it to another file system.
func move(from, to string) error {
	err := os.Rename(from, to)
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		_ = os.Remove(to)
		return err
	}
	return os.Remove(from)
}

// readDumps lists the collected dumps of an app, the oldest first.
func readDumps(dir string) []keptFile {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // none were collected
	}
	var list []keptFile
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !strings.HasSuffix(e.Name(), dumpEnd) {
			continue
		}
		list = append(list, keptFile{path: filepath.Join(dir, e.Name()), size: onDisk(info), at: dumpTime(e.Name(), info)})
	}
	slices.SortFunc(list, func(a, b keptFile) int { return a.at.Compare(b.at) })
	return list
}

func dumpTime(name string, info fs.FileInfo) time.Time {
	name = strings.TrimSuffix(name, dumpEnd)
	if t, err := time.Parse(archiveTime, name[strings.LastIndexByte(name, '.')+1:]); err == nil {
		return t
	}
	return info.ModTime()
}

// KeepDumps keeps the dumps in a folder within their number and their sum; the last one stays in any case.
func KeepDumps(dir string, p Policy) error {
	p = p.WithDefaults()
	dumps := readDumps(dir)
	var sum int64
	for _, d := range dumps {
		sum += d.size
	}
	var errs []error
	for len(dumps) > 1 && (len(dumps) > p.Dumps || sum > p.DumpBytes) {
		sum -= dumps[0].size
		if err := os.Remove(dumps[0].path); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
		dumps = dumps[1:]
	}
	return errors.Join(errs...)
}

// WritingDump says whether an OS process has the file at path open: a BEAM that writes its crash dump is still there, and says
// nothing to anybody until it is done.
func WritingDump(osPID int, path string) bool {
	want, err := os.Stat(path)
	if err != nil {
		return false
	}
	dir := fmt.Sprintf("/proc/%d/fd", osPID)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if st, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && os.SameFile(st, want) {
			return true
		}
	}
	return false
}
