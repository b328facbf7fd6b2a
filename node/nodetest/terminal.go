package nodetest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminalTimeout bounds how long a terminal is waited for.
const terminalTimeout = 30 * time.Second

// Terminal is a program on a terminal of 100 columns and 40 lines.
type Terminal struct {
	t    testing.TB
	pty  *os.File
	out  output
	done chan struct{} // the program has ended and all its output is there
}

// StartTerminal starts a program on a terminal of its own. It is killed at the end of the test.
func StartTerminal(t testing.TB, cmd *exec.Cmd) *Terminal {
	t.Helper()
	pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pty.Close() })
	fd := int(pty.Fd())
	number, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 100})
	}
	if err != nil {
		t.Fatalf("terminal: %v", err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m := &Terminal{t: t, pty: pty, done: make(chan struct{})}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := pty.Read(buf)
			m.out.Write(buf[:n])
			if err != nil {
				return // nobody has the terminal open any more
			}
		}
	}()
	go func() {
		cmd.Wait() // how it ended is not asked
		<-read
		close(m.done)
	}()
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // its session; it may be gone
		<-m.done
		if t.Failed() {
			t.Logf("terminal of %s:\n%q", cmd.Path, m.out.String())
		}
	})
	return m
}

// Output is what the program has printed so far, escape sequences and echo included.
func (m *Terminal) Output() string { return m.out.String() }

// Type types text. The Enter key is \r, Tab \t.
func (m *Terminal) Type(text string) {
	m.t.Helper()
	if _, err := m.pty.WriteString(text); err != nil {
		m.t.Fatalf("type %q: %v", text, err)
	}
}

// Await waits until text is printed after the first since bytes of the output, and returns how many bytes there are now.
func (m *Terminal) Await(since int, text string) int {
	m.t.Helper()
	for deadline := time.Now().Add(terminalTimeout); ; time.Sleep(20 * time.Millisecond) {
		out := m.out.String()
		if strings.Contains(out[since:], text) {
			return len(out)
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("the terminal does not show %q but %q", text, out[since:])
		}
	}
}

// Ended waits for the end of the program.
func (m *Terminal) Ended() {
	m.t.Helper()
	select {
	case <-m.done:
	case <-time.After(terminalTimeout):
		m.t.Fatalf("the program does not end; the terminal shows %q", m.out.String())
	}
}
