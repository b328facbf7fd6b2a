package systemd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"golang.org/x/sys/unix"
)

// manager is the socket of a service manager.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func newManager(t *testing.T) (manager, *Notifier) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "150000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	n, err := NewNotifier()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		if v, ok := os.LookupEnv(name); ok {
			t.Errorf("%s=%s is left in the environment", name, v)
		}
	}
	return manager{t, conn}, n
}

// next is the next message, and the descriptors with it.
func (m manager) next() (string, []int) {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		m.t.Fatal(err)
	}
	b, oob := make([]byte, 4096), make([]byte, 1024)
	n, oobn, _, _, err := m.conn.ReadMsgUnix(b, oob)
	if err != nil {
		m.t.Fatal(err)
	}
	var fds []int
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		m.t.Fatal(err)
	}
	for _, c := range messages {
		if rights, err := unix.ParseUnixRights(&c); err == nil {
			fds = append(fds, rights...)
		}
	}
	return string(b[:n]), fds
}

func (m manager) expect(want string) {
	m.t.Helper()
	if got, _ := m.next(); got != want {
		m.t.Errorf("told %q, want %q", got, want)
	}
}

func TestNotifier_Tells(t *testing.T) {
	m, n := newManager(t)
	if !n.Listening() {
		t.Fatal("nobody listens")
	}
	for _, err := range []error{
		n.Ready(), n.Status("1 app"), n.Status("1 app"), n.Status("2\napps"), n.Reloading(), n.Stopping(), n.Unstore("web"),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	m.expect("READY=1")
	m.expect("STATUS=1 app")
	m.expect("STATUS=2 apps")
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	got, _ := m.next()
	var usec int64
	if _, err := fmt.Sscanf(got, "RELOADING=1\nMONOTONIC_USEC=%d", &usec); err != nil || usec > now.Nano()/1000 || usec < now.Nano()/1000-60e6 {
		t.Errorf("told %q (%v), now is %d", got, err, now.Nano()/1000)
	}
	m.expect("STOPPING=1")
	m.expect("FDSTOREREMOVE=1\nFDNAME=web")
	var all sync.WaitGroup
	for range 8 { // the watchdog, the status line and the end do not wait for each other
		all.Go(func() {
			if err := n.Ready(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for range 8 {
		m.expect("READY=1")
	}
}

func TestNotifier_Nobody(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	n, err := NewNotifier()
	if err != nil || n.Listening() {
		t.Fatalf("%v, %v", n.Listening(), err)
	}
	if err := errors.Join(n.Ready(), n.Reloading(), n.Stopping(), n.Status("x"), n.Store("a")); err != nil {
		t.Error(err)
	}
	n.Watch(t.Context(), slog.New(slog.DiscardHandler), func(context.Context) error { t.Error("asked"); return nil })
}

func TestNotifier_WatchOnlyWhileHealthy(t *testing.T) {
	m, n := newManager(t)
	ctx, cancel := context.WithCancel(t.Context())
	var sick atomic.Bool
	asked := make(chan struct{}, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Watch(ctx, slog.New(slog.DiscardHandler), func(ctx context.Context) error {
			asked <- struct{}{}
			if _, ok := ctx.Deadline(); !ok {
				t.Error("a check without a deadline")
			}
			if sick.Load() {
				return errors.New("stuck")
			}
			return nil
		})
	}()
	m.expect("WATCHDOG=1")
	m.expect("WATCHDOG=1")
	sick.Store(true)
	for len(asked) > 0 {
		<-asked
	}
	for range 4 {
		<-asked
	}
	cancel()
	<-done
	if err := n.Stopping(); err != nil {
		t.Fatal(err)
	}
	pings := 0
	for got, _ := m.next(); got != "STOPPING=1"; got, _ = m.next() {
		pings++
	}
	if pings > 1 { // one may have been under way
		t.Errorf("answered %d times when it was not healthy", pings)
	}
}

// A listener that was stored serves a second process: here the same one, which gets it passed.
func TestListeners_OutliveTheProcess(t *testing.T) {
	m, n := newManager(t)
	log := slog.New(slog.DiscardHandler)
	path := filepath.Join(t.TempDir(), "control.sock")
	first := &Listeners{notifier: n, log: log}
	open := func(network, addr string) func() (net.Listener, error) {
		return func() (net.Listener, error) { return net.Listen(network, addr) }
	}
	control, err := first.Socket("control", "", "unix", path, open("unix", path))
	if err != nil {
		t.Fatal(err)
	}
	web, err := first.Socket("web", "", "tcp", "127.0.0.1:0", open("tcp", "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	var passed []named
	for _, name := range []string{"control", "web"} {
		state, fds := m.next()
		if state != "FDSTORE=1\nFDNAME="+name || len(fds) != 1 {
			t.Fatalf("told %q with %d descriptors", state, len(fds))
		}
		f := os.NewFile(uintptr(fds[0]), name)
		l, err := net.FileListener(f)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		passed = append(passed, named{name, l})
	}
	if err := errors.Join(control.Close(), web.Close(), first.Settle()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the socket's file has gone with the listener: %v", err)
	}
	clients := []net.Conn{dial(t, "unix", path), dial(t, "tcp", web.Addr().String())} // nobody accepts now

	second := &Listeners{notifier: n, log: log, inherited: passed}
	never := func() (net.Listener, error) { t.Error("a new one was opened"); return nil, errors.New("no") }
	control2, err := second.Socket("control", "", "unix", path, never)
	if err != nil {
		t.Fatal(err)
	}
	web2, err := second.Socket("web", "", "tcp", "127.0.0.1:0", never)
	if err != nil || web2.Addr().String() != web.Addr().String() {
		t.Fatalf("%v, %v", web2, err)
	}
	for i, l := range []net.Listener{control2, web2} {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if _, err := clients[i].Read(make([]byte, 1)); err != nil {
			t.Errorf("the client that waited: %v", err)
		}
		conn.Close()
		l.Close()
	}
	if !second.Kept("web") || second.Kept("distribution") {
		t.Error("Kept is wrong")
	}
}

// What was kept for another configuration is closed, and what is in use stays in the store.
func TestListeners_SettleDropsWhatIsNotUsed(t *testing.T) {
	m, n := newManager(t)
	var all []named
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		all = append(all, named{"distribution", l})
	}
	l := &Listeners{notifier: n, log: slog.New(slog.DiscardHandler), inherited: slices.Clone(all)}
	addr := all[1].Addr().String()
	got, err := l.Socket("distribution", "", "tcp", addr, nil)
	if err != nil || got.Addr().String() != addr {
		t.Fatalf("%v, %v", got, err)
	}
	if err := l.Settle(); err != nil {
		t.Fatal(err)
	}
	m.expect("FDSTOREREMOVE=1\nFDNAME=distribution")
	if state, fds := m.next(); state != "FDSTORE=1\nFDNAME=distribution" || len(fds) != 1 {
		t.Errorf("told %q with %d descriptors", state, len(fds))
	}
	if _, err := all[0].Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the one that is not used: %v, want it closed", err)
	}
}

// A socket unit's listener is taken whatever the configuration says, and is not ours to store.
func TestListeners_SocketUnit(t *testing.T) {
	_, n := newManager(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	l := &Listeners{notifier: n, log: slog.New(slog.DiscardHandler), inherited: []named{{"beamkeeper-web.socket", ln}}}
	got, err := l.Socket("web", "beamkeeper-web.socket", "tcp", "127.0.0.1:1", nil)
	if err != nil || got != ln || l.Kept("web") {
		t.Errorf("%v, %v, kept %v", got, err, l.Kept("web"))
	}
}

func TestServes(t *testing.T) {
	t.Parallel()
	tcp := func(s string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, tt := range []struct {
		addr          net.Addr
		network, want string
		serves        bool
	}{
		{tcp("127.0.0.1:80"), "tcp", "127.0.0.1:80", true},
		{tcp("127.0.0.1:80"), "tcp", "127.0.0.1:0", true},
		{tcp("127.0.0.1:80"), "tcp", "localhost:80", true},
		{tcp("127.0.0.1:80"), "tcp", "127.0.0.1:81", false},
		{tcp("127.0.0.1:80"), "tcp", "127.0.1.1:80", false},
		{tcp("127.0.0.1:80"), "tcp", "0.0.0.0:80", false},
		{tcp("[::]:80"), "tcp", ":80", true},
		{tcp("[::]:80"), "tcp", "0.0.0.0:80", true},
		{tcp("127.0.0.1:80"), "tcp", ":80", false},
		{tcp("127.0.0.1:80"), "unix", "127.0.0.1:80", false},
		{&net.UnixAddr{Name: "/nothing/here"}, "unix", "/nothing/here", false},
	} {
		if got := serves(tt.addr, tt.network, tt.want); got != tt.serves {
			t.Errorf("serves(%s, %s %s) = %v", tt.addr, tt.network, tt.want, got)
		}
	}
}

func dial(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout(network, addr, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestMajorVersion(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{`"252.38-1~deb12u1"`: 252, "257": 257, `"v9"`: 0, "": 0, "254~rc1": 254} {
		if got := majorVersion(text); got != want {
			t.Errorf("majorVersion(%s) = %d, want %d", text, got, want)
		}
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	var message string
	var fields map[string]string
	var prio int
	h := NewJournal(slog.LevelInfo)
	h.send = func(m string, p journal.Priority, f map[string]string) error {
		message, prio, fields = m, int(p), f
		return nil
	}
	log := slog.New(h).With("part", "actors", "app", "shop")
	log.Warn("late", "err", "a b", slog.Group("g", "took ms", 5))
	if want := `late part=actors app=shop err="a b" g.took ms=5`; message != want || fields["MESSAGE_ID"] != "" {
		t.Errorf("MESSAGE = %s\nwant      %s; fields %v", message, want, fields)
	}
	log.Warn("shop-1 crashed", "event", "crash_restart", "err", "a b", slog.Group("g", "took ms", 5))
	if want := `shop-1 crashed`; message != want {
		t.Errorf("MESSAGE = %s\nwant      %s", message, want)
	}
	for name, want := range map[string]string{
		"BEAMKEEPER_PART": "actors", "BEAMKEEPER_APP": "shop", "BEAMKEEPER_EVENT": "crash_restart", "BEAMKEEPER_ERR": "a b",
		"BEAMKEEPER_G_TOOK_MS": "5", "SYSLOG_IDENTIFIER": "beamkeeper", "MESSAGE_ID": MessageID("crash_restart"),
	} {
		if fields[name] != want {
			t.Errorf("%s = %q, want %q", name, fields[name], want)
		}
	}
	if prio != 4 {
		t.Errorf("PRIORITY = %d, want 4", prio)
	}
	log.WithGroup("x").Error("again", "y", "")
	if !strings.HasSuffix(message, `x.y=""`) || fields["BEAMKEEPER_X_Y"] != "" || fields["MESSAGE_ID"] != "" || prio != 3 {
		t.Errorf("%s %v %d", message, fields, prio)
	}
	message = ""
	log.Debug("quiet")
	if message != "" {
		t.Errorf("below the level: %s", message)
	}
	if id := MessageID("crash_restart"); len(id) != 32 || id == MessageID("node_up") {
		t.Errorf("MessageID = %s", id)
	}
}
