package nodetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// evalTimeout bounds one Eval and the start of a BEAM.
const evalTimeout = 90 * time.Second

// Erl is a running BEAM.
type Erl struct {
	Name   string // alive@host
	OSPid  int
	OTP    OTP
	Cookie string

	t    testing.TB
	cmd  *exec.Cmd
	out  *output
	mu   sync.Mutex // one Eval at a time
	conn net.Conn
	stop sync.Once
	done chan struct{}
}

// evaluator runs in the node: it evaluates what the test sends, in one process with one set of bindings, and halts
// when the test closes the connection.
const evaluator = `spawn(fun() ->
{ok,S__} = gen_tcp:connect({127,0,0,1}, %d, [binary,{packet,4},{active,false}]),
Loop = fun Loop(B0) ->
  case gen_tcp:recv(S__, 0) of
    {ok, Src} ->
      {R, B} = try
          {ok, Toks, _} = erl_scan:string(unicode:characters_to_list(Src)),
          {ok, Forms} = erl_parse:parse_exprs(Toks),
          {value, V, B1} = erl_eval:exprs(Forms, B0),
          {["o", io_lib:format("~0tp", [V])], B1}
        catch C:E:St -> {["e", io_lib:format("~0tp:~0tp~n~0tp", [C, E, St])], B0} end,
      ok = gen_tcp:send(S__, unicode:characters_to_binary(R)),
      Loop(B);
    _ -> erlang:halt(0, [{flush, false}])
  end end,
Loop([]) end).`

// StartErl starts a BEAM node and waits until it runs. name without a host means name@localhost; a host with a dot
// makes it -name, else -sname. args are added to the command line. The node knows the EPMD at epmdPort, has the
// test's temporary folder as home, and is killed at the end of the test.
func StartErl(t testing.TB, otp OTP, name, cookie string, epmdPort int, args ...string) *Erl {
	t.Helper()
	if !strings.Contains(name, "@") {
		name += "@localhost"
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	nameFlag := "-sname"
	if _, host, _ := strings.Cut(name, "@"); strings.Contains(host, ".") {
		nameFlag = "-name"
	}
	argv := []string{
		nameFlag, name, "-setcookie", cookie, "-noshell", "-noinput", "-start_epmd", "false",
		"-kernel", "inet_dist_use_interface", "{127,0,0,1}", "-kernel", "logger_level", "warning",
	}
	argv = append(argv, args...)
	argv = append(argv, "-eval", fmt.Sprintf(evaluator, l.Addr().(*net.TCPAddr).Port))
	dir := t.TempDir()
	cmd := exec.Command(filepath.Join(otp.Bin, "erl"), argv...)
	cmd.Dir = dir
	cmd.Env = otp.Env("HOME="+dir, "ERL_EPMD_PORT="+strconv.Itoa(epmdPort), "ERL_EPMD_ADDRESS=127.0.0.1", "ERL_CRASH_DUMP=/dev/null")
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("erl: %v", err)
	}
	e := &Erl{Name: name, OSPid: cmd.Process.Pid, OTP: otp, Cookie: cookie, t: t, cmd: cmd, out: out, done: make(chan struct{})}
	go func() {
		cmd.Wait() // how it ended is not asked
		close(e.done)
		l.Close()
	}()
	t.Cleanup(func() {
		e.Kill()
		if t.Failed() && out.String() != "" {
			t.Logf("output of %s (OTP %s):\n%s", name, otp.Release, out.String())
		}
	})

	l.(*net.TCPListener).SetDeadline(time.Now().Add(evalTimeout))
	conn, err := l.Accept()
	if err != nil {
		t.Fatalf("OTP %s node %s did not come up: %v\n%s", otp.Release, name, err, out.String())
	}
	e.conn = conn
	return e
}

// Eval evaluates Erlang expressions ("X = 1, X + 1.") in the node and returns the value as ~0tp prints it. All
// expressions are evaluated by one process, and bindings last from one Eval to the next (bind anew, or use f-less
// names). An exception fails the test.
func (e *Erl) Eval(expr string) string {
	e.t.Helper()
	v, err := e.TryEval(expr)
	if err != nil {
		e.t.Fatalf("%s: %s\n%v", e.Name, expr, err)
	}
	return v
}

// TryEval is Eval that returns the exception as an error. It may be called by any goroutine.
func (e *Erl) TryEval(expr string) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	expr = strings.TrimSpace(expr)
	if !strings.HasSuffix(expr, ".") {
		expr += "."
	}
	e.conn.SetDeadline(time.Now().Add(evalTimeout))
	msg := binary.BigEndian.AppendUint32(nil, uint32(len(expr)))
	if _, err := e.conn.Write(append(msg, expr...)); err != nil {
		return "", err
	}
	var head [4]byte
	if _, err := io.ReadFull(e.conn, head[:]); err != nil {
		return "", err
	}
	answer := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(e.conn, answer); err != nil {
		return "", err
	}
	if answer[0] != 'o' {
		return "", fmt.Errorf("%s", answer[1:])
	}
	return string(answer[1:]), nil
}

// Kill ends the BEAM with SIGKILL and waits for its end.
func (e *Erl) Kill() {
	e.stop.Do(func() {
		e.cmd.Process.Kill()
		if e.conn != nil {
			e.conn.Close()
		}
	})
	<-e.done
}

// Output is what the BEAM has printed so far.
func (e *Erl) Output() string { return e.out.String() }

// output collects what a program prints. Only the first 1 MiB are kept.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.buf.Len() < 1<<20 {
		o.buf.Write(p)
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
