package vmtest

import "fmt"

// daemonOutOfMemory has the kernel kill in the daemon's group: a process beside the daemon, then the daemon.
func daemonOutOfMemory(d *daemon) {
	t := d.t
	before := d.await("the instance", running("0.1.0"))
	daemon := d.mainPID()
	d.Run("systemctl", "set-property", "--runtime", "beamkeeper.service", "MemoryMax=200M")
	if out, err := d.Try("sh", "-c", "echo $$ >/sys/fs/cgroup/beamkeeper.slice/beamkeeper.service/cgroup.procs; exec /run/guest eat 400"); err == nil {
		t.Errorf("what eats 400 MiB beside the daemon says %s", out)
	}
	if now := d.mainPID(); now != daemon {
		t.Errorf("OOMPolicy=continue: the daemon is OS pid %s, was %s", now, daemon)
	}
	d.goesOn(before)

	d.Run("systemctl", "set-property", "--runtime", "beamkeeper.service", "MemoryMax=4M")
	d.Eventually("the daemon is killed", func() error {
		if now := d.mainPID(); now == daemon {
			return fmt.Errorf("it is OS pid %s", now)
		}
		return nil
	})
	d.Run("systemctl", "set-property", "--runtime", "beamkeeper.service", "MemoryMax=infinity")
	d.goesOn(before)
	d.serves(before)
}
