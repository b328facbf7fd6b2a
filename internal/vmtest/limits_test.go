package vmtest

import (
	"fmt"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// limits of an instance, in its scope.
func limits(d *daemon) {
	t := d.t
	before := d.await("the instance", running("0.1.0"))
	daemon := d.mainPID()
	group := d.groupOf(before)
	if want := "/sys/fs/cgroup/beamkeeper.slice/beamkeeper-" + before.Name + ".scope"; group != want {
		t.Errorf("the group is %s, want %s", group, want)
	}
	for file, want := range map[string]string{"memory.max": "419430400", "cpu.max": "150000 100000", "pids.max": "200"} {
		if got := strings.TrimSpace(d.Run("cat", group+"/"+file)); got != want {
			t.Errorf("%s = %q, want %q", file, got, want)
		}
	}

	if out := d.Run("beamkeeper", "status"); !strings.Contains(out, "limits of each: memory 400 MiB, cpu 150%, 200 tasks") || strings.Contains(out, "have no effect") {
		t.Errorf("the status tells of the limits:\n%s", out)
	}

	// cpu
	d.rpc(`os:cmd("for n in 1 2 3 4; do (i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done) & done; wait").`)
	if d.counter(group, "cpu.stat", "nr_throttled") == 0 {
		t.Errorf("four loops on two cores were not throttled: %s", d.Run("cat", group+"/cpu.stat"))
	}

	// tasks
	out := d.rpc(`os:cmd("for i in $(seq 250); do sleep 3 & done 2>&1; wait").`)
	if n := d.counter(group, "pids.events", "max"); n == 0 {
		t.Errorf("no fork was refused: %s", out)
	}
	d.goesOn(before)

	// memory: a program that the instance has started is killed, not the instance
	if out := d.rpc(`os:cmd("/run/guest eat 500; echo ended with $?").`); !strings.Contains(out, "ended with 137") {
		t.Errorf("what eats 500 MiB says %s", out)
	}
	if n := d.counter(group, "memory.events", "oom_kill"); n != 1 {
		t.Errorf("%d processes were killed, want 1", n)
	}
	d.goesOn(before)
	d.serves(before)

	// memory: the BEAM itself
	_, _ = d.Try("beamkeeper", "rpc", "sample", "lists:duplicate(100000000, a).", "--timeout", "5m") // it dies under it
	after := d.await("it is started again", func(a api.App) bool { return running("0.1.0")(a) && a.Instances[0].OSPID != before.OSPID })
	if after.CrashRestarts != before.CrashRestarts+1 {
		t.Errorf("%d crash restarts, had %d", after.CrashRestarts, before.CrashRestarts)
	}
	events := d.Run("beamkeeper", "events", "--json", "-n", "30")
	crash := ""
	for line := range strings.Lines(events) {
		if strings.Contains(line, api.EventCrashRestart) {
			crash = line
		}
	}
	if !strings.Contains(crash, "memory") || !strings.Contains(crash, `"oom_kills"`) && !strings.Contains(crash, `"out_of_memory"`) {
		t.Errorf("the crash is told as %s", crash)
	}
	// changed under what runs
	d.Sh("sed -i 's/tasks_max: 200/tasks_max: 300/' /etc/beamkeeper/beamkeeper.yaml; beamkeeper config apply --yes")
	d.Eventually("the new limit holds", func() error {
		if got := strings.TrimSpace(d.Run("cat", group+"/pids.max")); got != "300" {
			return fmt.Errorf("pids.max = %q", got)
		}
		return nil
	})
	d.goesOn(after)

	if now := d.mainPID(); now != daemon {
		t.Errorf("the daemon is OS pid %s, was %s", now, daemon)
	}
}
