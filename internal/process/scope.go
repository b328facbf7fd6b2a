package process

import (
	"os"
	"path"
	"strconv"
	"strings"
)

// ScopeSuffix ends the names of control groups that hold one instance each.
const ScopeSuffix = ".scope"

// ScopeName is the name of the control group, and of systemd's unit, that holds the processes of an instance and nothing
// else. Members believes it.
func ScopeName(instance string) string { return "beamkeeper-" + instance + ScopeSuffix }

// IsEPMD says whether a process is a port mapper, as far as its program's name tells.
func IsEPMD(pid int) bool {
	s, err := readStat(pid)
	return err == nil && (s.comm == epmdComm || isOwnEPMD(pid, s))
}

// isOwnEPMD says whether a process is the daemon's own port mapper, "beamkeeper epmd".
func isOwnEPMD(pid int, s stat) bool {
	if s.comm != "beamkeeper" {
		return false
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	args := strings.Split(string(b), "\x00")
	return err == nil && len(args) > 1 && args[1] == "epmd"
}

// inScope says whether a process is in the control group of an instance.
func inScope(pid int, instance string) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if group, ok := strings.CutPrefix(line, "0::"); ok {
			return path.Base(strings.TrimSuffix(strings.TrimSuffix(group, "\n"), " (deleted)")) == ScopeName(instance)
		}
	}
	return false
}
