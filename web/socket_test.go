package web_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/web"
)

func TestListenUnix_ModeAndCaller(t *testing.T) {
	t.Parallel()
	f := newFake()
	socket, _ := serve(t, f, web.Options{})
	fi, err := os.Stat(socket)
	if err != nil || fi.Mode().Perm() != 0o660 {
		t.Fatalf("mode of the socket = %v, %v, want 0660", fi.Mode(), err)
	}
	if err := newClient(t, socket).Stop(t.Context(), api.Target{App: "sample"}); err != nil {
		t.Fatal(err)
	}
	want := api.Caller{UID: os.Getuid(), GID: os.Getgid(), PID: os.Getpid(), Via: "socket"}
	f.caller.Groups = nil // whatever they are
	if !reflect.DeepEqual(f.caller, want) {
		t.Errorf("caller = %+v, want %+v", f.caller, want)
	}

	// This process may say for which node it asks.
	ctx := api.WithCaller(t.Context(), api.Caller{Node: "observer@host"})
	if err := newClient(t, socket).Stop(ctx, api.Target{App: "sample"}); err != nil {
		t.Fatal(err)
	}
	want.Node = "observer@host"
	f.caller.Groups = nil
	if !reflect.DeepEqual(f.caller, want) {
		t.Errorf("caller = %+v, want %+v", f.caller, want)
	}
}

func TestListenUnix_ReplacesOnlyAStaleSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "s.sock")
	ln, err := web.ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := web.ListenUnix(path); !errors.Is(err, web.ErrSocketInUse) {
		t.Errorf("a live socket: %v, want ErrSocketInUse", err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false) // as a killed daemon leaves it
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	ln, err = web.ListenUnix(path)
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("closing left the file: %v", err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := web.ListenUnix(path); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("a plain file: %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Errorf("the plain file now holds %q", b)
	}
}

func TestListenUnix_LeavesASocketOfAnotherKind(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.sock")
	other, err := net.ListenPacket("unixgram", path) // refuses a stream, but somebody has it
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := web.ListenUnix(path); !errors.Is(err, syscall.EPROTOTYPE) {
		t.Errorf("err = %v, want EPROTOTYPE", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

func TestListenUnix_RefusesALongPath(t *testing.T) {
	t.Parallel()
	if _, err := web.ListenUnix("/tmp/" + strings.Repeat("x", 120)); err == nil || !strings.Contains(err.Error(), "longer than 107 bytes") {
		t.Errorf("err = %v", err)
	}
}

func TestClient_SaysWhyItCannotReach(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale.sock")
	ln, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = ln.Close()
	for path, want := range map[string]string{
		filepath.Join(dir, "none.sock"): "there is no socket",
		stale:                           "nobody listens there",
	} {
		_, err := newClient(t, path).Status(t.Context())
		var e *api.Error
		if !errors.As(err, &e) || e.Code != api.CodeUnreachable || !strings.Contains(e.Message, want) || e.Hint == "" {
			t.Errorf("%s: %#v, want unreachable: %s", path, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var e *api.Error
	if _, err := newClient(t, stale).Status(ctx); !errors.As(err, &e) || e.Code != api.CodeFailed || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %#v", err)
	}
	if os.Getuid() == 0 {
		return // root may do everything
	}
	if err := syscall.Chmod(stale, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := newClient(t, stale).Status(t.Context()); !errors.As(err, &e) || e.Code != api.CodeDenied {
		t.Errorf("a socket of mode 0: %#v, want denied", err)
	}
}
