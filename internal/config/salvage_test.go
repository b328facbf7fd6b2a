package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSalvage_OfBrokenFilesToo(t *testing.T) {
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
		if got, err := Salvage(file); err != nil || got.Socket != tc.want {
			t.Errorf("%s: %q, %v, want %q", name, got.Socket, err, tc.want)
		}
	}
	for text, want := range map[string]string{
		"var_path: /srv/v\n": "/srv/v", "": "/var/lib/beamkeeper", "var_path: v\nnode: [\n": filepath.Join(dir, "v"), "replcas: 1\nvar_path: /srv/v\n": "/srv/v",
	} {
		file := filepath.Join(dir, "f.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := Salvage(file); err != nil || got.VarPath != want {
			t.Errorf("%q: var_path %q, %v, want %q", text, got.VarPath, err, want)
		}
	}
	if _, err := Salvage(filepath.Join(dir, "none.yaml")); err == nil {
		t.Error("a file that is not there has a socket")
	}
}
