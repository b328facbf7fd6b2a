package main

import (
	"strings"
	"testing"
)

func TestDeployment_CommitAndRevert(t *testing.T) {
	t.Parallel()
	f := newFakeControl()
	run := f.serve(t)
	tests := []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"deploy sample slow --hot --full", exitUsage, "", "exclude each other"},
		{"deploy sample slow --hot --detach", exitOK, "d0000001", "has begun"},
		{"deployment commit", exitUsage, "", "ID is missing"},
		{"deployment commit d0000009 --kill-lingering", exitNotFound, "", "no deployment"},
		{"deployment commit d0000001", exitRefused, "", "still runs old code"},
		{"deployment commit d0000001 --kill-lingering", exitOK, "succeeded in 2.5s", ""},
		{"deploy sample slow --full --detach", exitOK, "d0000002", ""},
		{"deployment revert d0000002", exitOK, "was reverted after 2.5s", ""},
		{"deployment watch d0000002", exitFailed, "", "was reverted"},
	}
	for _, tt := range tests {
		if code, stdout, stderr := run(strings.Fields(tt.args)...); code != tt.code || !strings.Contains(stdout, tt.stdout) || !strings.Contains(stderr, tt.stderr) {
			t.Errorf("%s: exit %d\n%s%s", tt.args, code, stdout, stderr)
		}
	}
	if d := f.deployments["d0000001"]; d.Kind != "hot" {
		t.Errorf("deploy --hot asked for kind %q", d.Kind)
	}
}
