package confine

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/cgroup"
	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/systemd"
)

const patience = 20 * time.Second

// ownGroups is a Placer that makes groups, as on a host without systemd.
func ownGroups(t *testing.T) (*Placer, string) {
	t.Helper()
	base, ok := cgroup.Delegated(false)
	if !ok {
		if os.Geteuid() == 0 && os.Getenv("REQUIRE_OTP") == "1" {
			t.Fatal("no cgroup v2 that root can write to")
		}
		t.Skip("no cgroup v2 of our own")
	}
	top := filepath.Join(base, fmt.Sprintf("bk-confine-%d", os.Getpid()))
	if err := os.Mkdir(top, 0o755); err != nil {
		t.Fatal(err)
	}
	p := New(t.Context(), slog.New(slog.DiscardHandler))
	p.keeper = &groups{base: top}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if err := cgroup.Remove(top); err != nil {
			t.Error(err)
		}
	})
	return p, top
}

// started is an instance whose program is a shell script.
func started(t *testing.T, name, script string) *process.Process {
	t.Helper()
	dir := t.TempDir()
	p, err := process.Start(process.Command{
		Path: "/bin/sh", Args: []string{"-c", script}, Dir: dir, Stdout: filepath.Join(dir, "out"),
		Env: []string{"PATH=" + os.Getenv("PATH"), "BEAMKEEPER_INSTANCE=" + name, "BEAMKEEPER_NODE=confine@test", "BEAMKEEPER_APP=a"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := process.KillAll(context.Background(), p.Identity()); err != nil {
			t.Error(err)
		}
		p.Close()
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if b, _ := os.ReadFile(filepath.Join(dir, "out")); strings.Contains(string(b), "up\n") {
			return p
		}
		if time.Now().After(deadline) {
			t.Fatal("the script does not come up")
		}
	}
}

func TestPlacer_Groups(t *testing.T) {
	p, top := ownGroups(t)
	epmd := filepath.Join(t.TempDir(), "epmd")
	if out, err := exec.Command("cp", "/bin/sleep", epmd).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	proc := started(t, "a-000001", epmd+" 300 & sleep 300 & setsid sleep 300 & echo up; wait")
	pl := Placement{App: "a", Instance: "a-000001", Version: "1", Process: proc.Identity(), Limits: cgroup.Limits{MemoryMax: 1 << 30}}
	mapper := epmdOf(t, epmd)
	if err := p.Place(t.Context(), pl); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(top, slice, process.ScopeName("a-000001"))
	members, err := process.Members(proc.Identity())
	if err != nil || len(members) != 3 {
		t.Fatalf("Members = %v, %v, want 3", members, err)
	}
	for _, m := range members {
		if at, err := cgroup.Of(m.OSPID); at != dir || err != nil {
			t.Errorf("%s is in %s, %v, want %s", m.Comm, at, err, dir)
		}
	}
	// One that the instance starts now is in its place, until it is looked at again.
	if err := cgroup.Move(dir, mapper); err != nil {
		t.Fatal(err)
	}
	if err := p.Place(t.Context(), pl); err != nil {
		t.Fatal(err)
	}
	if mappers, err := cgroup.PIDs(filepath.Join(top, slice, epmdUnit)); err != nil || !slices.Equal(mappers, []int{mapper}) {
		t.Errorf("port mappers in their place = %v, %v, want %d", mappers, err, mapper)
	}
	if missing := pl.Limits.Missing(dir); len(missing) > 0 {
		if got := p.Problems(); len(got) != 1 || !strings.Contains(got[0].What, "memory") || got[0].Remedy == "" {
			t.Errorf("Problems = %+v, want one about memory", got)
		}
	}
	if n := p.OOMKills("a-000001"); n != 0 {
		t.Errorf("OOMKills = %d", n)
	}
	if err := process.KillAll(t.Context(), proc.Identity()); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("kill", "-0", fmt.Sprint(mapper)).Run(); err != nil {
		t.Errorf("the port mapper was killed with the instance: %v", err)
	}
	if err := exec.Command("kill", "-9", fmt.Sprint(mapper)).Run(); err != nil {
		t.Error(err)
	}
	waitEmpty(t, filepath.Join(top, slice))
	if err := p.Leave(t.Context(), "a-000001"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(top, slice)); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", slice, err)
	}
}

// The place of an instance that a daemon before this one had is removed, too.
func TestPlacer_LeaveUnknown(t *testing.T) {
	p, top := ownGroups(t)
	dir, err := cgroup.Make(top, slice+"/"+process.ScopeName("a-000002"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Leave(t.Context(), "a-000002"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", dir, err)
	}
	if err := p.Leave(t.Context(), "a-000003"); err != nil {
		t.Errorf("Leave of what never was: %v", err)
	}
	if dir, err = cgroup.Make(top, slice+"/"+process.ScopeName("a-000005"), nil); err != nil {
		t.Fatal(err)
	}
	p.keeper.(*groups).sweep()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left after a sweep: %v", dir, err)
	}
}

// Without any place, limits are a problem and nothing else is.
func TestPlacer_Nowhere(t *testing.T) {
	p := New(t.Context(), slog.New(slog.DiscardHandler))
	defer p.Close()
	p.keeper, p.why = nil, systemd.ErrNoManager.Error()
	for range 2 {
		if err := p.Place(t.Context(), Placement{App: "a", Instance: "a-1", Limits: cgroup.Limits{TasksMax: 5}}); err != nil {
			t.Error(err)
		}
		if err := p.Place(t.Context(), Placement{App: "b", Instance: "b-1"}); err != nil {
			t.Error(err)
		}
	}
	if got := p.Problems(); len(got) != 1 || !strings.Contains(got[0].What, "no service manager") {
		t.Errorf("Problems = %+v, want one", got)
	}
	if err := p.Leave(t.Context(), "a-1"); err != nil {
		t.Error(err)
	}
}

// An instance that ends while it is placed is no error of the place.
func TestPlacer_Ended(t *testing.T) {
	p, _ := ownGroups(t)
	proc := started(t, "a-000004", "echo up; sleep 300")
	if err := process.KillAll(t.Context(), proc.Identity()); err != nil {
		t.Fatal(err)
	}
	<-proc.Done()
	err := p.Place(t.Context(), Placement{App: "a", Instance: "a-000004", Process: proc.Identity()})
	if err == nil || !strings.Contains(err.Error(), process.ErrGone.Error()) {
		t.Errorf("Place = %v, want %v", err, process.ErrGone)
	}
	if got := p.Problems(); len(got) != 0 {
		t.Errorf("Problems = %+v", got)
	}
}

func epmdOf(t *testing.T, program string) int {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		links, err := filepath.Glob("/proc/[0-9]*/exe")
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range links {
			var pid int
			if exe, err := os.Readlink(link); err == nil && exe == program {
				if _, err := fmt.Sscanf(link, "/proc/%d/exe", &pid); err == nil {
					return pid
				}
			}
		}
	}
	t.Fatal("no port mapper runs")
	return 0
}

func waitEmpty(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		pids, err := cgroup.PIDs(dir)
		if err == nil && len(pids) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still in %s: %v, %v", dir, pids, err)
		}
	}
}
