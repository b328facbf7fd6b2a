package distcheck_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/distcheck"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
	"github.com/beamkeeper/beamkeeper/tlsdist"
)

const cookie = "sesame"

func options(epmdPort int) distcheck.Options {
	return distcheck.Options{
		Self: node.Name{Alive: "keeper", Host: "localhost"}, Cookie: cookie, EPMDAddr: net.JoinHostPort("127.0.0.1", strconv.Itoa(epmdPort)),
		NetTickTime: time.Minute, Timeout: 20 * time.Second,
	}
}

func check(t *testing.T, o distcheck.Options, peer string) []distcheck.Finding {
	t.Helper()
	name, err := node.ParseName(peer)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	return distcheck.Check(ctx, o, name)
}

// expect wants one finding of a step in a state, with words in it. One that failed is the last.
func expect(t *testing.T, all []distcheck.Finding, step string, state distcheck.State, words ...string) {
	t.Helper()
	i := slices.IndexFunc(all, func(f distcheck.Finding) bool { return f.Step == step && f.State == state })
	if i < 0 {
		t.Fatalf("no %s of %s in %+v", state, step, all)
	}
	for _, w := range words {
		if !strings.Contains(all[i].Detail, w) {
			t.Errorf("%s: %q is not in %q", step, w, all[i].Detail)
		}
	}
	if state != distcheck.OK && all[i].Remedy == "" {
		t.Errorf("%s: no remedy: %+v", step, all[i])
	}
	for _, f := range all {
		if f.State == distcheck.Fail && f.Step != step {
			t.Errorf("%s failed as well: %+v", f.Step, f)
		}
	}
}

func TestCheck_AllIsWell(t *testing.T) {
	t.Parallel()
	for _, otp := range nodetest.Want(t, "25", "29") {
		t.Run(otp.Release, func(t *testing.T) {
			t.Parallel()
			port := nodetest.StartEPMD(t)
			e := nodetest.StartErl(t, otp, "beam", cookie, port)
			all := check(t, options(port), e.Name)
			for _, step := range []string{distcheck.StepName, distcheck.StepHost, distcheck.StepEPMD, distcheck.StepRegistered, distcheck.StepPort, distcheck.StepTLS,
				distcheck.StepHandshake, distcheck.StepCookie, distcheck.StepTick, distcheck.StepClock} {
				expect(t, all, step, distcheck.OK)
			}
			expect(t, all, distcheck.StepFlags, distcheck.OK, "OTP "+otp.Release+": nothing is missing")
			expect(t, all, distcheck.StepHidden, distcheck.OK, "the peer is visible")
		})
	}
}

// OTP 23 is enough, but lacks what came later.
func TestCheck_OldOTP(t *testing.T) {
	t.Parallel()
	otp := nodetest.Want(t, "23")[0]
	port := nodetest.StartEPMD(t)
	e := nodetest.StartErl(t, otp, "beam", cookie, port)
	all := check(t, options(port), e.Name)
	expect(t, all, distcheck.StepFlags, distcheck.Warn, "OTP 23: the peer lacks", "V4_NC (OTP 24)", "ALIAS (OTP 24)")
	expect(t, all, distcheck.StepCookie, distcheck.OK)
}

// The link of the node that it is asked for stays as it is.
func TestCheck_DisturbsNoLink(t *testing.T) {
	t.Parallel()
	port := nodetest.StartEPMD(t)
	e := nodetest.StartErl(t, nodetest.WantAny(t), "beam", cookie, port, "-hidden")
	o := options(port)
	n, err := node.New(node.Config{Name: o.Self, Cookie: cookie, EPMDAddr: o.EPMDAddr})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	peer, _ := node.ParseName(e.Name) // it is well-formed
	if err := n.Connect(t.Context(), peer); err != nil {
		t.Fatal(err)
	}
	before := n.Peers()[0].Since
	all := check(t, o, e.Name)
	expect(t, all, distcheck.StepLink, distcheck.OK, "is connected with keeper@localhost")
	expect(t, all, distcheck.StepHidden, distcheck.OK, "hidden node")
	if p := n.Peers(); len(p) != 1 || p[0].Since != before {
		t.Errorf("the link is %+v now, since %v before", p, before)
	}
}

