package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestControlSocket_OfBrokenFilesToo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, tc := range map[string]struct{ text, want string }{
		"whole":          {"control: {socket: /run/x.sock}\n", "/run/x.sock"},
		"none":           {"account_name: a\n", "/run/beamkeeper/beamkeeper.sock"},
		"empty":          {"", "/run/beamkeeper/beamkeeper.sock"},
		"relative":       {"control: {socket: x.sock}\n", filepath.Join(dir, "x.sock")},
		"unknown key":    {"control: {socket: /run/x.sock}\napplications: [{name: a, replcas: 1}]\n", "/run/x.sock"},
		"no YAML":        {"control:\n  socket: \"/run/x.sock\" # here\napplications:\n\t- name: a\n", "/run/x.sock"},
		"no YAML, short": {"control: {mode: 0600, socket: x.sock}\nnode: [\n", filepath.Join(dir, "x.sock")},
	} {
		file := filepath.Join(dir, "f.yaml")
		if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ControlSocket(file); err != nil || got != tc.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, tc.want)
		}
	}
	if _, err := ControlSocket(filepath.Join(dir, "none.yaml")); err == nil {
		t.Error("a file that is not there has a socket")
	}
}
