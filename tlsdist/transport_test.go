package tlsdist_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/tlsdist"
)

var _ node.Transport = (*tlsdist.Transport)(nil)

// serve listens, and echoes on connections whose peer is the client.
func serve(t *testing.T, transport *tlsdist.Transport, client node.Name) (addr string, errs <-chan error) {
	t.Helper()
	l, err := transport.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	results := make(chan error, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(30 * time.Second))
			b := make([]byte, 4)
			_, err = io.ReadFull(c, b)
			if err == nil {
				err = transport.Verify(c, client)
			}
			if err == nil {
				_, err = c.Write(b)
			}
			c.Close()
			results <- err
		}
	}()
	return l.Addr().String(), results
}

func say(c net.Conn) error {
	defer c.Close()
	if _, err := c.Write([]byte("ping")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 4))
	return err
}

func TestTransport_BetweenUs(t *testing.T) {
	t.Parallel()
	a := authority(t, tlsdist.Options{})
	client, server := parse(t, "client@localhost"), parse(t, "server@localhost")
	addr, errs := serve(t, transportOf(t, a, server.String()), client)
	c, err := transportOf(t, a, client.String()).Dial(soon(t), addr, server)
	if err != nil {
		t.Fatal(err)
	}
	state := c.(*tlsdist.Conn).ConnectionState()
	if state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519 {
		t.Errorf("version %x, curve %v", state.Version, state.CurveID)
	}
	if err := errors.Join(say(c), <-errs); err != nil {
		t.Error(err)
	}

	_, err = transportOf(t, a, client.String()).Dial(soon(t), addr, parse(t, "else@localhost"))
	var pe *tlsdist.PeerError
	if !errors.Is(err, tlsdist.ErrNameMismatch) || !errors.As(err, &pe) || pe.Name.Alive != "else" || pe.Addr != addr {
		t.Errorf("Dial of another name = %v", err)
	}
	if err := <-errs; !errors.Is(err, tlsdist.ErrRefused) {
		t.Errorf("the server's error = %v, want ErrRefused", err)
	}
}

func TestTransport_OldVersionsAreRefused(t *testing.T) {
	t.Parallel()
	a := authority(t, tlsdist.Options{})
	addr, errs := serve(t, transportOf(t, a, "server@localhost"), parse(t, "client@localhost"))
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		if c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}); err == nil {
			c.Close()
			t.Errorf("version %x was accepted", version)
		}
		<-errs
	}
}

// A BEAM without TLS takes our hello for the beginning of a long name and waits for the rest.
func TestDial_PlainTCP(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := authority(t, tlsdist.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = transportOf(t, a, "client@localhost").Dial(ctx, l.Addr().String(), parse(t, "server@localhost"))
	if !errors.Is(err, tlsdist.ErrPlainTCP) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Dial = %v, want ErrPlainTCP and the deadline", err)
	}
}

func TestVerify_PlainConnection(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if err := (&tlsdist.Transport{}).Verify(a, parse(t, "n@localhost")); !errors.Is(err, tlsdist.ErrPlainTCP) {
		t.Errorf("Verify = %v", err)
	}
}

// files are copies of a node's certificate, key and authority.
type files struct {
	dir  string
	spec tlsdist.FilesSpec
}

func filesOf(t *testing.T) files {
	t.Helper()
	dir := t.TempDir()
	f := files{dir: dir, spec: tlsdist.FilesSpec{
		CAFile: filepath.Join(dir, "ca.crt"), CertFile: filepath.Join(dir, "node.crt"), KeyFile: filepath.Join(dir, "node.key"),
	}}
	return f
}

