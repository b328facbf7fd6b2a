package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
	"unsafe"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// SocketMode is the mode of the control socket: its owner and group may use it, nobody else.
const SocketMode fs.FileMode = 0o660

// maxSocketPath is what sun_path of unix(7) holds, less its terminating zero.
const maxSocketPath = 107

// ErrSocketInUse is returned by ListenUnix when somebody answers on the socket already.
var ErrSocketInUse = errors.New("web: socket is in use")

// ListenUnix listens on a unix socket at path with SocketMode, making its directory (0755) when missing.
//
// A socket file on which nobody listens, as a killed daemon leaves it, is replaced. One that answers is left alone
// (ErrSocketInUse), and so is anything that is not a socket. The caller holds the daemon's lock, so that no two
// daemons do this at once. Closing the listener removes the file.
func ListenUnix(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("web: socket path %q is longer than %d bytes", path, maxSocketPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("web: socket directory: %w", err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The mode is set on the socket before bind gives it a name: Linux takes the file's mode from there, so that
	// at no moment others may connect.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var ferr error
		err := c.Control(func(fd uintptr) { ferr = syscall.Fchmod(int(fd), uint32(SocketMode)) })
		return errors.Join(err, ferr)
	}}
	ln, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	if err := os.Chmod(path, SocketMode); err != nil { // the umask may have taken the group's bits
		_ = ln.Close() // the first error is the one to tell
		return nil, fmt.Errorf("web: %w", err)
	}
	return ln, nil
}

func removeStale(path string) error {
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("web: %w", err)
	}
	if fi.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("web: %q exists and is not a socket", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close() // it was only asked whether somebody is there
		return fmt.Errorf("%w: %q", ErrSocketInUse, path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("web: is anybody listening on the old socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("web: remove stale socket: %w", err)
	}
	return nil
}

// connContext notes who is at the other end of a new connection.
func connContext(ctx context.Context, c net.Conn) context.Context {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return api.WithCaller(ctx, api.Caller{UID: -1, GID: -1, PID: -1, Via: "tcp", Addr: c.RemoteAddr().String()})
	}
	caller := api.Caller{UID: -1, GID: -1, PID: -1, Via: "socket"}
	if raw, err := uc.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { // on failure the caller stays unknown (-1)
			if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
				caller.UID, caller.GID, caller.PID = int(cred.Uid), int(cred.Gid), int(cred.Pid)
				caller.Groups = peerGroups(int(fd))
			}
		})
	}
	return api.WithCaller(ctx, caller)
}

// maxGroups is how many groups a process can have.
const maxGroups = 65536

// peerGroups gives the further groups of the process at the other end of a unix socket, nil when they are not known.
func peerGroups(fd int) []int {
	ids := make([]uint32, 64)
	for {
		size := uint32(len(ids) * 4)
		_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, uintptr(fd), syscall.SOL_SOCKET, soPeerGroups,
			uintptr(unsafe.Pointer(&ids[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == syscall.ERANGE && len(ids) < maxGroups:
			ids = make([]uint32, maxGroups)
			continue
		case errno != 0:
			return nil
		}
		groups := make([]int, size/4)
		for i := range groups {
			groups[i] = int(ids[i])
		}
		return groups
	}
}

// soPeerGroups is SO_PEERGROUPS of Linux (4.13 and later).
const soPeerGroups = 59