func TestCheck_Names(t *testing.T) {
	t.Parallel()
	port := nodetest.StartEPMD(t)
	otp := nodetest.WantAny(t)
	e := nodetest.StartErl(t, otp, "shop-abc123", cookie, port)
	long := nodetest.StartErl(t, otp, "long@127.0.0.1", cookie, port)
	elsewhere := nodetest.StartErl(t, otp, "moved@elsewhere", cookie, port)

	expect(t, check(t, options(port), long.Name), distcheck.StepName, distcheck.Fail, "uses longnames", "uses shortnames")
	expect(t, check(t, options(port), "long@localhost"), distcheck.StepName, distcheck.Fail, `called "long@127.0.0.1"`, "longnames")
	expect(t, check(t, options(port), "moved@localhost"), distcheck.StepHandshake, distcheck.Fail, "host name mismatch", elsewhere.Name)
	expect(t, check(t, options(port), "beam@no-such-host-of-ours"), distcheck.StepHost, distcheck.Fail, `"no-such-host-of-ours" does not resolve`)
	expect(t, check(t, options(port), "shop-abc124@localhost"), distcheck.StepRegistered, distcheck.Fail, `"shop-abc124" is not registered`, `nearest is "shop-abc123"`)
	expect(t, check(t, options(port), "x@localhost"), distcheck.StepRegistered, distcheck.Fail, "registered are", "shop-abc123")

	e.Eval("net_kernel:allow(['keeper@localhost'])")
	expect(t, check(t, options(port), e.Name), distcheck.StepHandshake, distcheck.Fail, "refused by name", "not_allowed")
	o := options(port)
	o.Cookie = "another"
	expect(t, check(t, o, "shop-abc123@localhost"), distcheck.StepHandshake, distcheck.Fail, "refused by name") // the name comes before the cookie
}

func TestCheck_Cookie(t *testing.T) {
	t.Parallel()
	port := nodetest.StartEPMD(t)
	e := nodetest.StartErl(t, nodetest.WantAny(t), "beam", "theirs", port)
	expect(t, check(t, options(port), e.Name), distcheck.StepCookie, distcheck.Fail, "another cookie")
}

func TestCheck_EPMD(t *testing.T) {
	t.Parallel()
	expect(t, check(t, options(nodetest.FreePort(t)), "beam@localhost"), distcheck.StepEPMD, distcheck.Fail, "no port mapper can be asked")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := options(l.Addr().(*net.TCPAddr).Port)
	o.Timeout = time.Second
	expect(t, check(t, o, "beam@localhost"), distcheck.StepEPMD, distcheck.Fail, "no port mapper can be asked") // it accepts, and says nothing
}

// The port mapper names a port on which nobody is, as that of a frozen or moved node.
func TestCheck_PortClosed(t *testing.T) {
	t.Parallel()
	port := nodetest.StartEPMD(t)
	registerFake(t, port, nodetest.FreePort(t), "gone", 6)
	expect(t, check(t, options(port), "gone@localhost"), distcheck.StepPort, distcheck.Fail, "the port is closed")
}

// What no BEAM of today does.
func TestCheck_OldAndOddPeers(t *testing.T) {
	t.Parallel()
	port := nodetest.StartEPMD(t)
	registerFake(t, port, port, "r22", 5)
	expect(t, check(t, options(port), "r22@localhost"), distcheck.StepRegistered, distcheck.Fail, "versions 5 to 5", "OTP 23")

	fakeNode(t, port, "lame", status("ok"), challenge(node.FlagHandshake23, "lame@localhost"))
	expect(t, check(t, options(port), "lame@localhost"), distcheck.StepFlags, distcheck.Fail, "MAP_TAG", "OTP has set that since release 19")

	fakeNode(t, port, "version5", status("ok"), []byte{'n', 0, 5})
	expect(t, check(t, options(port), "version5@localhost"), distcheck.StepFlags, distcheck.Fail, "before OTP 23")

	o := options(port)
	o.Timeout = time.Second // Connect waits so long for the other side's attempt
	fakeNode(t, port, "busy", status("nok"))
	expect(t, check(t, o, "busy@localhost"), distcheck.StepHandshake, distcheck.Fail, "node of our name already")
	fakeNode(t, port, "web", []byte("HTTP/1.1 400 Bad Request"))
	expect(t, check(t, o, "web@localhost"), distcheck.StepHandshake, distcheck.Fail, "does not shake hands")
}

