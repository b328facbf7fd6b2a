package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/release"
)

// preparation is one Prepare under way.
type preparation struct {
	Job
	f     *folder
	live  Live // some of it
	from  release.Package
	to    release.Package
	made  []string // paths in Root that were not there
	begun bool     // something may have changed
	told  bool     // release_handler was told of To by us
	out   Prepared
}

// Prepare puts the files of To into Root, makes its relup, works out its environment on the node and has release_handler
// check the lot. What runs is not touched. After an error all that it made is gone again.
//
// Errors: *Error.
func (j Job) Prepare(ctx context.Context) (Prepared, error) {
	if err := j.checkNames(); err != nil {
		return Prepared{}, j.fault("prepare", ErrNotPossible, "name", err)
	}
	if j.Language == release.Gleam {
		return Prepared{}, j.fault("prepare", ErrNotPossible, "gleam",
			errors.New("a Gleam shipment is no OTP release: it has no boot script that release_handler could follow"))
	}
	f, err := openFolder(j.Root)
	if err != nil {
		return Prepared{}, j.filed("prepare", err)
	}
	p := preparation{Job: j, f: f}
	err = p.run(ctx)
	if err != nil && p.begun {
		p.undo()
	}
	if closeErr := f.close(); err == nil && closeErr != nil {
		err = closeErr
	}
	if err != nil {
		return Prepared{}, j.asError("prepare", err)
	}
	return p.out, nil
}

func (p *preparation) run(ctx context.Context) error {
	state, _, err := p.look(ctx, 0)
	if err != nil {
		return err
	}
	if state.Installing != nil {
		return p.fault("prepare", ErrTransient, "busy", errors.New("an installation is under way"))
	}
	if state.Running == p.To {
		p.out.Running = true
		return nil
	}
	if state.Running != p.From {
		return p.fault("prepare", ErrNotPossible, "running", fmt.Errorf("it runs %q, not %q", state.Running, p.From))
	}
	if err := p.compare(ctx); err != nil {
		return err
	}
	p.begun = true
	if err := p.forget(ctx, state); err != nil {
		return err
	}
	if err := p.libraries(ctx, state.Permanent); err != nil {
		return err
	}
	r, err := p.release(ctx)
	if err != nil {
		return err
	}
	if err := p.f.sync(); err != nil {
		return err
	}
	if err := p.tell(ctx, state); err != nil {
		return err
	}
	if p.out.Env, err = p.resolve(ctx, p.f, p.From, p.To); err != nil {
		return err
	}
	return p.checks(ctx, r)
}

// compare reads both .rel files and refuses what only a restart can change.
func (p *preparation) compare(ctx context.Context) error {
	rel := path.Join(versionDir(p.To), p.Name+".rel")
	b, err := os.ReadFile(filepath.Join(p.New, filepath.FromSlash(rel)))
	if err != nil {
		return err
	}
	if p.to, err = release.ReadRel(rel, b); err != nil {
		return p.fault("prepare", ErrNotPossible, "rel", err)
	}
	rel = path.Join(versionDir(p.From), p.Name+".rel")
	if b, err = p.f.read(rel); err != nil {
		return err
	}
	if p.from, err = release.ReadRel(rel, b); err != nil {
		return p.fault("prepare", ErrNotPossible, "rel", err)
	}
	if p.to.Version != p.To || p.from.Version != p.From {
		return p.fault("prepare", ErrNotPossible, "rel", fmt.Errorf("the .rel files are of %q and %q", p.from.Version, p.to.Version))
	}
	v, err := evaluate(ctx, p.Node, "facts")
	if err != nil {
		return p.called("prepare", "facts", err)
	}
	t, ok := v.(etf.Tuple)
	if !ok || len(t) != 8 {
		return p.fault("prepare", ErrNotPossible, "facts", fmt.Errorf("an answer that is not understood: %s", brief(v)))
	}
	root, erts := text(t[0]), text(t[1])
	p.live.Systools = t[4] == etf.Term(etf.Atom("true"))
	if !sameFolder(root, p.Root) {
		return p.fault("prepare", ErrNotPossible, "root", fmt.Errorf("the BEAM runs from %s, not from the release's folder: "+
			"a release without its own ERTS cannot be upgraded while it runs", root))
	}
	if p.to.ERTS != erts {
		return p.fault("prepare", ErrNotPossible, "erts", fmt.Errorf("the new release has ERTS %s, %s runs: that needs a restart", p.to.ERTS, erts))
	}
	for _, name := range []string{"kernel", "stdlib"} {
		was, is := versionOf(p.from, name), versionOf(p.to, name)
		if was != is {
			return p.fault("prepare", ErrNotPossible, "erts", fmt.Errorf("%s changes from %s to %s: that needs a restart", name, was, is))
		}
	}
	return nil
}

