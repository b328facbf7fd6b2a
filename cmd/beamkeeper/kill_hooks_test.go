package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// errandPoints are the steps of what is run around a deployment, each time they are come to.
func errandPoints(points []string) []string {
	return slices.DeleteFunc(slices.Clone(points), func(p string) bool {
		for _, part := range []string{"System.do", "System.interrupted", "runHooks", "preCommands", "begunAlone", "inRelease"} {
			if strings.HasPrefix(p, "commit ") && strings.Contains(p, part) {
				return false
			}
		}
		return true
	})
}

// announced has the hooks of all steps write a line to the diary: the hook, and the deployment or the instance.
func (m *matrix) announced() diary {
	m.t.Helper()
	d := diary(filepath.Join(m.dir, "diary"))
	for _, step := range []string{"before_deploy", "after_deploy", "before_stop", "after_stop", "on_rollback"} {
		file := filepath.Join(m.dir, "hooks.d", step, "announce")
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		if err == nil {
			err = os.WriteFile(file, []byte("#!/bin/sh\necho $BEAMKEEPER_HOOK/${BEAMKEEPER_HOOK_INSTANCE:-$BEAMKEEPER_HOOK_DEPLOYMENT} >>"+string(d)+"\n"), 0o755)
		}
		if err != nil {
			m.t.Fatal(err)
		}
	}
	return d
}

// ran wants each of some errands of the last deployment to have run: once, or once more when the daemon ended before it could
// note that it had.
func (m *matrix) ran(d diary, what string, hooks ...string) {
	m.t.Helper()
	all, err := m.client.Deployments(m.t.Context(), m.app, 1)
	if err != nil || len(all) == 0 {
		m.t.Fatal(err)
	}
	words := d.words()
	for _, h := range hooks {
		if !strings.Contains(h, "/") {
			h += "/" + all[0].ID
		}
		n := 0
		for _, w := range words {
			if w == h {
				n++
			}
		}
		if n < 1 || n > 2 || n == 2 && !strings.Contains(what, "System.do") {
			m.t.Errorf("%s: %s ran %d times", what, h, n)
		}
	}
}

// The daemon is killed before and after every step of hooks and pre_commands: what has not run runs, what has run well and was
// noted does not run again. Only the after_stop of an instance that ended as the daemon was killed is not wanted: docs/deployments.md
// says so.
func TestKill_HooksAndPreCommands(t *testing.T) {
	t.Parallel()
	m := newMatrix(t, 1, false)
	defer m.report()
	d := m.announced()
	current := filepath.Join(m.dir, "bucket", "versions", m.app, "local", "current.json")
	publish := func(version string, n int) operation {
		pre := fmt.Sprintf(`eval ok = file:write_file(\"%s\", \"pre/%d \", [append]).`, d, n)
		text := fmt.Sprintf(`{"version":"%s","hash":"hash-%d","pre_commands":["%s"]}`, version, n, pre)
		return operation{
			name: "publish " + version, touches: true, done: allOf(1, version),
			do: func(*matrix) error {
				if err := os.WriteFile(current+".new", []byte(text), 0o644); err != nil {
					return err
				}
				return os.Rename(current+".new", current)
			},
		}
	}
	n := 0
	next := func() operation {
		n++
		return publish([]string{versionA, versionB}[n%2], n)
	}
	points := errandPoints(m.record(func() { m.whole(next()) }))
	if len(points) < 16 {
		t.Fatalf("only %q", points)
	}
	m.ran(d, "unkilled", "before_deploy", "after_deploy", "pre/1")
	m.visitor.since()
	for _, point := range points {
		o := next()
		before := m.until("quiet", quiet).Instances[0].Name
		if m.cell(o, point); t.Failed() {
			return
		}
		if a := m.until("quiet", quiet); !o.done(a) {
			m.whole(o)
		}
		m.ran(d, point, "before_deploy", "after_deploy", fmt.Sprintf("pre/%d", n), "before_stop/"+before)
	}
	if m.cells < len(points)/2 {
		t.Errorf("only %d of %d steps were killed at", m.cells, len(points))
	}
}
