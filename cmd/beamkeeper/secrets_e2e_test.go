package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
)

// Instances get their secrets, in the environment and in files, again when they change, and nobody else does.
func TestEndToEnd_Secrets(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	v1 := sampletest.Build(t, "erlang", "0.1.0")
	const one, two = "hunter2-{{not a template}}", "hunter3-$HOME"
	store := filepath.Join(r.dir, "secrets.json")
	keep := func(value string) {
		t.Helper()
		b, err := json.Marshal(map[string]string{"BEAMKEEPER_ERLANG_COOKIE": "acookie", "shop/db": value})
		if err == nil {
			err = os.WriteFile(store+".new", b, 0o400)
		}
		if err == nil {
			err = os.Rename(store+".new", store)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	keep(one)
	r.edit("secrets_adapter: none\n", "secrets_adapter: file\nsecrets_path: secrets.json\nsecrets: {poll_ms: 1000}\n")
	r.edit("replicas: 2\n", "replicas: 1\n    secrets: [{key: shop/db, env: DATABASE_URL, file: db.url}]\n    secrets_rotation: restart\n")
	d := r.run()
	r.must("publish", r.app, v1)
	a := r.await("an instance running", running(1, "0.1.0"))
	first := a.Instances[0]
	has := func(i api.Instance, value string) {
		t.Helper()
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", i.OSPID))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains("\x00"+string(environ), "\x00DATABASE_URL="+value+"\x00") {
			t.Error("the instance does not have its variable")
		}
		_, dir, _ := strings.Cut("\x00"+string(environ), "\x00SECRETS_DIRECTORY=")
		dir, _, _ = strings.Cut(dir, "\x00")
		file := filepath.Join(dir, "db.url")
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o400 {
			t.Errorf("its file: %v, %v", info, err)
		}
		if b, err := os.ReadFile(file); err != nil || string(b) != value {
			t.Errorf("its file: %v", err)
		}
	}
	has(first, one)

	keep(two)
	a = r.await("an instance with the other secret", func(a api.App) bool { return running(1, "0.1.0")(a) && a.Instances[0].OSPID != first.OSPID })
	second := a.Instances[0]
	has(second, two)
	if events := r.must("events"); !strings.Contains(events, "secrets of "+r.app+" have other values (shop/db)") {
		t.Errorf("the events do not tell of it:\n%s", events)
	}

	// The store is gone: what is known serves on, also for an instance that crashes.
	if err := os.Rename(store, store+".away"); err != nil {
		t.Fatal(err)
	}
	r.awaitStatus("a problem of the store", problem("the store of secrets does not answer"))
	if err := syscall.Kill(second.OSPID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	a = r.await("the instance again", func(a api.App) bool { return running(1, "0.1.0")(a) && a.Instances[0].OSPID != second.OSPID })
	has(a.Instances[0], two)

	for _, args := range [][]string{{"status", "--json"}, {"events"}, {"config", "show"}, {"config", "diff"}, {"history", r.app}, {"deployment", "list"}} {
		if out, stderr, _ := r.command(args...); strings.Contains(out+stderr, "hunter") {
			t.Errorf("%q tells a secret:\n%s%s", args, out, stderr)
		}
	}
	err := filepath.WalkDir(r.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || strings.HasPrefix(path, store) || filepath.Base(filepath.Dir(path)) == "secrets" {
			return nil
		}
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte("hunter")) {
			t.Errorf("%s holds a secret", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}

	// Without the cookie's store no daemon starts, and it says why; the instance runs on.
	d.end(syscall.SIGTERM, 0)
	if _, stderr, code := r.command("run"); code == 0 || !strings.Contains(stderr, "secrets.json") {
		t.Errorf("a start without the store: code %d, %s", code, stderr)
	}
	if !alive(a.Instances[0].OSPID) {
		t.Error("the instance ended")
	}
}
