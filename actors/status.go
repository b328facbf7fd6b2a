package actors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/release"
)

// Status implements api.Control. It asks no actor and nothing over the network, so it always answers at once.
func (s *System) Status(context.Context) (api.Status, error) {
	st := api.Status{
		Node: s.cfg.Cluster.Name().String(), Version: s.cfg.Version, StartedAt: api.Time{Time: s.since()},
		Apps: []api.App{}, Problems: s.problems(), CertificateExpiresAt: s.certificateExpires(s.cfg.Cluster.Name()),
	}
	now := time.Now()
	err := s.cfg.State.View(func(tx *state.Tx) error {
		for _, spec := range s.apps() {
			app, err := s.appStatus(tx, spec, now)
			if err != nil {
				return err
			}
			st.Apps = append(st.Apps, app)
		}
		return nil
	})
	return st, asAPI(err)
}

func (s *System) appStatus(tx *state.Tx, spec AppSpec, now time.Time) (api.App, error) {
	rec, _, err := tx.App(spec.Name)
	if err != nil {
		return api.App{}, err
	}
	a := api.App{
		Name: spec.Name, Language: string(spec.Language), Mode: "automatic", DesiredVersion: rec.Wish.Version,
		Ghosted: ghosted(rec), Replicas: replicas(spec, rec), Instances: []api.Instance{}, Problems: s.appProblems(spec, rec),
	}
	a.Limits = spec.Limits.told()
	a.Waiting = s.waiting(spec, rec)
	switch {
	case !rec.Removed.IsZero():
		a.Mode = "removing"
	case rec.Stopped:
		a.Mode = "stopped"
	case rec.Frozen:
		a.Mode = "frozen"
	case rec.Pinned:
		a.Mode = "pinned"
	}
	if id := firstOf(rec.Deployment, rec.Halted, rec.Failed); id != "" {
		d, ok, err := tx.Deployment(id)
		if err != nil {
			return a, err
		}
		if ok {
			a.Deployment = &d
		}
	}
	instances, err := tx.Instances(spec.Name)
	if err != nil {
		return a, err
	}
	a.Problems = append(a.Problems, s.behindProblem(spec, rec, instances)...)
	slices.SortStableFunc(instances, func(a, b state.Instance) int { return a.Slot - b.Slot })
	for _, i := range instances {
		st := s.instanceStatus(i, now)
		st.OldSettings = outdated(spec, i)
		a.Instances = append(a.Instances, st)
	}
	return a, nil
}

