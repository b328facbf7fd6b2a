package ssh

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/beamkeeper/beamkeeper/release"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Config{
		"ssh://host/srv/bucket":               {Host: "host", Dir: "/srv/bucket"},
		"ssh://deploy@host:2222/srv//bucket/": {Host: "deploy@host", Port: "2222", Dir: "/srv/bucket"},
		"ssh://host/~/bucket":                 {Host: "host", Dir: "bucket"},
		"ssh://[::1]:22/srv/a%20b":            {Host: "::1", Port: "22", Dir: "/srv/a b"},
	} {
		if got, err := Parse(text); err != nil || got.Host != want.Host || got.Port != want.Port || got.Dir != want.Dir {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "host:/srv", "ssh://", "ssh://host", "ssh://host/", "ssh://u:p@host/srv", "ssh://-oProxyCommand=x/srv", "ssh://-x@host/srv", "ssh://host/srv?x", "s3://host/srv", "ssh://host/a%0ab"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", text, got)
		}
	}
}

// sshServer is an sshd of this test, for its own user.
type sshServer struct {
	command []string // ssh that knows it
	user    string
	port    string
	dir     string // for buckets
}

// startServer starts an sshd on loopback.
func startServer(t *testing.T) sshServer {
	t.Helper()
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		cache = filepath.Join(os.Getenv("HOME"), ".cache")
	}
	root := filepath.Join(cache, "beamkeeper", "sshd")
	program := filepath.Join(root, "usr/sbin/sshd")
	for _, need := range []string{program, "ssh", "ssh-keygen"} {
		if _, err := exec.LookPath(need); err != nil {
			if os.Getenv("REQUIRE_OTP") == "1" {
				t.Fatalf("%v: run testdata/testbed/install.sh test", err)
			}
			t.Skipf("%v: run testdata/testbed/install.sh test", err)
		}
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := sshServer{user: me.Username, dir: filepath.Join(dir, "with space")}
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, key := range []string{"host", "login"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", in(key)).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	write := func(name, text string) {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// sshd takes no listener that is open already (-i serves one connection on its standard input): each connection gets a
	// server of its own, as from inetd, and no port is let go in between.
	write("sshd_config", fmt.Sprintf("HostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nPidFile none\n", in("host"), in("login.pub")))
	write("serve.sh", serveScript)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, s.port, _ = net.SplitHostPort(ln.Addr().String())
	libraries := "LD_LIBRARY_PATH=" + filepath.Join(root, "usr/lib/x86_64-linux-gnu") + ":" + filepath.Join(root, "lib/x86_64-linux-gnu")
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		cancel()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			f, err := conn.(*net.TCPConn).File()
			conn.Close()
			if err != nil {
				continue
			}
			cmd := exec.CommandContext(ctx, "sh", in("serve.sh"), program, in("sshd_config"), in("passwd"))
			cmd.Stdin, cmd.Stdout, cmd.Env = f, f, append(os.Environ(), libraries)
			said, err := os.OpenFile(in("sshd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err == nil {
				cmd.Stderr = said
			}
			if err := cmd.Start(); err != nil {
				t.Errorf("sshd: %v", err)
			}
			f.Close()
			said.Close()
			serving.Go(func() { _ = cmd.Wait() }) // how the client ended it
		}
	})
	public, err := os.ReadFile(in("host.pub"))
	if err != nil {
		t.Fatal(err)
	}
	write("known_hosts", "[127.0.0.1]:"+s.port+" "+string(public))
	write("ssh_config", fmt.Sprintf("IdentityFile %s\nIdentitiesOnly yes\nUserKnownHostsFile %s\nGlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\nBatchMode yes\nUpdateHostKeys no\n", in("login"), in("known_hosts")))
	s.command = []string{"ssh", "-F", in("ssh_config")}
	t.Cleanup(func() {
		if b, err := os.ReadFile(in("sshd.log")); err == nil && t.Failed() {
			t.Logf("sshd:\n%s", b)
		}
	})
	return s
}

// As root, sshd wants a user sshd and a folder /run/sshd: it gets them in a mount namespace of its own.
const serveScript = `if [ "$(id -u)" != 0 ]; then exec "$1" -i -e -f "$2"; fi
cp /etc/passwd "$3.$$"
grep -q '^sshd:' "$3.$$" || echo 'sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin' >>"$3.$$"
exec unshare -m sh -c 'mount -t tmpfs none /run && mkdir -m 0755 /run/sshd && mount --bind "$3" /etc/passwd && exec "$1" -i -e -f "$2"' sh "$1" "$2" "$3.$$"
`

