package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// People on a terminal with erl -remsh get the command shell, with iex --remsh a clear no.
func TestEndToEnd_RemoteShell(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	r.edit(`allow: ["observer@*"]`, `allow: ["observer*@*"]`)
	d := r.run("--with-instances")
	r.must("publish", r.app, sampletest.Build(t, "erlang", "0.1.0"))
	a := r.await("two instances", running(2, "0.1.0"))
	cookie, err := os.ReadFile(filepath.Join(r.dir, "var", "cookie"))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("terminals", func(t *testing.T) {
		for _, otp := range nodetest.Want(t, "25", "27", "29") {
			open := func(t *testing.T, program string, args ...string) *nodetest.Terminal {
				cmd := exec.Command(filepath.Join(otp.Bin, program), args...)
				cmd.Dir = t.TempDir()
				cmd.Env = otp.Env("HOME="+cmd.Dir, "TERM=xterm", "LANG=C.UTF-8", "ERL_EPMD_PORT="+strconv.Itoa(r.epmdPort()), "ERL_EPMD_ADDRESS=127.0.0.1", "ELIXIR_ERL_OPTIONS=+fnu")
				return nodetest.StartTerminal(t, cmd)
			}
			t.Run("erl "+otp.Release, func(t *testing.T) {
				t.Parallel()
				m := open(t, "erl", "-sname", "observer"+otp.Release, "-setcookie", strings.TrimSpace(string(cookie)), "-hidden", "-remsh", r.node)
				at := m.Await(0, "A command shell")
				at = m.Await(0, "("+r.node+")> ")
				try := func(keys string, want ...string) {
					t.Helper()
					m.Type(keys)
					for _, text := range want {
						m.Await(at, text)
					}
					at = len(m.Output())
				}
				try("help\r", "deployment", "history", ")> ")
				try("frobnicate\r", `no verb "frobnicate"`, ")> ")
				try("stat\t", "us ")
				try(r.app[:3]+"\t\r", "2/2 running", a.Instances[0].Name, a.Instances[1].Name, ")> ")
				if otp.Release != "27" { // the terminals of OTP 26 to 28 keep only what is read as Erlang
					try("\x10", "status "+r.app) // Ctrl-P: the line before
					try("\r", "2/2 running", a.Instances[1].Name, ")> ")
				}
				i := a.Instances[0].Name
				try("logs "+r.app+"/"+i[:len(i)-3]+"\t", i[len(i)-3:]+" ")
				try("\x15version\r", "beamkeeper ", ")> ") // Ctrl-U: away with the line
				try("exit\r", "The daemon runs on.")
			})
			if otp.Release == "29" {
				continue // the test bed has no newer Elixir
			}
			t.Run("iex "+otp.Release, func(t *testing.T) {
				t.Parallel()
				m := open(t, "iex", "--sname", "observer-iex"+otp.Release, "--cookie", strings.TrimSpace(string(cookie)), "--hidden", "--remsh", r.node)
				for _, text := range map[string][]string{
					"25": {"Could not find IEx on remote node " + r.node}, // Elixir 1.14
					"27": {r.node, "use erl -remsh"},                      // Elixir 1.18
				}[otp.Release] {
					m.Await(0, text)
				}
				m.Ended()
			})
		}
	})
	if got := r.status(); len(got.Instances) != 2 {
		t.Errorf("afterwards there are the instances %+v", got.Instances)
	}
	d.end(syscall.SIGTERM, 0)
}
