package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/web/client"
)

// TestEndToEnd_StoppedInstance stops a BEAM with SIGSTOP and asks it for more than its link takes. Nobody else notices: the
// control socket and the other instance answer, and the daemon's memory stays within what is sent and its bound. When
// the BEAM goes on, it answers all.
func TestEndToEnd_StoppedInstance(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	alive, _, _ := strings.Cut(r.node, "@")
	r.edit("  name: "+alive+"\n", "  name: "+alive+"\n  net_ticktime_ms: 3600000\n") // its silence is not to end the link here
	d := r.run("--with-instances")
	r.must("publish", r.app, sampletest.Build(t, "erlang", "0.1.0"))
	a := r.await("two instances", running(2, "0.1.0"))
	stuck, well := a.Instances[0], a.Instances[1]
	c := client.New(filepath.Join(r.dir, "beamkeeper.sock"))
	before := residentKiB(t, d.cmd.Process.Pid)

	if err := syscall.Kill(stuck.OSPID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn := sync.OnceFunc(func() { _ = syscall.Kill(stuck.OSPID, syscall.SIGCONT) }) // it may have ended
	defer goOn()
	const calls, size = 64, 256 << 10
	var wg sync.WaitGroup
	var answered, failed atomic.Int64
	call := "erlang:length(\"" + strings.Repeat("x", size) + "\")."
	for range calls {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			reply, err := c.RPC(ctx, api.RPCRequest{Target: api.Target{App: r.app, Instance: stuck.Name}, Call: call, TimeoutMS: patience.Milliseconds()})
			if err != nil || reply.Text != strconv.Itoa(size) {
				failed.Add(1)
				t.Errorf("the call that waited: %.200q, %v", reply.Text, err)
				return
			}
			answered.Add(1)
		})
	}
	for range 20 {
		if got := r.must("rpc", r.app+"/"+well.Name, "erlang:abs(-3)."); strings.TrimSpace(got) != "3" {
			t.Errorf("the other instance answers %q", got)
		}
		if got := r.must("nodes"); !strings.Contains(got, well.Name) {
			t.Errorf("nodes: %s", got)
		}
		r.status()
	}
	if got := answered.Load() + failed.Load(); got != 0 {
		t.Errorf("%d calls of a stopped instance have ended", got)
	}
	// Each call is there as text, as a term (16 bytes a character of the list) and encoded: that is the callers' own.
	if grown := residentKiB(t, d.cmd.Process.Pid) - before; grown > calls*size/1024*40+64<<10 {
		t.Errorf("the daemon has grown by %d KiB", grown)
	}
	goOn()
	wg.Wait()
	if got := answered.Load(); got != calls {
		t.Errorf("%d of %d calls were answered in the end", got, calls)
	}
	d.end(syscall.SIGTERM, 0)
}

func residentKiB(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	f := strings.Fields(string(b))
	if err != nil || len(f) < 2 {
		t.Fatalf("memory of %d: %v", pid, err)
	}
	pages, err := strconv.Atoi(f[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize() / 1024
}
