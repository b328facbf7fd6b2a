package actors

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/release"
)

// foreseen is a world of one app at version 1.0.0, whose archives a test says.
func foreseen(t *testing.T, replicas int, change func(*AppSpec)) (*world, *shelved) {
	t.Helper()
	spec := app("shop", replicas)
	if change != nil {
		change(&spec)
	}
	w := newWorld(t, spec)
	archives := &shelved{contents: map[string]release.Contents{}}
	w.cfg.Archives = archives
	w.cfg.Host = func() release.Host { return release.Host{Machine: "amd64"} }
	w.cfg.Source.Bucket = w.bucket
	w.up()
	w.run("shop", "1.0.0")
	w.running("shop", "1.0.0", replicas)
	return w, archives
}

func (w *world) plan(r api.PlanRequest) api.Plan {
	w.t.Helper()
	r.App = "shop"
	p, err := w.sys.Plan(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// outline is what would be done, without the words.
func outline(p api.Plan) string {
	var list []string
	for _, st := range p.Steps {
		list = append(list, strings.TrimSuffix(st.Name+" "+st.Instance, " "))
	}
	return strings.Join(list, ", ")
}

// What the plan says is what is done then: the steps, one by one and in that order.
func TestPlan_SaysWhatIsDone(t *testing.T) {
	t.Parallel()
	for name, strategy := range map[string]Strategy{"one by one": {}, "two at a time": {MaxParallel: 2, MaxUnavailable: 1}} {
		for _, ports := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " ports ", ports), func(t *testing.T) {
				t.Parallel()
				w, _ := foreseen(t, 3, func(s *AppSpec) {
					s.Strategy = strategy
					s.Hooks = Hooks{BeforeDeploy: []Hook{{Run: []string{"/bin/true"}}}}
					if !ports {
						s.Ports = nil
					}
				})
				p := w.plan(api.PlanRequest{Version: "2.0.0"})
				if p.Verdict != release.Full || p.Kind != api.KindFull || p.From != "1.0.0" || p.To != "2.0.0" || len(p.Holds) != 0 || p.SHA256 != "sha-of-2.0.0" {
					t.Fatalf("plan %+v", p)
				}
				before := len(w.eventsOf(api.EventDeploymentStarted))
				if before != 1 {
					t.Errorf("%d deployments after a plan", before)
				}
				d := w.run("shop", "2.0.0")
				var moves []api.DeploymentStep
				for _, i := range d.Instances {
					for _, st := range i.Steps {
						if st.Name == stepStart {
							moves = append(moves, api.DeploymentStep{Name: stepStart, StartedAt: st.StartedAt})
						}
						switch st.Name {
						case stepStopOld:
							moves = append(moves, api.DeploymentStep{Name: stepStopOld + " " + i.Replaces, StartedAt: st.StartedAt})
						case stepStop: // of one that nothing replaces
							moves = append(moves, api.DeploymentStep{Name: stepStopOld + " " + i.Name, StartedAt: st.StartedAt})
						}
					}
				}
				want := []string{"fetch", "before_deploy"}
				got := []string{}
				for _, st := range p.Steps {
					got = append(got, strings.TrimSuffix(st.Name+" "+st.Instance, " "))
				}
				starts, stops := 0, map[string]bool{}
				for _, m := range moves {
					if m.Name == stepStart {
						starts++
					} else {
						stops[m.Name] = true
					}
				}
				if !slices.Equal(got[:2], want) || strings.Count(outline(p), stepStart) != starts || strings.Count(outline(p), stepStopOld) != len(stops) {
					t.Errorf("planned %q, done %+v", got, moves)
				}
				for stop := range stops {
					if !slices.Contains(got, stop) {
						t.Errorf("%s was done and not planned: %q", stop, got)
					}
				}
				if strategy.MaxParallel == 0 { // one after the other, so that times tell the order
					slices.SortStableFunc(moves, func(a, b api.DeploymentStep) int { return a.StartedAt.Compare(b.StartedAt.Time) })
					for n, m := range moves {
						if got[2+n] != m.Name {
							t.Errorf("step %d was %s, planned %s", n, m.Name, got[2+n])
						}
					}
				}
			})
		}
	}
}

