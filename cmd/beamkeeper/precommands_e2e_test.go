package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
)

// diary is a file that commands of a release write a word to.
type diary string

func (d diary) words() []string {
	b, _ := os.ReadFile(string(d)) // none yet is empty
	return strings.Fields(string(b))
}

func (d diary) elixir(word, more string) string {
	return fmt.Sprintf(`eval File.write!("%s", "%s\n", [:append]); %s`, d, word, more)
}

// last waits for the end of the app's newest deployment to a version.
func (r *rig) last(version, outcome string) api.Deployment {
	r.t.Helper()
	var all []api.Deployment
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err := json.Unmarshal([]byte(r.must("deployment", "list", r.app, "--json")), &all); err != nil {
			r.t.Fatal(err)
		}
		for _, d := range all {
			if d.To == version && d.Outcome == outcome {
				return d
			}
		}
	}
	r.t.Fatalf("no deployment to %s has %s: %+v", version, outcome, all)
	return api.Deployment{}
}

// The migrations of real releases run once for two replicas, before anything stops; a bad one stops nothing; and whatever
// becomes of the daemon, none that has succeeded runs again.
func TestEndToEnd_PreCommands(t *testing.T) {
	t.Parallel()
	r := newRig(t, "elixir")
	file := sampletest.Build(t, "elixir", "0.1.0")
	file2 := sampletest.Build(t, "elixir", "0.2.0")
	d := diary(filepath.Join(r.dir, "diary"))
	hook := filepath.Join(r.dir, "hooks.d", "before_deploy", "announce")
	if err := os.MkdirAll(filepath.Dir(hook), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho hook-$BEAMKEEPER_HOOK_VERSION >>"+string(d)+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.edit("    replicas: 2\n", "    replicas: 2\n    pre_commands_timeout_ms: 20000\n")
	daemon := r.run()

	r.must("publish", r.app, file, "--pre-command", d.elixir("one", `IO.puts("node " <> inspect(node()) <> " " <> System.get_env("RELEASE_NODE"))`))
	first := r.await("two instances", running(2, "0.1.0"))
	if got := d.words(); !slices.Equal(got, []string{"hook-0.1.0", "one"}) {
		t.Errorf("ran %q", got)
	}
	if out, want := r.must("deployment", "show", r.last("0.1.0", api.DeploymentSucceeded).ID), "| node :nonode@nohost "+r.app+"-before\n"; !strings.Contains(out, want) {
		t.Errorf("no %q in:\n%s", want, out)
	}

	// One that fails, in the words of a published file; then one that takes too long.
	r.must("publish", r.app, file2, "--version", "0.2.0", "--pre-command", d.elixir("bad", `raise "no such table"`))
	failed := r.last("0.2.0", api.DeploymentFailed)
	if !strings.Contains(strings.Join(failed.LogTail, "\n"), "no such table") || len(failed.Instances) != 0 {
		t.Errorf("deployment %+v", failed)
	}
	if now := r.await("both as they were", running(2, "0.1.0")); fmt.Sprint(osPIDs(now)) != fmt.Sprint(osPIDs(first)) {
		t.Errorf("instances %v, before %v", osPIDs(now), osPIDs(first))
	}

	// The daemon is killed in the middle of the second of three, which the next one begins again.
	let := filepath.Join(r.dir, "let")
	wait := fmt.Sprintf(`if not File.exists?("%s"), do: Process.sleep(:infinity)`, let)
	r.must("publish", r.app, file2, "--version", "0.2.0",
		"--pre-command", d.elixir("first", ":ok"), "--pre-command", d.elixir("second", wait), "--pre-command", d.elixir("third", ":ok"))
	for end := time.Now().Add(patience); !slices.Contains(d.words(), "second"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("ran %q\n%s", d.words(), r.must("events"))
		}
	}
	daemon.end(syscall.SIGKILL, -1)
	if err := os.WriteFile(let, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	daemon = r.run()
	r.await("two instances of the next version", running(2, "0.2.0"))
	if got := d.words()[2:]; !slices.Equal(got, []string{"hook-0.2.0", "bad", "hook-0.2.0", "first", "second", "second", "third"}) {
		t.Errorf("ran %q", got)
	}
	r.last("0.2.0", api.DeploymentSucceeded)
	if left, _ := filepath.Glob(filepath.Join(r.dir, "var", "service", r.app, r.app+"-before*")); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	r.must("stop", r.app)
	daemon.end(syscall.SIGTERM, exitOK)
}

// Erlang and gleam releases run theirs without a node of their own, and by rpc in one that serves.
func TestEndToEnd_PreCommandsInErlang(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"erlang", "gleam"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, language)
			d := filepath.Join(r.dir, "diary")
			write := func(word string) string { return fmt.Sprintf(`file:write_file("%s", "%s ", [append])`, d, word) }
			r.run("--with-instances")
			r.must("publish", r.app, sampletest.Build(t, language, "0.1.0"), "--pre-command", "eval ok = "+write("eval")+".", "--pre-command", write("call")+".")
			r.await("two instances", running(2, "0.1.0"))
			r.must("publish", r.app, sampletest.Build(t, language, "0.2.0"), "--pre-command", `file:write_file("`+d+`", "rpc", [append]).`)
			r.await("two of the next", running(2, "0.2.0"))
			if got := diary(d).words(); !slices.Equal(got, []string{"eval", "call", "rpc"}) {
				t.Errorf("ran %q", got)
			}
			r.must("stop", r.app)
		})
	}
}
