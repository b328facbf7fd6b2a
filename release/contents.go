package release

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/beamkeeper/beamkeeper/etf"
)

// Contents is what is in an archive, as far as it decides how one release can follow another.
type Contents struct {
	Package
	OTP     string         `json:"otp,omitempty"`    // release of OTP, from the version of its ERTS
	Elixir  string         `json:"elixir,omitempty"` // version
	Apps    []AppContents  `json:"apps"`             // of lib, sorted by name
	Natives []Native       `json:"natives,omitempty"`
	Config  []ConfigEntry  `json:"config,omitempty"`    // of sys.config, sorted
	Loaders []string       `json:"providers,omitempty"` // configuration providers of Elixir
	Runtime string         `json:"runtime,omitempty"`   // digest of runtime.exs
	Relup   []string       `json:"relup,omitempty"`     // versions that a shipped relup leads from
	Jelly   bool           `json:"jellyfish,omitempty"` // built with Jellyfish's appups
	Cookie  bool           `json:"cookie,omitempty"`    // a cookie is shipped
	Warn    []string       `json:"warnings,omitempty"`  // in words
	scripts map[string]int // files in bin and what mode they have
}

// AppContents is one OTP application of a release.
type AppContents struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Modules []Module `json:"modules,omitempty"` // sorted by name
	Appup   *Appup   `json:"appup,omitempty"`
	Private string   `json:"priv,omitempty"` // digest of all in priv but the appup
}

// ConfigEntry is one key of an application's environment in sys.config. Its value may be a secret.
type ConfigEntry struct {
	App    string `json:"app"`
	Key    string `json:"key"`
	Digest string `json:"digest"`
}

// maxContents bounds a file that is read whole.
const maxContents = 256 << 20

// ReadContents reads an archive whole, as Inspect does, and what is in it.
//
// Errors: those of Inspect; a module or an appup that cannot be read is a warning in Warn.
func ReadContents(ctx context.Context, file string, limits Limits) (Contents, error) {
	return ReadContentsOf(ctx, file, "", limits)
}

// ReadContentsOf is ReadContents of an archive that must be one of app's, as it must be for a Fetch.
func ReadContentsOf(ctx context.Context, file, app string, limits Limits) (Contents, error) {
	c, err := readContents(ctx, file, app, limits)
	if err != nil {
		return Contents{}, &Error{Op: "inspect", Release: file, Err: err}
	}
	return c, nil
}

