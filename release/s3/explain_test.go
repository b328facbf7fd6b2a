package s3

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/emulator"
	"github.com/beamkeeper/beamkeeper/release"
)

const key = "versions/shop/prod/current.json"

// get asks as the watcher does.
func get(t testing.TB, b *Bucket) error {
	o, err := b.OpenChanged(t.Context(), key, "")
	if err == nil {
		o.Body.Close()
	}
	return err
}

func TestErrors_OfARealServer(t *testing.T) {
	t.Parallel()
	s := emulator.StartS3(t)
	s.AddUser(t, "AKIASTRANGER00000000", "stranger-secret")
	as := func(profile string) func(*Config) { return func(c *Config) { c.Profile = profile } }
	for _, tt := range []struct {
		name   string
		change func(*Config)
		kind   error
		words  []string
	}{
		{"nothing there", nil, release.ErrNotFound, []string{"s3://releases/" + key}},
		{"no bucket", func(c *Config) { c.Bucket = "other-releases" }, release.ErrNoBucket, []string{"s3://other-releases/", "release_bucket"}},
		{"access denied", as("stranger"), release.ErrDenied, []string{"grant s3:GetObject on arn:aws:s3:::releases/" + key, "s3:ListBucket"}},
		{"wrong signature", as("wrong"), release.ErrCredentials, []string{"doctor source"}},
		{"unknown key", as("unknown"), release.ErrCredentials, []string{"doctor source"}},
		{"wrong region", func(c *Config) { c.Region = "us-west-2" }, release.ErrWrongRegion, []string{"us-west-2", "set aws_region: eu-central-1"}},
		{"unknown profile", as("nobody"), release.ErrNoCredentials, []string{"nobody"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := open(t, s, tt.change)
			err := get(t, b)
			emulator.Problem(t, err, tt.kind, tt.words...)
			if again := get(t, b); fmt.Sprint(again) != fmt.Sprint(err) {
				t.Errorf("another text the second time: %v, then %v", err, again)
			}
		})
	}
	stranger := open(t, s, as("stranger"))
	_, err := stranger.PutObject(t.Context(), key, strings.NewReader("x"), release.PutOptions{Size: 1})
	emulator.Problem(t, err, release.ErrDenied, "s3:PutObject")
	_, err = stranger.List(t.Context(), "dist/")
	emulator.Problem(t, err, release.ErrDenied, "s3:ListBucket on arn:aws:s3:::releases")
	emulator.Problem(t, stranger.Delete(t.Context(), key), release.ErrDenied, "s3:DeleteObject")
	_, err = stranger.Stat(t.Context(), key)
	emulator.Problem(t, err, release.ErrDenied, "s3:GetObject")
}

// A clock that is wrong is corrected by the SDK from the server's; one that cannot be is told.
func TestErrors_ClockSkew(t *testing.T) {
	t.Parallel()
	s := emulator.StartS3(t)
	s.Trouble(func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		r.Header.Set("X-Amz-Date", time.Now().Add(-time.Hour).UTC().Format("20060102T150405Z"))
		forward.ServeHTTP(w, r)
	})
	emulator.Problem(t, get(t, open(t, s, nil)), release.ErrClockSkew, "timedatectl")
}

func TestErrors_OfTheStore(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		status int
		body   string
		header http.Header
		kind   error
		words  []string
	}{
		{"expired", 400, emulator.S3Error("ExpiredToken", "The provided token has expired."), nil, release.ErrExpired, []string{"The provided token has expired", "aws sso login"}},
		{"no session token", 403, emulator.S3Error("InvalidToken", "The provided token is malformed."), nil, release.ErrCredentials, []string{"AWS_SESSION_TOKEN"}},
		{"throttled", 503, emulator.S3Error("SlowDown", "Please reduce your request rate."), nil, release.ErrThrottled, []string{"reduce your request rate"}},
		{"throttled by a proxy", 429, "", nil, release.ErrThrottled, nil},
		{"internal", 500, emulator.S3Error("InternalError", "We encountered an internal error."), nil, release.ErrServer, []string{"internal error"}},
		{"bad gateway", 502, "<html>", nil, release.ErrServer, nil},
		{"moved", 301, emulator.S3Error("PermanentRedirect", "elsewhere"), http.Header{"X-Amz-Bucket-Region": {"eu-west-1"}}, release.ErrWrongRegion, []string{"set aws_region: eu-west-1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				emulator.Answer(tt.status, tt.header, tt.body)(w, r, nil)
			}))
			t.Cleanup(srv.Close)
			emulator.Problem(t, get(t, openAt(t, srv.URL, nil)), tt.kind, tt.words...)
		})
	}
}

func TestErrors_OfTheNetwork(t *testing.T) {
	t.Parallel()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	cutting := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(cutting.Close)
	for _, tt := range []struct {
		name, endpoint string
		kind           error
		words          []string
	}{
		{"unknown authority", secure.URL, release.ErrTLS, []string{"SSL_CERT_FILE"}},
		{"no TLS", "https" + strings.TrimPrefix(plain.URL, "http"), release.ErrTLS, []string{"http://"}},
		{"unknown name", "http://bucket.test:9000", release.ErrDNS, []string{"bucket.test"}},
		{"refused", "http://" + closedPort(t), release.ErrUnreachable, []string{"connection refused"}},
		{"cut off", cutting.URL, release.ErrUnreachable, []string{"cut off"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := openAt(t, tt.endpoint, nil)
			err := get(t, b)
			emulator.Problem(t, err, tt.kind, tt.words...)
			if again := get(t, b); fmt.Sprint(again) != fmt.Sprint(err) {
				t.Errorf("another text the second time: %v, then %v", err, again)
			}
		})
	}
}

func TestErrors_OfTheContextStay(t *testing.T) {
	t.Parallel()
	s := emulator.StartS3(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t, s, nil).Open(ctx, key, 0); err == nil || ctx.Err() == nil {
		t.Error("Open with a context that has ended")
	}
}

// closedPort gives an address where nobody listens, and nobody else will: it is bound.
func closedPort(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", at.(*syscall.SockaddrInet4).Port)
}

// nameServer answers every question of this process with "no such name", so that none leaves the machine.
func nameServer() (stop func()) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if n < 12 {
				continue
			}
			buf[2], buf[3] = buf[2]|0x80, 3 // an answer, NXDOMAIN
			_, _ = conn.WriteTo(buf[:n], from)
		}
	}()
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	return func() { conn.Close() }
}
