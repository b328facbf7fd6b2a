package main

import (
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/config"
)

var updatePackaging = flag.Bool("update-packaging", false, "write packaging/systemd anew")

func serviceOptionsOf(t *testing.T, yaml string, version int) serviceOptions {
	t.Helper()
	cfg, err := config.Parse(config.DefaultPath, []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	o, err := newServiceOptions(cfg, config.DefaultPath, "/usr/bin/beamkeeper", version)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// packaging/systemd shows what generate prints for a configuration in its default places.
func TestGenerateSystemd_PackagingIsCurrent(t *testing.T) {
	t.Parallel()
	for folder, version := range map[string]int{"": newestSystemd, "252": 252} {
		files, err := systemdFiles(serviceOptionsOf(t, `web: {listen: "127.0.0.1:5001"}`, version))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			name := filepath.Base(f.name)
			if strings.Contains(f.name, "needrestart") {
				name = "needrestart.conf"
			}
			path := filepath.Join("../../packaging/systemd", folder, name)
			if folder != "" && !strings.HasSuffix(path, ".service") {
				continue // the same for all versions
			}
			if *updatePackaging {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, f.text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != string(f.text) {
				t.Errorf("%s is not current (%v): go test ./cmd/beamkeeper -run PackagingIsCurrent -update-packaging", path, err)
			}
		}
	}
}

func TestGenerateSystemd_FollowsTheConfiguration(t *testing.T) {
	t.Parallel()
	o := serviceOptionsOf(t, `
var_path: /srv/bk
control: {socket: /srv/bk/control.sock, mode: "0666", group: deploy}
node: {cookie_file: /etc/bk/cookie}
applications:
  - {name: a, cookie_file: /etc/bk/a, stop: {timeout_ms: 120000}}
  - {name: b}
`, 252)
	files, err := systemdFiles(o)
	if err != nil {
		t.Fatal(err)
	}
	unit := string(files[0].text)
	for _, want := range []string{
		"\nType=notify\n", "\nExecReload=/bin/kill -HUP $MAINPID\n", "\nExecStart=/usr/bin/beamkeeper run\n", "\nTimeoutStopSec=145s\n",
		"\nLoadCredential=cookie:/etc/bk/cookie\nLoadCredential=cookie.a:/etc/bk/a\n", "\nKillMode=process\n", "\nRestartSec=1s\n",
	} {
		if !strings.Contains(unit, want) {
			t.Errorf("the unit lacks %q:\n%s", want, unit)
		}
	}
	for _, not := range []string{"StateDirectory", "RuntimeDirectory", "RestartSteps", "notify-reload", "cookie.b", "#LoadCredential"} {
		if strings.Contains(unit, not) {
			t.Errorf("the unit has %s:\n%s", not, unit)
		}
	}
	if len(files) != 4 || !strings.Contains(string(files[2].text), "ListenStream=/srv/bk/control.sock\nSocketMode=0666\nSocketGroup=deploy\n") {
		t.Errorf("%d files, the socket is\n%s", len(files), files[2].text)
	}
	cfg, err := config.Parse("/etc/with space/c.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newServiceOptions(cfg, "/etc/with space/c.yaml", "/b", 257); err == nil {
		t.Error("a path with a space is accepted")
	}
}

// The scripts for OpenRC and runit are scripts, and start what they should.
func TestGenerate_OpenRCAndRunit(t *testing.T) {
	t.Parallel()
	o := serviceOptionsOf(t, "", 0)
	o.Config = "/srv/c.yaml"
	for _, make := range []func(serviceOptions) ([]generatedFile, error){
		renderFiles(placed{"beamkeeper.openrc", "a", 0o755}),
		renderFiles(placed{"runit-run", "b", 0o755}, placed{"runit-log-run", "c", 0o755}),
	} {
		files, err := make(o)
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range files {
			cmd := exec.Command("sh", "-n")
			cmd.Stdin = strings.NewReader(string(f.text))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", f.name, err, out)
			}
			if f.mode != fs.FileMode(0o755) || i == 0 && !strings.Contains(string(f.text), "--config /srv/c.yaml run") {
				t.Errorf("%s, mode %v:\n%s", f.name, f.mode, f.text)
			}
		}
	}
}

// runit's script runs the daemon with its options, its log on standard output.
func TestGenerate_RunitRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fake := filepath.Join(dir, "beamkeeper")
	if err := os.WriteFile(fake, []byte("#!/bin/sh\necho \"args $*\" >&2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	o := serviceOptions{Binary: fake, Runtime: filepath.Join("..", dir)} // below /run
	files, err := renderFiles(placed{"runit-run", "run", 0o755})(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", string(files[0].text))
	if out, err := cmd.Output(); err != nil || string(out) != "args run --log-format json\n" {
		t.Errorf("%q, %v", out, err)
	}
}
