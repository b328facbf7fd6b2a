// Package emulator starts servers that speak the protocols of S3 (versitygw, which checks signatures) and of Google Cloud
// Storage (fake-gcs-server) for tests, each behind a Proxy that makes trouble when it is asked to.
//
// testdata/testbed/install.sh builds the servers into the cache folder. Without them a test is skipped, or fails under
// REQUIRE_OTP=1.
package emulator

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// startTimeout is for a machine that does much else.
const startTimeout = time.Minute

// program gives the path of an emulator.
func program(t testing.TB, name string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cache, "beamkeeper", "emulators", name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if os.Getenv("REQUIRE_OTP") == "1" {
		t.Fatalf("%s is not there and REQUIRE_OTP=1: testdata/testbed/install.sh test builds it", path)
	}
	t.Skipf("%s is not there: testdata/testbed/install.sh test builds it", path)
	return ""
}

// output keeps what a server writes, and looks for a line in it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) find(re *regexp.Regexp) string {
	for s := bufio.NewScanner(strings.NewReader(o.String())); s.Scan(); {
		if m := re.FindStringSubmatch(s.Text()); m != nil {
			return m[1]
		}
	}
	return ""
}

// start runs a server until the test ends, and waits until ready says so.
func start(t testing.TB, cmd *exec.Cmd, ready func(*output) bool) {
	t.Helper()
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	for deadline := time.Now().Add(startTimeout); !ready(&out); {
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", cmd.Path, out.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not ready: %s", cmd.Path, out.String())
		}
	}
}

// S3 is a running server with one bucket, "releases", in the region eu-central-1.
type S3 struct {
	*Proxy
	Dir            string // of the bucket: its objects are files
	Access, Secret string // of its owner
	socket         string
}

// Bucket and Region are those of every S3.
const (
	Bucket = "releases"
	Region = "eu-central-1"
)

// StartS3 starts versitygw on a unix socket, and a proxy before it.
func StartS3(t testing.TB) *S3 {
	t.Helper()
	gateway := program(t, "versitygw")
	dir, err := os.MkdirTemp("", "s3-") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &S3{Access: "AKIAIOSFODNN7EXAMPLE", Secret: "not-a-secret/of-anything", Dir: filepath.Join(dir, "data", Bucket), socket: filepath.Join(dir, "s")}
	for _, d := range []string{s.Dir, filepath.Join(dir, "meta"), filepath.Join(dir, "iam")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(gateway, "--port", s.socket, "--access", s.Access, "--secret", s.Secret, "--region", Region,
		"--iam-dir", filepath.Join(dir, "iam"), "--iam-cache-disable", "--quiet", "--keep-alive",
		"posix", "--sidecar", filepath.Join(dir, "meta"), filepath.Join(dir, "data"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	cmd.Dir = dir
	start(t, cmd, func(*output) bool {
		c, err := net.Dial("unix", s.socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	s.Proxy = startProxy(t, &http.Transport{
		MaxIdleConnsPerHost: 100,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
		},
	}, &url.URL{Scheme: "http", Host: "gateway"})
	return s
}

// AddUser makes another user, who may do nothing until a policy says so.
func (s *S3) AddUser(t testing.TB, access, secret string) {
	t.Helper()
	cmd := exec.Command(program(t, "versitygw"), "admin", "--access", s.Access, "--secret", s.Secret, "--region", Region,
		"--endpoint-url", s.URL, "create-user", "--access", access, "--secret", secret, "--role", "user")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(s.socket)}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("create-user: %v: %s", err, out)
	}
}

// GCS is a running server with one bucket, "releases".
type GCS struct {
	*Proxy
}

var listening = regexp.MustCompile(`server started at (http://[^\s"]+)`)

// StartGCS starts fake-gcs-server, and a proxy before it.
func StartGCS(t testing.TB) *GCS {
	t.Helper()
	server := program(t, "fake-gcs-server")
	var ln net.Listener
	proxy := &Proxy{}
	proxy.Server = httptest.NewUnstartedServer(proxy)
	ln = proxy.Server.Listener
	// The port is looked for, not chosen: one that is free now may be taken when the server wants it.
	var at string
	for tries := 0; at == "" && tries < 5; tries++ {
		at = tryGCS(t, server, "http://"+ln.Addr().String())
	}
	if at == "" {
		t.Fatal("fake-gcs-server finds no port")
	}
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	proxy.begin(t, preconditions{&http.Transport{MaxIdleConnsPerHost: 100}}, u)
	g := &GCS{Proxy: proxy}
	res, err := http.Post(g.URL+"/storage/v1/b?project=test", "application/json", strings.NewReader(`{"name":"`+Bucket+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("make the bucket: %s", res.Status)
	}
	return g
}

// preconditions adds what fake-gcs-server leaves out: the conditions of reads.
//
// Source: https://cloud.google.com/storage/docs/xml-api/reference-headers#xgoogifgenerationmatch
type preconditions struct{ http.RoundTripper }

func (p preconditions) RoundTrip(r *http.Request) (*http.Response, error) {
	same, other := r.Header.Get("X-Goog-If-Generation-Match"), r.Header.Get("X-Goog-If-Generation-Not-Match")
	res, err := p.RoundTripper.RoundTrip(r)
	if err != nil || r.Method != http.MethodGet || res.StatusCode/100 != 2 {
		return res, err
	}
	generation := res.Header.Get("X-Goog-Generation")
	switch {
	case same != "" && same != generation:
		res.StatusCode = http.StatusPreconditionFailed
	case other != "" && other == generation:
		res.StatusCode = http.StatusNotModified
	default:
		return res, nil
	}
	res.Body.Close()
	res.Body, res.ContentLength = http.NoBody, 0
	res.Header.Del("Content-Length")
	return res, nil
}

func tryGCS(t testing.TB, server, external string) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	ln.Close()
	cmd := exec.Command(server, "-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", port,
		"-external-url", external, "-public-host", strings.TrimPrefix(external, "http://"), "-data", t.TempDir())
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); {
		select {
		case <-ended:
			return "" // somebody else took the port
		case <-time.After(20 * time.Millisecond):
		}
		if out.find(listening) == "" {
			continue
		}
		if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			c.Close()
			return "http://127.0.0.1:" + port
		}
	}
	t.Fatalf("fake-gcs-server is not ready: %s", out.String())
	return ""
}

// Proxy passes requests on to an emulator, unless it was told to make trouble.
type Proxy struct {
	*httptest.Server
	forward http.Handler

	mu       sync.Mutex
	trouble  func(w http.ResponseWriter, r *http.Request, forward http.Handler)
	requests []string
}

func startProxy(t testing.TB, rt http.RoundTripper, to *url.URL) *Proxy {
	p := &Proxy{}
	p.Server = httptest.NewUnstartedServer(p)
	p.begin(t, rt, to)
	return p
}

func (p *Proxy) begin(t testing.TB, rt http.RoundTripper, to *url.URL) {
	p.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host
			r.Out.URL.RawQuery = r.In.URL.RawQuery
			r.Out.Host = r.In.Host // it is signed
		},
		Transport:     rt,
		FlushInterval: -1,
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p.Start()
	t.Cleanup(func() { p.CloseClientConnections(); p.Close() })
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	trouble := p.trouble
	p.requests = append(p.requests, fmt.Sprintf("%s %s", r.Method, r.URL.Path))
	p.mu.Unlock()
	if trouble == nil {
		p.forward.ServeHTTP(w, r)
		return
	}
	trouble(w, r, p.forward)
}