func TestPlan_Verdicts(t *testing.T) {
	t.Parallel()
	w, archives := foreseen(t, 1, nil)
	archives.contents["6.0.0"] = elsewhere("6.0.0")
	other := plainContents("7.0.0")
	other.Name = "blog"
	archives.contents["7.0.0"] = other
	twin := plainContents("1.0.0")
	for _, c := range []struct{ version, verdict, kind, reason string }{
		{"1.0.0", release.Same, "", ""},
		{"2.0.0", release.Full, api.KindFull, "shop 1.0.0 → 2.0.0 has no appup"},
		{"6.0.0", release.Refused, "", "is for s390x, this host is amd64"},
		{"7.0.0", release.Refused, "", `it is a release of "blog", not of "shop"`},
	} {
		p := w.plan(api.PlanRequest{Version: c.version})
		if p.Verdict != c.verdict || p.Kind != c.kind || (c.reason == "") != (len(p.Reasons) == 0) || c.reason != "" && !strings.Contains(p.Reasons[0].What, c.reason) {
			t.Errorf("%s: %s %q %+v", c.version, p.Verdict, p.Kind, p.Reasons)
		}
		if (c.kind == "") != (len(p.Steps) == 0) {
			t.Errorf("%s: steps %s", c.version, outline(p))
		}
	}
	p := w.plan(api.PlanRequest{Version: "2.0.0"})
	var d release.Comparison
	if err := json.Unmarshal(p.Changes, &d); err != nil || len(d.Apps) != 1 || d.Apps[0].Changed[0] != "shop" {
		t.Errorf("changes %s, %v", p.Changes, err)
	}
	if len(p.Instances) != 1 || p.Instances[0].Version != "1.0.0" || p.Instances[0].Error == "" { // no BEAM answers here
		t.Errorf("instances %+v", p.Instances)
	}

	// The bucket's word, an archive that does not unpack, one that is not there.
	if _, err := w.sys.Plan(t.Context(), api.PlanRequest{App: "shop"}); !isCode(err, api.CodeNotFound) {
		t.Errorf("without a current.json: %v", err)
	}
	w.publish("shop", "1.0.0")
	w.until("the word of the bucket", func() bool { c, ok := w.sys.board.change("shop"); return ok && c.Err == nil })
	if p := w.plan(api.PlanRequest{}); p.Verdict != release.Same {
		t.Errorf("of current.json: %+v", p)
	}
	w.shelf.set(func() { w.shelf.fails = &release.Error{Op: "unpack", Release: "shop", Err: release.ErrBadArchive} })
	if p := w.plan(api.PlanRequest{Version: "2.0.0"}); p.Verdict != release.Refused || !strings.Contains(p.Reasons[0].What, "damaged archive") {
		t.Errorf("a damaged one: %+v", p)
	}
	w.shelf.set(func() { w.shelf.fails = &release.Error{Op: "fetch", Release: "shop", Err: release.ErrNotFound} })
	if _, err := w.sys.Plan(t.Context(), api.PlanRequest{App: "shop", Version: "8.0.0"}); !isCode(err, api.CodeNotFound) {
		t.Errorf("one that is not there: %v", err)
	}

	// Files.
	file := func(c release.Contents, sha string) *api.PlanFile {
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return &api.PlanFile{Name: "f.tar.gz", SHA256: sha, Contents: b}
	}
	for _, c := range []struct {
		file    *api.PlanFile
		verdict string
		first   string
	}{
		{file(plainContents("2.0.0"), "abc"), release.Full, "publish"},
		{file(twin, "sha-of-1.0.0"), release.Same, ""},
		{file(twin, "of another"), release.Full, "publish"},
		{file(other, "abc"), release.Refused, ""},
		{&api.PlanFile{Name: "f.tar.gz", Broken: "it is cut off"}, release.Refused, ""},
	} {
		p := w.plan(api.PlanRequest{File: c.file})
		if p.Verdict != c.verdict || p.File != "f.tar.gz" || !strings.HasPrefix(outline(p), c.first) {
			t.Errorf("%s: %+v", c.verdict, p)
		}
	}
	if _, err := w.sys.Plan(t.Context(), api.PlanRequest{App: "shop", File: &api.PlanFile{Name: "f", Contents: []byte(`[]`)}}); !isCode(err, api.CodeUsage) {
		t.Errorf("nonsense: %v", err)
	}
	if _, err := w.sys.Plan(t.Context(), api.PlanRequest{App: "nope"}); !isCode(err, api.CodeNotFound) {
		t.Errorf("an unknown app: %v", err)
	}
}

func isCode(err error, code api.Code) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Code == code
}

func TestPlan_Holds(t *testing.T) {
	t.Parallel()
	clock := &wallClock{}
	clock.set("2026-11-20T12:00:00Z")
	w, _ := withWindow(t)
	w.cfg.Archives, w.cfg.Clock = &shelved{}, clock.now
	w.up()
	w.run("shop", "1.0.0")
	ctx := t.Context()
	holds := func(version string) string {
		t.Helper()
		p := w.plan(api.PlanRequest{Version: version})
		var list []string
		for _, h := range p.Holds {
			if !h.Manual || !h.Automatic {
				t.Errorf("hold %+v", h)
			}
			list = append(list, h.What)
		}
		// The daemon does as it says.
		_, err := w.sys.Deploy(ctx, api.DeployRequest{App: "shop", Version: version})
		if p.Kind != "" && (err != nil) != (len(list) > 0) {
			t.Errorf("holds %q, deploy says %v", list, err)
		}
		return strings.Join(list, "; ")
	}
	want := func(version, part string) {
		t.Helper()
		if got := holds(version); !strings.Contains(got, part) || part == "" && got != "" {
			t.Errorf("%s is held by %q, want %q", version, got, part)
		}
	}
	clock.set("2026-11-21T12:00:00Z")
	want("2.0.0", "until Mon 2026-11-23 09:00 CET")
	want("1.0.0", "")
	clock.set("2026-11-20T12:00:00Z")
	if err := w.sys.Freeze(ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	want("2.0.0", "frozen")
	if err := w.sys.Unfreeze(ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.sys.Pin(ctx, "shop", api.VersionRequest{Version: "1.0.0"}); err != nil {
		t.Fatal(err)
	}
	want("2.0.0", "pinned to version 1.0.0")
	if err := w.sys.Unpin(ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	if err := w.sys.recordApp("shop", func(a *state.App, _ func(api.Event)) {
		a.Haunt(api.Ghost{Version: "3.0.0", SHA256: "sha-of-3.0.0", At: api.Time{Time: time.Now()}, Reason: "it was sick"})
	}); err != nil {
		t.Fatal(err)
	}
	want("3.0.0", "is a ghost since")
	if err := w.sys.Stop(ctx, api.Target{App: "shop"}); err != nil {
		t.Fatal(err)
	}
	want("2.0.0", "shop is stopped")
	p := w.plan(api.PlanRequest{Version: "2.0.0", Kind: api.KindHot})
	if last := p.Holds[len(p.Holds)-1]; last.Automatic || !last.Manual || !strings.Contains(last.What, "cannot be") {
		t.Errorf("--hot: %+v", p.Holds)
	}
}
