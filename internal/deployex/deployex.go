// Package deployex reads what an installation of DeployEx leaves on a host: the history and settings of its apps in
// <var_path>/storage, the folders of its instances in <var_path>/service, and the processes that still run from there.
package deployex

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
)

// Version is an entry of an app's history or list of ghosted versions (%Foundation.Catalog.Version{}).
type Version struct {
	At       time.Time
	Version  string
	Hash     string
	Instance string // its sname
	Hot      bool   // a hot upgrade
}

// App is what is left of one app.
type App struct {
	Name      string
	History   []Version // oldest first
	Ghosted   []Version
	Manual    string   // version that it is pinned to; empty: automatic
	Instances []string // folders in service/<app>
}

// Process is a process that runs from one of the instances' folders.
type Process struct {
	OSPID     int
	Instance  string
	App       string
	Directory string // service/<app>/<instance>
}

// Read reads what varPath holds of the apps. An app that is not there has nothing.
func Read(varPath string, apps []string) ([]App, error) {
	var all []App
	for _, name := range apps {
		a := App{Name: name}
		dir := filepath.Join(varPath, "storage", name, "deployex")
		var err error
		if a.History, err = versions(filepath.Join(dir, "history")); err != nil {
			return nil, fmt.Errorf("deployex: app %q: %w", name, err)
		}
		if a.Ghosted, err = versions(filepath.Join(dir, "ghosted")); err != nil {
			return nil, fmt.Errorf("deployex: app %q: %w", name, err)
		}
		if a.Manual, err = manual(filepath.Join(dir, "config", "config.term")); err != nil {
			return nil, fmt.Errorf("deployex: app %q: %w", name, err)
		}
		if a.Instances, err = folders(filepath.Join(varPath, "service", name)); err != nil {
			return nil, fmt.Errorf("deployex: app %q: %w", name, err)
		}
		all = append(all, a)
	}
	return all, nil
}

// versions reads a folder of one term for each version.
func versions(dir string) ([]Version, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Version
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".term") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		fields, err := readStruct(path)
		if err != nil {
			return nil, err
		}
		v := Version{Version: text(fields["version"]), Hash: text(fields["hash"]), Instance: text(fields["sname"]), Hot: text(fields["deployment"]) == "hot_upgrade"}
		if v.Version == "" {
			return nil, fmt.Errorf("%s: no version in it", path)
		}
		if v.At = naive(fields["inserted_at"]); v.At.IsZero() { // the file is named after the time, in microseconds
			if us, err := strconv.ParseInt(strings.TrimSuffix(e.Name(), ".term"), 10, 64); err == nil {
				v.At = time.UnixMicro(us).UTC()
			}
		}
		list = append(list, v)
	}
	slices.SortStableFunc(list, func(a, b Version) int { return a.At.Compare(b.At) })
	return list, nil
}

func manual(path string) (string, error) {
	fields, err := readStruct(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil || text(fields["mode"]) != "manual" {
		return "", err
	}
	if pinned, ok := structFields(fields["manual_version"]); ok {
		return text(pinned["version"]), nil
	}
	return text(fields["manual_version"]), nil
}

// readStruct reads a file that holds a struct of Elixir: a map of atoms.
func readStruct(path string) (map[string]etf.Term, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t, err := etf.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	fields, ok := structFields(t)
	if !ok {
		return nil, fmt.Errorf("%s: %s is no struct", path, etf.Format(t))
	}
	return fields, nil
}

func structFields(t etf.Term) (map[string]etf.Term, bool) {
	m, ok := t.(etf.Map)
	if !ok {
		return nil, false
	}
	fields := make(map[string]etf.Term, len(m))
	for _, p := range m {
		if key, ok := p.Key.(etf.Atom); ok {
			fields[string(key)] = p.Value
		}
	}
	return fields, true
}

// text is a binary or an atom; "" for nil and everything else.
func text(t etf.Term) string {
	switch v := t.(type) {
	case etf.Atom:
		if v == "nil" {
			return ""
		}
		return string(v)
	default:
		var s string
		if etf.UnmarshalTerm(t, &s) != nil {
			return ""
		}
		return s
	}
}

// naive reads a NaiveDateTime, which DeployEx writes in UTC.
func naive(t etf.Term) time.Time {
	f, ok := structFields(t)
	if !ok {
		return time.Time{}
	}
	var n [6]int
	for i, key := range []string{"year", "month", "day", "hour", "minute", "second"} {
		if f[key] == nil || etf.UnmarshalTerm(f[key], &n[i]) != nil {
			return time.Time{}
		}
	}
	us := 0
	if pair, ok := f["microsecond"].(etf.Tuple); ok && len(pair) == 2 {
		_ = etf.UnmarshalTerm(pair[0], &us) // a time without them is near enough
	}
	return time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], us*1000, time.UTC)
}

func folders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Running finds the processes whose program or working directory is in service/ below varPath.
func Running(varPath string) ([]Process, error) {
	service, err := filepath.EvalSymlinks(filepath.Join(varPath, "service"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var list []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		for _, link := range []string{"exe", "cwd"} {
			path, err := os.Readlink(filepath.Join("/proc", e.Name(), link))
			if err != nil {
				continue // another user's, a kernel thread, or it has just ended
			}
			rest, ok := strings.CutPrefix(path, service+"/")
			parts := strings.SplitN(rest, "/", 3)
			if !ok || len(parts) < 2 {
				continue
			}
			list = append(list, Process{OSPID: pid, App: parts[0], Instance: parts[1], Directory: filepath.Join(service, parts[0], parts[1])})
			break
		}
	}
	slices.SortFunc(list, func(a, b Process) int {
		return cmp.Or(cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.OSPID, b.OSPID))
	})
	return list, nil
}