func firstOf(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

func (s *System) instanceStatus(rec state.Instance, now time.Time) api.Instance {
	v, _ := s.board.instance(rec.Name)
	peer := s.nodeName(rec.Name)
	i := api.Instance{
		Name: rec.Name, Node: peer.String(), State: v.state, Version: rec.Version,
		OSPID: rec.Process.OSPID, OTPRelease: rec.OTPRelease,
		OTPConnected:  rec.Process.OSPID != 0 && s.cfg.Cluster.Connected(peer),
		CrashRestarts: rec.CrashRestarts, ForcedRestarts: rec.ForcedRestarts, LastDeployment: rec.Kind,
		Ports: rec.Ports, Slot: rec.Slot, Readiness: v.chain.view(now), LastError: firstOf(v.note, rec.LastError),
		CertificateExpiresAt: s.certificateExpires(peer), Sees: s.siblings(rec.App, rec.Name),
	}
	if i.State == "" || i.State == api.StateRunning && (i.OSPID == 0 || !rec.Ready) {
		i.State = api.StateStarting // record and actor are read one after the other: one of them is ahead
	}
	if u := rec.Upgrade; u != nil && (u.Back || u.Phase != state.UpgradeCommitted) {
		i.Upgrade = &api.InstanceUpgrade{Deployment: u.Deployment, From: u.From.Version, To: u.To.Version, Phase: string(u.Phase), Since: api.Time{Time: u.Since}}
		if u.Back {
			i.Upgrade.Phase = stepRevert
		}
	}
	if rec.Process.OSPID != 0 {
		i.StartedAt = api.Time{Time: runningSince(rec)}
	}
	if i.State == api.StateBackoff {
		i.RetryAt = api.Time{Time: v.retry.UTC()}
	}
	if i.OSPID != 0 && !i.OTPConnected && s.dumping(rec, rec.Process) {
		i.LastError = "it has crashed and writes its crash dump; it is started again when that is done"
	}
	if i.Ports == nil {
		i.Ports = map[string]int{}
	}
	return i
}

// appProblems is what is wrong with an app now.
func (s *System) appProblems(spec AppSpec, rec state.App) []api.Problem {
	list := append(s.confinement.problems(spec.Name), s.meshProblems(spec.Name)...)
	if c, ok := s.board.change(spec.Name); ok && c.Err != nil {
		p := api.Problem{Since: api.Time{Time: c.at.UTC()}, What: c.Err.Error()}
		switch {
		case isBroken(c.Err):
			p.Remedy = "mend the file, or publish again; it is read again at once"
			list = append(list, p)
		case errors.Is(c.Err, release.ErrSignature):
			p.Remedy = "nothing was changed; publish it again, signed, or look into who wrote it"
			list = append(list, p)
		case !errors.Is(c.Err, release.ErrNotFound):
			list = append(list, p)
		case rec.Wish.Version == "":
			p.What = "the bucket names no version: " + p.What
			p.Remedy = fmt.Sprintf("beamkeeper publish %s FILE", spec.Name)
			list = append(list, p)
		}
	}
	if id := firstOf(rec.Halted, rec.Failed); id != "" {
		p := api.Problem{Since: api.Time{Time: rec.At.UTC()}, What: fmt.Sprintf("version %s is wished, but deployment %s did not bring it", rec.Wish.Version, id)}
		if rec.Halted != "" {
			p.What = fmt.Sprintf("after deployment %s nothing is tried any more unasked", id)
		}
		if rec.Short != nil {
			p.What = fmt.Sprintf("version %s is wished, but deployment %s failed for want of room; it is tried again by itself", rec.Wish.Version, id)
			p.Remedy = fmt.Sprintf("make room on the disk; beamkeeper deployment show %s says where", id)
			list = append(list, p)
			return list
		}
		p.Remedy = fmt.Sprintf("beamkeeper deployment show %s; then publish or deploy another version, or the same again", id)
		list = append(list, p)
	}
	return list
}

func isBroken(err error) bool { return errors.Is(err, release.ErrBadCurrent) }

// isRefused tells of a current.json that is not signed as it must be.
func isRefused(err error) bool { return errors.Is(err, release.ErrSignature) }

// problems is what is wrong with the daemon as a whole.
func (s *System) problems() []api.Problem {
	var list []api.Problem
	if s.cfg.Problems != nil {
		list = s.cfg.Problems()
	}
	list = append(list, s.logProblems()...)
	list = append(list, s.storeProblem()...)
	list = append(list, s.unclaimedProblems()...)
	for _, f := range s.strangers {
		p, err := process.Adopt(f.Identity)
		if err != nil {
			continue // it has ended
		}
		p.Close()
		list = append(list, s.stranger(f))
	}
	return list
}

// stranger says what is wrong with an instance of an app that we no longer have.
func (s *System) stranger(f process.Found) api.Problem {
	p := api.Problem{Since: api.Time{Time: s.started.UTC()}}
	p.What = fmt.Sprintf("OS process %d is instance %s of %s, which the configuration does not have; it is left alone", f.OSPID, f.Instance, f.App)
	p.Remedy = fmt.Sprintf("add the app to the configuration, or have it stopped: beamkeeper config apply --confirm-removal %s", f.App)
	return p
}

// Nodes implements api.Control: those that are connected, and the nodes of instances that are not.
func (s *System) Nodes(context.Context) ([]api.NodeInfo, error) {
	recs := make(map[string]state.Instance)
	err := s.cfg.State.View(func(tx *state.Tx) error {
		all, err := tx.Instances("")
		for _, rec := range all {
			recs[s.nodeName(rec.Name).String()] = rec
		}
		return err
	})
	if err != nil {
		return nil, asAPI(err)
	}
	list := []api.NodeInfo{}
	up := make(map[node.Name]bool)
	for _, p := range s.cfg.Cluster.Peers() {
		up[p.Name] = true
		rec := recs[p.Name.String()]
		list = append(list, api.NodeInfo{
			Name: p.Name.String(), State: "up", Hidden: p.Hidden, App: rec.App, Instance: rec.Name, OTPRelease: rec.OTPRelease,
			Since: api.Time{Time: p.Since.UTC()}, BytesIn: p.BytesIn, BytesOut: p.BytesOut,
		})
	}
	for name, rec := range recs {
		if !up[s.nodeName(rec.Name)] {
			list = append(list, api.NodeInfo{Name: name, State: "down", App: rec.App, Instance: rec.Name})
		}
	}
	slices.SortFunc(list, func(a, b api.NodeInfo) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}
