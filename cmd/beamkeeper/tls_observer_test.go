package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// Observer's calls and erl -remsh over TLS, with the files that `cert export` gives, as docs/observer.md has it.
func TestEndToEnd_ObserverOverTLS(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	r.useTLS("{mode: own_ca}")
	d := r.run()
	cookie, err := os.ReadFile(filepath.Join(r.dir, "var", "cookie"))
	if err != nil {
		t.Fatal(err)
	}
	var st api.Status
	if err := json.Unmarshal([]byte(r.must("status", "--json")), &st); err != nil {
		t.Fatal(err)
	}
	if got, want := st.CertificateExpiresAt.Time.Truncate(time.Second), r.certs()[r.node].ExpiresAt.Time; !got.Equal(want) || got.IsZero() {
		t.Errorf("the status has a certificate until %v, the list until %v", got, want)
	}
	_, host, _ := strings.Cut(r.node, "@")
	for _, otp := range nodetest.Want(t, "25", "27", "29") {
		r.must("cert", "issue", "observer")
		files := filepath.Join(r.dir, "observer-"+otp.Release)
		r.must("cert", "export", "observer@"+host, "--dir", files)
		over := []string{"-hidden", "-proto_dist", "inet_tls", "-ssl_dist_optfile", filepath.Join(files, "inet_tls.conf")}
		e := nodetest.StartErl(t, otp, "observer@"+host, strings.TrimSpace(string(cookie)), r.epmdPort(), over...)
		if got := e.Eval(`(fun(K) -> process_flag(trap_exit, true), P = spawn_link(K, observer_backend, procs_info, [self()]),
			F = spawn_link(K, observer_backend, fetch_stats, [self(), 50]),
			{is_list(rpc:call(K, observer_backend, sys_info, [])), receive {procs_info, P, L} -> length(L) > 5 after 10000 -> timeout end,
				receive {stats, 1, _, _, _} -> F ! exit, moving after 10000 -> timeout end} end)('` + r.node + `').`); got != "{true,true,moving}" {
			t.Errorf("OTP %s gets %s", otp.Release, got)
		}
		e.Kill()

		cmd := exec.Command(filepath.Join(otp.Bin, "erl"), append([]string{"-sname", "observer@" + host, "-setcookie", strings.TrimSpace(string(cookie)), "-remsh", r.node}, over...)...)
		cmd.Dir = t.TempDir()
		cmd.Env = otp.Env("HOME="+cmd.Dir, "TERM=xterm", "LANG=C.UTF-8", "ERL_EPMD_PORT="+strconv.Itoa(r.epmdPort()), "ERL_EPMD_ADDRESS=127.0.0.1")
		m := nodetest.StartTerminal(t, cmd)
		m.Await(0, "A command shell")
		m.Type("status\r")
		m.Await(0, r.app+"  erlang")
		m.Type("exit\r")
		m.Await(0, "The daemon runs on.")
		cmd.Process.Kill() // the local node goes on, and has the name
		m.Ended()
		r.must("cert", "retire", "observer")
	}
	d.end(syscall.SIGTERM, exitOK)
}
