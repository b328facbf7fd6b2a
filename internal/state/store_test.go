package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/process"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func update(t *testing.T, s *Store, f func(*Tx) error) {
	t.Helper()
	if err := s.Update(f); err != nil {
		t.Fatal(err)
	}
}

func TestOpen_ASecondHolderIsToldWhoHoldsIt(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	before := time.Now().Add(-time.Second)
	s := open(t, dir)
	_, err := Open(dir)
	var held *HeldError
	if !errors.As(err, &held) || !errors.Is(err, ErrHeld) {
		t.Fatalf("second Open: %v, want a HeldError", err)
	}
	if held.OSPID != os.Getpid() || held.Since.Before(before) || held.Since.After(time.Now()) {
		t.Errorf("holder is %+v, want OS pid %d since just now", held, os.Getpid())
	}
	if want := fmt.Sprintf("OS pid %d, since ", os.Getpid()); !strings.Contains(err.Error(), want) {
		t.Errorf("error %q lacks %q", err, want)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

func TestOpen_TheLockOfAKilledHolderDoesNotLast(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if os.Getenv("BEAMKEEPER_TEST_HOLD") != "" {
		if _, err := Open(os.Getenv("BEAMKEEPER_TEST_HOLD")); err != nil {
			fmt.Println("failed", err)
		}
		fmt.Println("held")
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "BEAMKEEPER_TEST_HOLD="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	b := make([]byte, 256)
	for !strings.Contains(said.String(), "held\n") {
		n, err := out.Read(b)
		said.Write(b[:n])
		if err != nil {
			t.Fatalf("holder ended: %v\n%s", err, said.String())
		}
	}
	_, err = Open(dir)
	var held *HeldError
	if !errors.As(err, &held) || held.OSPID != cmd.Process.Pid {
		t.Errorf("Open beside a living holder: %v, want HeldError of OS pid %d", err, cmd.Process.Pid)
	}
	cmd.Process.Kill()
	cmd.Wait()
	open(t, dir)
}

func TestOpen_RefusesANewerSchema(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	update(t, s, func(tx *Tx) error { return tx.tx.Bucket(bucketMeta).Put(keySchema, number(Schema+1)) })
	s.Close()
	_, err := Open(dir)
	var schema *SchemaError
	if !errors.As(err, &schema) || !errors.Is(err, ErrSchema) || schema.Have != Schema+1 {
		t.Fatalf("Open: %v, want a SchemaError with %d", err, Schema+1)
	}
	// Refusing changed nothing and holds nothing.
	db, err := bbolt.Open(filepath.Join(dir, "beamkeeper.db"), 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.View(func(tx *bbolt.Tx) error {
		if v := tx.Bucket(bucketMeta).Get(keySchema); binary.BigEndian.Uint64(v) != Schema+1 {
			t.Errorf("schema is now %x", v)
		}
		return nil
	})
}

func TestStore_KeepsRecordsOverReopening(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	n := 3
	now := time.Now().UTC().Truncate(time.Millisecond)
	app := App{Name: "shop", Wish: Release{Version: "1.0.0", SHA256: "ab"}, Source: SourceOperator, At: now, Replicas: &n}
	inst := Instance{Name: "shop-abc123", App: "shop", Slot: 1, Ports: map[string]int{"PORT": 4001}, Version: "1.0.0",
		Process: process.Identity{OSPID: 7, StartTime: 8, BootID: "b", Instance: "shop-abc123"}, StartedAt: now, Crashes: []time.Time{now}}
	other := Instance{Name: "blog-abc123", App: "blog"}
	dep := api.Deployment{ID: "d0000001", App: "shop", To: "1.0.0", Outcome: api.DeploymentRunning, StartedAt: api.Time{Time: now}}
	update(t, s, func(tx *Tx) error {
		return errors.Join(tx.PutApp(app), tx.PutInstance(inst), tx.PutInstance(other), tx.PutDeployment(dep))
	})
	s.Close()
	s = open(t, dir)
	err := s.View(func(tx *Tx) error {
		if got, ok, err := tx.App("shop"); err != nil || !ok || !reflect.DeepEqual(got, app) {
			t.Errorf("App = %+v, %v, %v", got, ok, err)
		}
		if got, err := tx.Instances("shop"); err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], inst) {
			t.Errorf("Instances(shop) = %+v, %v", got, err)
		}
		if got, err := tx.Instances(""); err != nil || len(got) != 2 {
			t.Errorf("Instances() = %+v, %v", got, err)
		}
		if got, ok, err := tx.Deployment("d0000001"); err != nil || !ok || !reflect.DeepEqual(got, dep) {
			t.Errorf("Deployment = %+v, %v, %v", got, ok, err)
		}
		if _, ok, err := tx.App("none"); ok || err != nil {
			t.Errorf("App(none) = %v, %v", ok, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx *Tx) error { return tx.DeleteInstance(inst.Name) })
	s.View(func(tx *Tx) error {
		if got, _ := tx.Instances("shop"); len(got) != 0 {
			t.Errorf("after DeleteInstance: %+v", got)
		}
		return nil
	})
}

func TestStore_UpdateIsAllOrNothing(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	no := errors.New("no")
	if err := s.Update(func(tx *Tx) error { return errors.Join(tx.PutApp(App{Name: "a"}), no) }); !errors.Is(err, no) {
		t.Fatal(err)
	}
	s.View(func(tx *Tx) error {
		if _, ok, _ := tx.App("a"); ok {
			t.Error("a failed Update left its write")
		}
		return nil
	})
}

func TestStore_EventsAreBoundedAndNumbered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	var batch []api.Event
	for id := uint64(1); id <= MaxEvents+50; id++ {
		batch = append(batch, api.Event{ID: id, Type: "t"})
	}
	update(t, s, func(tx *Tx) error { return tx.AddEvents(batch[:MaxEvents]) })
	update(t, s, func(tx *Tx) error { return tx.AddEvents(batch[MaxEvents:]) })
	s.Close()
	s = open(t, dir)
	s.View(func(tx *Tx) error {
		if n := tx.LastEvent(); n != MaxEvents+50 {
			t.Errorf("LastEvent = %d", n)
		}
		got, err := tx.Events(0, MaxEvents*2)
		if err != nil || len(got) != MaxEvents || got[0].ID != 51 {
			t.Errorf("kept %d events, first %d, %v; want %d from 51", len(got), got[0].ID, err, MaxEvents)
		}
		got, _ = tx.Events(MaxEvents+48, 10)
		if len(got) != 2 || got[0].ID != MaxEvents+49 {
			t.Errorf("Events(since) = %+v", got)
		}
		return nil
	})
}

func TestStore_DeploymentsAreBoundedNewestFirst(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	update(t, s, func(tx *Tx) error {
		for i := range MaxDeployments + 5 {
			id, err := tx.NextDeployment()
			if err != nil {
				return err
			}
			if err := tx.PutDeployment(api.Deployment{ID: id, App: []string{"a", "b"}[i%2]}); err != nil {
				return err
			}
		}
		return nil
	})
	s.View(func(tx *Tx) error {
		all, err := tx.Deployments("", 0)
		if err != nil || len(all) != MaxDeployments || all[0].ID != "d0010005" || all[len(all)-1].ID != "d0000006" {
			t.Errorf("%d kept, %v", len(all), err)
		}
		two, _ := tx.Deployments("b", 2)
		if len(two) != 2 || two[0].ID != "d0010004" || two[1].ID != "d0010002" {
			t.Errorf("Deployments(b, 2) = %+v", two)
		}
		return nil
	})
}

func TestStore_HistoryAndCounters(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	update(t, s, func(tx *Tx) error {
		for i := range MaxHistory + 3 {
			if err := tx.AddHistory("a", api.HistoryEntry{Version: fmt.Sprint(i)}); err != nil {
				return err
			}
		}
		if err := tx.AddHistory("b", api.HistoryEntry{Version: "b"}); err != nil {
			return err
		}
		if _, err := tx.Count("starts", 1); err != nil {
			return err
		}
		n, err := tx.Count("starts", 2)
		if n != 3 {
			t.Errorf("Count = %d, want 3", n)
		}
		return err
	})
	s.View(func(tx *Tx) error {
		h, err := tx.History("a")
		if err != nil || len(h) != MaxHistory || h[0].Version != fmt.Sprint(MaxHistory+2) || h[MaxHistory-1].Version != "3" {
			t.Errorf("History: %d entries, %v", len(h), err)
		}
		if c, err := tx.Counters(); err != nil || c["starts"] != 3 {
			t.Errorf("Counters = %v, %v", c, err)
		}
		return nil
	})
}
