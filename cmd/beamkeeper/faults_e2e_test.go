package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
)

// served is a rig with two instances of 0.1.0 that a visitor asks all the time.
func served(t *testing.T, r *rig) (before api.App, v *visitor) {
	t.Helper()
	r.must("deploy", r.app, sampletest.Build(t, "erlang", "0.1.0"))
	before = r.await("two instances", running(2, "0.1.0"))
	var ports []int
	for _, i := range before.Instances {
		ports = append(ports, i.Ports["PORT"])
	}
	return before, visit(t, false, ports...)
}

// unserved fails the test when the visitor was ever not served.
func unserved(t *testing.T, v *visitor) {
	t.Helper()
	if n, out := v.leave(); n == 0 || len(out) > 0 {
		t.Errorf("%d requests, outages %q", n, out)
	}
}

// A daemon that hangs takes no instance down, is told of as what it is, keeps another one from starting beside it, and goes
// on where it was.
func TestEndToEnd_AHungDaemon(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	d := r.run()
	before, v := served(t, r)
	pid := d.cmd.Process.Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGCONT)
	if _, stderr, code := r.command("run"); code != exitRefused || !strings.Contains(stderr, fmt.Sprintf("kill -CONT %d", pid)) {
		t.Errorf("a second daemon: code %d\n%s", code, stderr)
	}
	if _, stderr, code := r.command("status"); code != exitUnreachable || !strings.Contains(stderr, fmt.Sprintf("kill -CONT %d", pid)) {
		t.Errorf("status of a daemon that hangs: code %d\n%s", code, stderr)
	}
	// What ends meanwhile is seen afterwards.
	victim := before.Instances[1]
	if err := syscall.Kill(victim.OSPID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	after := r.await("the crash to be dealt with", func(a api.App) bool {
		return running(2, "0.1.0")(a) && slices.ContainsFunc(a.Instances, func(i api.Instance) bool { return i.Name == victim.Name && i.OSPID != victim.OSPID })
	})
	if osPIDs(after)[before.Instances[0].Name] != before.Instances[0].OSPID {
		t.Errorf("%v, was %v", osPIDs(after), osPIDs(before))
	}
	unserved(t, v)
	d.end(syscall.SIGTERM, exitOK)
}

// A daemon that lost its state folder leaves what runs alone and starts nothing beside it, until it is told to adopt it.
func TestEndToEnd_ALostStateFolder(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	d := r.run()
	before, v := served(t, r)
	d.end(syscall.SIGKILL, -1)
	if err := os.RemoveAll(filepath.Join(r.dir, "var", "state")); err != nil {
		t.Fatal(err)
	}
	d = r.run()
	out := r.must("adopt")
	for name, pid := range osPIDs(before) {
		if !strings.Contains(out, name) || !strings.Contains(out, strconv.Itoa(pid)) || !alive(pid) {
			t.Errorf("%s (OS pid %d, alive %v) is not offered:\n%s", name, pid, alive(pid), out)
		}
	}
	if out := r.must("status"); !strings.Contains(out, "beamkeeper adopt "+r.app) {
		t.Errorf("status does not offer it:\n%s", out)
	}
	if _, stderr, code := r.command("deploy", r.app, "0.1.0"); code != exitRefused || !strings.Contains(stderr, "beamkeeper adopt") {
		t.Errorf("deploy meanwhile: code %d\n%s", code, stderr)
	}
	r.must("adopt", r.app)
	after := r.await("both adopted", running(2, "0.1.0"))
	if fmt.Sprint(osPIDs(after)) != fmt.Sprint(osPIDs(before)) {
		t.Errorf("%v, was %v", osPIDs(after), osPIDs(before))
	}
	for _, i := range after.Instances {
		if i.CrashRestarts != 0 || !slices.ContainsFunc(before.Instances, func(b api.Instance) bool { return b.Name == i.Name && b.Slot == i.Slot }) {
			t.Errorf("%+v, was %+v", i, before.Instances)
		}
	}
	r.must("deploy", r.app, sampletest.Build(t, "erlang", "0.2.0"))
	r.await("the next version", running(2, "0.2.0"))
	d.end(syscall.SIGTERM, exitOK)
	_ = v // the deployment has used a port that it does not know
}

