package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func TestPlan_Verb(t *testing.T) {
	t.Parallel()
	f := newFakeControl()
	run := f.serve(t)
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "sample-9.0.0.tar.gz"), filepath.Join(dir, "other-1.0.0.tar.gz")
	if err := writeTarball(good, "erlang", "sample", "9.0.0"); err != nil {
		t.Fatal(err)
	}
	if err := writeTarball(bad, "erlang", "other", "1.0.0"); err != nil {
		t.Fatal(err)
	}
	torn := filepath.Join(dir, "torn.tar.gz")
	if b, err := os.ReadFile(good); err != nil || os.WriteFile(torn, b[:len(b)/2], 0o600) != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"plan", exitUsage, "", "APP is missing"},
		{"plan none", exitNotFound, "", "there is no app"},
		{"plan sample 0.1.0", exitOK, "SAME: there is nothing to do", ""},
		{"plan sample", exitUsage, "FULL: new instances replace the old ones", ""},
		{"plan sample 0.2.0", exitUsage, "1. sample 0.1.0 → 0.2.0 has no appup\n     → an appup of sample that leads from 0.1.0", ""},
		{"plan sample hot", exitUsage, "HOT: the running VMs can take it", ""},
		{"plan sample hot", exitUsage, "1  install  sample-abc123  release_handler installs hot in it", ""},
		{"plan sample hot", exitUsage, "runs 0.1.0 (release_handler: 0.1.0 permanent)  99 processes, 5.0 MiB  3.0 GiB of disk free", ""},
		{"plan sample hot", exitUsage, "sample-abc123: <0.99.0> counter of sample is in the old code of sample_counter", ""},
		{"plan sample hot", exitUsage, "sample-abc123: <0.98.0> does not answer system messages\uFFFD[31m", ""},
		{"plan sample hot --hot --full", exitUsage, "", "exclude each other"},
		{"plan sample refused", exitRefused, "REFUSED: it is not deployed\n  1. erts/bin/beam.smp is for s390x", ""},
		{"plan sample held", exitRefused, "not now:\n  it is outside of the deploy window, until Mon 2026-11-23 09:00 CET\n    → --force does it all the same", ""},
		{"plan sample held --force", exitUsage, "not now:", ""},
		{"plan sample " + good, exitUsage, "sample 0.1.0 → 9.0.0 (" + good + ")", ""},
		{"plan sample " + bad, exitRefused, "an app must be called like its release", ""},
		{"plan sample " + torn, exitRefused, "archive is cut off", ""},
		{"plan sample " + dir + "/none.tar.gz", exitNotFound, "", "there is no file"},
		{"__complete plan sample ", exitOK, "0.1.0", ""},
	} {
		args := strings.Fields(tt.args)
		if strings.HasSuffix(tt.args, " ") {
			args = append(args, "")
		}
		if code, stdout, stderr := run(args...); code != tt.code || !strings.Contains(stdout, tt.stdout) || !strings.Contains(stderr, tt.stderr) {
			t.Errorf("%s: exit %d\n%s%s", tt.args, code, stdout, stderr)
		}
	}
	code, stdout, _ := run("plan", "sample", "hot", "--json")
	var p api.Plan
	if err := json.Unmarshal([]byte(stdout), &p); err != nil || code != exitUsage || p.Verdict != "HOT" || p.Instances[0].Live.OldCode[0].Pid != "<0.99.0>" {
		t.Errorf("exit %d, %v, %+v", code, err, p)
	}
}
