package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMountIn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, mountinfo, want string }{
		{"unified", "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n", "/sys/fs/cgroup"},
		{"hybrid", "31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n32 25 0:28 / /sys/fs/cgroup/unified rw shared:8 - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup/unified"},
		{"none", "31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", ""},
	} {
		if got, err := mountIn([]byte(tt.mountinfo)); got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestLimits_Set(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"memory.max", "memory.high", "cpu.max"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := Limits{MemoryMax: 1 << 30, CPUQuota: 150, TasksMax: 100}
	if err := l.Set(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"memory.max": "1073741824", "memory.high": "max", "cpu.max": "150000 100000"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); string(b) != want || err != nil {
			t.Errorf("%s = %q, %v, want %q", name, b, err, want)
		}
	}
	if got := l.Missing(dir); !slices.Equal(got, []string{"pids"}) {
		t.Errorf("Missing = %q, want pids", got)
	}
	if got := l.Controllers(); !slices.Equal(got, []string{"memory", "cpu", "pids"}) {
		t.Errorf("Controllers = %q", got)
	}
	if got := (Limits{}).Missing(dir); got != nil {
		t.Errorf("Missing without limits = %q", got)
	}
}

// The counter is known also when the group has been removed.
func TestOOMWatch(t *testing.T) {
	t.Parallel()
	o, err := NewOOMWatch()
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "memory.events")
	write := func(n int) {
		if err := os.WriteFile(file, fmt.Appendf(nil, "low 0\nhigh 7\nmax 3\noom 1\noom_kill %d\noom_group_kill 0\n", n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(0)
	o.Add(dir)
	if n := o.Kills(dir); n != 0 {
		t.Fatalf("Kills = %d, want 0", n)
	}
	write(2)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		o.mu.Lock()
		n := o.kills[dir]
		o.mu.Unlock()
		if n == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("Kills = %d, want 2 without being asked", n)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if n := o.Kills(dir); n != 2 {
		t.Errorf("Kills = %d after the group was removed, want 2", n)
	}
	o.Remove(dir)
	if n := o.Kills(dir); n != 0 {
		t.Errorf("Kills = %d after Remove, want 0", n)
	}
}

// A real group: made, filled, read, emptied, removed.
func TestMake(t *testing.T) {
	t.Parallel()
	base, ok := Delegated(false)
	if !ok {
		if os.Geteuid() == 0 && os.Getenv("REQUIRE_OTP") == "1" {
			t.Fatal("no cgroup v2 that root can write to")
		}
		t.Skip("no cgroup v2 of our own")
	}
	name := fmt.Sprintf("beamkeeper-test-%d.slice", os.Getpid())
	dir, err := Make(base, name+"/beamkeeper-a.scope", []string{"memory", "nonsense"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, d := range []string{dir, filepath.Dir(dir)} {
			if err := Remove(d); err != nil {
				t.Error(err)
			}
		}
	}()
	cmd := exec.Command("sleep", "300")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if err := Move(dir, cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if got, err := Of(cmd.Process.Pid); got != dir || err != nil {
		t.Errorf("Of = %q, %v, want %q", got, err, dir)
	}
	if pids, err := PIDs(filepath.Dir(dir)); !slices.Equal(pids, []int{cmd.Process.Pid}) || err != nil {
		t.Errorf("PIDs = %v, %v, want %d", pids, err, cmd.Process.Pid)
	}
	if err := Remove(dir); !errors.Is(err, syscall.EBUSY) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Remove of a group with a process = %v, want EBUSY", err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err := Move(dir, cmd.Process.Pid); err != nil {
		t.Errorf("Move of a process that has ended: %v", err)
	}
	if pids, err := PIDs("/sys/fs/cgroup/nothing-here"); pids != nil || err != nil {
		t.Errorf("PIDs of no group = %v, %v", pids, err)
	}
}
