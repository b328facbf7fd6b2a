package vmtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	patience = 8 * time.Minute // for what takes seconds on a quiet host
	memory   = "1536"          // MiB
)

// Machine is a virtual machine. It ends with the test.
type Machine struct {
	t       testing.TB
	console string // file
	*wire
}

// wire leads to the program in the machine that runs others.
type wire struct {
	conn net.Conn

	mu      sync.Mutex
	last    int
	waiting map[int]chan answer
	err     error // why the machine is gone
}

type request struct {
	ID        int      `json:"id"`
	Args      []string `json:"args"`
	Input     string   `json:"input,omitempty"`
	TimeoutMS int64    `json:"timeout_ms"`
}

type answer struct {
	ID     int    `json:"id"`
	Output string `json:"output"`
	Code   int    `json:"code"`
	Error  string `json:"error"`
}

// Boot starts a machine that sees the files of the folder payload in /srv/bk, and waits until systemd is up.
func Boot(t testing.TB, payload string) *Machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "bk-vm-") // the path of a unix socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	files, err := prepare(dir, payload)
	if err != nil {
		t.Fatal(err)
	}
	m := &Machine{t: t, console: filepath.Join(dir, "console"), wire: &wire{waiting: make(map[int]chan answer)}}
	listener, err := net.Listen("unix", filepath.Join(dir, "port"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_ = listener.(*net.UnixListener).SetDeadline(time.Now().Add(patience))
	cmd := exec.Command("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-nographic", "-no-reboot",
		"-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", memory,
		"-kernel", files.kernel, "-initrd", files.initial,
		"-append", "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off random.trust_cpu=on tsc=reliable audit=0 selinux=0 apparmor=0",
		"-drive", "if=virtio,format=raw,cache=unsafe,file="+files.root, "-drive", "if=virtio,format=raw,cache=unsafe,file="+files.payload,
		"-serial", "file:"+m.console, "-device", "virtio-serial", "-chardev", "socket,id=port,path="+filepath.Join(dir, "port"),
		"-device", "virtserialport,chardev=port,name=port")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait(); listener.Close() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("console:\n%s", m.Console())
		}
	})
	if m.conn, err = listener.Accept(); err != nil {
		t.Fatalf("qemu: %v: %s", err, out.String())
	}
	t.Cleanup(func() { m.conn.Close() })
	greeting := make(chan answer, 1)
	m.waiting[0] = greeting
	go m.read()
	select {
	case a, ok := <-greeting:
		if !ok {
			t.Fatalf("the machine ended: %v\n%s", m.err, m.Console())
		}
		_ = a
	case <-time.After(patience):
		t.Fatalf("the machine does not boot within %s:\n%s", patience, m.Console())
	}
	m.Eventually("systemd is up", func() error {
		state, _ := m.Try("systemctl", "is-system-running") // starting and degraded are errors
		if s := strings.TrimSpace(state); s != "running" && s != "degraded" {
			return fmt.Errorf("it is %s", s)
		}
		return nil
	})
	return m
}

// Console is what the kernel, and systemd while it starts, have printed.
func (m *Machine) Console() string {
	b, _ := os.ReadFile(m.console) // to be shown
	return string(b)
}

func (w *wire) read() {
	in := bufio.NewScanner(w.conn)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		var a answer
		if err := json.Unmarshal(in.Bytes(), &a); err != nil {
			w.err = fmt.Errorf("%w: %q", err, in.Text())
			break
		}
		w.mu.Lock()
		c := w.waiting[a.ID]
		delete(w.waiting, a.ID)
		w.mu.Unlock()
		if c != nil {
			c <- a
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = fmt.Errorf("the machine is gone: %v", in.Err())
	}
	for id, c := range w.waiting {
		close(c)
		delete(w.waiting, id)
	}
}

// call runs a program inside and waits for it.
func (w *wire) call(input string, args ...string) (string, error) {
	c := make(chan answer, 1)
	w.mu.Lock()
	if w.err != nil {
		defer w.mu.Unlock()
		return "", w.err
	}
	w.last++
	r := request{ID: w.last, Args: args, Input: input, TimeoutMS: patience.Milliseconds()}
	w.waiting[r.ID] = c
	line, err := json.Marshal(r)
	if err == nil {
		_, err = w.conn.Write(append(line, '\n'))
	}
	w.mu.Unlock()
	if err != nil {
		return "", err
	}
	select {
	case a, ok := <-c:
		switch {
		case !ok:
			return "", w.err
		case a.Error != "":
			return a.Output, fmt.Errorf("%s", a.Error)
		case a.Code != 0:
			return a.Output, fmt.Errorf("exit status %d", a.Code)
		}
		return a.Output, nil
	case <-time.After(patience + time.Minute):
		return "", fmt.Errorf("no answer within %s", patience+time.Minute)
	}
}

// Try runs a program inside and gives what it printed.
func (m *Machine) Try(args ...string) (string, error) { return m.call("", args...) }

// Run is Try for what must not fail.
func (m *Machine) Run(args ...string) string {
	m.t.Helper()
	out, err := m.Try(args...)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s\n%s", strings.Join(args, " "), err, out, m.Journal())
	}
	return out
}

// Sh runs a script.
func (m *Machine) Sh(script string) string {
	m.t.Helper()
	out, err := m.call(script, "sh", "-eu")
	if err != nil {
		m.t.Fatalf("%s: %v\n%s\n%s", script, err, out, m.Journal())
	}
	return out
}

// Write writes a file, and makes its folder.
func (m *Machine) Write(path, text string) {
	m.t.Helper()
	if out, err := m.call(text, "install", "-D", "-m", "644", "/dev/stdin", path); err != nil {
		m.t.Fatalf("write %s: %v\n%s", path, err, out)
	}
}

// Journal is the end of what the daemon and its instances have logged.
func (m *Machine) Journal() string {
	out, _ := m.Try("journalctl", "--no-pager", "-o", "short-precise", "-u", "beamkeeper*", "-n", "60") // to be shown
	return out
}

// Eventually waits until f gives no error.
func (m *Machine) Eventually(what string, f func() error) {
	m.t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	m.t.Fatalf("not within %s: %s: %v\n%s", patience, what, err, m.Journal())
}

// As is the machine for a part of the test.
func (m *Machine) As(t testing.TB) *Machine {
	return &Machine{t: t, console: m.console, wire: m.wire}
}