// put replaces the files by those of a node.
func (f files) put(t *testing.T, c tlsdist.Certificate, parts string) {
	t.Helper()
	b, err := os.ReadFile(c.PEMFile)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(c.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	cert, key, _ := strings.Cut(string(b), "-----BEGIN PRIVATE KEY")
	for part, file := range map[string]string{"ca": f.spec.CAFile, "cert": f.spec.CertFile, "key": f.spec.KeyFile} {
		content := map[string]string{"ca": string(ca), "cert": cert, "key": "-----BEGIN PRIVATE KEY" + key}[part]
		if !strings.Contains(parts, part) {
			continue
		}
		if err := os.WriteFile(file+".new", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
}

func serial(t *testing.T, s tlsdist.Source) string {
	t.Helper()
	id, err := s.Identity(tlsdist.Server)
	if err != nil {
		t.Fatal(err)
	}
	return id.Certificate.Leaf.SerialNumber.Text(16)
}

func TestFiles_AreReadAgain(t *testing.T) {
	t.Parallel()
	a := authority(t, tlsdist.Options{})
	first := ensure(t, a, "n@localhost")
	f := filesOf(t)
	f.put(t, first, "ca cert key")
	source, err := tlsdist.OpenFiles(f.spec)
	if err != nil {
		t.Fatal(err)
	}
	if got := serial(t, source); got != first.Serial {
		t.Fatalf("serial %s, want %s", got, first.Serial)
	}
	second, err := a.Issue(first.Node, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.put(t, second, "cert") // the key is still the old one
	if got := serial(t, source); got != first.Serial {
		t.Errorf("half changed: serial %s, want the old one", got)
	}
	if err := source.Problem(); err == nil || !strings.Contains(err.Error(), "is not that of the certificate") {
		t.Errorf("Problem = %v", err)
	}
	f.put(t, second, "key")
	if got := serial(t, source); got != second.Serial {
		t.Errorf("changed: serial %s, want %s", got, second.Serial)
	}
	if err := source.Problem(); err != nil {
		t.Errorf("Problem = %v", err)
	}
}

func TestFiles_OptFileAndPassword(t *testing.T) {
	t.Parallel()
	a := authority(t, tlsdist.Options{})
	c := ensure(t, a, "n@localhost")
	f := filesOf(t)
	f.put(t, c, "ca cert key")
	opt := filepath.Join(f.dir, "inet_tls.conf")
	write := func(file, text string, mode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.WriteFile(file, []byte(text), mode), os.Chmod(file, mode)); err != nil {
			t.Fatal(err)
		}
	}
	write(opt, tlsdist.OptFileText(tlsdist.OptFileSpec{CertFile: f.spec.CertFile, KeyFile: f.spec.KeyFile, CAFile: f.spec.CAFile}), 0o600)
	source, err := tlsdist.OpenFiles(tlsdist.FilesSpec{OptFile: opt})
	if err != nil {
		t.Fatal(err)
	}
	if got := serial(t, source); got != c.Serial {
		t.Errorf("serial %s, want %s", got, c.Serial)
	}

	write(f.spec.KeyFile, "x", 0o644)
	if _, err := tlsdist.OpenFiles(f.spec); !errors.Is(err, tlsdist.ErrKeyMode) {
		t.Errorf("key that all may read: %v", err)
	}
	f.spec.PasswordFile = filepath.Join(f.dir, "password")
	write(f.spec.PasswordFile, "open\n", 0o644)
	if _, err := tlsdist.OpenFiles(f.spec); !errors.Is(err, tlsdist.ErrKeyMode) {
		t.Errorf("password that all may read: %v", err)
	}
	if _, err := tlsdist.OpenFiles(tlsdist.FilesSpec{OptFile: f.dir + "/none"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no option file: %v", err)
	}
}

// An encrypted key and its password in a file, from the certificate to the handshake.
func TestFiles_EncryptedKey(t *testing.T) {
	t.Parallel()
	f := selfSigned(t, "testdata/keys/pbes2-aes-256-cbc.pem", "localhost")
	if _, err := tlsdist.OpenFiles(f.spec); !errors.Is(err, tlsdist.ErrKeyPassword) {
		t.Errorf("without the password: %v", err)
	}
	f.spec.PasswordFile = filepath.Join(f.dir, "password")
	if err := os.WriteFile(f.spec.PasswordFile, []byte("open\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	source, err := tlsdist.OpenFiles(f.spec)
	if err != nil {
		t.Fatal(err)
	}
	transport := &tlsdist.Transport{Source: source}
	client := parse(t, "anybody@localhost") // files bind the host only
	addr, errs := serve(t, transport, client)
	c, err := transport.Dial(soon(t), addr, parse(t, "server@localhost"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(say(c), <-errs); err != nil {
		t.Error(err)
	}
	if _, err := transport.Dial(soon(t), addr, parse(t, "server@elsewhere")); !errors.Is(err, tlsdist.ErrNameMismatch) {
		t.Errorf("Dial of another host = %v", err)
	}
}
