package actors

import (
	"fmt"
	"slices"
	"strings"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/state"
)

// steps lists what would be done, in order.
func (f *foresight) steps() {
	if f.Kind == "" {
		return
	}
	switch {
	case f.File != "":
		f.step("publish", "", "it is put into the bucket, fetched, checked and unpacked")
	case f.here:
		f.step("fetch", "", "it is on this host already")
	default:
		f.step("fetch", "", "it was fetched for this plan, checked and unpacked")
	}
	f.hooks(stepBeforeDeploy, "")
	if f.Kind == api.KindHot {
		f.hotSteps()
	} else {
		f.commands()
		f.fullSteps()
	}
	f.hooks(stepAfterDeploy, "")
	if f.Kind == api.KindFull && f.m.spec.Strategy.Soak > 0 {
		f.step(stepSoak, "", "all replicas are watched for %s", clocked(f.m.spec.Strategy.Soak))
	}
}

func (f *foresight) step(name, instance, format string, args ...any) {
	f.Steps = append(f.Steps, api.PlanStep{Name: name, Instance: instance, Detail: fmt.Sprintf(format, args...)})
}

func (f *foresight) hooks(step, instance string) {
	for _, h := range append(slices.Clone(f.m.spec.Hooks.of(step)), f.sys.scripts(f.App, step)...) {
		f.step(step, instance, "%s", h.title())
	}
}

// commands are the pre_commands that were not run for the release yet.
func (f *foresight) commands() {
	for i, command := range f.rel.PreCommands {
		switch key := onceKey(f.rel.Version, f.rel.SHA256, i, command); {
		case slices.Contains(f.p.app.Once, key):
			f.step(stepPreCommand, "", "%s: it was run before for this archive, and is not again", command)
		case isCall(command):
			f.step(stepPreCommand, "", "%s, by rpc in an instance that is ready", command)
		default:
			f.step(stepPreCommand, "", "%s, in the new release", command)
		}
	}
}

func isCall(command string) bool {
	_, _, _, err := etf.ParseCall(command)
	return err == nil
}

// fullSteps plays the deployment through with new instances that get ready as soon as they are started.
func (f *foresight) fullSteps() {
	p := f.picture()
	p.dep = nil
	w, _, _ := f.m.wanted(p.app)
	have := f.m.observed(p, w.slots)
	names := make(map[string]string) // of new instances: what they are called in words
	for range 4*(w.replicas+len(have)) + 4 {
		plan := reconcile(w, have)
		for n, st := range plan.start {
			name := fmt.Sprintf("new %d", len(names)+1)
			names[name] = name
			have = append(have, observed{name: name, slot: st.slot, release: w.release, restart: w.restart, phase: phaseReady, replaces: st.replaces})
			f.step(stepStart, "", "%s", f.startDetail(st, n > 0))
		}
		for _, name := range plan.stop {
			f.stopDetail(name)
			have = slices.DeleteFunc(have, func(o observed) bool { return o.name == name })
		}
		if plan.idle() {
			if !slices.ContainsFunc(have, func(o observed) bool { return o.phase == phaseStarting && !o.leaving || o.leaving }) {
				return
			}
			have = slices.DeleteFunc(have, func(o observed) bool { return o.leaving })
			for i := range have {
				if have[i].phase == phaseStarting {
					have[i].phase = phaseReady
				}
			}
		}
	}
}

func (f *foresight) startDetail(st planStart, beside bool) string {
	var b strings.Builder
	b.WriteString("a new instance of " + f.To)
	if st.replaces != "" {
		b.WriteString(" for " + st.replaces)
	}
	fmt.Fprintf(&b, " on slot %d", st.slot)
	for _, p := range f.m.spec.Ports {
		fmt.Fprintf(&b, ", %s %d", p.Key, p.Base+st.slot)
	}
	r := f.m.spec.Readiness
	fmt.Fprintf(&b, "; it must be ready within %s (process, node, application %s", clocked(r.Timeout), r.Application)
	if r.Probe != nil {
		b.WriteString(", probe")
	}
	b.WriteString(")")
	if beside {
		b.WriteString(", beside the one before")
	}
	return b.String()
}

func (f *foresight) stopDetail(name string) {
	f.hooks(stepBeforeStop, name)
	version := ""
	for _, rec := range f.p.instances {
		if rec.Name == name {
			version = rec.Version
		}
	}
	f.step(stepStopOld, name, "version %s is stopped: init:stop, after %s SIGTERM, then SIGKILL", version, clocked(f.m.spec.Stop))
	f.hooks(stepAfterStop, name)
}

// hotSteps are those of a hot deployment.
func (f *foresight) hotSteps() {
	hot := f.m.spec.Hot
	var list []state.Instance
	for _, rec := range bySlot(f.p.instances) {
		if !rec.Leaving && !rec.Stopped {
			list = append(list, rec)
		}
	}
	f.commands()
	f.hooks(stepBeforeUpgrade, "")
	for _, rec := range list {
		f.step(stepPrepare, rec.Name, "the files of %s, its relup and its configuration; nothing that runs is touched", f.To)
	}
	soak := func(names ...state.Instance) {
		for _, rec := range names {
			if hot.Soak > 0 {
				f.step(stepSoak, rec.Name, "it is watched for %s; a crash boots %s again", clocked(hot.Soak), f.From)
			}
		}
	}
	for i, rec := range list {
		f.step(stepInstall, rec.Name, "release_handler installs %s in it; its processes and their state stay", f.To)
		if !hot.All || i == 0 && len(list) == 1 {
			soak(rec)
		}
	}
	if hot.All && len(list) > 1 {
		soak(list...)
	}
	if hot.Manual {
		f.step(stepConfirm, "", "beamkeeper deployment commit, or revert, is waited for")
	}
	for _, rec := range list {
		f.step(stepCommit, rec.Name, "%s boots from now on", f.To)
	}
	f.hooks(stepAfterUpgrade, "")
}