// A disk that is full stops nothing that runs: an instance that crashes is started again, a deployment fails at its
// unpacking and says so, and with space again it is tried again by itself.
func TestEndToEnd_AFullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount")
	}
	r := newRig(t, "erlang")
	for _, dir := range []string{"var", "log"} {
		disk := filepath.Join(r.dir, dir)
		cookie, _ := os.ReadFile(filepath.Join(disk, "cookie"))
		if err := errors.Join(os.MkdirAll(disk, 0o755), unix.Mount("tmpfs", disk, "tmpfs", 0, "size=160m,mode=755")); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
		if len(cookie) > 0 {
			if err := os.WriteFile(filepath.Join(disk, "cookie"), cookie, 0o400); err != nil {
				t.Fatal(err)
			}
		}
	}
	d := r.run()
	before, v := served(t, r)
	fillers := []string{filepath.Join(r.dir, "var", "filler"), filepath.Join(r.dir, "log", "filler")}
	for _, f := range fillers {
		fillFile(t, f)
	}
	_, stderr, code := r.command("deploy", r.app, sampletest.Build(t, "erlang", "0.2.0"))
	if code != exitFailed || !strings.Contains(stderr, "no space left") && !strings.Contains(stderr, "free") {
		t.Errorf("deploy on a full disk: code %d\n%s", code, stderr)
	}
	victim := before.Instances[1]
	if err := syscall.Kill(victim.OSPID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.await("the crash to be noted on a full disk", func(a api.App) bool {
		return slices.ContainsFunc(a.Instances, func(i api.Instance) bool {
			return i.Name == victim.Name && i.OSPID != victim.OSPID && i.CrashRestarts >= 1
		})
	})
	if out := r.must("events", "-n", "20"); !strings.Contains(out, "crash_restart") {
		t.Errorf("events on a full disk:\n%s", out)
	}
	// Killed and started again on the full disk.
	d.end(syscall.SIGKILL, -1)
	d = r.run()
	after := r.await("the one that did not crash", func(a api.App) bool {
		return slices.ContainsFunc(a.Instances, func(i api.Instance) bool { return i.Name == before.Instances[0].Name && i.OTPConnected })
	})
	if osPIDs(after)[before.Instances[0].Name] != before.Instances[0].OSPID {
		t.Errorf("%v, was %v", osPIDs(after), osPIDs(before))
	}
	unserved(t, v)
	if out := r.must("status"); !strings.Contains(out, "tried again by itself") {
		t.Errorf("status on a full disk:\n%s", out)
	}
	for _, f := range fillers {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	if a := r.await("the next version, unasked", running(2, "0.2.0")); len(a.Ghosted) != 0 {
		t.Errorf("ghosts %q", a.Ghosted)
	}
	r.must("stop", r.app)
	d.end(syscall.SIGTERM, exitOK)
}

// fillFile writes to a file until its disk is full.
func fillFile(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 4096, 1} {
		for b := make([]byte, size); err == nil; _, err = f.Write(b) {
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		err = nil
	}
}

// A daemon out of file descriptors goes on with what it has, says so, and takes up its work when it has some again.
func TestEndToEnd_OutOfDescriptors(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	d := r.run()
	before, v := served(t, r)
	pid := d.cmd.Process.Pid
	limit := func(n uint64) {
		t.Helper()
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: 4096}, nil); err != nil {
			t.Fatal(err)
		}
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	limit(uint64(len(fds) + 12))
	r.await("the problem to be told", func(api.App) bool {
		stdout, _, _ := r.command("status")
		return strings.Contains(stdout, "file descriptors are in use")
	})
	limit(uint64(len(fds) - 2)) // none can be opened at all
	victim := before.Instances[1]
	if err := syscall.Kill(victim.OSPID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); !strings.Contains(d.readLog(), "too many open files"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the log tells of no want of descriptors")
		}
	}
	if !alive(pid) || !alive(before.Instances[0].OSPID) {
		t.Fatalf("daemon alive: %v, instance alive: %v", alive(pid), alive(before.Instances[0].OSPID))
	}
	limit(4096)
	after := r.await("the crash to be dealt with", func(a api.App) bool {
		return running(2, "0.1.0")(a) && slices.ContainsFunc(a.Instances, func(i api.Instance) bool { return i.Name == victim.Name && i.OSPID != victim.OSPID })
	})
	for _, i := range after.Instances {
		if i.Name == victim.Name && i.CrashRestarts != 1 {
			t.Errorf("%+v", i)
		}
	}
	unserved(t, v)
	d.end(syscall.SIGTERM, exitOK)
}
