package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair gives both ends of a connection over the loopback.
func pair(t *testing.T) (ours, theirs *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialed.Close(); accepted.Close() })
	return accepted.(*net.TCPConn), dialed.(*net.TCPConn)
}

// lowat is the SO_RCVLOWAT of a reader's socket.
func lowat(t *testing.T, r *Reader) int {
	t.Helper()
	var n int
	var err error
	if outer := r.raw.Control(func(fd uintptr) { n, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT) }); outer != nil || err != nil {
		t.Fatal(outer, err)
	}
	return n
}

// A busy socket is looked at before the reader sleeps, and a message alone is read as well: the kernel wakes it for a
// byte again. How often looks find something is the machine's affair, so they are forced.
func TestReader_LooksThenSleeps(t *testing.T) {
	t.Parallel()
	ours, theirs := pair(t)
	ours.SetDeadline(time.Now().Add(20 * time.Second))
	r := NewReader(ours)
	r.trust = 1
	buf := make([]byte, 10)
	got := make(chan error, 1)
	go func() {
		_, err := r.Read(buf)
		got <- err
	}()
	time.Sleep(50 * time.Millisecond) // whether it sleeps by now or not, it must get the byte
	if _, err := theirs.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil || buf[0] != 'x' {
		t.Fatalf("%q, %v", buf[0], err)
	}
	if n := lowat(t, r); n != 1 {
		t.Errorf("SO_RCVLOWAT is %d after a sleep", n)
	}
	if r.trust != 0 || r.need != 2*leastSoons {
		t.Errorf("after a look in vain: trust %d, need %d", r.trust, r.need)
	}
}

// Short sleeps make a reader look, long ones and looks in vain make it stop.
func TestReader_LearnsFromSleeps(t *testing.T) {
	t.Parallel()
	r := &Reader{need: leastSoons}
	slept := func(d time.Duration, times int) {
		for range times {
			r.parked = time.Now().Add(-d)
			r.woke()
		}
	}
	slept(0, leastSoons-1)
	if r.trust != 0 {
		t.Fatal("looks at once")
	}
	slept(time.Second, 1)
	slept(0, leastSoons-1)
	if r.trust != 0 {
		t.Fatal("looks although it slept long")
	}
	slept(0, 1)
	if r.trust != vainLooks {
		t.Fatal("does not look after short sleeps")
	}
}

// All bytes arrive, in order, whatever they are read into.
func TestReader_ReadsAllBytes(t *testing.T) {
	t.Parallel()
	ours, theirs := pair(t)
	ours.SetDeadline(time.Now().Add(20 * time.Second))
	want := bytes.Repeat([]byte("0123456789abcdefg"), 60_000)
	go func() {
		for b := want; len(b) > 0; {
			n := min(len(b), 1+len(b)%7777)
			theirs.Write(b[:n])
			b = b[n:]
		}
		theirs.CloseWrite()
	}()
	r := NewReader(ours)
	var got []byte
	one, two := make([]byte, 1000), make([]byte, 100)
	space := &testSpace{}
	for i := 0; ; i++ {
		var n int
		var err error
		switch i % 3 {
		case 0:
			n, err = r.Read(one)
			got = append(got, one[:n]...)
		case 1:
			n, err = r.ReadTwo(one, two)
			got = append(got, one[:min(n, len(one))]...)
			got = append(got, two[:max(0, n-len(one))]...)
		case 2:
			n, err = r.ReadInto(space)
			got = append(got, space.b[:n]...)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, or others", len(got), len(want))
	}
}

type testSpace struct {
	b    []byte
	rest int
}

func (s *testSpace) Space() []byte {
	if s.b == nil {
		s.b = make([]byte, 512)
	}
	return s.b
}

func (s *testSpace) Rest() { s.b = nil; s.rest++ }

// Nothing is held while a reader sleeps, and a deadline ends the sleep.
func TestReader_RestsAndKeepsDeadlines(t *testing.T) {
	t.Parallel()
	ours, _ := pair(t)
	ours.SetDeadline(time.Now().Add(50 * time.Millisecond))
	s := &testSpace{}
	if _, err := NewReader(ours).ReadInto(s); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if s.rest != 1 || s.b != nil {
		t.Errorf("rested %d times", s.rest)
	}
}

func TestNewReader_OnlySockets(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if NewReader(a) != nil {
		t.Error("a reader of a pipe")
	}
}

// A wide socket has a larger buffer, and is read as before.
func TestReader_Widen(t *testing.T) {
	t.Parallel()
	ours, theirs := pair(t)
	ours.SetDeadline(time.Now().Add(20 * time.Second))
	r := NewReader(ours)
	size := func() (n int) {
		r.raw.Control(func(fd uintptr) { n, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF) })
		return n
	}
	before := size()
	r.Widen()
	if after := size(); runtime.GOOS == "linux" && after <= before {
		t.Errorf("SO_RCVBUF is %d, was %d", after, before)
	}
	if n := lowat(t, r); n != 1 {
		t.Errorf("SO_RCVLOWAT is %d", n)
	}
	if _, err := theirs.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(make([]byte, 10)); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
