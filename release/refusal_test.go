package release

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// aProgram is a real one of this host, linked dynamically.
func aProgram(t *testing.T) []byte {
	t.Helper()
	libcOf(t) // skips where there is none
	b, err := os.ReadFile("/bin/ls")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func patched(t *testing.T, b []byte, old, new string) []byte {
	t.Helper()
	if len(new) < len(old) {
		new += strings.Repeat("\x00", len(old)-len(new))
	}
	if len(old) != len(new) || !bytes.Contains(b, []byte(old)) {
		t.Fatalf("%q cannot be patched to %q", old, new)
	}
	return bytes.ReplaceAll(b, []byte(old), []byte(new))
}

// Programs of this host with a byte or two changed are refused, and for that reason.
func TestJudge_RealPrograms(t *testing.T) {
	t.Parallel()
	real := aProgram(t)
	n, err := parseNative("ls", "", bytes.NewReader(real))
	if err != nil || n.GLIBC == "" || n.Loader == "" || len(n.Needs) == 0 {
		t.Fatalf("native %+v, %v", n, err)
	}
	machine := bytes.Clone(real)
	binary.LittleEndian.PutUint16(machine[18:], 22) // e_machine: EM_S390
	sameLength := "GLIBC_" + strings.Repeat("9", len(n.GLIBC)-2) + ".9"
	newer := patched(t, real, "GLIBC_"+n.GLIBC, sameLength)
	elsewhere := patched(t, real, n.Loader, "/n"+n.Loader[2:])
	own := patched(t, newer, n.Loader, "/bin/sh") // anything that is there
	for _, c := range []struct {
		name    string
		program []byte
		where   string
		reason  string // empty: it runs
	}{
		{"as it is", real, "erts-14.2/bin/beam.smp", ""},
		{"another machine", machine, "erts-14.2/bin/beam.smp", "is for s390x, this host is"},
		{"a library for another machine", machine, "lib/shop-1.0.0/priv/nif_s390.so", ""},
		{"a newer C library", newer, "erts-14.2/bin/beam.smp", "erts-14.2/bin/beam.smp needs glibc " + sameLength[6:]},
		{"a NIF that needs a newer C library", newer, "lib/shop-1.0.0/priv/nif.so", "nif.so needs glibc " + sameLength[6:]},
		{"a loader that is not there", elsewhere, "erts-14.2/bin/beam.smp", "started by /n"},
		{"a loader and a C library of its own", own, "erts-14.2/bin/beam.smp", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := hotRelease{version: "1.0.0", app: "1.0.0", more: []member{{name: c.where, body: string(c.program), mode: 0o755}}}
			v := Judge(nil, r.read(t), ThisHost())
			if c.reason == "" && v.Verdict != Full || c.reason != "" && (v.Verdict != Refused || len(v.Reasons) != 1 || !strings.Contains(v.Reasons[0].What, c.reason)) {
				t.Errorf("verdict %+v, want %q", v, c.reason)
			}
		})
	}
}

func TestUnusable(t *testing.T) {
	t.Parallel()
	r := hotRelease{version: "1.0.0", app: "1.0.0"}
	good := r.write(t)
	b, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	torn := filepath.Join(t.TempDir(), "torn.tar.gz")
	if err := os.WriteFile(torn, b[:len(b)-9], 0o600); err != nil {
		t.Fatal(err)
	}
	for file, app := range map[string]string{torn: "shop", good: "blog", "/bin/ls": "shop"} {
		if _, err := ReadContentsOf(context.Background(), file, app, Limits{}); !Unusable(err) {
			t.Errorf("%s as %s: %v", file, app, err)
		}
	}
	for _, err := range []error{nil, errors.New("no network"), &Error{Op: "fetch", Err: ErrNotFound}, &Error{Op: "fetch", Err: ErrChanging}, ErrNoSpace} {
		if Unusable(err) {
			t.Errorf("%v", err)
		}
	}
}
