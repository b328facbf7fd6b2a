package vmtest

import (
	"fmt"
	"strings"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// readOnly has the kernel make all file systems read-only under the daemon, as it does after an error of the disk.
func readOnly(d *daemon) {
	t := d.t
	before := d.await("the instance", running("0.1.0"))
	d.Sh("sync; echo u >/proc/sysrq-trigger")
	d.Eventually("the disk is read-only", func() error {
		if out, err := d.Try("touch", "/var/lib/beamkeeper/x"); err == nil {
			return fmt.Errorf("not yet %s", out)
		}
		return nil
	})
	d.goesOn(before)
	d.serves(before)
	d.Run("kill", "-KILL", fmt.Sprint(before.OSPID))
	const problem = "the file system of /var/lib/beamkeeper is read-only"
	if out := d.awaitStatus(true, problem); strings.Count(out, problem) != 1 {
		t.Errorf("the status says it more than once:\n%s", out)
	}
	d.Sh("mount -o remount,rw /")
	after := d.await("it runs again", func(a api.App) bool { return running("0.1.0")(a) && a.Instances[0].OSPID != before.OSPID })
	d.awaitStatus(false, problem)
	if after.CrashRestarts != before.CrashRestarts+1 {
		t.Errorf("%d crash restarts, had %d", after.CrashRestarts, before.CrashRestarts)
	}
	d.serves(after)
}

// fullDisk fills the disk on which state, releases and logs are.
func fullDisk(d *daemon) {
	t := d.t
	before := d.await("the instance", running("0.1.0"))
	daemon := d.mainPID()
	d.Sh("cd /var/lib/beamkeeper; dd if=/dev/zero of=filler bs=64k 2>/dev/null || true; ! dd if=/dev/zero of=filler2 bs=4k count=1 2>/dev/null")
	d.serves(before)
	d.Run("kill", "-KILL", fmt.Sprint(before.OSPID))
	d.await("the crash is seen", func(a api.App) bool { return len(a.Instances) == 1 && a.Instances[0].OSPID != before.OSPID })
	if now := d.mainPID(); now != daemon {
		t.Errorf("the daemon is OS pid %s, was %s", now, daemon)
	}
	d.Run("systemctl", "restart", "beamkeeper.service")
	d.Run("rm", "/var/lib/beamkeeper/filler", "/var/lib/beamkeeper/filler2")
	after := d.await("it runs again", running("0.1.0"))
	if after.CrashRestarts != before.CrashRestarts+1 {
		t.Errorf("%d crash restarts, had %d", after.CrashRestarts, before.CrashRestarts)
	}
	d.serves(after)
}
