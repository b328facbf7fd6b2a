package tlsdist_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
	"github.com/beamkeeper/beamkeeper/tlsdist"
)

const cookie = "sesame"

// logBook keeps what a node logs.
type logBook struct {
	t  testing.TB
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.t.Log(strings.TrimSpace(string(p)))
	return l.b.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// keeper is a node of ours.
type keeper struct {
	*node.Node
	log *logBook
}

func startKeeper(t testing.TB, name string, epmdPort int, transport *tlsdist.Transport) keeper {
	t.Helper()
	log := &logBook{t: t}
	n, err := node.New(node.Config{
		Name: parse(t, name), Cookie: cookie, EPMDAddr: net.JoinHostPort("127.0.0.1", strconv.Itoa(epmdPort)),
		Resolve:   func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil },
		Transport: transport,
		Log:       slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	if err := n.Registered(soon(t)); err != nil {
		t.Fatal(err)
	}
	return keeper{Node: n, log: log}
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func parse(t testing.TB, name string) node.Name {
	t.Helper()
	n, err := node.ParseName(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// authority makes one in the test's folder.
func authority(t testing.TB, o tlsdist.Options) *tlsdist.Authority {
	t.Helper()
	a, err := tlsdist.OpenAuthority(filepath.Join(t.TempDir(), "tls"), o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func ensure(t testing.TB, a *tlsdist.Authority, name string) tlsdist.Certificate {
	t.Helper()
	c, err := a.Ensure(parse(t, name), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func transportOf(t testing.TB, a *tlsdist.Authority, name string) *tlsdist.Transport {
	t.Helper()
	ensure(t, a, name)
	return &tlsdist.Transport{Source: a.Source(parse(t, name))}
}

// erlArgs are the arguments for a BEAM with an ssl_dist_optfile.
func erlArgs(t testing.TB, optFile string) []string {
	t.Helper()
	args, err := tlsdist.ErlArgs(optFile)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(args)
}

func eachOTP(t *testing.T, f func(t *testing.T, otp nodetest.OTP, epmdPort int)) {
	t.Helper()
	t.Parallel()
	for _, otp := range nodetest.Want(t, "23", "25", "27", "29") {
		t.Run(otp.Release, func(t *testing.T) {
			t.Parallel()
			f(t, otp, nodetest.StartEPMD(t))
		})
	}
}

// within waits until a condition holds.
func within(t testing.TB, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}

func TestOTP_BothWays(t *testing.T) {
	eachOTP(t, func(t *testing.T, otp nodetest.OTP, port int) {
		a := authority(t, tlsdist.Options{})
		e := nodetest.StartErl(t, otp, "beam", cookie, port, erlArgs(t, ensure(t, a, "beam@localhost").OptFile)...)
		k := startKeeper(t, "keeper@localhost", port, transportOf(t, a, "keeper@localhost"))
		k.HandleFunc("keeper", "echo", 1, func(_ context.Context, _ node.CallInfo, args []etf.Term) (etf.Term, error) { return args[0], nil })

		if got := e.Eval("{net_adm:ping(keeper@localhost), nodes(hidden)}"); got != "{pong,[keeper@localhost]}" {
			t.Fatalf("ping = %s", got)
		}
		if p := k.Peers(); len(p) != 1 || !p[0].Inbound {
			t.Fatalf("Peers() = %+v", p)
		}
		if got := e.Eval("X = binary:copy(<<7>>, 3000000), rpc:call(keeper@localhost, keeper, echo, [X]) =:= X"); got != "true" {
			t.Errorf("echo of 3 MB = %s", got)
		}
		beam := parse(t, e.Name)
		big := etf.Binary(strings.Repeat("x", 3_000_000))
		if v, err := k.Call(soon(t), beam, "erlang", "byte_size", big); err != nil || v != int64(len(big)) {
			t.Errorf("byte_size = %v, %v", v, err)
		}

		k.Disconnect(beam)
		if err := k.Connect(soon(t), beam); err != nil {
			t.Fatal(err)
		}
		if p := k.Peers(); len(p) != 1 || p[0].Inbound {
			t.Errorf("Peers() after Connect = %+v", p)
		}
		if v, err := k.Call(soon(t), beam, "erlang", "node"); err != nil || v != etf.Atom(e.Name) {
			t.Errorf("node() = %v, %v", v, err)
		}
	})
}

// two BEAMs with certificates of ours talk to each other.
func TestOTP_BetweenBEAMs(t *testing.T) {
	eachOTP(t, func(t *testing.T, otp nodetest.OTP, port int) {
		a := authority(t, tlsdist.Options{})
		e1 := nodetest.StartErl(t, otp, "one", cookie, port, erlArgs(t, ensure(t, a, "one@localhost").OptFile)...)
		nodetest.StartErl(t, otp, "two", cookie, port, erlArgs(t, ensure(t, a, "two@localhost").OptFile)...)
		if got := e1.Eval("net_adm:ping(two@localhost)"); got != "pong" {
			t.Errorf("ping = %s", got)
		}
	})
}

func TestOTP_Versions(t *testing.T) {
	for _, version := range []string{"tlsv1.2", "tlsv1.3"} {
		t.Run(version, func(t *testing.T) {
			eachOTP(t, func(t *testing.T, otp nodetest.OTP, port int) {
				a := authority(t, tlsdist.Options{})
				c := ensure(t, a, "beam@localhost")
				text, err := os.ReadFile(c.OptFile)
				if err != nil {
					t.Fatal(err)
				}
				only := strings.ReplaceAll(string(text), "['tlsv1.3','tlsv1.2']", "['"+version+"']")
				if version == "tlsv1.3" {
					only = strings.ReplaceAll(only, ",\n   {reuse_sessions,false}", "") // an option of older versions
				}
				file := filepath.Join(t.TempDir(), "only.conf")
				if err := os.WriteFile(file, []byte(only), 0o600); err != nil {
					t.Fatal(err)
				}
				e := nodetest.StartErl(t, otp, "beam", cookie, port, erlArgs(t, file)...)
				k := startKeeper(t, "keeper@localhost", port, transportOf(t, a, "keeper@localhost"))
				if got := e.Eval("net_adm:ping(keeper@localhost)"); got != "pong" {
					t.Errorf("ping = %s", got)
				}
				k.Disconnect(parse(t, e.Name))
				if err := k.Connect(soon(t), parse(t, e.Name)); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// clock is the time of an authority.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// optFileOf writes an ssl_dist_optfile with copies of a node's files, which stay when the node is retired.
func optFileOf(t testing.TB, c tlsdist.Certificate, change func(string) string) string {
	t.Helper()
	dir := t.TempDir()
	spec := tlsdist.OptFileSpec{CertFile: filepath.Join(dir, "node.pem"), KeyFile: filepath.Join(dir, "node.pem"), CAFile: filepath.Join(dir, "ca.crt")}
	for to, from := range map[string]string{spec.CertFile: c.PEMFile, spec.CAFile: c.CAFile} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := tlsdist.OptFileText(spec)
	if change != nil {
		text = change(text)
	}
	file := filepath.Join(dir, "dist.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// refusal is a BEAM called beam@localhost with which there must be no link.
type refusal struct {
	name    string
	optFile func(t *testing.T, ours, foreign *tlsdist.Authority, at *clock) string // "" for plain TCP
	inbound error                                                                  // when it connects to us
	dialed  error                                                                  // when we connect to it
}

var refusals = []refusal{
	{
		name:    "plain TCP",
		optFile: func(*testing.T, *tlsdist.Authority, *tlsdist.Authority, *clock) string { return "" },
		inbound: tlsdist.ErrPlainTCP, dialed: tlsdist.ErrPlainTCP,
	},
	{
		name: "no client certificate",
		optFile: func(t *testing.T, ours, _ *tlsdist.Authority, _ *clock) string {
			return optFileOf(t, ensure(t, ours, "beam@localhost"), func(text string) string {
				server, client, _ := strings.Cut(text, "{client, [")
				lines := strings.Split(client, "\n")
				lines = slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, "{certfile") || strings.Contains(l, "{keyfile") })
				return server + "{client, [" + strings.Join(lines, "\n")
			})
		},
		inbound: tlsdist.ErrNoCertificate,
	},
	{
		name: "foreign authority",
		optFile: func(t *testing.T, ours, foreign *tlsdist.Authority, _ *clock) string {
			c := ensure(t, foreign, "beam@localhost")
			c.CAFile = ours.CertFile() // it trusts us, we do not trust it
			return optFileOf(t, c, nil)
		},
		inbound: tlsdist.ErrForeignCA, dialed: tlsdist.ErrForeignCA,
	},
	{
		name: "distrusts us",
		optFile: func(t *testing.T, ours, foreign *tlsdist.Authority, _ *clock) string {
			c := ensure(t, ours, "beam@localhost")
			c.CAFile = foreign.CertFile()
			return optFileOf(t, c, nil)
		},
		inbound: tlsdist.ErrRefused, dialed: tlsdist.ErrRefused,
	},
	{
		name: "certificate of another node",
		optFile: func(t *testing.T, ours, _ *tlsdist.Authority, _ *clock) string {
			return optFileOf(t, ensure(t, ours, "other@localhost"), nil)
		},
		inbound: tlsdist.ErrNameMismatch, dialed: tlsdist.ErrNameMismatch,
	},
	{
		name: "expired",
		optFile: func(t *testing.T, ours, _ *tlsdist.Authority, at *clock) string {
			at.set(time.Now().Add(-2 * tlsdist.DefaultLifetime))
			defer at.set(time.Now())
			return optFileOf(t, ensure(t, ours, "beam@localhost"), nil)
		},
		inbound: tlsdist.ErrExpired, dialed: tlsdist.ErrExpired,
	},
	{
		name: "retired",
		optFile: func(t *testing.T, ours, _ *tlsdist.Authority, _ *clock) string {
			file := optFileOf(t, ensure(t, ours, "beam@localhost"), nil)
			if err := ours.Retire(node.Name{Alive: "beam", Host: "localhost"}); err != nil {
				t.Fatal(err)
			}
			return file
		},
		inbound: tlsdist.ErrRetired, dialed: tlsdist.ErrRetired,
	},
	{
		name: "replaced twice",
		optFile: func(t *testing.T, ours, _ *tlsdist.Authority, _ *clock) string {
			file := optFileOf(t, ensure(t, ours, "beam@localhost"), nil)
			for range 2 {
				if _, err := ours.Issue(node.Name{Alive: "beam", Host: "localhost"}, nil); err != nil {
					t.Fatal(err)
				}
			}
			return file
		},
		inbound: tlsdist.ErrRetired, dialed: tlsdist.ErrRetired,
	},
}

func TestOTP_Refusals(t *testing.T) {
	eachOTP(t, func(t *testing.T, otp nodetest.OTP, port int) {
		for _, r := range refusals {
			t.Run(r.name, func(t *testing.T) {
				t.Parallel()
				port := nodetest.StartEPMD(t)
				at := &clock{now: time.Now().AddDate(0, -1, 0)}
				ours, foreign := authority(t, tlsdist.Options{Time: at.Now}), authority(t, tlsdist.Options{})
				at.set(time.Now())
				transport := transportOf(t, ours, "keeper@localhost")
				var args []string
				if file := r.optFile(t, ours, foreign, at); file != "" {
					args = erlArgs(t, file)
				}
				args = append(args, "-kernel", "logger_level", "none")
				e := nodetest.StartErl(t, otp, "beam", cookie, port, args...)
				k := startKeeper(t, "keeper@localhost", port, transport)

				start := time.Now()
				if got := e.Eval("net_adm:ping(keeper@localhost)"); got != "pang" {
					t.Errorf("ping = %s, want pang", got)
				}
				if took := time.Since(start); took > refusedWithin {
					t.Errorf("refused after %v", took)
				} else {
					t.Logf("refused after %v", took.Round(time.Millisecond))
				}
				within(t, refusedWithin, "the log says: "+r.inbound.Error(), func() bool { return strings.Contains(k.log.String(), r.inbound.Error()) })
				if r.dialed == nil || r.name == "plain TCP" { // TestDial_PlainTCP has the timeout
					return
				}
				start = time.Now()
				err := k.Connect(soon(t), parse(t, e.Name))
				var pe *tlsdist.PeerError
				if !errors.Is(err, r.dialed) || !errors.As(err, &pe) || pe.Addr == "" {
					t.Errorf("Connect = %v, want %v", err, r.dialed)
				}
				if took := time.Since(start); took > refusedWithin {
					t.Errorf("dial refused after %v", took)
				}
			})
		}
	})
}

// refusedWithin is far below the timeout of the handshake, 7 s, and leaves a busy machine some time.
const refusedWithin = 3 * time.Second

func TestOTP_RenewalKeepsLinks(t *testing.T) {
	eachOTP(t, func(t *testing.T, otp nodetest.OTP, port int) {
		at := &clock{now: time.Now().Add(-tlsdist.DefaultLifetime * 3 / 4)}
		a := authority(t, tlsdist.Options{Time: at.Now})
		beam := ensure(t, a, "beam@localhost")
		e := nodetest.StartErl(t, otp, "beam", cookie, port, erlArgs(t, beam.OptFile)...)
		k := startKeeper(t, "keeper@localhost", port, transportOf(t, a, "keeper@localhost"))
		if got := e.Eval("net_adm:ping(keeper@localhost)"); got != "pong" {
			t.Fatalf("ping = %s", got)
		}
		since := k.Peers()[0].Since

		if none, err := a.Renew(); err != nil || len(none) != 0 {
			t.Fatalf("Renew of young certificates = %v, %v", none, err)
		}
		at.set(time.Now())
		renewed, err := a.Renew()
		if err != nil || len(renewed) != 2 || renewed[0].Serial == beam.Serial {
			t.Fatalf("Renew = %+v, %v", renewed, err)
		}
		if p := k.Peers(); len(p) != 1 || !p[0].Since.Equal(since) {
			t.Errorf("Peers() after Renew = %+v, want the same link", p)
		}
		if got := e.Eval("{net_adm:ping(keeper@localhost), nodes(hidden)}"); got != "{pong,[keeper@localhost]}" {
			t.Errorf("ping after Renew = %s", got)
		}

		// The old certificates have not expired and the BEAM may still show its one; both are good until the next renewal.
		k.Disconnect(parse(t, e.Name))
		within(t, 30*time.Second, "nodedown in the BEAM", func() bool { return e.Eval("nodes(hidden)") == "[]" })
		if got := e.Eval("net_adm:ping(keeper@localhost)"); got != "pong" {
			t.Errorf("ping over a new link = %s", got)
		}
		// What it does every two minutes: read files again that have changed (ssl_pem_cache).
		e.Eval("ssl_pem_cache_dist ! clear_pem_cache")
		within(t, 30*time.Second, "the BEAM shows its new certificate", func() bool { return serialOf(t, k, e) == renewed[0].Serial })
	})
}

// serialOf connects to a BEAM and gives the serial of the certificate that it shows.
func serialOf(t *testing.T, k keeper, e *nodetest.Erl) string {
	t.Helper()
	at, err := k.EPMD().PortPlease(soon(t), parse(t, e.Name))
	if err != nil {
		t.Fatal(err)
	}
	c, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(at.Port)), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Text(16)
}

// A BEAM with our option file insists on a certificate, and on one of ours.
func TestOTP_BEAMRefusesClients(t *testing.T) {
	eachOTP(t, func(t *testing.T, otp nodetest.OTP, port int) {
		a, foreign := authority(t, tlsdist.Options{}), authority(t, tlsdist.Options{})
		args := append(erlArgs(t, ensure(t, a, "beam@localhost").OptFile), "-kernel", "logger_level", "none")
		e := nodetest.StartErl(t, otp, "beam", cookie, port, args...)
		name := parse(t, "stranger@localhost")
		at, err := (&node.EPMDClient{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Self: "localhost"}).PortPlease(soon(t), parse(t, e.Name))
		if err != nil {
			t.Fatal(err)
		}
		for _, who := range []*tlsdist.Authority{nil, foreign, a} {
			config := &tls.Config{InsecureSkipVerify: true}
			if who != nil {
				ensure(t, who, name.String())
				id, err := who.Source(name).Identity(tlsdist.Client)
				if err != nil {
					t.Fatal(err)
				}
				config.Certificates = []tls.Certificate{id.Certificate}
			}
			c, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(at.Port)), config)
			if err != nil {
				t.Fatal(err) // over TLS 1.3 the client is ready before the server has seen its certificate
			}
			c.SetDeadline(time.Now().Add(refusedWithin))
			if who == a { // it waits for our name
				c.SetDeadline(time.Now().Add(time.Second))
			}
			_, err = c.Read(make([]byte, 1))
			var alert *net.OpError
			refused := errors.As(err, &alert) && alert.Op == "remote error"
			if refused != (who != a) {
				t.Errorf("authority %p (ours is %p): %v", who, a, err)
			}
			c.Close()
		}
	})
}