func readContents(ctx context.Context, file, app string, limits Limits) (Contents, error) {
	f, err := os.Open(file)
	if err != nil {
		return Contents{}, localError(file, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Contents{}, err
	}
	s := newContentsScan()
	if err := readArchive(ctx, f, info.Size(), limits, s); err != nil {
		return Contents{}, err
	}
	pkg, err := s.pkg.result(app)
	if err != nil {
		return Contents{}, err
	}
	return s.result(pkg), nil
}

func newContentsScan() *contentsScan {
	s := &contentsScan{apps: make(map[string]*AppContents), private: make(map[string][]string), bundled: make(map[string]bool)}
	s.c.scripts = make(map[string]int)
	return s
}

// contentsScan gathers contents from the entries as they pass.
type contentsScan struct {
	pkg     packageScan
	c       Contents
	apps    map[string]*AppContents // by folder of lib
	private map[string][]string     // by folder: path and digest of files in priv
	bundled map[string]bool         // names of libraries
	sys     []byte
	relup   []byte
}

// visit implements archiveVisitor. Only what is looked into is held in memory; a body that is a file is not even that for
// natives.
func (s *contentsScan) visit(e entry, body io.Reader) error {
	s.pkg.see(e)
	if !e.FileInfo().Mode().IsRegular() {
		return nil
	}
	magic := make([]byte, len(elf.ELFMAG))
	n, err := io.ReadFull(body, magic)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	file, onDisk := body.(*os.File)
	native := isELF(magic[:n])
	body = io.MultiReader(bytes.NewReader(magic[:n]), body)
	var b []byte
	var digest string
	if s.pkg.wants(e) || readsWhole(e.path) || native && !onDisk {
		if b, err = io.ReadAll(io.LimitReader(body, maxContents+1)); err != nil {
			return err
		}
		if len(b) > maxContents {
			return fmt.Errorf("%w: %s is longer than %d bytes", ErrLimit, e.path, maxContents)
		}
		digest = sum(b)
	} else {
		h := sha256.New()
		if _, err := io.Copy(h, body); err != nil {
			return err
		}
		digest = hex.EncodeToString(h.Sum(nil))[:32]
	}
	if s.pkg.wants(e) {
		s.pkg.keep(e, b)
	}
	switch {
	case native && onDisk:
		s.native(e.path, digest, file)
	case native:
		s.native(e.path, digest, bytes.NewReader(b))
	}
	parts := strings.Split(e.path, "/")
	if parts[0] == shipmentDir && len(parts) > 2 {
		parts[0] = "lib"
	}
	switch {
	case parts[0] == "lib" && len(parts) > 3:
		s.inApp(parts[1], parts[2:], e.path, digest, b)
	case parts[0] == "releases" && path.Base(e.path) == "sys.config":
		s.sys = b
	case parts[0] == "releases" && path.Base(e.path) == "relup":
		s.relup = b
	case parts[0] == "releases" && path.Base(e.path) == "runtime.exs":
		s.c.Runtime = digest
	case parts[0] == "releases" && path.Base(e.path) == "jellyfish.json":
		s.c.Jelly = true
	case e.path == "releases/COOKIE":
		s.c.Cookie = true
	case parts[0] == "bin" || strings.HasPrefix(parts[0], "erts-") && len(parts) > 2 && parts[1] == "bin":
		s.c.scripts[e.path] = int(e.FileInfo().Mode() & fs.ModePerm)
	}
	return nil
}

// readsWhole says whether a file is one that is looked into.
func readsWhole(name string) bool {
	switch path.Ext(name) {
	case ".beam", ".app", ".appup":
		return true
	}
	base := path.Base(name)
	return strings.HasPrefix(name, "releases/") && (base == "sys.config" || base == "relup")
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])[:32]
}

func (s *contentsScan) native(name, digest string, r io.ReaderAt) {
	n, err := parseNative(name, digest, r)
	if err != nil {
		s.c.Warn = append(s.c.Warn, err.Error())
		return
	}
	s.c.Natives = append(s.c.Natives, n)
	s.bundled[path.Base(name)] = true
}

// inApp looks at a file in the folder of an application; rest is its path there.
func (s *contentsScan) inApp(folder string, rest []string, name, digest string, b []byte) {
	a := s.apps[folder]
	if a == nil {
		a = &AppContents{Name: folder}
		if i := strings.LastIndexByte(folder, '-'); i > 0 && i+1 < len(folder) && folder[i+1] >= '0' && folder[i+1] <= '9' {
			a.Name, a.Version = folder[:i], folder[i+1:]
		}
		s.apps[folder] = a
	}
	last := rest[len(rest)-1]
	switch {
	case strings.HasSuffix(last, ".appup") && (rest[0] == "ebin" || rest[0] == "priv"):
		u, err := parseAppup(name, b)
		if err != nil {
			s.c.Warn = append(s.c.Warn, err.Error())
			return
		}
		if a.Appup == nil || rest[0] == "ebin" {
			a.Appup = &u
		}
	case rest[0] == "ebin" && strings.HasSuffix(last, ".beam"):
		m, err := ParseModule(b)
		if err != nil {
			s.c.Warn = append(s.c.Warn, fmt.Sprintf("%s: %v", name, err))
			return
		}
		a.Modules = append(a.Modules, m)
	case rest[0] == "ebin" && strings.HasSuffix(last, ".app") && a.Version == "":
		a.Version = appVersion(name, b)
	case rest[0] == "priv":
		s.private[folder] = append(s.private[folder], strings.Join(rest, "/")+" "+digest)
	}
}