// A BEAM that is stopped keeps its port open and answers nothing.
func TestCheck_StoppedNode(t *testing.T) {
	t.Parallel()
	port := nodetest.StartEPMD(t)
	e := nodetest.StartErl(t, nodetest.WantAny(t), "beam", cookie, port)
	if err := syscall.Kill(e.OSPid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(e.OSPid, syscall.SIGCONT) // it may have gone
	o := options(port)
	o.Timeout = 2 * time.Second
	expect(t, check(t, o, e.Name), distcheck.StepHandshake, distcheck.Fail, "no answer")
}

func TestCheck_TickAndClock(t *testing.T) {
	t.Parallel()
	port := nodetest.StartEPMD(t)
	e := nodetest.StartErl(t, nodetest.WantAny(t), "beam", cookie, port, "-kernel", "net_ticktime", "20")
	o := options(port)
	o.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	all := check(t, o, e.Name)
	expect(t, all, distcheck.StepTick, distcheck.Warn, "20s there and 1m0s here")
	expect(t, all, distcheck.StepClock, distcheck.Warn, "1h0m0s ahead of ours")
	o.NetTickTime = 80 * time.Second
	expect(t, check(t, o, e.Name), distcheck.StepTick, distcheck.Fail, "between two ticks")
}

func authority(t *testing.T, o tlsdist.Options) *tlsdist.Authority {
	t.Helper()
	a, err := tlsdist.OpenAuthority(filepath.Join(t.TempDir(), "tls"), o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func certificate(t *testing.T, a *tlsdist.Authority, name string) tlsdist.Certificate {
	t.Helper()
	n, err := node.ParseName(name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.Ensure(n, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// startTLS starts a BEAM called beam@localhost with a certificate and the authority that it trusts.
func startTLS(t *testing.T, epmdPort int, c tlsdist.Certificate, caFile string) *nodetest.Erl {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dist.conf")
	if err := os.WriteFile(file, []byte(tlsdist.OptFileText(tlsdist.OptFileSpec{CertFile: c.PEMFile, KeyFile: c.PEMFile, CAFile: caFile})), 0o600); err != nil {
		t.Fatal(err)
	}
	args, err := tlsdist.ErlArgs(file)
	if err != nil {
		t.Fatal(err)
	}
	return nodetest.StartErl(t, nodetest.Want(t, "25")[0], "beam", cookie, epmdPort, strings.Fields(args)...)
}

func TestCheck_TLS(t *testing.T) {
	t.Parallel()
	nodetest.Want(t, "25")
	const beam = "beam@localhost"
	past := func() time.Time { return time.Now().Add(-30 * 24 * time.Hour) }
	transport := func(t *testing.T, a *tlsdist.Authority) *tlsdist.Transport {
		certificate(t, a, "keeper@localhost")
		return &tlsdist.Transport{Source: a.Source(options(0).Self)}
	}
	for _, c := range []struct {
		name  string
		run   func(t *testing.T, port int, o *distcheck.Options)
		state distcheck.State
		words []string
	}{
		{"all is well", func(t *testing.T, port int, o *distcheck.Options) {
			a := authority(t, tlsdist.Options{})
			startTLS(t, port, certificate(t, a, beam), a.CertFile())
			o.Transport = transport(t, a)
		}, distcheck.OK, []string{"TLS 1.3", "localhost", "until"}},
		{"ends soon", func(t *testing.T, port int, o *distcheck.Options) {
			a := authority(t, tlsdist.Options{Lifetime: 2 * time.Hour})
			startTLS(t, port, certificate(t, a, beam), a.CertFile())
			o.Transport = transport(t, a)
		}, distcheck.Warn, []string{"expires in"}},
		{"we speak plain TCP", func(t *testing.T, port int, _ *distcheck.Options) {
			a := authority(t, tlsdist.Options{})
			startTLS(t, port, certificate(t, a, beam), a.CertFile())
		}, distcheck.Fail, []string{"the peer speaks TLS (certificate for", "we speak plain TCP"}},
		{"the peer speaks plain TCP", func(t *testing.T, port int, o *distcheck.Options) {
			nodetest.StartErl(t, nodetest.WantAny(t), "beam", cookie, port)
			o.Transport, o.Timeout = transport(t, authority(t, tlsdist.Options{})), 2*time.Second
		}, distcheck.Fail, []string{"we speak TLS, and the peer speaks plain TCP"}},
		{"foreign authority there", func(t *testing.T, port int, o *distcheck.Options) {
			a, foreign := authority(t, tlsdist.Options{}), authority(t, tlsdist.Options{})
			startTLS(t, port, certificate(t, foreign, beam), a.CertFile())
			o.Transport = transport(t, a)
		}, distcheck.Fail, []string{"we refuse", "authority is not trusted here"}},
		{"our authority is foreign there", func(t *testing.T, port int, o *distcheck.Options) {
			a, foreign := authority(t, tlsdist.Options{}), authority(t, tlsdist.Options{})
			startTLS(t, port, certificate(t, a, beam), foreign.CertFile())
			o.Transport = transport(t, a)
		}, distcheck.Fail, []string{"the peer refuses us: it does not trust the authority", "unknown certificate authority"}},
		{"another name", func(t *testing.T, port int, o *distcheck.Options) {
			a := authority(t, tlsdist.Options{})
			startTLS(t, port, certificate(t, a, "other@elsewhere"), a.CertFile())
			o.Transport = transport(t, a)
		}, distcheck.Fail, []string{"we refuse", "it is for", "elsewhere", "not for beam@localhost"}},
		{"expired", func(t *testing.T, port int, o *distcheck.Options) {
			a := authority(t, tlsdist.Options{})
			old, err := tlsdist.OpenAuthority(a.Dir(), tlsdist.Options{Time: past})
			if err != nil {
				t.Fatal(err)
			}
			startTLS(t, port, certificate(t, old, beam), a.CertFile())
			o.Transport = transport(t, a)
		}, distcheck.Fail, []string{"we refuse", "it expired at"}},
		{"our clock is behind", func(t *testing.T, port int, o *distcheck.Options) {
			a := authority(t, tlsdist.Options{})
			startTLS(t, port, certificate(t, a, beam), a.CertFile())
			tr := transport(t, a)
			tr.Time, o.Now = past, past
			o.Transport = tr
		}, distcheck.Fail, []string{"one of the clocks is wrong"}},
		{"retired", func(t *testing.T, port int, o *distcheck.Options) {
			a := authority(t, tlsdist.Options{})
			cert := certificate(t, a, beam)
			copied := filepath.Join(t.TempDir(), "node.pem")
			b, err := os.ReadFile(cert.PEMFile)
			if err == nil {
				err = os.WriteFile(copied, b, 0o600)
			}
			if err == nil {
				err = a.Retire(cert.Node)
			}
			if err != nil {
				t.Fatal(err)
			}
			cert.PEMFile = copied
			startTLS(t, port, cert, a.CertFile())
			o.Transport = transport(t, a)
		}, distcheck.Fail, []string{"no longer on record"}},
		{"ours has expired", func(t *testing.T, port int, o *distcheck.Options) {
			a := authority(t, tlsdist.Options{})
			old, err := tlsdist.OpenAuthority(a.Dir(), tlsdist.Options{Time: past})
			if err != nil {
				t.Fatal(err)
			}
			startTLS(t, port, certificate(t, a, beam), a.CertFile())
			o.Transport = transport(t, old)
		}, distcheck.Fail, []string{"the peer refuses us: our certificate has expired"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			port := nodetest.StartEPMD(t)
			o := options(port)
			c.run(t, port, &o)
			expect(t, check(t, o, beam), distcheck.StepTLS, c.state, c.words...)
		})
	}
}

func ExampleCheck() {
	self := node.Name{Alive: "keeper", Host: "localhost"}
	for _, f := range distcheck.Check(context.Background(), distcheck.Options{Self: self, Cookie: "c", NetTickTime: time.Minute}, node.Name{Alive: "shop", Host: "shop.example.org"}) {
		fmt.Println(f.State, f.Step, f.Detail)
	}
	// Output: fail name shop@shop.example.org uses longnames and keeper@localhost uses shortnames; nodes of the two kinds never connect
}
