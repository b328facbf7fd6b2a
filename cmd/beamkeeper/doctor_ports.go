package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/config"
	"github.com/beamkeeper/beamkeeper/internal/process"
)

// checkPorts tries every port of the app that none of its instances has. Without a daemon to ask, an instance that runs
// on is found by what the kernel shows of it.
func (d *doctor) checkPorts(a config.App) {
	var tried, taken, ours []string
	for slot := range a.Slots() {
		for key, port := range a.Ports(slot) {
			if d.instanceHas(port) {
				continue
			}
			tried = append(tried, strconv.Itoa(port))
			ln, err := net.Listen("tcp", ":"+strconv.Itoa(port))
			if err == nil {
				_ = ln.Close() // it was only asked whether it is free
				continue
			}
			if i := d.runsOn(a.Name, key, port); i != "" {
				ours = append(ours, fmt.Sprintf("%s=%d by %s", key, port, i))
			} else {
				taken = append(taken, fmt.Sprintf("%s=%d (slot %d): %v", key, port, slot, err))
			}
		}
	}
	slices.Sort(taken)
	slices.Sort(ours)
	if len(taken) > 0 {
		d.fail(a.Name, "ports", "end what listens there (ss -ltnp), or change replica_ports", "taken by something else: %s", strings.Join(taken, "; "))
	}
	if len(ours) > 0 {
		d.ok(a.Name, "ports", "in use by instances that run on without a daemon: %s", strings.Join(ours, "; "))
	}
	if free := len(tried) - len(taken) - len(ours); len(taken) == 0 && free > 0 {
		d.ok(a.Name, "ports", "%d free", free)
	}
}

// runsOn is the instance of the app that was started with this port and runs while no daemon answers; empty: none is.
func (d *doctor) runsOn(app, key string, port int) string {
	if d.status != nil {
		return ""
	}
	name, err := nodeName(d.cfg)
	if err != nil {
		return ""
	}
	found, err := process.Find(name.String())
	if err != nil {
		return ""
	}
	variable := fmt.Appendf(nil, "%s=%d", key, port)
	for _, f := range found {
		if f.App != app {
			continue
		}
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", f.OSPID))
		if err == nil && slices.ContainsFunc(bytes.Split(env, []byte{0}), func(v []byte) bool { return bytes.Equal(v, variable) }) {
			return f.Instance
		}
	}
	return ""
}
