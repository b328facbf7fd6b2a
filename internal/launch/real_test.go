package launch

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/process"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// Each contract on each OTP with a real release: the BEAM gets name, cookie, environment and ports; the process that was
// started is the BEAM itself; what it starts is found and ended with it; init:stop gives exit code 0.
func TestBuild_RealReleases(t *testing.T) {
	t.Parallel()
	for _, otp := range nodetest.Want(t, "25", "27", "29") {
		for _, language := range []Language{Elixir, Erlang, Gleam} {
			t.Run(string(language)+" "+otp.Release, func(t *testing.T) {
				t.Parallel()
				realRelease(t, otp, language)
			})
		}
	}
}

func realRelease(t *testing.T, otp nodetest.OTP, language Language) {
	root := filepath.Join(t.TempDir(), "service", "current")
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	tarball := sampletest.BuildWith(t, otp.Bin, string(language), "0.1.0")
	if out, err := exec.Command("tar", "-xzf", tarball, "-C", root).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	epmd := nodetest.StartEPMD(t)
	peer := nodetest.StartErl(t, otp, "peer", "s3cretcookie", epmd)

	odd := "a  b 'q' \"d\" $HOME ${PORT} `id`;\nline two\t\\n ü"
	home := t.TempDir()
	s := Spec{
		App: sampletest.AppName(string(language)), Language: language, Root: root, Host: "localhost",
		Instance: fmt.Sprintf("%s-%s%s", sampletest.AppName(string(language)), otp.Release, "abcd"),
		Cookie:   "s3cretcookie", Daemon: fmt.Sprintf("beamkeeper@launchtest%d", os.Getpid()),
		Slot: 1, Ports: []Port{{"PORT", nodetest.FreePort(t) - 1}}, Env: []Var{{"ODD", odd}},
		BaseEnv: otp.Env("HOME="+home, "ERL_EPMD_PORT="+strconv.Itoa(epmd), "ERL_EPMD_ADDRESS=127.0.0.1",
			"DAEMON_SECRET=s3", "RELEASE_NAME=daemon", "RELEASE_COOKIE=wrong", "ERL_FLAGS=-bad_flag"),
	}
	p := mustBuild(t, s)
	if err := p.Prepare(); err != nil {
		t.Fatal(err)
	}
	logs := t.TempDir()
	c := p.Command(filepath.Join(logs, "out.log"), filepath.Join(logs, "err.log"))
	started, err := process.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := process.KillAll(ctx, started.Identity()); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for _, f := range []string{c.Stdout, c.Stderr} {
				b, _ := os.ReadFile(f)
				t.Logf("%s:\n%s", f, b)
			}
		}
	})
	call := func(mfa string) string {
		t.Helper()
		return peer.Eval(fmt.Sprintf("rpc:call('%s', %s)", p.Node, mfa))
	}
	for peer.Eval(fmt.Sprintf("net_adm:ping('%s')", p.Node)) != "pong" {
		if e, ended := started.Exit(); ended || ctx.Err() != nil {
			t.Fatalf("not up as %s: %v %v", p.Node, e, ctx.Err())
		}
		time.Sleep(20 * time.Millisecond)
	}

	if got, want := call("os, getpid, []"), strconv.Quote(strconv.Itoa(started.Identity().OSPID)); got != want {
		t.Errorf("OS pid = %s, want the started one, %s", got, want)
	}
	if got := call("erlang, get_cookie, []"); got != "s3cretcookie" {
		t.Errorf("cookie = %s", got)
	}
	getenv := func(key string) string {
		t.Helper()
		expr := fmt.Sprintf(`(fun(false) -> "unset"; (V) -> "=" ++ binary_to_list(base64:encode(unicode:characters_to_binary(V))) end)(rpc:call('%s', os, getenv, [%q]))`, p.Node, key)
		text, err := strconv.Unquote(peer.Eval(expr))
		if err != nil {
			t.Fatal(err)
		}
		encoded, set := strings.CutPrefix(text, "=")
		if !set {
			return text
		}
		b, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for getenv("BEAMKEEPER_HOME") != "unset" { // the node is up just before the first -eval
		if ctx.Err() != nil {
			t.Fatal("HOME was not set back")
		}
		time.Sleep(5 * time.Millisecond)
	}
	want := map[string]string{
		"ODD": odd, "HOME": home, "PORT": strconv.Itoa(s.Ports[0].Base + 1), "DAEMON_SECRET": "unset", "ERL_FLAGS": "unset",
		"BEAMKEEPER_HOME": "unset", process.EnvInstance: s.Instance, process.EnvApp: s.App, process.EnvNode: s.Daemon,
	}
	if language != Gleam {
		want["RELEASE_NAME"] = s.App // of the release's own script
		want["RELEASE_NODE"] = s.Instance + "@localhost"
	}
	for key, value := range want {
		if got := getenv(key); got != value {
			t.Errorf("%s = %q, want %q", key, got, value)
		}
	}
	checkCommandLine(t, language, started.Identity().OSPID)

	// What the BEAM starts, in sessions of its own, is found, and ends with it.
	call(`erlang, spawn, [os, cmd, ["sleep 300"]]`)
	for {
		m, err := process.Members(started.Identity())
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, m := range m {
			names[m.Comm] = true
		}
		if names["beam.smp"] && names["erl_child_setup"] && names["sleep"] && !names["epmd"] {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("Members = %v", m)
		}
		time.Sleep(5 * time.Millisecond)
	}
	found, err := process.Find(s.Daemon)
	if err != nil {
		t.Fatal(err)
	}
	seen := false
	for _, f := range found {
		if f.Instance == s.Instance {
			seen = true
			if f.Identity != started.Identity() || !f.Main {
				t.Errorf("Find = %+v, want %+v", f, started.Identity())
			}
		}
	}
	if !seen {
		t.Errorf("Find = %+v, want %s among them", found, s.Instance)
	}

	if language == Gleam { // killed: os:cmd's sleep stays, as a child of init
		if err := started.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	} else {
		call("init, stop, []")
	}
	e, err := started.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if language == Gleam && e.Signal != syscall.SIGKILL || language != Gleam && !e.Clean() {
		t.Errorf("exit = %v", e)
	}
	if err := process.KillAll(ctx, started.Identity()); err != nil {
		t.Error(err)
	}
	if m, err := process.Members(started.Identity()); err != nil || len(m) != 0 {
		t.Errorf("left: %v, %v", m, err)
	}
}

// checkCommandLine holds the package's comment on cookies against the real thing.
func checkCommandLine(t *testing.T, language Language, pid int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		t.Fatal(err)
	}
	shown := bytes.Contains(b, []byte("s3cretcookie"))
	if want := language != Gleam; shown != want {
		t.Errorf("cookie on the BEAM's command line: %v, want %v:\n%q", shown, want, b)
	}
	if language != Gleam {
		return
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(env, []byte("s3cretcookie")) {
		t.Error("the cookie is in the environment, want it in the file alone")
	}
}
