package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/node"
	"github.com/beamkeeper/beamkeeper/node/nodetest"
)

// registered asks a port mapper for its names.
func registered(t *testing.T, port int) ([]string, error) {
	t.Helper()
	nodes, err := (&node.EPMDClient{Addr: fmt.Sprintf("127.0.0.1:%d", port)}).Names(t.Context(), "")
	var names []string
	for _, n := range nodes {
		names = append(names, n.Alive)
	}
	return names, err
}

func isRegistered(t *testing.T, port int, name string) func() bool {
	return func() bool {
		names, err := registered(t, port)
		return err == nil && slices.Contains(names, name)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestEPMD_Verb(t *testing.T) {
	t.Parallel()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	port := nodetest.FreePort(t)
	start := func(env []string, args ...string) (*exec.Cmd, io.Reader) {
		cmd := exec.Command(bin, append([]string{"epmd"}, args...)...)
		cmd.Env = env
		out, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill() // it may have ended
			_ = cmd.Wait()         // likewise
		})
		return cmd, out
	}
	cmd, out := start([]string{fmt.Sprintf("ERL_EPMD_PORT=%d", port), "ERL_EPMD_ADDRESS=127.0.0.1"}, "--log-format", "json")
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.Contains(line, fmt.Sprintf("127.0.0.1:%d", port)) {
		t.Fatalf("it says %q, %v", line, err)
	}
	if names, err := registered(t, port); err != nil || len(names) != 0 {
		t.Errorf("Names = %v, %v", names, err)
	}
	for _, tt := range []struct {
		args []string
		code int
	}{
		{[]string{"--port", fmt.Sprint(port)}, exitRefused}, // in use
		{[]string{"--port", "70000"}, exitUsage},
		{[]string{"--port", "0", "--address", "localhost"}, exitUsage},
		{[]string{"--max-names", "0"}, exitUsage},
		{[]string{"now"}, exitUsage},
	} {
		other, out := start(nil, tt.args...)
		text, _ := io.ReadAll(out) // it is for the message only
		_ = other.Wait()           // the code is looked at
		if got := other.ProcessState.ExitCode(); got != tt.code {
			t.Errorf("epmd %v: exit code %d, want %d\n%s", tt.args, got, tt.code, text)
		}
	}
	// It outlives the terminal that it was started in.
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM} {
		if _, err := registered(t, port); err != nil {
			t.Errorf("before %v: %v", sig, err)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = io.Copy(io.Discard, out) // until it ends
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// TestEndToEnd_StartsEPMD has the daemon start a port mapper, and find it again when it comes back.
func TestEndToEnd_StartsEPMD(t *testing.T) {
	t.Parallel()
	r := newRig(t, "erlang")
	alive, _, _ := strings.Cut(r.node, "@")
	port := nodetest.FreePort(t)
	r.env = append(r.env, "DEPLOYEX_ERLANG_COOKIE=of-the-daemon")
	r.edit("name: "+alive+"\n", fmt.Sprintf("name: %s\n  epmd: \"127.0.0.1:%d\"\n  start_epmd: true\n", alive, port))
	t.Cleanup(func() {
		eventually(t, "the port mapper to end", func() bool {
			conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				return true
			}
			defer conn.Close()
			_, _ = conn.Write([]byte{0, 1, 'k'}) // KILL_REQ
			_, _ = io.Copy(io.Discard, conn)     // its answer tells nothing
			return false
		})
	})
	d := r.run()
	eventually(t, "the daemon's registration", isRegistered(t, port, alive))
	var pid int
	log := d.readLog()
	if i := strings.Index(log, `"msg":"port mapper started"`); i < 0 {
		t.Fatalf("the log says nothing of a port mapper:\n%s", log)
	} else if _, err := fmt.Sscanf(log[i+strings.Index(log[i:], `"os_pid":`):], `"os_pid":%d`, &pid); err != nil {
		t.Fatal(err)
	}
	if env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); err != nil || len(env) != 0 {
		t.Errorf("it inherits %q, %v", env, err)
	}

	// The daemon goes, the port mapper stays, and the next daemon uses it.
	d.end(syscall.SIGTERM, exitOK)
	eventually(t, "the name to be free", func() bool { names, err := registered(t, port); return err == nil && len(names) == 0 })
	d = r.run()
	eventually(t, "the next daemon's registration", isRegistered(t, port, alive))
	if strings.Contains(d.readLog(), "port mapper") {
		t.Error("the next daemon started another one")
	}
	if b, err := os.ReadFile(filepath.Join(r.dir, "var", epmdLog)); err != nil || strings.Count(string(b), `"msg":"node registered"`) != 2 {
		t.Errorf("its log is %s, %v", b, err)
	}
	d.end(syscall.SIGTERM, exitOK)
}
