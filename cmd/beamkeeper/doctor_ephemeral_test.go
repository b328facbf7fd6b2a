package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/config"
)

func TestDoctorPortRange(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("b.yaml", []byte("applications: [{name: shop, replicas: 2, readiness: {application: shop}, replica_ports: [{key: PORT, base: 40000}]}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	file := func(text string) string {
		t.Helper()
		name := filepath.Join(t.TempDir(), "sysctl")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for name, c := range map[string]struct{ ports, reserved, want string }{
		"inside":       {"32768\t60999\n", "\n", "): 40000, 40001, 40002;"},
		"partly":       {"40002\t60999\n", "\n", "): 40002;"},
		"above":        {"10000\t20000\n", "\n", ""},
		"all reserved": {"32768\t60999\n", "8125,39990-40010\n", ""},
		"one reserved": {"32768\t60999\n", "40001\n", "): 40000, 40002;"},
		"no such file": {"", "", ""},
	} {
		d := &doctor{cfg: cfg}
		d.checkPortRange(cfg.Applications[0], file(c.ports), file(c.reserved))
		switch {
		case c.want == "" && len(d.checks) == 0:
		case c.want == "" || len(d.checks) != 1 || d.checks[0].Result != checkWarn || !strings.Contains(d.checks[0].Detail, c.want):
			t.Errorf("%s: checks are %+v", name, d.checks)
		}
	}
	if _, err := os.Stat(portRangeFile); err == nil {
		if _, _, ok := parsePortRange(readLine(portRangeFile)); !ok {
			t.Errorf("%s is not understood", portRangeFile)
		}
	}
}
