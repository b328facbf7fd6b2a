package launch

import (
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tree makes empty files (those in bin are scripts) below a new directory.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "current")
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name, text, _ := strings.Cut(f, "=")
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func spec(language Language, root string) Spec {
	return Spec{
		App: "shop", Instance: "shop-abc123", Language: language, Root: root, Cookie: "c00kie", Daemon: "beamkeeper@h",
		BaseEnv: []string{"PATH=/usr/bin:/bin", "HOME=/home/x", "LANG=de_DE.UTF-8"},
	}
}

func mustBuild(t *testing.T, s Spec) Plan {
	t.Helper()
	p, err := Build(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func shortHost(t *testing.T) string {
	t.Helper()
	h, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	h, _, _ = strings.Cut(h, ".")
	return h
}

var identity = []string{"BEAMKEEPER_APP=shop", "BEAMKEEPER_INSTANCE=shop-abc123", "BEAMKEEPER_NODE=beamkeeper@h"}

func TestBuild_Contracts(t *testing.T) {
	t.Parallel()
	mix := tree(t, "bin/shop=#!/bin/sh", "releases/1.0.0/elixir=")
	relx := tree(t, "bin/shop=#!/bin/sh\n[ $RELX_REPLACE_OS_VARS ]")
	gleam := tree(t, "erlang-shipment/shop/ebin/shop@@main.beam=", "erlang-shipment/gleam_stdlib/ebin/x.beam=",
		"erlang-shipment/entrypoint.sh=", "erlang-shipment/a b/ebin/y.beam=")
	flat := tree(t, "shop/ebin/shop@@main.beam=", "entrypoint.sh=")
	erl := filepath.Join(tree(t, "bin/erl="), "bin", "erl")
	inherited := []string{"HOME=/home/x", "LANG=de_DE.UTF-8", "PATH=/usr/bin:/bin"}
	restored := []string{"BEAMKEEPER_HOME=/home/x", "LANG=de_DE.UTF-8", "PATH=/usr/bin:/bin"}
	run := func(root string) string { return filepath.Join(filepath.Dir(root), "run", "home") }

	tests := []struct {
		name   string
		spec   Spec
		change func(*Spec)
		path   string
		args   []string
		env    []string // besides identity
		node   string
	}{
		{"elixir short", spec(Elixir, mix), nil, mix + "/bin/shop", []string{"start"},
			slices.Concat(inherited, []string{"RELEASE_COOKIE=c00kie", "RELEASE_NODE=shop-abc123"}), "shop-abc123@" + shortHost(t)},
		{"elixir other short host", spec(Elixir, mix), func(s *Spec) { s.Host = "elsewhere" }, mix + "/bin/shop", []string{"start"},
			slices.Concat(inherited, []string{"RELEASE_COOKIE=c00kie", "RELEASE_NODE=shop-abc123@elsewhere"}), "shop-abc123@elsewhere"},
		{"elixir long, own cookie", spec(Elixir, mix), func(s *Spec) { s.Host, s.Cookie = "a.example.org", "" }, mix + "/bin/shop", []string{"start"},
			slices.Concat(inherited, []string{"RELEASE_DISTRIBUTION=name", "RELEASE_NODE=shop-abc123@a.example.org"}), "shop-abc123@a.example.org"},
		{"elixir over TLS", spec(Elixir, mix), func(s *Spec) { s.SSLOptions = "-proto_dist inet_tls" }, mix + "/bin/shop", []string{"start"},
			slices.Concat(inherited, []string{"RELEASE_COOKIE=c00kie", "RELEASE_NODE=shop-abc123", "ELIXIR_ERL_OPTIONS=-proto_dist inet_tls"}), "shop-abc123@" + shortHost(t)},
		{"elixir over TLS, options of its own", spec(Elixir, mix),
			func(s *Spec) { s.SSLOptions, s.Env = "-proto_dist inet_tls", []Var{{"ELIXIR_ERL_OPTIONS", "+S 2"}} }, mix + "/bin/shop", []string{"start"},
			slices.Concat(inherited, []string{"RELEASE_COOKIE=c00kie", "RELEASE_NODE=shop-abc123", "ELIXIR_ERL_OPTIONS=+S 2 -proto_dist inet_tls"}), "shop-abc123@" + shortHost(t)},
		{"elixir over TLS of its own", spec(Elixir, mix),
			func(s *Spec) {
				s.SSLOptions, s.Env = "-proto_dist inet_tls", []Var{{"ELIXIR_ERL_OPTIONS", "-proto_dist x"}}
			}, mix + "/bin/shop", []string{"start"},
			slices.Concat(inherited, []string{"RELEASE_COOKIE=c00kie", "RELEASE_NODE=shop-abc123", "ELIXIR_ERL_OPTIONS=-proto_dist x"}), "shop-abc123@" + shortHost(t)},
		{"erlang", spec(Erlang, relx), nil, relx + "/bin/shop", []string{"foreground"},
			slices.Concat(inherited, []string{"RELX_REPLACE_OS_VARS=true", "RELEASE_COOKIE=c00kie", "RELEASE_NODE=shop-abc123", "RELEASE_SSL_OPTIONS="}),
			"shop-abc123@" + shortHost(t)},
		{"erlang over TLS, long", spec(Erlang, relx),
			func(s *Spec) { s.Host, s.SSLOptions = "127.0.0.1", "-proto_dist inet_tls -ssl_dist_optfile /f" }, relx + "/bin/shop", []string{"foreground"},
			slices.Concat(inherited, []string{"RELX_REPLACE_OS_VARS=true", "RELEASE_COOKIE=c00kie", "RELEASE_NODE=shop-abc123@127.0.0.1",
				"RELEASE_SSL_OPTIONS=-proto_dist inet_tls -ssl_dist_optfile /f"}), "shop-abc123@127.0.0.1"},
		{"gleam", spec(Gleam, gleam), func(s *Spec) { s.Erl = erl }, erl,
			[]string{"-pa", gleam + "/erlang-shipment/a b/ebin", gleam + "/erlang-shipment/gleam_stdlib/ebin", gleam + "/erlang-shipment/shop/ebin",
				"-eval", restoreHome, "-eval", "shop@@main:run(shop)", "-noshell", "-sname", "shop-abc123"},
			slices.Concat(restored, []string{"HOME=" + run(gleam)}), "shop-abc123@" + shortHost(t)},
		{"gleam flat, long, TLS, user's cookie", spec(Gleam, flat),
			func(s *Spec) { s.Erl, s.Host, s.SSLOptions, s.Cookie = erl, "a.b", "-proto_dist inet_tls", "" }, erl,
			[]string{"-pa", flat + "/shop/ebin", "-eval", "shop@@main:run(shop)", "-noshell", "-proto_dist", "inet_tls", "-name", "shop-abc123@a.b"},
			inherited, "shop-abc123@a.b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.change != nil {
				tt.change(&tt.spec)
			}
			p := mustBuild(t, tt.spec)
			if p.Path != tt.path || !slices.Equal(p.Args, tt.args) || p.Node != tt.node || p.Dir != tt.spec.Root {
				t.Errorf("Build = %v\nwant %s %q (node %s)", p, tt.path, tt.args, tt.node)
			}
			want := slices.Concat(tt.env, identity)
			slices.Sort(want)
			if !slices.Equal(p.Env, want) {
				t.Errorf("Env = %q\nwant  %q", p.Env, want)
			}
			if want := tt.spec.Root + "/erl_crash.dump"; p.CrashDump != want {
				t.Errorf("CrashDump = %q, want %q", p.CrashDump, want)
			}
			for _, shown := range []string{fmt.Sprint(p), fmt.Sprintf("%+v %#v", p, p), slog.AnyValue(p).Resolve().String()} {
				if strings.Contains(shown, "c00kie") {
					t.Errorf("shows the cookie: %s", shown)
				}
			}
			if strings.Contains(strings.Join(p.Args, " "), "c00kie") {
				t.Errorf("the cookie is an argument: %q", p.Args)
			}
		})
	}
}

