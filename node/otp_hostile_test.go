package node_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// stop has the kernel stop a BEAM: it neither reads nor writes until it is told to go on.
func stop(t *testing.T, e *nodetest.Erl) (goOn func()) {
	t.Helper()
	if err := syscall.Kill(e.OSPid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn = sync.OnceFunc(func() { syscall.Kill(e.OSPid, syscall.SIGCONT) })
	t.Cleanup(goOn)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) { // until no thread of it runs
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(e.OSPid) + "/stat")
		if err != nil || time.Now().After(end) {
			t.Fatalf("%s does not stop: %v", e.Name, err)
		}
		if _, rest, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(rest, "T") {
			return goOn
		}
	}
}

// queued is what waits for a peer, -1 when it has no link.
func queued(n *node.Node, e *nodetest.Erl) int {
	for _, p := range n.Peers() {
		if p.Name == nameOf(e) {
			return p.Queued
		}
	}
	return -1
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

const (
	callsOfFriend = `[begin I = gen_server:call({echo, keeper@localhost}, I, 60000) end || I <- lists:seq(1, 2000)], ok`
	stoppedTick   = 10 * time.Minute
)

// A BEAM that is stopped, and so reads nothing, costs the memory that OutboxBytes and MaxOutboxBytes name and no more,
// while another one is served as ever. When it goes on, nothing of what was sent to it is missing.
func TestOTP_StoppedPeer(t *testing.T) {
	const limit, hard = 1 << 20, 8 << 20
	otp := nodetest.WantAny(t)
	port := nodetest.StartEPMD(t)
	stuck := nodetest.StartErl(t, otp, "stuck", cookie, port, "-kernel", "net_ticktime", "3600")
	well := nodetest.StartErl(t, otp, "well", cookie, port, "-kernel", "net_ticktime", "3600")
	n := startNode(t, "keeper@localhost", port, func(c *node.Config) {
		c.NetTickTime, c.OutboxBytes, c.MaxOutboxBytes = stoppedTick, limit, hard
	})
	spawnServer(t, n, "echo")
	well.Eval(callsOfFriend)

	// Senders wait.
	stuck.Eval(`register(sink, spawn(fun() -> (fun F(N) -> receive {n, _} -> F(N + 1); {get, From} -> From ! {sink, N}, F(N) end end)(0) end))`)
	if got := stuck.Eval("net_adm:ping(keeper@localhost)"); got != "pong" {
		t.Fatal(got)
	}
	before := heap()
	goOn := stop(t, stuck)
	const senders, each, size = 20, 200, 10 << 10
	var sent atomic.Int64
	var wg sync.WaitGroup
	defer wg.Wait()
	defer goOn()
	for range senders {
		p := n.Spawn(&node.Mailbox{})
		wg.Go(func() {
			for range each {
				if err := p.Send(context.Background(), node.ToName("sink", nameOf(stuck)), etf.Tuple{etf.Atom("n"), make([]byte, size)}); err != nil {
					t.Error(err)
					return
				}
				sent.Add(1)
			}
		})
	}
	eventually(t, "senders that wait", func() bool { return queued(n, stuck) >= limit })
	well.Eval(callsOfFriend)
	if v, err := n.Call(ctx(t), nameOf(well), "erlang", "abs", -3); err != nil || v != etf.Term(int64(3)) {
		t.Errorf("a call to the other peer gives %v, %v", v, err)
	}
	if q := queued(n, stuck); q < limit || q > limit+size+200 {
		t.Errorf("%d bytes wait, want OutboxBytes and a message", q)
	}
	if got := sent.Load(); got == senders*each {
		t.Error("nobody had to wait")
	}
	if grown := heap() - before; grown > limit+senders*3*size+4<<20 {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
	goOn()
	wg.Wait()
	arrived := 0
	eventually(t, "all messages", func() bool {
		arrived++
		got := "Got" + strconv.Itoa(arrived)
		return stuck.Eval("sink ! {get, self()}, receive {sink, "+got+"} -> "+got+" end") == strconv.Itoa(senders*each)
	})

	// Answers cannot wait.
	release, waiting := make(chan struct{}), atomic.Int64{}
	blob := etf.Binary(make([]byte, 1<<20))
	n.HandleFunc("m", "blob", 0, func(ctx context.Context, _ node.CallInfo, _ []etf.Term) (etf.Term, error) {
		waiting.Add(1)
		<-release
		return blob, nil
	})
	var down atomic.Pointer[node.NodeEvent]
	defer n.Subscribe(func(e node.NodeEvent) {
		if !e.Up && e.Peer == nameOf(stuck) {
			down.Store(&e)
		}
	})()
	stuck.Eval("Reqs = [erpc:send_request(keeper@localhost, m, blob, []) || _ <- lists:seq(1, 100)], ok")
	eventually(t, "100 calls", func() bool { return waiting.Load() == 100 })
	goOn = stop(t, stuck)
	defer goOn()
	close(release)
	for most := 0; down.Load() == nil; {
		q := queued(n, stuck)
		if most = max(most, q); most > hard+len(blob)+1000 {
			t.Fatalf("%d bytes wait, want at most MaxOutboxBytes and an answer", most)
		}
		runtime.Gosched()
	}
	if err := down.Load().Err; !errors.Is(err, node.ErrOverload) {
		t.Errorf("the link went down with %v", err)
	}
	well.Eval(callsOfFriend)
	goOn()
	eventually(t, "the peer to come back", func() bool {
		pong, err := stuck.TryEval("net_adm:ping(keeper@localhost)")
		return err == nil && pong == "pong"
	})
}

// A BEAM that sends or calls as fast as it can does not starve another: its sequential calls go on, each within a bounded
// number of the flood's messages.
func TestOTP_FloodIsFair(t *testing.T) {
	otp := nodetest.WantAny(t)
	port := nodetest.StartEPMD(t)
	flood := nodetest.StartErl(t, otp, "flood", cookie, port)
	well := nodetest.StartErl(t, otp, "well", cookie, port)
	n := startNode(t, "keeper@localhost", port, func(c *node.Config) { c.Log = nil })
	spawnServer(t, n, "echo")
	var got atomic.Int64
	if err := n.Spawn(node.ReceiverFunc(func(*node.Process, node.Signal) { got.Add(1) })).Register("sink"); err != nil {
		t.Fatal(err)
	}
	n.HandleFunc("m", "count", 0, func(context.Context, node.CallInfo, []etf.Term) (etf.Term, error) {
		return got.Add(1), nil
	})
	for i, c := range []struct{ what, body string }{
		{"messages", `{sink, keeper@localhost} ! {some, small, message}`},
		{"casts", `erpc:cast(keeper@localhost, m, count, [])`},
		{"calls", `erpc:call(keeper@localhost, m, count, [])`},
	} {
		what, pids := c.what, "Pids"+strconv.Itoa(i)
		flood.Eval(pids + ` = [spawn(fun() -> (fun F() -> ` + c.body + `, F() end)() end) || _ <- lists:seq(1, 8)], ok`)
		begin := got.Load()
		eventually(t, "the flood of "+what, func() bool { return got.Load() > begin+1000 })
		begin = got.Load()
		if v := well.Eval(callsOfFriend); v != "ok" {
			t.Error(v)
		}
		meanwhile := got.Load() - begin
		t.Logf("%d %s during 2000 calls of another peer", meanwhile, what)
		if meanwhile < 100 {
			t.Errorf("the flood of %s came to a stand: %d", what, meanwhile)
		}
		if meanwhile > 2000*5000 {
			t.Errorf("%d %s of one peer while another did 2000 calls", meanwhile, what)
		}
		flood.Eval("[exit(P, kill) || P <- " + pids + "]")
	}
}
