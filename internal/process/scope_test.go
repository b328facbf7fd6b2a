package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What got away from the session and lost the environment is known by the control group.
func TestMembers_ControlGroup(t *testing.T) {
	t.Parallel()
	root, err := exec.Command("findmnt", "-n", "-o", "TARGET", "-t", "cgroup2").Output()
	if err != nil || os.Geteuid() != 0 {
		if os.Geteuid() == 0 && os.Getenv("REQUIRE_OTP") == "1" {
			t.Fatalf("no cgroup v2 for root: %v", err)
		}
		t.Skip("needs root and cgroup v2")
	}
	mount, _, _ := strings.Cut(string(root), "\n")
	c, dir := sh(t, `(env -i setsid setsid sh -c 'echo $$ >escaped; exec sleep 300' &); echo up; exec sleep 300`)
	p := mustStart(t, c)
	eventually(t, contains(c.Stdout, "up"))
	var escaped int
	eventually(t, func() error {
		b, err := os.ReadFile(filepath.Join(dir, "escaped"))
		if err != nil {
			return err
		}
		_, err = fmt.Sscan(string(b), &escaped)
		return err
	})
	eventually(t, func() error {
		if m, err := Members(p.Identity()); err != nil || comms(m) != "sleep" {
			return fmt.Errorf("Members = %q, %v, want the main process alone", comms(m), err)
		}
		return nil
	})
	group := filepath.Join(mount, ScopeName(p.Identity().Instance))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(group); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), fmt.Appendf(nil, "%d", escaped), 0); err != nil {
		t.Fatal(err)
	}
	m, err := Members(p.Identity())
	if err != nil || comms(m) != "sleep sleep" {
		t.Errorf("Members = %q, %v, want the one in the group too", comms(m), err)
	}
	killAll(t, p.Identity())
	if s, err := readStat(escaped); err == nil && s.alive() {
		t.Error("the escaped process is alive")
	}
}