func TestBuild_Environment(t *testing.T) {
	t.Parallel()
	s := spec(Elixir, tree(t, "bin/shop=#!/bin/sh"))
	s.BaseEnv = []string{
		"PATH=/opt/erts/bin:/usr/bin:relative:/opt/daemon/bin/:/bin", "BINDIR=/opt/erts/bin", "TZ=Europe/Berlin",
		"LC_TIME=C", "XDG_RUNTIME_DIR=/run/user/0", "ERL_EPMD_PORT=5000", "ERL_EPMD_ADDRESS=127.0.0.1", "TERM=", "USER=root",
		"BEAMKEEPER_ERLANG_COOKIE=s3cret", "DEPLOYEX_ADMIN_HASHED_PASSWORD=s3cret", "AWS_SECRET_ACCESS_KEY=s3cret",
		"RELEASE_COOKIE=s3cret", "RELEASE_NAME=daemon", "ERL_FLAGS=-setcookie s3cret", "ROOTDIR=/opt", "NOTIFY_SOCKET=/x",
	}
	s.OmitPath = []string{"/opt/daemon/bin"}
	odd := "a  b 'q' \"d\" $HOME ${PORT} `id`;\nline two\t\\n ü"
	s.Slot = 2
	s.Ports = []Port{{"PORT", 4000}, {"ADMIN_PORT", 5000}}
	s.Env = []Var{{"ODD", odd}, {"EMPTY", ""}, {"TWICE", "1"}, {"TWICE", "2"}, {"PORT", "1"}, {"RELEASE_TMP", "/tmp/x"}, {"ERL_CRASH_DUMP", "dump"}}
	p := mustBuild(t, s)
	want := slices.Concat([]string{
		"PATH=/usr/bin:/bin", "TZ=Europe/Berlin", "LC_TIME=C", "XDG_RUNTIME_DIR=/run/user/0", "ERL_EPMD_PORT=5000",
		"ERL_EPMD_ADDRESS=127.0.0.1", "USER=root", "LANG=C.UTF-8", "RELEASE_COOKIE=c00kie", "RELEASE_NODE=shop-abc123",
		"ODD=" + odd, "EMPTY=", "TWICE=2", "PORT=4002", "ADMIN_PORT=5002", "RELEASE_TMP=/tmp/x", "ERL_CRASH_DUMP=dump",
	}, identity)
	home, ok := p.Lookup("HOME")
	if !ok || home == "" {
		t.Error("no HOME: erl and start scripts want one")
	}
	want = append(want, "HOME="+home)
	slices.Sort(want)
	if !slices.Equal(p.Env, want) {
		t.Errorf("Env = %q\nwant  %q", p.Env, want)
	}
	if p.Ports["PORT"] != 4002 || p.Ports["ADMIN_PORT"] != 5002 || len(p.Ports) != 2 {
		t.Errorf("Ports = %v", p.Ports)
	}
	if want := s.Root + "/dump"; p.CrashDump != want || p.OwnDump {
		t.Errorf("CrashDump = %q, want %q", p.CrashDump, want)
	}
}

