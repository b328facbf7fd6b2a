package launch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Dir is a folder that an app wants to have, made before each start when it is missing.
type Dir struct {
	Kind string      // one of DirKinds
	Path string      // empty: that of the kind
	Mode os.FileMode // 0: 0750
}

// dirKind is a kind of folder, as in systemd.exec(5).
type dirKind struct {
	base      string   // its default place is base/<app>
	variables []string // that tell the instance its path
}

var dirKinds = map[string]dirKind{
	"configuration": {"/etc", []string{"CONFIGURATION_DIRECTORY", "CONFIGURATION_DIR"}},
	"state":         {"/var/lib", []string{"STATE_DIRECTORY", "STATE_DIR"}},
	"cache":         {"/var/cache", []string{"CACHE_DIRECTORY", "CACHE_DIR"}},
	"logs":          {"/var/log", []string{"LOGS_DIRECTORY", "LOGS_DIR"}},
	"runtime":       {"/run", []string{"RUNTIME_DIRECTORY", "RUNTIME_DIR"}},
	"tmp":           {"/var/tmp", []string{"TMP_DIR"}},
}

// DirKinds are the kinds of folders, sorted.
func DirKinds() []string {
	var kinds []string
	for k := range dirKinds {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	return kinds
}

// dirs gives each folder its path.
func (s Spec) dirs() ([]Dir, error) {
	all := make([]Dir, 0, len(s.Dirs))
	for _, d := range s.Dirs {
		k, ok := dirKinds[d.Kind]
		if !ok {
			return nil, fmt.Errorf("dirs: %q is none of %s", d.Kind, strings.Join(DirKinds(), ", "))
		}
		if d.Path == "" {
			d.Path = filepath.Join(k.base, s.App)
		}
		if !filepath.IsAbs(d.Path) || filepath.Clean(d.Path) == "/" {
			return nil, fmt.Errorf("dirs: the path %q of %s is not absolute, or is /", d.Path, d.Kind)
		}
		d.Path = filepath.Clean(d.Path)
		if d.Mode == 0 {
			d.Mode = 0o750
		}
		all = append(all, d)
	}
	return all, nil
}

// directories tells the instance where its folders are.
func (e environment) directories(dirs []Dir) {
	for _, d := range dirs {
		for _, v := range dirKinds[d.Kind].variables {
			e.set(v, d.Path)
		}
	}
}
