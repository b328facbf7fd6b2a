package launch

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/beamkeeper/beamkeeper/internal/render"
	"github.com/beamkeeper/beamkeeper/internal/sandbox"
)

// Language is what a release was written in, which decides how it is started.
type Language string

// The languages.
const (
	Elixir Language = "elixir"
	Erlang Language = "erlang"
	Gleam  Language = "gleam"
)

// Var is one variable of the environment.
type Var struct{ Key, Value string }

// Port is a variable whose value is a port number: Base plus the instance's slot.
type Port struct {
	Key  string
	Base int
}

// Placement is a file that the configuration gives to an app.
type Placement struct {
	Path     string      // template; relative to RunDir
	Source   string      // file that is copied; empty: Content
	Content  string      // template
	Template bool        // Source is a template too
	User     string      // empty: Spec.User
	Group    string      // empty: the user's
	Mode     os.FileMode // 0: 0640
}

// Spec describes an instance to start.
type Spec struct {
	App      string // also the release's name: bin/APP
	Instance string // <app>-<6 of [0-9a-z]>
	Language Language
	Root     string // the unpacked release: …/service/<app>/<instance>/current
	RunDir   string // a private directory of this instance, made by Prepare; empty: run beside Root

	Host       string // host part of the node name; with a dot: long names; empty: this machine's short name
	Cookie     string // empty: the release's own (elixir, erlang), the user's ~/.erlang.cookie (gleam)
	SSLOptions string // distribution over TLS: ELIXIR_ERL_OPTIONS, RELEASE_SSL_OPTIONS for erlang, arguments for gleam
	Daemon     string // the daemon's node name, becomes BEAMKEEPER_NODE

	Slot  int    // 0..replicas
	Ports []Port // KEY = Base + Slot
	Env   []Var  // of the configuration, values taken as they are; a later key wins

	// What the configuration adds. Env values, vm_args and files are templates, see package render.
	Version  string      // of the release, for templates
	EnvFiles []string    // read in order; a later key wins, and Env wins over all; -PATH may be missing
	Dirs     []Dir       // made by Prepare
	Place    []Placement // files written by Prepare
	Secrets  []Secret    // written and set last; their values are taken as they are
	VMArgs   string      // flags of erl, as in a vm.args file; they win over the release's own
	CPUs     int         // cores the instance may use, for templates; 0: the machine's
	Memory   int64       // bytes it may use, for templates; 0: the machine's
	Umask    *int        // nil: the daemon's
	Group    string      // primary OS group; empty: the user's
	Sandbox  sandbox.Options
	ReadOnly bool // the release belongs to somebody else: what its start writes goes to RunDir

	Dump *DumpLimits // of the BEAM's crash dump, which goes to RunDir; nil: all as the BEAM has it

	BaseEnv  []string // the daemon's own environment (os.Environ()), of which an allow-list is passed on
	OmitPath []string // directories taken out of PATH, besides $BINDIR of BaseEnv
	User     string   // OS user the instance runs as; sets HOME, USER, LOGNAME, SHELL; empty: the daemon's
	Erl      string   // gleam: the erl to use; empty: the first on PATH
}

// DumpLimits bound a crash dump. A variable of the configuration wins over each.
type DumpLimits struct {
	Seconds int   // it may take; 0: no dump is written; negative: any time
	Bytes   int64 // it may take of the disk; 0: any number
}

// nodeName returns the full name, instance@host, and the name to give to the BEAM: without host where the BEAM adds
// the same one by itself.
func (s Spec) nodeName() (full, given string, long bool, err error) {
	own, err := os.Hostname()
	if err != nil {
		return "", "", false, err
	}
	own, _, _ = strings.Cut(own, ".")
	host := s.Host
	if host == "" {
		host = own
	}
	full = s.Instance + "@" + host
	if strings.Contains(host, ".") {
		return full, full, true, nil
	}
	if host == own {
		return full, s.Instance, false, nil
	}
	return full, full, false, nil
}

func (s Spec) runDir() string {
	if s.RunDir != "" {
		return s.RunDir
	}
	return filepath.Join(filepath.Dir(s.Root), "run")
}

// ports gives each port variable its number.
func (s Spec) ports() (map[string]int, error) {
	ports := make(map[string]int, len(s.Ports))
	for _, p := range s.Ports {
		n := p.Base + s.Slot
		if n < 1 || n > 65535 {
			return nil, fmt.Errorf("replica port %s: base %d + slot %d is no port number (1 to 65535)", p.Key, p.Base, s.Slot)
		}
		ports[p.Key] = n
	}
	return ports, nil
}

func (s Spec) check() error {
	for _, f := range []struct{ what, value string }{{"App", s.App}, {"Instance", s.Instance}} {
		if f.value == "" || strings.ContainsAny(f.value, "/@ \x00") || strings.HasPrefix(f.value, "-") {
			return fmt.Errorf("%s %q is no name", f.what, f.value)
		}
	}
	if !filepath.IsAbs(s.Root) {
		return fmt.Errorf("release directory %q is not absolute", s.Root)
	}
	return s.checkCookie()
}

// checkCookie refuses what the start scripts would take apart.
func (s Spec) checkCookie() error {
	bad := strings.IndexFunc(s.Cookie, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	switch {
	case bad >= 0:
		return fmt.Errorf("the cookie has a space or control character (position %d)", bad)
	case len(s.Cookie) > 255:
		return fmt.Errorf("the cookie has %d characters, an atom has at most 255", len(s.Cookie))
	case s.Language != Gleam && strings.HasPrefix(s.Cookie, "-"):
		return fmt.Errorf("the cookie starts with -, which erl takes for an option: use another one")
	}
	return nil
}

// facts are what the templates may name.
func (s Spec) facts(node string, ports map[string]int, dirs []Dir) (render.Facts, error) {
	f := render.Facts{
		App: s.App, Instance: s.Instance, Node: node, Host: node[strings.IndexByte(node, '@')+1:], Version: s.Version, Slot: s.Slot,
		CPUs: s.CPUs, Memory: s.Memory, Ports: ports, Dirs: make(map[string]string), RunDir: s.runDir(), Root: s.Root,
	}
	for _, d := range dirs {
		f.Dirs[d.Kind] = d.Path
	}
	if f.CPUs == 0 {
		f.CPUs = runtime.NumCPU()
	}
	if f.Memory == 0 {
		var info unix.Sysinfo_t
		if err := unix.Sysinfo(&info); err != nil {
			return f, fmt.Errorf("memory of the machine: %w", err)
		}
		f.Memory = int64(info.Totalram) * int64(info.Unit)
	}
	return f, nil
}
