package node_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// The two hosts of TestOTP_CutLink, each a network namespace with an EPMD of its own on the usual port.
const (
	cutOurs   = "10.77.0.1"
	cutTheirs = "10.77.0.2"
	cutTick   = 4 * time.Second // net_ticktime of both sides
)

// cutRole names what the test binary is to be when it starts itself in a network namespace.
const cutRole = "BEAMKEEPER_TEST_CUT_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(cutRole) {
	case "":
		os.Exit(m.Run())
	case "epmd":
		cutEPMD()
	case "keeper":
		cutKeeper()
	}
	io.Copy(io.Discard, os.Stdin) // to the end
}

func cutEPMD() {
	l, err := net.Listen("tcp", ":4369")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	go (&node.EPMDServer{}).Serve(context.Background(), l)
	fmt.Println("ready")
}

// cutKeeper is our node. It does what lines of its input say, and tells of it, of nodes and of the monitors of its
// process "keeper" in lines of its output.
func cutKeeper() {
	cutEPMD()
	name := node.Name{Alive: "keeper", Host: cutOurs}
	n, err := node.New(node.Config{Name: name, Cookie: cookie, Listen: ":0", EPMDAddr: "127.0.0.1:4369", NetTickTime: cutTick})
	if err == nil {
		err = n.Start(context.Background())
	}
	if err == nil {
		err = n.Registered(context.Background())
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	n.Subscribe(func(ev node.NodeEvent) {
		if !ev.Up {
			fmt.Printf("nodedown %s %v\n", ev.Peer, ev.Err)
		}
	})
	p := n.Spawn(node.ReceiverFunc(func(_ *node.Process, s node.Signal) {
		if d, ok := s.(node.Down); ok {
			_, peer := d.Target.Name()
			fmt.Printf("DOWN %s %s\n", peer, etf.Format(d.Reason))
		}
	}))
	p.Register("keeper")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		verb, at, _ := strings.Cut(in.Text(), " ")
		peer, err := node.ParseName(at)
		if err != nil {
			fmt.Println(err)
			continue
		}
		go func() {
			limit, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			var err error
			switch verb {
			case "connect": // until it is there
				for err = n.Connect(limit, peer); err != nil && limit.Err() == nil; err = n.Connect(limit, peer) {
					time.Sleep(50 * time.Millisecond)
				}
			case "watch":
				_, err = p.Monitor(limit, node.ToName("sentinel", peer))
			case "call":
				_, err = n.Call(limit, peer, "erlang", "node")
			}
			fmt.Printf("%s %s %v\n", verb, peer, err)
		}()
	}
}

// cutSentinel evaluates each line of its input and prints its value, and prints what it receives.
const cutSentinel = `spawn(fun() -> register(sentinel, self()), Me = self(),
spawn_link(fun() -> (fun R() -> case io:get_line("") of L when is_list(L) -> Me ! {line, L}, R(); _ -> erlang:halt(0, [{flush, false}]) end end)() end),
net_kernel:monitor_nodes(true, [{node_type, all}, nodedown_reason]), io:format("ready~n"),
(fun F(B0) -> receive
  {line, S} -> {ok, T, _} = erl_scan:string(S), {ok, X} = erl_parse:parse_exprs(T), {value, V, B} = erl_eval:exprs(X, B0), io:format("= ~0p~n", [V]), F(B);
  {nodedown, N, I} -> io:format("nodedown ~s ~0p~n", [N, proplists:get_value(nodedown_reason, I)]), F(B0);
  {'DOWN', _, process, {_, N}, Y} -> io:format("DOWN ~s ~0p~n", [N, Y]), F(B0);
  _ -> F(B0) end end)([]) end).`

// cutProgram is a program in one of the namespaces.
type cutProgram struct {
	t  testing.TB
	in io.Writer

	mu    sync.Mutex
	lines []string
	more  chan struct{}
}

// cutStart starts a program in a namespace and waits until it is ready.
func cutStart(t testing.TB, ns string, env []string, argv ...string) *cutProgram {
	t.Helper()
	cmd := exec.Command("ip", append([]string{"netns", "exec", ns}, argv...)...)
	cmd.Env, cmd.Dir = env, t.TempDir()
	cmd.WaitDelay = time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &cutProgram{t: t, in: in, more: make(chan struct{})}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, s.Text())
			close(p.more)
			p.more = make(chan struct{})
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-read
		cmd.Wait() // killed: the error tells nothing
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(argv[0]), strings.Join(p.lines, "\n"))
		}
	})
	p.wait(0, "ready")
	return p
}

// say gives it a line.
func (p *cutProgram) say(format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.in, format+"\n", args...); err != nil {
		p.t.Fatal(err)
	}
}

// mark is the number of lines so far.
func (p *cutProgram) mark() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.lines)
}

// wait waits for a line that starts so, after the first ones.
func (p *cutProgram) wait(after int, start string) string {
	p.t.Helper()
	timeout := time.After(60 * time.Second)
	for {
		p.mu.Lock()
		for _, line := range p.lines[after:] {
			if strings.HasPrefix(line, start) {
				p.mu.Unlock()
				return line
			}
		}
		more := p.more
		p.mu.Unlock()
		select {
		case <-more:
		case <-timeout:
			p.t.Fatalf("no line %q", start)
		}
	}
}

