package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/actors/bridge"
	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/applog"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/state"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/release"
)

// rootAgain is how long the tree stays down when its root has given up.
const rootAgain = time.Second

// System is the running supervision tree. It satisfies api.Control; its methods may be called from any goroutine.
type System struct {
	cfg     Config
	log     *slog.Logger
	started time.Time

	applying  sync.Mutex // held by whoever changes the roster
	roster    roster
	strangers []process.Found // instances that run for nobody, seen at the start
	unclaimed unclaimed
	confining sync.Mutex

	dir   *directory
	bus   *bus
	board *board

	confinement confinement

	errands struct { // whose turn it is
		mu   sync.Mutex
		apps map[string]chan struct{}
	}

	keeper *applog.Keeper

	pulse  pulse
	vitals parsedVitals

	reg   *registry
	watch *release.Watcher

	downloads  downloads
	installing installing
	ergo       *bridge.System

	ctx    context.Context // ends when Close begins to take the tree down
	cancel context.CancelFunc
	jobs   sync.WaitGroup // everything that runs outside the actors
	jobID  atomic.Uint64

	closing     atomic.Bool   // nothing new is begun
	stoppingAll atomic.Bool   // instances are to stop, whatever is wished for them
	rootEnded   chan struct{} // a root has ended
	rootKept    chan struct{} // closed when keepRoot has ended
}

var _ api.Control = (*System)(nil)

