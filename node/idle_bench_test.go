package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beamkeeper/beamkeeper/etf"
)

const (
	idleLinks      = 1000
	idleWindow     = 16 * time.Second // in which every link ticks both ways at least once
	idlePeersVar   = "BEAMKEEPER_TEST_IDLE_PEERS"
	idleCookie     = "sesame"
	idleMemoryGoal = "≤40"
	idleCPUGoal    = "≤1"
)

// BenchmarkIdleLinks measures what a link costs that only ticks: 1,000 peers, in a process of their own, each of
// which has sent a message before it fell silent.
func BenchmarkIdleLinks(b *testing.B) {
	for b.Loop() {
		got := measureIdleLinks(b, idleLinks, DefaultNetTickTime, idleWindow)
		b.ReportMetric(got.kib, "KiB/link(want"+idleMemoryGoal+")")
		b.ReportMetric(got.rssKiB, "RSS-KiB/link")
		b.ReportMetric(100*got.cpu, "%-of-a-core(want"+idleCPUGoal+")")
		b.ReportMetric(0, "ns/op") // tells nothing here
	}
}

type idleCost struct {
	kib, heapKiB, rssKiB float64 // of one link
	cpu                  float64 // seconds each second, of all links
}

// measureIdleLinks lets count peers connect to a node of ours.
func measureIdleLinks(tb testing.TB, count int, tickTime, window time.Duration) idleCost {
	n, err := New(Config{Name: Name{Alive: "keeper", Host: "localhost"}, Cookie: idleCookie, NoEPMD: true, NetTickTime: tickTime})
	if err != nil {
		tb.Fatal(err)
	}
	if err := n.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	defer n.Close()
	before := usedMemory()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestIdlePeers$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d,%d,%s", idlePeersVar, n.Port(), count, tickTime))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	defer func() {
		stdin.Close() // ends it
		cmd.Wait()
	}()
	for end := time.Now().Add(60 * time.Second); len(n.Peers()) < count; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("%d of %d links", len(n.Peers()), count)
		}
	}
	time.Sleep(tickTime/ticksPerTickTime + time.Second) // the first tick, with which a link settles
	began := cpuTime()
	since := time.Now()
	time.Sleep(window)
	used := cpuTime() - began
	wall := time.Since(since)
	after := usedMemory()
	if got := len(n.Peers()); got != count {
		tb.Errorf("%d of %d links are left", got, count)
	}
	per := func(bytes int64) float64 { return float64(bytes) / 1024 / float64(count) }
	return idleCost{kib: per(after.runtime - before.runtime), heapKiB: per(after.heap - before.heap), rssKiB: per(after.resident - before.resident), cpu: used.Seconds() / wall.Seconds()}
}

type memory struct {
	heap     int64 // live
	runtime  int64 // that and stacks
	resident int64 // of the process, as the kernel sees it
}

func usedMemory() memory {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var pages int64
	if statm, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := strings.Fields(string(statm)); len(f) > 1 {
			pages, _ = strconv.ParseInt(f[1], 10, 64)
		}
	}
	return memory{heap: int64(m.HeapAlloc), runtime: int64(m.HeapAlloc + m.StackInuse), resident: pages * int64(os.Getpagesize())}
}

// cpuTime is what the process has used.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestIdlePeers is the process of the peers of measureIdleLinks. It ends with its standard input.
func TestIdlePeers(t *testing.T) {
	port, rest, ok := strings.Cut(os.Getenv(idlePeersVar), ",")
	if !ok {
		t.Skip("only runs for the measurement of idle links")
	}
	number, period, _ := strings.Cut(rest, ",")
	count, _ := strconv.Atoi(number)
	tickTime, _ := time.ParseDuration(period)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	var wg sync.WaitGroup
	for i := range count {
		conn := dialPeer(t, "127.0.0.1:"+port, Name{Alive: "idle" + strconv.Itoa(i), Host: "localhost"}, idleCookie)
		conn.Write(frameOf(regSend(peerPid(etf.Atom("idle"+strconv.Itoa(i)+"@localhost"), 1), "rex", etf.Tuple{etf.Atom("hello"), i})))
		wg.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			go io.Copy(io.Discard, conn)
			for {
				select {
				case <-time.After(tickTime / ticksPerTickTime):
				case <-ctx.Done():
					return
				}
				if _, err := conn.Write(make([]byte, 4)); err != nil {
					if !errors.Is(err, net.ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	wg.Wait()
}

// An idle link keeps neither a buffer (64 KiB) nor the tables of its decoder (48 KiB); make bench measures a thousand. The race
// detector has pools lose what they are given and makes stacks larger: without it the heap is 7 KiB.
func TestIdleLinks_CostLittle(t *testing.T) {
	got := measureIdleLinks(t, 200, 4*time.Second, 2500*time.Millisecond)
	t.Logf("%.1f KiB, of which heap %.1f", got.kib, got.heapKiB)
	if got.heapKiB > 46 {
		t.Errorf("an idle link keeps %.1f KiB of heap", got.heapKiB)
	}
}
