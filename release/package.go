package release

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/beamkeeper/beamkeeper/etf"
)

// Languages of a package, as the configuration calls them.
const (
	Elixir = "elixir" // mix release
	Erlang = "erlang" // relx, rebar3 release
	Gleam  = "gleam"  // gleam export erlang-shipment
)

// shipmentDir is the folder that an archive of a Gleam application has at its top.
const shipmentDir = "erlang-shipment"

// Package is what an archive says of itself.
type Package struct {
	Language     string        `json:"language"`
	Name         string        `json:"name"`
	Version      string        `json:"version"`
	ERTS         string        `json:"erts,omitempty"`         // version; none for a shipment
	IncludesERTS bool          `json:"includes_erts"`          // false: it runs on the host's
	Applications []Application `json:"applications,omitempty"` // of the .rel file, in its order; of a shipment, by name
	Files        int           `json:"files"`
	Bytes        int64         `json:"bytes"` // unpacked
}

// Application is an OTP application of a release.
type Application struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Inspect reads an archive whole, checks it as unpacking would, and says what it is.
//
// Errors: those of unpacking, and ErrBadRel for an archive that holds no release that can be started.
func Inspect(ctx context.Context, file string, limits Limits) (Package, error) {
	pkg, err := inspectFile(ctx, file, "", limits)
	if err != nil {
		return Package{}, &Error{Op: "inspect", Release: file, Err: err}
	}
	return pkg, nil
}

