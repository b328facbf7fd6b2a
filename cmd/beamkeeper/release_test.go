package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/sampletest"
)

func TestRelease_InspectAndDiff(t *testing.T) {
	t.Parallel()
	run := func(args ...string) (string, string, int) {
		var stdout, stderr bytes.Buffer
		code := newCLI(strings.NewReader(""), &stdout, &stderr, func(string) string { return "" }).run(t.Context(), append([]string{"release"}, args...))
		return stdout.String(), stderr.String(), code
	}
	for _, language := range []string{"erlang", "elixir", "gleam"} {
		old, next := sampletest.Build(t, language, "0.1.0"), sampletest.Build(t, language, "0.2.0")
		out, stderr, code := run("inspect", old)
		if code != 0 || !strings.Contains(out, sampletest.AppName(language)+" 0.1.0") || !strings.Contains(out, "It runs on this host.") {
			t.Errorf("inspect: exit %d\n%s%s", code, out, stderr)
		}
		out, stderr, code = run("diff", old, next)
		if code != 0 || !strings.Contains(out, "0.1.0 → 0.2.0") || !strings.Contains(out, "\nFULL\n  1. ") {
			t.Errorf("diff: exit %d\n%s%s", code, out, stderr)
		}
		out, _, code = run("diff", old, next, "--json")
		var d struct {
			Verdict string
			Reasons []struct{ What, Remedy string }
			Apps    []struct{ Name string }
		}
		if err := json.Unmarshal([]byte(out), &d); err != nil || code != 0 || d.Verdict != "FULL" || len(d.Reasons) == 0 || len(d.Apps) == 0 {
			t.Errorf("diff --json: exit %d, %v\n%s", code, err, out)
		}
		if _, stderr, code := run("inspect", "/nowhere.tar.gz"); code != exitNotFound && code != exitFailed || !strings.Contains(stderr, "/nowhere.tar.gz") {
			t.Errorf("no file: exit %d, %s", code, stderr)
		}
	}
	if out, stderr, code := run("diff", sampletest.Build(t, "erlang", "0.1.0"), sampletest.Build(t, "elixir", "0.1.0")); code != exitRefused || !strings.Contains(out, "REFUSED") {
		t.Errorf("another app: exit %d\n%s%s", code, out, stderr)
	}
}
