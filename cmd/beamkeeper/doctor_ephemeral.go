package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/config"
)

// Where the kernel says which ports it gives to outgoing connections, IPv6 included.
const (
	portRangeFile     = "/proc/sys/net/ipv4/ip_local_port_range"
	reservedPortsFile = "/proc/sys/net/ipv4/ip_local_reserved_ports"
)

// checkPortRange warns of ports that the kernel may have given to an outgoing connection when an instance wants them.
func (d *doctor) checkPortRange(a config.App, portRange, reserved string) {
	low, high, ok := parsePortRange(readLine(portRange))
	if !ok {
		return // such a kernel gives no ports
	}
	kept := readLine(reserved)
	var inside []int
	for slot := range a.Slots() {
		for _, port := range a.Ports(slot) {
			if port >= low && port <= high && !inPortList(kept, port) {
				inside = append(inside, port)
			}
		}
	}
	if len(inside) == 0 {
		return
	}
	slices.Sort(inside)
	list := make([]string, len(inside))
	for i, port := range inside {
		list[i] = strconv.Itoa(port)
	}
	d.warn(a.Name, "ports", fmt.Sprintf("choose replica_ports below %d, or: sysctl -w net.ipv4.ip_local_reserved_ports=%s (added to what is there)", low, strings.Join(list, ",")),
		"within the range that the kernel takes ports of outgoing connections from (%d to %d): %s; now and then one is taken when an instance starts", low, high, strings.Join(list, ", "))
}

func readLine(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// parsePortRange reads LOW HIGH.
func parsePortRange(text string) (low, high int, ok bool) {
	f := strings.Fields(text)
	if len(f) != 2 {
		return 0, 0, false
	}
	low, err1 := strconv.Atoi(f[0])
	high, err2 := strconv.Atoi(f[1])
	return low, high, err1 == nil && err2 == nil
}

// inPortList tells whether a port is in a list such as 4000-4010,9100.
func inPortList(list string, port int) bool {
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		low, err1 := strconv.Atoi(from)
		high, err2 := strconv.Atoi(to)
		if err1 == nil && err2 == nil && port >= low && port <= high {
			return true
		}
	}
	return false
}
