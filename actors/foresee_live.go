package actors

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/internal/upgrade"
	"github.com/beamkeeper/beamkeeper/release"
)

// factsTimeout bounds what a node may take to tell of itself.
const factsTimeout = 20 * time.Second

// live asks the instances how they are, side by side, and takes from it what stops HOT.
func (f *foresight) live(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, factsTimeout)
	defer cancel()
	recs := bySlot(f.p.instances)
	list := make([]api.PlanInstance, len(recs))
	var asked sync.WaitGroup
	for i, rec := range recs {
		st := f.sys.instanceStatus(rec, time.Now())
		list[i] = api.PlanInstance{Name: rec.Name, State: st.State, Version: rec.Version}
		switch {
		case st.OSPID == 0:
			continue
		case !st.OTPConnected:
			list[i].Error = "it is not connected"
			continue
		}
		asked.Go(func() {
			l, err := upgrade.Facts(ctx, peerNode{f.sys.cfg.Cluster, f.sys.nodeName(rec.Name)})
			if err != nil {
				list[i].Error = err.Error()
				return
			}
			list[i].Live = planLive(l)
		})
	}
	asked.Wait()
	f.Instances = list
	if f.Verdict != release.Hot {
		return
	}
	for i, rec := range recs {
		if !rec.Leaving && !rec.Stopped {
			f.weigh(rec, list[i])
		}
	}
}

func planLive(l upgrade.Live) *api.PlanLive {
	p := &api.PlanLive{
		Version: l.Version, OTP: l.OTP, ERTS: l.ERTS, ReleaseHandler: l.ReleaseHandler, Installing: l.Installing, OldModules: l.OldModules,
		Processes: l.Processes, MemoryBytes: l.Memory, DiskFreeBytes: l.DiskFree,
	}
	for _, r := range l.Releases {
		p.Releases = append(p.Releases, api.PlanRelease(r))
	}
	for _, o := range l.OldCode {
		one := planProcess(o.Process)
		one.Modules = o.Modules
		p.OldCode = append(p.OldCode, one)
	}
	for _, u := range l.Unresponsive {
		p.Unresponsive = append(p.Unresponsive, planProcess(u))
	}
	return p
}

func planProcess(p upgrade.Process) api.PlanProcess {
	return api.PlanProcess{Pid: p.Pid, Name: p.Name, App: p.App, Call: p.Call, Why: p.Why, Fatal: p.Fatal}
}

// weigh says what of an instance stops HOT.
func (f *foresight) weigh(rec state.Instance, i api.PlanInstance) {
	l := i.Live
	if l == nil {
		f.Notes = append(f.Notes, fmt.Sprintf("%s has not said how it is (%s); that is looked at again before it is upgraded", i.Name, firstOf(i.Error, "it is "+string(i.State))))
		return
	}
	kill := f.m.spec.Hot != nil && f.m.spec.Hot.KillLingering
	switch {
	case !l.ReleaseHandler:
		f.against("add sasl to the release's applications", "%s runs without sasl, and so without release_handler", i.Name)
	case l.Installing:
		f.against("wait until that has ended", "the release_handler of %s is busy", i.Name)
	case l.Version != f.from.Version:
		f.against("beamkeeper restart "+f.App, "%s runs version %s, and not %s", i.Name, l.Version, f.from.Version)
	}
	if len(l.OldCode) > 0 {
		what := fmt.Sprintf("processes of %s in the code of a version before would be ended: %s", i.Name, processNames(l.OldCode))
		if kill {
			f.Notes = append(f.Notes, what)
		} else {
			f.against("end them, or restart "+f.App+"/"+i.Name, "%s", what)
		}
	}
	for _, p := range l.Unresponsive {
		what := fmt.Sprintf("%s of %s: %s", strings.TrimSpace(p.Pid+" "+p.Name), i.Name, p.Why)
		if p.Fatal && !kill {
			f.against("have it answer system messages", "%s", what)
		} else {
			f.Notes = append(f.Notes, what)
		}
	}
	if f.to.Bytes > 0 && l.DiskFreeBytes > 0 && l.DiskFreeBytes < f.to.Bytes {
		f.against("make room", "%d MiB are free where %s runs from, and its new version has %d MiB", l.DiskFreeBytes>>20, i.Name, f.to.Bytes>>20)
	}
}

func processNames(list []api.PlanProcess) string {
	var names []string
	for i, p := range list {
		if i == 3 {
			names = append(names, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		names = append(names, strings.TrimSpace(p.Pid+" "+firstOf(p.Name, p.Call))+" ("+strings.Join(p.Modules, ", ")+")")
	}
	return strings.Join(names, ", ")
}
