package tlsdist_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/node/nodetest"
	"github.com/beamkeeper/beamkeeper/tlsdist"
)

// trusted gives the certificates in ca.crt.
func trusted(t *testing.T, a *tlsdist.Authority) []*x509.Certificate {
	t.Helper()
	b, err := os.ReadFile(a.CertFile())
	if err != nil {
		t.Fatal(err)
	}
	var list []*x509.Certificate
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

// shake connects two nodes, each by its own view of the authority.
func shake(t *testing.T, server, client *tlsdist.Transport) {
	t.Helper()
	addr, errs := serve(t, server, parse(t, "client@localhost"))
	c, err := client.Dial(soon(t), addr, parse(t, "server@localhost"))
	if err != nil {
		t.Fatalf("Dial = %v", err)
	}
	if err := errors.Join(say(c), <-errs); err != nil {
		t.Fatal(err)
	}
}

func renew(t *testing.T, a *tlsdist.Authority, want int) {
	t.Helper()
	got, err := a.Renew()
	if err != nil || len(got) != want {
		t.Fatalf("Renew = %d certificates, %v, want %d", len(got), err, want)
	}
}

// The command line starts a rollover, the daemon goes on with it, and at each step nodes with old and with new
// certificates get on with each other.
func TestAuthority_Rollover(t *testing.T) {
	t.Parallel()
	at := &clock{now: time.Now()}
	daemon := authority(t, tlsdist.Options{Time: at.Now})
	server, client := transportOf(t, daemon, "server@localhost"), transportOf(t, daemon, "client@localhost")
	shake(t, server, client)
	old := daemon.Cert()

	cli, err := tlsdist.OpenAuthority(daemon.Dir(), tlsdist.Options{Time: at.Now})
	if err != nil {
		t.Fatal(err)
	}
	r, err := cli.StartRollover()
	if err != nil || r.Signing || r.Until.Sub(r.Since) != tlsdist.TrustBeforeUse {
		t.Fatalf("StartRollover = %+v, %v", r, err)
	}
	if _, err := daemon.StartRollover(); !errors.Is(err, tlsdist.ErrRollover) {
		t.Errorf("a second one = %v, want ErrRollover", err)
	}
	if got := trusted(t, daemon); len(got) != 2 || !got[0].Equal(old) {
		t.Fatalf("%d authorities are trusted", len(got))
	}
	renew(t, daemon, 0)
	if !daemon.Cert().Equal(old) {
		t.Error("the new authority signs at once")
	}
	shake(t, server, client)

	at.set(at.Now().Add(tlsdist.TrustBeforeUse + time.Second))
	renew(t, daemon, 2)
	if daemon.Cert().Equal(old) {
		t.Fatal("the old authority still signs")
	}
	if r, err := daemon.Rollover(); err != nil || !r.Signing || r.Until.Sub(r.Since) != tlsdist.DefaultLifetime {
		t.Errorf("Rollover = %+v, %v", r, err)
	}
	shake(t, server, client)
	c, err := cli.Issue(parse(t, "else@localhost"), nil) // by a process that was started before
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(c.PEMFile)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil || leaf.CheckSignatureFrom(daemon.Cert()) != nil {
		t.Errorf("a process that was there before signs with the old key (%v)", err)
	}
	renew(t, daemon, 0)

	at.set(at.Now().Add(tlsdist.DefaultLifetime + time.Second))
	renew(t, daemon, 3) // their time had come anyway
	if got := trusted(t, daemon); len(got) != 1 || got[0].Equal(old) {
		t.Errorf("%d authorities are trusted at the end", len(got))
	}
	if _, err := daemon.Rollover(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Rollover at the end = %v", err)
	}
	if _, err := tlsdist.OpenAuthority(daemon.Dir(), tlsdist.Options{Time: at.Now}); err != nil {
		t.Errorf("opening it again: %v", err)
	}
}

// A step that was cut off anywhere is done again.
func TestAuthority_RolloverIsCutOff(t *testing.T) {
	t.Parallel()
	at := &clock{now: time.Now()}
	a := authority(t, tlsdist.Options{Time: at.Now})
	ensure(t, a, "server@localhost")
	old := a.Cert()
	file := filepath.Join(a.Dir(), "rollover")
	if _, err := a.StartRollover(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil { // its last write did not come to pass
		t.Fatal(err)
	}
	renew(t, a, 0)
	if _, err := a.StartRollover(); err != nil {
		t.Fatal(err)
	}
	if got := trusted(t, a); len(got) != 2 {
		t.Fatalf("%d authorities are trusted", len(got))
	}
	// The key was renamed, the note not written.
	if err := os.Rename(filepath.Join(a.Dir(), "next.key"), filepath.Join(a.Dir(), "ca.key")); err != nil {
		t.Fatal(err)
	}
	b, err := tlsdist.OpenAuthority(a.Dir(), tlsdist.Options{Time: at.Now})
	if err != nil || b.Cert().Equal(old) {
		t.Fatalf("opened with the old authority, or %v", err)
	}
	at.set(at.Now().Add(tlsdist.TrustBeforeUse + time.Second))
	renew(t, b, 1)
	if r, err := b.Rollover(); err != nil || !r.Signing {
		t.Errorf("Rollover = %+v, %v", r, err)
	}
}

// An authority near its end is replaced by itself.
func TestAuthority_RolloverByItself(t *testing.T) {
	t.Parallel()
	at := &clock{now: time.Now()}
	a := authority(t, tlsdist.Options{Time: at.Now})
	at.set(a.Cert().NotAfter.Add(-tlsdist.RolloverBefore - time.Hour))
	renew(t, a, 0)
	if _, err := a.Rollover(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Rollover long before the end = %v", err)
	}
	at.set(a.Cert().NotAfter.Add(-tlsdist.RolloverBefore + time.Hour))
	renew(t, a, 0)
	if r, err := a.Rollover(); err != nil || r.Signing {
		t.Errorf("Rollover near the end = %+v, %v", r, err)
	}
}

// BEAMs take the new authority while they run, and their links stay up.
func TestOTP_Rollover(t *testing.T) {
	eachOTP(t, func(t *testing.T, otp nodetest.OTP, port int) {
		at := &clock{now: time.Now()}
		a := authority(t, tlsdist.Options{Time: at.Now})
		e := nodetest.StartErl(t, otp, "beam", cookie, port, erlArgs(t, ensure(t, a, "beam@localhost").OptFile)...)
		k := startKeeper(t, "keeper@localhost", port, transportOf(t, a, "keeper@localhost"))
		ping := func(when string) {
			t.Helper()
			if got := e.Eval("net_adm:ping(keeper@localhost)"); got != "pong" {
				t.Fatalf("ping %s = %s", when, got)
			}
		}
		ping("before")
		since := k.Peers()[0].Since
		if _, err := a.StartRollover(); err != nil {
			t.Fatal(err)
		}
		e.Eval("ssl_pem_cache_dist ! clear_pem_cache") // what it does every two minutes
		at.set(at.Now().Add(tlsdist.TrustBeforeUse + time.Second))
		renew(t, a, 2)
		if p := k.Peers(); len(p) != 1 || !p[0].Since.Equal(since) {
			t.Errorf("Peers() after the new authority signs = %+v, want the same link", p)
		}
		k.Disconnect(parse(t, e.Name))
		within(t, 30*time.Second, "nodedown in the BEAM", func() bool { return e.Eval("nodes(hidden)") == "[]" })
		// OTP 23 keeps the authorities of a file as long as a link uses them, and half a second.
		within(t, 30*time.Second, "a link with our new certificate", func() bool { return e.Eval("net_adm:ping(keeper@localhost)") == "pong" })
		k.Disconnect(parse(t, e.Name))
		within(t, 30*time.Second, "nodedown in the BEAM", func() bool { return e.Eval("nodes(hidden)") == "[]" })
		e.Eval("ssl_pem_cache_dist ! clear_pem_cache")
		within(t, 30*time.Second, "a link with the BEAM's new certificate", func() bool { return e.Eval("net_adm:ping(keeper@localhost)") == "pong" })
	})
}
