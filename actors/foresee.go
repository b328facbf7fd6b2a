package actors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/release"
)

// foresight is a plan in the making. It is made beside the actors: nothing waits for it, and it changes nothing but that the
// release is fetched to this host.
type foresight struct {
	sys  *System
	m    *manager // for its questions; nobody's actor
	p    picture
	rel  state.Release // that is planned for
	here bool          // its archive was on this host already

	from, to *release.Contents // nil: not known
	api.Plan
}

// Plan implements api.Planner.
func (s *System) Plan(ctx context.Context, r api.PlanRequest) (api.Plan, error) {
	e, ok := s.roster.find(r.App)
	switch {
	case !ok:
		return api.Plan{}, s.unknownApp(r.App)
	case e.leaving:
		return api.Plan{}, api.Errorf(api.CodeRefused, "app %s is being removed", r.App)
	case s.cfg.Archives == nil:
		return api.Plan{}, api.Errorf(api.CodeRefused, "this daemon cannot look into releases")
	}
	f := foresight{sys: s, m: &manager{sys: s, spec: e.spec, self: managerActor(e.spec.Name)}}
	f.Plan = api.Plan{App: r.App, Reasons: []api.PlanReason{}, Holds: []api.PlanHold{}, Steps: []api.PlanStep{}, Instances: []api.PlanInstance{}}
	if err := f.make(ctx, r); err != nil {
		return api.Plan{}, asAPI(err)
	}
	return f.Plan, nil
}

func (f *foresight) make(ctx context.Context, r api.PlanRequest) (err error) {
	if f.p, err = f.m.look(); err != nil {
		return err
	}
	f.From = f.p.app.Settled.Version
	broken, err := f.find(ctx, r)
	if err != nil {
		return err
	}
	f.compare(ctx, broken)
	f.live(ctx)
	f.decide(r)
	f.holds(r)
	f.steps()
	return nil
}

// find finds what is planned for. Broken is why its archive cannot be used by anybody.
func (f *foresight) find(ctx context.Context, r api.PlanRequest) (broken, err error) {
	if r.File != nil {
		return f.file(*r.File)
	}
	if f.rel, err = f.m.askedFor(f.p.app, r.Version); err != nil {
		return nil, err
	}
	f.To, f.SHA256 = f.rel.Version, f.rel.SHA256
	stored, err := f.sys.cfg.Releases.Fetch(ctx, f.App, currentOf(f.rel))
	switch {
	case err != nil && refused(err):
		return err, nil
	case errors.Is(err, release.ErrNotFound):
		e := api.Errorf(api.CodeNotFound, "%v", err)
		e.Hint = fmt.Sprintf("publish it (beamkeeper publish %s FILE), or name the file", f.App)
		return nil, e
	case err != nil:
		return nil, err
	}
	f.here = len(stored.Steps) == 0
	f.SHA256, f.rel.SHA256 = stored.SHA256, stored.SHA256
	c, err := f.sys.cfg.Archives.Contents(ctx, stored)
	if err != nil {
		return nil, err
	}
	f.to = &c
	return nil, nil
}

// file takes an archive that the caller has read.
func (f *foresight) file(file api.PlanFile) (broken, err error) {
	f.File, f.SHA256 = file.Name, file.SHA256
	if file.Broken != "" {
		return errors.New(file.Broken), nil
	}
	var c release.Contents
	if err := json.Unmarshal(file.Contents, &c); err != nil || c.Version == "" {
		return nil, api.Errorf(api.CodeUsage, "what is in %q is not what release inspect says of an archive: %v", file.Name, err)
	}
	if err := release.CheckVersion(c.Version); err != nil {
		return err, nil
	}
	f.to = &c
	f.To, f.rel = c.Version, state.Release{Version: c.Version, SHA256: file.SHA256}
	return nil, nil
}

// askedFor is the release that a deployment to version would bring; of what current.json names with an empty one.
func (m *manager) askedFor(a state.App, version string) (state.Release, error) {
	if version != "" {
		return m.known(a, version)
	}
	c, ok := m.sys.board.change(m.spec.Name)
	if !ok || c.Err != nil {
		e := api.Errorf(api.CodeNotFound, "the bucket names no version of %s", m.spec.Name)
		if c.Err != nil {
			e.Message += ": " + c.Err.Error()
		}
		e.Hint = fmt.Sprintf("publish one (beamkeeper publish %s FILE), or name a version or a file", m.spec.Name)
		return state.Release{}, e
	}
	return published(c), nil
}

// currentOf says of a release what current.json would.
func currentOf(rel state.Release) release.Current {
	return release.Current{
		Version: rel.Version, Hash: rel.Hash, SHA256: rel.SHA256, PreCommands: rel.PreCommands,
		Signature: rel.Signature, PublishedAt: rel.PublishedAt,
	}
}

