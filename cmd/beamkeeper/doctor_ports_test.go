package main

import (
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/config"
)

// A port that an instance holds while no daemon runs is no fault; one that a stranger holds is.
func TestDoctorPorts_TellInstancesThatRunOnFromStrangers(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := ln.Addr().(*net.TCPAddr).Port
	cfg, err := config.Parse("b.yaml", []byte("node: {name: doctorports, host: here}\napplications: [{name: shop, replicas: 0, readiness: {application: shop}, replica_ports: [{key: PORT, base: "+strconv.Itoa(port)+"}]}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	look := func() check {
		t.Helper()
		d := &doctor{cfg: cfg}
		d.checkPorts(cfg.Applications[0])
		if len(d.checks) != 1 {
			t.Fatalf("checks are %+v", d.checks)
		}
		return d.checks[0]
	}
	if c := look(); c.Result != checkFail || !strings.Contains(c.Detail, "taken by something else: PORT=") {
		t.Errorf("with a stranger: %+v", c)
	}
	instance := exec.Command("sleep", "60")
	instance.Env = []string{"BEAMKEEPER_NODE=doctorports@here", "BEAMKEEPER_APP=shop", "BEAMKEEPER_INSTANCE=shop-abc123", "PORT=" + strconv.Itoa(port)}
	if err := instance.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = instance.Process.Kill(); _ = instance.Wait() }() // what it ends with does not matter
	if c := look(); c.Result != checkOK || !strings.Contains(c.Detail, "by shop-abc123") {
		t.Errorf("with an instance: %+v", c)
	}
}
