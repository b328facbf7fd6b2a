package process

import (
	"context"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func TestParseOOM(t *testing.T) {
	t.Parallel()
	id := Identity{OSPID: 4711, StartTime: 9000} // 90 s after boot
	tests := []struct {
		name, record string
		cgroup, want bool
	}{
		{"of the machine", "3,1042,98341231,-;Out of memory: Killed process 4711 (beam.smp) total-vm:2048kB, anon-rss:1024kB", false, true},
		{"of a cgroup", "3,1042,98341231,-;Memory cgroup out of memory: Killed process 4711 (beam.smp) total-vm:2048kB\n SUBSYSTEM=x", true, true},
		{"another process", "3,1042,98341231,-;Out of memory: Killed process 47110 (beam.smp) total-vm:2048kB", false, false},
		{"an earlier process with its OS pid", "3,1042,80341231,-;Out of memory: Killed process 4711 (beam.smp)", false, false},
		{"written by a program", "11,1042,98341231,-;Out of memory: Killed process 4711 (beam.smp)", false, false},
		{"something else", "6,1,98341231,-;Killed process 4711 (beam.smp) by hand", false, false},
		{"broken", "3,1042;Out of memory: Killed process 4711 (", false, false},
		{"empty", "", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			at, cgroup, ok := parseOOM([]byte(tt.record), id)
			if ok != tt.want || cgroup != tt.cgroup || ok && at != 98341231*time.Microsecond {
				t.Errorf("parseOOM = %v, %v, %v", at, cgroup, ok)
			}
		})
	}
}

// How a process ended that nobody watched and nobody has reaped.
func TestEnded_OfAZombie(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("/bin/sh", "-c", "exit 7")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	boot, err := bootID()
	if err != nil {
		t.Fatal(err)
	}
	s, err := readStat(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	id := Identity{OSPID: cmd.Process.Pid, StartTime: s.start, BootID: boot, Instance: "x-123456"}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for s.alive() && ctx.Err() == nil {
		if s, err = readStat(id.OSPID); err != nil {
			t.Fatal(err)
		}
	}
	if e := Ended(id); !e.Known || e.Code != 7 {
		t.Errorf("Ended = %+v", e)
	}
	id.StartTime++
	if e := Ended(id); e.Known {
		t.Errorf("of another process with its OS pid: %+v", e)
	}
	if syscall.Kill(id.OSPID, 0) != nil {
		t.Error("it was reaped")
	}
}
