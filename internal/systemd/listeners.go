package systemd

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/coreos/go-systemd/v22/activation"
)

// Listeners gives the daemon its listeners: those that the service manager has kept from the daemon before this one, or has
// opened by itself (socket activation), else new ones, which it is given to keep. So a restart refuses no connection: they
// wait in the listener's queue.
type Listeners struct {
	notifier *Notifier
	log      *slog.Logger

	mu        sync.Mutex
	inherited []named
	used      []named // that are in the store, or go there
}

type named struct {
	name string
	net.Listener
}

// Inherit takes over what the service manager passes to this process, and its variables out of the environment. It is
// called once.
func Inherit(n *Notifier, log *slog.Logger) *Listeners {
	l := &Listeners{notifier: n, log: log}
	for _, f := range activation.Files(true) {
		ln, err := net.FileListener(f)
		if err != nil {
			log.Warn("what the service manager passed is no listener", "name", f.Name(), "err", err)
		} else {
			l.inherited = append(l.inherited, named{f.Name(), ln})
		}
		_ = f.Close() // it was copied, or is of no use
	}
	return l
}

// Socket returns the listener with a name on network, tcp or unix, and address; port 0 is any. One that a socket unit of
// that name has opened is taken whatever its address; one that was kept, only when it is the one asked for. Otherwise
// open makes one.
func (l *Listeners) Socket(name, unit, network, address string, open func() (net.Listener, error)) (net.Listener, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.IndexFunc(l.inherited, func(k named) bool { return unit != "" && k.name == unit }); i >= 0 {
		k := l.take(i)
		if !serves(k.Addr(), network, address) {
			l.log.Warn("the socket unit listens elsewhere than the configuration says; it is the one used", "unit", unit, "addr", k.Addr().String(), "configured", address)
		}
		return k.Listener, nil
	}
	if i := slices.IndexFunc(l.inherited, func(k named) bool { return k.name == name && serves(k.Addr(), network, address) }); i >= 0 {
		k := l.take(i)
		l.used = append(l.used, k)
		return k.Listener, nil
	}
	ln, err := open()
	if err != nil || !l.notifier.Listening() {
		return ln, err
	}
	if err := l.notifier.Store(name, ln); err != nil {
		l.log.Warn("the service manager does not keep a listener: a restart refuses connections", "name", name, "err", err)
		return ln, nil
	}
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the next daemon has it, under the same path
	}
	l.used = append(l.used, named{name, ln})
	return ln, nil
}

// take removes an inherited listener from the list. l.mu is held.
func (l *Listeners) take(i int) named {
	k := l.inherited[i]
	l.inherited = slices.Delete(l.inherited, i, i+1)
	if u, ok := k.Listener.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	return k
}

// Kept says whether a listener of that name outlives the daemon.
func (l *Listeners) Kept(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.used, func(k named) bool { return k.name == name })
}

// Settle closes what was passed and is not used: of a configuration before this one. It is called when all listeners are
// open.
func (l *Listeners) Settle() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	stale := make(map[string]bool)
	for _, k := range l.inherited {
		stale[k.name] = true
		l.log.Info("a listener is not used any more", "name", k.name, "addr", k.Addr().String())
		errs = append(errs, k.Close())
	}
	l.inherited = nil
	for name := range stale {
		if strings.HasSuffix(name, ".socket") {
			continue // of a socket unit, not of the store
		}
		errs = append(errs, l.notifier.Unstore(name))
		for _, k := range l.used { // those that stay have gone with the others of their name
			if k.name == name {
				errs = append(errs, l.notifier.Store(name, k.Listener))
			}
		}
	}
	return errors.Join(errs...)
}

// serves says whether a listener at addr is one on network and address.
func serves(addr net.Addr, network, address string) bool {
	switch a := addr.(type) {
	case *net.UnixAddr:
		if network != "unix" || a.Name != address {
			return false
		}
		fi, err := os.Lstat(address) // somebody may have removed it
		return err == nil && fi.Mode().Type() == os.ModeSocket
	case *net.TCPAddr:
		host, port, err := net.SplitHostPort(address)
		if network != "tcp" || err != nil {
			return false
		}
		if n, err := strconv.Atoi(port); err != nil || n != 0 && n != a.Port {
			return false
		}
		return sameHost(a.AddrPort().Addr().Unmap(), host)
	}
	return false
}

func sameHost(ip netip.Addr, host string) bool {
	if host == "localhost" {
		return ip.IsLoopback()
	}
	if want, err := netip.ParseAddr(host); err == nil {
		return ip == want.Unmap() || ip.IsUnspecified() && want.IsUnspecified()
	}
	if host == "" {
		return ip.IsUnspecified()
	}
	found, err := net.LookupHost(host)
	return err == nil && slices.Contains(found, ip.String())
}

// String lists the names in use, for logs.
func (l *Listeners) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for _, k := range l.used {
		names = append(names, fmt.Sprintf("%s (%s)", k.name, k.Addr()))
	}
	return strings.Join(names, ", ")
}
