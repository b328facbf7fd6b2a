package release

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

const moduleSource = `-module('a b').
-behaviour(gen_server).
-export([init/1, handle_call/3, handle_cast/2, code_change/3, lit/0]).
init(_) -> {ok, #{}}.
handle_call(_, _, S) -> {reply, ok, S}.
handle_cast(_, S) -> {noreply, S}.
code_change(_, S, _) -> {ok, S}.
lit() -> {"a rather long literal", [1,2,3], <<"x">>}.
`

// compile gives the .beam that the erlc in bin makes of a module.
func compile(t *testing.T, bin, source string, options ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a b.erl"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(bin, "erlc"), append(options, "a b.erl")...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("erlc: %v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "a b.beam"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseModule(t *testing.T) {
	t.Parallel()
	for _, otp := range nodetest.Want(t, "23", "25", "27", "29") {
		t.Run(otp.Release, func(t *testing.T) {
			t.Parallel()
			plain, err := ParseModule(compile(t, otp.Bin, moduleSource))
			if err != nil {
				t.Fatal(err)
			}
			if plain.Name != "a b" || !reflect.DeepEqual(plain.Behaviours, []string{"gen_server"}) || !plain.CodeChange || plain.NIFs || plain.Supervisor() {
				t.Errorf("module is %+v", plain)
			}
			for name, other := range map[string][]byte{
				"with debug information": compile(t, otp.Bin, moduleSource, "+debug_info"),
				"compressed":             compile(t, otp.Bin, moduleSource, "+compressed"),
				"with another comment":   compile(t, otp.Bin, moduleSource+"\n% the end\n"),
				"deterministic":          compile(t, otp.Bin, moduleSource, "+deterministic"),
			} {
				m, err := ParseModule(other)
				if err != nil || m.Digest != plain.Digest {
					t.Errorf("%s: %+v, %v; want digest %s", name, m, err, plain.Digest)
				}
			}
			changed, err := ParseModule(compile(t, otp.Bin, moduleSource+"more() -> erlang:load_nif(\"x\", 0).\n", "+export_all"))
			if err != nil || changed.Digest == plain.Digest || !changed.NIFs {
				t.Errorf("changed: %+v, %v", changed, err)
			}
		})
	}
}

func TestParseModule_Broken(t *testing.T) {
	t.Parallel()
	for _, b := range []string{"", "FOR1", "FOR1\x00\x00\x00\x04BEAM", "FOR1\x00\x00\x00\x10BEAMAtU8\xff\xff\xff\xff", "\x1f\x8bxx",
		"FOR1\x00\x00\x00\x10BEAMAtU8\x00\x00\x00\x05\x00\x00\x00\x01\x20", "FOR1\x00\x00\x00\x10BEAMAtU8\x00\x00\x00\x06\x00\x00\x00\x01\x01aExpT\x00\x00\x00\x04\xff\xff\xff\xff"} {
		if m, err := ParseModule([]byte(b)); !errors.Is(err, ErrBadModule) {
			t.Errorf("ParseModule(%q) = %+v, %v", b, m, err)
		}
	}
}

func FuzzParseModule(f *testing.F) {
	f.Add([]byte("FOR1\x00\x00\x00\x10BEAMAtU8\x00\x00\x00\x06\x00\x00\x00\x01\x01a"))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = ParseModule(b) })
}
