package sampletest

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestBuild_MakesAReleaseOfEachLanguage(t *testing.T) {
	t.Parallel()
	tests := []struct{ language, member string }{
		{"erlang", "bin/sample"},
		{"elixir", "bin/sample_elixir"},
		{"gleam", "erlang-shipment/sample_gleam/ebin/sample_gleam@@main.beam"},
	}
	for _, tt := range tests {
		t.Run(tt.language, func(t *testing.T) {
			t.Parallel()
			path := Build(t, tt.language, "0.1.0")
			if !holds(t, path, tt.member) {
				t.Errorf("%s does not hold %s", path, tt.member)
			}
			if again := Build(t, tt.language, "0.1.0"); again != path {
				t.Errorf("second Build = %s, want the cached %s", again, path)
			}
		})
	}
}

// A relative OUT is one of the folder that the caller is in, as a person at a shell expects.
func TestBuildScript_TakesARelativePath(t *testing.T) {
	t.Parallel()
	if !found("", "erlc") {
		t.Skip("no erlc on PATH")
	}
	script, err := filepath.Abs("../../testdata/samples/build.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(script, "gleam", "0.1.0", "out/a.tar.gz")
	cmd.Dir = t.TempDir()
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	if path := filepath.Join(cmd.Dir, "out/a.tar.gz"); !holds(t, path, "erlang-shipment/entrypoint.sh") {
		t.Errorf("%s does not hold the release", path)
	}
}

func holds(t *testing.T, path, member string) bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimPrefix(h.Name, "./") == member {
			return true
		}
	}
}
