package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/sampletest"
)

// Under a real systemd the lines of instances are in the journal: copied with their fields, or written there by the instance
// itself, which goes on over the death of the daemon and a restart of the journal.
func TestSystemd_Journal(t *testing.T) {
	t.Parallel()
	if testing.Short() || os.Geteuid() != 0 {
		t.Skip("boots a machine, which needs root")
	}
	if _, err := os.Stat("/lib/systemd/systemd"); err != nil {
		if os.Getenv("REQUIRE_OTP") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	b := bootTestbed(t, "/")
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	b.copyIn(bin, "beamkeeper")
	b.copyIn(sampletest.Build(t, "erlang", "0.1.0"), "sample-0.1.0.tar.gz")
	b.run("install", "-m", "755", "/srv/bk/beamkeeper", "/usr/bin/beamkeeper")
	config := func(target string) {
		b.write("/etc/beamkeeper/beamkeeper.yaml", "node: {start_epmd: true}\nlogs: {target: "+target+"}\n"+`
applications:
  - name: sample
    language: erlang
    replicas: 1
`)
	}
	config("both")
	starts := 0
	unit := func() string { return fmt.Sprintf("bk%d", starts) }
	start := func() {
		starts++
		b.run("systemd-run", "--unit="+unit(), "--collect", "-p", "KillMode=process", "-p", "Type=exec", "--setenv=HOME=/root", "beamkeeper", "run")
		b.eventually("the daemon answers", func() error { _, err := b.try("beamkeeper", "status"); return err })
	}
	start()
	b.run("beamkeeper", "publish", "sample", "/srv/bk/sample-0.1.0.tar.gz", "--version", "0.1.0")
	name := b.await(1, "0.1.0").Instances[0].Name

	// say has the instance write a line, and gives what the journal has of it.
	said := 0
	say := func() string {
		t.Helper()
		said++
		line := fmt.Sprintf("line %d for the journal", said)
		b.run("beamkeeper", "rpc", "sample", fmt.Sprintf(`io:format(user, "[error] %s~n", []).`, line))
		return line
	}
	entry := func(line string, want map[string]string, match ...string) {
		t.Helper()
		b.eventually("the journal has "+line, func() error {
			out := b.run(append([]string{"journalctl", "-o", "json", "--no-pager"}, match...)...)
			n := 0
			for text := range strings.Lines(out) {
				e := make(map[string]any)
				if err := json.Unmarshal([]byte(text), &e); err != nil {
					return err
				}
				if m, _ := e["MESSAGE"].(string); !strings.Contains(m, line) {
					continue
				}
				n++
				for key, value := range want {
					if e[key] != value {
						t.Errorf("%s: %s is %v, want %s", line, key, e[key], value)
					}
				}
			}
			if n != 1 {
				return fmt.Errorf("%d entries with %q", n, line)
			}
			return nil
		})
	}
	fields := map[string]string{"BEAMKEEPER_INSTANCE": name, "BEAMKEEPER_VERSION": "0.1.0", "BEAMKEEPER_STREAM": "stdout", "SYSLOG_IDENTIFIER": name, "PRIORITY": "3"}
	entry(say(), fields, "BEAMKEEPER_APP=sample")
	b.run("systemctl", "restart", "systemd-journald")
	entry(say(), fields, "BEAMKEEPER_APP=sample")

	// The other way: the instance itself.
	b.run("systemctl", "stop", unit())
	config("journal")
	start()
	b.run("beamkeeper", "restart", "sample/"+name)
	own := map[string]string{"SYSLOG_IDENTIFIER": name, "PRIORITY": "6", "_SYSTEMD_UNIT": "beamkeeper-" + name + ".scope", "_TRANSPORT": "stdout"}
	entry(say(), own, "-t", name)
	b.run("systemctl", "kill", "-s", "KILL", "--kill-whom=main", unit())
	b.eventually("the daemon is gone", func() error {
		if out, err := b.try("systemctl", "is-active", unit()); err == nil {
			return errors.New(out)
		}
		return nil
	})
	start()
	entry(say(), own, "-t", name)
	b.run("systemctl", "restart", "systemd-journald")
	entry(say(), own, "-t", name)
}
