package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	oldRoot = "/root"
	// masked would only cost time.
	masked = "console-getty.service getty@tty1.service serial-getty@ttyS0.service systemd-timesyncd.service " +
		"apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer systemd-modules-load.service e2scrub_reap.service " +
		"modprobe@.service systemd-random-seed.service systemd-update-utmp.service systemd-hwdb-update.service " +
		"systemd-journal-catalog-update.service systemd-machine-id-commit.service systemd-pcrphase.service " +
		"systemd-logind.service dev-ttyS0.device systemd-binfmt.service proc-sys-fs-binfmt_misc.automount " +
		"ldconfig.service systemd-firstboot.service systemd-sysusers.service systemd-tpm2-setup.service systemd-tpm2-setup-early.service " +
		"sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount sys-fs-fuse-connections.mount"
	agentUnit = `[Unit]
Description=What the host asks for
DefaultDependencies=no
After=dbus.socket
[Service]
ExecStart=/run/guest serve
Restart=always
`
)

// becomeSystemd is the initial file system's part: /modules lists the modules to load; /dev/vda becomes the root,
// /dev/vdb is mounted on /srv/bk. What is set up for the tests is below /run, in memory.
func becomeSystemd() error {
	for _, m := range []struct{ kind, at string }{{"devtmpfs", "/dev"}, {"proc", "/proc"}} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	if err := loadModules("/modules"); err != nil {
		return err
	}
	if err := mountDisk("/dev/vda", oldRoot); err != nil {
		return err
	}
	if err := mountDisk("/dev/vdb", oldRoot+"/srv/bk"); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", oldRoot+"/run", "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	if err := setUp(oldRoot); err != nil {
		return err
	}
	if err := unix.Mount("/dev", oldRoot+"/dev", "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	if err := unix.Unmount("/proc", 0); err != nil {
		return err
	}
	if err := os.Chdir(oldRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return unix.Exec("/lib/systemd/systemd", []string{"/lib/systemd/systemd", "--unit=multi-user.target", "--show-status=0"},
		[]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_LOG_TARGET=kmsg"})
}

// loadModules loads the modules of a list. Which of them needs which differs between kernels: those that cannot be loaded yet
// are tried again after the others.
func loadModules(list string) error {
	b, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	left := strings.Fields(string(b))
	for len(left) > 0 {
		var again []string
		for _, name := range left {
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			err = unix.FinitModule(int(f.Fd()), "", 0)
			f.Close()
			switch {
			case errors.Is(err, unix.ENOENT): // a symbol is not there
				again = append(again, name)
			case err != nil && !errors.Is(err, unix.EEXIST):
				return fmt.Errorf("load %s: %w", name, err)
			}
		}
		if len(again) == len(left) {
			return fmt.Errorf("load %q: they need other modules", again)
		}
		left = again
	}
	return nil
}

func mountDisk(device, at string) error {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	for range 600 { // until its driver has found it
		if _, err := os.Stat(device); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := unix.Mount(device, at, "ext4", 0, ""); err != nil {
		return fmt.Errorf("mount %s: %w", device, err)
	}
	return nil
}

// setUp writes the units that the tests need.
func setUp(root string) error {
	units := filepath.Join(root, "run/systemd/system")
	if err := os.MkdirAll(filepath.Join(units, "sysinit.target.wants"), 0o755); err != nil {
		return err
	}
	for unit := range strings.FieldsSeq(masked) {
		if err := os.Symlink("/dev/null", filepath.Join(units, unit)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	self, err := os.ReadFile("/init")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "run/guest"), self, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(units, "guest.service"), []byte(agentUnit), 0o644); err != nil {
		return err
	}
	if err := os.Symlink("../guest.service", filepath.Join(units, "sysinit.target.wants/guest.service")); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"etc/hostname": "guest\n", "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 guest\n", "etc/fstab": "",
		"etc/systemd/journald.conf.d/guest.conf": "[Journal]\nStorage=volatile\nRateLimitBurst=0\n",
		"etc/systemd/system.conf.d/guest.conf":   "[Manager]\nDefaultTimeoutStartSec=10min\nDefaultTimeoutStopSec=10min\n", // the host may be busy
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