func (s sshServer) bucket(dir string) *Bucket {
	return New(Config{Command: s.command, Host: s.user + "@127.0.0.1", Port: s.port, Dir: dir})
}

func read(t *testing.T, b release.Bucket, key string, offset int64) string {
	t.Helper()
	o, err := b.Open(t.Context(), key, offset)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Body.Close()
	text, err := io.ReadAll(o.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func sumOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// The bucket does over a real sshd what a bucket must.
func TestBucket(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := s.bucket(filepath.Join(s.dir, "it's"))
	ctx := t.Context()
	const key = "dist/shop/shop-1.tar.gz"
	if _, err := b.Stat(ctx, key); !errors.Is(err, release.ErrNotFound) {
		t.Fatalf("Stat of nothing: %v", err)
	}
	if _, err := b.Open(ctx, key, 0); !errors.Is(err, release.ErrNotFound) {
		t.Errorf("Open of nothing: %v", err)
	}
	if all, err := b.List(ctx, "dist/shop/"); err != nil || len(all) > 0 {
		t.Errorf("List of nothing = %v, %v", all, err)
	}
	put := func(text string, o release.PutOptions) error {
		if o.Size == 0 {
			o.Size = int64(len(text))
		}
		info, err := b.PutObject(ctx, key, strings.NewReader(text), o)
		if err == nil && (info.Key != key || info.Size != o.Size || info.Token == "" || time.Since(info.ModTime) > time.Hour) {
			t.Errorf("PutObject = %+v", info)
		}
		return err
	}
	if err := put("one\n", release.PutOptions{New: true, SHA256: sumOf("one\n")}); err != nil {
		t.Fatal(err)
	}
	before, err := b.Stat(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		o    release.PutOptions
		want error
	}{
		"there is one":   {release.PutOptions{New: true}, release.ErrExists},
		"another size":   {release.PutOptions{Size: 9}, release.ErrChanging},
		"another sha256": {release.PutOptions{SHA256: sumOf("x")}, release.ErrChanging},
	} {
		if err := put("two\n", tt.o); !errors.Is(err, tt.want) {
			t.Errorf("PutObject, %s: %v, want %v", name, err, tt.want)
		}
	}
	broken := errors.New("a broken disk")
	if _, err := b.PutObject(ctx, key, io.MultiReader(strings.NewReader("two"), iotest.ErrReader(broken)), release.PutOptions{Size: 3}); !errors.Is(err, broken) {
		t.Errorf("PutObject of a reader that fails: %v", err)
	}
	if got := read(t, b, key, 0); got != "one\n" {
		t.Errorf("after what failed there is %q", got)
	}
	if err := put("two\n", release.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	after, err := b.Stat(ctx, key)
	if err != nil || after.Token == before.Token {
		t.Errorf("the token stays %q, %v", after.Token, err)
	}
	if got := read(t, b, key, 0) + read(t, b, key, 2); got != "two\no\n" {
		t.Errorf("it has %q", got)
	}
	if sum, err := b.Sum(ctx, key); err != nil || sum != sumOf("two\n") {
		t.Errorf("Sum = %q, %v", sum, err)
	}
	large := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16)
	if err := b.Put(ctx, "dist/shop/large", bytes.NewReader(large), int64(len(large))); err != nil {
		t.Fatal(err)
	}
	if got := read(t, b, "dist/shop/large", 0); got != string(large) {
		t.Errorf("of %d bytes %d came back", len(large), len(got))
	}
	o, err := b.Open(ctx, "dist/shop/large", 0) // given up in the middle
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Body.Close(); err != nil {
		t.Error(err)
	}
	if err := os.MkdirAll(filepath.Join(s.dir, "it's/dist/shop/prod"), 0o755); err != nil {
		t.Fatal(err)
	}
	all, err := b.List(ctx, "dist/shop/")
	var names []string
	for _, i := range all {
		names = append(names, i.Key+" "+strconv.FormatInt(i.Size, 10))
	}
	slices.Sort(names)
	if want := []string{"dist/shop/large 1048576", key + " 4"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("List = %q, %v, want %q: nothing else may be left behind", names, err, want)
	}
	if f, err := b.Folders(ctx, "dist/shop/"); err != nil || !slices.Equal(f, []string{"prod"}) {
		t.Errorf("Folders = %q, %v", f, err)
	}
	for range 2 {
		if err := b.Delete(ctx, key); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.Stat(ctx, key); !errors.Is(err, release.ErrNotFound) {
		t.Errorf("Stat after Delete: %v", err)
	}
	if got := b.Location("a"); got != "ssh://"+s.user+"@127.0.0.1:"+s.port+s.dir+"/it's/a" {
		t.Errorf("Location = %q", got)
	}
}

// What ssh says is told, and which of the reasons it is.
func TestBucket_Errors(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	stranger := s
	stranger.command = append(slices.Clone(s.command), "-o", "UserKnownHostsFile=/dev/null")
	away := s
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, away.port, _ = net.SplitHostPort(ln.Addr().String())
	go func() { // answers nothing that ssh understands
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	missing := s
	missing.command = []string{"/nonexistent/ssh"}
	for name, tt := range map[string]struct {
		s    sshServer
		want error
		text string
	}{
		"unknown host": {stranger, release.ErrDenied, "known_hosts"},
		"no server":    {away, release.ErrUnreachable, ""},
		"no program":   {missing, release.ErrUnreachable, "install the program ssh"},
	} {
		_, err := tt.s.bucket(s.dir).Stat(t.Context(), "x")
		var e *release.BucketError
		if !errors.As(err, &e) || !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want %v and %q", name, err, tt.want, tt.text)
		}
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var e *release.BucketError
	if err := s.bucket(filepath.Join(s.dir, "file")).Put(t.Context(), "a/b", strings.NewReader("x"), 1); !errors.As(err, &e) || e.Detail == "" {
		t.Errorf("Put below a file: %v", err)
	}
	if _, err := s.bucket(s.dir).Stat(t.Context(), "x"); !errors.Is(err, release.ErrNotFound) {
		t.Errorf("Stat of nothing: %v", err)
	}
}

// archiveOf is the smallest release of erlang that is one.
func archiveOf(t *testing.T, version string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range map[string]string{
		"releases/start_erl.data":                "14.2 " + version,
		"releases/" + version + "/shop.rel":      fmt.Sprintf(`{release,{"shop",%q},{erts,"14.2"},[{kernel,"9.2"},{shop,%q}]}.`, version, version),
		"bin/shop":                               "#!/bin/sh\n",
		"lib/shop-" + version + "/ebin/shop.app": "{application,shop,[]}.",
	} {
		err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg})
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "shop.tar.gz")
	if err := errors.Join(w.Close(), z.Close(), os.WriteFile(file, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return file
}

// What is published over ssh is what a daemon over there reads from the folder.
func TestPublish(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := s.bucket(s.dir)
	_, key, err := release.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	publish := func(version string) (release.Published, error) {
		return release.Publish(t.Context(), release.PublishOptions{Bucket: b, Account: "prod", App: "shop", File: archiveOf(t, version), Sign: &key})
	}
	for _, version := range []string{"1.0.0", "2.0.0"} {
		if _, err := publish(version); err != nil {
			t.Fatal(err)
		}
	}
	trust := release.Trust{Policy: release.VerifyRequired, Keys: []release.PublicKey{key.Public()}}
	there := release.Source{Bucket: release.NewLocalBucket(s.dir), Account: "prod", Trust: func() *release.Trust { return &trust }}
	cur, err := there.Current(t.Context(), "shop")
	if err != nil || cur.Version != "2.0.0" {
		t.Errorf("current.json over there = %+v, %v", cur, err)
	}
	o := release.PublishOptions{Bucket: b, Account: "prod", App: "shop", File: archiveOf(t, "3.0.0"), Version: "1.0.0"}
	if _, err := release.Publish(t.Context(), o); !errors.Is(err, release.ErrExists) {
		t.Errorf("other bytes as 1.0.0: %v", err)
	}
	all, err := release.Stock(t.Context(), b, "shop", nil)
	if err != nil || len(all) != 2 || !slices.Equal(all[0].Current, []string{"prod"}) {
		t.Errorf("Stock = %+v, %v", all, err)
	}
	removed, _, err := release.PruneBucket(t.Context(), release.PruneOptions{Bucket: b, App: "shop", Keep: 1})
	if err != nil || len(removed) != 1 || removed[0].Version != "1.0.0" {
		t.Errorf("PruneBucket = %+v, %v", removed, err)
	}
}
