package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

func TestPrintStatus_SaysWhatAnInstanceWaitsFor(t *testing.T) {
	t.Parallel()
	s := api.Status{Node: "b@h", Version: "1", Apps: []api.App{{Name: "shop", Language: "elixir", Mode: "stopped", Replicas: 1,
		Instances: []api.Instance{
			{Name: "shop-bbbbbb", State: api.StateBackoff, Slot: 1, CrashRestarts: 1, LastError: "exit code 1: no \x1bdatabase", RetryAt: api.Time{Time: time.Now().Add(90 * time.Second)}},
			{Name: "shop-aaaaaa", State: api.StateStarting, Slot: 0, Readiness: []api.Step{{Name: "process", State: "passed"},
				{Name: "node", State: "waiting", AgeMS: 2300, Detail: "nxdomain"}, {Name: "application", State: "waiting"}}},
		}}}}
	var b bytes.Buffer
	if err := printStatus(&b, s); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	for i, want := range map[int]string{
		2: "shop  elixir  no version yet  0/1 running  stopped",
		3: "node waiting 2.3s (nxdomain)",
		4: "1 crash restart, again in 1m", // and some seconds
	} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d is %q, want %q", i, lines[i], want)
		}
	}
	if strings.Contains(b.String(), "\x1b") || !strings.Contains(lines[4], "exit code 1: no \uFFFDdatabase") {
		t.Errorf("line 4 is %q", lines[4])
	}
}

// A version that is wanted and does not run is not shown as if it did.
func TestSummary_TellsWhatRunsFromWhatIsWanted(t *testing.T) {
	t.Parallel()
	a := api.App{Language: "erlang", Mode: "automatic", DesiredVersion: "2.0.0", Replicas: 2, Instances: []api.Instance{
		{State: api.StateRunning, Version: "1.0.0"}, {State: api.StateStarting, Version: "2.0.0"}, {State: api.StateRunning, Version: "1.0.0"}}}
	for want, change := range map[string]func(){
		"erlang  1.0.0 (wanted: 2.0.0)  2/2 running":        func() {},
		"erlang  1.0.0, 2.0.0 (wanted: 2.0.0)  2/2 running": func() { a.Instances[0].Version = "2.0.0" },
		"erlang  2.0.0  2/2 running":                        func() { a.Instances[0].Version, a.Instances[2].Version = "2.0.0", "2.0.0" },
	} {
		a.Instances[0].Version, a.Instances[2].Version = "1.0.0", "1.0.0"
		change()
		if got := summary(a); got != want {
			t.Errorf("summary is %q, want %q", got, want)
		}
	}
	if r := remarks(api.Instance{State: api.StateStopping, OTPConnected: true}); r != "" {
		t.Errorf("remarks are %q", r)
	}
}

func TestRemarks_SayWhichSiblingsAreSeen(t *testing.T) {
	t.Parallel()
	for want, sees := range map[string][]string{
		"OTP 25": nil, "OTP 25, sees no sibling": {}, "OTP 25, sees shop-bbbbbb shop-cccccc": {"shop-bbbbbb", "shop-cccccc"},
		"OTP 25, sees 5 siblings": {"a", "b", "c", "d", "e"},
	} {
		i := api.Instance{State: api.StateRunning, OTPConnected: true, OTPRelease: "25", Sees: sees}
		if got := remarks(i); got != want {
			t.Errorf("remarks are %q, want %q", got, want)
		}
		if i.State = api.StateStopping; strings.Contains(remarks(i), "sees") {
			t.Errorf("of a stopping one: %q", remarks(i))
		}
	}
}

func TestWatchStatus_ShowsChangesUntilInterrupted(t *testing.T) {
	t.Parallel()
	f := newFakeControl()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	looks := 0
	look := func(ctx context.Context) (api.Status, error) {
		switch looks++; looks {
		case 3:
			f.app.Instances[0].State = api.StateBackoff
		case 4:
			cancel()
		}
		return f.Status(ctx)
	}
	var b bytes.Buffer
	if err := newCLI(nil, &b, nil, nil).watchStatus(ctx, look, true); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[1], `"state":"backoff"`) {
		t.Errorf("%d lines, want the first and the changed one:\n%s", len(lines), b.String())
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 1234 * time.Millisecond: "1.2s", 192 * time.Second: "3m12s", 125 * time.Minute: "2h05m", 99 * time.Hour: "4d03h",
	} {
		if got := duration(d); got != want {
			t.Errorf("duration(%d) = %s, want %s", d, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 12_900_000: "12.3 MiB", 5 << 40: "5.0 TiB", 3 << 60: "3072.0 PiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
}