func sameFolder(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

func versionOf(pkg release.Package, app string) string {
	i := slices.IndexFunc(pkg.Applications, func(a release.Application) bool { return a.Name == app })
	if i < 0 {
		return ""
	}
	return pkg.Applications[i].Version
}

// forget removes what is left of other upgrades: all releases but From, with the files that only they have, and what
// release_handler knows of To, which may be another content under the same version.
func (p *preparation) forget(ctx context.Context, state State) error {
	for _, r := range state.Releases {
		if r.Version == p.From || r.Status == "permanent" || r.Status == "current" {
			continue
		}
		if err := p.setRemoved(ctx, r.Version); err != nil {
			return err
		}
	}
	keep := []string{p.From, state.Permanent}
	versions, err := p.f.names("releases")
	if err != nil {
		return err
	}
	for _, v := range versions {
		if !slices.Contains(keep, v) && p.f.exists(versionDir(v)+"/start.boot") {
			if err := p.removeRelease(p.f, v, keep); err != nil {
				return err
			}
		}
	}
	return nil
}

func (j Job) setRemoved(ctx context.Context, version string) error {
	v, err := j.Node.Call(ctx, "release_handler", "set_removed", erlangString(version))
	if err != nil {
		return j.called("", "set_removed", err)
	}
	if v != etf.Term(etf.Atom("ok")) && !strings.Contains(etf.Format(v), "no_such_release") {
		return j.fault("", ErrNotPossible, "releases", fmt.Errorf("release_handler does not forget %s: %s", version, brief(v)))
	}
	return nil
}

// libraries brings in the applications' folders that From does not have, with their appups where systools looks for
// them. What a Prepare that was killed has left under such a name may be of another archive, and is replaced.
func (p *preparation) libraries(ctx context.Context, permanent string) error {
	kept, err := p.librariesOf(p.f, []string{p.From, permanent})
	if err != nil {
		return err
	}
	for _, a := range p.to.Applications {
		name := libDir(a.Name, a.Version)
		from := filepath.Join(p.New, filepath.FromSlash(name))
		if kept[name] && p.f.exists(name) {
			continue
		}
		if _, err := os.Stat(from); err != nil {
			return err
		}
		stage, err := p.f.workshop()
		if err != nil {
			return err
		}
		to := filepath.Join(stage, path.Base(name))
		if err := release.CopyPart(ctx, p.New, name, to, p.Owner); err != nil {
			return err
		}
		if appup := findAppup(from, a.Name); appup != "" {
			b, err := os.ReadFile(appup)
			if err != nil {
				return err
			}
			if err := p.put(filepath.Join(to, "ebin", a.Name+".appup"), b, 0o644); err != nil {
				return err
			}
		}
		p.made = append(p.made, name)
		if err := p.f.moveIn(to, name); err != nil {
			return err
		}
	}
	return nil
}

// release brings in releases/TO with the relup and the sys.config that release_handler wants.
func (p *preparation) release(ctx context.Context) (relup, error) {
	name := versionDir(p.To)
	stage, err := p.f.workshop()
	if err != nil {
		return relup{}, err
	}
	to := filepath.Join(stage, "version")
	if err := release.CopyPart(ctx, p.New, name, to, p.Owner); err != nil {
		return relup{}, err
	}
	if !isFile(filepath.Join(to, "start.boot")) {
		b, err := os.ReadFile(filepath.Join(to, p.Name+".boot"))
		if err != nil {
			return relup{}, err
		}
		if err := p.put(filepath.Join(to, "start.boot"), b, 0o644); err != nil {
			return relup{}, err
		}
	}
	rel, err := os.ReadFile(filepath.Join(to, p.Name+".rel"))
	if err != nil {
		return relup{}, err
	}
	named := filepath.Join(stage, "named.rel")
	if err := p.put(named, rel, 0o644); err != nil {
		return relup{}, err
	}
	p.made = append(p.made, name, p.namedRel())
	if err := p.f.moveIn(to, name); err != nil {
		return relup{}, err
	}
	if err := p.f.replace(named, p.namedRel()); err != nil {
		return relup{}, err
	}
	config, made, err := p.config(ctx, p.f, p.To)
	if err != nil {
		return relup{}, err
	}
	if made && p.f.exists(name+"/sys.config.src") {
		// its start script writes it before each start; release_handler reads it now
		if err := p.write(name+"/sys.config", config, 0o640); err != nil {
			return relup{}, err
		}
	}
	r, err := p.instructions(ctx)
	if err != nil {
		return relup{}, err
	}
	return r, p.write(name+"/relup", r.file(p.Job), 0o644)
}

func (j Job) namedRel() string { return "releases/" + j.Name + "-" + j.To + ".rel" }

// write makes a file in Root.
func (p *preparation) write(name string, content []byte, mode fs.FileMode) error {
	stage, err := p.f.workshop()
	if err != nil {
		return err
	}
	part := filepath.Join(stage, "file")
	if err := p.put(part, content, mode); err != nil {
		return err
	}
	return p.f.replace(part, name)
}

// instructions finds the relup, or has it made.
func (p *preparation) instructions(ctx context.Context) (relup, error) {
	var r relup
	shipped, err := p.f.read(versionDir(p.To) + "/relup")
	if errors.Is(err, fs.ErrNotExist) {
		if b, err2 := os.ReadFile(filepath.Join(p.New, "relup")); err2 == nil { // where rebar3 leaves it
			shipped, err = b, nil
		}
	}
	ok := false
	if err == nil {
		if r, ok, err = p.shippedRelup(shipped); err != nil {
			return relup{}, p.fault("prepare", ErrNotPossible, "relup", err)
		}
	}
	if !ok {
		if r, err = p.makeRelup(ctx); err != nil {
			return relup{}, err
		}
	}
	if err := r.check(); err != nil {
		return relup{}, p.fault("prepare", ErrNotPossible, "restart", err)
	}
	p.out.Relup, p.out.Steps = r.source, r.steps()
	p.out.CanRevert, p.out.WhyNot = r.down != nil, r.whyNotDown
	return r, nil
}

// tell makes the new release known to release_handler, as unpacked.
func (p *preparation) tell(ctx context.Context, state State) error {
	if state.Permanent == p.To {
		return nil // it was committed and left again: release_handler keeps its permanent release
	}
	rel := filepath.Join(p.Root, versionDir(p.To), p.Name+".rel")
	p.told = true
	v, err := p.Node.Call(ctx, "release_handler", "set_unpacked", erlangString(rel), etf.List{})
	if err != nil {
		return p.called("prepare", "set_unpacked", err)
	}
	if t, ok := v.(etf.Tuple); !ok || len(t) != 2 || t[0] != etf.Term(etf.Atom("ok")) {
		return p.fault("prepare", ErrNotPossible, "releases", fmt.Errorf("release_handler does not take it: %s%s", brief(v), p.advice(v)))
	}
	return nil
}

func (p *preparation) advice(v etf.Term) string {
	if strings.Contains(etf.Format(v), "eacces") {
		return " (releases/RELEASES must be writable for the user that the BEAM runs as)"
	}
	return ""
}

// checks has release_handler check the new release and looks for processes in its way.
func (p *preparation) checks(ctx context.Context, r relup) error {
	v, err := p.Node.Call(ctx, "release_handler", "check_install_release", erlangString(p.To))
	if err != nil {
		return p.called("prepare", "check", err)
	}
	if t, ok := v.(etf.Tuple); !ok || len(t) == 0 || t[0] != etf.Term(etf.Atom("ok")) {
		if !strings.Contains(etf.Format(v), "{old_processes,") { // those are listed below, by name
			return p.fault("prepare", ErrNotPossible, "check", fmt.Errorf("release_handler refuses it: %s", brief(v)))
		}
	}
	suspended, touched := r.modules()
	if p.out.Lingering, err = killed(ctx, p.Node, touched); err != nil {
		return p.called("prepare", "processes", err)
	}
	if p.out.Unresponsive, err = probe(ctx, p.Node, suspended, probeWait); err != nil {
		return p.called("prepare", "processes", err)
	}
	p.warnings()
	return nil
}

// killed lists the processes in old code of modules that are about to be loaded again.
func killed(ctx context.Context, n Node, modules []string) ([]Lingerer, error) {
	all, err := inOldCode(ctx, n)
	var list []Lingerer
	for _, l := range all {
		if slices.ContainsFunc(l.Modules, func(m string) bool { return slices.Contains(modules, m) }) {
			l.Why = "is in code older than what runs; loading the new version kills it"
			list = append(list, l)
		}
	}
	return list, err
}

// warnings tells what the upgrade leaves as it is.
func (p *preparation) warnings() {
	same := func(name string) bool {
		was, err1 := p.f.read(versionDir(p.From) + "/" + name)
		is, err2 := p.f.read(versionDir(p.To) + "/" + name)
		return err1 != nil && err2 != nil || err1 == nil && err2 == nil && string(was) == string(is)
	}
	flags := "vm.args"
	if p.f.exists(versionDir(p.To) + "/vm.args.src") {
		flags = "vm.args.src" // of which the start script makes the other
	}
	if !same(flags) {
		p.out.Warnings = append(p.out.Warnings, "vm.args differs: its flags are those of the next start")
	}
	if !same("env.sh") {
		p.out.Warnings = append(p.out.Warnings, "env.sh differs: the environment of the process is that of the next start")
	}
}

// undo takes away what was made. Its own errors are not told: the next Prepare begins with the same.
func (p *preparation) undo() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if p.told {
		_ = p.setRemoved(ctx, p.To)
	}
	for _, name := range p.made {
		_ = p.f.remove(name)
	}
	_, _ = p.Node.Call(ctx, "erlang", "send", etf.Atom(keeper), etf.Atom("stop"))
}

// keeper is the registered name of the process on the node that holds what must outlive a call.
const keeper = "beamkeeper_upgrade"

func isFile(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.Mode().IsRegular()
}
