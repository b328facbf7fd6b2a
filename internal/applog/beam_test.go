package applog

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// Each OTP says why it ended, in its log and in its crash dump, in the words that CrashSlogan knows.
func TestCrashSlogan_BEAM(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string
		want []string // one of them begins the slogan
	}{
		{"boot file", []string{"-boot", "/none"}, []string{"init terminating in do_boot (", "Runtime terminating during boot ("}},
		{"boot", []string{"-s", "nosuchmodule"}, []string{"init terminating in do_boot (", "Runtime terminating during boot ("}},
		{"kernel", []string{"-eval", "exit(whereis(application_controller), kill), timer:sleep(60000)"}, []string{"Kernel pid terminated (application_controller) (killed)"}},
		{"name in use", []string{"-sname", "twice@localhost", "-setcookie", "x"}, []string{"Protocol 'inet_tcp': the name twice@localhost seems to be in use by another Erlang node"}},
	}
	for _, otp := range nodetest.Want(t, "25", "27", "29") {
		for _, tt := range tests {
			t.Run(otp.Release+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				epmd := nodetest.NewEPMD(t)
				if tt.name == "name in use" {
					nodetest.StartErl(t, otp, "twice@localhost", "x", epmd.Port)
				}
				began := time.Now()
				cmd := exec.Command(filepath.Join(otp.Bin, "erl"), append([]string{"-noshell", "-noinput"}, tt.args...)...)
				cmd.Dir = dir
				cmd.Env = otp.Env("HOME="+dir, "ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_PORT="+epmd.Addr()[strings.LastIndex(epmd.Addr(), ":")+1:])
				out, err := cmd.CombinedOutput()
				if err == nil {
					t.Fatalf("it ended well:\n%s", out)
				}
				log := Mark{Path: write(t, string(out))}
				byLog := CrashSlogan(began, "", log)
				both := CrashSlogan(began, filepath.Join(dir, "erl_crash.dump"), log)
				for _, got := range []string{byLog, both} {
					ok := false
					for _, w := range tt.want {
						ok = ok || strings.HasPrefix(got, w)
					}
					if !ok {
						t.Errorf("CrashSlogan = %q, want one of %q; output:\n%s", got, tt.want, out)
					}
				}
			})
		}
	}
}

// A BEAM that writes its crash dump is there until it is done, whatever signal comes, with heart or without; and what it
// may take of the disk is kept to.
func TestDump_BEAM(t *testing.T) {
	t.Parallel()
	for _, otp := range nodetest.Want(t, "25", "27", "29") {
		for name, args := range map[string][]string{"plain": nil, "heart": {"-heart"}, "bounded": nil} {
			t.Run(otp.Release+" "+name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				dump := filepath.Join(dir, "run.dump")
				cmd := exec.Command(filepath.Join(otp.Bin, "erl"), append(args, "-noshell", "-noinput", "+P", "100000", "-eval",
					`[spawn(fun() -> receive x -> ok end end) || _ <- lists:seq(1, 50000)], erlang:halt("on purpose").`)...)
				cmd.Dir = dir
				cmd.Env = otp.Env("HOME="+dir, "ERL_CRASH_DUMP="+dump, "ERL_CRASH_DUMP_SECONDS=30")
				if name == "bounded" {
					cmd.Env = append(cmd.Env, "ERL_CRASH_DUMP_BYTES=1000000")
				}
				began := time.Now()
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- cmd.Wait() }()
				t.Cleanup(func() { _ = cmd.Process.Kill() })
				deadline := time.After(60 * time.Second)
				for seen := false; len(ended) == 0; {
					select {
					case <-deadline:
						t.Fatal("it does not end")
					default:
					}
					if !seen && WritingDump(cmd.Process.Pid, dump) {
						seen = true
						if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
							t.Error(err)
						}
						defer func() { t.Logf("it was seen at its dump") }()
					}
					time.Sleep(time.Millisecond)
				}
				d, ok, err := CollectDump(dump, dir, "shop-abc123", began, false)
				if err != nil || !ok || d.Slogan != "on purpose" {
					t.Fatalf("CollectDump = %+v, %v, %v", d, ok, err)
				}
				if d.Whole != (name != "bounded") || name == "bounded" && d.Bytes > 2_000_000 {
					t.Errorf("the dump has %d bytes, whole: %v", d.Bytes, d.Whole)
				}
			})
		}
	}
}

// What the loggers of Erlang and Elixir write is understood: level, time, and the lines that belong to an entry.
func TestLevel_BEAM(t *testing.T) {
	t.Parallel()
	script := `logger:set_primary_config(level, debug), logger:debug("d-one"), logger:notice("n-one"), logger:warning("w-one"),
logger:error("e-one~ne-two", []), {_, R} = spawn_monitor(fun() -> error(e_three) end), receive {'DOWN', R, _, _, _} -> ok end,
io:put_chars("plain\n"), timer:sleep(500), halt(0).`
	run := func(t *testing.T, otp nodetest.OTP, name string, args ...string) []Line {
		t.Helper()
		dir := t.TempDir()
		cmd := exec.Command(filepath.Join(otp.Bin, name), args...)
		cmd.Dir, cmd.Env = dir, otp.Env("HOME="+dir, "LANG=C.UTF-8")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		path := write(t, string(out))
		var found []Line
		if err := Search(t.Context(), Query{Files: []File{{Path: path}}, Level: Error}, func(l Line) bool {
			found = append(found, l)
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if all := readAll(t, path, Query{Level: Debug}); len(all) < len(found)+2 {
			t.Errorf("%d lines from debug on, %d from error on", len(all), len(found))
		}
		for _, l := range found {
			if time.Since(l.Time).Abs() > time.Minute || l.Level != Error {
				t.Errorf("%q has the time %v, level %v", l.Text, l.Time, l.Level)
			}
		}
		return found
	}
	check := func(t *testing.T, found []Line) {
		t.Helper()
		text := ""
		for _, l := range found {
			text += l.Text + "\n"
		}
		for _, want := range []string{"e-one", "e-two", "e_three"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %s in\n%s", want, text)
			}
		}
		for _, other := range []string{"d-one", "n-one", "w-one"} {
			if strings.Contains(text, other) {
				t.Errorf("%s in\n%s", other, text)
			}
		}
	}
	for _, otp := range nodetest.Want(t, "25", "27", "29") {
		t.Run("erl "+otp.Release, func(t *testing.T) {
			t.Parallel()
			check(t, run(t, otp, "erl", "-noshell", "-noinput", "-eval", script))
		})
		t.Run("erl legacy "+otp.Release, func(t *testing.T) {
			t.Parallel()
			check(t, run(t, otp, "erl", "-noshell", "-noinput", "-kernel", "logger",
				`[{handler,default,logger_std_h,#{formatter=>{logger_formatter,#{legacy_header=>true,single_line=>false}}}}]`, "-eval", script))
		})
		t.Run("elixir "+otp.Release, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(filepath.Join(otp.Bin, "elixir")); err != nil {
				if os.Getenv("REQUIRE_OTP") == "1" {
					t.Fatalf("no Elixir beside OTP %s: %v", otp.Release, err)
				}
				t.Skip("no Elixir beside this OTP")
			}
			check(t, run(t, otp, "elixir", "-e", `require Logger
Logger.debug("d-one"); Logger.info("n-one"); Logger.warning("w-one"); Logger.error("e-one\ne-two")
{_, r} = spawn_monitor(fn -> :erlang.error(:e_three) end)
receive do {:DOWN, ^r, _, _, _} -> :ok end
IO.puts("plain"); Process.sleep(500)`))
		})
	}
}