// compare says how the release can follow the one there is, by what is in both.
func (f *foresight) compare(ctx context.Context, broken error) {
	if broken != nil {
		f.refuse(release.Reason{What: broken.Error(), Remedy: "publish it again, whole"})
		return
	}
	if now := f.p.app.Settled; now.Version != "" {
		stored, err := f.sys.cfg.Archives.Find(f.App, now.Version, now.SHA256)
		if err == nil {
			c, failed := f.sys.cfg.Archives.Contents(ctx, stored)
			if err = failed; err == nil {
				f.from = &c
			}
		}
		if err != nil {
			f.Notes = append(f.Notes, fmt.Sprintf("the release that runs cannot be looked into: %v", err))
		}
	}
	if f.to.Language != release.Gleam && f.to.Name != f.App {
		f.refuse(release.Reason{What: fmt.Sprintf("it is a release of %q, not of %q", f.to.Name, f.App), Remedy: "publish it under its own name"})
		return
	}
	v := release.Judge(f.from, *f.to, f.sys.host())
	f.Verdict, f.Notes = v.Verdict, append(f.Notes, v.Notes...)
	for _, r := range v.Reasons {
		f.Reasons = append(f.Reasons, api.PlanReason(r))
	}
	if f.from != nil {
		f.Changes, _ = json.Marshal(release.Compare(*f.from, *f.to)) // strings and numbers only
	}
}

func (f *foresight) refuse(r release.Reason) {
	f.Verdict = release.Refused
	f.Reasons = append(f.Reasons, api.PlanReason(r))
}

// against adds what stops HOT.
func (f *foresight) against(remedy, format string, args ...any) {
	f.Reasons = append(f.Reasons, api.PlanReason{What: fmt.Sprintf(format, args...), Remedy: remedy})
	if f.Verdict == release.Hot {
		f.Verdict = release.Full
	}
}

// decide says what would be done.
func (f *foresight) decide(r api.PlanRequest) {
	w, _, _ := f.m.wanted(f.wished())
	plan := reconcile(w, f.m.observed(f.p, w.slots))
	there := same(f.rel, f.p.app.Settled) && f.p.app.Failed == "" && !plan.differs
	switch {
	case f.Verdict == release.Refused:
		return
	case there:
		f.Verdict, f.Reasons = release.Same, []api.PlanReason{}
		return
	case f.Verdict == release.Same && same(f.rel, f.p.app.Settled):
		f.Verdict = release.Full
		f.against("", "nothing that runs differs, but not every replica is there yet")
	case f.Verdict == release.Same:
		f.Verdict = release.Full
		f.against("", "nothing that runs differs, but it is another archive")
	}
	f.Kind = api.KindFull
	if f.Verdict != release.Hot || r.Kind == api.KindFull {
		return
	}
	if why := f.m.notHot(f.picture(), f.rel); why != "" {
		f.Notes = append(f.Notes, "it could be installed hot, and is not: "+why)
		return
	}
	f.Kind = api.KindHot
}

// wished is the app's record as it would be after the wish for the release.
func (f *foresight) wished() state.App {
	a := f.p.app
	a.Wish, a.Failed, a.Halted, a.Kind, a.Source = f.rel, "", "", "", state.SourceOperator
	return a
}

// picture is the app as it would be after the wish.
func (f *foresight) picture() picture {
	p := f.p
	p.app = f.wished()
	return p
}

// holds lists what keeps the deployment from being done now.
func (f *foresight) holds(r api.PlanRequest) {
	a, spec := f.p.app, f.m.spec
	hold := func(h api.PlanHold, format string, args ...any) {
		h.What = fmt.Sprintf(format, args...)
		f.Holds = append(f.Holds, h)
	}
	if f.Kind == "" {
		return
	}
	other := !same(f.rel, a.Settled)
	if a.Stopped {
		hold(api.PlanHold{Automatic: true, Manual: true, Remedy: "beamkeeper start " + f.App}, "%s is stopped", f.App)
	}
	if a.Frozen && other {
		hold(api.PlanHold{Automatic: true, Manual: true, Remedy: "beamkeeper unfreeze " + f.App}, "%s is frozen: no other version is deployed", f.App)
	}
	if a.Pinned && !same(f.rel, a.Wish) {
		hold(api.PlanHold{Automatic: true, Manual: true, Remedy: fmt.Sprintf("beamkeeper pin %s %s, or beamkeeper unpin %s", f.App, f.To, f.App)}, "%s is pinned to version %s", f.App, a.Wish.Version)
	}
	if g, ghost := a.Ghost(f.rel); ghost {
		hold(api.PlanHold{Automatic: true, Manual: true, Forcible: true, Remedy: "beamkeeper ghosts " + f.App}, "version %s is a ghost since %s: %s", g.Version, clock(g.At.Time), g.Reason)
	}
	if now := f.sys.now(); !spec.Windows.Open(now) && other {
		at, until := opens(spec, now)
		hold(api.PlanHold{Automatic: true, Manual: true, Forcible: true, Until: api.Time{Time: at.UTC()}}, "it is outside of the deploy window, %s (allow_deploys: %s)", until, spec.Windows)
	}
	if f.sys.unclaimed.of(f.App) {
		hold(api.PlanHold{Automatic: true, Manual: true, Remedy: "beamkeeper adopt"}, "instances of %s run that the daemon has no record of", f.App)
	}
	if d := f.p.dep; d != nil && !(d.To == f.To && same(f.rel, a.Wish)) {
		f.Notes = append(f.Notes, fmt.Sprintf("deployment %s to %s is under way; this one would take its place", d.ID, d.To))
	}
	if r.Kind == api.KindHot && f.Kind != api.KindHot {
		hold(api.PlanHold{Manual: true, Remedy: "deploy it without --hot"}, "a hot deployment was asked for, and it cannot be one")
	}
}

// clocked shortens a duration for people.
func clocked(d time.Duration) string { return d.Round(time.Millisecond).String() }