func TestBuild_OtherUser(t *testing.T) {
	t.Parallel()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Skip(err)
	}
	s := spec(Elixir, tree(t, "bin/shop=#!/bin/sh"))
	s.User = "nobody"
	s.BaseEnv = append(s.BaseEnv, "XDG_RUNTIME_DIR=/run/user/0", "USER=root", "SHELL=/bin/zsh")
	p := mustBuild(t, s)
	for key, want := range map[string]string{"HOME": u.HomeDir, "USER": "nobody", "LOGNAME": "nobody", "SHELL": "/bin/sh"} {
		if got, _ := p.Lookup(key); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	if v, ok := p.Lookup("XDG_RUNTIME_DIR"); ok {
		t.Errorf("XDG_RUNTIME_DIR = %q, want it left out", v)
	}
	if p.User != "nobody" {
		t.Errorf("User = %q", p.User)
	}
}

func TestBuild_Errors(t *testing.T) {
	t.Parallel()
	mix := tree(t, "bin/other=", "bin/shop2=", "releases/1.0.0/elixir=")
	mixShop := tree(t, "bin/shop=", "releases/1.0.0/elixir=")
	relx := tree(t, "bin/shop=RELX_RPC_TIMEOUT")
	gleam := tree(t, "erlang-shipment/other/ebin/other@@main.beam=")
	shipment := tree(t, "erlang-shipment/shop/ebin/shop@@main.beam=")
	with := func(s Spec, change func(*Spec)) Spec { change(&s); return s }
	tests := []struct {
		name string
		spec Spec
		want []string
	}{
		{"nothing unpacked", spec(Elixir, mix+"/none"), []string{mix + "/none: no such file", "deploy a version"}},
		{"relative root", spec(Elixir, "current"), []string{"not absolute"}},
		{"no script", spec(Elixir, mix), []string{mix + "/bin/shop: no such file", "bin holds other, shop2", "named as its release"}},
		{"no bin", spec(Erlang, gleam), []string{"it has no bin directory"}},
		{"relx as elixir", spec(Elixir, relx), []string{"set language: erlang"}},
		{"mix as erlang", spec(Erlang, mixShop), []string{"set language: elixir"}},
		{"language", spec("cobol", mix), []string{`language "cobol"`}},
		{"no main module", spec(Gleam, gleam), []string{"shop@@main.beam: no such file", "gleam export erlang-shipment"}},
		{"no erl", with(spec(Gleam, shipment), func(s *Spec) { s.BaseEnv = []string{"PATH=/none:bin"} }), []string{"no erl on PATH (/none)", "install"}},
		{"wrong erl", with(spec(Gleam, shipment), func(s *Spec) { s.Erl = "/none/erl" }), []string{"/none/erl is no program"}},
		{"port", with(spec(Elixir, mixShop), func(s *Spec) { s.Ports, s.Slot = []Port{{"P", 65535}}, 1 }), []string{"replica port P", "65535 + slot 1"}},
		{"port name", with(spec(Elixir, mixShop), func(s *Spec) { s.Ports = []Port{{"P=", 1}} }), []string{`"P=" is no name`}},
		{"variable name", with(spec(Elixir, mixShop), func(s *Spec) { s.Env = []Var{{"A=B", ""}} }), []string{`"A=B" is no name`}},
		{"variable value", with(spec(Elixir, mixShop), func(s *Spec) { s.Env = []Var{{"A", "s3cret\x00"}} }), []string{"value of A holds a zero byte"}},
		{"ours", with(spec(Elixir, mixShop), func(s *Spec) { s.Env = []Var{{"BEAMKEEPER_INSTANCE", "x"}} }), []string{"BEAMKEEPER_INSTANCE is set by beamkeeper"}},
		{"ours too", with(spec(Elixir, mixShop), func(s *Spec) { s.Env = []Var{{"RELEASE_NODE", "x"}} }), []string{"RELEASE_NODE is set by beamkeeper"}},
		{"cookie with space", with(spec(Elixir, mixShop), func(s *Spec) { s.Cookie = "s3cret s" }), []string{"cookie has a space", "position 6"}},
		{"cookie as option", with(spec(Erlang, relx), func(s *Spec) { s.Cookie = "-s3cret" }), []string{"cookie starts with -"}},
		{"cookie too long", with(spec(Erlang, relx), func(s *Spec) { s.Cookie = strings.Repeat("s3cret", 50) }), []string{"at most 255"}},
		{"instance", with(spec(Erlang, relx), func(s *Spec) { s.Instance = "a@b" }), []string{`Instance "a@b" is no name`}},
		{"user", with(spec(Erlang, relx), func(s *Spec) { s.User = "nobody-of-that-name" }), []string{`OS user "nobody-of-that-name"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := Build(tt.spec)
			if err == nil {
				t.Fatalf("Build = %v, want an error", p)
			}
			for _, want := range append(tt.want, "launch: ") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("error shows a secret: %q", err)
			}
		})
	}
}

func TestPlan_Expand(t *testing.T) {
	t.Parallel()
	p := Plan{Env: []string{"HOST=h", "PORT=4001"}, Ports: map[string]int{"PORT": 4001, "ADMIN": 1}}
	tests := []struct{ text, want, wantErr string }{
		{"http://127.0.0.1:${PORT}/${HOST}?$x=$PORT&{}", "http://127.0.0.1:4001/h?$x=$PORT&{}", ""},
		{"", "", ""},
		{"plain", "plain", ""},
		{"${NONE}", "", `no variable "NONE" in the instance's environment (replica_ports: ADMIN, PORT)`},
		{"a${PORT", "", "${ without }"},
	}
	for _, tt := range tests {
		got, err := p.Expand(tt.text)
		if got != tt.want || (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
			t.Errorf("Expand(%q) = %q, %v, want %q, %q", tt.text, got, err, tt.want, tt.wantErr)
		}
	}
}

func TestPlan_Prepare(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run", "home")
	p := Plan{Files: []File{{Path: filepath.Join(dir, ".erlang.cookie"), Mode: 0o400, Content: []byte("first")}}}
	for _, content := range []string{"first", "second"} { // a second start finds the first one's file
		p.Files[0].Content = []byte(content)
		if err := p.Prepare(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(p.Files[0].Path)
		if err != nil || string(b) != content {
			t.Errorf("content = %q, %v, want %q", b, err, content)
		}
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, p.Files[0].Path: 0o400} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %#o", path, st.Mode(), err, want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestBuild_CrashDump(t *testing.T) {
	t.Parallel()
	root := tree(t, "bin/shop=#!/bin/sh\n")
	dump := filepath.Join(filepath.Dir(root), "run", "erl_crash.dump")
	tests := []struct {
		name   string
		limits *DumpLimits
		env    []Var
		own    bool
		want   []string // of the environment
	}{
		{"as the BEAM has it", nil, nil, false, nil},
		{"bounded", &DumpLimits{Seconds: 30, Bytes: 1000}, nil, true,
			[]string{"ERL_CRASH_DUMP=" + dump, "ERL_CRASH_DUMP_BYTES=1000", "ERL_CRASH_DUMP_SECONDS=30"}},
		{"none", &DumpLimits{}, nil, true, []string{"ERL_CRASH_DUMP=" + dump, "ERL_CRASH_DUMP_SECONDS=0"}},
		{"one's own", &DumpLimits{Seconds: 30, Bytes: 1000}, []Var{{Key: "ERL_CRASH_DUMP", Value: "/x/dump"}, {Key: "ERL_CRASH_DUMP_BYTES", Value: "7"}}, false,
			[]string{"ERL_CRASH_DUMP=/x/dump", "ERL_CRASH_DUMP_BYTES=7", "ERL_CRASH_DUMP_SECONDS=30"}},
	}
	for _, tt := range tests {
		s := spec(Erlang, root)
		s.Dump, s.Env = tt.limits, tt.env
		p := mustBuild(t, s)
		var got []string
		for _, kv := range p.Env {
			if strings.HasPrefix(kv, "ERL_CRASH") {
				got = append(got, kv)
			}
		}
		if !slices.Equal(got, tt.want) || p.OwnDump != tt.own {
			t.Errorf("%s: %q, own %v, want %q, %v", tt.name, got, p.OwnDump, tt.want, tt.own)
		}
		if err := p.Prepare(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Dir(p.CrashDump)); tt.own && err != nil {
			t.Errorf("%s: no folder for it: %v", tt.name, err)
		}
	}
}
