package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// member is one entry of a test's archive: a file unless typ says otherwise.
type member struct {
	name string
	body string
	mode int64 // 0: 0644
	typ  byte
	link string
}

var testTime = time.Unix(1_700_000_000, 0)

func (m member) header() *tar.Header {
	h := &tar.Header{Name: m.name, Mode: m.mode, Typeflag: m.typ, Linkname: m.link, ModTime: testTime}
	if h.Typeflag == 0 {
		h.Typeflag = tar.TypeReg
	}
	if h.Typeflag == tar.TypeReg {
		h.Size = int64(len(m.body))
	}
	if h.Mode == 0 {
		h.Mode = 0o644
	}
	return h
}

// tarOf makes a plain tar file.
func tarOf(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := m.header()
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, m.body); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(t testing.TB, b []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return z.Bytes()
}

func archiveOf(t testing.TB, members ...member) []byte {
	t.Helper()
	return gzipOf(t, tarOf(t, members...))
}

// mixRelease is a small release as mix makes it, with something of each kind of file.
func mixRelease(app, version string, more ...member) []member {
	rel := fmt.Sprintf("%%%% coding: utf-8\n{release,{%q,%q},\n {erts,\"13.1.5\"},\n [{kernel,\"8.5.3\",permanent},\n  {%s,%q,permanent}]}.\n",
		app, version, app, version)
	return append([]member{
		{name: "./bin/" + app, body: "#!/bin/sh\necho " + version, mode: 0o755},
		{name: "./erts-13.1.5/bin/beam.smp", body: "\x7fELF", mode: 0o755},
		{name: "./lib/" + app + "-" + version + "/ebin/Elixir.App.beam", body: "FOR1 " + version},
		{name: "./lib/" + app + "-" + version + "/ebin/" + app + ".app", body: "{application," + app + ",[]}."},
		{name: "./lib/" + app + "-" + version + "/priv/data.txt", body: "data"},
		{name: "./lib/" + app + "-" + version + "/priv/nif.so", body: "\x7fELF", mode: 0o644},
		{name: "./releases/start_erl.data", body: "13.1.5 " + version},
		{name: "./releases/COOKIE", body: "secret", mode: 0o400},
		{name: "./releases/" + version + "/" + app + ".rel", body: rel},
		{name: "./releases/" + version + "/elixir", body: "#!/bin/sh", mode: 0o755},
		{name: "./releases/" + version + "/sys.config", body: "[]."},
		{name: "./releases/" + version + "/consolidated/Elixir.Enumerable.beam", body: "FOR1"},
	}, more...)
}

func relxRelease(app, version string) []member {
	rel := fmt.Sprintf("{release,{%q,%q},{erts,\"14.2\"},[{kernel,\"9.2\"},{%s,%q}]}.", app, version, app, version)
	return []member{
		{name: "lib/" + app + "-" + version + "/ebin/" + app + ".beam", body: "FOR1"},
		{name: "releases/" + app + ".rel", body: rel},
		{name: "releases/" + version + "/" + app + ".rel", body: rel},
		{name: "releases/" + version + "/start_clean.rel", body: `{release,{"start_clean","0"},{erts,"14.2"},[{kernel,"9.2"}]}.`},
		{name: "releases/" + version + "/vm.args.src", body: "-sname ${RELEASE_NODE}"},
		{name: "releases/start_erl.data", body: "14.2 " + version},
		{name: "bin/" + app, body: "#!/bin/sh", mode: 0o755},
		{name: "bin/" + app + "-" + version, body: "#!/bin/sh", mode: 0o755},
	}
}

