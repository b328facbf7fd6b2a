package nodetest

import (
	"bytes"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// EPMD is a port mapper of a test, on 127.0.0.1.
type EPMD struct {
	Port int

	t   testing.TB
	bin string
	mu  sync.Mutex
	cmd *exec.Cmd
}

// StartEPMD starts an EPMD on a port of its own on 127.0.0.1 and returns the port.
func StartEPMD(t testing.TB) (port int) {
	t.Helper()
	return NewEPMD(t).Port
}

// NewEPMD is StartEPMD for tests that stop and start it again.
func NewEPMD(t testing.TB) *EPMD {
	t.Helper()
	e := &EPMD{t: t, bin: epmdProgram(t), Port: FreePort(t)}
	t.Cleanup(e.Stop)
	e.Start()
	return e
}

// Addr is host:port.
func (e *EPMD) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(e.Port)) }

// Start starts it on its port and waits until it accepts connections.
func (e *EPMD) Start() {
	e.t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cmd != nil {
		return
	}
	var out bytes.Buffer
	cmd := exec.Command(e.bin, "-port", strconv.Itoa(e.Port), "-address", "127.0.0.1")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		e.t.Fatalf("epmd: %v", err)
	}
	e.cmd = cmd
	for end := time.Now().Add(20 * time.Second); ; {
		c, err := net.DialTimeout("tcp", e.Addr(), time.Second)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			e.t.Fatalf("epmd on port %d does not answer: %v\n%s", e.Port, err, out.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Stop kills it and waits for its end.
func (e *EPMD) Stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cmd == nil {
		return
	}
	e.cmd.Process.Kill()
	e.cmd.Wait() // killed: the error tells nothing
	e.cmd = nil
}

func epmdProgram(t testing.TB) string {
	t.Helper()
	if bin, err := exec.LookPath("epmd"); err == nil {
		return bin
	}
	for _, o := range OTPs(t) {
		erl, err := filepath.EvalSymlinks(filepath.Join(o.Bin, "erl"))
		if err != nil {
			continue
		}
		found, _ := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(erl)), "erts-*", "bin", "epmd"))
		if len(found) > 0 {
			return found[0]
		}
	}
	Want(t, "25") // skips or fails
	t.Skip("epmd is not installed")
	return ""
}
