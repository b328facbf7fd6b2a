package applog

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// List lists the log files of the instances in an app's folder, those that are gone included. A file of which only archives
// are left is in it too. A missing folder has none.
func List(dir string) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []File
	for _, e := range entries {
		name := e.Name()
		if log, _, ok := parseArchive(name); ok {
			name = log
		}
		if f, ok := fileOf(dir, name); ok {
			files = append(files, f)
		}
	}
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return slices.Compact(files), nil
}

// fileOf reads the name of a log file: INSTANCE-STREAM.log.
func fileOf(dir, name string) (File, bool) {
	for _, stream := range []string{"stdout", "stderr"} {
		if instance, ok := strings.CutSuffix(name, "-"+stream+".log"); ok && instance != "" {
			return File{Path: filepath.Join(dir, name), Instance: instance, Stream: stream}, true
		}
	}
	return File{}, false
}
