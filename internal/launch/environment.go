package launch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/render"
)

// environment is an instance's environment in the making.
type environment map[string]string

// inherited says whether a variable of the daemon's environment is passed on.
func inherited(key string) bool {
	switch key {
	case "PATH", "HOME", "LANG", "TZ", "SHELL", "USER", "LOGNAME", "TERM", "TMPDIR", "ERL_EPMD_PORT", "ERL_EPMD_ADDRESS":
		return true
	}
	return strings.HasPrefix(key, "LC_") || strings.HasPrefix(key, "XDG_")
}

// defaultPath serves a daemon that was started without PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// baseEnvironment is what every program of the instance's user may know.
func baseEnvironment(s Spec) (environment, error) {
	env := environment{"PATH": defaultPath}
	omit := slices.Clone(s.OmitPath)
	locale := false
	for _, kv := range s.BaseEnv {
		key, value, _ := strings.Cut(kv, "=")
		if key == "BINDIR" { // of an ERTS that the daemon was started from
			omit = append(omit, value)
		}
		if !inherited(key) || value == "" {
			continue
		}
		env.set(key, value)
		locale = locale || key == "LANG" || key == "LC_ALL" || key == "LC_CTYPE"
	}
	if !locale {
		env.set("LANG", "C.UTF-8") // else the BEAM takes file names and Elixir its output for Latin-1
	}
	env.set("PATH", cleanPath(env["PATH"], omit))
	if s.User != "" {
		a, err := process.LookupAccount(s.User)
		if err != nil {
			return nil, err
		}
		for key := range env {
			if strings.HasPrefix(key, "XDG_") {
				delete(env, key) // another user's directories
			}
		}
		env.set("HOME", a.Home)
		env.set("USER", a.Name)
		env.set("LOGNAME", a.Name)
		env.set("SHELL", "/bin/sh")
	}
	if env["HOME"] == "" {
		home, err := os.UserHomeDir()
		if err != nil || home == "" {
			home = "/" // as init and service managers have it
		}
		env.set("HOME", home)
	}
	return env, nil
}

func (e environment) set(key, value string) { e[key] = value }

// configured adds the configuration's env files, variables and ports.
func (e environment) configured(s Spec, f render.Facts) error {
	fromFiles, err := readEnvFiles(s.EnvFiles)
	if err != nil {
		return err
	}
	for _, v := range fromFiles {
		if err := checkVar(v); err != nil {
			return err
		}
		e.set(v.Key, v.Value)
	}
	for _, v := range s.Env {
		var err error
		if v.Value, err = render.Text("env "+v.Key, v.Value, f); err != nil {
			return err
		}
		if err := checkVar(v); err != nil {
			return err
		}
		e.set(v.Key, v.Value)
	}
	ports := f.Ports
	for key, n := range ports {
		if err := checkVar(Var{Key: key}); err != nil {
			return fmt.Errorf("replica port: %w", err)
		}
		e.set(key, strconv.Itoa(n))
	}
	return nil
}

func checkVar(v Var) error {
	switch {
	case v.Key == "" || strings.ContainsAny(v.Key, "=\x00"):
		return fmt.Errorf("environment: %q is no name of a variable", v.Key)
	case strings.ContainsRune(v.Value, 0):
		return fmt.Errorf("environment: the value of %s holds a zero byte", v.Key)
	case v.Key == "RELEASE_NODE" || strings.HasPrefix(v.Key, "BEAMKEEPER_"):
		return fmt.Errorf("environment: %s is set by beamkeeper: take it out of env", v.Key)
	}
	return nil
}

func (e environment) list() []string {
	list := make([]string, 0, len(e))
	for key, value := range e {
		list = append(list, key+"="+value)
	}
	slices.Sort(list)
	return list
}

// cleanPath takes out directories, and what is relative: it would depend on the release's directory.
func cleanPath(path string, omit []string) string {
	var kept []string
	for _, dir := range filepath.SplitList(path) {
		same := func(o string) bool { return o != "" && filepath.Clean(o) == filepath.Clean(dir) }
		if filepath.IsAbs(dir) && !slices.ContainsFunc(omit, same) {
			kept = append(kept, dir)
		}
	}
	return strings.Join(kept, string(os.PathListSeparator))
}
