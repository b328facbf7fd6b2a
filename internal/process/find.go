package process

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
)

// Found is an instance seen in /proc.
type Found struct {
	Identity
	App string // BEAMKEEPER_APP
	// Main says that OSPID is an instance's main process. Otherwise the main process has ended and OSPID is one
	// of those that it left behind (KillAll ends them).
	Main bool
}

// Find looks for instances of the daemon node in /proc (of any daemon when node is empty), one Found for each, in
// order of their names.
func Find(node string) ([]Found, error) {
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	found := map[string]Found{}
	err = eachStat(func(s stat) {
		if !s.alive() || s.comm == epmdComm || s.pid == os.Getpid() {
			return
		}
		env, err := readEnviron(s.pid)
		if err != nil {
			return // another user's, or it has just ended
		}
		instance, of := env.value(EnvInstance), env.value(EnvNode)
		if instance == "" || node != "" && of != node {
			return
		}
		f := Found{
			Identity: Identity{OSPID: s.pid, StartTime: s.start, BootID: boot, Instance: instance, Node: of},
			App:      env.value(EnvApp),
			Main:     isMain(s),
		}
		key := of + "\x00" + instance
		if old, ok := found[key]; !ok || better(f, old) {
			found[key] = f
		}
	})
	if err != nil {
		return nil, fmt.Errorf("process: find instances: %w", err)
	}
	list := make([]Found, 0, len(found))
	for _, f := range found {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b Found) int {
		return cmp.Or(cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Node, b.Node))
	})
	return list, nil
}

// isMain tells the process that Start made from what it has started. Both lead sessions and share an environment; but
// Start gives /dev/null and a log file, a BEAM gives its port programs pipes. (Before it is beam.smp, a main process is
// one of the programs of its start scripts.)
func isMain(s stat) bool {
	if s.session != s.pid || s.comm == "erl_child_setup" {
		return false
	}
	if s.comm == "beam.smp" {
		return true
	}
	in, err := os.Readlink("/proc/" + strconv.Itoa(s.pid) + "/fd/0")
	if err != nil || in != os.DevNull {
		return false
	}
	out, err := os.Stat("/proc/" + strconv.Itoa(s.pid) + "/fd/1")
	return err == nil && out.Mode().IsRegular()
}

// better prefers the main process, then the older one.
func better(a, b Found) bool {
	if a.Main != b.Main {
		return a.Main
	}
	return a.StartTime < b.StartTime || a.StartTime == b.StartTime && a.OSPID < b.OSPID
}

// Environment gives the variables that a process was started with; empty for one that it does not have.
//
// Errors: ErrGone when it has ended.
func Environment(id Identity) (value func(key string) string, err error) {
	env, err := readEnviron(id.OSPID)
	if err == nil {
		_, err = checkOwner(id)
	}
	if err != nil {
		return nil, fmt.Errorf("process: environment of %q (OS pid %d): %w", id.Instance, id.OSPID, err)
	}
	return env.value, nil
}
