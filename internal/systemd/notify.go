package systemd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// Notifier tells the service manager how the daemon is. The zero value, and one made where nobody listens, tell nobody.
type Notifier struct {
	addr     string        // "": nobody listens
	watchdog time.Duration // 0: none is wanted

	mu     sync.Mutex
	status string // last one told
}

// NewNotifier takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, so that no program that the
// daemon starts has them.
func NewNotifier() (*Notifier, error) {
	n := &Notifier{}
	watchdog, err := daemon.SdWatchdogEnabled(true)
	if err != nil {
		return n, fmt.Errorf("systemd: watchdog: %w", err)
	}
	if path := os.Getenv("NOTIFY_SOCKET"); path != "" {
		n.addr, n.watchdog = path, watchdog
	}
	return n, os.Unsetenv("NOTIFY_SOCKET")
}

// Listening says whether there is a service manager that is told.
func (n *Notifier) Listening() bool { return n.addr != "" }

// Ready tells that the start, or a reload, is done.
func (n *Notifier) Ready() error { return n.send(daemon.SdNotifyReady) }

// Reloading tells that a reload has begun; Ready must follow.
func (n *Notifier) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("systemd: clock: %w", err)
	}
	return n.send(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
}

// Stopping tells that the daemon is on its way out.
func (n *Notifier) Stopping() error { return n.send(daemon.SdNotifyStopping) }

// Status shows one line in `systemctl status`. The same line again is not sent.
func (n *Notifier) Status(line string) error {
	n.mu.Lock()
	same := n.status == line
	n.status = line
	n.mu.Unlock()
	if same {
		return nil
	}
	return n.send("STATUS=" + strings.ReplaceAll(line, "\n", " "))
}

// Watch keeps the watchdog quiet as long as healthy returns nil in time, until ctx ends. It returns at once when no
// watchdog is wanted. A check gets half of the watchdog's time; when it fails, nothing is sent, and if the next ones fail
// too the service manager kills and starts the daemon again.
func (n *Notifier) Watch(ctx context.Context, log *slog.Logger, healthy func(context.Context) error) {
	if n.addr == "" || n.watchdog <= 0 {
		return
	}
	tick := time.NewTicker(n.watchdog / 3)
	defer tick.Stop()
	for {
		check, cancel := context.WithTimeout(ctx, n.watchdog/2)
		err := healthy(check)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			log.Error("the watchdog is not answered", "err", err)
		} else if err := n.send(daemon.SdNotifyWatchdog); err != nil {
			log.Warn("the watchdog cannot be answered", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Store gives the service manager copies of listeners to keep under a name while the daemon is away.
func (n *Notifier) Store(name string, listeners ...net.Listener) error {
	var errs []error
	for _, l := range listeners {
		conn, ok := l.(syscall.Conn)
		if !ok {
			errs = append(errs, fmt.Errorf("systemd: store %s: %T has no descriptor", name, l))
			continue
		}
		raw, err := conn.SyscallConn()
		if err == nil {
			// Control rather than File, which would make the listener block.
			err = errors.Join(err, raw.Control(func(fd uintptr) {
				errs = append(errs, n.send("FDSTORE=1\nFDNAME="+name, int(fd)))
			}))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Unstore has the service manager close what it keeps under a name.
func (n *Notifier) Unstore(name string) error { return n.send("FDSTOREREMOVE=1\nFDNAME=" + name) }

func (n *Notifier) send(state string, fds ...int) error {
	if n.addr == "" {
		return nil
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(socket)
		err = unix.Sendmsg(socket, []byte(state), rights, &unix.SockaddrUnix{Name: n.addr}, unix.MSG_NOSIGNAL)
	}
	if err != nil {
		return fmt.Errorf("systemd: notify: %w", err)
	}
	return nil
}