// Start brings the tree up. It takes over the instances of an earlier daemon that still run, starts again those that
// died, and goes on with a deployment that was under way. It returns once the tree runs, without waiting for instances.
func Start(ctx context.Context, cfg Config) (*System, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &System{
		cfg: cfg, log: cfg.Log, started: time.Now(),
		dir: newDirectory(), board: newBoard(), rootEnded: make(chan struct{}, 1), rootKept: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for _, a := range cfg.Apps {
		s.roster.apps = append(s.roster.apps, entry{spec: a.withDefaults(), since: s.started})
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.reg = newRegistry(func(instance string, id process.Identity) { s.send(instanceActor(instance), msgExit{id}) })
	var err error
	if s.bus, err = newBus(cfg.State, s.log, func() { s.send(eventsActor, msgFlush{}) }); err != nil {
		return nil, fmt.Errorf("actors: %w", err)
	}
	if err := s.prepareState(); err != nil {
		return nil, fmt.Errorf("actors: %w", err)
	}
	if s.ergo = cfg.Ergo; s.ergo == nil {
		s.ergo, err = bridge.Start(ctx, bridge.Options{Name: cfg.Cluster.Name().String(), Logger: s.log, LogLevel: slog.LevelWarn})
		if err != nil {
			return nil, fmt.Errorf("actors: %w", err)
		}
	}
	cfg.State.OnTrouble(s.storeTrouble)
	s.emit(api.Event{Type: api.EventDaemonStarted, Version: cfg.Version, Message: "daemon started"})
	if err := s.spawnRoot(); err != nil {
		s.ergo.Stop(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("actors: %w", err)
	}
	unsubscribe := cfg.Cluster.Subscribe(s.nodeEvent)
	s.jobs.Go(func() { <-s.ctx.Done(); unsubscribe() })
	go func() {
		defer close(s.rootKept)
		s.keepRoot()
	}()
	s.keeper = s.newKeeper()
	s.jobs.Go(func() { s.keeper.Run(s.ctx) })
	s.jobs.Go(func() { s.copyToJournal(s.ctx) })
	if cfg.Upgrader != nil {
		s.jobs.Go(func() { s.takePulse(s.ctx) })
	}
	apps := s.roster.all()
	for i, e := range apps {
		apps[i] = s.withMesh(e)
	}
	s.roster.set(apps)
	if cfg.Source.Bucket != nil {
		s.watch = release.NewWatcher(release.WatcherConfig{Source: cfg.Source, Log: s.log, Changed: func(c release.Change) {
			s.board.putChange(c)
			s.send(releasesActor, msgChanged{})
		}})
		for _, e := range s.roster.all() {
			if !e.leaving {
				s.watch.Add(e.spec.Name, e.spec.Poll)
			}
		}
		s.jobs.Go(func() { s.watch.Run(s.ctx) })
	}
	return s, nil
}

// prepareState makes the records of new apps, lets a changed replicas of the configuration win over `scale`, and finds
// OS processes that a daemon started and was killed before it could note.
func (s *System) prepareState() error {
	found, err := process.Find(s.cfg.Cluster.Name().String())
	if err != nil {
		return err
	}
	var unknown []process.Found
	err = s.record(func(tx *state.Tx, say func(api.Event)) error {
		for _, spec := range s.apps() {
			if err := s.enlist(tx, spec); err != nil {
				return err
			}
		}
		if err := s.enlistLeaving(tx); err != nil {
			return err
		}
		for _, f := range found {
			if !f.Main {
				continue
			}
			rec, ok, err := tx.Instance(f.Instance)
			if err != nil {
				return err
			}
			if !ok {
				unknown = append(unknown, f)
				continue
			}
			switch {
			case !s.has(rec.App):
				s.strangers = append(s.strangers, f)
			case rec.Process != f.Identity && !runs(rec.Process):
				adoptUnnoted(&rec, f.Identity, say)
				if err := tx.PutInstance(rec); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for _, f := range unknown {
		s.foundUnclaimed(f)
	}
	return err
}

// runs says whether an OS process that was noted still runs.
func runs(id process.Identity) bool {
	p, err := process.Adopt(id)
	if err == nil {
		p.Close()
	}
	return err == nil
}

// Close takes the tree down and waits for everything it started.
//
// Without stopInstances the instances run on, and the next daemon takes them over. With it they are stopped first, as
// `stop` does it, within ctx; the next daemon starts them again.
func (s *System) Close(ctx context.Context, stopInstances bool) error {
	s.applying.Lock() // so that nothing is begun any more by an Apply
	closed := s.closing.Swap(true)
	s.applying.Unlock()
	if closed {
		return nil
	}
	var err error
	if stopInstances {
		err = s.stopAll(ctx)
	}
	s.cancel()
	<-s.rootKept
	s.takeDown(ctx)
	err = errors.Join(err, s.ergo.Stop(ctx))
	s.jobs.Wait()
	if stopInstances {
		err = errors.Join(err, s.sweep())
	}
	s.reg.close()
	s.emit(api.Event{Type: api.EventDaemonStopped, Version: s.cfg.Version, Message: "daemon stopped"})
	return errors.Join(err, s.bus.flush())
}

// takeDown ends the tree from its root, so that no supervisor is starting an actor while Ergo ends them all.
func (s *System) takeDown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if root, ok := s.dir.pid(rootActor); ok {
		_ = s.ergo.Ergo().SendExit(root, gen.TerminateReasonShutdown) // it has ended already: just as well
	}
	for !s.dir.empty() {
		if sleep(ctx, time.Millisecond) != nil {
			return // Stop has its own means
		}
	}
}

// sweep ends what still runs although all was to stop: an instance that was being started as the tree went down, one that
// had not been taken over yet, or one that could not be stopped within the time given.
func (s *System) sweep() error {
	var recs []state.Instance
	errs := []error{s.cfg.State.View(func(tx *state.Tx) (err error) {
		recs, err = tx.Instances("")
		return err
	})}
	for _, rec := range recs {
		if !s.has(rec.App) || rec.Process.OSPID == 0 {
			continue
		}
		p, err := process.Adopt(rec.Process)
		switch {
		case err == nil:
			errs = append(errs, s.endLate(rec, p))
			p.Close()
		case !errors.Is(err, process.ErrGone):
			ctx, cancel := context.WithTimeout(context.Background(), killTimeout)
			errs = append(errs, process.KillAll(ctx, rec.Process))
			cancel()
		}
	}
	return errors.Join(errs...)
}

func (s *System) endLate(rec state.Instance, p *process.Process) error {
	ctx, cancel := context.WithTimeout(context.Background(), termTimeout+killTimeout)
	defer cancel()
	if p.Signal(syscall.SIGTERM) == nil {
		term, cancel := context.WithTimeout(ctx, termTimeout)
		_, _ = p.Wait(term) // KillAll is for those that do not listen
		cancel()
	}
	if err := process.KillAll(ctx, rec.Process); err != nil {
		return err
	}
	s.log.Warn("instance ended late", "app", rec.App, "instance", rec.Name, "os_pid", rec.Process.OSPID)
	_, _, err := s.editInstance(rec.Name, func(r *state.Instance) bool {
		r.Process, r.Ready = process.Identity{}, false
		return true
	})
	return err
}

// stopAll stops every instance without changing what is wished for it.
func (s *System) stopAll(ctx context.Context) error {
	s.stoppingAll.Store(true)
	for {
		running := s.reg.running()
		for _, name := range s.board.names() {
			s.send(instanceActor(name), msgWake{})
		}
		if len(running) == 0 && s.quiet() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("actors: still running: %v: %w", running, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// quiet says whether no instance is on its way up or down.
func (s *System) quiet() bool {
	s.board.mu.Lock()
	defer s.board.mu.Unlock()
	for _, v := range s.board.instances {
		if v.state == api.StateStarting || v.state == api.StateStopping || v.state == api.StateRunning {
			return false
		}
	}
	return true
}

// ActorName is the name of an actor of the tree, "" for others.
func (s *System) ActorName(pid gen.PID) string { return string(s.dir.name(pid)) }

// Knows says whether an instance of ours has this node name, so that it may connect.
func (s *System) Knows(peer node.Name) bool {
	if peer.Host != s.cfg.Cluster.Name().Host {
		return false
	}
	_, ok := s.board.instance(peer.Alive)
	return ok
}

// keepRoot starts the tree again when its root has given up, which happens only after many crashes in a row.
func (s *System) keepRoot() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.rootEnded:
		}
		s.log.Error("the supervision tree gave up and is started again", "after", rootAgain)
		for {
			select {
			case <-s.ctx.Done():
				return
			case <-time.After(rootAgain):
			}
			err := s.spawnRoot()
			if err == nil {
				break
			}
			s.log.Error("start the supervision tree", "err", err)
		}
	}
}

// emit takes an event.
func (s *System) emit(e api.Event) { s.bus.emit(e) }

// record calls f in a transaction and keeps the events that it says with what it writes.
func (s *System) record(f func(tx *state.Tx, say func(api.Event)) error) error {
	return s.bus.record(f)
}

// send sends to an actor by name. That an actor is not there is no error: it looks at everything when it begins.
func (s *System) send(to gen.Atom, msg any) {
	if pid, ok := s.dir.pid(to); ok {
		_ = s.ergo.Ergo().Send(pid, msg)
	}
}

// after sends to an actor when some time has passed.
func (s *System) after(d time.Duration, to gen.Atom, msg any) *time.Timer {
	return time.AfterFunc(d, func() { s.send(to, msg) })
}

// job runs f outside the actors and sends what it returns to an actor, in a jobDone. A panic of f becomes an error there.
func (s *System) job(ctx context.Context, to gen.Atom, f func(context.Context) any) (id uint64) {
	id = s.jobID.Add(1)
	s.jobs.Go(func() {
		result := func() (result any) {
			defer func() {
				if r := recover(); r != nil {
					s.log.Error("a job panicked", "actor", string(to), "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
					result = fmt.Errorf("internal error: %v", r)
				}
			}()
			return f(ctx)
		}()
		s.send(to, jobDone{id: id, result: result})
	})
	return id
}

// guard calls f, one step of an actor. A panic is logged with its stack and ends the actor, which its supervisor starts
// again.
func (s *System) guard(actor gen.Atom, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("an actor panicked", "actor", string(actor), "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			s.board.failed(string(actor), fmt.Sprint(r))
			err = gen.TerminateReasonPanic
		}
	}()
	return f()
}

// begin is called by each actor when it begins. From the second time on that is news.
func (s *System) begin(actor gen.Atom, app, instance string) {
	n, reason := s.board.begun(string(actor))
	if n == 0 || s.closing.Load() {
		return
	}
	if reason == "" {
		reason = "an actor that it belongs to ended"
	}
	s.emit(api.Event{
		Type: api.EventActorRestarted, Level: "error", App: app, Instance: instance,
		Message: fmt.Sprintf("%s was started again: %s", actor, reason),
		Data:    map[string]any{"actor": string(actor), "reason": reason, "restarts": n},
	})
}

// nodeEvent is told of nodeup and nodedown by the node.
func (s *System) nodeEvent(e node.NodeEvent) {
	if e.Peer.Host != s.cfg.Cluster.Name().Host {
		return
	}
	v, ok := s.board.instance(e.Peer.Alive)
	if !ok {
		return
	}
	ev := api.Event{Type: api.EventNodeUp, App: v.app, Instance: e.Peer.Alive, Message: e.Peer.String() + " is connected"}
	if !e.Up {
		ev.Type, ev.Message = api.EventNodeDown, fmt.Sprintf("%s is not connected any more: %v", e.Peer, e.Err)
		if v.phase == phaseReady && v.state == api.StateRunning {
			ev.Level = "warning"
		}
	}
	s.emit(ev)
	s.send(instanceActor(e.Peer.Alive), msgNode{})
	s.wakeMesh(v.app)
}

// editInstance changes an instance's record. f returns false to leave it as it is.
func (s *System) editInstance(name string, f func(*state.Instance) bool) (rec state.Instance, ok bool, err error) {
	return s.recordInstance(name, func(rec *state.Instance, _ func(api.Event)) bool { return f(rec) })
}

// recordInstance is editInstance that keeps the events that f says with the change.
func (s *System) recordInstance(name string, f func(rec *state.Instance, say func(api.Event)) bool) (rec state.Instance, ok bool, err error) {
	err = s.record(func(tx *state.Tx, say func(api.Event)) error {
		rec, ok, err = tx.Instance(name)
		if err != nil || !ok || !f(&rec, say) {
			return err
		}
		return tx.PutInstance(rec)
	})
	return rec, ok, err
}

// replicas is how many an app should have.
func replicas(spec AppSpec, app state.App) int {
	if app.Replicas != nil {
		return *app.Replicas
	}
	return spec.Replicas
}

// step changes the steps of one instance in the record of a deployment that is under way, in tx.
func step(tx *state.Tx, deployment, instance string, f func(*api.DeploymentInstance)) error {
	d, ok, err := tx.Deployment(deployment)
	if err != nil || !ok {
		return err
	}
	i := slices.IndexFunc(d.Instances, func(i api.DeploymentInstance) bool { return i.Name == instance })
	if i < 0 {
		return nil
	}
	f(&d.Instances[i])
	return tx.PutDeployment(d)
}

// beginStep notes that a step begins, and that the one before it has ended.
func beginStep(steps []api.DeploymentStep, name string, now time.Time) []api.DeploymentStep {
	steps = endStep(steps, "", "", now)
	return append(steps, api.DeploymentStep{Name: name, StartedAt: api.Time{Time: now.UTC()}})
}

// endStep ends the last step if it has not ended.
func endStep(steps []api.DeploymentStep, failure, detail string, now time.Time) []api.DeploymentStep {
	if n := len(steps); n > 0 && steps[n-1].EndedAt.IsZero() {
		last := &steps[n-1]
		last.EndedAt = api.Time{Time: now.UTC()}
		last.Error, last.Detail = failure, firstOf(detail, last.Detail)
	}
	return steps
}
