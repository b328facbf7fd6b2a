package launch

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestParseEnvFile(t *testing.T) {
	t.Parallel()
	got, err := ParseEnvFile("# comment\n; another\n\nA=1\nexport B = two words \nC=\"x \\\"y\\\" $HOME \\n\"\nD='a\\b'\nE=\"line 1\nline 2\"\nF=a\\\n b\r\nG=\nH=a # no comment\n")
	want := []Var{{"A", "1"}, {"B", "two words"}, {"C", `x "y" $HOME \n`}, {"D", `a\b`}, {"E", "line 1\nline 2"}, {"F", "a b"}, {"G", ""}, {"H", "a # no comment"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
	for text, want := range map[string]string{
		"A=1\nB":            "line 2: no = in it",
		"A=1\n\n1B=2":       `line 3: "1B" is no name`,
		"A=\"x\ny":          `line 1: the value of A has an opening " and no closing one`,
		"SECRET='hidden":    "line 1: the value of SECRET",
		"A=1\nB=a\x00b":     "line 2: the value of B holds a zero byte",
		"A=\"l\nl\"\nwrong": "line 3: no = in it",
	} {
		if _, err := ParseEnvFile(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("ParseEnvFile(%q) = %v, want %q", text, err, want)
		}
	}
}

func TestReadEnvFiles_OptionalAndLater(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for path, text := range map[string]string{a: "X=a\nY=a", b: "X=b"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readEnvFiles([]string{a, "-" + filepath.Join(dir, "missing"), b})
	if want := []Var{{"X", "a"}, {"Y", "a"}, {"X", "b"}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := readEnvFiles([]string{filepath.Join(dir, "missing")}); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "env_files") {
		t.Errorf("a missing file: %v", err)
	}
}

func TestCheckVMArgs(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"-name x", "+S 2\n-setcookie c", "+S 2 -sname n"} {
		if err := CheckVMArgs(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if err := CheckVMArgs("# -name x\n+P 1000 # -sname y\n-kernel logger_level info"); err != nil {
		t.Error(err)
	}
	env := environment{"ERL_ZFLAGS": "+A 2"}
	if err := env.vmArgs("# c\n+S 2:2\n\n-app text '\"a # b\"' # d\n"); err != nil || env["ERL_ZFLAGS"] != `+A 2 +S 2:2 -app text '"a # b"'` {
		t.Errorf("ERL_ZFLAGS = %q, %v", env["ERL_ZFLAGS"], err)
	}
}

func TestPutFile_FollowsNoLinkOfAnApp(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a link of somebody else")
	}
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.Mkdir(victim, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("victim", link); err != nil {
		t.Fatal(err)
	}
	if err := putFile(filepath.Join(link, "ours"), []byte("x"), 0o600, -1, -1); err != nil {
		t.Errorf("a link of root's: %v", err)
	}
	if err := os.Lchown(link, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	err := putFile(filepath.Join(link, "theirs"), []byte("x"), 0o600, -1, -1)
	if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "symbolic link of uid 65534") {
		t.Errorf("a link of an app's: %v", err)
	}
	if err := makeDir(Dir{Path: filepath.Join(link, "sub", "folder"), Mode: 0o700}, -1, -1); !errors.Is(err, os.ErrPermission) {
		t.Errorf("a folder behind a link of an app's: %v", err)
	}
	entries, _ := os.ReadDir(victim)
	if len(entries) != 1 {
		t.Errorf("in the victim's folder: %v", entries)
	}
	// A file that the app put in the place of ours is replaced, not followed.
	if err := os.Symlink("/etc/passwd", filepath.Join(victim, "conf")); err != nil {
		t.Fatal(err)
	}
	if err := putFile(filepath.Join(victim, "conf"), []byte("new"), 0o640, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	st, err := os.Lstat(filepath.Join(victim, "conf"))
	if err != nil || !st.Mode().IsRegular() || st.Mode().Perm() != 0o640 {
		t.Errorf("conf is %v, %v", st, err)
	}
}

func TestBuild_Surroundings(t *testing.T) {
	t.Parallel()
	root := tree(t, "bin/sample")
	umask := 0o027
	s := Spec{
		App: "sample", Instance: "sample-abc123", Language: Erlang, Root: root, Host: "host", Slot: 1, Version: "1.0.0", CPUs: 3, Memory: 1 << 30,
		Ports: []Port{{"PORT", 4000}}, Umask: &umask, ReadOnly: true,
		Dirs:  []Dir{{Kind: "state", Path: "/srv/x"}, {Kind: "cache"}},
		Env:   []Var{{"POOL", "{{ mul .CPUs 5 }}"}},
		Place: []Placement{{Path: "{{ .Dirs.state }}/{{ .Instance }}.conf", Content: "port {{ .Ports.PORT }} mem {{ mib .Memory }}"}},
	}
	p, err := Build(s)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"POOL": "15", "STATE_DIRECTORY": "/srv/x", "STATE_DIR": "/srv/x", "CACHE_DIRECTORY": "/var/cache/sample",
		"RELEASE_TMP": s.runDir() + "/tmp", "RELX_OUT_FILE_PATH": s.runDir() + "/tmp"} {
		if got, _ := p.Lookup(key); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	if len(p.Files) != 1 || p.Files[0].Path != "/srv/x/sample-abc123.conf" || string(p.Files[0].Content) != "port 4001 mem 1024" || p.Files[0].Mode != 0o640 {
		t.Errorf("files are %+v", p.Files)
	}
	if p.Enter == nil || *p.Enter.Umask != umask {
		t.Errorf("entered by %+v", p.Enter)
	}
	for want, change := range map[string]func(*Spec){
		"env POOL: line 1":   func(s *Spec) { s.Env = []Var{{"POOL", "{{ .Pool }}"}} },
		"vm_args: line 2":    func(s *Spec) { s.VMArgs = "+S 1\n+P {{ .Nope }}" },
		"-setcookie is set":  func(s *Spec) { s.VMArgs = "-setcookie x" },
		`dirs: "nest" is no`: func(s *Spec) { s.Dirs = []Dir{{Kind: "nest"}} },
	} {
		bad := s
		change(&bad)
		if _, err := Build(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Build = %v, want %q", err, want)
		}
	}
}
