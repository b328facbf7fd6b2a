package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// A BEAM with port programs and a heart that would start it again is killed as a whole, without a crash dump.
func TestKillAll_BEAM(t *testing.T) {
	t.Parallel()
	for _, otp := range nodetest.Want(t, "25", "27", "29") {
		t.Run(otp.Release, func(t *testing.T) {
			t.Parallel()
			c, dir := sh(t, "")
			c.Path = filepath.Join(otp.Bin, "erl")
			c.Args = []string{"-noshell", "-noinput", "-heart", "-eval",
				`open_port({spawn_executable,"/bin/sleep"},[{args,["300"]}]), spawn(fun() -> os:cmd("setsid sleep 300 & wait") end), io:format("up~n")`}
			c.Env = append(c.Env, "HOME="+dir, "HEART_COMMAND=touch "+dir+"/again")
			p := mustStart(t, c)
			eventually(t, contains(c.Stdout, "up"))
			eventually(t, func() error {
				m, err := Members(p.Identity())
				for _, want := range []string{"beam.smp", "erl_child_setup", "heart", "sleep sleep"} {
					if err == nil && !strings.Contains(comms(m), want) {
						err = fmt.Errorf("Members = %q, want %s among them", comms(m), want)
					}
				}
				return err
			})
			if f, err := p.Facts(); err != nil || f.RSS < 4<<20 || f.CPU == 0 || f.Threads < 4 || f.FDs < 3 {
				t.Errorf("Facts = %+v, %v", f, err)
			}
			killAll(t, p.Identity())
			if e := wait(t, p); e.Signal != syscall.SIGKILL {
				t.Errorf("exit = %v, want SIGKILL", e)
			}
			for _, name := range []string{"again", "erl_crash.dump"} {
				if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
					t.Errorf("%s was made", name)
				}
			}
			if b, err := os.ReadFile(c.Stderr); err != nil || strings.Contains(string(b), "erl_child_setup closed") {
				t.Errorf("stderr = %q, %v", b, err)
			}
		})
	}
}
