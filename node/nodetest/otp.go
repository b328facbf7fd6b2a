// Package nodetest starts real EPMDs and real BEAMs for the tests of any package.
//
// Everything it starts belongs to the test: it ends, and is waited for, in t.Cleanup.
package nodetest

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// OTP is an installed Erlang/OTP.
type OTP struct {
	Release string // "25"
	Bin     string // folder with erl, erlc, escript, and where there is Elixir, elixir and mix
}

// Env is the environment of the test with the OTP's programs first in PATH.
func (o OTP) Env(extra ...string) []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if name == "PATH" || strings.HasPrefix(name, "ERL_") || strings.HasPrefix(name, "RELEASE_") || name == "ERLC_OPTS" {
			continue
		}
		env = append(env, kv)
	}
	env = append(env, "PATH="+o.Bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return append(env, extra...)
}

// OTPs finds the installed ones, in order of release, one for each: $BEAMKEEPER_OTPS (folders with bin/erl, separated
// by ':') or, without that variable, the system's erl and the prefixes otp-* in the cache folder.
func OTPs(t testing.TB) []OTP {
	t.Helper()
	var bins []string
	if list, ok := os.LookupEnv("BEAMKEEPER_OTPS"); ok {
		for _, prefix := range filepath.SplitList(list) {
			bins = append(bins, filepath.Join(prefix, "bin"))
		}
	} else {
		if erl, err := exec.LookPath("erl"); err == nil {
			bins = append(bins, filepath.Dir(erl))
		}
		cache := os.Getenv("XDG_CACHE_HOME")
		if cache == "" {
			if home, err := os.UserHomeDir(); err == nil {
				cache = filepath.Join(home, ".cache")
			}
		}
		found, _ := filepath.Glob(filepath.Join(cache, "beamkeeper", "otp-*", "bin")) // the pattern is well-formed
		bins = append(bins, found...)
	}
	var otps []OTP
	for _, bin := range bins {
		release := releaseOf(filepath.Join(bin, "erl"))
		known := slices.ContainsFunc(otps, func(o OTP) bool { return o.Release == release })
		if release != "" && !known {
			otps = append(otps, OTP{Release: release, Bin: bin})
		}
	}
	slices.SortFunc(otps, func(a, b OTP) int {
		return cmp.Or(cmp.Compare(len(a.Release), len(b.Release)), cmp.Compare(a.Release, b.Release))
	})
	return otps
}

// releaseOf reads the release from the folder releases of the installation that erl belongs to, "" when there is none.
func releaseOf(erl string) string {
	file, err := filepath.EvalSymlinks(erl)
	if err != nil {
		return ""
	}
	dirs, err := os.ReadDir(filepath.Join(filepath.Dir(filepath.Dir(file)), "releases"))
	if err != nil {
		return ""
	}
	newest := 0
	for _, d := range dirs {
		if n, err := strconv.Atoi(d.Name()); err == nil && d.IsDir() {
			newest = max(newest, n)
		}
	}
	if newest == 0 {
		return ""
	}
	return strconv.Itoa(newest)
}

// Want gives the named releases. When one is missing the test is skipped, or fails under REQUIRE_OTP=1.
func Want(t testing.TB, releases ...string) []OTP {
	t.Helper()
	all := OTPs(t)
	var otps []OTP
	for _, r := range releases {
		i := slices.IndexFunc(all, func(o OTP) bool { return o.Release == r })
		if i >= 0 {
			otps = append(otps, all[i])
			continue
		}
		if os.Getenv("REQUIRE_OTP") == "1" {
			t.Fatalf("OTP %s is not installed and REQUIRE_OTP=1", r)
		}
		t.Skipf("OTP %s is not installed", r)
	}
	return otps
}

// WantAny gives the oldest installed release that is at least 25, for tests that need any BEAM.
func WantAny(t testing.TB) OTP {
	t.Helper()
	for _, o := range OTPs(t) {
		if n, _ := strconv.Atoi(o.Release); n >= 25 {
			return o
		}
	}
	return Want(t, "25")[0]
}
