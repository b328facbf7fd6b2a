package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func comms(members []Member) string {
	var names []string
	for _, m := range members {
		names = append(names, m.Comm)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// killAll also checks that nothing is left.
func killAll(t *testing.T, id Identity) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	if err := KillAll(ctx, id); err != nil {
		t.Fatal(err)
	}
	if left, err := Members(id); err != nil || len(left) > 0 {
		t.Errorf("after KillAll: Members = %v, %v, want none", left, err)
	}
}

// Each way in which a process can get away from the session.
func TestMembers_Escapes(t *testing.T) {
	t.Parallel()
	c, _ := sh(t, `
		sleep 300 &                              # in the session
		setsid sleep 300 &                       # a session of its own
		(setsid setsid sleep 300 &)              # the same, a child of init
		env -i sleep 300 &                       # without environment, in the session
		env -i setsid sleep 300 &                # without environment and session, still our child
		echo up; wait; sleep 300`)
	p := mustStart(t, c)
	eventually(t, contains(c.Stdout, "up"))
	eventually(t, func() error {
		m, err := Members(p.Identity())
		if err == nil && comms(m) != "sh sleep sleep sleep sleep sleep" {
			err = fmt.Errorf("Members = %q", comms(m))
		}
		return err
	})
	m, err := Members(p.Identity())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range m {
		if m.Main != (m.OSPID == p.Identity().OSPID) {
			t.Errorf("Main is wrong in %+v", m)
		}
	}
	other := p.Identity()
	other.BootID = "x"
	if m, err := Members(other); err != nil || len(m) != 0 {
		t.Errorf("Members in another boot = %v, %v, want none", m, err)
	}
	other = p.Identity()
	other.Node = "q@test"
	other.OSPID, other.StartTime = 1<<22, 0
	if m, err := Members(other); err != nil || len(m) != 0 {
		t.Errorf("Members of another daemon = %v, %v, want none", m, err)
	}
	killAll(t, p.Identity())
	if e := wait(t, p); e.Signal != syscall.SIGKILL {
		t.Errorf("exit = %v, want SIGKILL", e)
	}
}

// The main process is gone, what it left is found and ended.
func TestMembers_AfterTheMainProcess(t *testing.T) {
	t.Parallel()
	c, _ := sh(t, `sleep 300 | setsid sleep 300 & echo up; wait; sleep 300`) // a pipe as its input, as a BEAM gives it
	p := mustStart(t, c)
	eventually(t, contains(c.Stdout, "up"))
	eventually(t, func() error {
		if m, err := Members(p.Identity()); err != nil || comms(m) != "sh sleep sleep" {
			return fmt.Errorf("Members = %v, %v", m, err)
		}
		return nil
	})
	if f := find(t, p.Identity().Instance); f == nil || !f.Main || f.Identity != p.Identity() || f.App != "test" {
		t.Errorf("Find = %+v, want the main process %+v", f, p.Identity())
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wait(t, p)
	f := find(t, p.Identity().Instance)
	if f == nil || f.OSPID == p.Identity().OSPID || f.Main {
		t.Fatalf("Find = %+v, want what was left", f)
	}
	m, err := Members(p.Identity())
	if err != nil || comms(m) != "sleep sleep" || m[0].Main || m[1].Main {
		t.Errorf("Members = %+v, %v, want what was left", m, err)
	}
	killAll(t, p.Identity())
	if f := find(t, p.Identity().Instance); f != nil {
		t.Errorf("Find = %+v, want nothing", f)
	}
}

func find(t *testing.T, instance string) *Found {
	t.Helper()
	list, err := Find(testNode)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		if f.Instance == instance {
			return &f
		}
	}
	return nil
}

// epmd serves other nodes too: whoever started it, it is left alone.
func TestMembers_SpareEPMD(t *testing.T) {
	t.Parallel()
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Skip(err)
	}
	c, dir := sh(t, `setsid ./epmd 300 & echo $!; sleep 300`)
	if err := os.WriteFile(filepath.Join(dir, "epmd"), sleep, 0o755); err != nil {
		t.Fatal(err)
	}
	p := mustStart(t, c)
	var epmd int
	eventually(t, func() error {
		b, err := os.ReadFile(c.Stdout)
		if err != nil {
			return err
		}
		_, err = fmt.Sscan(string(b), &epmd)
		return err
	})
	eventually(t, func() error {
		s, err := readStat(epmd)
		if err == nil && s.comm != "epmd" {
			err = errors.New("not yet epmd")
		}
		return err
	})
	killAll(t, p.Identity())
	if s, err := readStat(epmd); err != nil || !s.alive() {
		t.Errorf("epmd: %+v, %v, want it alive", s, err)
	}
	if f := find(t, p.Identity().Instance); f != nil {
		t.Errorf("Find = %+v, want epmd left out", f)
	}
	if err := (Member{OSPID: epmd, StartTime: startOf(t, epmd), Comm: "epmd"}).signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

func startOf(t *testing.T, pid int) uint64 {
	t.Helper()
	s, err := readStat(pid)
	if err != nil {
		t.Fatal(err)
	}
	return s.start
}

// A process that appears while the others are killed is killed too.
func TestKillAll_ForkingMeanwhile(t *testing.T) {
	t.Parallel()
	c, _ := sh(t, `i=0; while [ $i -lt 20 ]; do (while :; do setsid sleep 0.05; done) & i=$((i+1)); done; echo up; wait; sleep 300`)
	p := mustStart(t, c)
	eventually(t, contains(c.Stdout, "up"))
	killAll(t, p.Identity())
	wait(t, p)
}

func TestKillAll_ContextNamesSurvivors(t *testing.T) {
	t.Parallel()
	c, _ := sh(t, `echo up; exec sleep 300`)
	p := mustStart(t, c)
	eventually(t, contains(c.Stdout, "up"))
	ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	err := KillAll(ctx, p.Identity())
	if err != nil && (!errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "sleep (OS pid ")) {
		t.Errorf("KillAll = %v", err)
	}
	if wait(t, p).Signal != syscall.SIGKILL {
		t.Error("not killed")
	}
}

// An instance is known at every moment of its start, also between one exec and the next.
func TestAdopt_WhileExecing(t *testing.T) {
	t.Parallel()
	c, _ := sh(t, `n=${N:-0}; [ $n = 300 ] && exec sleep 300; export N=$((n+1)); exec /bin/sh -c "$SCRIPT"`)
	c.Env = append(c.Env, "SCRIPT="+c.Args[1])
	p := mustStart(t, c)
	for range 150 {
		q, err := Adopt(p.Identity())
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		if m, err := Members(p.Identity()); err != nil || len(m) != 1 {
			t.Fatalf("Members = %v, %v", m, err)
		}
		if f := find(t, p.Identity().Instance); f == nil || !f.Main {
			t.Fatalf("Find = %v", f)
		}
	}
	killAll(t, p.Identity())
}
