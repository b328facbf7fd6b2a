package sandbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) {
	Main(os.Args)
	os.Exit(m.Run())
}

// sh runs a script as an entered program and returns what it printed.
func sh(t *testing.T, e Entry, script string) (out string, code int) {
	t.Helper()
	path, args, err := e.Command("/bin/sh", []string{"-c", script})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	e.Attr(cmd.SysProcAttr)
	b, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("start: %v", err)
	}
	return strings.TrimSpace(string(b)), cmd.ProcessState.ExitCode()
}

// needMounts skips where this machine gives no view of the file system of its own; for root it always must.
func needMounts(t *testing.T) {
	t.Helper()
	missing, err := Try(t.Context(), Entry{Options: Options{ReadOnly: []string{"/usr"}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(missing) > 0 {
		if os.Geteuid() == 0 {
			t.Fatalf("root has no sandbox here: %q", missing)
		}
		t.Skipf("no sandbox for this user: %q", missing)
	}
}

func TestMain_BecomesTheProgram(t *testing.T) {
	t.Parallel()
	umask := 0o027
	dir := t.TempDir()
	out, code := sh(t, Entry{Umask: &umask, Dir: dir}, "umask; pwd; exit 7")
	if out != "0027\n"+dir || code != 7 {
		t.Errorf("printed %q, exit %d; want umask 0027 in %s, exit 7", out, code, dir)
	}
}

func TestMain_SaysWhatItCannotExecute(t *testing.T) {
	t.Parallel()
	path, args, err := Entry{}.Command("/nowhere/at/all", nil)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	b, _ := cmd.CombinedOutput()
	if !strings.Contains(string(b), "execute /nowhere/at/all: no such file") || cmd.ProcessState.ExitCode() != exitNone {
		t.Errorf("printed %q, exit %d", b, cmd.ProcessState.ExitCode())
	}
}

func TestMain_BecomesAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root becomes somebody else")
	}
	uid := 65534
	out, _ := sh(t, Entry{UID: &uid, GID: 65534, Groups: []int{65534}, Options: Options{NoNewPrivileges: true}},
		"id -u; id -g; grep -E '^(NoNewPrivs|CapEff)' /proc/self/status")
	if want := "65534\n65534\nCapEff:\t0000000000000000\nNoNewPrivs:\t1"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

func TestMounts(t *testing.T) {
	t.Parallel()
	needMounts(t)
	base, err := os.MkdirTemp("/var", "sandbox-test-") // outside of /tmp, /home and /root
	if err != nil {
		if base, err = filepath.EvalSymlinks(t.TempDir()); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	kept, other, own := filepath.Join(base, "kept"), filepath.Join(base, "other"), filepath.Join(base, "own")
	for _, d := range []string{kept, other, own} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	marker := filepath.Join(os.TempDir(), filepath.Base(base))
	if err := os.WriteFile(marker, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(marker) })
	try := "touch %s/x 2>/dev/null && echo written || echo refused"
	for _, c := range []struct {
		name   string
		e      Entry
		script string
		want   string
	}{
		{"nothing is forbidden", Entry{Options: Options{NoNewPrivileges: true}}, strings.ReplaceAll(try, "%s", other), "written"},
		{"read-only path", Entry{Options: Options{ReadOnly: []string{other}}}, strings.ReplaceAll(try, "%s", other), "refused"},
		{"strict", Entry{Options: Options{ProtectSystem: "strict"}}, strings.ReplaceAll(try, "%s", other), "refused"},
		{"strict, kept", Entry{Options: Options{ProtectSystem: "strict"}, Keep: []string{kept}}, strings.ReplaceAll(try, "%s", kept), "written"},
		{"strict, read-write path", Entry{Options: Options{ProtectSystem: "strict", ReadWrite: []string{other}}}, strings.ReplaceAll(try, "%s", other), "written"},
		{"full", Entry{Options: Options{ProtectSystem: "full"}}, strings.ReplaceAll(try, "%s", "/etc"), "refused"},
		{"inaccessible", Entry{Options: Options{Inaccessible: []string{base}}}, "test -e " + other + " && echo seen || echo hidden", "hidden"},
		{"inaccessible, kept in it", Entry{Options: Options{Inaccessible: []string{base}}, Keep: []string{kept}}, strings.ReplaceAll(try, "%s", kept) + "; test -e " + other + " || echo hidden", "written\nhidden"},
		{"private tmp", Entry{Options: Options{PrivateTmp: true}, Tmp: own}, "test -e " + marker + " && echo seen || echo hidden; touch /tmp/mine && ls /tmp", "hidden\nmine"},
		{"private devices", Entry{Options: Options{PrivateDevices: true}}, "echo x >/dev/null && head -c4 /dev/urandom | wc -c; ls /dev | tr '\\n' ' '", "4\nfd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"},
		{"protect kernel", Entry{Options: Options{ProtectKernel: true}}, "test -w /proc/sys/kernel/hostname && { echo x >/proc/sys/kernel/hostname; } 2>/dev/null && echo written || echo refused", "refused"},
		{"protect home", Entry{Options: Options{ProtectHome: "true"}}, "ls -A /root /home 2>/dev/null | grep -v : ; echo end", "end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.e.Dir = "/"
			got, _ := sh(t, c.e, c.script)
			got = strings.ReplaceAll(got, "mqueue ", "")
			want := strings.ReplaceAll(c.want, "mqueue ", "")
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(own, "tmp", "mine")); err != nil {
		t.Errorf("the private /tmp is not in its folder: %v", err)
	}
	if _, err := os.Stat("/tmp/mine"); err == nil {
		t.Error("the private /tmp shows outside")
	}
}

func TestTry_SaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	needMounts(t)
	missing, err := Try(t.Context(), Entry{Options: Options{PrivateTmp: true}}) // no Tmp
	if err != nil || len(missing) != 1 || missing[0] != "private_tmp: no folder for it" {
		t.Errorf("Try = %q, %v", missing, err)
	}
}

func TestStrict_RefusesWhatIsMissing(t *testing.T) {
	t.Parallel()
	needMounts(t)
	out, code := sh(t, Entry{Options: Options{PrivateTmp: true, Strict: true}}, "echo started")
	if code != exitSetup || strings.Contains(out, "started") || !strings.Contains(out, "private_tmp") {
		t.Errorf("printed %q, exit %d", out, code)
	}
	out, code = sh(t, Entry{Options: Options{PrivateTmp: true}}, "echo started")
	if code != 0 || !strings.Contains(out, "started") || !strings.Contains(out, "private_tmp") {
		t.Errorf("without strict: printed %q, exit %d", out, code)
	}
}

func TestParanoia(t *testing.T) {
	t.Parallel()
	o := Options{ProtectHome: "read-only"}.Paranoia()
	want := Options{NoNewPrivileges: true, PrivateTmp: true, PrivateDevices: true, ProtectKernel: true, ProtectSystem: "full", ProtectHome: "read-only"}
	if o.NoNewPrivileges != want.NoNewPrivileges || o.ProtectSystem != want.ProtectSystem || o.ProtectHome != want.ProtectHome || !o.PrivateDevices {
		t.Errorf("Paranoia = %+v", o)
	}
}
