package nodetest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// The ports that tests listen on lie below those that the kernel hands out for outgoing connections.
const (
	firstPort = 20000
	lastPort  = 32000
)

// FreePort gives a TCP port on 127.0.0.1 that nobody listens on. It is the test's own until the test ends.
func FreePort(t testing.TB) int {
	t.Helper()
	return FreePorts(t, 1)
}

// FreePorts gives the first of n TCP ports in a row on 127.0.0.1 that nobody listens on.
//
// They are the test's own until it ends: no other test is given one of them, in other test processes neither.
func FreePorts(t testing.TB, n int) int {
	t.Helper()
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("beamkeeper-test-ports-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		first := firstPort + rand.IntN(lastPort-firstPort-n)
		var held []*os.File
		for port := first; port < first+n; port++ {
			f := takePort(dir, port)
			if f == nil {
				break
			}
			held = append(held, f)
		}
		if len(held) == n {
			t.Cleanup(func() { leavePorts(held) })
			return first
		}
		leavePorts(held)
	}
	t.Fatalf("no %d free ports in a row between %d and %d", n, firstPort, lastPort)
	return 0
}

// takePort locks the file that stands for a port; nil when another test has it or somebody listens on it.
func takePort(dir string, port int) *os.File {
	f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(port)), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		leavePorts([]*os.File{f})
		return nil
	}
	l.Close()
	return f
}

func leavePorts(held []*os.File) {
	for _, f := range held {
		unix.Flock(int(f.Fd()), unix.LOCK_UN) // by name: a process that is just being started may have the file too
		f.Close()
	}
}