func inspectFile(ctx context.Context, file, app string, limits Limits) (Package, error) {
	f, err := os.Open(file)
	if err != nil {
		return Package{}, localError(file, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Package{}, err
	}
	if !info.Mode().IsRegular() {
		return Package{}, fmt.Errorf("%s: not a plain file", file)
	}
	var scan packageScan
	if err := readArchive(ctx, f, info.Size(), limits, &scan); err != nil {
		return Package{}, err
	}
	return scan.result(app)
}

const (
	maxKeptFile  = 1 << 20 // bytes of a .rel or .app file that are read
	maxKeptFiles = 2000    // a shipment has one .app for each package
	maxTops      = 64
)

// packageScan gathers what tells the kind of a package from the entries as they pass.
type packageScan struct {
	files int
	bytes int64
	tops  map[string]bool   // the first so many names at the top
	below map[string]bool   // second components of the names below a top that stands alone
	bins  map[string]bool   // bin/NAME
	erts  map[string]bool   // VERSION of folders erts-VERSION
	mix   bool              // releases/VERSION/elixir or env.sh, which mix writes
	mains map[string]bool   // packages of a shipment with a PACKAGE@@main module
	kept  map[string][]byte // start_erl.data, .rel files, .app files of a shipment
}

// visit implements archiveVisitor for those who only want to look.
func (s *packageScan) visit(e entry, body io.Reader) error {
	s.see(e)
	if !s.wants(e) {
		_, err := io.Copy(io.Discard, body)
		return err
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	s.keep(e, b)
	return nil
}

func (s *packageScan) see(e entry) {
	if s.tops == nil {
		s.tops, s.below = make(map[string]bool), make(map[string]bool)
		s.bins, s.mains = make(map[string]bool), make(map[string]bool)
		s.kept, s.erts = make(map[string][]byte), make(map[string]bool)
	}
	parts := strings.SplitN(e.path, "/", 5)
	addSome(s.tops, parts[0])
	if len(parts) > 1 {
		addSome(s.below, parts[1])
	}
	mode := e.FileInfo().Mode()
	if v, ok := strings.CutPrefix(parts[0], "erts-"); ok && len(parts) > 1 {
		addSome(s.erts, v)
	}
	if mode.IsDir() {
		return
	}
	s.files++
	s.bytes += e.Size
	last := parts[len(parts)-1]
	switch {
	case parts[0] == "bin" && len(parts) == 2:
		addSome(s.bins, last)
	case parts[0] == "releases" && len(parts) == 3 && (last == "elixir" || last == "env.sh"):
		s.mix = true
	case parts[0] == shipmentDir && len(parts) == 4 && last == parts[1]+"@@main.beam":
		addSome(s.mains, parts[1])
	}
}

func addSome(set map[string]bool, name string) {
	if len(set) < maxTops {
		set[name] = true
	}
}

// wants says whether keep needs the content of e.
func (s *packageScan) wants(e entry) bool {
	if !e.FileInfo().Mode().IsRegular() || e.Size > maxKeptFile || len(s.kept) >= maxKeptFiles {
		return false
	}
	parts := strings.Split(e.path, "/")
	last := parts[len(parts)-1]
	switch parts[0] {
	case "releases":
		return e.path == "releases/start_erl.data" || len(parts) <= 3 && strings.HasSuffix(last, ".rel")
	case shipmentDir:
		return len(parts) == 4 && parts[2] == "ebin" && last == parts[1]+".app"
	}
	return false
}

func (s *packageScan) keep(e entry, b []byte) { s.kept[e.path] = b }

// result says what was seen. With app, the package must be startable under that name.
func (s *packageScan) result(app string) (Package, error) {
	var pkg Package
	var err error
	switch {
	case s.tops[shipmentDir]:
		pkg, err = s.shipment(app)
	case s.tops["releases"]:
		pkg, err = s.otpRelease(app)
	default:
		err = s.noRelease()
	}
	pkg.Files, pkg.Bytes = s.files, s.bytes
	return pkg, err
}

func (s *packageScan) noRelease() error {
	if s.tops["entrypoint.sh"] {
		return fmt.Errorf("%w: a Gleam shipment without its folder; archive the folder %s itself", ErrBadRel, shipmentDir)
	}
	if len(s.tops) == 1 && (s.below["releases"] || s.below[shipmentDir]) {
		top := slices.Collect(maps.Keys(s.tops))[0]
		return fmt.Errorf("%w: all is below the folder %q; archive what is in it (tar -C %s -czf FILE .)", ErrBadRel, top, top)
	}
	return fmt.Errorf("%w: neither a folder releases (mix, relx) nor %s (Gleam) at its top", ErrBadRel, shipmentDir)
}

// otpRelease reads a release as mix and relx make it.
func (s *packageScan) otpRelease(app string) (Package, error) {
	pkg := Package{Language: Erlang, IncludesERTS: len(s.erts) > 0}
	if s.mix {
		pkg.Language = Elixir
	}
	erts, version := s.startErlData()
	file, rel, err := s.relFile(app, version)
	if err != nil {
		return pkg, err
	}
	pkg.Name, pkg.Version, pkg.ERTS, pkg.Applications = rel.name, rel.version, rel.erts, rel.applications
	if pkg.IncludesERTS && !s.erts[rel.erts] {
		return pkg, fmt.Errorf("%w: %s asks for ERTS %s, the archive has erts-%s", ErrBadRel, file, rel.erts,
			strings.Join(slices.Sorted(maps.Keys(s.erts)), ", erts-"))
	}
	if erts != "" && erts != rel.erts {
		return pkg, fmt.Errorf("%w: %s asks for ERTS %s, start_erl.data for %s", ErrBadRel, file, rel.erts, erts)
	}
	want := app
	if want == "" {
		want = pkg.Name
	}
	if len(s.bins) < maxTops && !s.bins[want] {
		return pkg, fmt.Errorf("%w: no bin/%s; the release is called %q, and an app must be called like its release",
			ErrBadRel, want, pkg.Name)
	}
	return pkg, nil
}

// startErlData is the ERTS version and the release version that the release boots by itself.
func (s *packageScan) startErlData() (erts, version string) {
	f := strings.Fields(string(s.kept["releases/start_erl.data"]))
	if len(f) != 2 {
		return "", ""
	}
	return f[0], f[1]
}

type relFile struct {
	name, version, erts string
	applications        []Application
}

// relFile finds the .rel file of the release that boots: of version, if that is known, and the app's, if there are several.
func (s *packageScan) relFile(app, version string) (string, relFile, error) {
	var bad error
	var file string
	var found relFile
	for _, name := range slices.Sorted(maps.Keys(s.kept)) {
		base := name[strings.LastIndexByte(name, '/')+1:]
		// Releases of OTP's own that relx and mix put beside.
		if !strings.HasSuffix(name, ".rel") || base == "start_clean.rel" || base == "no_dot_erlang.rel" {
			continue
		}
		rel, err := parseRel(name, s.kept[name])
		if err != nil {
			bad = err
			continue
		}
		if version != "" && rel.version != version {
			continue
		}
		if file == "" || rel.name == app && found.name != app {
			file, found = name, rel
		}
	}
	switch {
	case file != "":
		return file, found, nil
	case bad != nil:
		return "", relFile{}, bad
	case version != "":
		return "", relFile{}, fmt.Errorf("%w: start_erl.data names %s, but no releases/%s/NAME.rel describes it", ErrBadRel,
			quoteCut(version), version)
	}
	return "", relFile{}, fmt.Errorf("%w: no releases/VERSION/NAME.rel", ErrBadRel)
}

// parseRel reads {release, {Name, Vsn}, {erts, EVsn}, [{App, AppVsn} | {App, AppVsn, …}]}.
//
// Source: https://www.erlang.org/doc/apps/sasl/rel.html
func parseRel(name string, b []byte) (relFile, error) {
	bad := func(why string) (relFile, error) {
		return relFile{}, fmt.Errorf("%w: %s: %s", ErrBadRel, name, why)
	}
	terms, err := etf.Consult(name, b)
	if err != nil {
		return relFile{}, fmt.Errorf("%w: %w", ErrBadRel, err)
	}
	if len(terms) != 1 {
		return bad("not one term")
	}
	t, ok := terms[0].(etf.Tuple)
	if !ok || len(t) < 4 || t[0] != etf.Atom("release") {
		return bad("not a tuple {release, …}")
	}
	var r relFile
	if id, ok := t[1].(etf.Tuple); ok && len(id) == 2 {
		r.name, r.version = text(id[0]), text(id[1])
	}
	if erts, ok := t[2].(etf.Tuple); ok && len(erts) == 2 && erts[0] == etf.Atom("erts") {
		r.erts = text(erts[1])
	}
	if r.name == "" || r.version == "" || r.erts == "" {
		return bad("no name, version or erts")
	}
	list, _ := t[3].(etf.List)
	for _, a := range list {
		if a, ok := a.(etf.Tuple); ok && len(a) >= 2 {
			if name, ok := a[0].(etf.Atom); ok {
				r.applications = append(r.applications, Application{Name: string(name), Version: text(a[1])})
			}
		}
	}
	if len(r.applications) == 0 {
		return bad("no applications")
	}
	return r, nil
}

// text is an Erlang string or binary as a Go string; empty for other terms.
func text(t etf.Term) string {
	switch t := t.(type) {
	case etf.Charlist:
		return latin1(string(t))
	case etf.Binary:
		return string(t)
	case etf.List:
		var b strings.Builder
		for _, c := range t {
			r, ok := c.(int64)
			if !ok || r < 0 || r > 0x10ffff {
				return ""
			}
			b.WriteRune(rune(r))
		}
		return b.String()
	}
	return ""
}

func latin1(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

// shipment reads what gleam export erlang-shipment makes: a folder for each package, and in the application's own a
// module PACKAGE@@main.
func (s *packageScan) shipment(app string) (Package, error) {
	pkg := Package{Language: Gleam, Name: app}
	switch {
	case app == "" && len(s.mains) == 1:
		pkg.Name = slices.Collect(maps.Keys(s.mains))[0]
	case app == "" && len(s.mains) == 0:
		return pkg, fmt.Errorf("%w: no package in %s has a module PACKAGE@@main", ErrBadRel, shipmentDir)
	case app == "":
		return pkg, fmt.Errorf("%w: several packages in %s have a module PACKAGE@@main: %s", ErrBadRel, shipmentDir,
			strings.Join(slices.Sorted(maps.Keys(s.mains)), ", "))
	case !s.mains[app]:
		return pkg, fmt.Errorf("%w: no %s/%s/ebin/%s@@main.beam; an app must be called like its package", ErrBadRel,
			shipmentDir, app, app)
	}
	for _, name := range slices.Sorted(maps.Keys(s.kept)) {
		a, err := parseApp(name, s.kept[name])
		if err != nil {
			return pkg, err
		}
		pkg.Applications = append(pkg.Applications, a)
		if a.Name == pkg.Name {
			pkg.Version = a.Version
		}
	}
	if pkg.Version == "" {
		return pkg, fmt.Errorf("%w: no version in %s/%s/ebin/%s.app", ErrBadRel, shipmentDir, pkg.Name, pkg.Name)
	}
	return pkg, nil
}

// parseApp reads {application, Name, [{vsn, Vsn}, …]}.
//
// Source: https://www.erlang.org/doc/apps/kernel/app.html
func parseApp(name string, b []byte) (Application, error) {
	terms, err := etf.Consult(name, b)
	if err != nil {
		return Application{}, fmt.Errorf("%w: %w", ErrBadRel, err)
	}
	if len(terms) == 1 {
		if t, ok := terms[0].(etf.Tuple); ok && len(t) == 3 && t[0] == etf.Atom("application") {
			app, isAtom := t[1].(etf.Atom)
			list, _ := t[2].(etf.List)
			for _, p := range list {
				if p, ok := p.(etf.Tuple); ok && isAtom && len(p) == 2 && p[0] == etf.Atom("vsn") {
					return Application{Name: string(app), Version: text(p[1])}, nil
				}
			}
		}
	}
	return Application{}, fmt.Errorf("%w: %s: not {application, NAME, [{vsn, VERSION}, …]}", ErrBadRel, name)
}

// tee lets keep see a file that is read by someone else.
func (s *packageScan) tee(e entry, body io.Reader) (io.Reader, func()) {
	if !s.wants(e) {
		return body, func() {}
	}
	var b bytes.Buffer
	return io.TeeReader(body, &b), func() { s.keep(e, b.Bytes()) }
}
