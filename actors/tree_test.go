package actors

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"ergo.services/ergo/gen"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/process"
)

// A message that an actor does not know makes it panic. Each kind of actor gets one; the OS processes stay, and all
// that the tree does it does again.
func TestTree_APanicOfAnyActorIsRepaired(t *testing.T) {
	t.Parallel()
	kinds := []struct {
		name  string
		actor func(instance string) gen.Atom
	}{
		{"events", func(string) gen.Atom { return eventsActor }},
		{"releases", func(string) gen.Atom { return releasesActor }},
		{"root", func(string) gen.Atom { return rootActor }},
		{"app", func(string) gen.Atom { return appActor("shop") }},
		{"manager", func(string) gen.Atom { return managerActor("shop") }},
		{"instances", func(string) gen.Atom { return instancesActor("shop") }},
		{"instance", func(instance string) gen.Atom { return instanceActor(instance) }},
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, app("shop", 2))
			w.cfg.Source.Bucket = w.bucket
			var log lockedBuffer
			w.cfg.Log = log.logger()
			w.up()
			w.run("shop", "1.0.0")
			before := w.running("shop", "1.0.0", 2)
			actor := k.actor(before[0].Name)
			pid, ok := w.sys.dir.pid(actor)
			if !ok {
				t.Fatalf("no actor %s", actor)
			}
			w.sys.send(actor, struct{ bad int }{1})
			w.until(string(actor)+" to come back", func() bool {
				now, ok := w.sys.dir.pid(actor)
				return ok && now != pid
			})
			w.until("an event of it", func() bool {
				return slices.ContainsFunc(w.eventsOf(api.EventActorRestarted), func(e api.Event) bool { return e.Data["actor"] == string(actor) })
			})
			for _, want := range []string{"an actor panicked", "actor=" + string(actor), "actors.(*System).guard", "struct { bad int }"} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("the log lacks %q", want)
				}
			}
			now := w.running("shop", "1.0.0", 2)
			for i := range now {
				if now[i].OSPID != before[i].OSPID || now[i].CrashRestarts != 0 {
					t.Errorf("an OS process was touched: %+v, was %+v", now[i], before[i])
				}
			}
			// A crash is seen and mended, which takes the instances, the registry and the bus …
			w.killInstance(now[0])
			w.until("another OS process", func() bool {
				i := w.instance("shop", now[0].Name)
				return i.State == api.StateRunning && i.OSPID != now[0].OSPID && i.CrashRestarts == 1
			})
			w.until("an event of it", func() bool { return len(w.eventsOf(api.EventCrashRestart)) == 1 })
			// … and a new version from the bucket takes the releases and the manager.
			w.publish("shop", "2.0.0")
			w.running("shop", "2.0.0", 2)
		})
	}
}

// An actor that crashes again and again takes its supervisor down, and that its own, up to the root. The tree comes back.
func TestTree_ComesBackAfterManyCrashes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	w.run("shop", "1.0.0")
	before := w.running("shop", "1.0.0", 1)[0]
	root, _ := w.sys.dir.pid(rootActor)
	w.until("the root to give up", func() bool {
		w.sys.send(managerActor("shop"), struct{}{})
		now, ok := w.sys.dir.pid(rootActor)
		return ok && now != root
	})
	if now := w.running("shop", "1.0.0", 1)[0]; now.OSPID != before.OSPID {
		t.Errorf("%+v, was %+v", now, before)
	}
	w.run("shop", "2.0.0")
	w.running("shop", "2.0.0", 1)
}

// A manager that panics in the middle of a deployment goes on with it.
func TestTree_ADeploymentOutlivesItsManager(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 2)).up()
	w.run("shop", "1.0.0")
	w.cluster.set(func() { w.cluster.refuse[""] = errors.New("not yet") })
	d := w.deploy("shop", "2.0.0")
	w.until("the surge instance", func() bool { return len(w.sys.reg.running()) == 3 })
	w.sys.send(managerActor("shop"), struct{}{})
	w.sys.send(instancesActor("shop"), struct{}{})
	w.until("both to come back", func() bool { return len(w.eventsOf(api.EventActorRestarted)) >= 2 })
	w.cluster.set(func() { delete(w.cluster.refuse, "") })
	d = w.ended(d.ID, api.DeploymentSucceeded)
	w.running("shop", "2.0.0", 2)
	if len(d.Instances) != 2 {
		t.Errorf("instances are %+v", d.Instances)
	}
}

// A command that makes the manager panic is answered.
func TestTree_ACommandThatPanicsIsAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, app("shop", 1)).up()
	_, err := command(t.Context(), w.sys, "shop", func(*manager) (any, error) { panic("as told") })
	wantCode(t, err, api.CodeFailed)
	w.run("shop", "1.0.0")
}

func TestTree_ManyReplicasAndApps(t *testing.T) {
	t.Parallel()
	var apps []AppSpec
	for i := range 4 {
		a := app(fmt.Sprintf("app-%d", i), 5)
		a.Ports[0].Base += i * 100
		apps = append(apps, a)
	}
	w := newWorld(t, apps...).up()
	for _, a := range apps {
		w.deploy(a.Name, "1.0.0")
	}
	for _, a := range apps {
		w.running(a.Name, "1.0.0", 5)
	}
	begun := time.Now()
	w.down(true)
	t.Logf("20 instances stopped in %v", time.Since(begun))
}

// Actors that crash while instances start and stop, and a daemon that goes at any moment, leave nothing behind that the
// tree does not know.
func TestTree_UpAndDownAtAnyMoment(t *testing.T) {
	t.Parallel()
	for i := range 12 {
		w := newWorld(t, app("shop", 2))
		w.cfg.Source.Bucket = w.bucket
		w.up()
		w.deploy("shop", "1.0.0")
		time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond) // any moment will do
		if i%3 == 0 {
			w.sys.send(managerActor("shop"), struct{}{})
			w.sys.send(instancesActor("shop"), struct{}{})
		}
		if i%4 == 0 {
			w.sys.send(rootActor, struct{}{})
		}
		w.down(i%2 == 0)
		if i%2 == 1 {
			w.up()
			w.down(true)
		}
		left, err := process.Find(w.cluster.name.String())
		if err != nil || len(left) != 0 {
			t.Fatalf("left over: %+v, %v", left, err)
		}
	}
}
