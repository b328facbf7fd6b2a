package sampletest

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
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
