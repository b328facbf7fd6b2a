package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func check(t *testing.T, p Probe, want string) {
	t.Helper()
	err := p.Probe(t.Context())
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%v: %v, want %q", p, err, want)
	}
}

func TestHTTP(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // the daemon's proxy is not for its instances
	mux := http.NewServeMux()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	mux.HandleFunc("/code/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.PathValue("code"))
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Location", elsewhere.URL)
		w.WriteHeader(code)
		fmt.Fprintf(w, "body of\n%d", code)
	})
	hang := make(chan struct{})
	mux.HandleFunc("/hang", func(w http.ResponseWriter, r *http.Request) { <-hang })
	mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(500)
		fmt.Fprint(w, strings.Repeat("ü", 5000))
	})
	plain, secure := httptest.NewServer(mux), httptest.NewTLSServer(mux)
	defer plain.Close()
	defer secure.Close()
	defer close(hang)
	check(t, HTTP{URL: plain.URL + "/code/200"}, "")
	check(t, HTTP{URL: plain.URL + "/code/204"}, "")
	check(t, HTTP{URL: plain.URL + "/code/302"}, "")
	check(t, HTTP{URL: secure.URL + "/code/200"}, "")
	check(t, HTTP{URL: plain.URL + "/code/503"}, `status 503 Service Unavailable: "body of\n503"`)
	check(t, HTTP{URL: plain.URL + "/code/404"}, `status 404`)
	check(t, HTTP{URL: plain.URL + "/hang", Timeout: 50 * time.Millisecond}, "timed out after 50ms")
	check(t, HTTP{URL: "http://127.0.0.1:1/x"}, "connection refused")
	check(t, HTTP{URL: "::"}, "missing protocol scheme")
	if err := (HTTP{URL: plain.URL + "/long"}).Probe(t.Context()); err == nil || len(err.Error()) > 300 {
		t.Errorf("long body: %v", err)
	}
	if err := (HTTP{URL: plain.URL + "/hang", Timeout: 50 * time.Millisecond}).Probe(t.Context()); !errors.Is(err, ErrTimeout) {
		t.Errorf("%v, want ErrTimeout", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (HTTP{URL: plain.URL}).Probe(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestTCP(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	check(t, TCP{Address: l.Addr().String()}, "")
	check(t, TCP{Address: deaf(t)}, "connection refused")
	check(t, TCP{Address: "127.0.0.1"}, "missing port")
}

// deaf is an address that nobody listens on, and that nobody else is given meanwhile.
func deaf(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	a, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", a.(*unix.SockaddrInet4).Port)
}

func TestExec(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	script("check", `[ "$1" = "a b" ] && [ "$X" = 'y $HOME' ] && [ -z "$DAEMON" ] && [ "$PWD" = "`+dir+`" ]`)
	if err := os.Setenv("DAEMON", "secret"); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + dir + ":/usr/bin:/bin", "X=y $HOME"}
	run := func(argv ...string) Exec { return Exec{Argv: argv, Env: env, Dir: dir} }
	check(t, run("check", "a b"), "")
	check(t, run("./check", "a b"), "")
	check(t, run(dir+"/check", "a b"), "")
	check(t, run("check", "a"), "exit status 1")
	check(t, run(script("fail", "echo first; echo why >&2; exit 3")), `exit status 3: "first\nwhy"`)
	check(t, run(script("much", "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; exit 1")), `line 2999"`)
	check(t, run("no-such-program"), "no-such-program is not on the instance's PATH ("+dir)
	check(t, run("./no-such-program"), "no such file")
	check(t, run(), "no program")
	check(t, Exec{Argv: []string{"/bin/sh", "-c", `[ -z "$DAEMON" ]`}}, "")
	check(t, Exec{Argv: []string{"/bin/true"}, User: "nobody-of-that-name"}, "nobody-of-that-name")
	if got, want := run("check", "a b", "").String(), `exec check "a b" ""`; got != want {
		t.Errorf("String() = %s, want %s", got, want)
	}

	pidfile := filepath.Join(dir, "pid")
	hang := run(script("hang", "sleep 300 & echo $! > "+pidfile+"; echo waiting; wait"))
	hang.Timeout = 200 * time.Millisecond
	check(t, hang, "timed out after 200ms")
	var pid int
	b, err := os.ReadFile(pidfile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(b), &pid); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); syscall.Kill(pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
		if s, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(s), ") Z ") {
			break // init has not reaped it yet
		}
		if time.Now().After(end) {
			t.Fatal("what the program started lives on")
		}
	}
}

func TestRPC(t *testing.T) {
	t.Parallel()
	call := func(text string, err error) RPC {
		return RPC{Name: "m:f/0", Call: func(context.Context) (string, error) { return text, err }}
	}
	for _, ok := range []string{"true", "ok", "{ok,1}", "{ok, x}", "{ok,{a,b}}", `{ok,[a,"b,c"]}`, `{ok,#{a => 1,b => <<"x,y">>}}`,
		`{ok,'it\'s,'}`, "{ok,<0.1.0>}"} {
		check(t, call(ok, nil), "")
	}
	for _, bad := range []string{"false", "{ok}", "{ok,1,2}", "{error,ok}", "okay", `{ok,#{a => 1},2}`, "[ok]", "undefined"} {
		check(t, call(bad, nil), "want true, ok or {ok,_}")
	}
	check(t, call("", errors.New("no connection")), "no connection")
	check(t, RPC{Timeout: time.Millisecond, Call: func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }}, "timed out after 1ms")
}

// scripted answers with one error after the other, then with the last one for ever.
type scripted struct{ errs []error }

func (s *scripted) String() string { return "scripted" }

func (s *scripted) Probe(context.Context) error {
	err := s.errs[0]
	if len(s.errs) > 1 {
		s.errs = s.errs[1:]
	}
	return err
}

func TestWait_SuccessesInARow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bad := errors.New("bad")
		var seen []string
		start := time.Now()
		err := Wait(t.Context(), &scripted{[]error{bad, nil, nil, bad, nil}}, Options{
			Successes: 3, Interval: time.Second,
			Report: func(a Attempt) { seen = append(seen, fmt.Sprint(a.Number, a.Successes, a.Err)) },
		})
		if err != nil {
			t.Error(err)
		}
		want := "[1 0 bad 2 1 <nil> 3 2 <nil> 4 0 bad 5 1 <nil> 6 2 <nil> 7 3 <nil>]"
		if got := fmt.Sprint(seen); got != want {
			t.Errorf("attempts %s, want %s", got, want)
		}
		if d := time.Since(start); d != 6*time.Second {
			t.Errorf("took %v, want 6 intervals", d)
		}
	})
}

func TestWait_ContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bad := errors.New("bad")
		hang := RPC{Name: "m:f/0", Timeout: time.Hour, Call: func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }}
		tests := []struct {
			p    Probe
			o    Options
			want string
		}{
			{&scripted{[]error{bad}}, Options{}, "probe: scripted: not passed in 10 attempts, the last: bad (context deadline exceeded)"},
			{&scripted{[]error{nil}}, Options{Successes: 100}, "probe: scripted: passed 10 of 100 times in a row: context deadline exceeded"},
			{hang, Options{}, "probe: rpc m:f/0: no answer: context deadline exceeded"},
		}
		for _, tt := range tests {
			ctx, cancel := context.WithTimeout(t.Context(), 950*time.Millisecond)
			err := Wait(ctx, tt.p, tt.o)
			cancel()
			if err == nil || err.Error() != tt.want || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Wait = %v, want %s", err, tt.want)
			}
		}
	})
}