// ask gives it a line and waits for the answer.
func (p *cutProgram) ask(answer, format string, args ...any) string {
	p.t.Helper()
	mark := p.mark()
	p.say(format, args...)
	return p.wait(mark, answer)
}

// Two hosts lose the cable between them: both sides hear of it after net_ticktime, with what depends on it. When it is
// back, either side connects again. A short loss goes unnoticed.
func TestOTP_CutLink(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	otps := nodetest.Want(t, "23", "25", "27", "29")
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	tag := fmt.Sprintf("bk%d", os.Getpid())
	hosts := [2]string{tag + "a", tag + "b"}
	for i, ns := range hosts {
		ip("netns", "add", ns)
		t.Cleanup(func() { ip("netns", "del", ns) })
		ip("-n", ns, "link", "set", "lo", "up")
		if i == 1 {
			ip("link", "add", "cable", "netns", hosts[0], "type", "veth", "peer", "name", "cable", "netns", hosts[1])
		}
	}
	for i, addr := range []string{cutOurs, cutTheirs} {
		ip("-n", hosts[i], "addr", "add", addr+"/24", "dev", "cable")
		ip("-n", hosts[i], "link", "set", "cable", "up")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cutStart(t, hosts[1], append(os.Environ(), cutRole+"=epmd"), exe)
	us := cutStart(t, hosts[0], append(os.Environ(), cutRole+"=keeper"), exe)
	keeper := "keeper@" + cutOurs
	beams := map[string]*cutProgram{}
	for _, otp := range otps {
		name := "beam" + otp.Release + "@" + cutTheirs
		beams[name] = cutStart(t, hosts[1], otp.Env("HOME="+t.TempDir(), "ERL_CRASH_DUMP=/dev/null"),
			filepath.Join(otp.Bin, "erl"), "-name", name, "-setcookie", cookie, "-noshell", "-start_epmd", "false", "-connect_all", "false",
			"-kernel", "net_ticktime", fmt.Sprint(int(cutTick/time.Second)), "-kernel", "logger_level", "none", "-eval", cutSentinel)
	}
	works := func() {
		t.Helper()
		for name, beam := range beams {
			if got := us.ask("call "+name, "call %s", name); got != "call "+name+" <nil>" {
				t.Errorf("our call: %s", got)
			}
			if got := beam.ask("=", "rpc:call('%s', erlang, node, []).", keeper); got != "= '"+keeper+"'" {
				t.Errorf("call of %s: %s", name, got)
			}
		}
	}
	for name, beam := range beams {
		us.ask("connect "+name, "connect %s", name)
		us.ask("watch "+name, "watch %s", name)
		beam.ask("=", "monitor(process, {keeper, '%s'}).", keeper)
	}
	works()

	// For a moment.
	ip("-n", hosts[0], "link", "set", "cable", "down")
	for name := range beams {
		us.say("call %s", name)
	}
	ip("-n", hosts[0], "link", "set", "cable", "up")
	works()
	for name, beam := range beams {
		us.mu.Lock()
		beam.mu.Lock()
		for _, line := range append(us.lines[:len(us.lines):len(us.lines)], beam.lines...) {
			if strings.Contains(line, "nodedown") {
				t.Errorf("after a short loss, with %s: %s", name, line)
			}
		}
		beam.mu.Unlock()
		us.mu.Unlock()
	}

	// For longer than net_ticktime.
	marks := map[*cutProgram]int{us: us.mark()}
	for _, beam := range beams {
		marks[beam] = beam.mark()
	}
	began := time.Now()
	ip("-n", hosts[0], "link", "set", "cable", "down")
	for name, beam := range beams {
		if got, want := us.wait(marks[us], "nodedown "+name), "nodedown "+name+" "+node.ErrTickTimeout.Error(); got != want {
			t.Errorf("our nodedown %q, want %q", got, want)
		}
		if got, want := us.wait(marks[us], "DOWN "+name), "DOWN "+name+" noconnection"; got != want {
			t.Errorf("our monitor %q, want %q", got, want)
		}
		if got, want := beam.wait(marks[beam], "nodedown"), "nodedown "+keeper+" net_tick_timeout"; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if got, want := beam.wait(marks[beam], "DOWN"), "DOWN "+keeper+" noconnection"; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if d := time.Since(began); d < cutTick/2 || d > 10*cutTick {
		t.Errorf("nodedown on both sides after %v with a net_ticktime of %v", d, cutTick)
	} else {
		t.Logf("nodedown on both sides after %v with a net_ticktime of %v", d, cutTick)
	}
	for name := range beams {
		if got := us.ask("call "+name, "call %s", name); !strings.Contains(got, "no connection") {
			t.Errorf("call while cut off: %s", got)
		}
	}

	// Healed: half of them are called by us, half call us.
	ip("-n", hosts[0], "link", "set", "cable", "up")
	for i, otp := range otps {
		name := "beam" + otp.Release + "@" + cutTheirs
		if i%2 == 0 {
			if got := us.ask("connect "+name, "connect %s", name); got != "connect "+name+" <nil>" {
				t.Error(got)
			}
		} else if got := beams[name].ask("=", "(fun F(0) -> pang; F(N) -> case net_adm:ping('%s') of pong -> pong; _ -> timer:sleep(50), F(N - 1) end end)(1000).", keeper); got != "= pong" {
			t.Errorf("%s pings again: %s", name, got)
		}
	}
	works()
}