func (s *contentsScan) result(pkg Package) Contents {
	c := s.c
	c.Package = pkg
	c.OTP = otpOf(pkg.ERTS)
	for folder, a := range s.apps {
		if pkg.Language != Gleam && !slices.Contains(pkg.Applications, Application{a.Name, a.Version}) {
			continue // of another release in the same archive, or nobody's
		}
		slices.SortFunc(a.Modules, func(x, y Module) int { return strings.Compare(x.Name, y.Name) })
		if files := s.private[folder]; len(files) > 0 {
			slices.Sort(files)
			a.Private = sum([]byte(strings.Join(files, "\n")))
		}
		if a.Name == "elixir" {
			c.Elixir = a.Version
		}
		c.Apps = append(c.Apps, *a)
	}
	slices.SortFunc(c.Apps, func(x, y AppContents) int { return strings.Compare(x.Name, y.Name) })
	slices.SortFunc(c.Natives, func(x, y Native) int { return strings.Compare(x.Path, y.Path) })
	c.readSysConfig(s.sys)
	c.readRelup(s.relup)
	for name, mode := range c.scripts {
		if mode&0o111 == 0 && path.Base(name) != "nodetool" && !strings.HasSuffix(name, ".escript") && !strings.HasSuffix(name, ".boot") && !strings.HasSuffix(name, ".dat") {
			c.Warn = append(c.Warn, fmt.Sprintf("%s is not executable (mode %#o)", name, mode))
		}
	}
	if c.Cookie {
		c.Warn = append(c.Warn, "a cookie is shipped (releases/COOKIE): whoever has the archive has it; the daemon gives its own")
	}
	slices.Sort(c.Warn)
	return c
}

// otpOf gives the release of OTP that has this version of ERTS: 13.2 is OTP 25.
func otpOf(erts string) string {
	var major int
	if _, err := fmt.Sscanf(erts, "%d.", &major); err != nil || major < 9 {
		return ""
	}
	return fmt.Sprint(major + 12)
}

// appVersion reads {application, Name, [{vsn, "1.0"}, …]}.
func appVersion(name string, b []byte) string {
	terms, err := etf.Consult(name, b)
	if err != nil || len(terms) != 1 {
		return ""
	}
	t, ok := terms[0].(etf.Tuple)
	if !ok || len(t) != 3 {
		return ""
	}
	var props struct {
		Vsn string
	}
	if etf.UnmarshalTerm(t[2], &props) != nil {
		return ""
	}
	return props.Vsn
}

// readSysConfig reads the keys of [{App, [{Key, Value}]}], and the providers that Elixir keeps there.
func (c *Contents) readSysConfig(b []byte) {
	if b == nil {
		return
	}
	terms, err := etf.Consult("sys.config", b)
	if err != nil || len(terms) != 1 {
		c.Warn = append(c.Warn, fmt.Sprintf("sys.config cannot be read: %v", err))
		return
	}
	apps, _ := terms[0].(etf.List)
	for _, e := range apps {
		pair, ok := e.(etf.Tuple)
		if !ok || len(pair) != 2 {
			continue // the name of another file
		}
		app, _ := pair[0].(etf.Atom)
		keys, _ := pair[1].(etf.List)
		for _, k := range keys {
			kv, ok := k.(etf.Tuple)
			if !ok || len(kv) != 2 {
				continue
			}
			key, _ := kv[0].(etf.Atom)
			if app == "elixir" && key == "config_provider_init" || app == "kernel" && key == "config_provider_init" {
				c.Loaders = providers(kv[1])
				continue
			}
			c.Config = append(c.Config, ConfigEntry{App: string(app), Key: string(key), Digest: sum([]byte(etf.Format(kv[1])))})
		}
	}
	slices.SortFunc(c.Config, func(x, y ConfigEntry) int { return strings.Compare(x.App+" "+x.Key, y.App+" "+y.Key) })
}

// providers are the modules of %Config.Provider{providers: [{Module, Arg}]}.
func providers(t etf.Term) []string {
	var p struct {
		Providers etf.Term
	}
	if etf.UnmarshalTerm(t, &p) != nil {
		return nil
	}
	list, _ := p.Providers.(etf.List)
	var names []string
	for _, e := range list {
		if pair, ok := e.(etf.Tuple); ok && len(pair) == 2 {
			if m, ok := pair[0].(etf.Atom); ok {
				names = append(names, strings.TrimPrefix(string(m), "Elixir."))
			}
		}
	}
	return names
}

// readRelup reads {Vsn, [{From, Descr, Instructions}], …}.
func (c *Contents) readRelup(b []byte) {
	if b == nil {
		return
	}
	u, err := parseAppup("relup", b)
	if err != nil {
		c.Warn = append(c.Warn, err.Error())
		return
	}
	c.Relup = append([]string{}, u.upFrom()...)
}