// Forward is where the proxy passes requests on to.
func (p *Proxy) Forward() http.Handler { return p.forward }

// Trouble has f answer every request from now on; nil: as the emulator does.
func (p *Proxy) Trouble(f func(w http.ResponseWriter, r *http.Request, forward http.Handler)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trouble = f
}

// Requests are those made so far, "GET /releases/…" each; they are counted anew.
func (p *Proxy) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.requests
	p.requests = nil
	return all
}

// Answer answers every request with a status and a body.
func Answer(status int, header http.Header, body string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		for k, v := range header {
			w.Header()[k] = v
		}
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = w.Write([]byte(body))
		}
	}
}

// S3Error is the XML of an error of S3.
func S3Error(code, message string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>` + "\n<Error><Code>" + code + "</Code><Message>" + message + "</Message></Error>"
}

// CutBody cuts the connection after so many bytes of the content of an answer.
func CutBody(w http.ResponseWriter, r *http.Request, forward http.Handler, after int64) {
	forward.ServeHTTP(&cutter{ResponseWriter: w, left: after, end: func() { panic(http.ErrAbortHandler) }}, r)
}

// HaltBody calls halt after so many bytes of the content of an answer were sent, and then goes on.
func HaltBody(w http.ResponseWriter, r *http.Request, forward http.Handler, after int64, halt func()) {
	forward.ServeHTTP(&cutter{ResponseWriter: w, left: after, end: halt}, r)
}

// cutter passes the first bytes on, calls end, and passes the others on.
type cutter struct {
	http.ResponseWriter
	left int64
	done bool
	end  func()
}

func (c *cutter) Write(p []byte) (int, error) {
	if c.done || int64(len(p)) < c.left {
		c.left -= int64(len(p))
		return c.ResponseWriter.Write(p)
	}
	n, err := c.ResponseWriter.Write(p[:c.left])
	if err != nil {
		return n, err
	}
	c.done = true
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	c.end()
	m, err := c.ResponseWriter.Write(p[n:])
	return n + m, err
}

func (c *cutter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// ShortenBody gives so many bytes of the content of an answer, and says in its header that this is all.
func ShortenBody(w http.ResponseWriter, r *http.Request, forward http.Handler, to int) {
	rec := httptest.NewRecorder()
	forward.ServeHTTP(rec, r)
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	b := rec.Body.Bytes()
	if to < len(b) {
		b = b[:to]
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	w.WriteHeader(rec.Code)
	_, _ = w.Write(b)
}