func shipment(app, version string) []member {
	spec := func(name, v string) string {
		return fmt.Sprintf("{application, %s, [\n    {vsn, %q},\n    {applications, []}\n]}.\n", name, v)
	}
	return []member{
		{name: "erlang-shipment/", typ: tar.TypeDir, mode: 0o755},
		{name: "erlang-shipment/entrypoint.sh", body: "#!/bin/sh", mode: 0o755},
		{name: "erlang-shipment/gleam_stdlib/ebin/gleam_stdlib.app", body: spec("gleam_stdlib", "0.44.0")},
		{name: "erlang-shipment/" + app + "/ebin/" + app + ".app", body: spec(app, version)},
		{name: "erlang-shipment/" + app + "/ebin/" + app + "@@main.beam", body: "FOR1"},
		{name: "erlang-shipment/" + app + "/priv/x.css", body: "a{}"},
	}
}

// unpackBytes unpacks an archive into a new folder.
func unpackBytes(t testing.TB, b []byte, app string, limits Limits) (string, Package, error) {
	t.Helper()
	dir := t.TempDir()
	pkg, err := unpack(context.Background(), bytes.NewReader(b), int64(len(b)), dir, app, limits)
	return dir, pkg, err
}

func TestUnpack_Files(t *testing.T) {
	t.Parallel()
	b := archiveOf(t, mixRelease("shop", "1.0.0",
		member{name: "./", typ: tar.TypeDir},
		member{name: "bin", typ: tar.TypeDir, mode: 0o2775},
		member{name: "bin//./shop_link", typ: tar.TypeSymlink, link: "shop"},
		member{name: "log/latest", typ: tar.TypeSymlink, link: "../tmp/x"}, // leads nowhere yet
		member{name: "bin/shop2", typ: tar.TypeLink, link: "./bin/shop"},
		member{name: "lib/a/src/hard", typ: tar.TypeLink, link: "bin/shop"}, // shared, of a file that is not
		member{name: "bin/twice", body: "old"},
		member{name: "bin/twice", body: "new", mode: 0o700},
		member{name: "tmp", typ: tar.TypeDir, mode: 0o000},
		member{name: "odd/" + strings.Repeat("n", 255), body: "x"},
		member{name: "odd/mit Leerzeichen ü\n\xff", body: "x", mode: 0o666},
	)...)
	dir, pkg, err := unpackBytes(t, b, "shop", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if pkg.Name != "shop" || pkg.Version != "1.0.0" {
		t.Errorf("package %+v", pkg)
	}
	for name, want := range map[string]string{
		"bin/shop":                            "-rwxr-xr-x #!/bin/sh\necho 1.0.0",
		"bin/shop_link":                       "-rwxr-xr-x #!/bin/sh\necho 1.0.0",
		"bin/shop2":                           "-rwxr-xr-x #!/bin/sh\necho 1.0.0",
		"lib/a/src/hard":                      "-r-xr-xr-x #!/bin/sh\necho 1.0.0",
		"bin/twice":                           "-rwx------ new",
		"lib/shop-1.0.0/ebin/Elixir.App.beam": "-r--r--r-- FOR1 1.0.0",
		"lib/shop-1.0.0/priv/data.txt":        "-rw-r--r-- data",
		"lib/shop-1.0.0/priv/nif.so":          "-r--r--r-- \x7fELF",
		"erts-13.1.5/bin/beam.smp":            "-r-xr-xr-x \x7fELF",
		"releases/COOKIE":                     "-rw------- secret",
		"releases/1.0.0/sys.config":           "-rw-r--r-- [].",
		"releases/1.0.0/consolidated/Elixir.Enumerable.beam": "-r--r--r-- FOR1",
		"odd/mit Leerzeichen ü\n\xff":                        "-rw-r--r-- x",
	} {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		if got := info.Mode().String() + " " + string(got); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if !info.ModTime().Equal(testTime) {
			t.Errorf("%s: time %v, want that of the archive, %v", name, info.ModTime(), testTime)
		}
	}
	for _, name := range []string{"tmp", "bin", "log"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != fs.ModeDir|0o755 {
			t.Errorf("%s: %v, %v, want a folder with mode 0755", name, info, err)
		}
	}
}

func TestUnpack_RefusesUnsafeEntries(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		members []member
	}{
		{"absolute path", []member{{name: "/etc/passwd", body: "x"}}},
		{"escaping path", []member{{name: "../x", body: "x"}}},
		{"escaping path further down", []member{{name: "lib/../../x", body: "x"}}},
		{"going up inside", []member{{name: "lib/../x", body: "x"}}},
		{"escaping folder", []member{{name: "../x/", typ: tar.TypeDir}}},
		{"character device", []member{{name: "dev", typ: tar.TypeChar}}},
		{"block device", []member{{name: "dev", typ: tar.TypeBlock}}},
		{"fifo", []member{{name: "pipe", typ: tar.TypeFifo}}},
		{"contiguous file", []member{{name: "odd", typ: tar.TypeCont}}},
		{"setuid", []member{{name: "bin/su", body: "x", mode: 0o4755}}},
		{"setgid", []member{{name: "bin/su", body: "x", mode: 0o2755}}},
		{"sticky", []member{{name: "bin/su", body: "x", mode: 0o1755}}},
		{"link to an absolute path", []member{{name: "l", typ: tar.TypeSymlink, link: "/etc/passwd"}}},
		{"link out of the tree", []member{{name: "l", typ: tar.TypeSymlink, link: "../x"}}},
		{"link out of the tree from below", []member{{name: "a/b/l", typ: tar.TypeSymlink, link: "../../../x"}}},
		{"link down and up", []member{{name: "a/l", typ: tar.TypeSymlink, link: "b/../.."}}},
		{"link through a link that goes up", []member{
			{name: "a/b/up", typ: tar.TypeSymlink, link: "../.."},
			{name: "out", typ: tar.TypeSymlink, link: "a/b/up/.."},
		}},
		{"link without a target", []member{{name: "l", typ: tar.TypeSymlink, link: ""}}},
		{"links in a circle", []member{
			{name: "a", typ: tar.TypeSymlink, link: "b"}, {name: "b", typ: tar.TypeSymlink, link: "a"},
		}},
		{"file through a link", []member{{name: "l", typ: tar.TypeSymlink, link: "lib"}, {name: "l/x", body: "x"}}},
		{"folder over a link", []member{{name: "l", typ: tar.TypeSymlink, link: "lib"}, {name: "l", typ: tar.TypeDir}}},
		{"folder over a file", []member{{name: "f", body: "x"}, {name: "f/x", body: "x"}}},
		{"file over a folder", []member{{name: "f/x", body: "x"}, {name: "f", body: "x"}}},
		{"link over a folder", []member{{name: "f/x", body: "x"}, {name: "f", typ: tar.TypeSymlink, link: "lib"}}},
		{"hard link out of the tree", []member{{name: "h", typ: tar.TypeLink, link: "../x"}}},
		{"hard link to an absolute path", []member{{name: "h", typ: tar.TypeLink, link: "/etc/passwd"}}},
		{"hard link to nothing", []member{{name: "h", typ: tar.TypeLink, link: "bin/none"}}},
		{"hard link to itself", []member{{name: "h", typ: tar.TypeLink, link: "h"}}},
		{"hard link to a symbolic link", []member{{name: "l", typ: tar.TypeSymlink, link: "bin/shop"}, {name: "h", typ: tar.TypeLink, link: "l"}}},
		{"hard link through a link", []member{{name: "l", typ: tar.TypeSymlink, link: "bin"}, {name: "h", typ: tar.TypeLink, link: "l/shop"}}},
		{"hard link to a folder", []member{{name: "h", typ: tar.TypeLink, link: "bin"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := archiveOf(t, append(mixRelease("shop", "1.0.0"), tt.members...)...)
			_, _, err := unpackBytes(t, b, "shop", Limits{})
			var entry *EntryError
			if !errors.Is(err, ErrUnsafePath) || !errors.As(err, &entry) {
				t.Fatalf("unpack: %v, want *EntryError with ErrUnsafePath", err)
			}
		})
	}
}

// noise does not compress.
func noise(n int) string {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return string(b)
}

func TestUnpack_KeepsLimits(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("d/", 48) + "f"
	tests := []struct {
		name    string
		limits  Limits
		members []member
	}{
		{"entries", Limits{Entries: 12}, []member{{name: "one/more", body: "x"}}},
		{"folders that entries imply", Limits{Entries: 13}, []member{{name: strings.Repeat("d/", 20) + "f", body: "x"}}},
		{"bytes", Limits{Bytes: 100_000}, []member{{name: "big", body: noise(100_001)}}},
		{"bytes in small files", Limits{Bytes: 1000}, []member{{name: "a", body: noise(500)}, {name: "b", body: noise(500)}}},
		{"bomb", Limits{}, []member{{name: "zeros", body: strings.Repeat("\x00", 40<<20)}}},
		{"long path", Limits{Name: 100}, []member{{name: strings.Repeat("d/", 40) + strings.Repeat("n", 30), body: "x"}}},
		{"long name", Limits{}, []member{{name: strings.Repeat("n", 256), body: "x"}}},
		{"depth", Limits{}, []member{{name: deep, body: "x"}}},
		{"links", Limits{Links: 1}, []member{{name: "a", typ: tar.TypeSymlink, link: "bin"}, {name: "b", typ: tar.TypeLink, link: "bin/shop"}}},
		{"long link", Limits{Name: 100}, []member{{name: "a", typ: tar.TypeSymlink, link: strings.Repeat("n/", 60)}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := archiveOf(t, append(mixRelease("shop", "1.0.0"), tt.members...)...)
			if _, _, err := unpackBytes(t, b, "shop", tt.limits); !errors.Is(err, ErrLimit) {
				t.Errorf("unpack: %v, want ErrLimit", err)
			}
		})
	}
}

// A header may claim any size, and a sparse file has more bytes than the stream.
func TestUnpack_HugeSizeInHeader(t *testing.T) {
	t.Parallel()
	b := tarOf(t, mixRelease("shop", "1.0.0")...)
	var h bytes.Buffer
	w := tar.NewWriter(&h)
	if err := w.WriteHeader(&tar.Header{Name: "huge", Mode: 0o644, Size: 1 << 50, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	b = append(b[:len(b)-1024], h.Bytes()...)
	if _, _, err := unpackBytes(t, gzipOf(t, b), "shop", Limits{}); !errors.Is(err, ErrLimit) {
		t.Errorf("unpack: %v, want ErrLimit", err)
	}
}

func TestUnpack_RatioCountsPastTheFirstBytesOnly(t *testing.T) {
	t.Parallel()
	b := archiveOf(t, mixRelease("shop", "1.0.0", member{name: "zeros", body: strings.Repeat("\x00", 10<<20)})...)
	if _, _, err := unpackBytes(t, b, "shop", Limits{}); err != nil {
		t.Errorf("unpack: %v", err)
	}
}

func TestUnpack_EveryPrefixIsTruncated(t *testing.T) {
	t.Parallel()
	b := archiveOf(t, mixRelease("shop", "1.0.0", member{name: "noise", body: noise(3000)})...)
	for n := range b {
		if testing.Short() && n%7 != 0 {
			continue
		}
		v := new(packageScan)
		err := readArchive(context.Background(), bytes.NewReader(b[:n]), int64(n), Limits{}, v)
		if !errors.Is(err, ErrTruncated) {
			t.Fatalf("%d of %d bytes: %v, want ErrTruncated", n, len(b), err)
		}
	}
}

func TestUnpack_RefusesDamagedArchives(t *testing.T) {
	t.Parallel()
	good := archiveOf(t, mixRelease("shop", "1.0.0", member{name: "noise", body: noise(3000)})...)
	flip := bytes.Clone(good)
	flip[len(flip)-6] ^= 1 // in gzip's checksum
	middle := bytes.Clone(good)
	middle[len(middle)/2] ^= 0x55
	cutTar := tarOf(t, mixRelease("shop", "1.0.0")...)
	tests := []struct {
		name string
		b    []byte
		want error
		text string
	}{
		{"empty file", nil, ErrTruncated, "empty"},
		{"not gzip", []byte("hello world"), ErrBadArchive, "not gzip"},
		{"zstd", []byte("\x28\xb5\x2f\xfd123456"), ErrBadArchive, "zstd"},
		{"web page", []byte("<html>403</html>"), ErrBadArchive, "a web page"},
		{"plain tar", cutTar, ErrBadArchive, "not gzip"},
		{"wrong checksum", flip, ErrBadArchive, ""},
		{"wrong bits", middle, ErrBadArchive, ""},
		{"something behind", append(bytes.Clone(good), "trailing garbage"...), ErrBadArchive, "behind"},
		{"gzip of no tar", gzipOf(t, []byte(strings.Repeat("not a tar ", 200))), ErrBadArchive, ""},
		{"tar cut in the middle of a file", gzipOf(t, cutTar[:520]), ErrTruncated, ""},
		{"gzip of nothing", gzipOf(t, nil), ErrBadArchive, "no entries"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := unpackBytes(t, tt.b, "shop", Limits{})
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("unpack: %v, want %v with %q", err, tt.want, tt.text)
			}
		})
	}
}

func TestUnpack_SeveralGzipMembers(t *testing.T) {
	t.Parallel()
	b := tarOf(t, mixRelease("shop", "1.0.0")...)
	half := len(b) / 2
	two := append(gzipOf(t, b[:half]), gzipOf(t, b[half:])...)
	if _, _, err := unpackBytes(t, two, "shop", Limits{}); err != nil {
		t.Error(err)
	}
}

func TestUnpack_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := archiveOf(t, mixRelease("shop", "1.0.0")...)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := unpack(ctx, bytes.NewReader(b), int64(len(b)), t.TempDir(), "shop", Limits{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("unpack: %v, want context.Canceled", err)
	}
}

// FuzzUnpack unpacks any tar file and looks for what should not be there: nothing outside, no devices, no special
// bits, no link that leads out.
func FuzzUnpack(f *testing.F) {
	f.Add(tarOf(f, mixRelease("shop", "1.0.0")...))
	f.Add(tarOf(f, shipment("shop", "1.0.0")...))
	f.Add(tarOf(f, member{name: "a/b/up", typ: tar.TypeSymlink, link: "../.."}, member{name: "a/b/up/x", body: "x"},
		member{name: "h", typ: tar.TypeLink, link: "a/b/up"}))
	f.Add(tarOf(f, member{name: "../x", body: "x"}, member{name: "dev", typ: tar.TypeChar}, member{name: "s", mode: 0o4755}))
	f.Fuzz(func(t *testing.T, b []byte) {
		z := gzipOf(t, b)
		outer := memoryDir(t)
		dir := filepath.Join(outer, "tree")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		limits := Limits{Entries: 100, Bytes: 1 << 20}
		_, err := unpack(context.Background(), bytes.NewReader(z), int64(len(z)), dir, "", limits)
		if entries, _ := os.ReadDir(outer); len(entries) != 1 {
			t.Fatalf("%v beside the tree (%v)", entries, err)
		}
		checkTree(t, dir, err == nil)
	})
}

// checkTree fails the test for anything in dir that an archive must not bring.
func checkTree(t *testing.T, dir string, whole bool) {
	t.Helper()
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode()
		if mode.Type()&^(fs.ModeDir|fs.ModeSymlink) != 0 || mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 ||
			mode.Perm()&0o022 != 0 && mode.Type() != fs.ModeSymlink {
			t.Errorf("%s: mode %v", name, mode)
		}
		if mode.Type() == fs.ModeSymlink && whole {
			target, err := filepath.EvalSymlinks(name)
			if err == nil && target != real && !strings.HasPrefix(target, real+"/") {
				t.Errorf("%s leads out to %s", name, target)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
