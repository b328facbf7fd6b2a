// Package sampletest builds the sample apps of testdata/samples for tests.
//
// A tarball is built once for each source, OTP and version and kept in the cache folder
// (${XDG_CACHE_HOME:-~/.cache}/beamkeeper/samples), so that a second run is quick and several test processes share it.
package sampletest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The samples that are upgraded while they run; their READMEs in testdata/samples tell what their versions do.
const (
	HotErlang = "hot_erlang" // relx; a counter and two dependencies, appups in ebin and priv/appup
	HotElixir = "hot_elixir" // mix; an umbrella of two applications with Jellyfish's files, runtime.exs
)

// AppName returns the release name, and so the app name, of the sample in a language (elixir, erlang or gleam), or of
// HotErlang or HotElixir.
func AppName(language string) string {
	switch language {
	case "erlang":
		return "sample"
	case HotErlang, HotElixir:
		return language
	}
	return "sample_" + language
}

// Build returns the path of the tarball of a sample release, built with the OTP, Elixir and rebar3 on PATH.
//
// language is elixir, erlang or gleam, HotErlang or HotElixir. Of the first three any version can be built: one that ends in -crash dies while starting, one that
// ends in -sick answers 503 on /health; from 0.2.0 on the counter keeps its state in another shape.
// Without an OTP on PATH the test is skipped, or fails under REQUIRE_OTP=1.
func Build(t testing.TB, language, version string) string {
	t.Helper()
	return BuildWith(t, "", language, version)
}

// BuildWith is Build with the programs in the folder bin first on PATH, for instance those of another OTP.
func BuildWith(t testing.TB, bin, language, version string) string {
	t.Helper()
	path, err := build(bin, language, version)
	if err == nil {
		return path
	}
	if os.Getenv("REQUIRE_OTP") != "1" && !found(bin, "erlc") {
		t.Skipf("no Erlang/OTP: %v", err)
	}
	t.Fatalf("build sample %s %s: %v", language, version, err)
	return ""
}

func build(bin, language, version string) (string, error) {
	_, self, _, _ := runtime.Caller(0)
	samples := filepath.Join(filepath.Dir(self), "..", "..", "testdata", "samples")
	env := os.Environ()
	if bin != "" {
		env = append(env, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	}
	key, err := cacheKey(samples, language, env)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	out := filepath.Join(cache, "beamkeeper", "samples", key, AppName(language)+"-"+version+".tar.gz")
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return "", err
	}
	lock, err := os.Create(out + ".lock")
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", err
	}
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	cmd := exec.Command(filepath.Join(samples, "build.sh"), language, version, out)
	cmd.Env = env
	if b, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build.sh %s %s: %w\n%s", language, version, err, b)
	}
	return out, nil
}

// cacheKey tells builds apart by the sample's source and the OTP that builds it.
func cacheKey(samples, language string, env []string) (string, error) {
	h := sha256.New()
	for _, root := range []string{filepath.Join(samples, "build.sh"), filepath.Join(samples, language)} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			fmt.Fprintf(h, "%s %d\n%s", strings.TrimPrefix(path, samples), len(b), b)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	erl := exec.Command("sh", "-c", `erl -noshell -eval 'io:format("~s ~s",[code:root_dir(),erlang:system_info(version)]),halt().'; command -v mix || true`)
	erl.Env = env
	version, err := erl.Output()
	if err != nil {
		return "", fmt.Errorf("erl: %w", err)
	}
	h.Write(version)
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

func found(bin, command string) bool {
	if bin != "" {
		_, err := os.Stat(filepath.Join(bin, command))
		return err == nil
	}
	_, err := exec.LookPath(command)
	return err == nil
}
